/*
 * format/zip.h - the members of a zip archive in memory, where they lie.
 *
 * Why not a library: weights must be mapped, so what is wanted of a stored member is its place in
 * the file, which libraries do not tell. Deflated members are unpacked by zlib. Sizes of 64 bits
 * (zip64) are read; encryption, several disks and other methods are EFORMAT.
 *
 * On disk, from the end: the end record (with its zip64 kin) says where the directory is; its
 * entries name each member and where its local header is, behind which the data lies.
 */
#ifndef BTH_ZIP_H
#define BTH_ZIP_H

#include "base/arena.h"
#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bth_zip_member {
    const char *name; /* not terminated */
    size_t name_size;
    const unsigned char *data; /* [packed] in the archive */
    size_t packed, size;       /* equal for stored members */
    bool deflated;
};

struct bth_zip {
    const unsigned char *data;
    size_t size, at;    /* of the directory's next entry */
    uint64_t left;      /* entries */
    size_t packed_left; /* members may not overlap: together they have no more bytes than this */
};

/* EFORMAT: no zip, or damaged. */
int bth_zip_open(struct bth_zip *z, const unsigned char *data, size_t size,
                 struct berth_error *err);
/* 1: *out is the next member; 0: there is none. EFORMAT. */
int bth_zip_next(struct bth_zip *z, struct bth_zip_member *out, struct berth_error *err);
/* A member's bytes [size]: in the archive if stored, else unpacked into the arena. EFORMAT, ENOMEM.
 * A deflated member may claim no more than deflate can give. */
int bth_zip_data(const struct bth_zip_member *m, struct bth_arena *arena, const unsigned char **out,
                 struct berth_error *err);

#endif

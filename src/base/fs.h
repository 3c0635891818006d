/*
 * base/fs.h - files: map read-only, read whole, walk paths.
 *
 * Any thread. Only regular files are mapped. A file that shrinks while it is mapped kills the
 * reader (SIGBUS): readers copy or pack what they need at load and unmap.
 */
#ifndef BTH_FS_H
#define BTH_FS_H

#include "base/compiler.h"
#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bth_map {
    const unsigned char *data; /* never NULL after success, also for an empty file */
    size_t size;
};

/* Opens for reading; the descriptor is the caller's. ENOTFOUND, EIO (permission, not a regular
 * file). */
int bth_open_regular(const char *path, int *out_fd, size_t *out_size, struct berth_error *err);

/* ENOTFOUND, EIO (permission, not a regular file), ENOMEM. */
int bth_map_open(struct bth_map *m, const char *path, struct berth_error *err);
void bth_map_close(struct bth_map *m); /* zeroed maps are allowed */

/* Reads a whole small file, with a NUL behind its end; the caller bth_frees it.
 * As bth_map_open, and ETOOLARGE beyond `limit` bytes. */
int bth_read_file(const char *path, size_t limit, char **out, size_t *out_size,
                  struct berth_error *err);

bool bth_is_file(const char *path);
bool bth_is_dir(const char *path);
/* A number that changes when the file, or a folder or a file right in it, is replaced or written:
 * of names, sizes and times, not of contents. 0: there is nothing to read. */
uint64_t bth_path_stamp(const char *path);
/* dir + "/" + name on the heap; NULL when out of memory. */
char *bth_path_join(const char *dir, const char *name) BTH_NODISCARD;

#endif

/*
 * engine/marian/marian_native.h - the folder round Marian's weights: its .yml, vocabularies,
 * shortlist.
 *
 * Files are known by the .yml or, where it is silent, by the names that Bergamot and OPUS give. A
 * .yml is believed for names only, without their folders: nothing outside of the model's is read.
 */
#ifndef BTH_MARIAN_NATIVE_H
#define BTH_MARIAN_NATIVE_H

#include "marian/marian_files.h"
#include "marian/marian_json.h"

struct marian_folder {
    struct marian_yaml yml; /* decoder.yml or config*.yml; empty if there is none */
    struct bth_arena arena;
    const char **names; /* [n] of files, sorted */
    size_t n;
};

/* The names in dir and the .yml that goes with `weights`, the file's own name. ENOTFOUND: no such
 * directory; EFORMAT, EIO, ETOOLARGE, ENOMEM. */
int marian_folder_open(struct marian_folder *folder, const char *dir, const char *weights,
                       struct berth_error *err);
void marian_folder_close(struct marian_folder *folder);
/* Sets f->paths. EFORMAT if the .yml names what is not there. */
int marian_folder_paths(const struct marian_folder *folder, struct marian_files *f,
                        struct berth_error *err);
/* The name of the weights in a folder: what its .yml says, else the only .npz or .bin that looks
 * like Marian's. NULL: there is none. */
const char *marian_folder_weights(const struct marian_folder *folder);

#endif

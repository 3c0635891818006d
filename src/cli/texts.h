/*
 * cli/texts.h - what a verb about texts is to work on: its operands, files, standard input.
 *
 * Files are read whole; nobody checks here that they are text.
 */
#ifndef BTH_TEXTS_H
#define BTH_TEXTS_H

#include "base/arena.h"
#include "cli/args.h"
#include <berth/error.h>

struct bth_text {
    const char *name; /* for messages: a path, "text 3", "FILE:7", "standard input" */
    const char *data; /* [size] */
    size_t size;
};

struct bth_texts {
    struct bth_text *list; /* [n] */
    size_t n, capacity;
    struct bth_arena arena; /* of the names */
    char **files;           /* [n_files] */
    size_t n_files;
};

/* The operands, then the values of option `files`; with neither, standard input. With `lines`, each
 * line of a file (not of an operand) is a text of its own, without its end; empty ones are too.
 * Zero-initialise `t`; finish it also after an error. ENOTFOUND, EIO, ETOOLARGE, ENOMEM. */
int bth_texts_read(struct bth_texts *t, const struct bth_args *args, size_t files, bool lines,
                   struct berth_error *err);
void bth_texts_finish(struct bth_texts *t);

#endif

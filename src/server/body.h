/*
 * server/body.h - the bytes of one request: in memory while they are few, then in an unlinked file.
 *
 * Zero-initialised with bth_body_init is an empty body. One thread at a time.
 */
#ifndef BTH_BODY_H
#define BTH_BODY_H

#include "base/str.h"
#include <berth/error.h>
#include <berth/types.h>

struct bth_body {
    struct bth_str memory;
    int fd; /* -1: all is in memory */
    uint64_t size;
    void *map; /* of the file, once somebody needs the bytes in memory; or NULL */
};

struct bth_body_limits {
    uint64_t most;   /* bytes of a body */
    size_t memory;   /* of them in memory */
    const char *dir; /* of the file */
};

void bth_body_init(struct bth_body *b);
/* ETOOLARGE, EIO, ENOMEM. */
int bth_body_append(struct bth_body *b, const struct bth_body_limits *limits, const void *data,
                    size_t n, struct berth_error *err);

/* The body as input of a request. FD and BYTES: whichever it is; else its bytes are mapped if they
 * are in a file. `out` lasts as long as the body. EIO. */
int bth_body_input(struct bth_body *b, enum berth_input_kind kind, struct berth_input *out,
                   struct berth_error *err);
void bth_body_finish(struct bth_body *b);

#endif

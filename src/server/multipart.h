/*
 * server/multipart.h - multipart/form-data, a piece at a time.
 *
 * The bytes (RFC 7578), D being "\r\n--" and the boundary:
 *
 *     [preamble] D \r\n  headers \r\n\r\n  body  D \r\n  headers ... body  D --  [epilogue]
 *
 * where the first D may lack its \r\n. Of the headers only Content-Disposition matters. What is
 * read is a stranger's: everything is limited, nothing is allocated in proportion to a claim, and
 * bodies go to the sink as they come. Not here: what the fields mean (form.h). One thread at a
 * time.
 */
#ifndef BTH_MULTIPART_H
#define BTH_MULTIPART_H

#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>

enum { BTH_MULTIPART_PARTS = 64, BTH_MULTIPART_HEAD = 4096 };

/* Where parts go. Each call returns 0, or an error code with err filled: then the parser fails. */
struct bth_multipart_sink {
    /* A part begins. is_file: it has a file name. Both strings last until the call returns. */
    int (*begin)(void *arg, const char *name, bool is_file, struct berth_error *err);
    int (*data)(void *arg, const char *data, size_t n, struct berth_error *err);
    int (*end)(void *arg, struct berth_error *err);
    void *arg;
};

struct bth_multipart;

/* EINVAL (not multipart/form-data, or no sound boundary), ENOMEM. */
int bth_multipart_create(const char *content_type, const struct bth_multipart_sink *sink,
                         struct bth_multipart **out, struct berth_error *err);
void bth_multipart_destroy(struct bth_multipart *m); /* NULL is allowed */

/* EINVAL (not well formed), ETOOLARGE (too many parts, too long a head), or the sink's code; after
 * that only destroy. */
int bth_multipart_feed(struct bth_multipart *m, const char *data, size_t n,
                       struct berth_error *err);
/* The body has ended: EINVAL unless its last boundary was there. */
int bth_multipart_finish(const struct bth_multipart *m, struct berth_error *err);

#endif

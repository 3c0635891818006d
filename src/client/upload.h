/*
 * client/upload.h - what a request sends as its body: bytes, or a file that the client has opened.
 *
 * The daemon never opens a path of a client. Files are read by position, on the loop's thread, so a
 * descriptor's own position is left alone. One owner.
 */
#ifndef BTH_UPLOAD_H
#define BTH_UPLOAD_H

#include <berth/error.h>
#include <berth/types.h>
#include <curl/curl.h>
#include <stdint.h>

struct bth_upload {
    void *data; /* a copy, or NULL */
    int fd;     /* or -1 */
    uint64_t size, at;
    int failed;     /* errno of a read, or 0 */
    bool shortened; /* the file has become shorter meanwhile */
    char type[64];  /* Content-Type */
};

/* Copies or opens a request's input. ENOTFOUND, EIO, EUNSUPPORTED, ENOMEM. */
int bth_upload_input(struct bth_upload *u, const struct berth_input *input,
                     struct berth_error *err);
/* JSON of our own. */
int bth_upload_json(struct bth_upload *u, const char *text, struct berth_error *err);
void bth_upload_finish(struct bth_upload *u);
/* Makes it the POST body of `easy`; the upload must outlive the transfer. */
void bth_upload_attach(struct bth_upload *u, CURL *easy);

#endif

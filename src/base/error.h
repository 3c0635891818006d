/*
 * base/error.h - filling and prefixing struct berth_error.
 *
 * An error is filled once, where it happens, and prefixed with context by callers that know more:
 *
 *     return bth_error(err, BERTH_EFORMAT, "tensor %s: %zu bytes, expected %zu", name, have, want);
 *     ...
 *     if (rc < 0) bth_error_prefix(err, "%s: ", path);
 *     return rc;
 *
 * Any thread; `err` may be NULL.
 */
#ifndef BTH_ERROR_H
#define BTH_ERROR_H

#include "base/compiler.h"
#include <berth/error.h>

/* Stores code and message (cut to what fits, and always valid UTF-8, whatever it quotes); returns
 * code. */
int bth_error(struct berth_error *err, int code, const char *fmt, ...) BTH_PRINTF(3, 4);

/* Puts text before the stored message. Says no code: whoever calls holds it, even if err is NULL.
 */
void bth_error_prefix(struct berth_error *err, const char *fmt, ...) BTH_PRINTF(2, 3);

/* Begins with the path of the file, unless the message names it already. */
void bth_error_of_file(struct berth_error *err, const char *path);

/* ENOMEM with the usual words; returns the code. */
int bth_error_nomem(struct berth_error *err);

/* Copies an error; returns its code. */
int bth_error_copy(struct berth_error *to, const struct berth_error *from);

#endif

/*
 * server/values.h - the values of a request, however they come: a JSON object, a form (urlencoded
 * or multipart), or the query.
 *
 * Reads a body that has been received whole (BTH_BODY_RAW).
 */
#ifndef BTH_VALUES_H
#define BTH_VALUES_H

#include <berth/error.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct bth_exchange;

enum { BTH_VALUES_BYTES = 32 << 20 };

/* *out, the caller's, has each value under its name; those of a form or query are strings, with
 * line ends as "\n". The query does not count where there is JSON. EINVAL (not well formed, not
 * UTF-8, no object, a value that comes twice, a file), ETOOLARGE, EIO, ENOMEM. *out_json: it was
 * JSON, also on failure. */
int bth_values_read(struct bth_exchange *x, json_t **out, bool *out_json, struct berth_error *err);

/* "application/x-www-form-urlencoded" text into an object. Errors as above. Pure. */
int bth_values_urlencoded(json_t *object, const char *text, size_t n, struct berth_error *err);

#endif

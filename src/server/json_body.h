/* server/json_body.h - a small JSON object as a form: {"model": "a/b", "wait_ms": 5}. */
#ifndef BTH_JSON_BODY_H
#define BTH_JSON_BODY_H

#include "server/form.h"
#include <jansson.h>

/* Adds each member as a field; numbers and booleans as text, null not at all. No bytes are an empty
 * object. EINVAL (not an object, a member given twice, a value that is an array or object),
 * ETOOLARGE, ENOMEM. */
int bth_json_body(struct bth_form *f, const char *text, size_t n, struct berth_error *err);

/* One member of such an object, as a field. */
int bth_json_field(struct bth_form *f, const char *key, const json_t *value,
                   struct berth_error *err);

#endif

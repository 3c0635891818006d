/* server/json_text.h - JSON written by hand, piece by piece, into a bth_str. */
#ifndef BTH_JSON_TEXT_H
#define BTH_JSON_TEXT_H

#include "base/str.h"

/* A quoted string; NULL: null. UTF-8 stays as it is, what is ill-formed becomes U+FFFD. `<`, `>`
 * and
 * `&` are escaped too, so that the text is safe wherever a browser may put it. */
void bth_json_string(struct bth_str *out, const char *text);
/* 17 digits, which give the same double back; null for what JSON has no number for. */
void bth_json_number(struct bth_str *out, double x);
/* `"key":` behind a comma unless it is the first of its object. */
void bth_json_key(struct bth_str *out, const char *key);
/* "key": and a string, a number, an integer, true or false. */
void bth_json_put_string(struct bth_str *out, const char *key, const char *text);
void bth_json_put_number(struct bth_str *out, const char *key, double x);
void bth_json_put_int(struct bth_str *out, const char *key, int64_t x);
void bth_json_put_uint(struct bth_str *out, const char *key, uint64_t x);
void bth_json_put_bool(struct bth_str *out, const char *key, bool x);
/* A comma unless an object or array has just begun. */
void bth_json_comma(struct bth_str *out);

#endif

/*
 * base/pystr.h - strings and numbers as Python has them, where our output must equal its output.
 *
 * Any thread. Strings are UTF-8.
 */
#ifndef BTH_PYSTR_H
#define BTH_PYSTR_H

#include "base/compiler.h"
#include "base/str.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* str.isspace of one code point (Unicode 14; wider than White_Space by U+001C to U+001F). */
bool bth_py_isspace(uint32_t c);

/* str.strip(): the part of s[0, n) without white space at its ends. */
const char *bth_py_strip(const char *s, size_t n, size_t *out_n);

/* Appends repr(float): the shortest digits that give the same number back; "1.0", "1e-05", "nan".
 */
void bth_py_repr_float(struct bth_str *out, double x);

/* Appends s[0, n) as json.dumps() writes a string: quoted, ASCII only. */
void bth_py_json_string(struct bth_str *out, const char *s, size_t n);

#endif

/* base/pystr.h - what Python's str methods do, where an original's output depends on it. Pure. */
#ifndef BTH_PYSTR_H
#define BTH_PYSTR_H

#include <stddef.h>

/* str.strip(): white space as Python 3.11 sees it (Unicode's, and U+001C to U+001F) taken off both
 * ends of UTF-8 text. */
void bth_strip(const char *text, size_t n, size_t *out_start, size_t *out_n);

#endif

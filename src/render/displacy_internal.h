/* render/displacy_internal.h - what displacy.c and displacy_arcs.c share. */
#ifndef BTH_DISPLACY_INTERNAL_H
#define BTH_DISPLACY_INTERNAL_H

#include "base/str.h"
#include <berth/types.h>

/* Whether the language is written from right to left. */
bool bth_displacy_rtl(const struct berth_doc *doc);
/* &, <, > and " as HTML has them. */
void bth_displacy_escape(struct bth_str *out, const char *text, size_t n);
/* Dependencies as SVG, with a line end before and after. */
void bth_displacy_arcs(struct bth_str *out, const struct berth_doc *doc, const char *id);

#endif

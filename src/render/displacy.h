/*
 * render/displacy.h - documents as spaCy's displaCy (3.8, its default options) draws them, byte for
 * byte: dependencies as SVG, entities as HTML.
 *
 * Two things differ. Names inside a drawing come from the caller, where displaCy takes random ones.
 * Labels are escaped as the text is, so that no model can smuggle markup in.
 * Any thread; `out->failed` says that memory was short.
 */
#ifndef BTH_DISPLACY_H
#define BTH_DISPLACY_H

#include "base/str.h"
#include <berth/types.h>

enum bth_displacy_style { BTH_DISPLACY_DEP, BTH_DISPLACY_ENT };

/* "dep" or "ent"; false: neither, *out untouched. */
bool bth_displacy_parse(const char *name, enum bth_displacy_style *out);

/* Nobody looks at a drawing of more tokens, and it takes the square of them. */
enum { BTH_DISPLACY_TOKENS = 10000 };

/* Appends one drawing. `id` names it in a page of many: letters, digits and dashes. */
void bth_displacy_write(struct bth_str *out, const struct berth_doc *doc,
                        enum bth_displacy_style style, const char *id);

/* A page round drawings: its head, each of them as a figure, its foot. `doc` is the first. */
void bth_displacy_page_begin(struct bth_str *out, const struct berth_doc *doc);
void bth_displacy_page_figure(struct bth_str *out, const struct berth_doc *doc,
                              enum bth_displacy_style style, const char *id);
void bth_displacy_page_end(struct bth_str *out);

#endif

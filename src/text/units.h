/*
 * text/units.h - a translation as units (words, marks), each with the place that it came from.
 *
 * A word is letters, digits and the marks on them; whatever else is no white space is a unit of its
 * own, and so is every character of a script that is written without blanks. Pure; any thread.
 */
#ifndef BTH_UNITS_H
#define BTH_UNITS_H

#include "text/html_text.h"
#include <stdbool.h>
#include <stdint.h>

struct bth_unit {
    uint32_t begin, end; /* bytes of the translation, from an origin on */
    uint32_t source;     /* byte of the source */
    uint32_t owner;      /* the caller's */
};

size_t bth_units_count(const char *text, size_t n);
/* Whether a word's letters lie on both sides of text[at]. */
bool bth_units_inside_word(const char *text, size_t n, size_t at);

/* Stretches of a translation and of its source. */
struct bth_units_of {
    const char *target, *source;
    size_t origin; /* of the units' bytes */
    size_t target_begin, target_end, source_begin, source_end;
};
/* The units of the target's stretch, their source in proportion; how many: bth_units_count. */
size_t bth_units_put(const struct bth_units_of *all, struct bth_unit *out);
/* Their source by the links of their sentence, where it has any. */
void bth_units_link(const struct bth_html_sentence *s, const char *source, size_t origin,
                    struct bth_unit *units, size_t n);

#endif

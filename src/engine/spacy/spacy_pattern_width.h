/*
 * spacy_pattern_width.h - how many characters a regular expression can take at most.
 *
 * Suffix patterns are searched for anew for every character that is cut off a long run. Where each
 * alternative ends in $ and has a known width, only the end of the text needs to be searched.
 */
#ifndef SPACY_PATTERN_WIDTH_H
#define SPACY_PATTERN_WIDTH_H

#include <stdbool.h>
#include <stddef.h>

/* For s[0, n) in PCRE2's syntax: false if it is not known (anything repeated, deep nesting). */
bool spacy_pattern_width(const char *s, size_t n, size_t *out_characters);
/* The first | outside of groups and classes in s[0, n), or the end. */
const char *spacy_pattern_bar(const char *s, size_t n);

#endif

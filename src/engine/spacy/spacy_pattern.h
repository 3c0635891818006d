/*
 * spacy_pattern.h - a regular expression of Python's re, run by PCRE2 with its JIT.
 *
 * The pattern language is what spaCy's patterns use: no named groups, no back references. Texts are
 * valid UTF-8, matches are byte ranges. A pattern is immutable: any thread, a matcher for each.
 */
#ifndef SPACY_PATTERN_H
#define SPACY_PATTERN_H

#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>

struct spacy_pattern;
/* The scratch of one thread, for any number of patterns; and what it has left to spend. */
struct spacy_matcher;

/* `anchored`: matches at the start of a text only, as re.match. EFORMAT: not a pattern that is
 * read; ENOMEM. A list of alternatives that is too long for one program becomes several. */
int spacy_pattern_compile(const char *text, size_t n, bool anchored, struct spacy_pattern **out,
                          struct berth_error *err);
void spacy_pattern_free(struct spacy_pattern *p); /* NULL is allowed */

/* `budget`: bytes that searches may look at in all before they give up; a search that takes more
 * steps than its bytes explain pays for those as well. 0: no limit but that of each search. NULL:
 * out of memory. */
struct spacy_matcher *spacy_matcher_create(size_t budget);
/* The budget of a text of so many bytes: never 0. */
size_t spacy_matcher_budget(size_t bytes);
void spacy_matcher_destroy(struct spacy_matcher *m); /* NULL is allowed */

/* The first match in s[0, n), as re.search: 1 and its range, 0 for none, ETOOLARGE (the budget, or
 * a pattern that would run for ever or take hundreds of megabytes), ENOMEM. p may be NULL: it never
 * matches. */
int spacy_pattern_search(const struct spacy_pattern *p, struct spacy_matcher *m, const char *s,
                         size_t n, size_t *out_begin, size_t *out_end, struct berth_error *err);
/* A step of re.finditer: the first match at or behind byte *at, which moves on. As search. */
int spacy_pattern_next(const struct spacy_pattern *p, struct spacy_matcher *m, const char *s,
                       size_t n, size_t *at, size_t *out_begin, size_t *out_end,
                       struct berth_error *err);

#endif

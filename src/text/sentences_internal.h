/* Shared by the files of sentences.h: what characters and words mean to the ends of sentences. */
#ifndef BTH_SENTENCES_INTERNAL_H
#define BTH_SENTENCES_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bth_abbreviation {
    BTH_ABBREVIATION_NONE,
    BTH_ABBREVIATION_ALWAYS,      /* its stop never ends a sentence: "Dr." */
    BTH_ABBREVIATION_BEFORE_DIGIT /* only before a number: "No. 5" */
};

/* What `word` [n], without its last stop, is in a language ("en-GB" is "en"; NULL: none). Letters'
 * case counts. */
enum bth_abbreviation bth_abbreviation(const char *language, const char *word, size_t n);
/* Whether numbers are followed by a stop to be ordinals: "3. Oktober". */
bool bth_stop_makes_ordinals(const char *language);

#endif

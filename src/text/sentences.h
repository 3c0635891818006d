/*
 * text/sentences.h - a text as sentences and what lies between them.
 *
 * The pieces found are in order and do not overlap; the bytes that no piece covers are white space
 * (blanks, tabs, line ends, empty lines), which whoever replaces the pieces copies byte for byte.
 * A line end always separates. Within a line a sentence ends behind . ! ? and their like in other
 * scripts when what follows looks like a beginning; known abbreviations and initials do not end
 * one. What is longer than a model can take is cut at clause marks, then at blanks, then anywhere
 * but within a character.
 *
 * Bytes that are not UTF-8 belong to pieces like letters. Pure: any thread.
 */
#ifndef BTH_SENTENCES_H
#define BTH_SENTENCES_H

#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bth_piece {
    size_t begin, end; /* bytes of the text, begin < end; no white space at either end */
    bool words;        /* has a letter outside of addresses: worth translating. Else it goes through
                          as it is */
};

struct bth_sentences {
    struct bth_piece *pieces; /* [n] */
    size_t n;
};

struct bth_sentences_options {
    const char *language; /* whose abbreviations count: "en", "pt-BR"; NULL: those of none */
    bool lines;           /* a line is a sentence: ends within it do not count */
    /* The length of a stretch of text in the unit of `most`, at least 1 (a tokenizer's count), or
     * a BERTH_E code, which is passed on. NULL: bytes. */
    int64_t (*measure)(void *arg, const char *text, size_t n, struct berth_error *err);
    void *arg;
    int64_t most; /* of a piece; 0: no limit. A single character that measures more stays whole */
};

/* *out is the caller's, for bth_sentences_finish. options may be NULL. ENOMEM, or what `measure`
 * says. */
int bth_sentences_split(const char *text, size_t n, const struct bth_sentences_options *options,
                        struct bth_sentences *out, struct berth_error *err);
void bth_sentences_finish(struct bth_sentences *s);

#endif

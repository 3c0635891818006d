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
    size_t n, capacity;
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

/* Where a text that is split bit by bit has been left. Zeroed: its beginning. */
struct bth_sentences_cursor {
    bool done;
    size_t at;                  /* how far it has been looked at */
    size_t begin, end;          /* of what is left of the sentence */
    size_t behind;              /* the sentence, with the white space at its end */
    size_t line_end, next_line; /* of the line that it is in */
    int state;
};

/* As bth_sentences_split, for about `work` bytes and never without getting on; pieces are appended
 * to *out, which is zeroed at first. A byte is looked at three times (for the end of its line, of
 * its sentence, and as a part of its piece), and each time counts. Text and options are the same
 * from call to call. On failure *out is still to be finished. */
int bth_sentences_next(const char *text, size_t n, const struct bth_sentences_options *options,
                       struct bth_sentences_cursor *cursor, size_t work, struct bth_sentences *out,
                       struct berth_error *err);
void bth_sentences_finish(struct bth_sentences *s);

/* Where the address, of the net or of mail, ends that begins at text[at]; `at`: none does. It is
 * all that lies between two white spaces, with marks at its end. */
size_t bth_sentences_address(const char *text, size_t n, size_t at);

#endif

/*
 * text/language.h - in which language a text is written.
 *
 * By cld2, which knows about 80 languages by the sequences of their letters. A sentence is enough
 * for most; of a word or two it is a guess. Pure: any thread.
 */
#ifndef BTH_LANGUAGE_H
#define BTH_LANGUAGE_H

#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bth_language_guess {
    char code[16];     /* "en", "pt", "zh-Hant" */
    double confidence; /* 0 to 100: the share of the text; a half where cld2 is not sure, a quarter
                          of it for a few words */
};

enum { BTH_MAX_GUESSES = 3 };

/* Bytes at the beginning of a text that count: more make cld2 no surer, and it is asked where
 * nobody may wait long. Of HTML, of which markup is a part, more. */
enum { BTH_LANGUAGE_TEXT = 4 << 10, BTH_LANGUAGE_HTML = 16 << 10 };

/* Fills out[BTH_MAX_GUESSES], most likely first, and returns how many there are; 0: no idea (no
 * letters, too little, bytes that are not UTF-8). `html`: markup does not count. ENOMEM. */
int bth_language_detect(const char *text, size_t n, bool html,
                        struct bth_language_guess out[BTH_MAX_GUESSES], struct berth_error *err);

#ifdef __cplusplus
}
#endif
#endif

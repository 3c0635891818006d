#include "whisper/whisper_vocab.h"

#include "base/alloc.h"
#include "base/compiler.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/pystr.h"
#include <string.h>

int whisper_vocab_layout(struct whisper_vocab *v, int32_t size, struct berth_error *err) {
    if (size < 51864 || size > 51866) {
        return bth_error(err, BERTH_EFORMAT,
                         "a vocabulary of %d ids is not Whisper's (51864, 51865 or 51866)", size);
    }
    *v = (struct whisper_vocab){.size = size, .multilingual = size >= 51865};
    v->n_languages = size - 51765 - (v->multilingual ? 1 : 0);
    v->eot = v->multilingual ? 50257 : 50256;
    v->sot = v->eot + 1;
    v->language0 = v->sot + 1;
    v->translate = v->language0 + v->n_languages;
    v->transcribe = v->translate + 1;
    v->startoflm = v->translate + 2;
    v->startofprev = v->translate + 3;
    v->nospeech = v->translate + 4;
    v->notimestamps = v->translate + 5;
    v->timestamp0 = v->translate + 6;
    v->blank = 220;
    return 0;
}

int whisper_vocab_open(struct whisper_vocab *v, const char *dir, int32_t size,
                       struct berth_error *err) {
    struct whisper_vocab vocab;
    int rc = whisper_vocab_layout(&vocab, size, err);
    if (rc < 0) {
        return rc;
    }
    char *path = bth_path_join(dir, "tokenizer.json");
    if (!path) {
        return bth_error_nomem(err);
    }
    rc = bth_bpe_open_json(path, vocab.eot, &vocab.bpe, err);
    bth_free(path);
    if (rc == 0) {
        *v = vocab;
    }
    return rc;
}

void whisper_vocab_close(struct whisper_vocab *v) {
    bth_bpe_close(v->bpe);
    *v = (struct whisper_vocab){0};
}

static void append_special(const struct whisper_vocab *v, int32_t id, struct bth_str *out) {
    static const char *const marks[] = {"translate",   "transcribe", "startoflm",
                                        "startofprev", "nospeech",   "notimestamps"};
    const char *name = NULL;
    if (id == v->eot) {
        name = "endoftext";
    } else if (id == v->sot) {
        name = "startoftranscript";
    } else if (id < v->translate) {
        name = whisper_language_code(id - v->language0);
    } else if (id < v->timestamp0) {
        name = marks[id - v->translate];
    }
    if (name) {
        bth_str_printf(out, "<|%s|>", name);
    }
}

void whisper_vocab_decode(const struct whisper_vocab *v, const int32_t *ids, size_t n,
                          int32_t limit, struct bth_str *out) {
    struct bth_str bytes = {0}; /* characters may be split over tokens: join, then replace */
    for (size_t i = 0; i < n; i++) {
        size_t size;
        if (ids[i] >= limit || ids[i] < 0) {
            continue;
        }
        if (ids[i] >= v->eot) {
            append_special(v, ids[i], &bytes);
            continue;
        }
        const char *token = bth_bpe_token(v->bpe, ids[i], &size);
        if (token) {
            bth_str_append(&bytes, token, size);
        }
    }
    bth_str_append_utf8(out, bth_str_text(&bytes), bytes.size);
    out->failed |= bytes.failed;
    bth_str_finish(&bytes);
}

int whisper_vocab_encode_prompt(const struct whisper_vocab *v, const char *text, int32_t **out_ids,
                                size_t *out_n, struct berth_error *err) {
    size_t length;
    const char *stripped = bth_py_strip(text, strlen(text), &length);
    char *spaced = bth_printf(" %.*s", (int)length, stripped);
    if (!spaced) {
        return bth_error_nomem(err);
    }
    int rc = bth_bpe_encode(v->bpe, spaced, length + 1, out_ids, out_n, err);
    bth_free(spaced);
    if (rc < 0) {
        bth_error_prefix(err, "prompt: ");
    }
    return rc;
}

static void forbid(uint32_t *mask, int32_t id) {
    mask[id / 32] |= 1U << (id % 32);
}

/* Forbids the symbol's token if it is one token, bare or after a blank; `always` its first. */
static int suppress_symbol(const struct whisper_vocab *v, const char *symbol, bool always,
                           uint32_t *mask, struct berth_error *err) {
    for (size_t spaced = 0; spaced < 2; spaced++) {
        char text[16] = " ";
        size_t n = strlen(symbol);
        memcpy(text + spaced, symbol, n + 1);
        int32_t *ids;
        size_t n_ids;
        int rc = bth_bpe_encode(v->bpe, text, n + spaced, &ids, &n_ids, err);
        if (rc < 0) {
            return rc;
        }
        if (n_ids == 1 || (always && n_ids > 0)) {
            forbid(mask, ids[0]);
        }
        bth_free(ids);
    }
    return 0;
}

/* Source of the lists: openai/whisper 20250625, Tokenizer.non_speech_tokens. */
int whisper_vocab_suppress_symbols(const struct whisper_vocab *v, uint32_t *mask,
                                   struct berth_error *err) {
    static const char *const symbols[] = {
        "\"",  "#",  "(",  ")",   "*",   "+",   "/",   ":",  ";",   "<",  "=",   ">",
        "@",   "[",  "\\", "]",   "^",   "_",   "`",   "{",  "|",   "}",  "~",   "「",
        "」",  "『", "』", "<<",  ">>",  "<<<", ">>>", "--", "---", "-(", "-[",  "('",
        "(\"", "((", "))", "(((", ")))", "[[",  "]]",  "{{", "}}",  "♪♪", "♪♪♪",
    };
    static const char *const music[] = {"♩", "♪", "♫", "♬", "♭", "♮", "♯"};
    static const char *const firsts[] = {" -", " '"};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < BTH_COUNT(symbols); i++) {
        rc = suppress_symbol(v, symbols[i], false, mask, err);
    }
    for (size_t i = 0; rc == 0 && i < BTH_COUNT(music); i++) {
        rc = suppress_symbol(v, music[i], true, mask, err);
    }
    for (size_t i = 0; rc == 0 && i < BTH_COUNT(firsts); i++) {
        int32_t *ids;
        size_t n;
        rc = bth_bpe_encode(v->bpe, firsts[i], 2, &ids, &n, err);
        if (rc == 0) {
            if (n > 0) {
                forbid(mask, ids[0]);
            }
            bth_free(ids);
        }
    }
    return rc;
}

/*
 * text/spm_internal.h - between spm_model.c (bytes and checks), spm.cc (the library) and spm.c;
 * fuzz targets parse memory through it.
 */
#ifndef BTH_SPM_INTERNAL_H
#define BTH_SPM_INTERNAL_H

#include "base/arena.h"
#include "text/spm.h"
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { BTH_SPM_MAX_TEXT = 1 << 20, BTH_SPM_HEAD = 8 };

enum bth_spm_kind {
    BTH_SPM_NORMAL = 1,
    BTH_SPM_UNKNOWN = 2,
    BTH_SPM_CONTROL = 3,
    BTH_SPM_USER = 4,
    BTH_SPM_UNUSED = 5,
    BTH_SPM_BYTE = 6
};

struct bth_spm_entry {
    const char *text; /* NUL-terminated, in the arena */
    size_t size;
    float score;
    int kind;
};

/* What a model file says, checked. */
struct bth_spm_model {
    struct bth_arena arena;
    struct bth_spm_entry *pieces; /* [n] */
    size_t n, capacity;
    int32_t unk;
    bool unigram, bytes;  /* bytes: what is unknown becomes pieces of kind BYTE */
    struct bth_str proto; /* written anew, for the library */
};
/* EFORMAT, ENOMEM. On failure and at the end: finish. */
int bth_spm_model_parse(struct bth_spm_model *m, const unsigned char *data, size_t size,
                        struct berth_error *err);
void bth_spm_model_finish(struct bth_spm_model *m);
/* The table of character replacements: a trie that stays inside, without cycles, whose values are
 * short strings. */
int bth_spm_check_charsmap(const unsigned char *data, size_t size, struct berth_error *err);

/* A piece in the order of spellings. */
struct bth_spm_spelling {
    const char *text;
    size_t size;
    int32_t id;
    unsigned char head[BTH_SPM_HEAD]; /* the first bytes of text: a search stays in the array */
};
struct bth_spm {
    struct bth_spm_model model;         /* pieces; its proto is gone after load */
    struct bth_spm_spelling *spellings; /* [model.n] sorted */
    float unknown, most; /* scores of an unknown character, and the best of a piece */
    uint32_t first[257]; /* spellings [first[c], first[c + 1]) begin with byte c */
    uint32_t blank[257]; /* and [blank[c], blank[c + 1]) with a blank and byte c */
    struct bth_spm_library *library;
};

int bth_spm_parse(const unsigned char *data, size_t size, struct bth_spm **out,
                  struct berth_error *err);

/* spm_unigram.c: sets `unknown`, `most`, `first` and `blank`, which an encode of a word must not
 * look for among a hundred thousand pieces. */
void bth_spm_unigram_prepare(struct bth_spm *s);

/* spm_unigram.c: the library's pieces by another search. The library (0.1.97) compares
 * sums in f64 with sums that it has rounded to f32, so that among equals another segmentation wins
 * than in Marian and in today's library, which add and compare in f32. EFORMAT, ENOMEM. */
int bth_spm_unigram(const struct bth_spm *s, struct bth_spm_text *t);

/* spm.cc: the library. `why` [size] gets its words; BERTH_ENOMEM or BERTH_EFORMAT. */
struct bth_spm_library;
int bth_spm_library_load(const char *proto, size_t n, struct bth_spm_library **out, char *why,
                         size_t size);
void bth_spm_library_unload(struct bth_spm_library *l);

/* Called once per piece; nonzero stops and is returned. */
typedef int bth_spm_piece_fn(void *user, int32_t id, const char *piece, size_t piece_size,
                             uint32_t begin, uint32_t end);
int bth_spm_library_encode(const struct bth_spm_library *l, const char *text, size_t n,
                           bth_spm_piece_fn *each, void *user);
/* Called once with the text, then once per piece with the offset of its end. */
struct bth_spm_decoded_ops {
    int (*text)(void *user, const char *text, size_t n);
    int (*end)(void *user, uint32_t end);
};
int bth_spm_library_decode(const struct bth_spm_library *l, const struct bth_spm_piece *pieces,
                           size_t n, const struct bth_spm_decoded_ops *ops, void *user);
int bth_spm_library_decode_ids(const struct bth_spm_library *l, const int32_t *ids, size_t n,
                               const struct bth_spm_decoded_ops *ops, void *user);

#ifdef __cplusplus
}
#endif
#endif

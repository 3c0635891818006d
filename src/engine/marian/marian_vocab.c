#include "marian/marian_vocab.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include "marian/marian_vocab_internal.h"
#include <string.h>

int32_t marian_side_find(const struct marian_side *side, const char *piece, size_t n) {
    return side->pieces ? marian_pieces_find(side->pieces, piece, n)
                        : bth_spm_find(side->spm, piece, n);
}

static int32_t find_text(const struct marian_side *side, const char *text) {
    return *text ? marian_side_find(side, text, strlen(text)) : -1;
}

/* ---- files ----------------------------------------------------------------------------------*/

/* The first of these that is a file in the model's folder. */
static int open_spm(const char *dir, const char *const *names, size_t n, struct bth_spm **out,
                    struct berth_error *err) {
    for (size_t i = 0; i < n; i++) {
        char *path = bth_path_join(dir, names[i]);
        if (!path) {
            return bth_error_nomem(err);
        }
        int rc = bth_is_file(path) ? bth_spm_open(path, out, err) : BERTH_ENOTFOUND;
        bth_free(path);
        if (rc != BERTH_ENOTFOUND) {
            return rc;
        }
    }
    return BERTH_ENOTFOUND;
}

/* Both .spm of a model with token lists. Without a source's: words, but not for Hugging Face. */
static int open_spms(struct marian_vocab *v, const struct marian_files *f,
                     struct berth_error *err) {
    static const char *const source[] = {"source.spm", "sentencepiece.model",
                                         "../sentencepiece.model"};
    static const char *const target[] = {"target.spm"};
    size_t n = f->format == MARIAN_CT2 ? BTH_COUNT(source) : 1;
    int rc = open_spm(f->dir, source, n, &v->spms[0], err);
    if (rc == BERTH_ENOTFOUND && f->format != MARIAN_HF) {
        v->kind = MARIAN_VOCAB_WORDS;
        return 0;
    }
    if (rc == 0) {
        rc = open_spm(f->dir, target, 1, &v->spms[1], err);
        rc = rc == BERTH_ENOTFOUND && f->format == MARIAN_CT2 ? 0 : rc;
    }
    return rc == BERTH_ENOTFOUND
               ? bth_error(err, BERTH_ENOTFOUND, "%s: source.spm or target.spm is missing", f->dir)
               : rc;
}

static int open_lists(struct marian_vocab *v, const struct marian_files *f,
                      struct berth_error *err) {
    const struct marian_config *c = &f->config;
    int rc = marian_pieces_open(&v->lists[0], f->paths[0], c->source_vocab, err);
    if (rc == 0 && f->paths[1] && strcmp(f->paths[0], f->paths[1]) != 0) {
        rc = marian_pieces_open(&v->lists[1], f->paths[1], c->target_vocab, err);
    }
    v->kind = MARIAN_VOCAB_PIECES;
    v->source.pieces = &v->lists[0];
    v->target.pieces = v->lists[1].n ? &v->lists[1] : &v->lists[0];
    if (rc == 0 && v->target.pieces->n > c->target_vocab) {
        rc = bth_error(err, BERTH_EFORMAT, "%s: %d pieces, but the embedding has %lld rows",
                       f->paths[0], v->target.pieces->n, (long long)c->target_vocab);
    }
    return rc < 0 ? rc : open_spms(v, f, err);
}

static int open_ids(struct marian_vocab *v, const struct marian_files *f, struct berth_error *err) {
    const struct marian_config *c = &f->config;
    v->kind = MARIAN_VOCAB_IDS;
    int rc = bth_spm_open(f->paths[0], &v->spms[0], err);
    if (rc == 0 && f->paths[1] && strcmp(f->paths[0], f->paths[1]) != 0) {
        rc = bth_spm_open(f->paths[1], &v->spms[1], err);
    }
    const struct bth_spm *target = v->spms[1] ? v->spms[1] : v->spms[0];
    if (rc == 0 &&
        (bth_spm_size(v->spms[0]) > c->source_vocab || bth_spm_size(target) > c->target_vocab)) {
        rc = bth_error(err, BERTH_EFORMAT,
                       "%s: %d pieces, but the embeddings have %lld and %lld rows", f->paths[0],
                       bth_spm_size(v->spms[0]), (long long)c->source_vocab,
                       (long long)c->target_vocab);
    }
    return rc;
}

static bool is_spm(const char *path) {
    size_t n = strlen(path);
    return n > 4 && strcmp(path + n - 4, ".spm") == 0;
}

/* ---- ids ------------------------------------------------------------------------------------*/

/* A token list may lack the last row, which is unk then. */
static int32_t unk_of(const struct marian_side *side, const char *text) {
    int32_t id = side->pieces ? find_text(side, text) : bth_spm_unk(side->spm);
    return id < 0 && side->pieces && side->pieces->n == side->rows - 1 ? side->rows - 1 : id;
}

static void put_id(int32_t *id, int32_t found) {
    if (*id == MARIAN_ID_OF_VOCAB) {
        *id = found;
    }
}

static int find_ids(struct marian_vocab *v, struct marian_files *f, struct berth_error *err) {
    struct marian_config *c = &f->config;
    const struct marian_tokens *t = &v->tokens;
    v->source.unk = unk_of(&v->source, t->unk);
    v->target.unk = unk_of(&v->target, t->unk);
    v->source.eos = find_text(&v->source, t->eos);
    v->target.eos = find_text(&v->target, t->eos);
    put_id(&c->unk, v->target.unk);
    put_id(&c->eos, v->target.eos);
    put_id(&c->bos, find_text(&v->target, t->bos));
    put_id(&c->start, find_text(&v->target, t->start));
    put_id(&c->source_eos, v->source.eos);
    put_id(&c->source_bos, find_text(&v->source, t->bos));
    if (f->format == MARIAN_HF) {
        c->source_eos = v->source.eos; /* the tokenizer's, whatever config.json says */
    }
    if (v->source.unk < 0 || v->target.unk < 0 || c->eos < 0 ||
        (f->format != MARIAN_CT2 && c->source_eos < 0)) {
        return bth_error(err, BERTH_EFORMAT, "%s: no %s or no %s in the vocabulary", f->paths[0],
                         *t->unk ? t->unk : "<unk>", *t->eos ? t->eos : "</s>");
    }
    if (c->start < 0 && f->format != MARIAN_HF) {
        c->start_from_zero = true;
    }
    v->source_eos = c->source_eos;
    v->source_bos = c->source_bos;
    const char *const texts[MARIAN_N_SPECIALS] = {t->unk, t->eos, t->pad, t->bos};
    for (size_t i = 0; i < BTH_COUNT(texts); i++) {
        int32_t source = find_text(&v->source, texts[i]), target = find_text(&v->target, texts[i]);
        if (*texts[i] && (source >= 0 || target >= 0)) {
            v->specials[i] = (struct marian_special){texts[i], source, target};
        }
    }
    return 0;
}

/* ">>xx<<" and nothing between that ends it sooner */
static bool is_language(const char *text) {
    size_t n = strlen(text);
    return n > 4 && memcmp(text, ">>", 2) == 0 && strstr(text, "<<") == text + n - 2;
}

static int find_languages(struct marian_vocab *v, struct berth_error *err) {
    const struct marian_pieces *p = v->source.pieces;
    size_t n = 0;
    for (int32_t i = 0; p && i < p->n_sorted; i++) {
        n += is_language(p->texts[p->sorted[i]]);
    }
    v->languages = n ? bth_arena_alloc(&v->arena, n * sizeof(*v->languages)) : NULL;
    if (n && !v->languages) {
        return bth_error_nomem(err);
    }
    for (int32_t i = 0; n && i < p->n_sorted; i++) {
        const char *text = p->texts[p->sorted[i]];
        if (!is_language(text)) {
            continue;
        }
        char *code = bth_arena_strndup(&v->arena, text + 2, strlen(text) - 4);
        if (!code) {
            return bth_error_nomem(err);
        }
        v->languages[v->n_languages++] = code;
    }
    return 0;
}

static int open_all(struct marian_vocab *v, struct marian_files *f, struct berth_error *err) {
    if (!f->paths[0]) {
        return bth_error(err, BERTH_ENOTFOUND, "%s holds no vocabulary", f->dir);
    }
    v->source.rows = (int32_t)f->config.source_vocab;
    v->target.rows = (int32_t)f->config.target_vocab;
    v->tokens = f->tokens;
    bool ids = is_spm(f->paths[0]);
    if (ids != is_spm(f->paths[1] ? f->paths[1] : f->paths[0])) {
        return bth_error(err, BERTH_EFORMAT, "%s: two vocabularies of different kinds", f->dir);
    }
    int rc = ids ? open_ids(v, f, err) : open_lists(v, f, err);
    if (rc == 0) {
        v->source.spm = v->spms[0];
        v->target.spm = v->spms[1] ? v->spms[1] : v->spms[0];
        rc = find_ids(v, f, err);
    }
    return rc < 0 ? rc : find_languages(v, err);
}

int marian_vocab_open(struct marian_files *f, struct marian_vocab **out, struct berth_error *err) {
    struct marian_vocab *v = bth_calloc(1, sizeof(*v));
    int rc = v ? open_all(v, f, err) : bth_error_nomem(err);
    if (rc < 0) {
        marian_vocab_close(v);
        return rc;
    }
    *out = v;
    return 0;
}

void marian_vocab_close(struct marian_vocab *v) {
    if (!v) {
        return;
    }
    for (size_t i = 0; i < BTH_COUNT(v->spms); i++) {
        bth_spm_close(v->spms[i]);
        marian_pieces_finish(&v->lists[i]);
    }
    bth_arena_finish(&v->arena);
    bth_free(v);
}

int32_t marian_vocab_source_size(const struct marian_vocab *v) {
    return v->source.rows;
}

int32_t marian_vocab_target_size(const struct marian_vocab *v) {
    return v->target.rows;
}

size_t marian_vocab_n_languages(const struct marian_vocab *v) {
    return v->n_languages;
}

const char *marian_vocab_language(const struct marian_vocab *v, size_t i) {
    return i < v->n_languages ? v->languages[i] : NULL;
}

int32_t marian_vocab_language_id(const struct marian_vocab *v, const char *language) {
    char token[MARIAN_TOKEN_BYTES];
    size_t n = strlen(language);
    if (n == 0 || n + 4 >= sizeof(token)) {
        return -1;
    }
    memcpy(token, ">>", 2);
    memcpy(token + 2, language, n);
    memcpy(token + 2 + n, "<<", 3);
    return v->source.pieces ? marian_side_find(&v->source, token, n + 4) : -1;
}

static const char *piece_at(const struct marian_vocab *v, const struct marian_side *side,
                            int32_t id) {
    const char *text =
        side->pieces ? marian_pieces_at(side->pieces, id) : bth_spm_piece(side->spm, id);
    return !text && id == side->unk ? v->tokens.unk : text;
}

const char *marian_vocab_source_piece(const struct marian_vocab *v, int32_t id) {
    return piece_at(v, &v->source, id);
}

const char *marian_vocab_target_piece(const struct marian_vocab *v, int32_t id) {
    return piece_at(v, &v->target, id);
}

int32_t marian_vocab_target_id(const struct marian_vocab *v, const char *piece) {
    return find_text(&v->target, piece);
}

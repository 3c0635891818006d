#include "spacy/spacy_vocab.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include "spacy/spacy_cache.h"
#include "spacy/spacy_pattern.h"
#include <string.h>

/* About 200 bytes each. */
enum { CACHED_LEXEMES = 40000 };

struct cached_lexeme {
    struct spacy_cache_entry entry;
    struct spacy_lexeme lex; /* with its texts behind it */
};

struct spacy_vocab {
    char *lang;
    struct spacy_strings *strings;
    bool have_strings; /* vocab/strings.json is in */
    struct spacy_lookups *lookups;
    struct spacy_vectors *vectors;
    struct spacy_words *words;
    struct spacy_pattern *url;
    struct spacy_lexeme_rules rules;
    struct spacy_cache *cache;
    struct bth_arena arena; /* lexemes that are kept */
};

static int load_lookups(struct spacy_vocab *v, struct spacy_package *p, struct berth_error *err) {
    struct spacy_file f = {0};
    int rc = spacy_package_read(p, "vocab/lookups.bin", &f, err);
    if (rc == BERTH_ENOTFOUND) {
        return 0;
    }
    if (rc == 0 && (rc = spacy_lookups_open(&f, &v->lookups, err)) < 0) {
        bth_error_prefix(err, "vocab/lookups.bin: ");
    }
    return rc;
}

static int load(struct spacy_vocab *v, struct spacy_package *p, const char *lang,
                struct berth_error *err) {
    v->lang = bth_strdup(lang);
    v->strings = spacy_strings_create(NULL);
    v->cache = spacy_cache_create(CACHED_LEXEMES);
    if (!v->lang || !v->strings || !v->cache) {
        return bth_error_nomem(err);
    }
    int rc = p ? load_lookups(v, p, err) : 0;
    rc = rc < 0 || !p ? rc : spacy_vectors_load(p, &v->vectors, err);
    rc = rc < 0 ? rc : spacy_words_open(lang, &v->words, err);
    v->rules = (struct spacy_lexeme_rules){
        .words = v->words,
        .norms = spacy_lookups_table(v->lookups, "lexeme_norm"),
        .vectors = v->vectors,
    };
    return rc;
}

int spacy_vocab_load(struct spacy_package *p, const char *lang, struct spacy_vocab **out,
                     struct berth_error *err) {
    struct spacy_vocab *v = bth_calloc(1, sizeof(*v));
    int rc = v ? load(v, p, lang, err) : bth_error_nomem(err);
    if (rc < 0) {
        spacy_vocab_destroy(v);
        return rc;
    }
    *out = v;
    return 0;
}

void spacy_vocab_destroy(struct spacy_vocab *v) {
    if (!v) {
        return;
    }
    spacy_cache_destroy(v->cache);
    bth_arena_finish(&v->arena);
    spacy_pattern_free(v->url);
    spacy_words_close(v->words);
    spacy_vectors_destroy(v->vectors);
    spacy_lookups_close(v->lookups);
    spacy_strings_destroy(v->strings);
    bth_free(v->lang);
    bth_free(v);
}

int spacy_vocab_load_strings(struct spacy_vocab *v, struct spacy_package *p,
                             struct berth_error *err) {
    json_t *list = NULL, *text;
    if (v->have_strings) {
        return 0;
    }
    int rc = spacy_package_read_json(p, "vocab/strings.json", &list, err);
    if (rc == 0 && !json_is_array(list)) {
        rc = bth_error(err, BERTH_EFORMAT, "vocab/strings.json: no list");
    }
    size_t i;
    json_array_foreach(list, i, text) {
        uint64_t id;
        if (rc == 0 && json_is_string(text) &&
            spacy_strings_add(v->strings, json_string_value(text), json_string_length(text), &id) <
                0) {
            rc = bth_error_nomem(err);
        }
    }
    json_decref(list);
    v->have_strings = rc == 0;
    return rc;
}

struct spacy_strings *spacy_vocab_strings(const struct spacy_vocab *v) {
    return v->strings;
}

const struct spacy_vectors *spacy_vocab_vectors(const struct spacy_vocab *v) {
    return v->vectors;
}

const char *spacy_vocab_lang(const struct spacy_vocab *v) {
    return v->lang;
}

void spacy_vocab_take_url(struct spacy_vocab *v, struct spacy_pattern *url) {
    spacy_pattern_free(v->url);
    v->url = url;
    v->rules.url = url;
}

/* A lexeme as a cache entry of its own block; NULL: no memory, or somebody else's won. */
static const struct spacy_lexeme *share(const struct spacy_vocab *v, const struct spacy_lexeme *lex,
                                        uint64_t hash) {
    struct cached_lexeme *made =
        bth_alloc(offsetof(struct cached_lexeme, lex) + spacy_lexeme_size(lex));
    if (!made) {
        return NULL;
    }
    spacy_lexeme_copy(&made->lex, lex);
    made->entry =
        (struct spacy_cache_entry){.text = made->lex.text, .bytes = lex->bytes, .hash = hash};
    const struct spacy_cache_entry *there = spacy_cache_add(v->cache, &made->entry);
    return there ? &((const struct cached_lexeme *)(const void *)there)->lex : NULL;
}

const struct spacy_lexeme *spacy_vocab_lexeme(const struct spacy_vocab *v, struct bth_arena *arena,
                                              const char *text, size_t n, bool *out_shared) {
    const uint64_t hash = spacy_string_hash(text, n);
    const struct spacy_cache_entry *there = spacy_cache_find(v->cache, text, n, hash);
    const struct spacy_lexeme *lex, *shared = NULL;
    if (there) {
        lex = shared = &((const struct cached_lexeme *)(const void *)there)->lex;
    } else {
        lex = spacy_lexeme_make(&v->rules, arena, text, n);
        if (lex && spacy_cache_wants(v->cache, n, hash)) {
            shared = share(v, lex, hash);
            lex = shared ? shared : lex;
        }
    }
    if (out_shared) {
        *out_shared = shared != NULL;
    }
    return lex;
}

const struct spacy_lexeme *spacy_vocab_keep(struct spacy_vocab *v, const char *text, size_t n) {
    const uint64_t hash = spacy_string_hash(text, n);
    const struct spacy_cache_entry *there = spacy_cache_find(v->cache, text, n, hash);
    if (there) {
        return &((const struct cached_lexeme *)(const void *)there)->lex;
    }
    const struct spacy_lexeme *lex = spacy_lexeme_make(&v->rules, &v->arena, text, n);
    const struct spacy_lexeme *shared =
        lex && n <= SPACY_CACHE_MAX_TEXT ? share(v, lex, hash) : NULL;
    return shared ? shared : lex;
}

size_t spacy_vocab_cached(const struct spacy_vocab *v) {
    return spacy_cache_count(v->cache);
}

/*
 * DESIGN: a language is a row of a table: which labels make a word the head of a chunk, and a
 * function that says where the chunk of such a word begins and ends. Most differ in labels only.
 * What looks at chains of tokens (conjuncts, appositions) is computed once for all tokens, so that
 * no tree takes more than linear time.
 */
#include "spacy/spacy_noun_chunks.h"
#include "base/alloc.h"
#include "base/error.h"
#include "spacy/spacy_tree.h"
#include <string.h>

#define MAX_LABELS 12

enum pos {
    ADP = 85,
    AUX = 87,
    CCONJ = 89,
    DET = 90,
    NOUN = 92,
    PRON = 95,
    PROPN = 96,
    PUNCT = 97,
    VERB = 100,
};

struct labels {
    uint64_t ids[MAX_LABELS];
    size_t n;
};

struct walk {
    const struct spacy_doc *doc;
    struct spacy_edges edges;
    struct labels heads, modifiers, more;
    uint64_t conj;
    uint32_t *top; /* [n] the first of a chain of conjuncts, the token itself elsewhere */
    uint32_t *at;  /* [n] what a language keeps per token */
    uint32_t *bad; /* [n + 1] how many tokens before may not lie within a chunk (Danish, Latin) */
    int64_t last;  /* token that the next chunk must begin behind */
    struct spacy_span *spans;
    size_t n;
};

struct language {
    const char *code;
    void (*chunk)(struct walk *w, uint32_t i);
    void (*prepare)(struct walk *w);      /* or NULL */
    const char *heads, *modifiers, *more; /* labels, separated by spaces */
    bool backwards;
};

static const struct spacy_token *token(const struct walk *w, size_t i) {
    return &w->doc->tokens[i];
}

static bool is_in(const struct labels *l, uint64_t id) {
    for (size_t i = 0; i < l->n; i++) {
        if (l->ids[i] == id) {
            return true;
        }
    }
    return false;
}

static bool is_nominal(const struct spacy_token *t) {
    return t->pos == NOUN || t->pos == PROPN || t->pos == PRON;
}

/* A conjunct of a phrase is one too. */
static bool is_conjunct(const struct walk *w, uint32_t i) {
    return token(w, i)->dep == w->conj &&
           is_in(&w->heads, token(w, w->top[(size_t)token(w, i)->head])->dep);
}

static uint32_t first_right(const struct walk *w, uint32_t i, uint32_t *out_end) {
    uint32_t k = w->edges.first[i];
    *out_end = w->edges.first[i + 1];
    while (k < *out_end && w->edges.children[k] < i) {
        k++;
    }
    return k;
}

/* Adds tokens [begin, end), of which there must be some; the next begins behind `last`. */
static void add(struct walk *w, uint32_t begin, uint32_t end, int64_t last) {
    w->last = last;
    if (begin < end) {
        w->spans[w->n++] = (struct spacy_span){begin, end, spacy_string_id("NP", 2), 0, 0};
    }
}

/* ---- languages ------------------------------------------------------------------------------*/

static void chunk_to_word(struct walk *w, uint32_t i) {
    if (is_nominal(token(w, i)) && w->edges.left[i] > w->last &&
        (is_in(&w->heads, token(w, i)->dep) || is_conjunct(w, i))) {
        add(w, w->edges.left[i], i + 1, i);
    }
}

static void chunk_to_edge(struct walk *w, uint32_t i) {
    if (is_nominal(token(w, i)) && w->edges.left[i] > w->last &&
        (is_in(&w->heads, token(w, i)->dep) || is_conjunct(w, i))) {
        add(w, w->edges.left[i], w->edges.right[i] + 1, w->edges.right[i]);
    }
}

static void chunk_german(struct walk *w, uint32_t i) {
    if ((int64_t)i <= w->last || w->edges.left[i] <= w->last || !is_nominal(token(w, i)) ||
        !is_in(&w->heads, token(w, i)->dep)) {
        return;
    }
    uint32_t end = i + 1, stop;
    for (uint32_t k = first_right(w, i, &stop); k < stop; k++) {
        const struct spacy_token *t = token(w, w->edges.children[k]);
        if ((t->pos == NOUN || t->pos == PROPN) && is_in(&w->modifiers, t->dep)) {
            end = w->edges.children[k] + 1;
        }
    }
    add(w, w->edges.left[i], end, (int64_t)end - 1);
}

/* Spanish, French, Italian, Portuguese: to the right as far as the first right child says. */
static uint32_t romance_right(const struct walk *w, uint32_t i) {
    uint32_t end, k = first_right(w, i, &end);
    if (k == end) {
        return i;
    }
    uint32_t child = w->edges.children[k];
    const struct spacy_token *t = token(w, child);
    if (t->dep == spacy_string_id("amod", 4)) {
        return w->edges.right[child];
    }
    if (is_in(&w->more, t->dep) && t->pos == DET) {
        return child;
    }
    return is_in(&w->modifiers, t->dep) ? w->edges.right[i] : i;
}

static void chunk_romance(struct walk *w, uint32_t i) {
    uint32_t left = w->edges.left[i];
    if (!is_nominal(token(w, i)) || left <= w->last) {
        return;
    }
    if (is_in(&w->heads, token(w, i)->dep)) {
        uint32_t right = romance_right(w, i);
        add(w, left + (token(w, left)->pos == ADP), right + 1, right);
    } else if (is_conjunct(w, i)) {
        add(w, left + (token(w, left)->pos == CCONJ), i + 1, i);
    }
}

static void chunk_dutch(struct walk *w, uint32_t i) {
    const struct spacy_token *t = token(w, i);
    uint32_t begin = i, end = i + 1;
    if (t->pos == PRON && !is_in(&w->heads, t->dep)) {
        return;
    }
    if (t->pos == NOUN) {
        for (uint32_t k = w->edges.first[i]; k < w->edges.first[i + 1]; k++) {
            uint32_t child = w->edges.children[k];
            if (is_in(&w->more, token(w, child)->dep)) {
                return; /* a noun with a subject is a verb */
            }
            if (is_in(&w->modifiers, token(w, child)->dep)) {
                begin = BTH_MIN(begin, child);
                end = BTH_MAX(end, child + 1);
            }
        }
    }
    if ((t->pos == NOUN || t->pos == PRON) && begin > w->last) {
        add(w, begin, end, (int64_t)end - 1);
    }
}

/* Subordinated clauses and appositions stay out: the last verb or apposition within decides. */
static void chunk_catalan(struct walk *w, uint32_t i) {
    uint32_t left = w->edges.left[i], right = w->edges.right[i], end = right + 1;
    if ((token(w, i)->pos != NOUN && token(w, i)->pos != PROPN) || left <= w->last ||
        !is_in(&w->heads, token(w, i)->dep)) {
        return;
    }
    uint32_t begin = left + (token(w, left)->pos == ADP || token(w, left)->pos == PUNCT);
    int64_t last = right;
    if (right > i + 1 && w->at[right - 1] > i + 1) {
        uint32_t cut = w->at[right - 1] - 1; /* `at` counts from 1 */
        end = w->edges.left[cut] + (token(w, cut)->pos != VERB);
        last = (int64_t)w->edges.left[cut] - 1;
    }
    if (token(w, right)->pos == PUNCT && end > 0) {
        end--;
    }
    add(w, begin, end, last);
}

static void prepare_catalan(struct walk *w) {
    for (size_t i = 0; i < w->doc->n; i++) {
        bool cut = token(w, i)->pos == VERB || is_in(&w->more, token(w, i)->dep);
        w->at[i] = cut ? (uint32_t)i + 1 : i > 0 ? w->at[i - 1] : 0;
    }
}

/* Danish and Latin: over those children that belong to a phrase, to the right until a verb or
 * punctuation lies between. */
static void chunk_danish(struct walk *w, uint32_t i) {
    if (!is_nominal(token(w, i))) {
        return;
    }
    uint32_t left = i;
    for (uint32_t k = w->edges.first[i]; k < w->edges.first[i + 1]; k++) {
        uint32_t child = w->edges.children[k];
        if (child < i && is_in(&w->heads, token(w, child)->dep)) {
            left = child;
            break;
        }
    }
    if (left > w->last) {
        add(w, left, w->at[i] + 1, w->at[i]);
    }
}

static void prepare_danish(struct walk *w) {
    for (size_t i = 0; i < w->doc->n; i++) {
        const struct spacy_token *t = token(w, i);
        w->bad[i + 1] = w->bad[i] + (t->pos == VERB || t->pos == AUX || is_in(&w->more, t->dep));
    }
    for (uint32_t i = (uint32_t)w->doc->n; i-- > 0;) {
        uint32_t end;
        w->at[i] = i;
        for (uint32_t k = first_right(w, i, &end); k < end; k++) {
            uint32_t child = w->edges.children[k];
            if (!is_in(&w->modifiers, token(w, child)->dep)) {
                continue;
            }
            if (w->bad[w->at[child]] > w->bad[i]) {
                break;
            }
            w->at[i] = w->at[child];
        }
    }
}

static void chunk_greek(struct walk *w, uint32_t i) {
    if (!is_nominal(token(w, i)) || w->edges.left[i] <= w->last) {
        return;
    }
    uint32_t right = i, end;
    if (is_in(&w->heads, token(w, i)->dep)) {
        for (uint32_t k = first_right(w, i, &end); token(w, i)->pos == NOUN && k < end; k++) {
            if (is_in(&w->modifiers, token(w, w->edges.children[k])->dep)) {
                right = w->edges.children[k];
                break;
            }
        }
    } else if (!is_conjunct(w, i)) {
        return;
    }
    add(w, w->edges.left[i], right + 1, right);
}

static bool is_finnish_head(const struct walk *w, size_t i) {
    const struct spacy_token *t = token(w, i);
    return (t->pos == NOUN || t->pos == PROPN) &&
           (is_in(&w->heads, t->dep) || token(w, (size_t)t->head)->pos == PRON);
}

static void chunk_finnish(struct walk *w, uint32_t i) {
    /* the last word of a chunk may be looked at again, and is refused for where it begins */
    if ((int64_t)i < w->last ||
        !(is_finnish_head(w, i) ||
          (token(w, i)->dep == w->conj && is_finnish_head(w, (size_t)token(w, i)->head)))) {
        return;
    }
    uint32_t begin = i, right = i, end;
    for (uint32_t k = w->edges.first[i]; k < w->edges.first[i + 1]; k++) {
        uint32_t child = w->edges.children[k];
        if (child < i && is_in(&w->modifiers, token(w, child)->dep)) {
            begin = w->edges.left[child];
            break;
        }
    }
    if (begin <= w->last) {
        return;
    }
    for (uint32_t k = first_right(w, i, &end); k < end; k++) {
        if (is_in(&w->modifiers, token(w, w->edges.children[k])->dep)) {
            right = w->edges.children[k];
        }
    }
    add(w, begin, right + 1, right);
}

/* Runs backwards: `last` is the token that the next word must lie before. */
static void chunk_turkish(struct walk *w, uint32_t i) {
    const struct spacy_token *t = token(w, i);
    if (!is_nominal(t) || (int64_t)i >= w->last) {
        return;
    }
    uint32_t left = w->edges.left[i], begin = left, end = i + 1, stop;
    if (!is_in(&w->heads, t->dep)) {
        if (t->dep != w->conj) {
            return;
        }
        begin = w->edges.right[left] + 1; /* without the conjunction */
    }
    for (uint32_t k = first_right(w, i, &stop); k < stop; k++) {
        const struct spacy_token *child = token(w, w->edges.children[k]);
        if (!is_in(&w->modifiers, child->dep) || (child->pos != NOUN && child->pos != PROPN)) {
            break;
        }
        end = w->edges.children[k] + 1;
    }
    add(w, begin, end, left);
}

/* ---- the table ------------------------------------------------------------------------------*/

#define UD_HEADS  "nsubj nsubj:pass obj iobj ROOT appos nmod nmod:poss"
#define ROMANCE   "nsubj nsubj:pass obj obl nmod pcomp appos ROOT"
#define DANISH    "fixed nmod:poss amod flat goeswith nummod appos"
#define FLAT_NAME "flat flat:name fixed compound"

static const struct language languages[] = {
    {"ca", chunk_catalan, prepare_catalan, UD_HEADS " obl", "", "appos", false},
    {"da", chunk_danish, prepare_danish, "det " DANISH, DANISH, "punct", false},
    {"de", chunk_german, NULL, "sb oa da nk mo ag ROOT root cj pd og app", "nk", "", false},
    {"el", chunk_greek, NULL, "nsubj obj iobj appos ROOT obl", "nmod", "", false},
    {"en", chunk_to_word, NULL, "oprd nsubj dobj nsubjpass pcomp pobj dative appos attr ROOT", "",
     "", false},
    {"es", chunk_romance, NULL, ROMANCE, "flat fixed compound", "", false},
    {"fa", chunk_to_word, NULL, "nsubj dobj nsubjpass pcomp pobj dative appos attr ROOT", "", "",
     false},
    {"fi", chunk_finnish, NULL, "appos nsubj nsubj:cop obj obl ROOT",
     "amod compound compound:nn flat:name nmod nmod:gobj nmod:gsubj nmod:poss nummod", "", false},
    {"fr", chunk_romance, NULL, ROMANCE " obl:agent obl:arg obl:mod", FLAT_NAME " flat:foreign",
     "det", false},
    {"id", chunk_to_edge, NULL, UD_HEADS, "", "", false},
    {"it", chunk_romance, NULL, ROMANCE " obl:agent", FLAT_NAME, "det det:poss", false},
    {"la", chunk_danish, prepare_danish, "det " DANISH, DANISH " nmod det", "punct", false},
    {"ms", chunk_to_edge, NULL, UD_HEADS, "", "", false},
    {"nb", chunk_to_edge, NULL, UD_HEADS, "", "", false},
    {"nl", chunk_dutch, NULL, "nsubj nsubj:pass", "amod nmod:poss det det:poss", "nsubj", false},
    {"pt", chunk_romance, NULL, ROMANCE " obl:agent", FLAT_NAME, "det", false},
    {"sv", chunk_to_edge, NULL, UD_HEADS " dobj", "", "", false},
    {"tr", chunk_turkish, NULL, "nsubj iobj obj obl appos orphan dislocated ROOT", "flat", "",
     true},
};

static const struct language *find_language(const char *code) {
    for (size_t i = 0; i < BTH_COUNT(languages); i++) {
        if (strcmp(languages[i].code, code) == 0) {
            return &languages[i];
        }
    }
    return NULL;
}

bool spacy_noun_chunks_known(const char *lang) {
    return find_language(lang) != NULL;
}

static void set_labels(struct labels *l, const char *names) {
    for (const char *p = names; *p; p += *p == ' ') {
        size_t n = strcspn(p, " ");
        l->ids[l->n++] = spacy_string_id(p, n);
        p += n;
    }
}

static void find_tops(struct walk *w) {
    for (size_t i = 0; i < w->doc->n; i++) {
        size_t head = (size_t)token(w, i)->head;
        w->top[i] = token(w, i)->dep == w->conj && head < i ? w->top[head] : (uint32_t)i;
    }
}

static int prepare(struct walk *w, struct spacy_doc *doc, const struct language *language,
                   struct berth_error *err) {
    int rc = spacy_edges_find(doc, &w->edges, err);
    if (rc < 0) {
        return rc;
    }
    size_t n = doc->n, nominals = 0, bytes, span_bytes;
    for (size_t i = 0; i < n; i++) {
        nominals += doc->tokens[i].pos != 0;
    }
    if (!bth_mul(3 * n + 1, sizeof(uint32_t), &bytes) ||
        !bth_mul(nominals, sizeof(*w->spans), &span_bytes)) {
        return bth_error_nomem(err);
    }
    w->top = bth_arena_alloc(&doc->arena, bytes);
    w->spans = bth_arena_alloc(&doc->arena, BTH_MAX(span_bytes, 1));
    if (!w->top || !w->spans) {
        return bth_error_nomem(err);
    }
    w->at = w->top + n;
    w->bad = w->at + n;
    w->doc = doc;
    w->conj = spacy_string_id("conj", 4);
    w->last = language->backwards ? (int64_t)n + 1 : -1;
    set_labels(&w->heads, language->heads);
    set_labels(&w->modifiers, language->modifiers);
    set_labels(&w->more, language->more);
    find_tops(w);
    if (language->prepare) {
        language->prepare(w);
    }
    return 0;
}

int spacy_noun_chunks(struct spacy_doc *doc, const char *lang, struct spacy_span **out,
                      size_t *out_n, struct berth_error *err) {
    const struct language *language = find_language(lang);
    if (!language) {
        return bth_error(err, BERTH_EUNSUPPORTED, "no noun chunks in language \"%s\"", lang);
    }
    if (!doc->parsed && doc->n > 0) {
        return bth_error(err, BERTH_ESTATE, "noun chunks need a parser");
    }
    struct walk w = {0};
    int rc = prepare(&w, doc, language, err);
    if (rc < 0) {
        return rc;
    }
    for (uint32_t i = 0; i < doc->n; i++) {
        language->chunk(&w, language->backwards ? (uint32_t)doc->n - 1 - i : i);
    }
    *out = w.spans;
    *out_n = w.n;
    return 0;
}

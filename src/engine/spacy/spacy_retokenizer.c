#include "spacy/spacy_retokenizer.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base/pystr.h"
#include "spacy/spacy_entity_ruler.h"
#include "spacy/spacy_noun_chunks.h"
#include "spacy/spacy_tree.h"
#include <string.h>

enum kind { ENTITIES, CHUNKS, SUBTOKENS, SPLITTER, CLEANER, N_KINDS };
static const char *const factories[N_KINDS] = {"merge_entities", "merge_noun_chunks",
                                               "merge_subtokens", "token_splitter", "doc_cleaner"};

struct spacy_retokenizer {
    enum kind kind;
    const struct spacy_vocab *vocab;
    int64_t min_length, split_length; /* of the splitter, in code points; 0: never */
    bool no_tensor;                   /* of the cleaner */
};

/* ---- loading --------------------------------------------------------------------------------*/

bool spacy_retokenizer_is(const char *factory) {
    for (size_t i = 0; i < N_KINDS; i++) {
        if (strcmp(factories[i], factory) == 0) {
            return true;
        }
    }
    return false;
}

static int read_lengths(struct spacy_retokenizer *r, const json_t *settings,
                        struct berth_error *err) {
    const json_t *least = json_object_get(settings, "min_length");
    const json_t *split = json_object_get(settings, "split_length");
    if ((least && !json_is_integer(least)) || (split && !json_is_integer(split))) {
        return bth_error(err, BERTH_EFORMAT, "min_length or split_length is no number");
    }
    r->min_length = BTH_MAX(json_integer_value(least), 0);
    r->split_length = BTH_MAX(json_integer_value(split), 0);
    return 0;
}

/* cfg in its folder comes before the settings. */
static int load_splitter(struct spacy_retokenizer *r, const struct spacy_rule_source *source,
                         struct berth_error *err) {
    json_t *file = NULL;
    char *name = bth_printf("%s/cfg", source->name);
    int rc = name ? 0 : bth_error_nomem(err);
    if (rc == 0 && source->package && spacy_package_has(source->package, name)) {
        rc = spacy_package_read_json(source->package, name, &file, err);
    }
    if (rc == 0) {
        rc = read_lengths(r, file ? file : source->config, err);
    }
    json_decref(file);
    bth_free(name);
    return rc;
}

static int load_cleaner(struct spacy_retokenizer *r, const json_t *config,
                        struct berth_error *err) {
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(config, "attrs"), name, value) {
        if (strcmp(name, "tensor") == 0 && json_is_null(value)) {
            r->no_tensor = true;
        } else if (strcmp(name, "_.trf_data") != 0) { /* there is none without a transformer */
            return bth_error(err, BERTH_EUNSUPPORTED, "doc_cleaner of \"%.60s\"", name);
        }
    }
    return 0;
}

static int load(struct spacy_retokenizer *r, const struct spacy_rule_source *source,
                struct berth_error *err) {
    const char *factory = json_string_value(json_object_get(source->config, "factory"));
    while (r->kind < N_KINDS && (!factory || strcmp(factories[r->kind], factory) != 0)) {
        r->kind++;
    }
    r->vocab = source->vocab;
    switch (r->kind) {
    case SPLITTER:
        return load_splitter(r, source, err);
    case CLEANER:
        return load_cleaner(r, source->config, err);
    case N_KINDS:
        return bth_error(err, BERTH_EUNSUPPORTED, "component \"%.60s\"", factory ? factory : "");
    default:
        break;
    }
    if (r->kind == CHUNKS && !spacy_noun_chunks_known(spacy_vocab_lang(r->vocab))) {
        return bth_error(err, BERTH_EUNSUPPORTED, "no noun chunks in language \"%.10s\"",
                         spacy_vocab_lang(r->vocab));
    }
    return spacy_vocab_vectors(r->vocab)
               ? bth_error(err, BERTH_EUNSUPPORTED, "%s with word vectors", factory)
               : 0;
}

int spacy_retokenizer_load(const struct spacy_rule_source *source, struct spacy_retokenizer **out,
                           struct berth_error *err) {
    struct spacy_retokenizer *r = bth_calloc(1, sizeof(*r));
    if (!r) {
        return bth_error_nomem(err);
    }
    int rc = load(r, source, err);
    if (rc < 0) {
        spacy_retokenizer_destroy(r);
        return rc;
    }
    *out = r;
    return 0;
}

void spacy_retokenizer_destroy(struct spacy_retokenizer *r) {
    bth_free(r);
}

/* ---- after a change -------------------------------------------------------------------------*/

/* Sentences begin where the subtrees of roots do, as after parsing. */
static int find_sentences(struct spacy_doc *doc, struct berth_error *err) {
    struct spacy_edges edges;
    int rc = spacy_edges_find(doc, &edges, err);
    for (size_t i = 0; rc == 0 && i < doc->n; i++) {
        doc->tokens[i].sent_start = -1;
    }
    for (size_t i = 0; rc == 0 && i < doc->n; i++) {
        if ((size_t)doc->tokens[i].head == i && doc->tokens[i].dep != 0) {
            doc->tokens[edges.left[i]].sent_start = 1;
        }
    }
    return rc;
}

static bool has_labels(const struct spacy_doc *doc) {
    for (size_t i = 0; i < doc->n; i++) {
        if (doc->tokens[i].dep != 0) {
            return true;
        }
    }
    return false;
}

/* ---- merging --------------------------------------------------------------------------------*/

/* How far each token is from the root of its sentence; `out` is [n] zeroes. Each step up is taken
 * once: what lies above a token that is known is not walked again. */
static void count_depths(const struct spacy_doc *doc, uint32_t *out) {
    for (size_t i = 0; i < doc->n; i++) {
        size_t top = i, steps = 0;
        while ((size_t)doc->tokens[top].head != top && out[top] == 0 && steps <= doc->n) {
            top = (size_t)doc->tokens[top].head;
            steps++;
        }
        size_t depth = steps + out[top];
        for (size_t k = i; k != top && out[k] == 0; k = (size_t)doc->tokens[k].head) {
            out[k] = (uint32_t)depth--;
        }
    }
}

/* Spaces and punctuation without children are roots of a span only if nothing else is: they count
 * as far away. */
static void push_away_marks(const struct spacy_doc *doc, const uint32_t *children,
                            uint32_t *depths) {
    const uint32_t marks = 1u << SPACY_IS_SPACE | 1u << SPACY_IS_PUNCT;
    for (size_t i = 0; i < doc->n; i++) {
        if (children[i] == 0 && (doc->tokens[i].lex->flags & marks)) {
            depths[i] = (uint32_t)doc->n - 1;
        }
    }
}

static uint32_t *find_depths(struct spacy_doc *doc) {
    uint32_t *depths = bth_arena_alloc(&doc->arena, doc->n * sizeof(*depths));
    uint32_t *children = bth_arena_alloc(&doc->arena, doc->n * sizeof(*children));
    if (!depths || !children) {
        return NULL;
    }
    for (size_t i = 0; i < doc->n; i++) {
        children[doc->tokens[i].head] += (size_t)doc->tokens[i].head != i;
    }
    count_depths(doc, depths);
    push_away_marks(doc, children, depths);
    return depths;
}

/* The token nearest to the root of its sentence, the first of several. */
static uint32_t root_of(const struct spacy_doc *doc, const uint32_t *depths,
                        const struct spacy_span *s) {
    uint32_t root = s->begin;
    bool found = false;
    for (uint32_t i = s->begin; i < s->end; i++) {
        uint32_t head = (uint32_t)doc->tokens[i].head;
        if (head == i) {
            return i;
        }
        if ((head < s->begin || head >= s->end) && (!found || depths[i] < depths[root])) {
            root = i;
            found = true;
        }
    }
    return root;
}

/* All lemmas with the spaces between them. */
static int join_lemmas(struct spacy_doc *doc, const struct spacy_span *s, uint64_t *out) {
    struct bth_str text = {0};
    for (uint32_t i = s->begin; i < s->end; i++) {
        const char *lemma = spacy_strings_get(doc->strings, doc->tokens[i].lemma);
        bth_str_puts(&text, lemma ? lemma : "");
        bth_str_puts(&text, doc->tokens[i].space ? " " : "");
    }
    size_t n;
    const char *stripped = bth_py_strip(bth_str_text(&text), text.size, &n);
    int rc = text.failed ? BERTH_ENOMEM : spacy_strings_add(doc->strings, stripped, n, out);
    bth_str_finish(&text);
    return rc;
}

/* What the merged token is of entities: part of one if its root is. */
static uint8_t merged_iob(const struct spacy_doc *doc, uint32_t begin,
                          const struct spacy_token *root) {
    const struct spacy_token *first = &doc->tokens[begin];
    if (root->ent_iob != SPACY_IOB_I && root->ent_iob != SPACY_IOB_B) {
        return root->ent_iob;
    }
    bool goes_on = first->ent_iob == SPACY_IOB_I && begin > 0 &&
                   first->ent_type == root->ent_type && first[-1].ent_type == root->ent_type;
    return goes_on ? SPACY_IOB_I : SPACY_IOB_B;
}

/* The first token of the span becomes the merged one, the others are dropped later. */
static int merge_span(const struct spacy_retokenizer *r, struct spacy_doc *doc,
                      const struct spacy_span *s, uint32_t root_at, struct berth_error *err) {
    struct spacy_token *first = &doc->tokens[s->begin];
    const struct spacy_token *last = &doc->tokens[s->end - 1];
    const struct spacy_token root = doc->tokens[root_at];
    uint8_t iob = merged_iob(doc, s->begin, &root);
    const struct spacy_lexeme *lex = spacy_vocab_lexeme(
        r->vocab, &doc->arena, doc->text + first->begin, last->end - first->begin, NULL);
    uint64_t lemma;
    if (!lex || join_lemmas(doc, s, &lemma) < 0) {
        return bth_error_nomem(err);
    }
    first->tag = root.tag;
    first->pos = root.pos;
    first->morph = root.morph;
    first->dep = root.dep;
    first->head = root.head;
    first->ent_iob = iob;
    first->ent_type = r->kind == ENTITIES ? s->label : root.ent_type;
    first->lemma = lemma;
    first->lex = lex;
    first->norm = lex->norm;
    first->space = last->space;
    first->end = last->end;
    return 0;
}

/* Moves what stays together and points heads to it. `place` is [n]: where each token went. */
static void compress(struct spacy_doc *doc, const struct spacy_span *spans, size_t n,
                     uint32_t *place) {
    size_t to = 0, width = doc->tensor_width;
    for (size_t i = 0, k = 0; i < doc->n; k += k < n && i >= spans[k].end) {
        size_t end = k < n && i == spans[k].begin ? spans[k].end : i + 1;
        for (size_t j = i; j < end; j++) {
            place[j] = (uint32_t)to;
        }
        doc->tokens[to] = doc->tokens[i];
        if (doc->tensor) {
            memmove(doc->tensor + to * width, doc->tensor + (end - 1) * width,
                    width * sizeof(*doc->tensor));
        }
        to++;
        i = end;
    }
    doc->n = to;
    for (size_t i = 0; i < to; i++) {
        doc->tokens[i].head = (int32_t)place[doc->tokens[i].head];
    }
}

/* Spans in order, none of which overlap. */
static int merge(const struct spacy_retokenizer *r, struct spacy_doc *doc,
                 const struct spacy_span *spans, size_t n, struct berth_error *err) {
    uint32_t *place = bth_arena_alloc(&doc->arena, doc->n * sizeof(*place));
    uint32_t *depths = find_depths(doc);
    if (!place || !depths) {
        return bth_error_nomem(err);
    }
    uint32_t *roots = place; /* all before the first change; places are made afterwards */
    for (size_t i = 0; i < n; i++) {
        roots[i] = root_of(doc, depths, &spans[i]);
    }
    for (size_t i = 0; i < n; i++) {
        int rc = merge_span(r, doc, &spans[i], roots[i], err);
        if (rc < 0) {
            return rc;
        }
    }
    compress(doc, spans, n, place);
    for (size_t i = 0; i < doc->n; i++) {
        struct spacy_token *t = &doc->tokens[i];
        if (t->ent_iob == SPACY_IOB_I && (i == 0 || t[-1].ent_type != t->ent_type)) {
            t->ent_iob = SPACY_IOB_B;
        }
    }
    return has_labels(doc) ? find_sentences(doc, err) : 0;
}

/* ---- what is merged -------------------------------------------------------------------------*/

/* Runs of tokens labelled so, each with the token behind it. */
static size_t list_subtokens(const struct spacy_doc *doc, struct spacy_span *out) {
    const uint64_t label = spacy_string_id("subtok", 6);
    size_t n = 0;
    for (uint32_t i = 0; i < doc->n; i++) {
        uint32_t begin = i;
        while (i < doc->n && doc->tokens[i].dep == label) {
            i++;
        }
        if (i > begin) {
            out[n++] = (struct spacy_span){.begin = begin, .end = (uint32_t)BTH_MIN(i + 1, doc->n)};
        }
    }
    return n;
}

/* Turkish gives its chunks from the end. Of two that overlap the first is taken. */
static size_t in_order(struct spacy_span *spans, size_t n) {
    if (n > 1 && spans[0].begin > spans[n - 1].begin) {
        for (size_t i = 0; i < n / 2; i++) {
            struct spacy_span s = spans[i];
            spans[i] = spans[n - 1 - i];
            spans[n - 1 - i] = s;
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || spans[i].begin >= spans[kept - 1].end) {
            spans[kept++] = spans[i];
        }
    }
    return kept;
}

static int run_merge(const struct spacy_retokenizer *r, struct spacy_doc *doc,
                     struct berth_error *err) {
    struct spacy_span *spans;
    size_t n = 0;
    if (r->kind == CHUNKS) {
        if (!doc->parsed) {
            return 0;
        }
        int rc = spacy_noun_chunks(doc, spacy_vocab_lang(r->vocab), &spans, &n, err);
        if (rc < 0) {
            return rc;
        }
        n = in_order(spans, n);
    } else {
        spans = bth_arena_alloc(&doc->arena, doc->n * sizeof(*spans));
        if (!spans) {
            return bth_error_nomem(err);
        }
        n = r->kind == ENTITIES ? spacy_entities(doc, spans) : list_subtokens(doc, spans);
    }
    return n > 0 ? merge(r, doc, spans, n, err) : 0;
}

/* ---- splitting ------------------------------------------------------------------------------*/

/* 0: the token stays; 1: a token that is split into itself, which loses what a split one loses. */
static size_t pieces_of(const struct spacy_retokenizer *r, const struct spacy_token *t) {
    size_t n = t->lex->length, length = (size_t)r->split_length;
    return n >= (size_t)r->min_length ? (n + length - 1) / length : 0;
}

/* Piece k of `whole`: bytes from begin on, of a token that has what stood in its place. */
static int make_piece(const struct spacy_retokenizer *r, struct spacy_doc *doc,
                      const struct spacy_token *whole, size_t k, uint32_t begin,
                      struct spacy_token *out) {
    size_t bytes = 0, length = (size_t)r->split_length;
    const char *text = doc->text + begin;
    for (size_t i = 0; i < length && begin + bytes < whole->end; i++) {
        uint32_t c;
        bytes += bth_utf8_decode(text + bytes, whole->end - begin - bytes, &c);
    }
    out->lex = spacy_vocab_lexeme(r->vocab, &doc->arena, text, bytes, NULL);
    if (!out->lex ||
        (out->lemma != 0 && spacy_strings_add(doc->strings, text, bytes, &out->lemma) < 0)) {
        return BERTH_ENOMEM;
    }
    out->norm = out->lex->norm;
    out->begin = begin;
    out->end = begin + (uint32_t)bytes;
    out->idx = whole->idx + (uint32_t)(k * length);
    out->space = out->end == whole->end && whole->space;
    out->ent_iob = whole->ent_iob == SPACY_IOB_B && k > 0 ? SPACY_IOB_I : whole->ent_iob;
    return 0;
}

/* Writes the tokens anew; `place` is [n]: the first piece of each. */
static int split_tokens(const struct spacy_retokenizer *r, struct spacy_doc *doc,
                        const uint32_t *place, struct spacy_token *tokens, float *tensor) {
    size_t width = doc->tensor_width;
    for (size_t i = 0; i < doc->n; i++) {
        const struct spacy_token *whole = &doc->tokens[i];
        size_t pieces = pieces_of(r, whole);
        uint32_t begin = whole->begin;
        for (size_t k = 0; k < pieces; k++) {
            struct spacy_token *t = &tokens[place[i] + k];
            if (i + k < doc->n) {
                *t = whole[k];
            }
            t->head = (int32_t)(place[i] + k);
            if (make_piece(r, doc, whole, k, begin, t) < 0) {
                return BERTH_ENOMEM;
            }
            begin = t->end;
        }
        if (pieces == 0) {
            tokens[place[i]] = *whole;
            tokens[place[i]].head = (int32_t)place[whole->head];
        }
        if (tensor && pieces == 0) {
            memcpy(tensor + place[i] * width, doc->tensor + i * width, width * sizeof(*tensor));
        }
    }
    return 0;
}

static int run_split(const struct spacy_retokenizer *r, struct spacy_doc *doc,
                     struct berth_error *err) {
    size_t n = 0, bytes, tensor_bytes = 0;
    uint32_t *place = bth_arena_alloc(&doc->arena, doc->n * sizeof(*place));
    for (size_t i = 0; place && i < doc->n; i++) {
        place[i] = (uint32_t)n;
        n += BTH_MAX(pieces_of(r, &doc->tokens[i]), 1);
    }
    if (!place || !bth_mul(n, sizeof(*doc->tokens), &bytes) ||
        !bth_mul(n, doc->tensor_width * sizeof(float), &tensor_bytes)) {
        return bth_error_nomem(err);
    }
    struct spacy_token *tokens = bth_arena_alloc(&doc->arena, bytes);
    float *tensor = doc->tensor ? bth_arena_alloc(&doc->arena, tensor_bytes) : NULL;
    if (!tokens || (doc->tensor && !tensor) || split_tokens(r, doc, place, tokens, tensor) < 0) {
        return bth_error_nomem(err);
    }
    doc->tokens = tokens;
    doc->tensor = tensor;
    doc->n = n;
    return has_labels(doc) ? find_sentences(doc, err) : 0;
}

int spacy_retokenizer_run(const struct spacy_retokenizer *r, struct spacy_doc *doc,
                          struct berth_error *err) {
    if (doc->n == 0) {
        return 0;
    }
    switch (r->kind) {
    case CLEANER:
        if (r->no_tensor) {
            doc->tensor = NULL;
            doc->tensor_width = 0;
        }
        return 0;
    case SPLITTER:
        return r->min_length > 0 && r->split_length > 0 ? run_split(r, doc, err) : 0;
    default:
        return run_merge(r, doc, err);
    }
}

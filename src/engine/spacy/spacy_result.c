/* A document as the item that callers get: all of it copied, equal strings once as far as a small
 * table remembers them. */
#include "spacy/spacy_session.h"

#include "base/error.h"
#include "base/item.h"
#include "base/str.h"
#include "spacy/spacy_morph.h"
#include "spacy/spacy_noun_chunks.h"
#include <string.h>

enum { REMEMBERED = 512 };

struct writer {
    const struct spacy_doc *doc;
    struct bth_arena *arena;
    bool failed; /* out of memory */
    struct {
        uint64_t id;
        const char *text;
    } strings[REMEMBERED];
    struct {
        const struct spacy_lexeme *lex;
        const struct berth_token *token; /* that has its texts */
    } words[REMEMBERED];
};

static const char *copy(struct writer *w, const char *text, size_t n) {
    const char *made = n ? bth_arena_strndup(w->arena, text, n) : "";
    w->failed |= !made;
    return made;
}

/* The text of an id, or `text` under that id. */
static const char *string(struct writer *w, uint64_t id, const char *text) {
    const size_t at = (id ^ id >> 32) % REMEMBERED;
    if (id == 0) {
        return "";
    }
    if (w->strings[at].id != id) {
        text = text ? text : spacy_strings_get(w->doc->strings, id);
        text = text ? text : "";
        w->strings[at].text = copy(w, text, strlen(text));
        w->strings[at].id = id;
    }
    return w->strings[at].text;
}

static const char *attribute(struct writer *w, const struct spacy_lexeme *lex, int number) {
    size_t n = 0;
    const char *text = spacy_lexeme_text(lex, number, &n);
    return copy(w, text ? text : "", n);
}

static void put_word(struct writer *w, const struct spacy_lexeme *lex, struct berth_token *out) {
    const size_t at = ((uintptr_t)lex >> 4) % REMEMBERED;
    if (w->words[at].lex == lex) {
        const struct berth_token *same = w->words[at].token;
        out->text = same->text;
        out->lower = same->lower;
        out->shape = same->shape;
        out->prefix = same->prefix;
        out->suffix = same->suffix;
        return;
    }
    out->text = copy(w, lex->text, lex->bytes);
    out->lower = lex->lower == lex->orth ? out->text : attribute(w, lex, 66);
    out->shape = string(w, lex->shape, lex->shape_text);
    out->prefix = attribute(w, lex, 69);
    out->suffix = lex->suffix == lex->orth ? out->text : attribute(w, lex, 70);
    w->words[at].lex = lex;
    w->words[at].token = out;
}

static void put_token(struct writer *w, const struct spacy_token *t, struct berth_token *out) {
    const struct spacy_lexeme *lex = t->lex;
    put_word(w, lex, out);
    out->begin = t->begin;
    out->end = t->end;
    out->idx = t->idx;
    out->idx_end = t->idx + lex->length;
    out->space = t->space;
    out->flags = lex->flags;
    out->norm = t->norm == lex->orth ? out->text : string(w, t->norm, spacy_token_norm(w->doc, t));
    out->tag = string(w, t->tag, NULL);
    out->pos = spacy_pos_name(t->pos);
    out->morph = t->morph == SPACY_NO_MORPH ? "" : string(w, t->morph, NULL);
    out->lemma = t->lemma == lex->orth ? out->text : string(w, t->lemma, NULL);
    out->dep = string(w, t->dep, NULL);
    out->head = t->head;
    out->sent_start = t->sent_start;
    out->ent_iob = t->ent_iob;
    out->ent_type = string(w, t->ent_type, NULL);
    out->ent_id = string(w, t->ent_id, NULL);
    out->ent_kb_id = string(w, t->ent_kb_id, NULL);
}

/* ---- spans -----------------------------------------------------------------------------------*/

static struct berth_span *new_spans(struct writer *w, size_t n) {
    struct berth_span *spans = bth_arena_alloc(w->arena, (n + 1) * sizeof(*spans));
    w->failed |= !spans;
    return spans;
}

/* An entity begins where iob says so; one without a type is a mark that none may be there. */
static void put_entities(struct writer *w, struct berth_doc *out) {
    const struct spacy_doc *doc = w->doc;
    size_t n = 0;
    for (size_t i = 0; i < doc->n; i++) {
        n += doc->tokens[i].ent_iob == SPACY_IOB_B && doc->tokens[i].ent_type;
    }
    struct berth_span *spans = new_spans(w, n);
    out->ents = spans;
    for (size_t i = 0; spans && i < doc->n; i++) {
        const struct spacy_token *t = &doc->tokens[i];
        if (t->ent_iob != SPACY_IOB_B || !t->ent_type) {
            continue;
        }
        size_t end = i + 1;
        while (end < doc->n && doc->tokens[end].ent_iob == SPACY_IOB_I) {
            end++;
        }
        spans[out->n_ents++] = (struct berth_span){.begin = (uint32_t)i,
                                                   .end = (uint32_t)end,
                                                   .label = string(w, t->ent_type, NULL),
                                                   .id = string(w, t->ent_id, NULL),
                                                   .kb_id = string(w, t->ent_kb_id, NULL)};
    }
}

/* Whether anything says where sentences begin; the first token always does. */
static bool has_sentences(const struct spacy_doc *doc) {
    for (size_t i = 1; i < doc->n; i++) {
        if (doc->tokens[i].sent_start != 0) {
            return true;
        }
    }
    return doc->n == 1;
}

static void put_sentences(struct writer *w, struct berth_doc *out) {
    const struct spacy_doc *doc = w->doc;
    if (!has_sentences(doc)) {
        return;
    }
    size_t n = 1, begin = 0;
    for (size_t i = 1; i < doc->n; i++) {
        n += doc->tokens[i].sent_start == 1;
    }
    struct berth_span *spans = new_spans(w, n);
    out->sents = spans;
    for (size_t i = 1; spans && i <= doc->n; i++) {
        if (i == doc->n || doc->tokens[i].sent_start == 1) {
            spans[out->n_sents++] = (struct berth_span){
                .begin = (uint32_t)begin, .end = (uint32_t)i, .label = "", .id = "", .kb_id = ""};
            begin = i;
        }
    }
}

static int put_chunks(struct writer *w, struct spacy_session *s, struct berth_doc *out) {
    const char *lang = spacy_vocab_lang(spacy_session_model(s)->vocab);
    struct spacy_span *chunks = NULL;
    size_t n = 0;
    if (!s->doc.parsed || !spacy_noun_chunks_known(lang)) {
        return 0;
    }
    int rc = spacy_noun_chunks(&s->doc, lang, &chunks, &n, &s->err);
    if (rc < 0) {
        return rc;
    }
    struct berth_span *spans = new_spans(w, n);
    for (size_t i = 0; spans && i < n; i++) {
        spans[i] = (struct berth_span){.begin = chunks[i].begin,
                                       .end = chunks[i].end,
                                       .label = string(w, chunks[i].label, "NP"),
                                       .id = "",
                                       .kb_id = ""};
    }
    out->noun_chunks = spans;
    out->n_noun_chunks = spans ? n : 0;
    return 0;
}

/* ---- the whole -------------------------------------------------------------------------------*/

static void put_components(struct writer *w, const struct spacy_session *s, struct berth_doc *out) {
    const struct spacy_model *m = spacy_session_model(s);
    struct bth_str names = {0};
    for (int i = 0; s->doc.n > 0 && i < m->n_pipes; i++) {
        if (s->wanted >> i & 1) {
            bth_str_puts(&names, names.size ? "," : "");
            bth_str_puts(&names, m->pipes[i].name);
        }
    }
    out->components = copy(w, bth_str_text(&names), names.size);
    w->failed |= names.failed;
    bth_str_finish(&names);
}

static void put_numbers(struct writer *w, const struct spacy_session *s, struct berth_doc *out) {
    const struct spacy_doc *doc = &s->doc;
    const struct spacy_vectors *vectors = spacy_vocab_vectors(spacy_session_model(s)->vocab);
    if (s->options.tensor && doc->tensor) {
        out->tensor =
            bth_arena_memdup(w->arena, doc->tensor, doc->n * doc->tensor_width * sizeof(float));
        out->tensor_width = doc->tensor_width;
        w->failed |= !out->tensor;
    }
    if (s->options.vectors && vectors) {
        const size_t width = spacy_vectors_width(vectors);
        float *rows = bth_arena_alloc(w->arena, (doc->n * width + 1) * sizeof(*rows));
        for (size_t i = 0; rows && i < doc->n; i++) {
            const struct spacy_lexeme *lex = doc->tokens[i].lex;
            w->failed |=
                spacy_vectors_word(vectors, lex->orth, lex->text, lex->bytes, rows + i * width) < 0;
        }
        out->vectors = rows;
        out->vector_width = width;
        w->failed |= !rows;
    }
}

static int fill(struct spacy_session *s, struct berth_item *item) {
    const struct spacy_doc *doc = &s->doc;
    struct writer w = {.doc = doc, .arena = bth_item_arena(item)};
    struct berth_doc *out = bth_arena_alloc(w.arena, sizeof(*out));
    struct berth_token *tokens = bth_arena_alloc(w.arena, (doc->n + 1) * sizeof(*tokens));
    if (!out || !tokens) {
        return bth_error_nomem(&s->err);
    }
    for (size_t i = 0; i < doc->n && !w.failed; i++) {
        put_token(&w, &doc->tokens[i], &tokens[i]);
    }
    const char *lang = spacy_vocab_lang(spacy_session_model(s)->vocab);
    *out = (struct berth_doc){.text = copy(&w, doc->text, doc->bytes),
                              .language = copy(&w, lang, strlen(lang)),
                              .tokens = tokens,
                              .n_tokens = doc->n};
    put_entities(&w, out);
    put_sentences(&w, out);
    put_components(&w, s, out);
    put_numbers(&w, s, out);
    int rc = put_chunks(&w, s, out);
    if (rc == 0 && w.failed) {
        rc = bth_error_nomem(&s->err);
    }
    item->doc = out;
    return rc;
}

int spacy_emit(struct spacy_session *s) {
    struct berth_item *item = bth_item_create(BERTH_ITEM_FINAL);
    if (!item) {
        return bth_error_nomem(&s->err);
    }
    item->done = item->total = (double)s->doc.n;
    int rc = fill(s, item);
    if (rc == 0) {
        rc = s->base.sink->emit(s->base.sink, item);
        rc = rc < 0 ? bth_error(&s->err, rc, "the result could not be handed over") : 0;
    }
    if (rc < 0) {
        berth_item_free(item);
    }
    return rc;
}

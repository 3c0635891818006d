#include "spacy/spacy_ner.h"

#include "base/alloc.h"
#include <string.h>

/* WHOLE without a label marks a token that is to be in no entity: a kind of its own here. */
enum { BEGIN = 1, INSIDE, LAST, WHOLE, OUTSIDE, BLOCKED };

/* What was chosen for a token. */
struct choice {
    uint64_t label;
    uint8_t kind;
};

struct spacy_ner {
    const struct spacy_moves *moves;
    const struct spacy_doc *doc;
    int features;
    uint32_t n, next;
    int64_t open;           /* token that begins the open entity; -1: none */
    struct choice *choices; /* [n] */
};

bool spacy_ner_features(int features) {
    return features == 3 || features == 6;
}

size_t spacy_ner_bytes(size_t n) {
    return n * sizeof(struct choice);
}

struct spacy_ner *spacy_ner_create(const struct spacy_moves *moves, int features,
                                   const struct spacy_doc *doc) {
    struct spacy_ner *s = bth_calloc(1, sizeof(*s));
    struct choice *choices = bth_calloc(doc->n, sizeof(*choices));
    if (!s || !choices) {
        bth_free(s);
        bth_free(choices);
        return NULL;
    }
    *s = (struct spacy_ner){.moves = moves,
                            .doc = doc,
                            .features = features,
                            .n = (uint32_t)doc->n,
                            .open = -1,
                            .choices = choices};
    return s;
}

void spacy_ner_destroy(struct spacy_ner *s) {
    if (s) {
        bth_free(s->choices);
        bth_free(s);
    }
}

/* ---- the machine -----------------------------------------------------------------------------*/

static void context(const void *state, int32_t *out) {
    const struct spacy_ner *s = state;
    out[0] = (int32_t)s->next;
    if (s->features == 3) {
        out[1] = (int32_t)s->open;
        out[2] = s->open < 0 ? -1 : (int32_t)s->next - 1;
        return;
    }
    for (int i = 1; i < 6; i++) { /* the first five of the open entity */
        const int64_t token = s->open + i - 1;
        out[i] = s->open >= 0 && token < s->next ? (int32_t)token : -1;
    }
}

static bool is_space(const struct spacy_token *t) {
    return t->lex->flags >> SPACY_IS_SPACE & 1;
}

/* Entities that are to be as the document has them: `t` brings one of its own. */
static void valid_preset(const struct spacy_token *t, const struct spacy_token *next,
                         struct spacy_valid v[SPACY_MAX_MOVES]) {
    const uint8_t after = next ? next->ent_iob : SPACY_IOB_MISSING;
    if (t->ent_type == 0) {
        v[BLOCKED].which = SPACY_ALL;
    } else if (next && after == SPACY_IOB_I) {
        v[BEGIN] = (struct spacy_valid){SPACY_ONLY, t->ent_type};
    } else if (after != SPACY_IOB_I) {
        v[WHOLE] = (struct spacy_valid){SPACY_ONLY, t->ent_type};
    }
}

/* No entity is open. */
static void valid_outside(const struct spacy_token *t, const struct spacy_token *next,
                          struct spacy_valid v[SPACY_MAX_MOVES]) {
    const uint8_t after = next ? next->ent_iob : SPACY_IOB_MISSING;
    if (t->ent_iob == SPACY_IOB_B) {
        valid_preset(t, next, v);
        return;
    }
    if (next && t->ent_iob != SPACY_IOB_I && after != SPACY_IOB_B && next->sent_start != 1 &&
        !is_space(t)) {
        v[BEGIN].which = SPACY_BUT; /* a label */
    }
    if (after != SPACY_IOB_I && !is_space(t)) {
        v[WHOLE].which = SPACY_ALL;
    }
    if (t->ent_iob != SPACY_IOB_I) {
        v[OUTSIDE].which = SPACY_ALL;
    }
}

/* An entity of `label` is open. */
static void valid_inside(const struct spacy_token *t, const struct spacy_token *next,
                         uint64_t label, struct spacy_valid v[SPACY_MAX_MOVES]) {
    const uint8_t after = next ? next->ent_iob : SPACY_IOB_MISSING;
    const bool preset = t->ent_iob == SPACY_IOB_I;
    const bool goes_on =
        preset ? after == SPACY_IOB_I && label == t->ent_type : next && next->sent_start != 1;
    if (next && t->ent_iob != SPACY_IOB_B && after != SPACY_IOB_B && goes_on) {
        v[INSIDE] = (struct spacy_valid){SPACY_ONLY, label};
    }
    if (preset && after != SPACY_IOB_I) {
        v[LAST] = (struct spacy_valid){SPACY_ONLY, t->ent_type};
    } else if (after != SPACY_IOB_I) {
        v[LAST] = (struct spacy_valid){SPACY_ONLY, label};
    }
    if (t->ent_iob == SPACY_IOB_B && t->ent_type == 0) {
        v[BLOCKED].which = SPACY_ALL;
    }
}

/* A move to a label that the network does not know, where the document's own entities leave no
 * other: what an entity ruler has found. */
static struct choice forced(const struct spacy_valid v[SPACY_MAX_MOVES]) {
    for (uint8_t kind = BEGIN; kind <= WHOLE; kind++) {
        if (v[kind].which == SPACY_ONLY && v[kind].label) {
            return (struct choice){v[kind].label, kind};
        }
    }
    return (struct choice){0, 0};
}

static void take(struct spacy_ner *s, struct choice c) {
    s->choices[s->next] = c;
    if (c.kind == BEGIN) {
        s->open = s->next;
    } else if (c.kind != INSIDE) {
        s->open = -1;
    }
    s->next++;
}

static void advance(void *state, const float *scores) {
    struct spacy_ner *s = state;
    const struct spacy_token *t = &s->doc->tokens[s->next];
    const struct spacy_token *next = s->next + 1 < s->n ? t + 1 : NULL;
    struct spacy_valid valid[SPACY_MAX_MOVES];
    memset(valid, 0, sizeof(valid));
    if (s->open < 0) {
        valid_outside(t, next, valid);
    } else {
        valid_inside(t, next, s->choices[s->open].label, valid);
    }
    const int64_t best = spacy_moves_best(s->moves, valid, scores);
    if (best >= 0) {
        take(s, (struct choice){s->moves->labels[best], s->moves->kinds[best]});
        return;
    }
    const struct choice c = forced(valid);
    if (c.kind) {
        take(s, c);
    } else {
        s->next = s->n; /* nothing is valid: the rest stays as it is */
    }
}

static bool ended(const void *state) {
    const struct spacy_ner *s = state;
    return s->next >= s->n;
}

static uint32_t ahead(const void *state) {
    return ((const struct spacy_ner *)state)->next;
}

const struct spacy_machine spacy_ner_machine = {context, advance, ended, ahead};

/* ---- the document ----------------------------------------------------------------------------*/

static void set_entity(struct spacy_doc *doc, uint32_t begin, uint32_t end, uint64_t label) {
    const uint64_t kb_id = doc->tokens[begin].ent_kb_id;
    for (uint32_t i = begin; i < end; i++) {
        struct spacy_token *t = &doc->tokens[i];
        t->ent_iob = i == begin ? SPACY_IOB_B : SPACY_IOB_I;
        t->ent_type = label;
        t->ent_kb_id = kb_id;
    }
}

/* What does not follow its predecessor begins an entity of its own. */
static void repair(struct spacy_doc *doc) {
    for (size_t i = 0; i + 1 < doc->n; i++) {
        const struct spacy_token *t = &doc->tokens[i];
        struct spacy_token *next = &doc->tokens[i + 1];
        const bool inside = t->ent_iob == SPACY_IOB_B || t->ent_iob == SPACY_IOB_I;
        if (next->ent_iob == SPACY_IOB_I && (!inside || t->ent_type != next->ent_type)) {
            next->ent_iob = SPACY_IOB_B;
        }
    }
}

void spacy_ner_finish(struct spacy_ner *s, struct spacy_doc *doc) {
    int64_t begin = -1;
    for (uint32_t i = 0; i < s->n; i++) {
        const struct choice *c = &s->choices[i];
        if (c->kind == BEGIN) {
            begin = i;
        } else if (c->kind == WHOLE || c->kind == BLOCKED) {
            set_entity(doc, i, i + 1, c->label);
        } else if (c->kind == LAST && begin >= 0) {
            set_entity(doc, (uint32_t)begin, i + 1, s->choices[begin].label);
            begin = -1;
        }
    }
    repair(doc);
    for (size_t i = 0; i < doc->n; i++) {
        if (doc->tokens[i].ent_iob == SPACY_IOB_MISSING) {
            doc->tokens[i].ent_iob = SPACY_IOB_O;
        }
    }
}

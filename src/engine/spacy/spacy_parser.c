/*
 * The buffer is the tokens from `next` on, before them those that were put back (`back`, last
 * first). Children of a token, left and right ones apart, are lists from the latest attached one
 * backwards; a token has one head, so one link per token is enough.
 */
#include "spacy/spacy_parser.h"

#include "base/alloc.h"
#include "base/error.h"
#include "spacy/spacy_tree.h"
#include <string.h>

enum { SHIFT, REDUCE, LEFT, RIGHT, BREAK };

struct spacy_parse {
    const struct spacy_moves *moves;
    int features;
    uint32_t n, next;
    uint32_t n_stack, n_back;
    uint64_t steps; /* so far, against a model that would walk in circles */
    uint64_t subtok;
    int32_t *stack, *back, *head, *link, *left, *right; /* [n] each; -1: none */
    int32_t *move;                                      /* [n] class that made the token's arc */
    int8_t *start;                                      /* [n] as sent_start, with breaks */
    uint8_t *fixed;                                     /* [n] not to be shifted any more */
};

bool spacy_parser_features(int features) {
    return features == 8 || features == 13 || features == 1 || features == 2;
}

enum { INTS = 7 };

size_t spacy_parse_bytes(size_t n) {
    return n * (INTS * sizeof(int32_t) + 2);
}

struct spacy_parse *spacy_parse_create(const struct spacy_moves *moves, int features,
                                       const struct spacy_doc *doc) {
    struct spacy_parse *s = bth_calloc(1, sizeof(*s));
    int32_t *ints = bth_calloc(doc->n, INTS * sizeof(*ints));
    s = s && ints ? s : (bth_free(s), NULL);
    if (!s || !(s->start = bth_calloc(doc->n, 2))) {
        bth_free(ints);
        bth_free(s);
        return NULL;
    }
    const size_t n = doc->n;
    memset(ints, -1, n * INTS * sizeof(*ints));
    s->stack = ints;
    s->back = ints + n;
    s->head = ints + 2 * n;
    s->link = ints + 3 * n;
    s->left = ints + 4 * n;
    s->right = ints + 5 * n;
    s->move = ints + 6 * n;
    s->fixed = (uint8_t *)s->start + n;
    s->moves = moves;
    s->features = features;
    s->n = (uint32_t)n;
    s->subtok = spacy_string_hash("subtok", 6);
    for (size_t i = 0; i < n; i++) {
        s->start[i] = doc->tokens[i].sent_start;
    }
    return s;
}

void spacy_parse_destroy(struct spacy_parse *s) {
    if (s) {
        bth_free(s->stack);
        bth_free(s->start);
        bth_free(s);
    }
}

/* ---- the state -------------------------------------------------------------------------------*/

static int32_t on_stack(const struct spacy_parse *s, uint32_t i) {
    return i < s->n_stack ? s->stack[s->n_stack - 1 - i] : -1;
}

static int32_t in_buffer(const struct spacy_parse *s, uint32_t i) {
    if (i < s->n_back) {
        return s->back[s->n_back - 1 - i];
    }
    i -= s->n_back;
    return i < s->n - s->next ? (int32_t)(s->next + i) : -1;
}

static uint32_t buffered(const struct spacy_parse *s) {
    return s->n - s->next + s->n_back;
}

/* The k-th latest child in the list from `child` on. */
static int32_t child(const struct spacy_parse *s, const int32_t *latest, int32_t token, int k) {
    int32_t c = token < 0 ? -1 : latest[token];
    while (c >= 0 && --k > 0) {
        c = s->link[c];
    }
    return c;
}

static bool starts_sentence(const struct spacy_parse *s, int32_t token) {
    return token >= 0 && s->start[token] == 1;
}

static void drop_arc(struct spacy_parse *s, int32_t token) {
    const int32_t head = s->head[token];
    int32_t *at = head > token ? &s->left[head] : &s->right[head];
    while (*at != token) {
        at = &s->link[*at];
    }
    *at = s->link[token];
}

static void add_arc(struct spacy_parse *s, int32_t head, int32_t token, int64_t move) {
    if (s->head[token] >= 0) {
        drop_arc(s, token);
    }
    int32_t *latest = head > token ? &s->left[head] : &s->right[head];
    s->link[token] = *latest;
    *latest = token;
    s->head[token] = head;
    s->move[token] = (int32_t)move;
}

/* ---- the machine -----------------------------------------------------------------------------*/

static void context(const void *state, int32_t *out) {
    const struct spacy_parse *s = state;
    const int32_t b0 = in_buffer(s, 0), s0 = on_stack(s, 0), s1 = on_stack(s, 1);
    if (s->features <= 2) {
        out[s->features - 1] = s0;
        out[0] = b0;
        return;
    }
    out[0] = b0;
    out[1] = in_buffer(s, 1);
    out[2] = s0;
    out[3] = s1;
    out[4] = on_stack(s, 2);
    if (s->features == 8) {
        out[5] = child(s, s->left, b0, 1);
        out[6] = child(s, s->left, s0, 1);
        out[7] = child(s, s->right, s0, 1);
        return;
    }
    out[5] = child(s, s->left, s0, 1);
    out[6] = child(s, s->right, s0, 1);
    out[7] = child(s, s->left, b0, 1);
    out[8] = child(s, s->right, s0, 2);
    out[9] = child(s, s->left, s1, 1);
    out[10] = child(s, s->left, s1, 2);
    out[11] = child(s, s->right, s1, 1);
    out[12] = child(s, s->right, s1, 2);
}

static void set_valid(const struct spacy_parse *s, struct spacy_valid valid[SPACY_MAX_MOVES]) {
    const int32_t b0 = in_buffer(s, 0), b1 = in_buffer(s, 1), s0 = on_stack(s, 0);
    const uint32_t left = buffered(s);
    const bool starts = starts_sentence(s, b0);
    memset(valid, 0, SPACY_MAX_MOVES * sizeof(*valid));
    if (s->n_stack == 0 || (left >= 2 && !starts && !s->fixed[b0])) {
        valid[SHIFT].which = left ? SPACY_ALL : SPACY_NONE;
    }
    if (s->n_stack > 0 && (left == 0 || s->n_stack > 1 || s->start[b0] != -1)) {
        valid[REDUCE].which = SPACY_ALL;
    }
    if (s->n_stack > 0 && left > 0 && !starts) {
        valid[LEFT].which = s0 == b0 - 1 ? SPACY_ALL : SPACY_BUT;
        valid[LEFT].label = s->subtok;
        valid[RIGHT] = valid[LEFT];
    }
    if (left >= 2 && b1 == b0 + 1 && s->start[b1] == 0) {
        valid[BREAK].which = SPACY_ALL;
    }
}

static void push(struct spacy_parse *s) {
    s->stack[s->n_stack++] = in_buffer(s, 0);
    if (s->n_back > 0) {
        s->n_back--;
    } else {
        s->next++;
    }
}

/* The token goes back to the buffer and may not come again by a shift. */
static void put_back(struct spacy_parse *s) {
    const int32_t token = s->stack[--s->n_stack];
    s->fixed[token] = 1;
    s->back[s->n_back++] = token;
}

static void force_end(struct spacy_parse *s) {
    s->n_stack = s->n_back = 0;
    s->next = s->n;
}

static void move(struct spacy_parse *s, int64_t class) {
    const int32_t b0 = in_buffer(s, 0), s0 = on_stack(s, 0);
    switch (s->moves->kinds[class]) {
    case SHIFT:
        push(s);
        break;
    case REDUCE:
        if (s->head[s0] >= 0 || s->n_stack == 1) {
            s->n_stack--;
        } else {
            put_back(s);
        }
        break;
    case LEFT:
        add_arc(s, b0, s0, class);
        s->fixed[b0] = 0;
        s->n_stack--;
        break;
    case RIGHT:
        add_arc(s, s0, b0, class);
        push(s);
        break;
    case BREAK:
        s->start[in_buffer(s, 1)] = 1;
        break;
    }
}

static void advance(void *state, const float *scores) {
    struct spacy_parse *s = state;
    struct spacy_valid valid[SPACY_MAX_MOVES];
    set_valid(s, valid);
    const int64_t best = spacy_moves_best(s->moves, valid, scores);
    if (best < 0 || ++s->steps > 64 * (uint64_t)s->n) {
        force_end(s);
    } else {
        move(s, best);
    }
}

static bool ended(const void *state) {
    const struct spacy_parse *s = state;
    return s->n_stack == 0 && buffered(s) == 0;
}

static uint32_t ahead(const void *state) {
    return ((const struct spacy_parse *)state)->next;
}

const struct spacy_machine spacy_parser_machine = {context, advance, ended, ahead};

/* ---- the document ----------------------------------------------------------------------------*/

/* What lifting a tree back may cost: tokens looked at in all. */
static uint64_t lift_limit(size_t n) {
    return 1000 * (uint64_t)n + 1000000;
}

/* The search for a token's true head: breadth first, from the head that it was lifted to. */
struct lift {
    struct spacy_doc *doc;
    const struct spacy_edges *edges;
    uint32_t *queue; /* [n] */
    uint64_t left;   /* of the limit */
};

/* The first token with label `above` below the head of `token`, else that head; -1: too far. */
static int32_t true_head(struct lift *l, int32_t token, uint64_t above) {
    const struct spacy_token *tokens = l->doc->tokens;
    size_t n = 0;
    l->queue[n++] = (uint32_t)tokens[token].head;
    for (size_t at = 0; at < n; at++) {
        const uint32_t from = l->queue[at], end = l->edges->right[from];
        for (uint32_t i = l->edges->left[from]; i <= end; i++) {
            if (l->left-- == 0) {
                return -1;
            }
            if (tokens[i].head != (int32_t)from || i == from || (int32_t)i == token ||
                tokens[i].lex->flags >> SPACY_IS_SPACE & 1) {
                continue;
            }
            if (tokens[i].dep == above) {
                return (int32_t)i;
            }
            if (n == l->doc->n) { /* a circle; parsers make none */
                return -1;
            }
            l->queue[n++] = i;
        }
    }
    return tokens[token].head;
}

/* Labels "plain||above": finds the heads that the parser could not draw arcs to. */
static int lift(struct spacy_parse *s, struct spacy_doc *doc, const struct spacy_edges *edges,
                struct berth_error *err) {
    struct lift l = {.doc = doc, .edges = edges, .left = lift_limit(doc->n)};
    l.queue = (uint32_t *)s->stack; /* the walk is over */
    for (uint32_t i = 0; i < s->n; i++) {
        const uint64_t above = s->head[i] < 0 ? 0 : s->moves->above[s->move[i]];
        if (above) {
            const int32_t head = true_head(&l, (int32_t)i, above);
            if (head < 0) {
                return bth_error(err, BERTH_ETOOLARGE, "a tree takes too long to make whole");
            }
            doc->tokens[i].head = head;
            doc->tokens[i].dep = s->moves->plain[s->move[i]];
        }
    }
    return 0;
}

static bool has_lifted(const struct spacy_parse *s) {
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->head[i] >= 0 && s->moves->above[s->move[i]]) {
            return true;
        }
    }
    return false;
}

int spacy_parse_finish(struct spacy_parse *s, struct spacy_doc *doc, struct berth_error *err) {
    const uint64_t root = spacy_string_id("ROOT", 4);
    struct spacy_edges edges;
    for (uint32_t i = 0; i < s->n; i++) {
        struct spacy_token *t = &doc->tokens[i];
        t->head = s->head[i] < 0 ? (int32_t)i : s->head[i];
        t->dep = s->head[i] < 0 ? root : s->moves->labels[s->move[i]];
        t->sent_start = -1;
    }
    doc->parsed = true;
    int rc = spacy_edges_find(doc, &edges, err);
    if (rc == 0 && has_lifted(s)) { /* by the edges of the tree as it was drawn */
        rc = lift(s, doc, &edges, err);
        rc = rc < 0 ? rc : spacy_edges_find(doc, &edges, err);
    }
    for (uint32_t i = 0; rc == 0 && i < s->n; i++) {
        if (doc->tokens[i].head == (int32_t)i) {
            doc->tokens[edges.left[i]].sent_start = 1;
        }
    }
    return rc;
}

#include "spacy/spacy_special.h"

#include "base/alloc.h"
#include "base/compiler.h"
#include <berth/error.h>
#include <stdlib.h>
#include <string.h>

/* From node `from` by a token's orth to node `to`; 0 is the root, and as `to` a free slot. */
struct edge {
    uint64_t orth;
    uint32_t from, to;
};

struct spacy_special {
    struct edge *edges; /* [capacity], a power of two */
    size_t n, capacity;
    bool *ends; /* [nodes_capacity] a row ends at this node */
    size_t n_nodes, nodes_capacity;
};

/* Found in one document, beyond one a token: rows may lie within each other as deep as they are
 * long.
 */
enum { SPARE_SPANS = 1 << 20 };

struct spans {
    struct spacy_special_span *data; /* [n] */
    size_t n, capacity;
};

struct spacy_special *spacy_special_create(void) {
    struct spacy_special *s = bth_calloc(1, sizeof(*s));
    if (s) {
        s->n_nodes = 1;
    }
    return s;
}

void spacy_special_destroy(struct spacy_special *s) {
    if (s) {
        bth_free(s->edges);
        bth_free(s->ends);
        bth_free(s);
    }
}

static struct edge *find_edge(const struct spacy_special *s, uint32_t from, uint64_t orth) {
    size_t at = (size_t)((orth ^ from) * UINT64_C(0x9E3779B97F4A7C15) >> 32);
    for (;; at++) {
        struct edge *e = &s->edges[at & (s->capacity - 1)];
        if (e->to == 0 || (e->from == from && e->orth == orth)) {
            return e;
        }
    }
}

static int reserve(struct spacy_special *s) {
    if (s->n_nodes + 1 >= s->nodes_capacity) {
        size_t capacity = BTH_MAX((size_t)64, 2 * s->nodes_capacity);
        bool *ends = bth_realloc_array(s->ends, capacity, sizeof(*ends));
        if (!ends) {
            return BERTH_ENOMEM;
        }
        memset(ends + s->nodes_capacity, 0, capacity - s->nodes_capacity);
        s->ends = ends;
        s->nodes_capacity = capacity;
    }
    if (2 * (s->n + 1) > s->capacity) {
        struct spacy_special larger = *s;
        larger.capacity = BTH_MAX((size_t)64, 2 * s->capacity);
        larger.edges = bth_calloc(larger.capacity, sizeof(*larger.edges));
        if (!larger.edges) {
            return BERTH_ENOMEM;
        }
        for (size_t i = 0; i < s->capacity; i++) {
            if (s->edges[i].to) {
                *find_edge(&larger, s->edges[i].from, s->edges[i].orth) = s->edges[i];
            }
        }
        bth_free(s->edges);
        *s = larger;
    }
    return 0;
}

int spacy_special_add(struct spacy_special *s, const uint64_t *orths, size_t n) {
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        if (reserve(s) < 0) {
            return BERTH_ENOMEM;
        }
        struct edge *e = find_edge(s, node, orths[i]);
        if (e->to == 0) {
            *e = (struct edge){.orth = orths[i], .from = node, .to = (uint32_t)s->n_nodes++};
            s->n++;
        }
        node = e->to;
    }
    s->ends[node] = true;
    return 0;
}

static int append(struct spans *spans, size_t begin, size_t end) {
    if (spans->n == spans->capacity) {
        size_t capacity = BTH_MAX((size_t)16, 2 * spans->capacity);
        struct spacy_special_span *p = bth_realloc_array(spans->data, capacity, sizeof(*p));
        if (!p) {
            return BERTH_ENOMEM;
        }
        spans->data = p;
        spans->capacity = capacity;
    }
    spans->data[spans->n++] = (struct spacy_special_span){begin, end};
    return 0;
}

static int collect(const struct spacy_special *s, const struct spacy_token *tokens, size_t n,
                   struct spans *out) {
    int rc = 0;
    for (size_t i = 0; i < n && s->capacity; i++) {
        uint32_t node = 0;
        for (size_t j = i; rc == 0 && j < n; j++) {
            node = find_edge(s, node, tokens[j].lex->orth)->to;
            if (node == 0) {
                break;
            }
            if (s->ends[node]) {
                rc = out->n < n + SPARE_SPANS ? append(out, i, j + 1) : BERTH_ETOOLARGE;
            }
        }
    }
    return rc;
}

static int longest_first(const void *a, const void *b) {
    const struct spacy_special_span *x = a, *y = b;
    const size_t nx = x->end - x->begin, ny = y->end - y->begin;
    if (nx != ny) {
        return nx > ny ? -1 : 1;
    }
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static int by_begin(const void *a, const void *b) {
    const struct spacy_special_span *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

int spacy_special_find(const struct spacy_special *s, const struct spacy_token *tokens, size_t n,
                       struct spacy_special_span **out, size_t *out_n) {
    struct spans spans = {0};
    bool *taken = NULL;
    size_t kept = 0;
    int rc = collect(s, tokens, n, &spans);
    if (rc < 0) {
        goto fail;
    }
    if (spans.n) {
        taken = bth_calloc(n, sizeof(*taken));
        if (!taken) {
            rc = BERTH_ENOMEM;
            goto fail;
        }
        qsort(spans.data, spans.n, sizeof(*spans.data), longest_first);
        /* a span that is refused takes its tokens all the same, as in spaCy */
        for (size_t i = 0; i < spans.n; i++) {
            const struct spacy_special_span span = spans.data[i];
            if (!taken[span.begin] && !taken[span.end - 1]) {
                spans.data[kept++] = span;
            }
            memset(taken + span.begin, true, span.end - span.begin);
        }
        qsort(spans.data, kept, sizeof(*spans.data), by_begin);
    }
    *out = spans.data;
    *out_n = kept;
    spans.data = NULL;
fail:
    bth_free(spans.data);
    bth_free(taken);
    return rc;
}

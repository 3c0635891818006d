#include "spacy/spacy_tree.h"
#include "base/alloc.h"
#include "base/error.h"

/* spaCy gives up after as many. */
#define ROUNDS 12

static void widen(struct spacy_edges *e, uint32_t head, uint32_t child) {
    e->left[head] = BTH_MIN(e->left[head], e->left[child]);
    e->right[head] = BTH_MAX(e->right[head], e->right[child]);
}

static void sweep(const struct spacy_doc *doc, struct spacy_edges *e) {
    for (size_t i = 0; i < doc->n; i++) {
        widen(e, (uint32_t)doc->tokens[i].head, (uint32_t)i);
    }
    for (size_t i = doc->n; i-- > 0;) {
        widen(e, (uint32_t)doc->tokens[i].head, (uint32_t)i);
    }
}

/* Whether every head lies in the sentence of its token, sentences beginning where roots' subtrees
 * do. As in
 * spaCy the last token of the text is never checked. */
static bool settled(const struct spacy_doc *doc, const struct spacy_edges *e, bool *starts) {
    for (size_t i = 0; i < doc->n; i++) {
        starts[i] = false;
    }
    for (size_t i = 0; i < doc->n; i++) {
        if ((size_t)doc->tokens[i].head == i) {
            starts[e->left[i]] = true;
        }
    }
    size_t begin = 0;
    for (size_t i = 0; i < doc->n; i++) {
        if (!(i > 0 && starts[i]) && i + 1 != doc->n) {
            continue;
        }
        for (size_t k = begin; k < i; k++) {
            size_t head = (size_t)doc->tokens[k].head;
            if (head < begin || head > i) {
                return false;
            }
        }
        begin = i;
    }
    return true;
}

/* Children by a counting sort over heads. */
static void list_children(const struct spacy_doc *doc, struct spacy_edges *e) {
    for (size_t i = 0; i < doc->n; i++) {
        size_t head = (size_t)doc->tokens[i].head;
        e->first[head + 1] += head != i;
    }
    for (size_t i = 0; i < doc->n; i++) {
        e->first[i + 1] += e->first[i];
    }
    for (size_t i = 0; i < doc->n; i++) {
        size_t head = (size_t)doc->tokens[i].head;
        if (head != i) {
            e->children[e->first[head]++] = (uint32_t)i;
        }
    }
    for (size_t i = doc->n; i > 0; i--) {
        e->first[i] = e->first[i - 1];
    }
    e->first[0] = 0;
}

int spacy_edges_find(struct spacy_doc *doc, struct spacy_edges *out, struct berth_error *err) {
    size_t n = doc->n, bytes;
    if (!bth_mul(n + 1, 4 * sizeof(uint32_t) + sizeof(bool), &bytes)) {
        return bth_error_nomem(err);
    }
    uint32_t *memory = bth_arena_alloc(&doc->arena, bytes);
    if (!memory) {
        return bth_error_nomem(err);
    }
    struct spacy_edges e = {memory, memory + n, memory + 2 * n, memory + 3 * n + 1};
    bool *starts = (bool *)(memory + 4 * n + 1);
    for (size_t i = 0; i < n; i++) {
        e.left[i] = e.right[i] = (uint32_t)i;
    }
    for (int round = 0; round < ROUNDS; round++) {
        sweep(doc, &e);
        if (settled(doc, &e, starts)) {
            break;
        }
    }
    list_children(doc, &e);
    *out = e;
    return 0;
}

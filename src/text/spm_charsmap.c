/*
 * The normalisation of a SentencePiece model: u32 bytes of the trie; the trie, a double array of
 * u32 units in blocks of 256; NUL-terminated replacements. The library walks it unchecked.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "text/spm_internal.h"
#include <string.h>

/* The library has room for so many prefixes of one place in a text. */
enum { MAX_PREFIXES = 32, MAX_REPLACEMENT = 64, BLOCK = 256 };

struct trie {
    const unsigned char *units;
    uint32_t n;
    const char *texts;
    size_t texts_size;
};

/* Nodes still to be looked at, and how many values lie above each. */
struct walk {
    uint32_t *nodes;
    unsigned char *depth; /* [n units]; 0: not seen, else values above, plus 1 */
    size_t n;
};

static uint32_t unit(const struct trie *t, uint32_t i) {
    const unsigned char *p = t->units + 4 * (size_t)i;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t label(uint32_t u) {
    return u & 0x800000FFU;
}

static int damaged(struct berth_error *err, const char *what) {
    return bth_error(err, BERTH_EFORMAT, "the normalisation table is damaged: %s", what);
}

static int check_value(const struct trie *t, uint32_t at, struct berth_error *err) {
    uint32_t u = unit(t, at), value = u & 0x7FFFFFFFU;
    if (!(u >> 31) || value >= t->texts_size) {
        return damaged(err, "a replacement is not inside");
    }
    size_t left = t->texts_size - value;
    const char *end = memchr(t->texts + value, 0, left);
    if (!end || end - (t->texts + value) > MAX_REPLACEMENT ||
        !bth_utf8_valid(t->texts + value, (size_t)(end - (t->texts + value)))) {
        return damaged(err, "a replacement is too long or no UTF-8");
    }
    return 0;
}

/* A node: its value, and its children, none of which was seen before. */
static int visit(const struct trie *t, struct walk *w, uint32_t node, struct berth_error *err) {
    uint32_t u = unit(t, node);
    uint32_t base = node ^ ((u >> 10) << ((u & 0x200U) >> 6));
    unsigned depth = w->depth[node];
    if (base >= t->n) {
        return damaged(err, "a branch leads outside");
    }
    if (u & 0x100U) {
        int rc = check_value(t, base, err);
        if (rc < 0) {
            return rc;
        }
        depth++;
    }
    if (depth > MAX_PREFIXES) {
        return damaged(err, "too many prefixes");
    }
    for (uint32_t c = 0; c < BLOCK; c++) {
        uint32_t child = base ^ c;
        if (label(unit(t, child)) != c) {
            continue;
        }
        if (w->depth[child]) {
            return damaged(err, "a cycle");
        }
        w->depth[child] = (unsigned char)depth;
        w->nodes[w->n++] = child;
    }
    return 0;
}

int bth_spm_check_charsmap(const unsigned char *data, size_t size, struct berth_error *err) {
    size_t bytes = 0;
    for (size_t i = 0; i < 4 && size > 4; i++) {
        bytes |= (size_t)data[i] << (8 * i);
    }
    if (bytes == 0 || bytes >= size - 4 || bytes % (4 * BLOCK) != 0) {
        return damaged(err, "its sizes");
    }
    struct trie t = {.units = data + 4,
                     .n = (uint32_t)(bytes / 4),
                     .texts = (const char *)data + 4 + bytes,
                     .texts_size = size - 4 - bytes};
    struct walk w = {bth_calloc(t.n, sizeof(uint32_t)), bth_calloc(t.n, 1), 0};
    int rc = w.nodes && w.depth ? 0 : bth_error_nomem(err);
    if (rc == 0) {
        w.depth[0] = 1;
        w.nodes[w.n++] = 0;
    }
    for (size_t i = 0; rc == 0 && i < w.n; i++) { /* each unit gets in once at most */
        rc = visit(&t, &w, w.nodes[i], err);
    }
    bth_free(w.nodes);
    bth_free(w.depth);
    return rc;
}

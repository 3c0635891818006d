/*
 * The normalisation of a SentencePiece model: u32 bytes of the trie; the trie, a double array of
 * u32 units in blocks of 256; NUL-terminated replacements. The library walks it unchecked.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "text/spm_internal.h"
#include <string.h>

/* The library has room for so many prefixes of one place in a text. */
enum { MAX_PREFIXES = 32, MAX_REPLACEMENT = 64, BLOCK = 256, MAX_DEPTH = 256, OPEN = 255 };

struct trie {
    const unsigned char *units;
    uint32_t n;
    const char *texts;
    size_t texts_size;
};

/* A walk in depth: branches share their ends, so what was seen is not walked again, and what is met
 * on its own way down is a cycle. */
struct step {
    uint32_t node, base;
    uint32_t next; /* label of the child to look at */
};
struct walk {
    struct step *steps; /* [MAX_DEPTH] the way down */
    size_t n;
    unsigned char *below; /* [n units] 0: not seen; OPEN: on the way; else values below, plus 1 */
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

/* Goes down to a node. */
static int enter(const struct trie *t, struct walk *w, uint32_t node, struct berth_error *err) {
    uint32_t u = unit(t, node);
    uint32_t base = node ^ ((u >> 10) << ((u & 0x200U) >> 6));
    if (base >= t->n) {
        return damaged(err, "a branch leads outside");
    }
    if (w->n == MAX_DEPTH) {
        return damaged(err, "a sequence is too long");
    }
    w->steps[w->n++] = (struct step){node, base, 0};
    w->below[node] = OPEN;
    return u & 0x100U ? check_value(t, base, err) : 0;
}

/* Comes back from a node, all of whose children were seen. */
static int leave(const struct trie *t, struct walk *w, struct berth_error *err) {
    const struct step *s = &w->steps[--w->n];
    unsigned most = 1;
    for (uint32_t c = 0; c < BLOCK; c++) {
        uint32_t child = s->base ^ c;
        if (label(unit(t, child)) == c && w->below[child] > most) {
            most = w->below[child];
        }
    }
    most += (unit(t, s->node) & 0x100U) != 0;
    w->below[s->node] = (unsigned char)most;
    return most > MAX_PREFIXES ? damaged(err, "too many prefixes") : 0;
}

static int walk_all(const struct trie *t, struct walk *w, struct berth_error *err) {
    int rc = enter(t, w, 0, err);
    while (rc == 0 && w->n > 0) {
        struct step *s = &w->steps[w->n - 1];
        uint32_t c = s->next++, child = s->base ^ c;
        if (c == BLOCK) {
            rc = leave(t, w, err);
        } else if (label(unit(t, child)) == c) {
            if (w->below[child] == OPEN) {
                rc = damaged(err, "a cycle");
            } else if (!w->below[child]) {
                rc = enter(t, w, child, err);
            }
        }
    }
    return rc;
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
    struct walk w = {.steps = bth_calloc(MAX_DEPTH, sizeof(struct step)),
                     .below = bth_calloc(t.n, 1)};
    int rc = w.steps && w.below ? walk_all(&t, &w, err) : bth_error_nomem(err);
    bth_free(w.steps);
    bth_free(w.below);
    return rc;
}

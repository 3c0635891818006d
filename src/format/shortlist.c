#include "format/shortlist.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include "format/shortlist_internal.h"
#include <string.h>

static const uint64_t magic = UINT64_C(0xF11A48D5013417F5);
enum { HEADER = 48, PAD = 8 };

static uint64_t word64(const unsigned char *p) {
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

static uint32_t word32(const unsigned char *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t checksum(const unsigned char *data, size_t size) {
    uint64_t sum = 0;
    for (size_t at = 16; size - at >= 8; at += 8) {
        sum ^= word64(data + at) + UINT64_C(0x9e3779b9) + (sum << 6) + (sum >> 2);
    }
    return sum;
}

static uint64_t offset(const struct bth_shortlist *s, uint64_t i) {
    return word64(s->offsets + 8 * i);
}

static int check_lists(const struct bth_shortlist *s, uint64_t n_offsets, uint64_t n_ids,
                       struct berth_error *err) {
    uint64_t last = 0;
    for (uint64_t i = 0; i < n_offsets; i++) {
        uint64_t at = offset(s, i);
        if (at < last || at > n_ids || (i == 0 && at != 0)) {
            return bth_error(err, BERTH_EFORMAT, "the list of source id %llu is not inside",
                             (unsigned long long)i);
        }
        last = at;
    }
    for (uint64_t i = 0; i < n_ids; i++) {
        uint32_t id = word32(s->ids + 4 * i);
        if (id >= (uint64_t)s->target_vocab) {
            return bth_error(err, BERTH_EFORMAT, "target id %u is not in the vocabulary of %lld",
                             id, (long long)s->target_vocab);
        }
    }
    return 0;
}

int bth_shortlist_parse(struct bth_shortlist *s, const unsigned char *data, size_t size,
                        struct berth_error *err) {
    if (size < HEADER || word64(data) != magic) {
        return bth_error(err, BERTH_EFORMAT, "not a shortlist");
    }
    uint64_t n_offsets = word64(data + 32), n_ids = word64(data + 40);
    size_t left = size - HEADER;
    if (n_offsets < 1 || n_offsets > left / 8 || n_ids != (left - n_offsets * 8) / 4 ||
        (left - n_offsets * 8) % 4 != 0) {
        return bth_error(err, BERTH_EFORMAT, "the shortlist is cut short or damaged");
    }
    if (checksum(data, size) != word64(data + 8)) {
        return bth_error(err, BERTH_EFORMAT, "the shortlist's checksum differs");
    }
    s->n_lists = n_offsets - 1;
    if (s->n_lists != (uint64_t)s->source_vocab) {
        return bth_error(err, BERTH_EFORMAT, "lists of %llu source ids, the vocabulary has %lld",
                         (unsigned long long)s->n_lists, (long long)s->source_vocab);
    }
    uint64_t first = word64(data + 16);
    s->first = first < (uint64_t)s->target_vocab ? (uint32_t)first : (uint32_t)s->target_vocab;
    s->offsets = data + HEADER;
    s->ids = s->offsets + n_offsets * 8;
    return check_lists(s, n_offsets, n_ids, err);
}

int bth_shortlist_open(const char *path, int64_t source_vocab, int64_t target_vocab,
                       struct bth_shortlist **out, struct berth_error *err) {
    struct bth_shortlist *s = bth_calloc(1, sizeof(*s));
    if (!s) {
        return bth_error_nomem(err);
    }
    s->source_vocab = source_vocab;
    s->target_vocab = target_vocab;
    int rc = bth_map_open(&s->map, path, err);
    if (rc == 0) {
        rc = bth_shortlist_parse(s, s->map.data, s->map.size, err);
        if (rc < 0) {
            bth_error_prefix(err, "%s: ", path);
        }
    }
    if (rc < 0) {
        bth_shortlist_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void bth_shortlist_close(struct bth_shortlist *s) {
    if (s) {
        bth_map_close(&s->map);
        bth_free(s);
    }
}

/* A set of target ids as bits. */
struct set {
    uint64_t *bits;
    size_t n;
};

static void set_add(struct set *set, uint32_t id) {
    uint64_t bit = UINT64_C(1) << (id & 63);
    set->n += (set->bits[id >> 6] & bit) == 0;
    set->bits[id >> 6] |= bit;
}

static void add_source(const struct bth_shortlist *s, struct set *set, int32_t id, bool shared) {
    if (id < 0 || (uint64_t)id >= s->n_lists) {
        return;
    }
    if (shared && id < s->target_vocab) {
        set_add(set, (uint32_t)id);
    }
    for (uint64_t i = offset(s, (uint64_t)id), end = offset(s, (uint64_t)id + 1); i < end; i++) {
        set_add(set, word32(s->ids + 4 * i));
    }
}

int bth_shortlist_select(const struct bth_shortlist *s, const int32_t *source, size_t n,
                         bool shared, int32_t **out, size_t *out_n, struct berth_error *err) {
    size_t words = ((size_t)s->target_vocab + 63) / 64, at = 0;
    struct set set = {bth_calloc(words, sizeof(uint64_t)), 0};
    if (!set.bits) {
        return bth_error_nomem(err);
    }
    for (uint32_t id = 0; id < s->first; id++) {
        set_add(&set, id);
    }
    for (size_t i = 0; i < n; i++) {
        add_source(s, &set, source[i], shared);
    }
    for (uint32_t id = s->first; set.n % PAD != 0 && id < s->target_vocab; id++) {
        set_add(&set, id);
    }
    int32_t *ids = bth_alloc(set.n * sizeof(*ids));
    for (size_t w = 0; ids && w < words; w++) {
        for (uint64_t bits = set.bits[w]; bits; bits &= bits - 1) {
            ids[at++] = (int32_t)(w * 64) + __builtin_ctzll(bits);
        }
    }
    bth_free(set.bits);
    if (!ids) {
        return bth_error_nomem(err);
    }
    *out = ids;
    *out_n = at;
    return 0;
}

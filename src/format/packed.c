#include "format/packed.h"

#include "base/error.h"
#include <stdint.h>
#include <string.h>

/* The head of one value: what it takes of the bytes itself, and how many values it holds. */
struct head {
    uint64_t bytes, children;
};

static uint64_t big_endian(const unsigned char *p, size_t n) {
    uint64_t x = 0;
    for (size_t i = 0; i < n; i++) {
        x = x << 8 | p[i];
    }
    return x;
}

/* false: cut short, or a type that is not read (extensions). */
static bool read_head(const unsigned char *p, size_t size, struct head *out) {
    const unsigned c = p[0];
    *out = (struct head){.bytes = 1};
    size_t width = 0, factor = 0; /* of a count that follows; values per unit of it */
    if (c < 0x80 || c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3) {
        return true;
    } else if (c < 0x90) {
        out->children = 2 * (c & 15);
        return true;
    } else if (c < 0xa0) {
        out->children = c & 15;
        return true;
    } else if (c < 0xc0) {
        out->bytes += c & 31;
        return true;
    } else if (c >= 0xc4 && c <= 0xc6) {
        width = (size_t)1 << (c - 0xc4);
    } else if (c >= 0xca && c <= 0xcb) {
        out->bytes += c == 0xca ? 4 : 8;
        return true;
    } else if (c >= 0xcc && c <= 0xd3) {
        out->bytes += UINT64_C(1) << (c & 3);
        return true;
    } else if (c >= 0xd9 && c <= 0xdb) {
        width = (size_t)1 << (c - 0xd9);
    } else if (c >= 0xdc) {
        width = c & 1 ? 4 : 2;
        factor = c < 0xde ? 1 : 2;
    } else {
        return false;
    }
    if (size < 1 + width) {
        return false;
    }
    const uint64_t count = big_endian(p + 1, width);
    out->bytes += width + (factor ? 0 : count);
    out->children = count * factor;
    return true;
}

/* Walks the bytes without allocating: *out_values of them, complete, not nested too deep. */
static int check(const unsigned char *p, size_t size, size_t *out_values, struct berth_error *err) {
    uint64_t left[BTH_PACKED_MAX_DEPTH + 1] = {1}; /* values still to come, per level */
    uint64_t owed = 1;                             /* their sum: each takes a byte at least */
    size_t depth = 0, at = 0, values = 0;
    for (;;) {
        while (depth > 0 && left[depth] == 0) {
            depth--;
        }
        if (left[depth] == 0) {
            break;
        }
        struct head h;
        if (at == size || !read_head(p + at, size - at, &h) || h.bytes > size - at) {
            return bth_error(err, BERTH_EFORMAT, "damaged or cut short at byte %zu", at);
        }
        at += (size_t)h.bytes;
        left[depth]--;
        owed--;
        values++;
        if (h.children) {
            owed += h.children;
            if (owed > size - at) {
                return bth_error(err, BERTH_EFORMAT,
                                 "byte %zu claims more values than there are bytes", at);
            }
            if (depth == BTH_PACKED_MAX_DEPTH) {
                return bth_error(err, BERTH_EFORMAT, "nested deeper than %d levels",
                                 BTH_PACKED_MAX_DEPTH);
            }
            left[++depth] = h.children;
        }
    }
    if (at != size) {
        return bth_error(err, BERTH_EFORMAT, "%zu bytes behind the end", size - at);
    }
    *out_values = values;
    return 0;
}

int bth_packed_open(struct bth_packed *p, const void *bytes, size_t size, struct berth_error *err) {
    size_t values = 0;
    int rc = check(bytes, size, &values, err);
    if (rc < 0) {
        return rc;
    }
    struct bth_packed made;
    /* room for all values at once */
    if (!msgpack_zone_init(&made.zone, values * sizeof(msgpack_object) + 64)) {
        return bth_error_nomem(err);
    }
    size_t at = 0;
    msgpack_unpack_return got = msgpack_unpack(bytes, size, &at, &made.zone, &made.root);
    if (got != MSGPACK_UNPACK_SUCCESS || at != size) {
        msgpack_zone_destroy(&made.zone);
        return got == MSGPACK_UNPACK_NOMEM_ERROR ? bth_error_nomem(err)
                                                 : bth_error(err, BERTH_EFORMAT, "damaged");
    }
    *p = made;
    return 0;
}

void bth_packed_close(struct bth_packed *p) {
    if (p->zone.chunk_list.head) {
        msgpack_zone_destroy(&p->zone);
    }
    memset(p, 0, sizeof(*p));
}

const char *bth_packed_text(const msgpack_object *o, size_t *out_size) {
    if (o && o->type == MSGPACK_OBJECT_STR) {
        *out_size = o->via.str.size;
        return o->via.str.ptr ? o->via.str.ptr : "";
    }
    if (o && o->type == MSGPACK_OBJECT_BIN) {
        *out_size = o->via.bin.size;
        return o->via.bin.ptr ? o->via.bin.ptr : "";
    }
    return NULL;
}

const msgpack_object *bth_packed_get(const msgpack_object *map, const char *key) {
    if (!map || map->type != MSGPACK_OBJECT_MAP) {
        return NULL;
    }
    const size_t n = strlen(key);
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        size_t size;
        const char *text = bth_packed_text(&map->via.map.ptr[i].key, &size);
        if (text && size == n && memcmp(text, key, n) == 0) {
            return &map->via.map.ptr[i].val;
        }
    }
    return NULL;
}

bool bth_packed_int(const msgpack_object *o, int64_t *out) {
    if (o && o->type == MSGPACK_OBJECT_POSITIVE_INTEGER && o->via.u64 <= INT64_MAX) {
        *out = (int64_t)o->via.u64;
        return true;
    }
    if (o && o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER) {
        *out = o->via.i64;
        return true;
    }
    return false;
}

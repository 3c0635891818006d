#include "format/zip.h"

#include "base/error.h"
#include <string.h>
#include <zlib.h>

enum { END = 22, END64_PLACE = 20, END64 = 56, ENTRY = 46, LOCAL = 30, MAX_COMMENT = 65535 };
/* Deflate gives at most 1032 bytes for one; weights come nowhere near, but for zeros. */
enum { DEFLATE_RATIO = 1032, LARGE = 16 << 20, LARGE_RATIO = 64 };

static uint64_t number(const unsigned char *p, int bytes) {
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

static int damaged(struct berth_error *err) {
    return bth_error(err, BERTH_EFORMAT, "the zip archive is cut short or damaged");
}

/* The end record: the last place that looks like one and whose comment fills the rest. */
static const unsigned char *find_end(const unsigned char *data, size_t size) {
    for (size_t back = END; back <= size && back <= END + MAX_COMMENT; back++) {
        const unsigned char *p = data + size - back;
        if (memcmp(p, "PK\5\6", 4) == 0 && number(p + 20, 2) == back - END) {
            return p;
        }
    }
    return NULL;
}

int bth_zip_open(struct bth_zip *z, const unsigned char *data, size_t size,
                 struct berth_error *err) {
    const unsigned char *end = find_end(data, size);
    if (!end) {
        return bth_error(err, BERTH_EFORMAT, "not a zip archive, or cut short");
    }
    uint64_t n = number(end + 10, 2), at = number(end + 16, 4);
    const unsigned char *place = end - data >= END64_PLACE ? end - END64_PLACE : NULL;
    if (place && memcmp(place, "PK\6\7", 4) == 0) {
        uint64_t where = number(place + 8, 8);
        if (size < END64 || where > size - END64 || memcmp(data + where, "PK\6\6", 4) != 0) {
            return damaged(err);
        }
        n = number(data + where + 32, 8);
        at = number(data + where + 48, 8);
    }
    if (at > size || n > (size - at) / ENTRY) {
        return damaged(err);
    }
    *z = (struct bth_zip){
        .data = data, .size = size, .at = (size_t)at, .left = n, .packed_left = size};
    return 0;
}

/* Sizes that do not fit 32 bits lie in the extra field 1, in this order, those that are needed. */
static bool wide_sizes(const unsigned char *extra, size_t n, uint64_t *fields[3]) {
    while (n >= 4) {
        size_t bytes = (size_t)number(extra + 2, 2);
        if (bytes > n - 4) {
            return false;
        }
        if (number(extra, 2) == 1) {
            const unsigned char *p = extra + 4;
            for (int i = 0; i < 3; i++) {
                if (*fields[i] != UINT32_MAX) {
                    continue;
                }
                if (bytes < 8) {
                    return false;
                }
                *fields[i] = number(p, 8);
                p += 8;
                bytes -= 8;
            }
            return true;
        }
        extra += 4 + bytes;
        n -= 4 + bytes;
    }
    return true;
}

/* Where the data begins: behind the local header, whose own extra field may differ. */
static bool locate(const struct bth_zip *z, uint64_t local, struct bth_zip_member *m) {
    if (z->size < LOCAL || local > z->size - LOCAL || memcmp(z->data + local, "PK\3\4", 4) != 0) {
        return false;
    }
    const unsigned char *p = z->data + local;
    size_t at = (size_t)local + LOCAL, skip = (size_t)(number(p + 26, 2) + number(p + 28, 2));
    if (skip > z->size - at || m->packed > z->size - at - skip) {
        return false;
    }
    m->data = z->data + at + skip;
    return true;
}

int bth_zip_next(struct bth_zip *z, struct bth_zip_member *out, struct berth_error *err) {
    if (z->left == 0) {
        return 0;
    }
    const unsigned char *p = z->data + z->at;
    if (z->size - z->at < ENTRY || memcmp(p, "PK\1\2", 4) != 0) {
        return damaged(err);
    }
    uint64_t flags = number(p + 8, 2), method = number(p + 10, 2);
    uint64_t packed = number(p + 20, 4), size = number(p + 24, 4), local = number(p + 42, 4);
    size_t name = (size_t)number(p + 28, 2), extra = (size_t)number(p + 30, 2);
    size_t all = ENTRY + name + extra + (size_t)number(p + 32, 2);
    uint64_t *fields[3] = {&size, &packed, &local};
    if (all > z->size - z->at || !wide_sizes(p + ENTRY + name, extra, fields)) {
        return damaged(err);
    }
    struct bth_zip_member m = {.name = (const char *)p + ENTRY,
                               .name_size = name,
                               .packed = (size_t)packed,
                               .size = (size_t)size,
                               .deflated = method == 8};
    if ((flags & 1) || (method != 0 && method != 8)) {
        return bth_error(err, BERTH_EFORMAT, "member %.*s is encrypted or packed unusually",
                         (int)(name < 100 ? name : 100), m.name);
    }
    if (!locate(z, local, &m) || (method == 0 && packed != size) || packed > z->packed_left ||
        size / (size > LARGE ? LARGE_RATIO : DEFLATE_RATIO) > packed) {
        return damaged(err);
    }
    z->packed_left -= m.packed;
    z->at += all;
    z->left--;
    *out = m;
    return 1;
}

static int unpack(const struct bth_zip_member *m, unsigned char *to, struct berth_error *err) {
    z_stream s = {0};
    if (inflateInit2(&s, -MAX_WBITS) != Z_OK) {
        return bth_error_nomem(err);
    }
    size_t in = 0, out = 0;
    int rc = Z_OK;
    while (rc == Z_OK && out <= m->size) {
        enum { PIECE = 1 << 30 }; /* zlib counts in 32 bits */
        size_t give = m->packed - in < PIECE ? m->packed - in : PIECE;
        size_t room = m->size - out < PIECE ? m->size - out : PIECE;
        s.next_in = (unsigned char *)m->data + in;
        s.avail_in = (uInt)give;
        s.next_out = to + out;
        s.avail_out = (uInt)room;
        rc = inflate(&s, Z_NO_FLUSH);
        size_t took = give - s.avail_in, made = room - s.avail_out;
        in += took;
        out += made;
        if (rc == Z_OK && took == 0 && made == 0) {
            rc = Z_BUF_ERROR;
        }
    }
    inflateEnd(&s);
    return rc == Z_STREAM_END && out == m->size ? 0
           : rc == Z_MEM_ERROR                  ? bth_error_nomem(err)
                                                : damaged(err);
}

int bth_zip_data(const struct bth_zip_member *m, struct bth_arena *arena, const unsigned char **out,
                 struct berth_error *err) {
    if (!m->deflated) {
        *out = m->data;
        return 0;
    }
    unsigned char *to = bth_arena_alloc(arena, m->size ? m->size : 1);
    if (!to) {
        return bth_error_nomem(err);
    }
    int rc = unpack(m, to, err);
    if (rc == 0) {
        *out = to;
    }
    return rc;
}

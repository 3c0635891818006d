/* Marian's binary container, also of Bergamot's int8 models; the layout is in source.h. */
#include "format/source.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include "format/source_internal.h"
#include <string.h>

/* u64 words at fixed places of what was checked to be there */
static uint64_t word(const unsigned char *p) {
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

enum { HEADER = 32, TYPE_INTGEMM8 = 0x4101, TYPE_INTGEMM16 = 0x4102 };

struct item {
    const char *name;
    size_t name_size;
    uint64_t type, data_bytes;
    struct bth_source_tensor t;
};

/* The parts of the file, one behind the other: heads, names, shapes, data. */
struct parts {
    const unsigned char *data;
    size_t size, heads, names, shapes, at;
};

static int damaged(struct berth_error *err) {
    return bth_error(err, BERTH_EFORMAT, "the file is cut short or damaged");
}

static bool plain_type(uint64_t type, enum berth_dtype *out) {
    static const struct {
        uint64_t type;
        enum berth_dtype dtype;
    } types[] = {{0x0404, BERTH_F32}, {0x0402, BERTH_F16}, {0x0101, BERTH_I8},
                 {0x0102, BERTH_I16}, {0x0104, BERTH_I32}, {0x0204, BERTH_U32}};
    for (size_t i = 0; i < BTH_COUNT(types); i++) {
        if (types[i].type == type) {
            *out = types[i].dtype;
            return true;
        }
    }
    return false;
}

/* Takes n bytes off [*at, size). */
static bool take(size_t size, size_t *at, uint64_t n, size_t *out) {
    if (n > size - *at) {
        return false;
    }
    *out = *at;
    *at += (size_t)n;
    return true;
}

/* Where names and shapes begin and data does: sums of the heads' claims, each checked. */
static int lay_out(struct parts *p, uint64_t n, struct berth_error *err) {
    size_t at = 16, bytes;
    if (n > (p->size - at) / HEADER) {
        return damaged(err);
    }
    p->heads = at;
    at += (size_t)n * HEADER;
    size_t names = 0, shapes = 0;
    for (uint64_t i = 0; i < n; i++) {
        const unsigned char *head = p->data + p->heads + i * HEADER;
        uint64_t dims = word(head + 16);
        if (dims > p->size / 4 || !bth_add(names, (size_t)word(head), &names) ||
            !bth_add(shapes, (size_t)dims * 4, &shapes)) {
            return damaged(err);
        }
    }
    if (!take(p->size, &at, names, &p->names) || !take(p->size, &at, shapes, &p->shapes) ||
        !take(p->size, &at, 8, &bytes) || !take(p->size, &at, word(p->data + bytes), &bytes)) {
        return damaged(err);
    }
    p->at = at;
    return 0;
}

/* i32 dims; leading ones beyond what is read are dropped. */
static int read_shape(struct item *item, const unsigned char *shape, uint64_t rank,
                      struct berth_error *err) {
    struct bth_source_tensor *t = &item->t;
    for (uint64_t i = 0; i < rank; i++, shape += 4) {
        uint32_t dim = (uint32_t)shape[0] | (uint32_t)shape[1] << 8 | (uint32_t)shape[2] << 16 |
                       (uint32_t)shape[3] << 24;
        if (rank - i > BTH_SOURCE_MAX_DIMS && dim == 1) {
            continue;
        }
        if (dim > INT32_MAX || t->rank == BTH_SOURCE_MAX_DIMS) {
            return bth_error(err, BERTH_EFORMAT, "tensor %.100s has an impossible shape",
                             item->name);
        }
        t->dims[t->rank++] = dim;
    }
    return 0;
}

/* An intgemm matrix and, behind its elements, the scale: a tensor NAME#scale. `Wemb` is stored as
 * its shape says; other matrices have shape [k, n] and bytes [n, k], so their dims are swapped. */
static int add_intgemm(struct bth_source *s, struct item *item, struct berth_error *err) {
    struct bth_source_tensor *t = &item->t;
    size_t bytes, whole;
    if (!bth_source_bytes(t, &bytes) || !bth_add(bytes, sizeof(float), &whole) ||
        whole > item->data_bytes) {
        return bth_error(err, BERTH_EFORMAT, "tensor %.100s is shorter than its shape", item->name);
    }
    if (t->rank == 2 && !strstr(item->name, "Wemb")) {
        int64_t k = t->dims[0];
        t->dims[0] = t->dims[1];
        t->dims[1] = k;
    }
    t->bytes = bytes;
    struct bth_source_tensor scale = {
        .dtype = BERTH_F32, .data = (const unsigned char *)t->data + bytes, .bytes = sizeof(float)};
    struct bth_str name = {0};
    bth_str_printf(&name, "%s" BTH_MARIAN_SCALE, item->name);
    int rc = name.failed ? bth_error_nomem(err)
                         : bth_source_add(s, bth_str_text(&name), name.size, &scale, err);
    bth_str_finish(&name);
    return rc < 0 ? rc : bth_source_add(s, item->name, item->name_size, t, err);
}

static int add_item(struct bth_source *s, struct item *item, struct berth_error *err) {
    struct bth_source_tensor *t = &item->t;
    if (item->type == TYPE_INTGEMM8 || item->type == TYPE_INTGEMM16) {
        t->dtype = item->type == TYPE_INTGEMM8 ? BERTH_I8 : BERTH_I16;
        return add_intgemm(s, item, err);
    }
    if (!plain_type(item->type, &t->dtype)) {
        return bth_error(err, BERTH_EFORMAT,
                         "tensor %.100s is of type %llx: f32, f16, integers and intgemm are read",
                         item->name, (unsigned long long)item->type);
    }
    size_t bytes;
    if (!bth_source_bytes(t, &bytes) || bytes > item->data_bytes) {
        return bth_error(err, BERTH_EFORMAT, "tensor %.100s is shorter than its shape", item->name);
    }
    t->bytes = bytes;
    return bth_source_add(s, item->name, item->name_size, t, err);
}

static int parse_item(struct bth_source *s, struct parts *p, const unsigned char *head,
                      struct berth_error *err) {
    uint64_t name_size = word(head), rank = word(head + 16);
    struct item item = {.name = (const char *)p->data + p->names,
                        .type = word(head + 8),
                        .data_bytes = word(head + 24)};
    if (name_size < 2 || memchr(item.name, 0, (size_t)name_size) != item.name + name_size - 1) {
        return bth_error(err, BERTH_EFORMAT, "a tensor has no usable name");
    }
    item.name_size = (size_t)name_size - 1;
    int rc = read_shape(&item, p->data + p->shapes, rank, err);
    size_t data = 0;
    if (rc == 0 && !take(p->size, &p->at, item.data_bytes, &data)) {
        rc = damaged(err);
    }
    if (rc < 0) {
        return rc;
    }
    item.t.data = p->data + data;
    p->names += (size_t)name_size;
    p->shapes += (size_t)rank * 4;
    return add_item(s, &item, err);
}

int bth_marian_bin_parse(struct bth_source *s, const unsigned char *data, size_t size,
                         struct berth_error *err) {
    if (size < 24 || word(data) != 1) {
        return bth_error(err, BERTH_EFORMAT, "not a Marian model, or of a version other than 1");
    }
    struct parts p = {.data = data, .size = size};
    uint64_t n = word(data + 8);
    int rc = lay_out(&p, n, err);
    for (uint64_t i = 0; rc == 0 && i < n; i++) {
        rc = parse_item(s, &p, data + p.heads + i * HEADER, err);
    }
    return rc < 0 ? rc : bth_source_seal(s, err);
}

int bth_marian_bin_open(const char *path, struct bth_source **out, struct berth_error *err) {
    return bth_source_open_file(path, bth_marian_bin_parse, out, err);
}

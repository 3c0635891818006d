#include "format/source.h"

#include "base/alloc.h"
#include "base/dtype.h"
#include "base/error.h"
#include "base/str.h"
#include "format/source_internal.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_TENSORS = 100000, MAX_NAME = 512 };
static const uint64_t max_elements = UINT64_C(1) << 40;

struct bth_source *bth_source_create(void) {
    return bth_calloc(1, sizeof(struct bth_source));
}

void bth_source_close(struct bth_source *s) {
    if (!s) {
        return;
    }
    for (size_t i = 0; i < s->n_maps; i++) {
        bth_map_close(&s->maps[i]);
    }
    bth_free(s->maps);
    bth_free(s->tensors);
    bth_arena_finish(&s->arena);
    bth_free(s);
}

int bth_source_open_file(const char *path, bth_source_parse_fn *parse, struct bth_source **out,
                         struct berth_error *err) {
    struct bth_source *s = bth_source_create();
    if (!s || !(s->maps = bth_calloc(1, sizeof(*s->maps)))) {
        bth_source_close(s);
        return bth_error_nomem(err);
    }
    s->n_maps = 1;
    int rc = bth_map_open(s->maps, path, err);
    if (rc == 0) {
        rc = parse(s, s->maps->data, s->maps->size, err);
        if (rc < 0) {
            bth_error_prefix(err, "%s: ", path);
        }
    }
    if (rc < 0) {
        bth_source_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

bool bth_source_bytes(const struct bth_source_tensor *t, size_t *out) {
    size_t n = bth_dtype_bytes(t->dtype);
    for (int i = 0; i < t->rank; i++) {
        if (t->dims[i] < 0 || !bth_mul(n, (size_t)t->dims[i], &n)) {
            return false;
        }
    }
    *out = n;
    return true;
}

/* shape x dtype must be the bytes that there are. */
static int check_tensor(const char *name, const struct bth_source_tensor *t,
                        struct berth_error *err) {
    uint64_t n = 1;
    if (t->rank < 0 || t->rank > BTH_SOURCE_MAX_DIMS) {
        return bth_error(err, BERTH_EFORMAT, "tensor %.100s has %d dimensions, at most %d are read",
                         name, t->rank, BTH_SOURCE_MAX_DIMS);
    }
    for (int i = 0; i < t->rank; i++) {
        uint64_t dim = (uint64_t)t->dims[i];
        if (t->dims[i] < 0 || (dim > 0 && n > max_elements / dim)) {
            return bth_error(err, BERTH_EFORMAT, "tensor %.100s claims an impossible size", name);
        }
        n *= dim;
    }
    if (n * bth_dtype_bytes(t->dtype) != t->bytes) {
        return bth_error(err, BERTH_EFORMAT,
                         "tensor %.100s: %zu bytes do not hold its %llu elements", name, t->bytes,
                         (unsigned long long)n);
    }
    return 0;
}

int bth_source_add(struct bth_source *s, const char *name, size_t name_size,
                   const struct bth_source_tensor *t, struct berth_error *err) {
    if (name_size == 0 || name_size > MAX_NAME || memchr(name, 0, name_size) ||
        !bth_utf8_valid(name, name_size)) {
        return bth_error(err, BERTH_EFORMAT, "a tensor has no usable name");
    }
    char *copy = bth_arena_strndup(&s->arena, name, name_size);
    if (!copy) {
        return bth_error_nomem(err);
    }
    int rc = check_tensor(copy, t, err);
    if (rc < 0) {
        return rc;
    }
    if (s->n == MAX_TENSORS) {
        return bth_error(err, BERTH_EFORMAT, "more than %d tensors", MAX_TENSORS);
    }
    if (s->n == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 64;
        struct bth_source_tensor *p = bth_realloc_array(s->tensors, capacity, sizeof(*p));
        if (!p) {
            return bth_error_nomem(err);
        }
        s->tensors = p;
        s->capacity = capacity;
    }
    s->tensors[s->n] = *t;
    s->tensors[s->n++].name = copy;
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct bth_source_tensor *)a)->name,
                  ((const struct bth_source_tensor *)b)->name);
}

int bth_source_seal(struct bth_source *s, struct berth_error *err) {
    if (s->n) {
        qsort(s->tensors, s->n, sizeof(*s->tensors), by_name);
    }
    for (size_t i = 1; i < s->n; i++) {
        if (strcmp(s->tensors[i - 1].name, s->tensors[i].name) == 0) {
            return bth_error(err, BERTH_EFORMAT, "tensor %.100s is there twice",
                             s->tensors[i].name);
        }
    }
    return 0;
}

size_t bth_source_count(const struct bth_source *s) {
    return s->n;
}

const struct bth_source_tensor *bth_source_at(const struct bth_source *s, size_t i) {
    return i < s->n ? &s->tensors[i] : NULL;
}

const struct bth_source_tensor *bth_source_find(const struct bth_source *s, const char *name) {
    const struct bth_source_tensor key = {.name = name};
    return s->n ? bsearch(&key, s->tensors, s->n, sizeof(key), by_name) : NULL;
}

int bth_source_to_f32(const struct bth_source_tensor *t, float *out, struct berth_error *err) {
    const unsigned char *data = t->data;
    size_t n = t->bytes / bth_dtype_bytes(t->dtype);
    if (t->dtype == BERTH_F32) {
        if (n) {
            memcpy(out, data, t->bytes);
        }
        return 0;
    }
    if (t->dtype != BERTH_F16 && t->dtype != BERTH_BF16) {
        return bth_error(err, BERTH_EFORMAT, "tensor %.100s is not f32, f16 or bf16", t->name);
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, data + 2 * i, sizeof(h)); /* any alignment */
        out[i] = t->dtype == BERTH_F16 ? bth_f16_to_f32(h) : bth_bf16_to_f32(h);
    }
    return 0;
}

/* NumPy archives, as Marian saves them; the layout is in source.h. */
#include "format/source.h"

#include "base/error.h"
#include "base/str.h"
#include "format/source_internal.h"
#include "format/zip.h"
#include <stdlib.h>
#include <string.h>

/* A piece of text that is read from the left. */
struct text {
    const char *p, *end;
};

static void skip_blanks(struct text *t) {
    while (t->p < t->end && (*t->p == ' ' || *t->p == '\n' || *t->p == '\t')) {
        t->p++;
    }
}

static bool take(struct text *t, const char *word) {
    skip_blanks(t);
    size_t n = strlen(word);
    if ((size_t)(t->end - t->p) < n || memcmp(t->p, word, n) != 0) {
        return false;
    }
    t->p += n;
    return true;
}

/* 'text' or "text" */
static bool take_string(struct text *t, char *out, size_t size) {
    skip_blanks(t);
    if (t->p == t->end || (*t->p != '\'' && *t->p != '"')) {
        return false;
    }
    const char *begin = t->p + 1, *stop = memchr(begin, *t->p, (size_t)(t->end - begin));
    if (!stop || (size_t)(stop - begin) >= size) {
        return false;
    }
    memcpy(out, begin, (size_t)(stop - begin));
    out[stop - begin] = '\0';
    t->p = stop + 1;
    return true;
}

static bool take_shape(struct text *t, struct bth_source_tensor *tensor) {
    if (!take(t, "(")) {
        return false;
    }
    while (!take(t, ")")) {
        uint64_t dim = 0;
        const char *begin = t->p;
        for (; t->p < t->end && *t->p >= '0' && *t->p <= '9'; t->p++) {
            dim = dim * 10 + (uint64_t)(*t->p - '0');
            if (dim > INT32_MAX) {
                return false;
            }
        }
        if (t->p == begin || tensor->rank == BTH_SOURCE_MAX_DIMS) {
            return false;
        }
        tensor->dims[tensor->rank++] = (int64_t)dim;
        if (!take(t, ",") && !(t->p < t->end && *t->p == ')')) {
            return false;
        }
    }
    return true;
}

static bool find_dtype(const char *descr, enum berth_dtype *out) {
    static const struct {
        const char *descr;
        enum berth_dtype dtype;
    } types[] = {{"<f4", BERTH_F32}, {"<f2", BERTH_F16}, {"|i1", BERTH_I8}, {"<i2", BERTH_I16},
                 {"<i4", BERTH_I32}, {"<u4", BERTH_U32}, {"|u1", BERTH_I8}, {"|S1", BERTH_I8}};
    for (size_t i = 0; i < BTH_COUNT(types); i++) {
        if (strcmp(descr, types[i].descr) == 0) {
            *out = types[i].dtype;
            return true;
        }
    }
    return false;
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } in any order */
static bool parse_literal(struct text t, struct bth_source_tensor *tensor, bool *known) {
    bool descr = false, order = false, shape = false;
    if (!take(&t, "{")) {
        return false;
    }
    while (!take(&t, "}")) {
        char key[32], value[32];
        if (!take_string(&t, key, sizeof(key)) || !take(&t, ":")) {
            return false;
        }
        if (strcmp(key, "descr") == 0 && !descr) {
            descr = take_string(&t, value, sizeof(value));
            *known = descr && find_dtype(value, &tensor->dtype);
        } else if (strcmp(key, "fortran_order") == 0 && !order) {
            order = take(&t, "False");
        } else if (strcmp(key, "shape") == 0 && !shape) {
            shape = take_shape(&t, tensor);
        } else {
            return false;
        }
        take(&t, ",");
        skip_blanks(&t);
        if (t.p == t.end) {
            return false;
        }
    }
    return descr && order && shape;
}

static int parse_array(struct bth_source *s, const char *name, size_t name_size,
                       const unsigned char *data, size_t size, struct berth_error *err) {
    struct bth_source_tensor t = {0};
    size_t head = 0, n = 0;
    if (size >= 12 && memcmp(data, "\x93NUMPY", 6) == 0) {
        head = data[6] == 1 ? 10 : data[6] == 2 || data[6] == 3 ? 12 : 0;
        n = (size_t)data[8] | (size_t)data[9] << 8;
        n |= head == 12 ? (size_t)data[10] << 16 | (size_t)data[11] << 24 : 0;
    }
    bool known = false;
    if (head == 0 || n > size - head ||
        !parse_literal((struct text){(const char *)data + head, (const char *)data + head + n}, &t,
                       &known)) {
        return bth_error(err, BERTH_EFORMAT, "array %.*s is damaged, or not in C order",
                         (int)(name_size < 100 ? name_size : 100), name);
    }
    if (!known) {
        return bth_error(err, BERTH_EFORMAT, "array %.*s is of a type that is not read",
                         (int)(name_size < 100 ? name_size : 100), name);
    }
    t.data = data + head + n;
    size_t left = size - head - n;
    if (!bth_source_bytes(&t, &t.bytes) || t.bytes > left) {
        t.bytes = left; /* what add will refuse, with its words */
    }
    return bth_source_add(s, name, name_size, &t, err);
}

int bth_npz_parse(struct bth_source *s, const unsigned char *data, size_t size,
                  struct berth_error *err) {
    static const char ending[] = ".npy";
    struct bth_zip zip;
    struct bth_zip_member m;
    int rc = bth_zip_open(&zip, data, size, err);
    while (rc == 0 && (rc = bth_zip_next(&zip, &m, err)) == 1) {
        size_t end = strlen(ending);
        if (m.name_size > end && memcmp(m.name + m.name_size - end, ending, end) == 0) {
            m.name_size -= end;
        }
        const unsigned char *bytes;
        rc = bth_zip_data(&m, &s->arena, &bytes, err);
        if (rc == 0) {
            rc = parse_array(s, m.name, m.name_size, bytes, m.size, err);
        }
    }
    return rc < 0 ? rc : bth_source_seal(s, err);
}

int bth_npz_open(const char *path, struct bth_source **out, struct berth_error *err) {
    return bth_source_open_file(path, bth_npz_parse, out, err);
}

#include "format/npy.h"

#include "base/alloc.h"
#include "base/dtype.h"
#include "base/error.h"
#include <string.h>

enum { MAX_HEADER = 64 << 10 };
static const uint64_t max_elements = UINT64_C(1) << 40;

/* The header's text, read from the left. */
struct reader {
    const char *p, *end;
};

static void skip_spaces(struct reader *r) {
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t')) {
        r->p++;
    }
}

static bool take(struct reader *r, const char *text) {
    skip_spaces(r);
    size_t n = strlen(text);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, text, n) != 0) {
        return false;
    }
    r->p += n;
    return true;
}

/* 'text' or "text", without escapes. */
static bool take_string(struct reader *r, char *out, size_t size) {
    skip_spaces(r);
    if (r->p == r->end || (*r->p != '\'' && *r->p != '"')) {
        return false;
    }
    const char quote = *r->p++;
    const char *end = memchr(r->p, quote, (size_t)(r->end - r->p));
    if (!end || (size_t)(end - r->p) >= size) {
        return false;
    }
    size_t n = (size_t)(end - r->p);
    memcpy(out, r->p, n);
    out[n] = '\0';
    r->p = end + 1;
    return true;
}

/* (2, 3), (2,) or () */
static bool take_shape(struct reader *r, struct bth_npy *out) {
    if (!take(r, "(")) {
        return false;
    }
    out->rank = 0;
    while (!take(r, ")")) {
        uint64_t dim = 0;
        const char *first = (skip_spaces(r), r->p);
        for (; r->p < r->end && *r->p >= '0' && *r->p <= '9' && dim <= max_elements; r->p++) {
            dim = dim * 10 + (uint64_t)(*r->p - '0');
        }
        if (r->p == first || dim > max_elements || out->rank == BTH_NPY_MAX_DIMS) {
            return false;
        }
        out->dims[out->rank++] = (int64_t)dim;
        if (!take(r, ",")) {
            return take(r, ")");
        }
    }
    return true;
}

static bool find_dtype(const char *descr, enum berth_dtype *out) {
    static const struct {
        const char *name;
        enum berth_dtype dtype;
    } names[] = {{"<f4", BERTH_F32}, {"<f2", BERTH_F16}, {"|i1", BERTH_I8}, {"<i1", BERTH_I8},
                 {"<i2", BERTH_I16}, {"<i4", BERTH_I32}, {"<u4", BERTH_U32}};
    for (size_t i = 0; i < BTH_COUNT(names); i++) {
        if (strcmp(descr, names[i].name) == 0) {
            *out = names[i].dtype;
            return true;
        }
    }
    return false;
}

/* What the header says; each key once, in any order. */
static int parse_header(struct reader *r, struct bth_npy *out, struct berth_error *err) {
    char key[32], descr[32] = "";
    bool fortran = false, have_shape = false;
    bool good = take(r, "{");
    while (good && !take(r, "}")) {
        good = take_string(r, key, sizeof(key)) && take(r, ":");
        if (good && strcmp(key, "descr") == 0) {
            good = take_string(r, descr, sizeof(descr));
        } else if (good && strcmp(key, "fortran_order") == 0) {
            fortran = take(r, "True");
            good = fortran || take(r, "False");
        } else if (good && strcmp(key, "shape") == 0) {
            good = have_shape = take_shape(r, out);
        } else {
            good = false;
        }
        if (good && !take(r, ",")) {
            good = take(r, "}");
            break;
        }
    }
    if (!good || !have_shape || !descr[0]) {
        return bth_error(err, BERTH_EFORMAT, "damaged header of a NumPy array");
    }
    if (!find_dtype(descr, &out->dtype)) {
        return bth_error(err, BERTH_EFORMAT,
                         "a NumPy array of type %s; f4, f2, i1, i2, i4 and u4 are read", descr);
    }
    if (fortran && out->rank > 1) {
        return bth_error(err, BERTH_EFORMAT, "a NumPy array in Fortran order is not read");
    }
    return 0;
}

static int check_size(const struct bth_npy *a, struct berth_error *err) {
    uint64_t n = 1;
    for (int i = 0; i < a->rank; i++) {
        uint64_t dim = (uint64_t)a->dims[i];
        if (dim > 0 && n > max_elements / dim) {
            return bth_error(err, BERTH_EFORMAT, "a NumPy array claims an impossible size");
        }
        n *= dim;
    }
    if (n * bth_dtype_bytes(a->dtype) != a->bytes) {
        return bth_error(err, BERTH_EFORMAT,
                         "a NumPy array: %zu bytes do not hold its %llu elements", a->bytes,
                         (unsigned long long)n);
    }
    return 0;
}

int bth_npy_parse(const void *bytes, size_t size, struct bth_npy *out, struct berth_error *err) {
    const unsigned char *p = bytes;
    if (size < 10 || memcmp(p, "\x93NUMPY", 6) != 0 || p[6] < 1 || p[6] > 3) {
        return bth_error(err, BERTH_EFORMAT, "not a NumPy array");
    }
    size_t start = p[6] == 1 ? 10 : 12;
    size_t header = p[8] | (size_t)p[9] << 8;
    if (start == 12 && size >= 12) {
        header |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
    }
    if (size < start || header > MAX_HEADER || header > size - start) {
        return bth_error(err, BERTH_EFORMAT, "a NumPy array is cut short");
    }
    struct reader r = {.p = (const char *)p + start, .end = (const char *)p + start + header};
    struct bth_npy a = {.data = p + start + header, .bytes = size - start - header};
    int rc = parse_header(&r, &a, err);
    if (rc == 0) {
        rc = check_size(&a, err);
    }
    if (rc == 0) {
        *out = a;
    }
    return rc;
}

/* CTranslate2 model.bin, versions 1 to 6; the layout is in source.h. */
#include "format/source.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include "format/source_internal.h"
#include <stdio.h>
#include <string.h>

/* What is left to read. Every take checks; after a failure `bad` stays. */
struct cursor {
    const unsigned char *p;
    size_t left;
    bool bad;
};

static const unsigned char *take(struct cursor *c, size_t n) {
    if (c->bad || n > c->left) {
        c->bad = true;
        return NULL;
    }
    const unsigned char *p = c->p;
    c->p += n;
    c->left -= n;
    return p;
}

static uint32_t take_u8(struct cursor *c) {
    const unsigned char *p = take(c, 1);
    return p ? p[0] : 0;
}

static uint32_t take_u16(struct cursor *c) {
    const unsigned char *p = take(c, 2);
    return p ? (uint32_t)p[0] | (uint32_t)p[1] << 8 : 0;
}

static uint32_t take_u32(struct cursor *c) {
    const unsigned char *p = take(c, 4);
    return p ? (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24
             : 0;
}

/* A string with its NUL inside the length; NULL if it is none. */
static const char *take_string(struct cursor *c, size_t *out_size) {
    uint32_t n = take_u16(c);
    const unsigned char *p = take(c, n);
    if (!p || n == 0 || memchr(p, 0, n) != p + n - 1) {
        c->bad = true;
        return NULL;
    }
    *out_size = n - 1;
    return (const char *)p;
}

static int cut_short(struct berth_error *err) {
    return bth_error(err, BERTH_EFORMAT, "the file is cut short or damaged");
}

/* Before version 4 only the size of an element was written. */
static bool old_dtype(uint32_t size, enum berth_dtype *out) {
    *out = size == 4 ? BERTH_F32 : size == 2 ? BERTH_I16 : BERTH_I8;
    return size == 4 || size == 2 || size == 1;
}

static bool new_dtype(uint32_t code, enum berth_dtype *out) {
    static const enum berth_dtype codes[] = {BERTH_F32, BERTH_I8,  BERTH_I16,
                                             BERTH_I32, BERTH_F16, BERTH_BF16};
    if (code >= BTH_COUNT(codes)) {
        return false;
    }
    *out = codes[code];
    return true;
}

static int parse_variable(struct bth_source *s, struct cursor *c, uint32_t version,
                          struct berth_error *err) {
    struct bth_source_tensor t = {0};
    size_t name_size = 0;
    const char *name = take_string(c, &name_size);
    t.rank = (int)take_u8(c);
    for (int i = 0; i < t.rank && i < BTH_SOURCE_MAX_DIMS; i++) {
        t.dims[i] = take_u32(c);
    }
    if (c->bad) {
        return cut_short(err);
    }
    if (t.rank > BTH_SOURCE_MAX_DIMS) {
        return bth_error(err, BERTH_EFORMAT, "tensor %.100s has %d dimensions, at most %d are read",
                         name, t.rank, BTH_SOURCE_MAX_DIMS);
    }
    uint32_t code = take_u8(c);
    size_t bytes = take_u32(c);
    if (!(version >= 4 ? new_dtype(code, &t.dtype) : old_dtype(code, &t.dtype))) {
        return c->bad
                   ? cut_short(err)
                   : bth_error(err, BERTH_EFORMAT, "tensor %.100s has unknown type %u", name, code);
    }
    if (version < 4 && !bth_mul(bytes, code, &bytes)) {
        return cut_short(err);
    }
    t.bytes = bytes;
    t.data = take(c, bytes);
    return c->bad ? cut_short(err) : bth_source_add(s, name, name_size, &t, err);
}

static const struct bth_source_tensor *find_variable(const struct bth_source *s, size_t n_variables,
                                                     const char *name) {
    const struct bth_source variables = {.tensors = s->tensors, .n = n_variables};
    return bth_source_find(&variables, name);
}

/* Adds an alias, and one of the quantisation scale that belongs to the variable, if it has one: the
 * file names the weight only. */
static int add_alias(struct bth_source *s, size_t n_variables, const char *alias, const char *name,
                     struct berth_error *err) {
    const struct bth_source_tensor *t = find_variable(s, n_variables, name);
    if (!t) {
        return bth_error(err, BERTH_EFORMAT, "alias %.100s names %.100s, which is not there", alias,
                         name);
    }
    struct bth_source_tensor copy = *t; /* adding moves the array */
    int rc = bth_source_add(s, alias, strlen(alias), &copy, err);
    struct bth_str scale = {0};
    bth_str_printf(&scale, "%s_scale", name);
    t = rc == 0 ? find_variable(s, n_variables, bth_str_text(&scale)) : NULL;
    if (t) {
        copy = *t;
        bth_str_clear(&scale);
        bth_str_printf(&scale, "%s_scale", alias);
        rc = bth_source_add(s, bth_str_text(&scale), scale.size, &copy, err);
    }
    if (rc == 0 && scale.failed) {
        rc = bth_error_nomem(err);
    }
    bth_str_finish(&scale);
    return rc;
}

/* Aliases are looked up among the variables: they are sealed first, then again with the aliases. */
static int parse_aliases(struct bth_source *s, struct cursor *c, struct berth_error *err) {
    uint32_t n = take_u32(c);
    int rc = bth_source_seal(s, err);
    size_t n_variables = s->n;
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        size_t size = 0;
        const char *alias = take_string(c, &size), *name = take_string(c, &size);
        rc = c->bad ? cut_short(err) : add_alias(s, n_variables, alias, name, err);
    }
    return rc;
}

int bth_ct2_parse(struct bth_source *s, const unsigned char *data, size_t size,
                  struct berth_error *err) {
    struct cursor c = {data, size, false};
    uint32_t version = take_u32(&c);
    if (c.bad || version < 1 || version > 6) {
        return bth_error(err, BERTH_EFORMAT,
                         "not a CTranslate2 model, or of a version other than 1 to 6");
    }
    s->revision = 1; /* of files that do not say */
    if (version >= 2) {
        size_t n = 0;
        const char *spec = take_string(&c, &n);
        if (!spec) {
            return cut_short(err);
        }
        snprintf(s->spec, sizeof(s->spec), "%s", spec);
        s->revision = take_u32(&c);
    }
    uint32_t n = take_u32(&c);
    int rc = c.bad ? cut_short(err) : 0;
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        rc = parse_variable(s, &c, version, err);
    }
    if (rc == 0 && version >= 3) {
        rc = parse_aliases(s, &c, err);
    }
    if (rc == 0 && c.bad) {
        rc = cut_short(err);
    }
    return rc < 0 ? rc : bth_source_seal(s, err);
}

int bth_ct2_open(const char *path, struct bth_source **out, struct berth_error *err) {
    return bth_source_open_file(path, bth_ct2_parse, out, err);
}

const char *bth_ct2_spec(const struct bth_source *s, uint32_t *out_revision) {
    *out_revision = s->revision;
    return s->spec;
}

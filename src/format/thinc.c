#include "format/thinc.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/dtype.h"
#include "base/error.h"
#include "base/str.h"
#include "format/packed.h"
#include <string.h>

enum { MAX_NODES = 20000 };
static const uint64_t max_elements = UINT64_C(1) << 40;

struct bth_thinc {
    struct bth_arena arena; /* everything but the parameters' data */
    struct bth_thinc_node *nodes;
    size_t n;
};

static int broken(size_t node, const char *what, struct berth_error *err) {
    return bth_error(err, BERTH_EFORMAT, "node %zu: %s", node, what);
}

/* A name or text as a string of the arena. NULL is a failure, told in *rc. */
static const char *copy_text(struct bth_thinc *m, const msgpack_object *o, size_t node, int *rc,
                             struct berth_error *err) {
    size_t n;
    const char *text = bth_packed_text(o, &n);
    if (!text || memchr(text, 0, n) || !bth_utf8_valid(text, n)) {
        *rc = broken(node, "a name or text is missing or is no text", err);
        return NULL;
    }
    const char *copy = bth_arena_strndup(&m->arena, text, n);
    if (!copy) {
        *rc = bth_error_nomem(err);
    }
    return copy;
}

static size_t map_size(const msgpack_object *o) {
    return o && o->type == MSGPACK_OBJECT_MAP ? o->via.map.size : 0;
}

/* {name: integer or nil}; `limit` > 0: integers are below it. */
static int parse_ints(struct bth_thinc *m, size_t node, const msgpack_object *map, int64_t limit,
                      const struct bth_thinc_ref **out, size_t *out_n, struct berth_error *err) {
    const size_t size = map_size(map);
    struct bth_thinc_ref *refs = bth_arena_alloc(&m->arena, size * sizeof(*refs));
    if (!refs) {
        return bth_error_nomem(err);
    }
    size_t n = 0;
    int rc = 0;
    for (size_t i = 0; i < size && rc == 0; i++) {
        const msgpack_object_kv *kv = &map->via.map.ptr[i];
        if (kv->val.type == MSGPACK_OBJECT_NIL) {
            continue;
        }
        struct bth_thinc_ref *ref = &refs[n++];
        ref->name = copy_text(m, &kv->key, node, &rc, err);
        if (rc == 0 && (!bth_packed_int(&kv->val, &ref->value) || ref->value < 0 ||
                        (limit && ref->value >= limit))) {
            rc = broken(node,
                        limit ? "refers to a node that is not there" : "a dimension is no number",
                        err);
        }
    }
    *out = refs;
    *out_n = n;
    return rc;
}

/* Values of attributes: what no reader asks for (maps, binaries) becomes nil. Nesting is limited by
 * bth_packed_open. */
static int convert(struct bth_thinc *m, size_t node, const msgpack_object *o,
                   struct bth_thinc_attr *a, struct berth_error *err) {
    int rc = 0;
    if (o->type == MSGPACK_OBJECT_BOOLEAN) {
        a->kind = BTH_THINC_INT;
        a->integer = o->via.boolean;
    } else if (bth_packed_int(o, &a->integer)) {
        a->kind = BTH_THINC_INT;
    } else if (o->type == MSGPACK_OBJECT_FLOAT32 || o->type == MSGPACK_OBJECT_FLOAT64) {
        a->kind = BTH_THINC_REAL;
        a->real = o->via.f64;
    } else if (o->type == MSGPACK_OBJECT_STR) {
        a->kind = BTH_THINC_TEXT;
        a->text = copy_text(m, o, node, &rc, err);
    } else if (o->type == MSGPACK_OBJECT_ARRAY) {
        a->kind = BTH_THINC_LIST;
        a->n = o->via.array.size;
        struct bth_thinc_attr *items = bth_arena_alloc(&m->arena, a->n * sizeof(*items));
        if (!items) {
            return bth_error_nomem(err);
        }
        for (size_t i = 0; i < a->n && rc == 0; i++) {
            rc = convert(m, node, &o->via.array.ptr[i], &items[i], err);
        }
        a->items = items;
    }
    return rc;
}

static int parse_attr(struct bth_thinc *m, size_t node, const msgpack_object_kv *kv,
                      struct bth_thinc_attr *a, struct berth_error *err) {
    int rc = 0;
    a->name = copy_text(m, &kv->key, node, &rc, err);
    if (rc < 0) {
        return rc;
    }
    size_t n;
    const char *bytes = bth_packed_text(&kv->val, &n);
    if (!bytes) {
        return broken(node, "an attribute is not packed", err);
    }
    struct bth_packed value = {0};
    rc = bth_packed_open(&value, bytes, n, err);
    if (rc == 0) {
        rc = convert(m, node, &value.root, a, err);
    } else {
        bth_error_prefix(err, "node %zu: attribute %.60s: ", node, a->name);
    }
    bth_packed_close(&value);
    return rc;
}

static int parse_attrs(struct bth_thinc *m, size_t node, const msgpack_object *map,
                       struct berth_error *err) {
    const size_t n = map_size(map);
    struct bth_thinc_attr *attrs = bth_arena_alloc(&m->arena, n * sizeof(*attrs));
    if (!attrs) {
        return bth_error_nomem(err);
    }
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = parse_attr(m, node, &map->via.map.ptr[i], &attrs[i], err);
    }
    m->nodes[node].attrs = attrs;
    m->nodes[node].n_attrs = n;
    return rc;
}

static bool find_dtype(const msgpack_object *o, enum berth_dtype *out) {
    static const struct {
        char name[4];
        enum berth_dtype dtype;
    } names[] = {{"<f4", BERTH_F32}, {"<f2", BERTH_F16}, {"<i4", BERTH_I32}, {"<u4", BERTH_U32}};
    size_t n;
    const char *text = bth_packed_text(o, &n);
    for (size_t i = 0; text && n == 3 && i < BTH_COUNT(names); i++) {
        if (memcmp(text, names[i].name, 3) == 0) {
            *out = names[i].dtype;
            return true;
        }
    }
    return false;
}

static int parse_shape(size_t node, const msgpack_object *shape, struct bth_source_tensor *t,
                       struct berth_error *err) {
    if (!shape || shape->type != MSGPACK_OBJECT_ARRAY ||
        shape->via.array.size > BTH_SOURCE_MAX_DIMS) {
        return broken(node, "a parameter has no shape of at most 4 dimensions", err);
    }
    t->rank = (int)shape->via.array.size;
    uint64_t n = 1;
    for (int i = 0; i < t->rank; i++) {
        int64_t dim;
        if (!bth_packed_int(&shape->via.array.ptr[i], &dim) || dim < 0 ||
            (dim > 0 && n > max_elements / (uint64_t)dim)) {
            return broken(node, "a parameter claims an impossible size", err);
        }
        t->dims[i] = dim;
        n *= (uint64_t)dim;
    }
    if (n * bth_dtype_bytes(t->dtype) != t->bytes) {
        return broken(node, "a parameter's bytes do not hold its shape", err);
    }
    return 0;
}

static int parse_param(struct bth_thinc *m, size_t node, const msgpack_object_kv *kv,
                       struct bth_source_tensor *t, struct berth_error *err) {
    int rc = 0;
    t->name = copy_text(m, &kv->key, node, &rc, err);
    if (rc < 0) {
        return rc;
    }
    const msgpack_object *nd = bth_packed_get(&kv->val, "nd");
    if (!nd || nd->type != MSGPACK_OBJECT_BOOLEAN || !nd->via.boolean) {
        return broken(node, "a parameter is no array", err);
    }
    if (!find_dtype(bth_packed_get(&kv->val, "type"), &t->dtype)) {
        return broken(node, "a parameter's type is not read (f4, f2, i4, u4 are)", err);
    }
    t->data = bth_packed_text(bth_packed_get(&kv->val, "data"), &t->bytes);
    if (!t->data) {
        return broken(node, "a parameter has no data", err);
    }
    return parse_shape(node, bth_packed_get(&kv->val, "shape"), t, err);
}

static int parse_params(struct bth_thinc *m, size_t node, const msgpack_object *map,
                        struct berth_error *err) {
    const size_t size = map_size(map);
    struct bth_source_tensor *params = bth_arena_alloc(&m->arena, size * sizeof(*params));
    if (!params) {
        return bth_error_nomem(err);
    }
    size_t n = 0;
    int rc = 0;
    for (size_t i = 0; i < size && rc == 0; i++) {
        if (map->via.map.ptr[i].val.type != MSGPACK_OBJECT_NIL) {
            rc = parse_param(m, node, &map->via.map.ptr[i], &params[n++], err);
        }
    }
    m->nodes[node].params = params;
    m->nodes[node].n_params = n;
    return rc;
}

static int parse_node(struct bth_thinc *m, size_t i, const msgpack_object *node,
                      struct berth_error *err) {
    int64_t index;
    if (!bth_packed_int(bth_packed_get(node, "index"), &index) || index != (int64_t)i) {
        return broken(i, "is not in its place", err);
    }
    int rc = 0;
    struct bth_thinc_node *n = &m->nodes[i];
    n->name = copy_text(m, bth_packed_get(node, "name"), i, &rc, err);
    if (rc == 0) {
        rc = parse_ints(m, i, bth_packed_get(node, "dims"), 0, &n->dims, &n->n_dims, err);
    }
    if (rc == 0) {
        rc = parse_ints(m, i, bth_packed_get(node, "refs"), (int64_t)m->n, &n->refs, &n->n_refs,
                        err);
    }
    return rc;
}

static int parse_root(struct bth_thinc *m, const msgpack_object *root, struct berth_error *err) {
    static const char *const keys[] = {"nodes", "attrs", "params", "shims"};
    const msgpack_object *part[BTH_COUNT(keys)];
    for (size_t i = 0; i < BTH_COUNT(keys); i++) {
        part[i] = bth_packed_get(root, keys[i]);
        if (!part[i] || part[i]->type != MSGPACK_OBJECT_ARRAY ||
            part[i]->via.array.size != part[0]->via.array.size) {
            return bth_error(err, BERTH_EFORMAT, "not a model of thinc: no list of %s", keys[i]);
        }
    }
    m->n = part[0]->via.array.size;
    if (m->n == 0 || m->n > MAX_NODES) {
        return bth_error(err, BERTH_EFORMAT, "a model of %zu nodes; 1 to %d are read", m->n,
                         MAX_NODES);
    }
    m->nodes = bth_arena_alloc(&m->arena, m->n * sizeof(*m->nodes));
    if (!m->nodes) {
        return bth_error_nomem(err);
    }
    int rc = 0;
    for (size_t i = 0; i < m->n && rc == 0; i++) {
        const msgpack_object *shim = &part[3]->via.array.ptr[i];
        rc = parse_node(m, i, &part[0]->via.array.ptr[i], err);
        if (rc == 0 && (shim->type != MSGPACK_OBJECT_ARRAY || shim->via.array.size > 0)) {
            rc = bth_error(err, BERTH_EUNSUPPORTED,
                           "node %zu (%.60s) keeps weights of another framework", i,
                           m->nodes[i].name);
        }
        rc = rc == 0 ? parse_attrs(m, i, &part[1]->via.array.ptr[i], err) : rc;
        rc = rc == 0 ? parse_params(m, i, &part[2]->via.array.ptr[i], err) : rc;
    }
    return rc;
}

int bth_thinc_parse(const void *bytes, size_t size, struct bth_thinc **out,
                    struct berth_error *err) {
    struct bth_packed packed = {0};
    int rc = bth_packed_open(&packed, bytes, size, err);
    if (rc < 0) {
        return rc;
    }
    struct bth_thinc *m = bth_calloc(1, sizeof(*m));
    rc = m ? parse_root(m, &packed.root, err) : bth_error_nomem(err);
    bth_packed_close(&packed);
    if (rc < 0) {
        bth_thinc_close(m);
        return rc;
    }
    *out = m;
    return 0;
}

void bth_thinc_close(struct bth_thinc *m) {
    if (m) {
        bth_arena_finish(&m->arena);
        bth_free(m);
    }
}

size_t bth_thinc_count(const struct bth_thinc *m) {
    return m->n;
}

const struct bth_thinc_node *bth_thinc_at(const struct bth_thinc *m, size_t i) {
    return i < m->n ? &m->nodes[i] : NULL;
}

const struct bth_thinc_attr *bth_thinc_attr(const struct bth_thinc_node *n, const char *name) {
    for (size_t i = 0; i < n->n_attrs; i++) {
        if (strcmp(n->attrs[i].name, name) == 0) {
            return &n->attrs[i];
        }
    }
    return NULL;
}

const struct bth_source_tensor *bth_thinc_param(const struct bth_thinc_node *n, const char *name) {
    for (size_t i = 0; i < n->n_params; i++) {
        if (strcmp(n->params[i].name, name) == 0) {
            return &n->params[i];
        }
    }
    return NULL;
}

static int64_t find_int(const struct bth_thinc_ref *list, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].name, name) == 0) {
            return list[i].value;
        }
    }
    return -1;
}

int64_t bth_thinc_ref(const struct bth_thinc_node *n, const char *name) {
    return find_int(n->refs, n->n_refs, name);
}

int64_t bth_thinc_dim(const struct bth_thinc_node *n, const char *name) {
    return find_int(n->dims, n->n_dims, name);
}

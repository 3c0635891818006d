/* PyTorch state dicts, both containers; the layout is in source.h. */
#include "format/source.h"

#include "base/alloc.h"
#include "base/dtype.h"
#include "base/error.h"
#include "format/pickle.h"
#include "format/source_internal.h"
#include "format/zip.h"
#include <stdlib.h>
#include <string.h>

static const char *const globals[] = {"collections.OrderedDict",
                                      "torch._utils._rebuild_tensor_v2",
                                      "torch._utils._rebuild_parameter",
                                      "torch.FloatStorage",
                                      "torch.HalfStorage",
                                      "torch.BFloat16Storage",
                                      "torch.DoubleStorage",
                                      "torch.LongStorage",
                                      "torch.IntStorage",
                                      "torch.ShortStorage",
                                      "torch.CharStorage",
                                      "torch.ByteStorage",
                                      "torch.BoolStorage",
                                      NULL};

/* A run of bytes that tensors are views of. */
struct storage {
    const char *key;
    size_t key_size;
    const unsigned char *data; /* NULL until it is found */
    size_t bytes, width;       /* width of an element; 0: of no matter */
};

struct loader {
    struct bth_source *s;
    struct bth_arena pickles; /* values; they die with the loader */
    struct storage *storages; /* [n], sorted by key once complete */
    size_t n, capacity;
    struct berth_error *err;
};

static int damaged(struct loader *l, const char *what) {
    return bth_error(l->err, BERTH_EFORMAT, "the state dict is damaged: %s", what);
}

static int by_key(const void *a, const void *b) {
    const struct storage *x = a, *y = b;
    size_t n = x->key_size < y->key_size ? x->key_size : y->key_size;
    int order = memcmp(x->key, y->key, n);
    return order ? order : x->key_size < y->key_size ? -1 : x->key_size > y->key_size;
}

static int add_storage(struct loader *l, const struct storage *storage) {
    if (l->n == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 64;
        struct storage *p = bth_realloc_array(l->storages, capacity, sizeof(*p));
        if (!p) {
            return bth_error_nomem(l->err);
        }
        l->storages = p;
        l->capacity = capacity;
    }
    l->storages[l->n++] = *storage;
    return 0;
}

static struct storage *find_storage(const struct loader *l, const struct bth_pickle *key) {
    struct storage want = {.key = key->text, .key_size = key->size};
    return l->n && key->size ? bsearch(&want, l->storages, l->n, sizeof(want), by_key) : NULL;
}

/* ---- what the pickle says of a tensor --------------------------------------------------------*/

struct view {
    const struct bth_pickle *key; /* of its storage */
    enum berth_dtype dtype;
    bool weight; /* of a type that is read; others are left out */
    size_t width;
    int64_t offset; /* elements */
    struct bth_source_tensor t;
};

static int storage_type(struct loader *l, const struct bth_pickle *type, struct view *v) {
    static const struct {
        const char *name;
        enum berth_dtype dtype;
        bool weight;
        size_t width;
    } types[] = {
        {"torch.FloatStorage", BERTH_F32, true, 4},     {"torch.HalfStorage", BERTH_F16, true, 2},
        {"torch.BFloat16Storage", BERTH_BF16, true, 2}, {"torch.IntStorage", BERTH_I32, true, 4},
        {"torch.ShortStorage", BERTH_I16, true, 2},     {"torch.CharStorage", BERTH_I8, true, 1},
        {"torch.LongStorage", BERTH_I32, false, 8},     {"torch.ByteStorage", BERTH_I8, false, 1},
        {"torch.BoolStorage", BERTH_I8, false, 1}};
    for (size_t i = 0; type->kind == BTH_PICKLE_GLOBAL && i < BTH_COUNT(types); i++) {
        if (strcmp(type->text, types[i].name) == 0) {
            v->dtype = types[i].dtype;
            v->weight = types[i].weight;
            v->width = types[i].width;
            return 0;
        }
    }
    return damaged(l, "a storage is of a type that is not read");
}

/* ('storage', type, key, location, elements) and in the older form a view, which must be None. */
static int read_storage(struct loader *l, const struct bth_pickle *p, struct view *v) {
    const struct bth_pickle *id = p->kind == BTH_PICKLE_PERSISTENT ? p->items[0] : NULL;
    if (!id || id->kind != BTH_PICKLE_TUPLE || id->n < 5 || id->n > 6 ||
        !bth_pickle_is_text(id->items[0], "storage") || id->items[2]->kind != BTH_PICKLE_TEXT ||
        (id->n == 6 && id->items[5]->kind != BTH_PICKLE_NONE)) {
        return damaged(l, "no storage behind a tensor");
    }
    v->key = id->items[2];
    return storage_type(l, id->items[1], v);
}

static bool is_int(const struct bth_pickle *p) {
    return p->kind == BTH_PICKLE_INT && !p->text && p->integer >= 0;
}

/* Sizes, and strides that must be those of dense rows (where there is more than one element). */
static int read_shape(struct loader *l, const struct bth_pickle *sizes,
                      const struct bth_pickle *strides, struct bth_source_tensor *t) {
    if (sizes->kind != BTH_PICKLE_TUPLE || strides->kind != BTH_PICKLE_TUPLE ||
        sizes->n != strides->n || sizes->n > BTH_SOURCE_MAX_DIMS) {
        return damaged(l, "no shape of at most 4 dimensions");
    }
    int64_t dense = 1;
    t->rank = (int)sizes->n;
    for (size_t i = sizes->n; i-- > 0;) {
        const struct bth_pickle *size = sizes->items[i], *stride = strides->items[i];
        if (!is_int(size) || !is_int(stride) || size->integer > INT32_MAX) {
            return damaged(l, "an impossible shape");
        }
        if (size->integer > 1 && stride->integer != dense) {
            return bth_error(l->err, BERTH_EFORMAT, "a tensor does not lie in rows");
        }
        t->dims[i] = size->integer;
        if (__builtin_mul_overflow(dense, size->integer, &dense)) {
            return damaged(l, "an impossible shape");
        }
    }
    return 0;
}

/* The call that rebuilds a tensor, maybe inside of one that makes a parameter of it. */
static int read_view(struct loader *l, const struct bth_pickle *p, struct view *v) {
    if (p->kind == BTH_PICKLE_CALL && p->n == 2 &&
        strcmp(p->items[0]->text, "torch._utils._rebuild_parameter") == 0 && p->items[1]->n >= 1) {
        p = p->items[1]->items[0];
    }
    if (p->kind != BTH_PICKLE_CALL || p->n != 2 ||
        strcmp(p->items[0]->text, "torch._utils._rebuild_tensor_v2") != 0 || p->items[1]->n < 4) {
        return damaged(l, "something else than a tensor in it");
    }
    struct bth_pickle *const *arguments = p->items[1]->items;
    if (!is_int(arguments[1])) {
        return damaged(l, "an impossible offset");
    }
    *v = (struct view){.offset = arguments[1]->integer};
    int rc = read_storage(l, arguments[0], v);
    return rc < 0 ? rc : read_shape(l, arguments[2], arguments[3], &v->t);
}

static int check_dict(struct loader *l, const struct bth_pickle *dict) {
    bool ordered = dict->kind == BTH_PICKLE_CALL &&
                   strcmp(dict->items[0]->text, "collections.OrderedDict") == 0;
    return ordered || dict->kind == BTH_PICKLE_DICT ? 0 : damaged(l, "it is no dictionary");
}

static size_t first_item(const struct bth_pickle *dict) {
    return dict->kind == BTH_PICKLE_CALL ? 2 : 0; /* behind function and arguments */
}

static int add_tensor(struct loader *l, const struct bth_pickle *name,
                      const struct bth_pickle *value) {
    struct view v;
    int rc =
        name->kind == BTH_PICKLE_TEXT ? read_view(l, value, &v) : damaged(l, "a name is no text");
    if (rc < 0 || !v.weight) {
        return rc;
    }
    const struct storage *storage = find_storage(l, v.key);
    size_t offset;
    v.t.dtype = v.dtype;
    if (!storage || !storage->data || !bth_mul((size_t)v.offset, v.width, &offset) ||
        !bth_source_bytes(&v.t, &v.t.bytes) || offset > storage->bytes ||
        v.t.bytes > storage->bytes - offset) {
        return bth_error(l->err, BERTH_EFORMAT, "tensor %.*s lies outside of its storage",
                         (int)(name->size < 100 ? name->size : 100), name->text);
    }
    v.t.data = storage->data + offset;
    return bth_source_add(l->s, name->text, name->size, &v.t, l->err);
}

static int add_tensors(struct loader *l, const struct bth_pickle *dict) {
    int rc = check_dict(l, dict);
    for (size_t i = first_item(dict); rc == 0 && i + 1 < dict->n; i += 2) {
        rc = add_tensor(l, dict->items[i], dict->items[i + 1]);
    }
    return rc;
}

static int read_pickle(struct loader *l, const unsigned char *data, size_t size, size_t *at,
                       struct bth_pickle **out) {
    return bth_pickle_read(data, size, at, globals, &l->pickles, out, l->err);
}

/* ---- the zip: ROOT/data.pkl, ROOT/data/KEY ---------------------------------------------------*/

/* The name behind ROOT/, whatever ROOT is. */
static void cut_root(const struct bth_zip_member *m, const char **name, size_t *n) {
    const char *slash = m->name_size ? memchr(m->name, '/', m->name_size) : NULL;
    *name = slash ? slash + 1 : m->name;
    *n = m->name_size - (size_t)(*name - m->name);
}

static bool is_name(const char *name, size_t n, const char *text) {
    return n == strlen(text) && memcmp(name, text, n) == 0;
}

/* The storages; *out is the pickle. */
static int read_members(struct loader *l, struct bth_zip *zip, struct bth_zip_member *out) {
    struct bth_zip_member m;
    bool pickle = false;
    int rc;
    while ((rc = bth_zip_next(zip, &m, l->err)) == 1) {
        const char *name;
        size_t n;
        cut_root(&m, &name, &n);
        if (is_name(name, n, "data.pkl")) {
            *out = m;
            pickle = true;
        } else if (is_name(name, n, "byteorder") &&
                   (m.deflated || !is_name((const char *)m.data, m.size, "little"))) {
            return bth_error(l->err, BERTH_EFORMAT, "the tensors are big-endian");
        } else if (n > 5 && memcmp(name, "data/", 5) == 0) {
            struct storage storage = {.key = name + 5, .key_size = n - 5, .bytes = m.size};
            rc = bth_zip_data(&m, &l->s->arena, &storage.data, l->err);
            rc = rc < 0 ? rc : add_storage(l, &storage);
            if (rc < 0) {
                return rc;
            }
        }
    }
    return rc < 0 || pickle ? rc : damaged(l, "there is no data.pkl");
}

static int read_zip(struct loader *l, const unsigned char *data, size_t size) {
    struct bth_zip zip;
    struct bth_zip_member m;
    const unsigned char *pickle;
    int rc = bth_zip_open(&zip, data, size, l->err);
    if (rc == 0) {
        rc = read_members(l, &zip, &m);
    }
    if (rc == 0) {
        rc = bth_zip_data(&m, &l->pickles, &pickle, l->err);
    }
    if (rc < 0) {
        return rc;
    }
    if (l->n) {
        qsort(l->storages, l->n, sizeof(*l->storages), by_key);
    }
    size_t at = 0;
    struct bth_pickle *dict;
    rc = read_pickle(l, pickle, m.size, &at, &dict);
    return rc < 0 ? rc : add_tensors(l, dict);
}

/* ---- the older form --------------------------------------------------------------------------*/

static const unsigned char magic[10] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

/* Magic number, protocol version, system's sizes. */
static int read_head(struct loader *l, const unsigned char *data, size_t size, size_t *at) {
    struct bth_pickle *number, *protocol, *sizes;
    int rc = read_pickle(l, data, size, at, &number);
    if (rc == 0 && (number->kind != BTH_PICKLE_INT || number->size != sizeof(magic) ||
                    memcmp(number->text, magic, sizeof(magic)) != 0)) {
        return bth_error(l->err, BERTH_EFORMAT, "not a PyTorch file");
    }
    if (rc == 0) {
        rc = read_pickle(l, data, size, at, &protocol);
    }
    if (rc == 0 && (!is_int(protocol) || protocol->integer != 1001)) {
        return damaged(l, "another protocol than 1001");
    }
    if (rc == 0) {
        rc = read_pickle(l, data, size, at, &sizes);
    }
    const struct bth_pickle *little =
        rc == 0 && sizes->kind == BTH_PICKLE_DICT ? bth_pickle_get(sizes, "little_endian") : NULL;
    return rc == 0 && (!little || little->integer != 1) ? damaged(l, "the tensors are big-endian")
                                                        : rc;
}

/* The storages that tensors name, each once. */
static int collect_storages(struct loader *l, const struct bth_pickle *dict) {
    int rc = check_dict(l, dict);
    for (size_t i = first_item(dict); rc == 0 && i + 1 < dict->n; i += 2) {
        struct view v;
        rc = read_view(l, dict->items[i + 1], &v);
        struct storage storage = {0};
        if (rc == 0) {
            storage =
                (struct storage){.key = v.key->text, .key_size = v.key->size, .width = v.width};
            rc = add_storage(l, &storage);
        }
    }
    if (l->n) {
        qsort(l->storages, l->n, sizeof(*l->storages), by_key);
    }
    size_t kept = 0;
    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        if (kept == 0 || by_key(&l->storages[kept - 1], &l->storages[i]) != 0) {
            l->storages[kept++] = l->storages[i];
        } else if (l->storages[kept - 1].width != l->storages[i].width) {
            rc = damaged(l, "a storage is of two types");
        }
    }
    l->n = kept;
    return rc;
}

/* Keys in the order of the data: for each, i64 elements, elements. */
static int place_storages(struct loader *l, const struct bth_pickle *keys,
                          const unsigned char *data, size_t size, size_t at) {
    if (keys->kind != BTH_PICKLE_LIST) {
        return damaged(l, "there is no list of storages");
    }
    for (size_t i = 0; i < keys->n; i++) {
        struct storage *storage =
            keys->items[i]->kind == BTH_PICKLE_TEXT ? find_storage(l, keys->items[i]) : NULL;
        if (!storage || storage->data || size - at < 8) {
            return damaged(l, "a storage is unknown, there twice or missing");
        }
        uint64_t n = 0;
        for (int j = 0; j < 8; j++) {
            n |= (uint64_t)data[at++] << (8 * j);
        }
        if (n > (size - at) / storage->width) {
            return damaged(l, "a storage is cut short");
        }
        storage->data = data + at;
        storage->bytes = (size_t)n * storage->width;
        at += storage->bytes;
    }
    return 0;
}

static int read_old(struct loader *l, const unsigned char *data, size_t size) {
    size_t at = 0;
    struct bth_pickle *dict, *keys;
    int rc = read_head(l, data, size, &at);
    if (rc == 0) {
        rc = read_pickle(l, data, size, &at, &dict);
    }
    if (rc == 0) {
        rc = collect_storages(l, dict);
    }
    if (rc == 0) {
        rc = read_pickle(l, data, size, &at, &keys);
    }
    if (rc == 0) {
        rc = place_storages(l, keys, data, size, at);
    }
    return rc < 0 ? rc : add_tensors(l, dict);
}

int bth_torch_parse(struct bth_source *s, const unsigned char *data, size_t size,
                    struct berth_error *err) {
    struct loader l = {.s = s, .err = err};
    bool zip = size >= 4 && memcmp(data, "PK\3\4", 4) == 0;
    int rc = zip ? read_zip(&l, data, size) : read_old(&l, data, size);
    bth_free(l.storages);
    bth_arena_finish(&l.pickles);
    return rc < 0 ? rc : bth_source_seal(s, err);
}

int bth_torch_open(const char *path, struct bth_source **out, struct berth_error *err) {
    return bth_source_open_file(path, bth_torch_parse, out, err);
}

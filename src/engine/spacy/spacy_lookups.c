#include "spacy/spacy_lookups.h"

#include "base/alloc.h"
#include "base/error.h"
#include <string.h>

struct entry {
    uint64_t id;
    const msgpack_object *value; /* NULL: a free slot */
};

enum { REACH = 4096 }; /* slots from its place on that an id may lie in */

struct spacy_table {
    const char *name; /* [name_size] */
    size_t name_size;
    struct entry *slots; /* [capacity], a power of two */
    size_t n, capacity;
};

struct spacy_lookups {
    struct spacy_file file;
    struct bth_packed packed;
    struct spacy_table *tables;
    size_t n;
};

/* Ids are hashes: their low bits place them. Reserved ones are small and few. */
static struct entry *find_slot(const struct spacy_table *t, uint64_t id) {
    size_t at = (size_t)id & (t->capacity - 1);
    while (t->slots[at].value && t->slots[at].id != id) {
        at = (at + 1) & (t->capacity - 1);
    }
    return &t->slots[at];
}

/* A key is an id, or text that is made one. */
static bool key_id(const msgpack_object *key, uint64_t *out) {
    if (key->type == MSGPACK_OBJECT_POSITIVE_INTEGER) {
        *out = key->via.u64;
        return true;
    }
    size_t n;
    const char *text = bth_packed_text(key, &n);
    if (text) {
        *out = spacy_string_id(text, n);
    }
    return text != NULL;
}

static int build_table(struct spacy_table *t, const msgpack_object_kv *kv,
                       struct berth_error *err) {
    t->name = bth_packed_text(&kv->key, &t->name_size);
    if (!t->name || kv->val.type != MSGPACK_OBJECT_MAP) {
        return bth_error(err, BERTH_EFORMAT, "a lookup table has no name, or is no map");
    }
    const msgpack_object_map *map = &kv->val.via.map;
    t->capacity = 8;
    while (3 * t->capacity < 4 * ((size_t)map->size + 1)) {
        t->capacity *= 2;
    }
    t->slots = bth_calloc(t->capacity, sizeof(*t->slots));
    if (!t->slots) {
        return bth_error_nomem(err);
    }
    for (uint32_t i = 0; i < map->size; i++) {
        uint64_t id;
        if (!key_id(&map->ptr[i].key, &id)) {
            return bth_error(err, BERTH_EFORMAT, "a lookup table has a key that is no id");
        }
        struct entry *slot = find_slot(t, id);
        if ((((size_t)(slot - t->slots) - (size_t)id) & (t->capacity - 1)) > REACH) {
            return bth_error(err, BERTH_EFORMAT, "a lookup table's ids are no hashes");
        }
        t->n += slot->value == NULL;
        *slot = (struct entry){.id = id, .value = &map->ptr[i].val};
    }
    return 0;
}

static int build(struct spacy_lookups *l, struct berth_error *err) {
    int rc = bth_packed_open(&l->packed, l->file.data, l->file.size, err);
    if (rc < 0) {
        return rc;
    }
    const msgpack_object *root = &l->packed.root;
    if (root->type != MSGPACK_OBJECT_MAP) {
        return bth_error(err, BERTH_EFORMAT, "lookups are no map");
    }
    l->tables = bth_calloc(root->via.map.size, sizeof(*l->tables));
    if (!l->tables) {
        return bth_error_nomem(err);
    }
    while (l->n < root->via.map.size && rc == 0) {
        rc = build_table(&l->tables[l->n], &root->via.map.ptr[l->n], err);
        l->n++;
    }
    return rc;
}

/* From the mapping to the heap: a file that shrinks later must not kill who looks something up. */
static int keep(struct spacy_file *f, struct berth_error *err) {
    if (f->heap) {
        return 0;
    }
    void *copy = bth_memdup(f->data, f->size);
    if (!copy) {
        return bth_error_nomem(err);
    }
    bth_map_close(&f->map);
    f->data = f->heap = copy;
    return 0;
}

int spacy_lookups_open(struct spacy_file *file, struct spacy_lookups **out,
                       struct berth_error *err) {
    struct spacy_lookups *l = bth_calloc(1, sizeof(*l));
    if (!l) {
        spacy_file_close(file);
        return bth_error_nomem(err);
    }
    l->file = *file;
    *file = (struct spacy_file){0};
    int rc = keep(&l->file, err);
    rc = rc < 0 ? rc : build(l, err);
    if (rc < 0) {
        spacy_lookups_close(l);
        return rc;
    }
    *out = l;
    return 0;
}

void spacy_lookups_close(struct spacy_lookups *l) {
    if (!l) {
        return;
    }
    for (size_t i = 0; i < l->n; i++) {
        bth_free(l->tables[i].slots);
    }
    bth_free(l->tables);
    bth_packed_close(&l->packed);
    spacy_file_close(&l->file);
    bth_free(l);
}

const struct spacy_table *spacy_lookups_table(const struct spacy_lookups *l, const char *name) {
    const size_t n = strlen(name);
    for (size_t i = 0; l && i < l->n; i++) {
        if (l->tables[i].name_size == n && memcmp(l->tables[i].name, name, n) == 0) {
            return &l->tables[i];
        }
    }
    return NULL;
}

const msgpack_object *spacy_table_get(const struct spacy_table *t, uint64_t id) {
    return t ? find_slot(t, id)->value : NULL;
}

/* safetensors files and sharded directories; the layout is in source.h. */
#include "format/source.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include "format/source_internal.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_HEADER = 100 << 20, MAX_INDEX = 64 << 20, MAX_SHARDS = 1000 };

struct dtype_name {
    const char *name;
    enum berth_dtype dtype;
};

static bool find_dtype(const char *name, enum berth_dtype *out) {
    static const struct dtype_name names[] = {
        {"F32", BERTH_F32}, {"F16", BERTH_F16}, {"BF16", BERTH_BF16}, {"I8", BERTH_I8},
        {"I16", BERTH_I16}, {"I32", BERTH_I32}, {"U32", BERTH_U32}};
    for (size_t i = 0; name && i < BTH_COUNT(names); i++) {
        if (strcmp(name, names[i].name) == 0) {
            *out = names[i].dtype;
            return true;
        }
    }
    return false;
}

static int broken(const char *name, const char *what, struct berth_error *err) {
    return bth_error(err, BERTH_EFORMAT, "tensor %.100s: %s", name, what);
}

/* A range of the data, to find overlaps. */
struct range {
    size_t begin, end;
};

static int parse_shape(const char *name, json_t *shape, struct bth_source_tensor *t,
                       struct berth_error *err) {
    if (!json_is_array(shape) || json_array_size(shape) > BTH_SOURCE_MAX_DIMS) {
        return broken(name, "no shape of at most 4 dimensions", err);
    }
    t->rank = (int)json_array_size(shape);
    for (int i = 0; i < t->rank; i++) {
        json_t *dim = json_array_get(shape, (size_t)i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0) {
            return broken(name, "a dimension is no number", err);
        }
        t->dims[i] = json_integer_value(dim);
    }
    return 0;
}

static int parse_tensor(struct bth_source *s, const char *name, json_t *entry,
                        const unsigned char *data, size_t size, struct range *range,
                        struct berth_error *err) {
    struct bth_source_tensor t = {0};
    if (!find_dtype(json_string_value(json_object_get(entry, "dtype")), &t.dtype)) {
        return broken(name, "a type that is not read (F32, F16, BF16, I8, I16, I32, U32 are)", err);
    }
    int rc = parse_shape(name, json_object_get(entry, "shape"), &t, err);
    if (rc < 0) {
        return rc;
    }
    json_t *offsets = json_object_get(entry, "data_offsets");
    json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(begin) > json_integer_value(end) ||
        (uint64_t)json_integer_value(end) > size) {
        return broken(name, "its place is not inside the file", err);
    }
    range->begin = (size_t)json_integer_value(begin);
    range->end = (size_t)json_integer_value(end);
    t.data = data + range->begin;
    t.bytes = range->end - range->begin;
    return bth_source_add(s, name, strlen(name), &t, err);
}

static int by_begin(const void *a, const void *b) {
    const struct range *x = a, *y = b;
    if (x->begin != y->begin) {
        return x->begin < y->begin ? -1 : 1;
    }
    return x->end < y->end ? -1 : x->end > y->end;
}

static int parse_header(struct bth_source *s, json_t *root, const unsigned char *data, size_t size,
                        struct berth_error *err) {
    size_t n = json_object_size(root), have = 0;
    struct range *ranges = bth_calloc(n, sizeof(*ranges));
    if (!ranges) {
        return bth_error_nomem(err);
    }
    const char *name;
    json_t *entry;
    int rc = 0;
    json_object_foreach(root, name, entry) {
        if (rc == 0 && strcmp(name, "__metadata__") != 0) {
            rc = parse_tensor(s, name, entry, data, size, &ranges[have++], err);
        }
    }
    if (rc == 0) {
        qsort(ranges, have, sizeof(*ranges), by_begin);
    }
    for (size_t i = 1; rc == 0 && i < have; i++) {
        if (ranges[i].begin < ranges[i - 1].end) {
            rc = bth_error(err, BERTH_EFORMAT, "tensors overlap at byte %zu", ranges[i].begin);
        }
    }
    bth_free(ranges);
    return rc;
}

int bth_safetensors_parse(struct bth_source *s, const unsigned char *data, size_t size,
                          struct berth_error *err) {
    uint64_t header = 0;
    for (int i = 0; i < 8 && size >= 8; i++) {
        header |= (uint64_t)data[i] << (8 * i);
    }
    if (size < 8 || header > size - 8 || header > MAX_HEADER) {
        return bth_error(err, BERTH_EFORMAT, "not a safetensors file, or cut short");
    }
    json_error_t why;
    json_t *root = json_loadb((const char *)data + 8, (size_t)header, JSON_REJECT_DUPLICATES, &why);
    int rc;
    if (!json_is_object(root)) {
        rc = bth_error(err, BERTH_EFORMAT, "damaged header: %.100s", root ? "no object" : why.text);
    } else {
        size_t start = 8 + (size_t)header;
        rc = parse_header(s, root, data + start, size - start, err);
    }
    json_decref(root);
    return rc;
}

/* Maps one file and adds its tensors. s->maps has room. */
static int add_file(struct bth_source *s, const char *path, struct berth_error *err) {
    struct bth_map *map = &s->maps[s->n_maps];
    int rc = bth_map_open(map, path, err);
    if (rc < 0) {
        return rc;
    }
    s->n_maps++;
    rc = bth_safetensors_parse(s, map->data, map->size, err);
    if (rc < 0) {
        bth_error_prefix(err, "%s: ", path);
    }
    return rc;
}

static int add_shard(struct bth_source *s, const char *dir, const char *name,
                     struct berth_error *err) {
    if (strchr(name, '/') || name[0] == '.' || !*name) {
        return bth_error(err, BERTH_EFORMAT, "%s: shard %.100s is not in the model's own folder",
                         dir, name);
    }
    char *path = bth_path_join(dir, name);
    int rc = path ? add_file(s, path, err) : bth_error_nomem(err);
    bth_free(path);
    return rc;
}

/* Every shard that the index names, once; then every tensor that it names must be there. */
static int add_shards(struct bth_source *s, const char *dir, json_t *index,
                      struct berth_error *err) {
    json_t *weights = json_object_get(index, "weight_map"), *seen = json_object(), *file;
    const char *tensor;
    int rc = json_is_object(weights) && seen
                 ? 0
                 : bth_error(err, BERTH_EFORMAT, "%s: the index has no weight_map", dir);
    json_object_foreach(weights, tensor, file) {
        const char *name = json_string_value(file);
        if (rc < 0 || (name && json_object_get(seen, name))) {
            continue;
        }
        if (!name || json_object_size(seen) == MAX_SHARDS ||
            json_object_set_new(seen, name, json_true()) < 0) {
            rc = bth_error(err, BERTH_EFORMAT, "%s: the index is damaged", dir);
            continue;
        }
        struct bth_map *maps = bth_realloc_array(s->maps, s->n_maps + 1, sizeof(*maps));
        if (!maps) {
            rc = bth_error_nomem(err);
            continue;
        }
        s->maps = maps;
        rc = add_shard(s, dir, name, err);
    }
    json_decref(seen);
    rc = rc < 0 ? rc : bth_source_seal(s, err);
    json_object_foreach(weights, tensor, file) {
        if (rc == 0 && !bth_source_find(s, tensor)) {
            rc = bth_error(err, BERTH_EFORMAT, "%s: tensor %.100s is in no shard", dir, tensor);
        }
    }
    return rc;
}

static int add_sharded(struct bth_source *s, const char *dir, const char *index_path,
                       struct berth_error *err) {
    char *text;
    size_t size;
    int rc = bth_read_file(index_path, MAX_INDEX, &text, &size, err);
    if (rc < 0) {
        return rc;
    }
    json_error_t why;
    json_t *index = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);
    rc = index ? add_shards(s, dir, index, err)
               : bth_error(err, BERTH_EFORMAT, "%s: %.100s", index_path, why.text);
    json_decref(index);
    bth_free(text);
    return rc;
}

static int open_dir(struct bth_source *s, const char *dir, struct berth_error *err) {
    char *single = bth_path_join(dir, "model.safetensors");
    char *index = bth_path_join(dir, "model.safetensors.index.json");
    int rc;
    if (!single || !index) {
        rc = bth_error_nomem(err);
    } else if (bth_is_file(single)) {
        rc = add_file(s, single, err);
    } else if (bth_is_file(index)) {
        rc = add_sharded(s, dir, index, err);
    } else {
        rc = bth_error(err, BERTH_ENOTFOUND, "%s holds no model.safetensors", dir);
    }
    bth_free(single);
    bth_free(index);
    return rc;
}

int bth_safetensors_open(const char *path, struct bth_source **out, struct berth_error *err) {
    struct bth_source *s = bth_source_create();
    if (!s || !(s->maps = bth_calloc(1, sizeof(*s->maps)))) {
        bth_source_close(s);
        return bth_error_nomem(err);
    }
    int rc = bth_is_dir(path) ? open_dir(s, path, err) : add_file(s, path, err);
    if (rc == 0) {
        rc = bth_source_seal(s, err);
    }
    if (rc < 0) {
        bth_source_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

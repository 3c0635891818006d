#include "marian/marian_json.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MAX_JSON = 64 << 20 };

int marian_json_load(const char *dir, const char *name, json_t **out, struct berth_error *err) {
    char *path = bth_path_join(dir, name);
    char *text = NULL;
    size_t n;
    json_t *o = NULL;
    int rc = path ? 0 : bth_error_nomem(err);
    if (rc == 0 && bth_is_file(path)) {
        rc = bth_read_file(path, MAX_JSON, &text, &n, err);
        json_error_t why;
        o = rc == 0 ? json_loadb(text, n, 0, &why) : NULL;
        if (rc == 0 && !json_is_object(o)) {
            rc = bth_error(err, BERTH_EFORMAT, "%s: %.100s", path, o ? "no object" : why.text);
        }
    }
    if (rc < 0) {
        json_decref(o);
    } else {
        *out = o;
    }
    bth_free(text);
    bth_free(path);
    return rc;
}

int64_t marian_json_int(const json_t *o, const char *key, int64_t otherwise) {
    const json_t *v = json_object_get(o, key);
    return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

float marian_json_float(const json_t *o, const char *key, float otherwise) {
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? (float)json_number_value(v) : otherwise;
}

bool marian_json_bool(const json_t *o, const char *key, bool otherwise) {
    const json_t *v = json_object_get(o, key);
    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

int32_t marian_json_id(const json_t *o, const char *key, int32_t otherwise) {
    const json_t *v = json_object_get(o, key);
    if (json_is_array(v)) {
        v = json_array_get(v, 0);
    }
    json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;
    return id >= 0 && id <= INT32_MAX ? (int32_t)id : otherwise;
}

static int yaml_add(struct marian_yaml *y, const char *key, const char *value, size_t index,
                    struct berth_error *err) {
    if (y->n == y->capacity) {
        size_t capacity = y->capacity ? 2 * y->capacity : 64;
        struct marian_yaml_item *items = bth_realloc_array(y->items, capacity, sizeof(*items));
        if (!items) {
            return bth_error_nomem(err);
        }
        y->items = items;
        y->capacity = capacity;
    }
    y->items[y->n++] = (struct marian_yaml_item){key, value, index};
    return 0;
}

/* Where in the document the parser is. */
struct walk {
    struct marian_yaml *y;
    int depth;       /* of mappings and sequences; 1: in the top mapping */
    bool list;       /* depth 2 is a sequence of its own */
    const char *key; /* of the value that comes; NULL: a key comes */
    size_t index;
};

static int on_scalar(struct walk *w, const char *text, size_t n, struct berth_error *err) {
    if (w->depth > 2 || (w->depth == 2 && !w->list)) {
        return 0;
    }
    char *copy = bth_arena_strndup(&w->y->arena, text, n);
    if (!copy) {
        return bth_error_nomem(err);
    }
    if (w->depth == 1 && !w->key) {
        w->key = copy;
        return 0;
    }
    int rc = w->key ? yaml_add(w->y, w->key, copy, w->index++, err) : 0;
    if (w->depth == 1) {
        w->key = NULL;
        w->index = 0;
    }
    return rc;
}

static int on_event(struct walk *w, const yaml_event_t *e, struct berth_error *err) {
    switch (e->type) {
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        if (w->depth == 0 && e->type == YAML_SEQUENCE_START_EVENT) {
            return bth_error(err, BERTH_EFORMAT, "a list is no configuration");
        }
        if (w->depth == 1 && !w->key) {
            return bth_error(err, BERTH_EFORMAT, "a key is no text");
        }
        w->list = ++w->depth == 2 ? e->type == YAML_SEQUENCE_START_EVENT : w->list;
        return 0;
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        if (--w->depth == 1) {
            w->key = NULL;
            w->index = 0;
        }
        return 0;
    case YAML_ALIAS_EVENT:
        return bth_error(err, BERTH_EFORMAT, "YAML aliases are not read");
    case YAML_SCALAR_EVENT:
        return w->depth == 0
                   ? bth_error(err, BERTH_EFORMAT, "no configuration")
                   : on_scalar(w, (const char *)e->data.scalar.value, e->data.scalar.length, err);
    default:
        return 0;
    }
}

int marian_yaml_parse(struct marian_yaml *y, const char *text, size_t n, struct berth_error *err) {
    *y = (struct marian_yaml){0};
    struct walk w = {.y = y};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        return bth_error_nomem(err);
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
    int rc = 0;
    for (bool more = true; more && rc == 0;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            rc = parser.error == YAML_MEMORY_ERROR
                     ? bth_error_nomem(err)
                     : bth_error(err, BERTH_EFORMAT, "line %zu: %.100s",
                                 parser.problem_mark.line + 1,
                                 parser.problem ? parser.problem : "no YAML");
            break;
        }
        more = event.type != YAML_DOCUMENT_END_EVENT && event.type != YAML_STREAM_END_EVENT;
        rc = on_event(&w, &event, err);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (rc < 0) {
        marian_yaml_finish(y);
    }
    return rc;
}

void marian_yaml_finish(struct marian_yaml *y) {
    bth_arena_finish(&y->arena);
    bth_free(y->items);
    *y = (struct marian_yaml){0};
}

const char *marian_yaml_at(const struct marian_yaml *y, const char *key, size_t index) {
    for (size_t i = 0; i < y->n; i++) {
        if (y->items[i].index == index && strcmp(y->items[i].key, key) == 0) {
            return y->items[i].value;
        }
    }
    return NULL;
}

int64_t marian_yaml_int(const struct marian_yaml *y, const char *key, int64_t otherwise) {
    const char *text = marian_yaml_at(y, key, 0);
    char *end;
    long long v = text ? strtoll(text, &end, 10) : 0;
    return text && *text && *end == '\0' ? v : otherwise;
}

float marian_yaml_float(const struct marian_yaml *y, const char *key, float otherwise) {
    const char *text = marian_yaml_at(y, key, 0);
    char *end;
    float v = text ? strtof(text, &end) : 0;
    return text && *text && *end == '\0' ? v : otherwise;
}

bool marian_yaml_bool(const struct marian_yaml *y, const char *key, bool otherwise) {
    const char *text = marian_yaml_at(y, key, 0);
    if (!text) {
        return otherwise;
    }
    return strcmp(text, "true") == 0 || (strcmp(text, "false") != 0 && otherwise);
}

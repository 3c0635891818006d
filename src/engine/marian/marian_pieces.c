#include "marian/marian_pieces.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/str.h"
#include "marian/marian_json.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE = 64 << 20, MAX_PIECE = 4096 };

/* A list is filled in any order of ids, then sorted by text. */
struct filling {
    struct marian_pieces *p;
    int32_t capacity;
    int64_t limit;
    struct berth_error *err;
};

static int grow(struct filling *f, int64_t id) {
    if (id < f->capacity) {
        return 0;
    }
    int64_t capacity = f->capacity ? 2 * (int64_t)f->capacity : 256;
    capacity = capacity > id ? capacity : id + 1;
    capacity = capacity < f->limit ? capacity : f->limit;
    const char **texts = bth_realloc_array(f->p->texts, (size_t)capacity, sizeof(*texts));
    if (!texts) {
        return bth_error_nomem(f->err);
    }
    memset(texts + f->capacity, 0, (size_t)(capacity - f->capacity) * sizeof(*texts));
    f->p->texts = texts;
    f->capacity = (int32_t)capacity;
    return 0;
}

static int add(struct filling *f, const char *text, size_t n, int64_t id) {
    struct marian_pieces *p = f->p;
    if (id < 0 || id >= f->limit) {
        return bth_error(f->err, BERTH_EFORMAT,
                         "piece %lld, but the embedding has %lld rows: vocabulary and weights do "
                         "not belong together",
                         (long long)id, (long long)f->limit);
    }
    if (n > MAX_PIECE || memchr(text, 0, n) || !bth_utf8_valid(text, n)) {
        return bth_error(f->err, BERTH_EFORMAT, "piece %lld is too long or no UTF-8",
                         (long long)id);
    }
    int rc = grow(f, id);
    if (rc < 0) {
        return rc;
    }
    if (p->texts[id]) {
        return bth_error(f->err, BERTH_EFORMAT, "id %lld is there twice", (long long)id);
    }
    p->texts[id] = bth_arena_strndup(&p->arena, text, n);
    if (!p->texts[id]) {
        return bth_error_nomem(f->err);
    }
    p->n = p->n > (int32_t)id ? p->n : (int32_t)id + 1;
    return 0;
}

static int from_json(struct filling *f, const char *text, size_t n) {
    json_error_t why;
    json_t *root = json_loadb(text, n, 0, &why), *value;
    const char *key;
    size_t i;
    int rc = 0;
    if (json_is_object(root)) {
        json_object_foreach(root, key, value) {
            if (rc == 0) {
                rc = add(f, key, strlen(key),
                         json_is_integer(value) ? json_integer_value(value) : -1);
            }
        }
    } else if (json_is_array(root)) {
        json_array_foreach(root, i, value) {
            if (rc == 0) {
                rc = json_is_string(value)
                         ? add(f, json_string_value(value), json_string_length(value), (int64_t)i)
                         : bth_error(f->err, BERTH_EFORMAT, "a piece is no text");
            }
        }
    } else {
        rc = bth_error(f->err, BERTH_EFORMAT, "no vocabulary: %.100s", root ? "no list" : why.text);
    }
    json_decref(root);
    return rc;
}

static int from_yml(struct filling *f, const char *text, size_t n) {
    struct marian_yaml y;
    int rc = marian_yaml_parse(&y, text, n, f->err);
    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; rc == 0 && i < y.n; i++) {
        char *end;
        long long id = strtoll(y.items[i].value, &end, 10);
        bool number = end != y.items[i].value && *end == '\0';
        rc = add(f, y.items[i].key, strlen(y.items[i].key), number ? id : -1);
    }
    marian_yaml_finish(&y);
    return rc;
}

static int from_lines(struct filling *f, const char *text, size_t n) {
    int rc = 0;
    int64_t id = 0;
    for (size_t at = 0; rc == 0 && at < n; id++) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t size = end ? (size_t)(end - (text + at)) : n - at;
        rc = add(f, text + at, size > 0 && text[at + size - 1] == '\r' ? size - 1 : size, id);
        at += size + 1;
    }
    return rc;
}

/* qsort has no place for the texts to look at, so ids are sorted beside them. */
struct pair {
    const char *text;
    int32_t id;
};

static int by_text(const void *a, const void *b) {
    const struct pair *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    return order ? order : (x->id > y->id) - (x->id < y->id);
}

static int sort(struct marian_pieces *p, struct berth_error *err) {
    struct pair *pairs = bth_calloc((size_t)p->n, sizeof(*pairs));
    p->sorted = bth_calloc((size_t)p->n, sizeof(*p->sorted));
    if (!pairs || !p->sorted) {
        bth_free(pairs);
        return bth_error_nomem(err);
    }
    for (int32_t i = 0; i < p->n; i++) {
        if (p->texts[i]) {
            pairs[p->n_sorted++] = (struct pair){p->texts[i], i};
        }
    }
    qsort(pairs, (size_t)p->n_sorted, sizeof(*pairs), by_text);
    for (int32_t i = 0; i < p->n_sorted; i++) {
        p->sorted[i] = pairs[i].id;
    }
    bth_free(pairs);
    return 0;
}

static bool ends(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

int marian_pieces_parse(struct marian_pieces *p, const char *name, const char *text, size_t n,
                        int64_t limit, struct berth_error *err) {
    *p = (struct marian_pieces){0};
    struct filling f = {.p = p, .limit = limit, .err = err};
    int rc = ends(name, ".json")                         ? from_json(&f, text, n)
             : ends(name, ".yml") || ends(name, ".yaml") ? from_yml(&f, text, n)
                                                         : from_lines(&f, text, n);
    if (rc == 0) {
        rc = p->n > 0 ? sort(p, err) : bth_error(err, BERTH_EFORMAT, "the vocabulary is empty");
    }
    if (rc < 0) {
        marian_pieces_finish(p);
    }
    return rc;
}

int marian_pieces_open(struct marian_pieces *p, const char *path, int64_t limit,
                       struct berth_error *err) {
    char *text;
    size_t n;
    int rc = bth_read_file(path, MAX_FILE, &text, &n, err);
    if (rc < 0) {
        return rc;
    }
    rc = marian_pieces_parse(p, path, text, n, limit, err);
    if (rc < 0) {
        bth_error_prefix(err, "%s: ", path);
    }
    bth_free(text);
    return rc;
}

void marian_pieces_finish(struct marian_pieces *p) {
    bth_arena_finish(&p->arena);
    bth_free(p->texts);
    bth_free(p->sorted);
    *p = (struct marian_pieces){0};
}

int32_t marian_pieces_find(const struct marian_pieces *p, const char *text, size_t n) {
    int32_t low = 0, high = p->n_sorted;
    if (n > 0 && memchr(text, 0, n)) { /* then strncmp would stop early */
        return -1;
    }
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        const char *at = p->texts[p->sorted[middle]];
        int order = strncmp(at, text, n);
        order = order ? order : at[n] != '\0'; /* at may go on where text ends */
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == p->n_sorted) {
        return -1;
    }
    const char *at = p->texts[p->sorted[low]];
    return strncmp(at, text, n) == 0 && at[n] == '\0' ? p->sorted[low] : -1;
}

const char *marian_pieces_at(const struct marian_pieces *p, int32_t id) {
    return id >= 0 && id < p->n ? p->texts[id] : NULL;
}

#include "spacy/spacy_config.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include <string.h>

enum {
    MAX_ENTRIES = 20000,
    MAX_DEPTH = 10,      /* of references to references, as confection */
    MAX_BYTES = 16 << 20 /* what references may make of all values together */
};

enum state { RAW, RESOLVING, RESOLVED };

struct entry {
    const char *section, *key;
    struct bth_str raw;
    enum state state;
    struct bth_str text; /* resolved; JSON, or plain text */
    json_t *value;
};

struct config {
    struct bth_arena arena;
    struct entry *entries;
    size_t n, capacity;
    size_t bytes, steps; /* spent on references */
    struct berth_error *err;
};

/* ---- lines ----------------------------------------------------------------------------------*/

struct line {
    const char *text; /* without spaces at both ends */
    size_t size;
    size_t indent;
};

static bool blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static struct line next_line(const char **at, const char *end) {
    const char *newline = memchr(*at, '\n', (size_t)(end - *at));
    const char *first = *at, *last = newline ? newline : end;
    *at = newline ? newline + 1 : end;
    struct line l = {0};
    for (; first < last && blank(*first); first++) {
        l.indent++;
    }
    while (last > first && blank(last[-1])) {
        last--;
    }
    l.text = first;
    l.size = (size_t)(last - first);
    return l;
}

static struct entry *find_entry(struct config *c, const char *section, size_t n, const char *key,
                                size_t key_size) {
    for (size_t i = 0; i < c->n; i++) {
        const struct entry *e = &c->entries[i];
        if (strlen(e->section) == n && memcmp(e->section, section, n) == 0 &&
            strlen(e->key) == key_size && memcmp(e->key, key, key_size) == 0) {
            return &c->entries[i];
        }
    }
    return NULL;
}

static int add_entry(struct config *c, const char *section, const struct line *l, int number) {
    const char *sign = l->text;
    while (sign < l->text + l->size && *sign != '=' && *sign != ':') {
        sign++;
    }
    const char *key_end = sign;
    while (key_end > l->text && blank(key_end[-1])) {
        key_end--;
    }
    const size_t key_size = (size_t)(key_end - l->text);
    if (sign == l->text + l->size || key_size == 0 || !section) {
        return bth_error(c->err, BERTH_EFORMAT, "line %d: neither [section] nor key = value",
                         number);
    }
    if (c->n == MAX_ENTRIES || find_entry(c, section, strlen(section), l->text, key_size)) {
        return bth_error(c->err, BERTH_EFORMAT, "line %d: %s", number,
                         c->n == MAX_ENTRIES ? "too many values" : "a key is there twice");
    }
    if (c->n == c->capacity) {
        size_t capacity = c->capacity ? 2 * c->capacity : 64;
        struct entry *p = bth_realloc_array(c->entries, capacity, sizeof(*p));
        if (!p) {
            return bth_error_nomem(c->err);
        }
        c->entries = p;
        c->capacity = capacity;
    }
    const char *value = sign + 1, *end = l->text + l->size;
    while (value < end && blank(*value)) {
        value++;
    }
    struct entry e = {.section = section};
    e.key = bth_arena_strndup(&c->arena, l->text, key_size);
    bth_str_append(&e.raw, value, (size_t)(end - value));
    c->entries[c->n++] = e;
    return e.key && !e.raw.failed ? 0 : bth_error_nomem(c->err);
}

static int read_lines(struct config *c, const char *text, size_t size) {
    const char *at = text, *end = text + size, *section = NULL;
    size_t indent = 0; /* of the last key */
    bool in_value = false;
    int rc = 0;
    for (int number = 1; at < end && rc == 0; number++) {
        struct line l = next_line(&at, end);
        if (l.size == 0 || *l.text == '#' || *l.text == ';') {
            continue;
        }
        if (in_value && l.indent > indent) {
            struct bth_str *raw = &c->entries[c->n - 1].raw;
            bth_str_putc(raw, '\n');
            bth_str_append(raw, l.text, l.size);
            rc = raw->failed ? bth_error_nomem(c->err) : 0;
        } else if (*l.text == '[' && l.text[l.size - 1] == ']') {
            in_value = false;
            section = bth_arena_strndup(&c->arena, l.text + 1, l.size - 2);
            rc = section ? 0 : bth_error_nomem(c->err);
        } else {
            rc = add_entry(c, section, &l, number);
            in_value = true;
            indent = l.indent;
        }
    }
    return rc;
}

/* ---- references -----------------------------------------------------------------------------*/

static int resolve(struct config *c, struct entry *e, int depth);

/* The object at a path of dots below `object`, made where it is missing. NULL: out of memory. */
static json_t *descend(json_t *object, const char *path) {
    while (*path && object) {
        size_t n = strcspn(path, ".");
        char *name = bth_strndup(path, n);
        json_t *child = name ? json_object_get(object, name) : NULL;
        if (name && !json_is_object(child)) {
            child = json_object();
            if (json_object_set_new(object, name, child) < 0) {
                child = NULL;
            }
        }
        bth_free(name);
        object = child;
        path += n + (path[n] == '.');
    }
    return object;
}

/* All values below a section, as a tree; all there are for "". */
static int build(struct config *c, const char *prefix, size_t n, json_t **out, int depth) {
    json_t *root = json_object();
    int rc = root ? 0 : bth_error_nomem(c->err);
    for (size_t i = 0; i < c->n && rc == 0; i++) {
        struct entry *e = &c->entries[i];
        const char *rest = e->section;
        if (n && (strncmp(rest, prefix, n) != 0 || (rest[n] != '.' && rest[n] != '\0'))) {
            continue;
        }
        rest += n + (n && rest[n] == '.');
        rc = resolve(c, e, depth);
        json_t *object = rc == 0 ? descend(root, rest) : NULL;
        if (rc == 0 && (!object || json_object_set(object, e->key, e->value) < 0)) {
            rc = bth_error_nomem(c->err);
        }
    }
    if (rc < 0) {
        json_decref(root);
        return rc;
    }
    *out = root;
    return 0;
}

static int damaged(struct config *c, const struct entry *e, const char *what) {
    return bth_error(c->err, BERTH_EFORMAT, "[%.60s] %.60s: %s", e->section, e->key, what);
}

/* What ${name} stands for: another value, or (alone in its value) a section, of which *section is
 * made. */
static int look_up(struct config *c, const struct entry *from, const char *name, size_t n,
                   struct entry **out, json_t **section, int depth) {
    size_t cut = n;
    while (cut > 0 && name[cut - 1] != '.' && name[cut - 1] != ':') {
        cut--;
    }
    struct entry *e = cut ? find_entry(c, name, cut - 1, name + cut, n - cut) : NULL;
    c->steps += c->n;
    if (depth == MAX_DEPTH || c->steps > (size_t)MAX_BYTES) {
        return damaged(c, from, "too many references");
    }
    *out = e;
    if (e) {
        return resolve(c, e, depth + 1);
    }
    int rc = build(c, name, n, section, depth + 1);
    if (rc == 0 && json_object_size(*section) == 0) {
        json_decref(*section);
        *section = NULL;
        rc = damaged(c, from, "refers to what is not there");
    }
    return rc;
}

/* A value inside a longer text: text without its quotes, else its JSON. */
static void insert(struct bth_str *out, const struct entry *e) {
    if (json_is_string(e->value)) {
        bth_str_append(out, json_string_value(e->value), json_string_length(e->value));
    } else {
        bth_str_append(out, bth_str_text(&e->text), e->text.size);
    }
}

/* e->text from e->raw; a section that stands alone becomes e->value at once. */
static int expand(struct config *c, struct entry *e, int depth) {
    const char *p = bth_str_text(&e->raw), *end = p + e->raw.size;
    while (p < end) {
        const char *sign = memchr(p, '$', (size_t)(end - p));
        bth_str_append(&e->text, p, (size_t)((sign ? sign : end) - p));
        if (!sign) {
            break;
        }
        const char *close =
            sign + 1 < end && sign[1] == '{' ? memchr(sign, '}', (size_t)(end - sign)) : NULL;
        if (!close) { /* $$ is a $, and a lone one is kept */
            bth_str_putc(&e->text, '$');
            p = sign + 1 + (sign + 1 < end && sign[1] == '$');
            continue;
        }
        struct entry *other = NULL;
        json_t *section = NULL;
        int rc = look_up(c, e, sign + 2, (size_t)(close - sign - 2), &other, &section, depth);
        if (rc < 0) {
            return rc;
        }
        const bool alone = sign == bth_str_text(&e->raw) && close + 1 == end;
        if (alone) {
            e->value = other ? json_incref(other->value) : section;
        } else if (section) {
            json_decref(section);
            return damaged(c, e, "a section inside of a text");
        }
        if (other) {
            insert(&e->text, other);
        }
        if (e->text.size > (size_t)MAX_BYTES - c->bytes) {
            return damaged(c, e, "references make too much of it");
        }
        p = close + 1;
    }
    c->bytes += BTH_MIN(e->text.size, (size_t)MAX_BYTES - c->bytes);
    return e->text.failed ? bth_error_nomem(c->err) : 0;
}

static int resolve(struct config *c, struct entry *e, int depth) {
    if (e->state == RESOLVED) {
        return 0;
    }
    if (e->state == RESOLVING) {
        return damaged(c, e, "refers to itself");
    }
    e->state = RESOLVING;
    int rc = expand(c, e, depth);
    if (rc < 0) {
        return rc;
    }
    if (!e->value) {
        const char *text = bth_str_text(&e->text);
        e->value = json_loadb(text, e->text.size, JSON_DECODE_ANY, NULL);
        if (!e->value) {
            e->value = json_stringn(text, e->text.size); /* not UTF-8, or no memory */
        }
        if (!e->value) {
            return damaged(c, e, "no text");
        }
    }
    e->state = RESOLVED;
    return 0;
}

int spacy_config_parse(const char *text, size_t size, json_t **out, struct berth_error *err) {
    struct config c = {.err = err};
    json_t *root = NULL;
    int rc = bth_utf8_valid(text, size) && !memchr(text, 0, size)
                 ? read_lines(&c, text, size)
                 : bth_error(err, BERTH_EFORMAT, "not a text in UTF-8");
    if (rc == 0) {
        rc = build(&c, "", 0, &root, 0);
    }
    for (size_t i = 0; i < c.n; i++) {
        bth_str_finish(&c.entries[i].raw);
        bth_str_finish(&c.entries[i].text);
        json_decref(c.entries[i].value);
    }
    bth_free(c.entries);
    bth_arena_finish(&c.arena);
    if (rc == 0) {
        *out = root;
    }
    return rc;
}

/* ---- reading --------------------------------------------------------------------------------*/

json_t *spacy_config_at(const json_t *config, const char *path) {
    const json_t *at = config;
    while (*path && at) {
        size_t n = strcspn(path, ".");
        json_t *child = NULL;
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)at, key, value) {
            if (strlen(key) == n && memcmp(key, path, n) == 0) {
                child = value;
            }
        }
        at = child;
        path += n + (path[n] == '.');
    }
    return (json_t *)at;
}

const char *spacy_config_text(const json_t *config, const char *path, const char *otherwise) {
    const char *text = json_string_value(spacy_config_at(config, path));
    return text ? text : otherwise;
}

int64_t spacy_config_int(const json_t *config, const char *path, int64_t otherwise) {
    const json_t *value = spacy_config_at(config, path);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

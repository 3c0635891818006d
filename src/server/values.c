#include "server/values.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include "server/exchange.h"
#include "server/http.h"
#include <string.h>
#include <strings.h>

enum { MOST_VALUES = 64, NAME_BYTES = 256 };

/* "\r\n" and "\r" as "\n": how HTML's forms are told to send text, and nobody wants it. */
static size_t fold_line_ends(char *text, size_t n) {
    size_t to = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\r') {
            text[to++] = '\n';
            i += i + 1 < n && text[i + 1] == '\n';
        } else {
            text[to++] = text[i];
        }
    }
    return to;
}

/* text[0, n) is changed. */
static int add(json_t *object, const char *name, char *text, size_t n, struct berth_error *err) {
    if (json_object_size(object) >= MOST_VALUES) {
        return bth_error(err, BERTH_ETOOLARGE, "more than %d fields", (int)MOST_VALUES);
    }
    if (!bth_utf8_valid(name, strlen(name)) || (n && memchr(text, '\0', n)) ||
        !bth_utf8_valid(text, n)) {
        return bth_error(err, BERTH_EINVAL, "a field is not text in UTF-8");
    }
    if (json_object_get(object, name)) {
        return bth_error(err, BERTH_EINVAL, "%.60s is given more than once", name);
    }
    json_t *v = json_stringn(text, fold_line_ends(text, n));
    return v && json_object_set_new(object, name, v) == 0 ? 0 : bth_error_nomem(err);
}

/* ---- urlencoded ------------------------------------------------------------------------------*/

static int hex(char c) {
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* What is no escape stays as it is, as browsers read it. */
static size_t unescape(const char *from, size_t n, char *to) {
    size_t size = 0;
    for (size_t i = 0; i < n; i++) {
        if (from[i] == '%' && i + 2 < n && hex(from[i + 1]) >= 0 && hex(from[i + 2]) >= 0) {
            to[size++] = (char)(hex(from[i + 1]) * 16 + hex(from[i + 2]));
            i += 2;
        } else {
            to[size++] = from[i] == '+' ? ' ' : from[i];
        }
    }
    return size;
}

int bth_values_urlencoded(json_t *object, const char *text, size_t n, struct berth_error *err) {
    char *value = bth_alloc(n);
    int rc = value ? 0 : bth_error_nomem(err);
    for (size_t at = 0; at < n && rc == 0;) {
        char name[NAME_BYTES];
        const char *stop = memchr(text + at, '&', n - at);
        size_t end = stop ? (size_t)(stop - text) : n;
        const char *equals = memchr(text + at, '=', end - at);
        size_t name_end = equals ? (size_t)(equals - text) : end;
        size_t from = equals ? name_end + 1 : end;
        if (name_end - at >= sizeof(name)) {
            rc = bth_error(err, BERTH_EINVAL, "the name of a field is too long");
        } else if (end > at) {
            name[unescape(text + at, name_end - at, name)] = '\0';
            rc = add(object, name, value, unescape(text + from, end - from, value), err);
        }
        at = end + 1;
    }
    bth_free(value);
    return rc;
}

/* ---- multipart -------------------------------------------------------------------------------*/

struct parts {
    json_t *object;
    char name[NAME_BYTES];
    struct bth_str value;
};

static int begin(void *arg, const char *name, bool is_file, struct berth_error *err) {
    struct parts *p = arg;
    size_t n = strlen(name);
    if (is_file || n >= sizeof(p->name)) {
        return bth_error(err, BERTH_EINVAL, "%.60s is a file, or its name is too long", name);
    }
    memcpy(p->name, name, n + 1);
    return 0;
}

static int data(void *arg, const char *bytes, size_t n, struct berth_error *err) {
    struct parts *p = arg;
    bth_str_append(&p->value, bytes, n);
    return p->value.failed ? bth_error_nomem(err) : 0;
}

static int end(void *arg, struct berth_error *err) {
    struct parts *p = arg;
    char nothing[1] = "";
    int rc = add(p->object, p->name, p->value.data ? p->value.data : nothing, p->value.size, err);
    bth_str_clear(&p->value);
    return rc;
}

static int multipart(json_t *object, const char *type, const struct berth_input *in,
                     struct berth_error *err) {
    struct parts p = {.object = object};
    struct bth_multipart_sink sink = {.begin = begin, .data = data, .end = end, .arg = &p};
    struct bth_multipart *m = NULL;
    int rc = bth_multipart_create(type, &sink, &m, err);
    rc = rc < 0 ? rc : bth_multipart_feed(m, in->data, in->size, err);
    rc = rc < 0 ? rc : bth_multipart_finish(m, err);
    bth_multipart_destroy(m);
    bth_str_finish(&p.value);
    return rc;
}

/* ---- any of them -----------------------------------------------------------------------------*/

static int read_json(const struct berth_input *in, json_t **out, struct berth_error *err) {
    json_error_t why;
    json_t *v = json_loadb(in->data, in->size, JSON_REJECT_DUPLICATES, &why);
    if (!v && json_error_code(&why) == json_error_out_of_memory) {
        return bth_error_nomem(err);
    }
    if (!json_is_object(v)) {
        int rc =
            v ? bth_error(err, BERTH_EINVAL, "the body is to be a JSON object")
              : bth_error(err, BERTH_EINVAL, "the body is not JSON: line %d, column %d: %.100s",
                          why.line, why.column, why.text);
        json_decref(v);
        return rc;
    }
    *out = v;
    return 0;
}

/* The query has been read into the form. */
static int add_query(struct bth_exchange *x, json_t *object, struct berth_error *err) {
    int rc = 0;
    for (size_t i = 0; i < x->form.n && rc == 0; i++) {
        const struct bth_form_field *f = &x->form.fields[i];
        char *copy = bth_strdup(f->value);
        rc = copy ? add(object, f->name, copy, strlen(copy), err) : bth_error_nomem(err);
        bth_free(copy);
    }
    return rc;
}

static bool is_type(const char *given, const char *type) {
    return given && strncasecmp(given, type, strlen(type)) == 0;
}

int bth_values_read(struct bth_exchange *x, json_t **out, bool *out_json, struct berth_error *err) {
    const char *type = bth_http_header(x, "Content-Type");
    struct berth_input in;
    *out_json = is_type(type, "application/json");
    if (x->body.size > BTH_VALUES_BYTES) {
        return bth_error(err, BERTH_ETOOLARGE, "the body is larger than %d bytes",
                         (int)BTH_VALUES_BYTES);
    }
    int rc = bth_body_input(&x->body, BERTH_INPUT_TEXT, &in, err);
    if (rc < 0 || *out_json) {
        return rc < 0 ? rc : read_json(&in, out, err);
    }
    json_t *object = json_object();
    if (!object) {
        return bth_error_nomem(err);
    }
    rc = add_query(x, object, err);
    if (rc == 0 && is_type(type, "multipart/form-data")) {
        rc = multipart(object, type, &in, err);
    } else if (rc == 0 && is_type(type, "application/x-www-form-urlencoded")) {
        rc = bth_values_urlencoded(object, in.data, in.size, err);
    } else if (rc == 0 && in.size > 0) {
        rc = bth_error(err, BERTH_EINVAL,
                       "the body is neither JSON nor a form: say which in "
                       "Content-Type");
    }
    if (rc < 0) {
        json_decref(object);
        return rc;
    }
    *out = object;
    return 0;
}

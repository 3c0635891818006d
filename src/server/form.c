#include "server/form.h"

#include "base/error.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void bth_form_init(struct bth_form *f, struct bth_body *file,
                   const struct bth_body_limits *limits) {
    *f = (struct bth_form){.file = file, .limits = limits};
}

void bth_form_finish(struct bth_form *f) {
    bth_arena_finish(&f->arena);
    bth_str_finish(&f->value);
}

/* ---- filling ---------------------------------------------------------------------------------*/

int bth_form_add(struct bth_form *f, const char *name, const char *value, size_t n,
                 struct berth_error *err) {
    if (f->n == BTH_FORM_FIELDS) {
        return bth_error(err, BERTH_ETOOLARGE, "more than %d fields", BTH_FORM_FIELDS);
    }
    if (n > BTH_FORM_FIELD_BYTES) {
        return bth_error(err, BERTH_ETOOLARGE, "%.60s is longer than %d bytes", name,
                         BTH_FORM_FIELD_BYTES);
    }
    if (memchr(value, '\0', n) || !bth_utf8_valid(value, n)) {
        return bth_error(err, BERTH_EINVAL, "%.60s is not text in UTF-8", name);
    }
    struct bth_form_field *field = &f->fields[f->n];
    field->name = bth_arena_strndup(&f->arena, name, strlen(name));
    field->value = bth_arena_strndup(&f->arena, value, n);
    field->taken = false;
    if (!field->name || !field->value) {
        return bth_error_nomem(err);
    }
    f->n++;
    return 0;
}

static int begin(void *arg, const char *name, bool is_file, struct berth_error *err) {
    struct bth_form *f = arg;
    f->name = NULL;
    if (!bth_utf8_valid(name, strlen(name))) {
        return bth_error(err, BERTH_EINVAL, "a form field's name is not text in UTF-8");
    }
    if (is_file || strcmp(name, "file") == 0) {
        if (strcmp(name, "file") != 0) {
            return bth_error(err, BERTH_EINVAL, "the form's file must be named file, not %.60s",
                             name);
        }
        if (f->has_file) {
            return bth_error(err, BERTH_EINVAL, "the form has more than one file");
        }
        f->has_file = true;
        return 0;
    }
    f->name = bth_arena_strndup(&f->arena, name, strlen(name));
    return f->name ? 0 : bth_error_nomem(err);
}

static int data(void *arg, const char *bytes, size_t n, struct berth_error *err) {
    struct bth_form *f = arg;
    if (!f->name) {
        return bth_body_append(f->file, f->limits, bytes, n, err);
    }
    if (f->value.size + n > BTH_FORM_FIELD_BYTES) {
        return bth_error(err, BERTH_ETOOLARGE, "the form field %.60s is longer than %d bytes",
                         f->name, BTH_FORM_FIELD_BYTES);
    }
    bth_str_append(&f->value, bytes, n);
    return f->value.failed ? bth_error_nomem(err) : 0;
}

static int end(void *arg, struct berth_error *err) {
    struct bth_form *f = arg;
    if (!f->name) {
        return 0;
    }
    int rc = bth_form_add(f, f->name, bth_str_text(&f->value), f->value.size, err);
    bth_str_clear(&f->value);
    return rc;
}

struct bth_multipart_sink bth_form_sink(struct bth_form *f) {
    return (struct bth_multipart_sink){.begin = begin, .data = data, .end = end, .arg = f};
}

/* ---- taking ----------------------------------------------------------------------------------*/

const char *bth_form_take_any(struct bth_form *f, const char *name) {
    for (size_t i = 0; i < f->n; i++) {
        if (!f->fields[i].taken && strcmp(f->fields[i].name, name) == 0) {
            f->fields[i].taken = true;
            return f->fields[i].value;
        }
    }
    return NULL;
}

int bth_form_take(struct bth_form *f, const char *name, const char **out, struct berth_error *err) {
    const char *value = bth_form_take_any(f, name);
    if (value && bth_form_take_any(f, name)) {
        return bth_error(err, BERTH_EINVAL, "%s is given more than once", name);
    }
    *out = value;
    return 0;
}

int bth_form_take_bool(struct bth_form *f, const char *name, bool fallback, bool *out,
                       struct berth_error *err) {
    const char *text;
    int rc = bth_form_take(f, name, &text, err);
    if (rc < 0) {
        return rc;
    }
    bool yes = text && (strcasecmp(text, "true") == 0 || strcmp(text, "1") == 0);
    bool no = text && (strcasecmp(text, "false") == 0 || strcmp(text, "0") == 0);
    if (text && !yes && !no) {
        return bth_error(err, BERTH_EINVAL, "%s is true or false, not '%.40s'", name, text);
    }
    *out = text ? yes : fallback;
    return 0;
}

int bth_form_take_int(struct bth_form *f, const char *name, const int64_t range[2],
                      int64_t fallback, int64_t *out, struct berth_error *err) {
    const char *text;
    int rc = bth_form_take(f, name, &text, err);
    if (rc < 0) {
        return rc;
    }
    if (!text) {
        *out = fallback;
        return 0;
    }
    char *stop;
    errno = 0;
    long long v = strtoll(text, &stop, 10);
    if (errno || stop == text || *stop || v < range[0] || v > range[1]) {
        return bth_error(err, BERTH_EINVAL, "%s is a whole number from %lld to %lld, not '%.40s'",
                         name, (long long)range[0], (long long)range[1], text);
    }
    *out = v;
    return 0;
}

int bth_form_take_rest(struct bth_form *f, struct berth_option *out, struct berth_error *err) {
    int n = 0;
    for (size_t i = 0; i < f->n; i++) {
        struct bth_form_field *field = &f->fields[i];
        if (field->taken) {
            continue;
        }
        const char *value = NULL;
        int rc = bth_form_take(f, field->name, &value, err);
        if (rc < 0) {
            return rc;
        }
        out[n++] = (struct berth_option){field->name, value};
    }
    return n;
}

int bth_form_done(const struct bth_form *f, struct berth_error *err) {
    for (size_t i = 0; i < f->n; i++) {
        if (!f->fields[i].taken) {
            return bth_error(err, BERTH_EINVAL, "unknown field: %.60s", f->fields[i].name);
        }
    }
    return 0;
}

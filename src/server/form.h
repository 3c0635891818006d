/*
 * server/form.h - the fields of a form: short texts in memory, one file in a body.
 *
 * Whoever reads a form takes the fields it knows by name; what is left is unknown, and an error. So
 * nothing that a client asks for is ignored. One thread at a time.
 */
#ifndef BTH_FORM_H
#define BTH_FORM_H

#include "base/arena.h"
#include "base/str.h"
#include "server/body.h"
#include "server/multipart.h"

enum { BTH_FORM_FIELDS = 64, BTH_FORM_FIELD_BYTES = 65536 };

struct bth_form_field {
    const char *name, *value;
    bool taken;
};

struct bth_form {
    struct bth_form_field fields[BTH_FORM_FIELDS];
    size_t n;
    struct bth_arena arena;
    /* while it is read */
    struct bth_body *file; /* where the part `file` goes */
    const struct bth_body_limits *limits;
    struct bth_str value;
    const char *name; /* of the present part; NULL: it is the file */
    bool has_file;
};

/* Zero-initialised is an empty form. */
void bth_form_init(struct bth_form *f, struct bth_body *file, const struct bth_body_limits *limits);
void bth_form_finish(struct bth_form *f);
/* The sink that fills the form. Fails with EINVAL (a second file; text that is not UTF-8),
 * ETOOLARGE. */
struct bth_multipart_sink bth_form_sink(struct bth_form *f);

/* Adds a field, copied. EINVAL, ETOOLARGE, ENOMEM. */
int bth_form_add(struct bth_form *f, const char *name, const char *value, size_t n,
                 struct berth_error *err);

/* The value of a field that may come once, now taken; *out NULL: it is not there. EINVAL: it comes
 * twice. */
int bth_form_take(struct bth_form *f, const char *name, const char **out, struct berth_error *err);
/* The next field of this name that nobody has taken, or NULL. */
const char *bth_form_take_any(struct bth_form *f, const char *name);
/* "true" or "false" and their usual spellings; `fallback` when it is not there. EINVAL. */
int bth_form_take_bool(struct bth_form *f, const char *name, bool fallback, bool *out,
                       struct berth_error *err);
/* A whole number in [low, high]; `fallback` when it is not there. EINVAL. */
int bth_form_take_int(struct bth_form *f, const char *name, const int64_t range[2],
                      int64_t fallback, int64_t *out, struct berth_error *err);
/* All fields that nobody has taken, as options, now taken; out[BTH_FORM_FIELDS]. Returns how many,
 * or EINVAL when one comes twice. */
int bth_form_take_rest(struct bth_form *f, struct berth_option *out, struct berth_error *err);
/* EINVAL if there is a field that nobody has taken. */
int bth_form_done(const struct bth_form *f, struct berth_error *err);

#endif

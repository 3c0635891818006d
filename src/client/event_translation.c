#include "client/event_translation.h"

#include "base/alloc.h"
#include "base/error.h"
#include <math.h>
#include <string.h>

/* Where a translation comes from, and the first thing that is wrong. Readers go on after it. */
struct reader {
    struct bth_arena *arena;
    const char *damaged; /* the key, or NULL */
    bool nomem;
};

static void damage(struct reader *r, const char *key) {
    if (!r->damaged) {
        r->damaged = key;
    }
}

/* ---- values ----------------------------------------------------------------------------------*/

static double number(struct reader *r, const json_t *v, const char *key) {
    const char *text = json_string_value(v);
    if (json_is_number(v)) {
        return json_number_value(v);
    }
    if (text && strcmp(text, "inf") == 0) {
        return INFINITY;
    }
    if (text && strcmp(text, "-inf") == 0) {
        return -INFINITY;
    }
    if (!json_is_null(v)) {
        damage(r, key);
    }
    return NAN;
}

static double whole(struct reader *r, const json_t *v, const char *key, double low, double high) {
    double x = json_is_number(v) ? json_number_value(v) : NAN;
    if (!(x >= low && x <= high) || x != floor(x)) {
        damage(r, key);
        return 0;
    }
    return x;
}

static const char *string(struct reader *r, const json_t *v, const char *key) {
    if (!json_is_string(v)) {
        if (!json_is_null(v)) {
            damage(r, key);
        }
        return NULL;
    }
    const char *copy = bth_arena_strndup(r->arena, json_string_value(v), json_string_length(v));
    r->nomem |= !copy;
    return copy;
}

static bool flag(struct reader *r, const json_t *object, const char *key) {
    const json_t *v = json_object_get(object, key);
    if (!json_is_boolean(v)) {
        damage(r, key);
    }
    return json_is_true(v);
}

/* An array's elements [*out_n] of `size` bytes each, zeroed; NULL: none. */
static void *array(struct reader *r, const json_t *v, const char *key, size_t size, size_t *out_n) {
    size_t n = json_array_size(v), bytes;
    if (!json_is_array(v)) {
        damage(r, key);
    }
    void *p = n && bth_mul(n, size, &bytes) ? bth_arena_alloc(r->arena, bytes) : NULL;
    r->nomem |= n && !p;
    *out_n = p ? n : 0;
    return p;
}

static const int32_t *ids(struct reader *r, const json_t *object, size_t *out_n) {
    const json_t *v = json_object_get(object, "tokens");
    int32_t *p = array(r, v, "tokens", sizeof(*p), out_n);
    for (size_t i = 0; i < *out_n; i++) {
        p[i] = (int32_t)whole(r, json_array_get(v, i), "tokens", INT32_MIN, INT32_MAX);
    }
    return p;
}

/* [n] floats, or NULL where the array is null. */
static const float *floats(struct reader *r, const json_t *object, const char *key, size_t n) {
    const json_t *v = json_object_get(object, key);
    size_t have;
    if (json_is_null(v)) {
        return NULL;
    }
    float *p = array(r, v, key, sizeof(*p), &have);
    if (have != n) {
        damage(r, key);
    }
    for (size_t i = 0; i < have; i++) {
        p[i] = (float)number(r, json_array_get(v, i), key);
    }
    if (!p && !r->nomem) { /* an empty array is not the same as none */
        p = bth_arena_alloc(r->arena, sizeof(*p));
        r->nomem |= !p;
    }
    return p;
}

/* ---- sentences -------------------------------------------------------------------------------*/

static void read_hypothesis(struct reader *r, const json_t *v, struct berth_hypothesis *out) {
    out->text = string(r, json_object_get(v, "text"), "text");
    out->score = number(r, json_object_get(v, "score"), "score");
    out->tokens = ids(r, v, &out->n_tokens);
    out->logprobs = floats(r, v, "logprobs", out->n_tokens);
}

static void read_span(struct reader *r, const json_t *v, struct berth_sentence *out) {
    size_t *const to[] = {&out->source_begin, &out->source_end, &out->target_begin,
                          &out->target_end};
    for (size_t i = 0; i < BTH_COUNT(to); i++) {
        *to[i] = (size_t)whole(r, json_array_get(v, i), "span", 0, 0x1p53);
    }
    if (out->source_begin > out->source_end || out->target_begin > out->target_end) {
        damage(r, "span");
    }
}

static void read_sentence(struct reader *r, const json_t *v, struct berth_sentence *out) {
    const json_t *list = json_object_get(v, "hypotheses");
    read_span(r, json_object_get(v, "span"), out);
    out->tokens = ids(r, v, &out->n_tokens);
    struct berth_hypothesis *h = array(r, list, "hypotheses", sizeof(*h), &out->n_hypotheses);
    for (size_t i = 0; i < out->n_hypotheses; i++) {
        read_hypothesis(r, json_array_get(list, i), &h[i]);
    }
    out->hypotheses = h;
    size_t cells = 0;
    if (!bth_mul(h ? h[0].n_tokens : 0, out->n_tokens, &cells)) {
        damage(r, "alignment");
    }
    out->alignment = floats(r, v, "alignment", cells);
    out->cached = flag(r, v, "cached");
    out->repeats = flag(r, v, "repeats");
}

static void read_terms(struct reader *r, const json_t *list, struct berth_translation *t) {
    struct berth_term *all = array(r, list, "terms", sizeof(*all), &t->n_terms);
    for (size_t i = 0; i < t->n_terms; i++) {
        const json_t *v = json_array_get(list, i), *times = json_object_get(v, "times");
        all[i].source = string(r, json_object_get(v, "source"), "terms");
        all[i].target = string(r, json_object_get(v, "target"), "terms");
        all[i].found = (size_t)whole(r, json_array_get(times, 0), "terms", 0, 0x1p53);
        all[i].placed = (size_t)whole(r, json_array_get(times, 1), "terms", 0, 0x1p53);
    }
    t->terms = all;
}

static void read_lists(struct reader *r, const json_t *v, struct berth_translation *t) {
    const json_t *alternatives = json_object_get(v, "alternatives");
    const json_t *sentences = json_object_get(v, "sentences");
    size_t size = t->text ? strlen(t->text) : SIZE_MAX;
    const char **a = array(r, alternatives, "alternatives", sizeof(*a), &t->n_alternatives);
    for (size_t i = 0; i < t->n_alternatives; i++) {
        a[i] = string(r, json_array_get(alternatives, i), "alternatives");
    }
    struct berth_sentence *s = array(r, sentences, "sentences", sizeof(*s), &t->n_sentences);
    for (size_t i = 0; i < t->n_sentences; i++) {
        read_sentence(r, json_array_get(sentences, i), &s[i]);
        if (s[i].target_end > size) {
            damage(r, "span");
        }
    }
    t->alternatives = a;
    t->sentences = s;
}

int bth_event_translation(const json_t *v, struct bth_arena *arena,
                          const struct berth_translation **out, struct berth_error *err) {
    struct reader r = {.arena = arena};
    struct berth_translation *t = bth_arena_alloc(arena, sizeof(*t));
    if (!t) {
        return bth_error_nomem(err);
    }
    if (!json_is_object(v)) {
        damage(&r, "translation");
    }
    t->source = string(&r, json_object_get(v, "source"), "source");
    t->target = string(&r, json_object_get(v, "target"), "target");
    t->text = string(&r, json_object_get(v, "text"), "text");
    read_lists(&r, v, t);
    if (json_object_get(v, "terms")) { /* an older daemon has none */
        read_terms(&r, json_object_get(v, "terms"), t);
    }
    if (r.nomem) {
        return bth_error_nomem(err);
    }
    if (r.damaged) {
        return bth_error(err, BERTH_EIO, "the daemon's answer is damaged: translation, %.80s",
                         r.damaged);
    }
    *out = t;
    return 0;
}

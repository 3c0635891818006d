#include "client/event.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/item.h"
#include "client/event_doc.h"
#include "client/event_translation.h"
#include <jansson.h>
#include <math.h>
#include <string.h>

/* Where a value came from, and the first thing that is wrong. Readers go on after it with zeros. */
struct reader {
    struct bth_arena *arena;
    const char *damaged; /* the key, or NULL */
    bool nomem;
};

/* ---- values ----------------------------------------------------------------------------------*/

static void damage(struct reader *r, const char *key) {
    if (!r->damaged) {
        r->damaged = key;
    }
}

static double number(struct reader *r, const json_t *object, const char *key) {
    const json_t *v = json_object_get(object, key);
    if (json_is_number(v)) {
        return json_number_value(v);
    }
    const char *text = json_string_value(v);
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

/* A whole number in [low, high]. */
static int64_t whole(struct reader *r, const json_t *v, const char *key, double low, double high) {
    double x = json_is_number(v) ? json_number_value(v) : NAN;
    if (!(x >= low && x <= high) || x != floor(x)) {
        damage(r, key);
        return 0;
    }
    return (int64_t)x;
}

static int32_t i32(struct reader *r, const json_t *object, const char *key) {
    return (int32_t)whole(r, json_object_get(object, key), key, INT32_MIN, INT32_MAX);
}

static const char *string(struct reader *r, const json_t *object, const char *key) {
    const json_t *v = json_object_get(object, key);
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

/* An array's elements [*out_n] of `size` bytes each, zeroed; NULL: none. */
static void *array(struct reader *r, const json_t *v, const char *key, size_t size, size_t *out_n) {
    if (!json_is_array(v)) {
        damage(r, key);
        return NULL;
    }
    size_t n = json_array_size(v), bytes;
    void *p = n && bth_mul(n, size, &bytes) ? bth_arena_alloc(r->arena, bytes) : NULL;
    r->nomem |= n && !p;
    *out_n = p ? n : 0;
    return p;
}

/* ---- transcripts -----------------------------------------------------------------------------*/

static void read_segment(struct reader *r, const json_t *v, struct berth_segment *out) {
    const json_t *tokens = json_object_get(v, "tokens");
    *out = (struct berth_segment){
        .id = (uint32_t)whole(r, json_object_get(v, "id"), "id", 0, UINT32_MAX),
        .seek = whole(r, json_object_get(v, "seek"), "seek", -0x1p53, 0x1p53),
        .start_s = number(r, v, "start_s"),
        .end_s = number(r, v, "end_s"),
        .text = string(r, v, "text"),
        .temperature = number(r, v, "temperature"),
        .avg_logprob = number(r, v, "avg_logprob"),
        .compression_ratio = number(r, v, "compression_ratio"),
        .no_speech_prob = number(r, v, "no_speech_prob")};
    int32_t *ids = array(r, tokens, "tokens", sizeof(*ids), &out->n_tokens);
    for (size_t i = 0; i < out->n_tokens; i++) {
        ids[i] = (int32_t)whole(r, json_array_get(tokens, i), "tokens", INT32_MIN, INT32_MAX);
    }
    out->tokens = ids;
}

static void read_step(struct reader *r, const json_t *v, struct berth_step_trace *out) {
    *out = (struct berth_step_trace){.window = i32(r, v, "window"),
                                     .attempt = i32(r, v, "attempt"),
                                     .row = i32(r, v, "row"),
                                     .step = i32(r, v, "step"),
                                     .token = i32(r, v, "token"),
                                     .second = i32(r, v, "second"),
                                     .logprob = (float)number(r, v, "logprob"),
                                     .gap = (float)number(r, v, "gap"),
                                     .timestamp_margin = (float)number(r, v, "timestamp_margin")};
}

static void read_lists(struct reader *r, const json_t *v, struct berth_transcript *t) {
    const json_t *segments = json_object_get(v, "segments");
    const json_t *languages = json_object_get(v, "languages");
    const json_t *trace = json_object_get(v, "trace");
    struct berth_segment *s = array(r, segments, "segments", sizeof(*s), &t->n_segments);
    for (size_t i = 0; i < t->n_segments; i++) {
        read_segment(r, json_array_get(segments, i), &s[i]);
    }
    struct berth_language_prob *l = array(r, languages, "languages", sizeof(*l), &t->n_languages);
    for (size_t i = 0; i < t->n_languages; i++) {
        const json_t *one = json_array_get(languages, i);
        l[i].language = string(r, one, "language");
        l[i].prob = (float)number(r, one, "prob");
    }
    struct berth_step_trace *steps = array(r, trace, "trace", sizeof(*steps), &t->n_trace);
    for (size_t i = 0; i < t->n_trace; i++) {
        read_step(r, json_array_get(trace, i), &steps[i]);
    }
    t->segments = s;
    t->languages = l;
    t->trace = steps;
}

static const struct berth_transcript *read_transcript(struct reader *r, const json_t *v) {
    struct berth_transcript *t = bth_arena_alloc(r->arena, sizeof(*t));
    if (!t) {
        r->nomem = true;
        return NULL;
    }
    t->language = string(r, v, "language");
    t->language_name = string(r, v, "language_name");
    t->text = string(r, v, "text");
    t->duration_s = number(r, v, "duration_s");
    read_lists(r, v, t);
    return t;
}

/* ---- events ----------------------------------------------------------------------------------*/

static int damaged(struct berth_error *err, const char *what) {
    return bth_error(err, BERTH_EIO, "the daemon's answer is damaged: %.100s", what);
}

static int read_item(const json_t *line, struct bth_event *out, struct berth_error *err) {
    const json_t *partial = json_object_get(line, "partial");
    if (!json_is_boolean(partial)) {
        return damaged(err, "partial");
    }
    struct berth_item *item =
        bth_item_create(json_is_true(partial) ? BERTH_ITEM_PARTIAL : BERTH_ITEM_FINAL);
    if (!item) {
        return bth_error_nomem(err);
    }
    struct reader r = {.arena = bth_item_arena(item)};
    item->done = number(&r, line, "done");
    item->total = number(&r, line, "total");
    const json_t *transcript = json_object_get(line, "transcript");
    if (transcript) {
        item->transcript = read_transcript(&r, transcript);
    }
    if (json_object_get(line, "text")) {
        item->text = string(&r, line, "text");
    }
    const json_t *doc = json_object_get(line, "doc");
    int rc = r.nomem ? bth_error_nomem(err) : r.damaged ? damaged(err, r.damaged) : 0;
    if (rc == 0 && doc) {
        rc = bth_event_doc(doc, bth_item_arena(item), &item->doc, err);
    }
    const json_t *translation = json_object_get(line, "translation");
    if (rc == 0 && translation) {
        rc = bth_event_translation(translation, bth_item_arena(item), &item->translation, err);
    }
    if (rc < 0) {
        berth_item_free(item);
        return rc;
    }
    *out = (struct bth_event){
        .kind = BTH_EVENT_ITEM, .done = item->done, .total = item->total, .item = item};
    return 0;
}

int bth_event_code(const char *name) {
#define X(code, number, text)                                                                      \
    if (strcmp(name, #code) == 0) {                                                                \
        return BERTH_##code;                                                                       \
    }
    BERTH_ERROR_MAP(X)
#undef X
    return 0;
}

static int read_progress(const json_t *line, struct bth_event *out, struct berth_error *err) {
    struct reader r = {0};
    struct bth_event e = {.kind = BTH_EVENT_PROGRESS,
                          .done = number(&r, line, "done"),
                          .total = number(&r, line, "total")};
    if (r.damaged) {
        return damaged(err, r.damaged);
    }
    *out = e;
    return 0;
}

static int read_error(const json_t *line, struct bth_event *out, struct berth_error *err) {
    const char *code = json_string_value(json_object_get(line, "code"));
    const char *message = json_string_value(json_object_get(line, "message"));
    if (!code || !message) {
        return damaged(err, "an error without code or message");
    }
    *out = (struct bth_event){.kind = BTH_EVENT_ERROR};
    int known = bth_event_code(code);
    bth_error(&out->error, known ? known : BERTH_EIO, "%s", message);
    return 0;
}

static int read_event(const json_t *line, struct bth_event *out, struct berth_error *err) {
    const char *event = json_string_value(json_object_get(line, "event"));
    if (event && strcmp(event, "progress") == 0) {
        return read_progress(line, out, err);
    }
    if (event && strcmp(event, "item") == 0) {
        return read_item(line, out, err);
    }
    return event && strcmp(event, "error") == 0 ? read_error(line, out, err)
                                                : damaged(err, "no event that is known");
}

int bth_event_parse(const char *line, size_t n, struct bth_event *out, struct berth_error *err) {
    json_error_t why;
    /* all numbers as reals, or -0 would come as 0 */
    json_t *v = json_loadb(line, n, JSON_DECODE_INT_AS_REAL | JSON_REJECT_DUPLICATES, &why);
    if (!v) {
        return json_error_code(&why) == json_error_out_of_memory ? bth_error_nomem(err)
                                                                 : damaged(err, why.text);
    }
    int rc = read_event(v, out, err);
    json_decref(v);
    return rc;
}

/* What an HTTP status means where no name of Berth's comes with it. */
static int code_of_status(int status) {
    switch (status) {
    case 400:
    case 401:
    case 403:
        return BERTH_EINVAL;
    case 413:
    case 414:
    case 431:
        return BERTH_ETOOLARGE;
    case 429:
        return BERTH_EOVERLOADED;
    case 502:
    case 503:
    case 504:
        return BERTH_ESHUTDOWN;
    default:
        return BERTH_EIO;
    }
}

int bth_event_refusal(int status, const char *body, size_t n, struct berth_error *err) {
    json_t *v = json_loadb(body, n, 0, NULL);
    const json_t *error = json_object_get(v, "error");
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *message = json_string_value(json_object_get(error, "message"));
    int known = code ? bth_event_code(code) : 0;
    if (code && strcmp(code, "model_not_found") == 0) {
        known = BERTH_ENOTFOUND; /* in OpenAI's words, on OpenAI's paths */
    }
    int rc = known ? known : code_of_status(status);
    if (message) {
        bth_error(err, rc, "%s", message);
    } else {
        bth_error(err, rc, "the daemon answered with HTTP status %d and no reason: is it berthd?",
                  status);
    }
    json_decref(v);
    return rc;
}

/* ---- lines -----------------------------------------------------------------------------------*/

int bth_lines_feed(struct bth_lines *l, const char *bytes, size_t n,
                   int (*line)(void *arg, const char *text, size_t n, struct berth_error *err),
                   void *arg, struct berth_error *err) {
    while (n > 0) {
        const char *end = memchr(bytes, '\n', n);
        size_t part = end ? (size_t)(end - bytes) : n;
        if (l->rest.size + part > BTH_LINE_BYTES) {
            return bth_error(err, BERTH_ETOOLARGE,
                             "the daemon's answer has a line of more than %d bytes",
                             BTH_LINE_BYTES);
        }
        bth_str_append(&l->rest, bytes, part);
        if (l->rest.failed) {
            return bth_error_nomem(err);
        }
        if (!end) {
            return 0;
        }
        int rc = l->rest.size ? line(arg, bth_str_text(&l->rest), l->rest.size, err) : 0;
        bth_str_clear(&l->rest);
        if (rc != 0) {
            return rc;
        }
        bytes = end + 1;
        n -= part + 1;
    }
    return 0;
}

void bth_lines_finish(struct bth_lines *l) {
    bth_str_finish(&l->rest);
}

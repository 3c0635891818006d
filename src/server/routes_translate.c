/*
 * POST /v1/translate: what LibreTranslate's API has no room for. A JSON object: "text", or "texts"
 * for many; "source" (or "auto") and "target", or a "model"; "pivot"; "format"; "alternatives";
 * "glossary"; "stream". All else is the engine's ("beams", "alignment", "token_scores", ...), or
 * refused.
 */
#include "base/error.h"
#include "server/exchange.h"
#include "server/json_body.h"
#include "server/json_text.h"
#include "server/reply_translate.h"
#include "server/route.h"
#include "server/translate.h"
#include "server/values.h"
#include <stdio.h>
#include <string.h>

enum { MAX_MS = 86400000 };

struct wish {
    const char *source, *target, *pivot, *format, *model;
    bool stream;
    const char *param; /* what an error is about */
};

static int bad(struct wish *w, const char *param, struct berth_error *err, const char *message) {
    w->param = param;
    return bth_error(err, BERTH_EINVAL, "%s", message);
}

/* ---- what is asked for -----------------------------------------------------------------------*/

/* It goes on as text: the engine reads it. */
static int take_glossary(struct bth_translate *t, struct wish *w, const json_t *value,
                         struct berth_error *err) {
    if (!json_is_object(value)) {
        return bad(w, "glossary", err,
                   "glossary is to be an object of terms and their translations");
    }
    t->glossary = json_dumps(value, JSON_COMPACT);
    return t->glossary ? 0 : bth_error_nomem(err);
}

/* All values but the texts become fields. */
static int take_values(struct bth_exchange *x, struct bth_translate *t, struct wish *w,
                       struct berth_error *err) {
    const char *key;
    json_t *value;
    const json_t *text = json_object_get(t->values, "text");
    const json_t *texts = json_object_get(t->values, "texts");
    json_object_foreach(t->values, key, value) {
        int rc = value == text || value == texts ? 0
                 : strcmp(key, "glossary") == 0  ? take_glossary(t, w, value, err)
                                                 : bth_json_field(&x->form, key, value, err);
        if (rc < 0) {
            return rc;
        }
    }
    if (!text == !texts) {
        return bad(w, "text", err, "the request is to have text or texts");
    }
    t->q = text ? text : texts;
    t->n = texts ? json_array_size(texts) : 1;
    if ((text && !json_is_string(text)) || (texts && !json_is_array(texts)) ||
        t->n > BTH_TRANSLATE_TEXTS) {
        return bad(w, text ? "text" : "texts", err,
                   text ? "text is to be a text"
                        : "texts is to be an array of at most 65536 texts");
    }
    for (size_t i = 0; texts && i < t->n; i++) {
        if (!json_is_string(json_array_get(texts, i))) {
            return bad(w, "texts", err, "texts is to be an array of texts");
        }
    }
    return 0;
}

static int take_fields(struct bth_exchange *x, struct bth_translate *t, struct wish *w,
                       struct berth_error *err) {
    static const int64_t times[2] = {1, MAX_MS}, priorities[2] = {0, 9};
    static const int64_t counts[2] = {0, BTH_TRANSLATE_ALTERNATIVES};
    struct berth_request *r = &x->work.request;
    struct bth_form *f = &x->form;
    int64_t priority = 0, alternatives = 0;
    int rc = bth_form_take(f, "source", &w->source, err);
    rc = rc < 0 ? rc : bth_form_take(f, "target", &w->target, err);
    rc = rc < 0 ? rc : bth_form_take(f, "pivot", &w->pivot, err);
    rc = rc < 0 ? rc : bth_form_take(f, "model", &w->model, err);
    rc = rc < 0 ? rc : bth_form_take(f, "format", &w->format, err);
    rc = rc < 0 ? rc : bth_form_take_bool(f, "stream", false, &w->stream, err);
    rc = rc < 0 ? rc : bth_form_take_int(f, "alternatives", counts, 0, &alternatives, err);
    rc = rc < 0 ? rc : bth_form_take_int(f, "priority", priorities, 5, &priority, err);
    rc = rc < 0 ? rc : bth_form_take_int(f, "timeout_ms", times, -1, &x->work.wait_ms, err);
    rc = rc < 0 ? rc : bth_form_take_rest(f, x->work.options, err);
    if (rc < 0) {
        return rc;
    }
    r->n_options = (size_t)rc;
    r->priority = (int)priority;
    r->stream = w->stream;
    t->alternatives = (int)alternatives;
    t->html = w->format && strcmp(w->format, "html") == 0;
    if (w->format && !t->html && strcmp(w->format, "text") != 0) {
        return bad(w, "format", err, "format is text or html");
    }
    return 0;
}

/* A model by its name: as the only one of a pair that nobody can ask for. */
static int take_model(struct bth_exchange *x, struct bth_translate *t, struct wish *w,
                      struct berth_error *err) {
    const struct berth_engine_ops *engine;
    if (w->source || w->target || w->pivot) {
        return bad(w, "model", err, "the request is to have model, or source and target");
    }
    int rc = bth_work_model(x, w->model, &engine, err);
    rc = rc < 0 ? rc : bth_pairs_add(&t->pairs, "marian/zxx-zxx", x->work.model, err);
    if (rc < 0) {
        return rc;
    }
    if (strcmp(engine->family, "marian") != 0 && strcmp(engine->family, "toy") != 0) {
        return bth_error(err, BERTH_EINVAL, "%s does not translate", x->work.model);
    }
    return bth_pairs_route(&t->pairs, "zxx", "zxx", NULL, &t->route, err);
}

static int take_route(struct bth_exchange *x, struct bth_translate *t, struct wish *w,
                      struct berth_error *err) {
    if (w->model) {
        return take_model(x, t, w, err);
    }
    if (!w->source || !w->target) {
        return bad(w, w->source ? "target" : "source", err,
                   "the request does not say from which language to which");
    }
    snprintf(t->source, sizeof(t->source), "%s", w->source);
    snprintf(t->target, sizeof(t->target), "%s", w->target);
    if (strcmp(w->source, "auto") == 0 && !bth_translate_detect(t)) {
        return bad(w, "source", err, "the language of the text is not clear: say which it is");
    }
    w->param = "target";
    int rc = bth_pairs_route(&t->pairs, t->source, t->target, w->pivot, &t->route, err);
    w->param = rc < 0 ? w->param : NULL;
    return rc;
}

/* ---- answers ---------------------------------------------------------------------------------*/

static int put_result(struct bth_translate *t, size_t i, const struct berth_item *item,
                      const char *text, struct berth_error *err) {
    (void)text, (void)err;
    bth_str_puts(&t->texts, i ? ",\n" : "");
    bth_put_translation(&t->texts, item);
    return 0;
}

static void put_answer(struct bth_translate *t, struct bth_str *out) {
    bth_str_putc(out, '{');
    if (*t->target) {
        bth_json_put_string(out, "source", t->source);
        bth_json_put_string(out, "target", t->target);
    }
    if (t->detected) {
        bth_json_put_number(out, "confidence", t->confidence);
    }
    bth_json_key(out, "models");
    bth_str_putc(out, '[');
    for (size_t i = 0; i < t->route.n; i++) {
        bth_json_comma(out);
        bth_json_string(out, t->route.legs[i]->model);
    }
    bth_str_putc(out, ']');
    if (t->route.n > 1) {
        bth_json_put_string(out, "pivot", t->route.legs[0]->target);
    }
    bth_json_key(out, json_is_array(t->q) ? "translations" : "translation");
    bth_str_puts(out, json_is_array(t->q) ? "[" : "");
    bth_str_append(out, bth_str_text(&t->texts), t->texts.size);
    bth_str_puts(out, json_is_array(t->q) ? "]}" : "}");
    out->failed |= t->texts.failed;
}

static int begin(struct bth_exchange *x, struct bth_translate *t, struct wish *w,
                 struct berth_error *err) {
    t->result = put_result;
    t->answer = put_answer;
    if (!w->stream) {
        return bth_translate_begin(x, t, err);
    }
    if (json_is_array(t->q) || t->route.n > 1) {
        return bad(w, "stream", err, "stream goes with one text and one model");
    }
    x->work.reply = &bth_reply_translate_events;
    int rc = bth_translate_prepare(x, t, err);
    if (rc == 0) {
        bth_work_begin(x);
    }
    return rc;
}

static void translate(struct bth_exchange *x) {
    struct bth_translate *t = NULL;
    struct berth_error err = {0};
    struct wish w = {0};
    bool json;
    x->work.request = (struct berth_request)BERTH_REQUEST_INIT;
    int rc = bth_translate_open(x, &t, &err);
    rc = rc < 0 ? rc : bth_values_read(x, &t->values, &json, &err);
    rc = rc < 0 ? rc : take_values(x, t, &w, &err);
    rc = rc < 0 ? rc : take_fields(x, t, &w, &err);
    rc = rc < 0 ? rc : take_route(x, t, &w, &err);
    rc = rc < 0 ? rc : begin(x, t, &w, &err);
    if (rc < 0) {
        bth_answer_error(x, &err, w.param);
    }
}

static const struct bth_route table[] = {
    {.method = "POST",
     .path = "/v1/translate",
     .run = translate,
     .body = BTH_BODY_RAW,
     .queued = true,
     .native = true},
};
const struct bth_routes bth_routes_translate = BTH_ROUTES(table);

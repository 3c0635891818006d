/*
 * LibreTranslate's API, so that its clients and apps work with a berthd unchanged. Source:
 * LibreTranslate 1.9, app.py: paths, fields, answers and the words of its errors.
 *
 * Not here: what needs its own state (suggestions, translated files to fetch later). Berth's own
 * route, which says more, is /v1/translate.
 */
#include "base/error.h"
#include "server/conn.h"
#include "server/exchange.h"
#include "server/json_text.h"
#include "server/route.h"
#include "server/translate.h"
#include "server/values.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ----------------------------------------------------------------------------------*/

static int missing(const char *name, struct berth_error *err) {
    return bth_error(err, BERTH_EINVAL, "Invalid request: missing %s parameter", name);
}

static const char *text_of(const json_t *values, const char *name) {
    return json_string_value(json_object_get(values, name));
}

/* A server with keys wants one, in the body or in the header, which has been looked at. */
static int check_key(struct bth_exchange *x, const json_t *values, struct berth_error *err) {
    const struct bth_auth *auth = &x->server->auth;
    const char *key = text_of(values, "api_key");
    char bearer[600];
    if (auth->n_keys == 0 || x->conn->door->socket.local || x->trusted) {
        return 0;
    }
    if (!key || !*key) {
        return bth_error(err, BERTH_EINVAL, "Please contact the server operator to get an API key");
    }
    snprintf(bearer, sizeof(bearer), "Bearer %s", key);
    return bth_auth_check(auth, bearer) ? 0 : bth_error(err, BERTH_EINVAL, "Invalid API key");
}

static int read_values(struct bth_exchange *x, struct bth_translate *t, struct berth_error *err) {
    bool json = false;
    int rc = bth_values_read(x, &t->values, &json, err);
    if (rc == BERTH_EINVAL && json) {
        return bth_error(err, BERTH_EINVAL, "Invalid JSON format");
    }
    return rc < 0 ? rc : check_key(x, t->values, err);
}

/* Codes that LibreTranslate has for Brazilian Portuguese and traditional Chinese. */
static const char *modern(const char *code) {
    return strcmp(code, "pb") == 0 ? "pt-BR" : strcmp(code, "zt") == 0 ? "zh-Hant" : code;
}

/* The code of `text` among the languages that there are: sources or targets. */
static int take_language(const struct bth_translate *t, const char *text, bool target,
                         char out[BTH_LANGUAGE_BYTES], struct berth_error *err) {
    const char *code = modern(text);
    for (int loose = 0; loose < 2; loose++) {
        for (size_t i = 0; i < t->pairs.n; i++) {
            const char *known = target ? t->pairs.all[i].target : t->pairs.all[i].source;
            if (bth_same_language(known, code, loose)) {
                snprintf(out, BTH_LANGUAGE_BYTES, "%s", known);
                return 0;
            }
        }
    }
    return bth_error(err, BERTH_EINVAL, "%.40s is not supported", text);
}

static int take_q(struct bth_translate *t, struct berth_error *err) {
    t->q = json_object_get(t->values, "q");
    if (json_is_string(t->q)) {
        t->n = 1;
        return json_string_length(t->q) > 0 ? 0 : missing("q", err);
    }
    t->n = json_array_size(t->q);
    if (t->n > BTH_TRANSLATE_TEXTS) {
        return bth_error(err, BERTH_EINVAL,
                         "Invalid request: request (%zu) exceeds text limit (%d)", t->n,
                         (int)BTH_TRANSLATE_TEXTS);
    }
    for (size_t i = 0; i < t->n; i++) {
        if (!json_is_string(json_array_get(t->q, i))) {
            return missing("q", err);
        }
    }
    return t->n > 0 ? 0 : missing("q", err);
}

static int take_alternatives(struct bth_translate *t, struct berth_error *err) {
    const json_t *v = json_object_get(t->values, "alternatives");
    const char *text = json_string_value(v);
    char *end = NULL;
    double n = text && *text ? strtod(text, &end) : json_number_value(v);
    if (v && !json_is_null(v) &&
        ((end && *end) || (!text && !json_is_number(v)) || n != floor(n))) {
        return bth_error(err, BERTH_EINVAL,
                         "Invalid request: alternatives parameter is not a number");
    }
    if (!(n <= BTH_TRANSLATE_ALTERNATIVES)) {
        return bth_error(err, BERTH_EINVAL, "Invalid request: alternatives parameter must be <= %d",
                         (int)BTH_TRANSLATE_ALTERNATIVES);
    }
    t->alternatives = n > 0 ? (int)n : 0;
    return 0;
}

static int take_format(struct bth_translate *t, struct berth_error *err) {
    const char *format = text_of(t->values, "format");
    t->html = format && strcmp(format, "html") == 0;
    if (format && *format && !t->html && strcmp(format, "text") != 0) {
        return bth_error(err, BERTH_EINVAL, "%.40s format is not supported", format);
    }
    return 0;
}

/* ---- answers ---------------------------------------------------------------------------------*/

static int put_result(struct bth_translate *t, size_t i, const struct berth_item *item,
                      const char *text, struct berth_error *err) {
    const struct berth_translation *r = item->translation;
    (void)err;
    bth_str_puts(&t->texts, i ? "," : "");
    bth_json_string(&t->texts, text);
    bth_str_puts(&t->more, i ? ",[" : "[");
    for (size_t k = 0; r && k < r->n_alternatives; k++) {
        bth_str_puts(&t->more, k ? "," : "");
        bth_json_string(&t->more, r->alternatives[k]);
    }
    bth_str_putc(&t->more, ']');
    return 0;
}

static void put_detected(const struct bth_translate *t, struct bth_str *out) {
    bth_str_putc(out, '{');
    bth_json_put_number(out, "confidence", t->confidence);
    bth_json_put_string(out, "language", *t->source ? t->source : "en");
    bth_str_putc(out, '}');
}

static void put_answer(struct bth_translate *t, struct bth_str *out) {
    bool array = json_is_array(t->q);
    bth_str_putc(out, '{');
    if (t->alternatives > 0) {
        bth_json_key(out, "alternatives");
        bth_str_printf(out, array ? "[%s]" : "%s", bth_str_text(&t->more));
    }
    if (t->detected) {
        bth_json_key(out, "detectedLanguage");
        bth_str_puts(out, array ? "[" : "");
        for (size_t i = 0; i < t->n; i++) {
            bth_str_puts(out, i ? "," : "");
            put_detected(t, out);
        }
        bth_str_puts(out, array ? "]" : "");
    }
    bth_json_key(out, "translatedText");
    bth_str_puts(out, array ? "[" : "");
    bth_str_append(out, bth_str_text(&t->texts), t->texts.size);
    bth_str_puts(out, array ? "]}" : "}");
    out->failed |= t->texts.failed || t->more.failed;
}

/* Into the same language, or of none: the texts as they are. */
static void answer_unchanged(struct bth_exchange *x, struct bth_translate *t) {
    const struct berth_item nothing = {.kind = BERTH_ITEM_FINAL};
    struct bth_str out = {0};
    for (size_t i = 0; i < t->n; i++) {
        size_t n;
        put_result(t, i, &nothing, bth_translate_text(t, i, &n), NULL);
    }
    put_answer(t, &out);
    bth_answer_json(x, &out);
    bth_str_finish(&out);
}

/* ---- translate -------------------------------------------------------------------------------*/

static int take_wish(struct bth_translate *t, const char **source, const char **target,
                     struct berth_error *err) {
    int rc = take_q(t, err);
    *source = text_of(t->values, "source");
    *target = text_of(t->values, "target");
    if (rc == 0 && (!*source || !**source)) {
        rc = missing("source", err);
    }
    if (rc == 0 && (!*target || !**target)) {
        rc = missing("target", err);
    }
    rc = rc < 0 ? rc : take_alternatives(t, err);
    return rc < 0 ? rc : take_format(t, err);
}

/* Both languages and the models between them. *out_same: nothing to do. */
static int take_route(struct bth_translate *t, const char *source, const char *target,
                      bool *out_same, struct berth_error *err) {
    struct berth_error why;
    int rc = 0;
    if (strcmp(source, "auto") == 0 && !bth_translate_detect(t)) {
        *out_same = true; /* nothing that has a language */
        return 0;
    }
    if (t->detected && bth_same_language(t->source, modern(target), true)) {
        *out_same = true;
        return 0;
    }
    rc = take_language(t, t->detected ? t->source : source, false, t->source, err);
    rc = rc < 0 ? rc : take_language(t, target, true, t->target, err);
    if (rc < 0) {
        return rc;
    }
    *out_same = bth_same_language(t->source, t->target, false);
    if (!*out_same &&
        bth_pairs_route(&t->pairs, t->source, t->target, "auto", &t->route, &why) < 0) {
        return bth_error(
            err, BERTH_EINVAL, "%s (%s) is not available as a target language from %s (%s)",
            bth_language_name(t->target), t->target, bth_language_name(t->source), t->source);
    }
    return 0;
}

/* An error in the words that clients look for has their status, which may not be Berth's. */
static void answer_error(struct bth_exchange *x, const struct berth_error *err) {
    if (strcmp(err->message, "Invalid API key") == 0) {
        bth_answer_refusal(x, 403, "invalid_api_key", err->message);
    } else {
        bth_answer_error(x, err, NULL);
    }
}

static void translate(struct bth_exchange *x) {
    struct bth_translate *t = NULL;
    struct berth_error err = {0};
    const char *source = NULL, *target = NULL;
    bool same = false;
    x->work.request = (struct berth_request)BERTH_REQUEST_INIT;
    x->work.wait_ms = -1;
    int rc = bth_translate_open(x, &t, &err);
    rc = rc < 0 ? rc : read_values(x, t, &err);
    rc = rc < 0 ? rc : take_wish(t, &source, &target, &err);
    rc = rc < 0 ? rc : take_route(t, source, target, &same, &err);
    if (rc == 0 && same) {
        answer_unchanged(x, t);
        return;
    }
    if (rc == 0) {
        t->result = put_result;
        t->answer = put_answer;
        rc = bth_translate_begin(x, t, &err);
    }
    if (rc < 0) {
        answer_error(x, &err);
    }
}

/* ---- detect, languages, settings -------------------------------------------------------------*/

static void detect(struct bth_exchange *x) {
    struct bth_translate *t = NULL;
    struct berth_error err = {0};
    struct bth_language_guess guesses[BTH_MAX_GUESSES];
    int n = 0, rc = bth_translate_open(x, &t, &err);
    rc = rc < 0 ? rc : read_values(x, t, &err);
    const char *q = rc < 0 ? NULL : text_of(t->values, "q");
    if (rc == 0 && (!q || !*q)) {
        rc = missing("q", &err);
    }
    if (rc == 0) {
        rc = n = bth_language_detect(q, strlen(q), false, guesses, &err);
    }
    if (rc < 0) {
        answer_error(x, &err);
        return;
    }
    struct bth_str out = {0};
    bth_str_putc(&out, '[');
    for (int i = 0; i < n; i++) {
        bth_json_comma(&out);
        bth_str_putc(&out, '{');
        bth_json_put_number(&out, "confidence", guesses[i].confidence);
        bth_json_put_string(&out, "language", guesses[i].code);
        bth_str_putc(&out, '}');
    }
    bth_str_puts(&out, n > 0 ? "]" : "{\"confidence\":0.0,\"language\":\"en\"}]");
    bth_answer_json(x, &out);
    bth_str_finish(&out);
}

/* The i-th source language for the first time in the list? */
static bool is_first(const struct bth_pairs *p, size_t i, bool target) {
    for (size_t k = 0; k < i; k++) {
        if (target ? bth_same_language(p->all[k].target, p->all[i].target, false)
                   : bth_same_language(p->all[k].source, p->all[i].source, false)) {
            return false;
        }
    }
    return true;
}

static void put_targets(const struct bth_pairs *p, const char *source, struct bth_str *out) {
    struct bth_pair_route route;
    bth_json_key(out, "targets");
    bth_str_putc(out, '[');
    for (size_t i = 0; i < p->n; i++) {
        const char *target = p->all[i].target;
        bool same = bth_same_language(source, target, false);
        if (is_first(p, i, true) &&
            (same || bth_pairs_route(p, source, target, "auto", &route, NULL) == 0)) {
            bth_json_comma(out);
            bth_json_string(out, target);
        }
    }
    bth_str_putc(out, ']');
}

static void languages(struct bth_exchange *x) {
    struct bth_translate *t;
    struct berth_error err = {0};
    struct bth_str out = {0};
    if (bth_translate_open(x, &t, &err) < 0) {
        bth_answer_error(x, &err, NULL);
        return;
    }
    bth_str_putc(&out, '[');
    for (size_t i = 0; i < t->pairs.n; i++) {
        const char *code = t->pairs.all[i].source;
        if (is_first(&t->pairs, i, false)) {
            bth_json_comma(&out);
            bth_str_putc(&out, '{');
            bth_json_put_string(&out, "code", code);
            bth_json_put_string(&out, "name", bth_language_name(code));
            put_targets(&t->pairs, code, &out);
            bth_str_putc(&out, '}');
        }
    }
    bth_str_putc(&out, ']');
    bth_answer_json(x, &out);
    bth_str_finish(&out);
}

static void put_language(struct bth_str *out, const char *key, const char *code) {
    bth_json_key(out, key);
    bth_str_putc(out, '{');
    bth_json_put_string(out, "code", code);
    bth_json_put_string(out, "name", bth_language_name(code));
    bth_str_putc(out, '}');
}

static void settings(struct bth_exchange *x) {
    struct bth_translate *t;
    struct berth_error err = {0};
    struct bth_str out = {0};
    if (bth_translate_open(x, &t, &err) < 0) {
        bth_answer_error(x, &err, NULL);
        return;
    }
    bool keys = x->server->auth.n_keys > 0;
    bth_str_puts(&out, "{\"charLimit\":-1,\"frontendTimeout\":500");
    bth_json_put_bool(&out, "apiKeys", keys);
    bth_json_put_bool(&out, "keyRequired", keys);
    bth_str_puts(&out, ",\"suggestions\":false,\"filesTranslation\":false,"
                       "\"supportedFilesFormat\":[],\"language\":{");
    put_language(&out, "source", t->pairs.n ? t->pairs.all[0].source : "en");
    put_language(&out, "target", t->pairs.n ? t->pairs.all[0].target : "en");
    bth_str_puts(&out, "}}");
    bth_answer_json(x, &out);
    bth_str_finish(&out);
}

static void no_files(struct bth_exchange *x) {
    bth_answer_refusal(x, 403, "EUNSUPPORTED", "Files translation are disabled on this server.");
}

static void no_suggestions(struct bth_exchange *x) {
    bth_answer_refusal(x, 403, "EUNSUPPORTED", "Suggestions are disabled on this server.");
}

#define POST(where, function, takes_place)                                                         \
    {                                                                                              \
        .method = "POST", .path = (where), .run = (function), .body = BTH_BODY_RAW,                \
        .queued = (takes_place), .libre = true, .query = true                                      \
    }

static const struct bth_route table[] = {
    POST("/translate", translate, true),
    POST("/detect", detect, true),
    POST("/translate_file", no_files, true),
    POST("/suggest", no_suggestions, true),
    {.method = "GET", .path = "/languages", .run = languages, .open = true, .libre = true},
    {.method = "GET", .path = "/frontend/settings", .run = settings, .open = true, .libre = true},
};
const struct bth_routes bth_routes_libre = BTH_ROUTES(table);

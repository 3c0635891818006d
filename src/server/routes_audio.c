/* OpenAI's audio endpoints: multipart forms in, transcripts in five formats or as events out. */
#include "base/error.h"
#include "server/exchange.h"
#include "server/route.h"
#include <stdlib.h>
#include <string.h>

struct wish {
    const char *model, *format, *prompt, *temperature;
    bool translate, stream;
    const char *param; /* what an error is about */
};

static int bad(struct wish *w, const char *param, struct berth_error *err, const char *message) {
    w->param = param;
    return bth_error(err, BERTH_EINVAL, "%s", message);
}

/* ---- what the form says ----------------------------------------------------------------------*/

static int take(struct bth_exchange *x, struct wish *w, struct berth_error *err) {
    const struct {
        const char *name;
        const char **to;
    } fields[] = {{"model", &w->model},
                  {"response_format", &w->format},
                  {"prompt", &w->prompt},
                  {"temperature", &w->temperature}};
    for (size_t i = 0; i < BTH_COUNT(fields); i++) {
        w->param = fields[i].name;
        int rc = bth_form_take(&x->form, fields[i].name, fields[i].to, err);
        if (rc < 0) {
            return rc;
        }
    }
    w->param = "stream";
    int rc = bth_form_take_bool(&x->form, "stream", false, &w->stream, err);
    if (rc < 0) {
        return rc;
    }
    w->param = NULL;
    if (!x->form.has_file) {
        return bad(w, "file", err, "the form has no file");
    }
    return w->model ? 0 : bad(w, "model", err, "the form does not say which model");
}

/* Times of words are not computed, and saying so is better than leaving them out. */
static int take_granularities(struct bth_exchange *x, struct wish *w, struct berth_error *err) {
    static const char *const names[] = {"timestamp_granularities[]", "timestamp_granularities"};
    for (size_t i = 0; i < BTH_COUNT(names); i++) {
        for (const char *v; (v = bth_form_take_any(&x->form, names[i]));) {
            if (strcmp(v, "word") == 0) {
                return bad(w, names[i], err,
                           "timestamp_granularities: word is not supported, "
                           "segment is");
            }
            if (strcmp(v, "segment") != 0) {
                return bad(w, names[i], err, "timestamp_granularities is segment");
            }
            if (!w->format || strcmp(w->format, "verbose_json") != 0) {
                return bad(w, names[i], err,
                           "timestamp_granularities needs response_format=verbose_json");
            }
        }
    }
    return 0;
}

static int choose_reply(struct bth_exchange *x, struct wish *w, struct berth_error *err) {
    const struct {
        const char *name;
        const struct bth_reply_ops *reply;
    } formats[] = {{"json", &bth_reply_json},
                   {"text", &bth_reply_text},
                   {"srt", &bth_reply_srt},
                   {"vtt", &bth_reply_vtt},
                   {"verbose_json", w->translate ? &bth_reply_translation : &bth_reply_verbose}};
    const char *wanted = w->format ? w->format : "json";
    for (size_t i = 0; i < BTH_COUNT(formats); i++) {
        if (strcmp(formats[i].name, wanted) == 0) {
            x->work.reply = w->stream ? &bth_reply_sse : formats[i].reply;
        }
    }
    if (!x->work.reply) {
        return bad(w, "response_format", err,
                   "response_format is json, text, srt, vtt or verbose_json");
    }
    if (w->stream && strcmp(wanted, "json") != 0 && strcmp(wanted, "text") != 0) {
        return bad(w, "response_format", err, "stream=true goes with response_format json or text");
    }
    return 0;
}

/* ---- what the engine is told -----------------------------------------------------------------*/

static int add_option(struct bth_work *w, const char *name, const char *value,
                      struct berth_error *err) {
    for (size_t i = 0; i < w->request.n_options; i++) {
        if (strcmp(w->options[i].name, name) == 0) {
            return bth_error(err, BERTH_EINVAL, "%s is set already", name);
        }
    }
    w->options[w->request.n_options++] = (struct berth_option){name, value};
    return 0;
}

/* 0 is the engine's own ladder of temperatures, as it is OpenAI's. */
static int add_temperature(struct bth_work *work, struct wish *w, struct berth_error *err) {
    char *end;
    double t = strtod(w->temperature, &end);
    if (end == w->temperature || *end || !(t >= 0 && t <= 1)) {
        return bad(w, "temperature", err, "temperature is a number from 0 to 1");
    }
    return t > 0 ? add_option(work, "temperature", w->temperature, err) : 0;
}

static int add_options(struct bth_exchange *x, struct wish *w, struct berth_error *err) {
    struct bth_work *work = &x->work;
    int rc = 0;
    work->request.options = work->options;
    if (w->translate) {
        rc = add_option(work, "task", "translate", err);
    }
    if (rc == 0 && w->prompt) {
        rc = add_option(work, "initial_prompt", w->prompt, err);
    }
    if (rc == 0 && w->temperature) {
        rc = add_temperature(work, w, err);
    }
    if (rc < 0) {
        return rc;
    }
    struct berth_option rest[BTH_FORM_FIELDS];
    int n = bth_form_take_rest(&x->form, rest, err); /* the engine knows them, or refuses */
    for (int i = 0; i < n; i++) {
        w->param = rest[i].name;
        rc = add_option(work, rest[i].name, rest[i].value, err);
        if (rc < 0) {
            return rc;
        }
    }
    w->param = NULL;
    return n < 0 ? n : 0;
}

static int prepare(struct bth_exchange *x, struct wish *w, struct berth_error *err) {
    const struct berth_engine_ops *engine = NULL;
    struct berth_request *r = &x->work.request;
    *r = (struct berth_request)BERTH_REQUEST_INIT;
    int rc = take(x, w, err);
    rc = rc < 0 ? rc : take_granularities(x, w, err);
    rc = rc < 0 ? rc : choose_reply(x, w, err);
    rc = rc < 0 ? rc : add_options(x, w, err);
    rc = rc < 0 ? rc : bth_work_model(x, w->model, &engine, err);
    rc = rc < 0 ? rc : bth_body_input(&x->body, BERTH_INPUT_FD, &r->input, err);
    if (rc < 0) {
        return rc;
    }
    r->caller = x->caller;
    r->stream = w->stream;
    x->work.wait_ms = -1;
    return engine->check(r, err);
}

static void run(struct bth_exchange *x, bool translate) {
    struct wish w = {.translate = translate};
    struct berth_error err = {0};
    if (prepare(x, &w, &err) < 0) {
        bth_answer_error(x, &err, w.param);
    } else {
        bth_work_begin(x);
    }
}

static void transcriptions(struct bth_exchange *x) {
    run(x, false);
}

static void translations(struct bth_exchange *x) {
    run(x, true);
}

static const struct bth_route table[] = {
    {.method = "POST",
     .path = "/v1/audio/transcriptions",
     .run = transcriptions,
     .body = BTH_BODY_FORM,
     .queued = true},
    {.method = "POST",
     .path = "/v1/audio/translations",
     .run = translations,
     .body = BTH_BODY_FORM,
     .queued = true},
};
const struct bth_routes bth_routes_audio = BTH_ROUTES(table);

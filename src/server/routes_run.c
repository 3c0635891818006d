/* POST /v1/run: any family's request as Berth's own client sends it. The body is the input, the
 * query says the rest. */
#include "base/error.h"
#include "server/exchange.h"
#include "server/http.h"
#include "server/route.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_MS = 86400000 };

enum { DEFAULT_HZ = 16000, DEFAULT_CHANNELS = 1, MOST = 1000000 };

/* `type` without parameters, whatever follows in `given`. */
static bool is_type(const char *given, const char *type) {
    size_t n = strlen(type);
    return strncasecmp(given, type, n) == 0 &&
           (given[n] == '\0' || given[n] == ';' || given[n] == ' ');
}

/* A sound file unless the type says otherwise. */
static enum berth_input_kind input_kind(const char *type) {
    if (!type) {
        return BERTH_INPUT_FD;
    }
    if (is_type(type, "text/plain")) {
        return BERTH_INPUT_TEXT;
    }
    if (is_type(type, "audio/x-berth-f32")) {
        return BERTH_INPUT_PCM_F32;
    }
    return is_type(type, "audio/x-berth-s16") ? BERTH_INPUT_PCM_S16 : BERTH_INPUT_FD;
}

/* The number of ";name=N" in a type, or the fallback. EINVAL: it is none. */
static int parameter(const char *type, const char *name, uint32_t fallback, uint32_t *out,
                     struct berth_error *err) {
    size_t n = strlen(name);
    *out = fallback;
    for (const char *p = type; (p = strchr(p, ';'));) {
        p += 1 + strspn(p + 1, " ");
        if (strncasecmp(p, name, n) != 0 || p[n] != '=') {
            continue;
        }
        char *end;
        unsigned long v = strtoul(p + n + 1, &end, 10);
        if (p[n + 1] < '0' || p[n + 1] > '9' || v < 1 || v > MOST || (*end && *end != ';')) {
            return bth_error(err, BERTH_EINVAL, "Content-Type: %s is a number from 1 to %d", name,
                             MOST);
        }
        *out = (uint32_t)v;
    }
    return 0;
}

static int take_input(struct bth_exchange *x, struct berth_error *err) {
    struct berth_input *in = &x->work.request.input;
    const char *type = bth_http_header(x, "Content-Type");
    enum berth_input_kind kind = input_kind(type);
    int rc = bth_body_input(&x->body, kind, in, err);
    if (rc == 0 && (kind == BERTH_INPUT_PCM_F32 || kind == BERTH_INPUT_PCM_S16)) {
        rc = parameter(type, "rate", DEFAULT_HZ, &in->sample_rate_hz, err);
        rc = rc < 0 ? rc : parameter(type, "channels", DEFAULT_CHANNELS, &in->channels, err);
    }
    return rc;
}

static int take_query(struct bth_exchange *x, const char **out_model, struct berth_error *err) {
    static const int64_t times[2] = {1, MAX_MS}, priorities[2] = {0, 9};
    struct bth_work *w = &x->work;
    struct berth_request *r = &w->request;
    const char *lease = NULL;
    int64_t priority;
    *r = (struct berth_request)BERTH_REQUEST_INIT;
    int rc = bth_form_take(&x->form, "model", out_model, err);
    rc = rc < 0 ? rc : bth_form_take_bool(&x->form, "stream", false, &r->stream, err);
    rc = rc < 0 ? rc : bth_form_take_int(&x->form, "priority", priorities, 5, &priority, err);
    rc = rc < 0 ? rc : bth_form_take_int(&x->form, "timeout_ms", times, -1, &w->wait_ms, err);
    rc = rc < 0 ? rc : bth_form_take(&x->form, "lease", &lease, err);
    rc = rc < 0 || !lease ? rc : bth_work_read_lease(lease, &w->ask, err);
    rc = rc < 0 ? rc : bth_form_take_rest(&x->form, w->options, err);
    if (rc < 0) {
        return rc;
    }
    r->options = w->options;
    r->n_options = (size_t)rc;
    r->priority = (int)priority;
    r->caller = x->caller;
    w->reply = r->stream ? &bth_reply_ndjson_parts : &bth_reply_ndjson;
    return *out_model ? 0 : bth_error(err, BERTH_EINVAL, "the query does not say which model");
}

static void run(struct bth_exchange *x) {
    const struct berth_engine_ops *engine = NULL;
    struct berth_error err = {0};
    const char *model = NULL;
    int rc = take_query(x, &model, &err);
    rc = rc < 0 ? rc : bth_work_model(x, model, &engine, &err);
    rc = rc < 0 ? rc : take_input(x, &err);
    rc = rc < 0 ? rc : engine->check(&x->work.request, &err);
    if (rc < 0) {
        bth_answer_error(x, &err, NULL);
    } else {
        bth_work_begin(x);
    }
}

static const struct bth_route table[] = {
    {.method = "POST",
     .path = "/v1/run",
     .run = run,
     .body = BTH_BODY_RAW,
     .queued = true,
     .native = true,
     .query = true},
};
const struct bth_routes bth_routes_run = BTH_ROUTES(table);

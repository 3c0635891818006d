/* POST /v1/nlp: texts in, spaCy's documents out. A JSON object says it all: "model"; "text", or
 * "texts" for an array of documents, or a line each with "stream"; which "attributes" and
 * "offsets". The engine knows the rest, or refuses. */
#include "base/alloc.h"
#include "base/error.h"
#include "server/exchange.h"
#include "server/json_body.h"
#include "server/reply_nlp.h"
#include "server/route.h"
#include <string.h>

enum { MAX_MS = 86400000, MAX_BODY = 16 << 20, MAX_TEXTS = 1 << 16 };

struct wish {
    const json_t *text, *texts;
    const char *model;
    bool stream;
    struct bth_doc_json how;
    const char *param; /* what an error is about */
};

/* ---- the object ------------------------------------------------------------------------------*/

static int parse(struct bth_exchange *x, json_t **out, struct berth_error *err) {
    struct berth_input in;
    json_error_t why;
    if (x->body.size > MAX_BODY) {
        return bth_error(err, BERTH_ETOOLARGE, "the body is larger than %d bytes", (int)MAX_BODY);
    }
    int rc = bth_body_input(&x->body, BERTH_INPUT_TEXT, &in, err);
    if (rc < 0) {
        return rc;
    }
    json_t *v = json_loadb(in.data, in.size, JSON_REJECT_DUPLICATES, &why);
    bth_body_finish(&x->body);
    if (!v && json_error_code(&why) == json_error_out_of_memory) {
        return bth_error_nomem(err);
    }
    if (!v) {
        return bth_error(err, BERTH_EINVAL, "the body is not JSON: line %d, column %d: %.100s",
                         why.line, why.column, why.text);
    }
    if (!json_is_object(v)) {
        json_decref(v);
        return bth_error(err, BERTH_EINVAL, "the body is to be a JSON object");
    }
    *out = v;
    return 0;
}

/* An array of strings, as "a,b". */
static int add_list(struct bth_exchange *x, const char *key, const json_t *list,
                    struct berth_error *err) {
    struct bth_str text = {0};
    const json_t *v;
    size_t i;
    int rc = 0;
    json_array_foreach(list, i, v) {
        const char *name = json_string_value(v);
        if (rc == 0 && (!name || strchr(name, ','))) {
            rc = bth_error(err, BERTH_EINVAL, "%.60s is to be a list of names", key);
        }
        bth_str_printf(&text, "%s%s", i ? "," : "", name ? name : "");
    }
    if (rc == 0) {
        rc = text.failed ? bth_error_nomem(err)
                         : bth_form_add(&x->form, key, bth_str_text(&text), text.size, err);
    }
    bth_str_finish(&text);
    return rc;
}

/* All members but the texts become fields. */
static int take_members(struct bth_exchange *x, struct wish *w, json_t *object,
                        struct berth_error *err) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        int rc = 0;
        if (strcmp(key, "text") == 0) {
            w->text = value;
        } else if (strcmp(key, "texts") == 0) {
            w->texts = value;
        } else if (json_is_array(value)) {
            rc = add_list(x, key, value, err);
        } else {
            rc = bth_json_field(&x->form, key, value, err);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int bad(struct wish *w, const char *param, struct berth_error *err, const char *message) {
    w->param = param;
    return bth_error(err, BERTH_EINVAL, "%s", message);
}

/* ---- what is asked for -----------------------------------------------------------------------*/

static int take_how(struct bth_exchange *x, struct wish *w, struct berth_error *err) {
    const char *offsets = NULL, *attributes = NULL;
    w->param = "offsets";
    int rc = bth_form_take(&x->form, "offsets", &offsets, err);
    rc = rc < 0 || !offsets ? rc : bth_doc_json_offsets(offsets, &w->how.offsets, err);
    if (rc < 0) {
        return rc;
    }
    w->param = "attributes";
    rc = bth_form_take(&x->form, "attributes", &attributes, err);
    rc = rc < 0 || !attributes ? rc : bth_doc_json_attributes(attributes, &w->how.attributes, err);
    w->param = rc < 0 ? w->param : NULL;
    return rc;
}

static int take_fields(struct bth_exchange *x, struct wish *w, struct berth_error *err) {
    static const int64_t times[2] = {1, MAX_MS}, priorities[2] = {0, 9};
    struct bth_work *work = &x->work;
    struct berth_request *r = &work->request;
    int64_t priority = 0;
    *r = (struct berth_request)BERTH_REQUEST_INIT;
    int rc = bth_form_take(&x->form, "model", &w->model, err);
    rc = rc < 0 ? rc : bth_form_take_bool(&x->form, "stream", false, &w->stream, err);
    rc = rc < 0 ? rc : bth_form_take_int(&x->form, "priority", priorities, 5, &priority, err);
    rc = rc < 0 ? rc : bth_form_take_int(&x->form, "timeout_ms", times, -1, &work->wait_ms, err);
    rc = rc < 0 ? rc : take_how(x, w, err);
    rc = rc < 0 ? rc : bth_form_take_rest(&x->form, work->options, err);
    if (rc < 0) {
        return rc;
    }
    r->options = work->options;
    r->n_options = (size_t)rc;
    r->priority = (int)priority;
    r->caller = x->caller;
    return w->model ? 0 : bad(w, "model", err, "the request does not say which model");
}

static struct berth_input input_of(const json_t *text) {
    return (struct berth_input){.kind = BERTH_INPUT_TEXT,
                                .data = json_string_value(text),
                                .size = json_string_length(text)};
}

static int take_many(struct bth_exchange *x, struct wish *w, struct berth_error *err) {
    size_t n = json_array_size(w->texts);
    if (!json_is_array(w->texts) || n > MAX_TEXTS) {
        w->param = "texts";
        return bth_error(err, BERTH_EINVAL, "texts is to be an array of at most %d texts",
                         (int)MAX_TEXTS);
    }
    struct bth_many *m = x->work.many = bth_calloc(1, sizeof(*m));
    if (m) {
        m->texts = bth_calloc(n, sizeof(*m->texts));
    }
    if (!m || !m->texts) {
        return bth_error_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        if (!json_is_string(json_array_get(w->texts, i))) {
            return bad(w, "texts", err, "texts is to be an array of texts");
        }
        m->texts[i] = input_of(json_array_get(w->texts, i));
    }
    m->n = n;
    m->open = w->stream ? "" : "[";
    m->between = w->stream ? "" : ",\n";
    m->close = w->stream ? "" : "]\n";
    x->work.reply = w->stream ? &bth_reply_nlp_lines : &bth_reply_nlp_array;
    x->work.request.input = (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = ""};
    return 0;
}

static int take_text(struct bth_exchange *x, struct wish *w, struct berth_error *err) {
    if (!w->text == !w->texts) {
        return bad(w, "text", err, "the request is to have text or texts");
    }
    if (w->texts) {
        return take_many(x, w, err);
    }
    if (!json_is_string(w->text)) {
        return bad(w, "text", err, "text is to be a text");
    }
    x->work.request.input = input_of(w->text);
    x->work.reply = &bth_reply_nlp;
    return 0;
}

static int find_model(struct bth_exchange *x, const char *name, struct berth_error *err) {
    const struct berth_engine_ops *engine = NULL;
    int rc = bth_work_model(x, name, &engine, err);
    if (rc < 0) {
        return rc;
    }
    if (strcmp(engine->family, "spacy") != 0 && strcmp(engine->family, "toy") != 0) {
        return bth_error(err, BERTH_EINVAL, "%s is no model of spaCy's but of %s", x->work.model,
                         engine->family);
    }
    return engine->check(&x->work.request, err);
}

/* ---- the route -------------------------------------------------------------------------------*/

static void release(void *object) {
    json_decref(object);
}

static void nlp(struct bth_exchange *x) {
    struct wish w = {0};
    struct berth_error err = {0};
    json_t *object = NULL;
    int rc = parse(x, &object, &err);
    x->work.held = object; /* the texts are its */
    x->work.release = release;
    rc = rc < 0 ? rc : take_members(x, &w, object, &err);
    rc = rc < 0 ? rc : take_fields(x, &w, &err);
    rc = rc < 0 ? rc : take_text(x, &w, &err);
    rc = rc < 0 ? rc : find_model(x, w.model, &err);
    x->work.at = bth_nlp_at(&w.how);
    if (rc < 0) {
        bth_answer_error(x, &err, w.param);
    } else {
        bth_work_begin(x);
    }
}

static const struct bth_route table[] = {
    {.method = "POST",
     .path = "/v1/nlp",
     .run = nlp,
     .body = BTH_BODY_RAW,
     .queued = true,
     .native = true},
};
const struct bth_routes bth_routes_nlp = BTH_ROUTES(table);

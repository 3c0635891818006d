#include "client/session_event.h"

#include "base/error.h"
#include "client/event.h"
#include <jansson.h>
#include <string.h>

static int damaged(struct berth_error *err) {
    return bth_error(err, BERTH_EIO, "the daemon's answer is damaged");
}

static int take_text(const json_t *e, const char *key, char *out, size_t size,
                     struct berth_error *err) {
    const char *text = json_string_value(json_object_get(e, key));
    if (!text || !*text || strlen(text) >= size) {
        return damaged(err);
    }
    memcpy(out, text, strlen(text) + 1);
    return 0;
}

static int take_lease(const json_t *e, struct bth_session_event *out, struct berth_error *err) {
    const json_t *lease = json_object_get(e, "lease");
    if (!json_is_integer(lease) || json_integer_value(lease) < 0) {
        return damaged(err);
    }
    out->lease = (uint64_t)json_integer_value(lease);
    return 0;
}

static int take_refusal(const json_t *e, struct bth_session_event *out, struct berth_error *err) {
    const char *code = json_string_value(json_object_get(e, "code"));
    const char *message = json_string_value(json_object_get(e, "message"));
    if (!code || !message) {
        return damaged(err);
    }
    const int known = bth_event_code(code);
    bth_error(&out->error, known ? known : BERTH_EIO, "%s", message);
    return 0;
}

static int take_session(const json_t *e, struct bth_session_event *out, struct berth_error *err) {
    int rc = take_text(e, "session", out->session, sizeof(out->session), err);
    if (rc == 0 && out->session[strspn(out->session, "0123456789abcdef")]) {
        return damaged(err);
    }
    return rc;
}

static int read(const json_t *e, struct bth_session_event *out, struct berth_error *err) {
    const char *name = json_string_value(json_object_get(e, "event"));
    if (!name) {
        return damaged(err);
    }
    if (strcmp(name, "hello") == 0) {
        out->kind = BTH_SESSION_HELLO;
        return take_session(e, out, err);
    }
    if (strcmp(name, "granted") == 0) {
        out->kind = BTH_SESSION_GRANTED;
        int rc = take_lease(e, out, err);
        return rc < 0 ? rc : take_text(e, "model", out->model, sizeof(out->model), err);
    }
    if (strcmp(name, "refused") == 0) {
        out->kind = BTH_SESSION_REFUSED;
        int rc = take_lease(e, out, err);
        return rc < 0 ? rc : take_refusal(e, out, err);
    }
    if (strcmp(name, "revoked") == 0) {
        out->kind = BTH_SESSION_REVOKED;
        return take_lease(e, out, err);
    }
    return 0;
}

int bth_session_event_parse(const char *line, size_t n, struct bth_session_event *out,
                            struct berth_error *err) {
    json_error_t why;
    json_t *e = json_loadb(line, n, 0, &why);
    if (!e && json_error_code(&why) == json_error_out_of_memory) {
        return bth_error_nomem(err);
    }
    struct bth_session_event event = {.kind = BTH_SESSION_ALIVE};
    int rc = read(e, &event, err);
    json_decref(e);
    if (rc == 0) {
        *out = event;
    }
    return rc;
}

/* What the daemon says of its models and devices; loading and unloading. */
#include "base/alloc.h"
#include "base/error.h"
#include "base/sized.h"
#include "client/client_private.h"
#include "client/stats_fields.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { STATS_MS = 5000, GRACE_MS = 2000, MAX_MS = 86400000 };

/* ---- JSON ------------------------------------------------------------------------------------*/

/* Fills what the object has of these fields; others stay. */
static void read_fields(const json_t *object, const struct bth_stat_fields *f, void *out) {
    for (size_t i = 0; i < f->n; i++) {
        const json_t *v = json_object_get(object, f->fields[i].name);
        char *to = (char *)out + f->fields[i].offset;
        const char *text = json_string_value(v);
        json_int_t n = json_integer_value(v);
        switch (f->fields[i].kind) {
        case BTH_STAT_TEXT:
            snprintf(to, f->fields[i].size, "%s", text ? text : "");
            break;
        case BTH_STAT_COUNT:
            n = n > 0 ? n : 0;
            memcpy(to, &n, sizeof(n));
            break;
        case BTH_STAT_SPAN:
            memcpy(to, &n, sizeof(n));
            break;
        }
    }
}

void bth_client_quote(struct bth_str *out, const char *text) {
    json_t *v = json_stringn_nocheck(text, strlen(text));
    char *quoted = v ? json_dumps(v, JSON_ENCODE_ANY) : NULL;
    bth_str_puts(out, quoted ? quoted : "\"\"");
    free(quoted);
    json_decref(v);
}

void bth_client_encode(struct bth_str *out, const char *text) {
    for (const char *p = text; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= '0' && *p <= '9') || strchr("-._/", *p);
        bth_str_printf(out, plain ? "%c" : "%%%02X", (unsigned char)*p);
    }
}

/* A question whose answer is a JSON object. */
static int ask_object(struct bth_client *c, const char *path, const char *body, int64_t timeout_ms,
                      json_t **out, struct berth_error *err) {
    struct bth_str answer = {0};
    int rc = bth_client_ask(c, path, body, timeout_ms, &answer, err);
    if (rc == 0) {
        json_t *v = json_loadb(bth_str_text(&answer), answer.size, 0, NULL);
        if (json_is_object(v)) {
            *out = v;
        } else {
            json_decref(v);
            rc = bth_error(err, BERTH_EIO,
                           "what answers at %.100s is not understood: no JSON object", c->address);
        }
    }
    bth_str_finish(&answer);
    return rc;
}

/* The name in an answer. */
static int take_name(json_t *answer, const char *key, char out[64], struct berth_error *err) {
    const char *name = json_string_value(json_object_get(answer, key));
    int rc = name && strlen(name) < 64
                 ? 0
                 : bth_error(err, BERTH_EIO, "the daemon's answer is damaged: %s", key);
    if (rc == 0) {
        memcpy(out, name, strlen(name) + 1);
    }
    json_decref(answer);
    return rc;
}

/* ---- load and unload -------------------------------------------------------------------------*/

int bth_client_refuse_path(const struct bth_client *c, const char *model, struct berth_error *err) {
    bool path = *model == '/' || strncmp(model, "./", 2) == 0 || strncmp(model, "../", 3) == 0;
    return path ? bth_error(err, BERTH_EUNSUPPORTED,
                            "%.80s: the daemon at %.60s takes models by name, not by path: name it "
                            "in its configuration, or work in process (BERTH_SERVER=none)",
                            model, c->address)
                : 0;
}

/* {"model": ..., and `more`}; waits up to timeout_ms for the answer. */
static int ask_model(struct bth_client *c, const char *path, const char *model, const char *more,
                     int64_t timeout_ms, char out_name[64], struct berth_error *err) {
    struct bth_str body = {0};
    json_t *answer = NULL;
    int rc = bth_client_refuse_path(c, model, err);
    if (rc < 0) {
        return rc;
    }
    bth_str_puts(&body, "{\"model\":");
    bth_client_quote(&body, model);
    bth_str_printf(&body, "%s}", more);
    rc = body.failed ? bth_error_nomem(err)
                     : ask_object(c, path, bth_str_text(&body), timeout_ms, &answer, err);
    bth_str_finish(&body);
    return rc < 0 ? rc : take_name(answer, "model", out_name, err);
}

/* A time that the daemon watches, as it is told of it; we watch it too, a little later. */
static long long told_ms(int64_t ms) {
    return ms < 0 || ms > MAX_MS ? -1 : ms;
}

static int64_t watched_ms(int64_t ms) {
    return ms < 0 || ms > INT64_MAX - GRACE_MS ? -1 : ms + GRACE_MS;
}

int bth_client_load(struct bth_client *c, const char *model, int64_t wait_ms, char out_name[64],
                    struct berth_error *err) {
    char more[48];
    snprintf(more, sizeof(more), ",\"wait_ms\":%lld", told_ms(wait_ms));
    return ask_model(c, "/v1/models/load", model, more, watched_ms(wait_ms), out_name, err);
}

int bth_client_unload(struct bth_client *c, const char *model, int64_t timeout_ms, bool force,
                      struct berth_error *err) {
    char name[64], session[BTH_SESSION_TEXT], more[144];
    bth_client_session(c, session);
    int n = snprintf(more, sizeof(more), ",\"timeout_ms\":%lld", told_ms(timeout_ms));
    if (*session || force) {
        snprintf(more + n, sizeof(more) - (size_t)n, ",\"session\":\"%s\",\"force\":%s", session,
                 force ? "true" : "false");
    }
    return ask_model(c, "/v1/models/unload", model, more, watched_ms(timeout_ms), name, err);
}

int bth_client_enable(struct bth_client *c, const char *model, bool on, char out_name[64],
                      struct berth_error *err) {
    return ask_model(c, on ? "/v1/models/enable" : "/v1/models/disable", model, "", STATS_MS,
                     out_name, err);
}

int bth_client_name(struct bth_client *c, const char *model, char out_name[64],
                    struct berth_error *err) {
    struct bth_str path = {0};
    json_t *answer = NULL;
    int rc = bth_client_refuse_path(c, model, err);
    if (rc < 0) {
        return rc;
    }
    bth_str_puts(&path, "/v1/models/");
    bth_client_encode(&path, model);
    rc = path.failed ? bth_error_nomem(err)
                     : ask_object(c, bth_str_text(&path), NULL, STATS_MS, &answer, err);
    bth_str_finish(&path);
    return rc < 0 ? rc : take_name(answer, "name", out_name, err);
}

/* ---- statistics ------------------------------------------------------------------------------*/

static enum berth_model_state state_of(const json_t *object) {
    static const struct {
        const char *text;
        enum berth_model_state state;
    } states[] = {{"loading", BERTH_MODEL_LOADING},
                  {"ready", BERTH_MODEL_READY},
                  {"draining", BERTH_MODEL_DRAINING},
                  {"disabled", BERTH_MODEL_DISABLED}};
    const char *text = json_string_value(json_object_get(object, "state"));
    for (size_t i = 0; text && i < BTH_COUNT(states); i++) {
        if (strcmp(text, states[i].text) == 0) {
            return states[i].state;
        }
    }
    return BERTH_MODEL_ABSENT;
}

size_t bth_client_models(struct bth_client *c, struct berth_model_stats *out, size_t size,
                         size_t n) {
    json_t *stats = NULL;
    if (ask_object(c, "/v1/stats", NULL, STATS_MS, &stats, NULL) < 0) {
        return 0;
    }
    const json_t *models = json_object_get(stats, "models");
    size_t have = json_array_size(models);
    for (size_t i = 0; out && i < have && i < n; i++) {
        const json_t *v = json_array_get(models, i);
        struct berth_model_stats m = {.state = state_of(v)};
        read_fields(v, &bth_model_fields, &m);
        bth_sized_copy((char *)out + i * size, size, &m, sizeof(m));
    }
    json_decref(stats);
    return have;
}

size_t bth_client_devices(struct bth_client *c, struct berth_device_stats *out, size_t size,
                          size_t n) {
    json_t *stats = NULL;
    if (ask_object(c, "/v1/stats", NULL, STATS_MS, &stats, NULL) < 0) {
        return 0;
    }
    const json_t *devices = json_object_get(stats, "devices");
    size_t have = json_array_size(devices);
    for (size_t i = 0; out && i < have && i < n; i++) {
        struct berth_device_stats d = {0};
        read_fields(json_array_get(devices, i), &bth_device_fields, &d);
        bth_sized_copy((char *)out + i * size, size, &d, sizeof(d));
    }
    json_decref(stats);
    return have;
}

int bth_client_usage(struct bth_client *c, struct berth_usage *out) {
    json_t *stats = NULL;
    int rc = ask_object(c, "/v1/stats", NULL, STATS_MS, &stats, NULL);
    if (rc < 0) {
        return rc;
    }
    const json_t *usage = json_object_get(stats, "usage");
    const json_t *families = json_object_get(usage, "families"), *f;
    const char *device = json_string_value(json_object_get(usage, "device"));
    size_t i;
    *out = (struct berth_usage){0};
    snprintf(out->device, sizeof(out->device), "%s", device ? device : "");
    json_array_foreach(families, i, f) {
        const char *name = json_string_value(json_object_get(f, "family"));
        if (name && out->n_families < BTH_COUNT(out->families)) {
            const json_int_t leases = json_integer_value(json_object_get(f, "leases"));
            const uint32_t n = out->n_families++;
            snprintf(out->families[n].family, sizeof(out->families[n].family), "%s", name);
            out->families[n].leases = leases > 0 ? (uint64_t)leases : 0;
            out->families[n].ready = json_is_true(json_object_get(f, "ready"));
        }
    }
    json_decref(stats);
    return 0;
}

/* ---- what concerns all leases ----------------------------------------------------------------*/

/* The owner is one of this session's. */
static void put_owner(struct bth_client *c, uint64_t owner, struct bth_str *body) {
    char session[BTH_SESSION_TEXT];
    bth_client_session(c, session);
    if (*session) {
        bth_str_printf(body, ",\"session\":\"%s\",\"owner\":%lld", session, (long long)owner);
    }
}

static int64_t with_grace(int64_t ms, int64_t grace) {
    return ms < 0 || ms > MAX_MS ? -1 : ms + grace;
}

int bth_client_wait_available(struct bth_client *c, const char *what, uint64_t owner,
                              uint32_t max_concurrent, int64_t ms, struct berth_error *err) {
    struct bth_str body = {0};
    int rc = bth_client_refuse_path(c, what, err);
    if (rc < 0) {
        return rc;
    }
    bth_str_puts(&body, "{\"model\":");
    bth_client_quote(&body, what);
    bth_str_printf(&body, ",\"max_concurrent\":%u,\"wait_ms\":%lld", (unsigned)max_concurrent,
                   (long long)with_grace(ms, 0));
    put_owner(c, owner, &body);
    bth_str_putc(&body, '}');
    rc = body.failed ? bth_error_nomem(err)
                     : bth_client_ask(c, "/v1/available", bth_str_text(&body),
                                      with_grace(ms, GRACE_MS), NULL, err);
    bth_str_finish(&body);
    return rc;
}

static uint64_t number(const json_t *object, const char *key) {
    const json_int_t v = json_integer_value(json_object_get(object, key));
    return v > 0 ? (uint64_t)v : 0;
}

int bth_client_cleanup(struct bth_client *c, uint64_t owner, int64_t ms,
                       struct berth_cleanup_report *out, struct berth_error *err) {
    enum { REVOKING_MS = 5000 };
    struct bth_str body = {0};
    json_t *answer = NULL;
    bth_str_printf(&body, "{\"timeout_ms\":%lld", (long long)with_grace(ms, 0));
    put_owner(c, owner, &body);
    bth_str_putc(&body, '}');
    int rc = body.failed ? bth_error_nomem(err)
                         : ask_object(c, "/v1/cleanup", bth_str_text(&body),
                                      with_grace(ms, REVOKING_MS + GRACE_MS), &answer, err);
    bth_str_finish(&body);
    if (rc < 0) {
        return rc;
    }
    *out = (struct berth_cleanup_report){.models_unloaded = number(answer, "models_unloaded"),
                                         .leases_waited_for = number(answer, "leases_waited_for"),
                                         .leases_revoked = number(answer, "leases_revoked"),
                                         .bytes_before = number(answer, "bytes_before"),
                                         .bytes_after = number(answer, "bytes_after"),
                                         .forced = json_is_true(json_object_get(answer, "forced"))};
    json_decref(answer);
    return 0;
}

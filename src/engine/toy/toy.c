/*
 * The toy engine: read this first to see what an engine is.
 *
 * A model is settings from a small text file, a session counts the turns that it still wants. There
 * is no network, so `enqueue` only sleeps; everything else is as in a real engine.
 */
#include "toy/toy.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/item.h"
#include "base/reservation.h"
#include "compute/tensor.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { HOST, WORK, N_STAGES };

static const struct berth_stage stages[N_STAGES] = {
    [HOST] = {"HOST", BERTH_LANE_HOST, 1, 100000, 0},
    [WORK] = {"WORK", BERTH_LANE_DEVICE, 16, 100000, 0},
};

/* What a toy model does when it is loaded. */
struct settings {
    size_t weights_bytes, workspace_bytes;
    int64_t load_ms, unload_ms;
    int load_fail; /* error code, or 0 */
};

struct toy_model {
    struct berth_model base; /* first: the contract casts */
    struct settings settings;
    struct berth_buffer *weights, *workspace;
};

struct toy_session {
    struct berth_session base; /* first */
    char *text;
    int64_t turns, host_turns, turn_us, emit, fail_at, done;
    uint64_t key;
    uint32_t rows;
    size_t bytes;
    bool stream, drawn, cancelled;
    int fail;
};

static void sleep_us(int64_t us) {
    if (us > 0) {
        nanosleep(&(struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000}, NULL);
    }
}

static int error_code(const char *name) {
#define X(code, number, text)                                                                      \
    if (strcmp(name, #code) == 0) {                                                                \
        return -(number);                                                                          \
    }
    BERTH_ERROR_MAP(X)
#undef X
    return 0;
}

static bool parse_count(const char *text, int64_t *out) {
    char *end;
    long long v = strtoll(text, &end, 10);
    *out = v;
    return end != text && !*end && v >= 0 && v <= INT64_C(1) << 40;
}

/* ---- models ---- */

static bool set(struct settings *s, const char *name, const char *value) {
    int64_t v = 0;
    bool number = parse_count(value, &v);
    if (strcmp(name, "load_fail") == 0) {
        s->load_fail = error_code(value);
        return s->load_fail != 0;
    }
    if (strcmp(name, "weights_bytes") == 0) {
        s->weights_bytes = (size_t)v;
    } else if (strcmp(name, "workspace_bytes") == 0) {
        s->workspace_bytes = (size_t)v;
    } else if (strcmp(name, "load_ms") == 0) {
        s->load_ms = v;
    } else if (strcmp(name, "unload_ms") == 0) {
        s->unload_ms = v;
    } else {
        return false;
    }
    return number;
}

static int read_settings(const char *path, struct settings *out, struct berth_error *err) {
    struct settings s = {.weights_bytes = 4096, .workspace_bytes = 4096};
    char *text, *rest = NULL;
    size_t n;
    int rc = bth_read_file(path, 1 << 16, &text, &n, err);
    if (rc < 0) {
        return rc;
    }
    char *line = strtok_r(text, "\n", &rest);
    if (!line || strcmp(line, "berth-toy 1") != 0) {
        rc = bth_error(err, BERTH_ENOTFOUND, "%s is no toy model", path);
    }
    while (rc == 0 && (line = strtok_r(NULL, "\n", &rest))) {
        char name[32], value[32];
        if (sscanf(line, " %31[a-z_] = %31[A-Za-z0-9]", name, value) != 2 ||
            !set(&s, name, value)) {
            rc = bth_error(err, BERTH_EFORMAT, "%s: not understood: %.60s", path, line);
        }
    }
    bth_free(text);
    if (rc == 0) {
        *out = s;
    }
    return rc;
}

static int probe(const char *path, struct berth_model_info *out, struct berth_error *err) {
    struct settings s;
    if (!bth_is_file(path)) {
        return bth_error(err, BERTH_ENOTFOUND, "%s is no toy model", path);
    }
    int rc = read_settings(path, &s, err);
    if (rc == 0) {
        *out = (struct berth_model_info){.family = "toy", .description = "toy", .format = "text"};
    }
    return rc;
}

static int estimate(const char *path, struct berth_device *device, struct berth_estimate *out,
                    struct berth_error *err) {
    (void)device;
    struct settings s;
    int rc = read_settings(path, &s, err);
    if (rc == 0) {
        *out = (struct berth_estimate){.weights_bytes = s.weights_bytes,
                                       .workspace_bytes = s.workspace_bytes};
    }
    return rc;
}

static void unload(struct berth_model *model) {
    struct toy_model *m = (struct toy_model *)model;
    sleep_us(m->settings.unload_ms * 1000);
    bth_buffer_destroy(m->weights);
    bth_buffer_destroy(m->workspace);
    bth_free(m);
}

static int load(const struct berth_load *load, struct berth_model **out, struct berth_error *err) {
    struct toy_model *m = bth_calloc(1, sizeof(*m));
    if (!m) {
        return bth_error_nomem(err);
    }
    const struct berth_backend_ops *ops = load->device->ops;
    m->base = (struct berth_model){.ops = &bth_toy_engine, .device = load->device};
    int rc = read_settings(load->path, &m->settings, err);
    if (rc == 0) {
        sleep_us(m->settings.load_ms * 1000);
        rc = m->settings.load_fail
                 ? bth_error(err, m->settings.load_fail, "the toy model fails, as it was told to")
                 : 0;
    }
    if (rc == 0) {
        rc = ops->buffer_create(load->device, load->weights, m->settings.weights_bytes, &m->weights,
                                err);
    }
    if (rc == 0) {
        rc = ops->buffer_create(load->device, load->workspace, m->settings.workspace_bytes,
                                &m->workspace, err);
    }
    if (rc < 0) { /* all or nothing */
        m->settings.unload_ms = 0;
        unload(&m->base);
        return rc;
    }
    *out = &m->base;
    return 0;
}

/* ---- sessions ---- */

static int set_option(struct toy_session *s, const struct berth_option *o,
                      struct berth_error *err) {
    int64_t v = 0;
    bool number = parse_count(o->value, &v);
    struct {
        const char *name;
        int64_t *field;
    } counts[] = {{"turns", &s->turns},
                  {"host_turns", &s->host_turns},
                  {"turn_us", &s->turn_us},
                  {"emit", &s->emit},
                  {"fail_at", &s->fail_at}};
    if (strcmp(o->name, "fail") == 0) {
        s->fail = error_code(o->value);
        return s->fail ? 0 : bth_error(err, BERTH_EINVAL, "no such error: %.40s", o->value);
    }
    for (size_t i = 0; number && i < BTH_COUNT(counts); i++) {
        if (strcmp(o->name, counts[i].name) == 0) {
            *counts[i].field = v;
            return 0;
        }
    }
    if (number && strcmp(o->name, "bytes") == 0) {
        s->bytes = (size_t)v;
    } else if (number && strcmp(o->name, "key") == 0) {
        s->key = (uint64_t)v;
    } else if (number && strcmp(o->name, "rows") == 0 && v >= 1 && v <= 16) {
        s->rows = (uint32_t)v;
    } else {
        return bth_error(err, BERTH_EINVAL, "toy does not know the option %.40s=%.40s", o->name,
                         o->value);
    }
    return 0;
}

static int parse(const struct berth_request *request, struct toy_session *s,
                 struct berth_error *err) {
    s->turns = 1;
    s->rows = 1;
    if (request->input.kind != BERTH_INPUT_TEXT) {
        return bth_error(err, BERTH_EINVAL, "toy takes text");
    }
    for (size_t i = 0; i < request->n_options; i++) {
        int rc = set_option(s, &request->options[i], err);
        if (rc < 0) {
            return rc;
        }
    }
    if (s->emit > BERTH_MAX_EMIT - 2) {
        return bth_error(err, BERTH_EINVAL, "at most %d items a turn", BERTH_MAX_EMIT - 2);
    }
    return 0;
}

static int check(const struct berth_request *request, struct berth_error *err) {
    struct toy_session s = {0};
    return parse(request, &s, err);
}

static void end(struct berth_session *session) {
    struct toy_session *s = (struct toy_session *)session;
    if (s->drawn) {
        bth_reservation_return(s->base.reservation, s->bytes);
    }
    bth_free(s->text);
    bth_free(s);
}

static int begin(struct berth_model *model, const struct berth_request *request,
                 struct berth_session **out, struct berth_need *need, struct berth_error *err) {
    struct toy_session *s = bth_calloc(1, sizeof(*s));
    if (!s) {
        return bth_error_nomem(err);
    }
    s->base.model = model;
    s->stream = request->stream;
    int rc = parse(request, s, err);
    if (rc == 0) {
        s->text = bth_strndup(request->input.data ? request->input.data : "", request->input.size);
        rc = s->text ? 0 : bth_error_nomem(err);
    }
    if (rc < 0) {
        end(&s->base);
        return rc;
    }
    *need = (struct berth_need){.bytes_now = s->bytes, .bytes_max = s->bytes};
    *out = &s->base;
    return 0;
}

static void next(struct berth_session *session, struct berth_want *out) {
    const struct toy_session *s = (const struct toy_session *)session;
    bool ended = s->cancelled || s->done >= s->host_turns + s->turns;
    *out = (struct berth_want){.stage = ended                     ? BERTH_WANT_END
                                        : s->done < s->host_turns ? HOST
                                                                  : WORK,
                               .key = s->done < s->host_turns ? 0 : s->key,
                               .rows = s->done < s->host_turns ? 1 : s->rows};
}

/* The work of a turn: as long as the slowest of its sessions. */
static int enqueue(struct berth_batch *batch, struct berth_error *err) {
    (void)err;
    int64_t longest = 0;
    for (uint32_t i = 0; i < batch->n; i++) {
        const struct toy_session *s = (const struct toy_session *)batch->sessions[i];
        longest = s->turn_us > longest ? s->turn_us : longest;
    }
    sleep_us(longest);
    return 0;
}

static int emit(struct toy_session *s, enum berth_item_kind kind) {
    struct berth_item *item = bth_item_create(kind);
    if (!item) {
        return BERTH_ENOMEM;
    }
    item->done = (double)s->done;
    item->total = (double)(s->host_turns + s->turns);
    if (kind != BERTH_ITEM_PROGRESS) {
        item->text = bth_arena_strndup(bth_item_arena(item), s->text, strlen(s->text));
        if (!item->text) {
            berth_item_free(item);
            return BERTH_ENOMEM;
        }
    }
    int rc = s->base.sink->emit(s->base.sink, item);
    if (rc < 0) {
        berth_item_free(item);
    }
    return rc;
}

static int move_on(struct toy_session *s, struct berth_error *err) {
    if (!s->drawn) {
        int rc = bth_reservation_draw(s->base.reservation, s->bytes, err);
        if (rc < 0) {
            return rc;
        }
        s->drawn = true;
    }
    s->done++;
    if (s->fail && s->done > s->fail_at) {
        return bth_error(err, s->fail, "the toy session fails, as it was told to");
    }
    int rc = emit(s, BERTH_ITEM_PROGRESS);
    for (int64_t i = 0; rc == 0 && s->stream && i < s->emit; i++) {
        rc = emit(s, BERTH_ITEM_PARTIAL);
    }
    if (rc == 0 && s->done == s->host_turns + s->turns) {
        rc = emit(s, BERTH_ITEM_FINAL);
    }
    return rc < 0 ? bth_error_nomem(err) : 0;
}

static int settle(struct berth_batch *batch, struct berth_error *err) {
    (void)err;
    for (uint32_t i = 0; i < batch->n; i++) {
        struct toy_session *s = (struct toy_session *)batch->sessions[i];
        batch->status[i] = s->cancelled ? 0 : move_on(s, &batch->errors[i]);
    }
    return 0;
}

static void cancel(struct berth_session *session) {
    ((struct toy_session *)session)->cancelled = true;
}

const struct berth_engine_ops bth_toy_engine = {
    .api_version = BERTH_ENGINE_API,
    .struct_size = sizeof(struct berth_engine_ops),
    .family = "toy",
    .stages = stages,
    .n_stages = N_STAGES,
    .check = check,
    .probe = probe,
    .estimate = estimate,
    .load = load,
    .unload = unload,
    .begin = begin,
    .next = next,
    .enqueue = enqueue,
    .settle = settle,
    .cancel = cancel,
    .end = end,
};

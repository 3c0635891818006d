/*
 * berth/engine.h - for authors of engines: the contract between a model family and the rest.
 *
 * An engine turns a request into a small state machine (a session) and moves many sessions on by
 * one turn at a time. It never loops over a whole request, never waits, and knows neither who asks
 * nor what else runs. In return the scheduler knows nothing but what `next` says.
 *
 *     begin -> next -> [enqueue -> settle -> next]* -> end
 *
 * Thread rule: a session has one owner thread at a time. `begin`, `next`, `settle`, `cancel` and
 * `end` come from the device's thread. `enqueue` of a device-lane stage too; `enqueue` of a
 * host-lane stage may come from a pool thread. `check`, `probe` and `estimate` are pure and may
 * come from any thread; `load` and `unload` come from loader threads, of several models at once,
 * while the model has no session. Nothing here may block on another request, a lock of another
 * layer, or a client.
 */
#ifndef BERTH_ENGINE_H
#define BERTH_ENGINE_H

#include <berth/backend.h>
#include <berth/error.h>
#include <berth/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BERTH_ENGINE_API 1

struct berth_engine_ops;

/* Base of an engine's model: the engine embeds it first and casts. Immutable after load. */
struct berth_model {
    const struct berth_engine_ops *ops;
    struct berth_device *device;
};

/* Where results go: PROGRESS as work is done, PARTIAL only if the request says `stream`, one FINAL.
 * `emit` takes the item over on success and never blocks; the scheduler runs a
 * session only while its sink has room for BERTH_MAX_EMIT items. */
#define BERTH_MAX_EMIT 4
struct berth_sink {
    int (*emit)(struct berth_sink *sink, struct berth_item *item);
};

/* Base of an engine's session. The scheduler sets `sink` and `reservation` after admission, before
 * the first turn; memory of the session is drawn from the reservation. */
struct berth_session {
    struct berth_model *model;
    struct berth_sink *sink;
    struct berth_reservation *reservation;
};

enum berth_lane {
    BERTH_LANE_HOST,  /* one session a turn, on a pool thread or, with few cores, as a turn */
    BERTH_LANE_DEVICE /* many sessions a turn, on the device's thread and team */
};

struct berth_stage {
    const char *name; /* "STEP": in metrics and traces */
    enum berth_lane lane;
    uint32_t max_rows;       /* most rows of one turn */
    int64_t turn_ns, row_ns; /* planned cost of a turn and of a row; corrected by measurement */
};

/* What a session wants next. Sessions with equal (model, stage, key) may share a turn. */
struct berth_want {
    int32_t stage; /* index into ops->stages, or BERTH_WANT_END: finished or failed */
    uint64_t key;
    uint32_t rows;
    uint32_t max_rows; /* most rows of this turn on this device; 0: the stage's */
};
#define BERTH_WANT_END (-1)

struct berth_need {
    size_t bytes_now; /* drawn in the first turns */
    size_t bytes_max; /* never exceeded: reserved at admission */
};

/* One turn. The caller owns the arrays; the engine may keep its own state of the turn in `turn`
 * between enqueue and settle. */
struct berth_batch {
    struct berth_model *model;
    int32_t stage;
    uint64_t key;
    uint32_t n;                      /* sessions */
    struct berth_session **sessions; /* [n] */
    int *status;                     /* [n] out: 0, or why this session alone has failed */
    struct berth_error *errors;      /* [n] out */
    void *turn;
};

/* What a path holds. */
struct berth_model_info {
    char family[16];
    char description[128]; /* "whisper base, multilingual, f16" */
    char format[32];       /* "ctranslate2", "safetensors" */
    uint64_t parameters;
    char revision[72]; /* sha-256 of the weights file when known, else "" */
};

struct berth_load {
    const char *path;
    struct berth_device *device;
    struct berth_reservation *weights;   /* drawn for weights */
    struct berth_reservation *workspace; /* drawn for scratch of turns */
    const struct berth_option *options;
    size_t n_options;
};

struct berth_estimate {
    size_t weights_bytes;
    size_t workspace_bytes;
    size_t session_bytes; /* of a typical session: the least worth loading for */
};

/* Members are appended only; required unless marked optional. */
struct berth_engine_ops {
    uint32_t api_version; /* BERTH_ENGINE_API */
    uint32_t struct_size;
    const char *family;
    const struct berth_stage *stages; /* [n_stages] */
    int32_t n_stages;

    /* Is this request well formed (option names and values, kind of input, a readable header)?
     * Needs no model. EINVAL, EUNSUPPORTED, EAUDIO, ENOTFOUND, ETOOLARGE. */
    int (*check)(const struct berth_request *request, struct berth_error *err);

    /* Does `path` hold a model of this family? ENOTFOUND (no), EFORMAT (yes, but damaged). */
    int (*probe)(const char *path, struct berth_model_info *out, struct berth_error *err);
    /* What a load on this device will draw. EUNSUPPORTED: this kind of device cannot run it. */
    int (*estimate)(const char *path, struct berth_device *device, struct berth_estimate *out,
                    struct berth_error *err);
    /* All or nothing: on failure everything drawn has been given back. */
    int (*load)(const struct berth_load *load, struct berth_model **out, struct berth_error *err);
    void (*unload)(struct berth_model *model);

    /* Parses and prepares one request; no device work, no bytes of the reservation. The request
     * and what it points to stay valid until `end`. */
    int (*begin)(struct berth_model *model, const struct berth_request *request,
                 struct berth_session **out, struct berth_need *need, struct berth_error *err);
    void (*next)(struct berth_session *session, struct berth_want *out);
    /* Queues one turn (CPU: runs it). A negative return fails the whole turn: ENOMEM (retry),
     * EDEVICE (the device is lost). */
    int (*enqueue)(struct berth_batch *batch, struct berth_error *err);
    /* Reads the small results back, moves each session on, emits. Sets status[i] and errors[i];
     * a session with a bad status is not run again. Its own return as enqueue's. */
    int (*settle)(struct berth_batch *batch, struct berth_error *err);
    /* The request is not wanted any more: `next` answers END from now on. */
    void (*cancel)(struct berth_session *session);
    /* Gives everything back. After the last turn of the session has settled. */
    void (*end)(struct berth_session *session);
};

#ifdef __cplusplus
}
#endif
#endif

/* /metrics for Prometheus: text format 0.0.4, base units, no label that a client could make up. */
#include "base/clock.h"
#include "base/error.h"
#include "server/events.h"
#include "server/exchange.h"
#include "server/route.h"
#include "server/snapshot.h"
#include <inttypes.h>

static uint64_t load(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ---- models and devices ----------------------------------------------------------------------*/

/* Models on devices at once: more than memory holds. */
enum { MAX_PLACES = 512 };

enum model_field {
    RUNNING,
    WAITING,
    LEASES,
    SERVED,
    FAILED,
    LOADS,
    LOADED,
    INSTANCES,
    N_MODEL_FIELDS
};

static const struct {
    const char *name, *type, *help;
} model_metrics[N_MODEL_FIELDS] = {
    [RUNNING] = {"berth_requests_running", "gauge", "Requests on the model now."},
    [WAITING] = {"berth_requests_waiting", "gauge", "Callers waiting for the model now."},
    [LEASES] = {"berth_model_leases", "gauge", "Leases held on the model now."},
    [SERVED] = {"berth_requests_total", "counter", "Requests on the model that have ended."},
    [FAILED] = {"berth_requests_failed_total", "counter", "Of them, those with an error."},
    [LOADS] = {"berth_model_loads_total", "counter", "Times the model has been loaded."},
    [LOADED] = {"berth_model_loaded", "gauge", "1 while the model is loaded."},
    [INSTANCES] = {"berth_model_instances", "gauge", "Devices that have it ready for requests."},
};

static uint64_t model_value(const struct berth_model_stats *m, enum model_field field) {
    switch (field) {
    case RUNNING:
        return m->running;
    case WAITING:
        return m->waiting;
    case LEASES:
        return m->leases;
    case SERVED:
        return m->served;
    case FAILED:
        return m->failed;
    case LOADS:
        return m->loads;
    case INSTANCES:
        return m->instances;
    case LOADED:
    case N_MODEL_FIELDS:
        break;
    }
    return m->state == BERTH_MODEL_READY || m->state == BERTH_MODEL_DRAINING;
}

static void put_models(struct bth_str *out, const struct bth_snapshot *s) {
    for (int f = 0; f < N_MODEL_FIELDS; f++) {
        bth_metric(out, model_metrics[f].name, model_metrics[f].type, model_metrics[f].help);
        for (size_t i = 0; i < s->n_models; i++) {
            bth_str_printf(out, "%s{model=\"", model_metrics[f].name);
            bth_metric_label(out, s->models[i].name);
            bth_str_printf(out, "\"} %" PRIu64 "\n",
                           model_value(&s->models[i], (enum model_field)f));
        }
    }
}

static void put_memory(struct bth_str *out, struct bth_manager *m) {
    struct bth_memory_info all[MAX_PLACES];
    const size_t n = bth_manager_memory(m, all, MAX_PLACES);
    bth_metric(out, "berth_model_memory_bytes", "gauge", "Bytes of the device that the model has.");
    for (size_t i = 0; i < n; i++) {
        const struct {
            const char *kind;
            uint64_t bytes;
        } kinds[] = {{"weights", all[i].weights},
                     {"workspace", all[i].workspace},
                     {"session", all[i].session}};
        for (size_t k = 0; k < BTH_COUNT(kinds); k++) {
            bth_str_puts(out, "berth_model_memory_bytes{model=\"");
            bth_metric_label(out, all[i].model);
            bth_str_puts(out, "\",device=\"");
            bth_metric_label(out, all[i].device);
            bth_str_printf(out, "\",kind=\"%s\"} %" PRIu64 "\n", kinds[k].kind, kinds[k].bytes);
        }
    }
}

static void put_device_value(struct bth_str *out, const char *name,
                             const struct berth_device_stats *d, uint64_t value) {
    bth_str_printf(out, "%s{device=\"", name);
    bth_metric_label(out, d->name);
    bth_str_printf(out, "\"} %" PRIu64 "\n", value);
}

static void put_devices(struct bth_str *out, const struct bth_snapshot *s) {
    static const struct {
        const char *name, *type, *help;
        size_t offset;
    } fields[] = {
        {"berth_device_memory_total_bytes", "gauge", "The device's budget.",
         offsetof(struct berth_device_stats, budget_bytes)},
        {"berth_device_memory_reserved_bytes", "gauge", "Promised, not in use yet.",
         offsetof(struct berth_device_stats, reserved_bytes)},
        {"berth_device_memory_used_bytes", "gauge", "In use.",
         offsetof(struct berth_device_stats, committed_bytes)},
        {"berth_device_lost", "gauge", "1: it has failed, or hangs, and runs nothing.",
         offsetof(struct berth_device_stats, lost)},
        {"berth_batches_total", "counter", "Turns that the device has run.",
         offsetof(struct berth_device_stats, turns)},
        {"berth_inferences_total", "counter", "Rows of requests in all turns.",
         offsetof(struct berth_device_stats, rows)},
    };
    for (size_t f = 0; f < BTH_COUNT(fields); f++) {
        bth_metric(out, fields[f].name, fields[f].type, fields[f].help);
        for (size_t i = 0; i < s->n_devices; i++) {
            const void *at = (const char *)&s->devices[i] + fields[f].offset;
            put_device_value(out, fields[f].name, &s->devices[i], *(const uint64_t *)at);
        }
    }
}

/* ---- what has happened --------------------------------------------------------------------*/

static void put_sums(struct bth_str *out, struct bth_exchange *x, const struct bth_snapshot *s) {
    struct bth_manager_sums sums;
    bth_manager_sums(x->server->berth->manager, &sums);
    bth_metric(out, "berth_events_total", "counter", "What has happened, by kind.");
    for (int i = 0; i < BTH_N_HAPPENINGS; i++) {
        bth_str_printf(out, "berth_events_total{kind=\"%s\"} %" PRIu64 "\n",
                       bth_event_name((enum bth_happening_kind)i), sums.happened[i]);
    }
    bth_metric(out, "berth_leases_refused_total", "counter", "Leases that were refused, and why.");
    for (int i = 1; i < (int)BTH_COUNT(sums.refused); i++) {
        if (sums.refused[i]) {
            bth_str_printf(out, "berth_leases_refused_total{reason=\"%s\"} %" PRIu64 "\n",
                           berth_error_name(-i), sums.refused[i]);
        }
    }
    const uint64_t asked = sums.happened[BTH_HAPPENED_UNLOAD] - sums.idle;
    const struct {
        const char *reason;
        uint64_t n;
    } unloads[] = {
        {"bytes", sums.happened[BTH_HAPPENED_EVICT]}, {"idle", sums.idle}, {"asked", asked}};
    bth_metric(out, "berth_model_unloads_total", "counter", "Models unloaded, and why.");
    for (size_t i = 0; i < BTH_COUNT(unloads); i++) {
        bth_str_printf(out, "berth_model_unloads_total{reason=\"%s\"} %" PRIu64 "\n",
                       unloads[i].reason, unloads[i].n);
    }
    bth_metric_histogram(out, "berth_lease_wait_seconds", "Until leases were granted.", &sums.wait);
    bth_metric_histogram(out, "berth_lease_hold_seconds", "Leases held, when they end.",
                         &sums.hold);
    bth_metric_histogram(out, "berth_model_load_seconds", "Loads that went well.", &sums.load);
    bth_metric_histogram(out, "berth_model_unload_seconds", "Unloads, evictions included.",
                         &sums.unload);
    bth_metric(out, "berth_device_memory_residual_bytes", "gauge",
               "Still drawn after an unload, or lost with the device: never given out again.");
    for (size_t i = 0; i < s->n_devices; i++) {
        put_device_value(out, "berth_device_memory_residual_bytes", &s->devices[i],
                         sums.residual[i]);
    }
}

/* ---- the server ------------------------------------------------------------------------------*/

static void put_http(struct bth_str *out, struct bth_server *s) {
    const struct bth_metrics *m = &s->metrics;
    server_lock(s);
    size_t conns = s->n_conns, busy = s->n_busy;
    server_unlock(s);
    bth_metric(out, "berth_http_connections", "gauge", "Open connections.");
    bth_str_printf(out, "berth_http_connections %zu\n", conns);
    bth_metric(out, "berth_http_requests_in_progress", "gauge", "Requests that hold a place.");
    bth_str_printf(out, "berth_http_requests_in_progress %zu\n", busy);
    bth_metric(out, "berth_http_responses_total", "counter", "Answers, by kind of status.");
    for (int i = 2; i < 6; i++) {
        bth_str_printf(out, "berth_http_responses_total{status=\"%dxx\"} %" PRIu64 "\n", i,
                       load(&m->responses[i]));
    }
    bth_metric(out, "berth_http_rejected_total", "counter", "Requests and connections refused.");
    const struct {
        const char *reason;
        const _Atomic uint64_t *count;
    } reasons[] = {{"queue", &m->refused_queue}, {"draining", &m->refused_draining},
                   {"key", &m->refused_key},     {"host", &m->refused_host},
                   {"slow", &m->slow},           {"left", &m->left}};
    for (size_t i = 0; i < BTH_COUNT(reasons); i++) {
        bth_str_printf(out, "berth_http_rejected_total{reason=\"%s\"} %" PRIu64 "\n",
                       reasons[i].reason, load(reasons[i].count));
    }
    bth_metric(out, "berth_http_received_bytes_total", "counter", "Bytes of bodies received.");
    bth_str_printf(out, "berth_http_received_bytes_total %" PRIu64 "\n", load(&m->body_bytes));
    if (s->log.writer) {
        bth_metric(out, "berth_log_lines_dropped_total", "counter",
                   "Lines of the log that were not written, or not taken in time.");
        bth_str_printf(out, "berth_log_lines_dropped_total %" PRIu64 "\n",
                       bth_log_writer_dropped(s->log.writer));
    }
    bth_metric_histogram(out, "berth_request_duration_seconds",
                         "Requests for a model, from head to end.", &m->duration);
    bth_metric_histogram(out, "berth_queue_duration_seconds",
                         "Of them, until the model was theirs.", &m->wait);
    bth_metric_histogram(out, "berth_compute_duration_seconds",
                         "From then on, of those that went well.", &m->compute);
}

static void metrics(struct bth_exchange *x) {
    struct bth_snapshot s;
    struct bth_str text = {0};
    struct berth_error err;
    if (bth_snapshot_take(x->server->berth, &s, &err) < 0) {
        bth_answer_error(x, &err, NULL);
        return;
    }
    bth_metric(&text, "berth_build_info", "gauge", "1, with the version.");
    bth_str_printf(&text, "berth_build_info{version=\"%s\"} 1\n", berth_version());
    bth_metric(&text, "process_start_time_seconds", "gauge", "Start since the epoch.");
    bth_str_printf(&text, "process_start_time_seconds %lld\n", (long long)x->server->started_unix);
    put_models(&text, &s);
    put_memory(&text, x->server->berth->manager);
    put_devices(&text, &s);
    put_sums(&text, x, &s);
    put_http(&text, x->server);
    bth_snapshot_finish(&s);
    if (text.failed) {
        bth_str_finish(&text);
        bth_error_nomem(&err);
        bth_answer_error(x, &err, NULL);
        return;
    }
    bth_answer(x, 200, "text/plain; version=0.0.4; charset=utf-8", &text);
}

static const struct bth_route table[] = {
    {.method = "GET", .path = "/metrics", .run = metrics},
};
const struct bth_routes bth_routes_metrics = BTH_ROUTES(table);

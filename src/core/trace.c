#include "core/trace.h"

#include "base/compiler.h"
#include <inttypes.h>

static const char *const names[] = {[BTH_EV_ACQUIRE] = "ACQUIRE",
                                    [BTH_EV_CANCEL] = "CANCEL",
                                    [BTH_EV_RELEASE] = "RELEASE",
                                    [BTH_EV_USE_OPEN] = "USE_OPEN",
                                    [BTH_EV_USE_BEGIN] = "USE_BEGIN",
                                    [BTH_EV_USE_END] = "USE_END",
                                    [BTH_EV_OP_BEGIN] = "OP_BEGIN",
                                    [BTH_EV_ESTIMATED] = "ESTIMATED",
                                    [BTH_EV_LOAD_DONE] = "LOAD_DONE",
                                    [BTH_EV_FREE_DONE] = "FREE_DONE",
                                    [BTH_EV_GROW] = "GROW",
                                    [BTH_EV_UNLOAD] = "UNLOAD",
                                    [BTH_EV_CLEANUP] = "CLEANUP",
                                    [BTH_EV_REVOKE] = "REVOKE",
                                    [BTH_EV_CLOSE] = "CLOSE",
                                    [BTH_EV_ESTIMATE] = "ESTIMATE",
                                    [BTH_EV_DISABLE] = "DISABLE",
                                    [BTH_EV_ENABLE] = "ENABLE",
                                    [BTH_EV_DEVICE_LOST] = "DEVICE_LOST",
                                    [BTH_EV_TICK] = "TICK"};
_Static_assert(BTH_COUNT(names) == BTH_N_EVENTS, "every event has a name");

const char *bth_trace_name(enum bth_event_kind kind) {
    return names[kind];
}

/* A line begins; false: there is no trace. */
static bool begin(struct bth_trace *t) {
    if (t->sink.line) {
        bth_str_clear(&t->text);
        bth_str_printf(&t->text, "{\"n\":%" PRIu64, ++t->n);
    }
    return t->sink.line != NULL;
}

/* A line that there was no memory for is missed by its number. */
static void end(struct bth_trace *t) {
    bth_str_puts(&t->text, "}\n");
    if (t->text.failed) {
        bth_str_finish(&t->text);
    } else {
        t->sink.line(t->sink.arg, t->text.data, t->text.size);
    }
}

static void put(struct bth_trace *t, const char *name, uint64_t value) {
    if (value) {
        bth_str_printf(&t->text, ",\"%s\":%" PRId64, name, (int64_t)value);
    }
}

static void put_estimates(struct bth_trace *t, const struct bth_estimate *e, uint32_t n) {
    bth_str_puts(&t->text, ",\"estimates\":[");
    for (uint32_t i = 0; i < n; i++) {
        bth_str_printf(&t->text, "%s[%" PRId64 ",%" PRId64 ",%" PRId64 "]", i ? "," : "",
                       (int64_t)e[i].weights, (int64_t)e[i].workspace, (int64_t)e[i].session);
    }
    bth_str_putc(&t->text, ']');
}

static void put_event(struct bth_trace *t, const struct bth_event *e, uint32_t n_devices) {
    bth_str_printf(&t->text, ",\"event\":\"%s\"", names[e->kind]);
    put(t, "id", e->id);
    put(t, "op", e->op);
    put(t, "scope", e->scope);
    put(t, "max_concurrent", e->max_concurrent);
    put(t, "device", e->device);
    put(t, "exclusive", e->exclusive);
    put(t, "removed", e->removed);
    put(t, "priority", (uint64_t)(int64_t)e->priority);
    put(t, "owner", e->owner);
    put(t, "arg", (uintptr_t)e->arg);
    put(t, "expires", (uint64_t)e->expires);
    put(t, "bytes", e->bytes);
    put(t, "spare", e->spare);
    put(t, "use", e->use);
    put(t, "failed", e->failed);
    put(t, "handle", (uintptr_t)e->handle);
    put(t, "error", e->error ? (uint64_t)(int64_t)e->error->code : 0);
    if (e->kind == BTH_EV_ESTIMATED && !e->error) {
        put_estimates(t, e->estimates, n_devices);
    }
}

void bth_trace_begin(struct bth_trace *t, const struct bth_trace_sink *sink,
                     const struct bth_state *s) {
    *t = (struct bth_trace){0};
    if (sink) {
        t->sink = *sink;
    }
    if (begin(t)) {
        bth_str_puts(&t->text, ",\"trace\":1,\"devices\":[");
        for (uint32_t i = 0; i < s->n_devices; i++) {
            bth_str_printf(&t->text, "%s[%" PRIu64 ",%u]", i ? "," : "", s->devices[i].budget,
                           s->devices[i].kind);
        }
        bth_str_putc(&t->text, ']');
        end(t);
    }
}

void bth_trace_model(struct bth_trace *t, uint32_t model, uint32_t family) {
    if (begin(t)) {
        bth_str_printf(&t->text, ",\"model\":%u,\"family\":%u", model, family);
        end(t);
    }
}

void bth_trace_keep(struct bth_trace *t, uint32_t model, const struct bth_model *m) {
    if (begin(t)) {
        bth_str_printf(&t->text,
                       ",\"keep\":%u,\"keep_alive\":%" PRId64 ",\"pinned\":%s,\"most\":%u", model,
                       m->keep_alive, m->pinned ? "true" : "false", m->most);
        end(t);
    }
}

void bth_trace_pin(struct bth_trace *t, uint32_t model, bool more) {
    if (begin(t)) {
        bth_str_printf(&t->text, ",\"pin\":%u,\"more\":%s", model, more ? "true" : "false");
        end(t);
    }
}

void bth_trace_step(struct bth_trace *t, const struct bth_state *s, const struct bth_event *e,
                    int64_t now, const struct bth_actions *actions) {
    if (!begin(t)) {
        return;
    }
    put(t, "at", (uint64_t)now);
    put_event(t, e, s->n_devices);
    bth_str_puts(&t->text, ",\"actions\":[");
    for (size_t i = 0; i < actions->n; i++) {
        const struct bth_action *a = &actions->items[i];
        bth_str_printf(&t->text,
                       "%s[%d,%d,%d,%d,%u,%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64
                       ",%" PRId64 "]",
                       i ? "," : "", (int)a->kind, (int)a->reason, (int)a->why, a->code, a->scope,
                       (int64_t)a->id, (int64_t)a->gen, (int64_t)a->op, (int64_t)a->bytes,
                       (int64_t)(uintptr_t)a->arg, (int64_t)(uintptr_t)a->handle);
    }
    bth_str_putc(&t->text, ']');
    end(t);
}

void bth_trace_finish(struct bth_trace *t) {
    bth_str_finish(&t->text);
    *t = (struct bth_trace){0};
}

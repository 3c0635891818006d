#include "core/manager_private.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static struct bth_happening *add_locked(struct bth_manager *m, enum bth_happening_kind kind,
                                        const char *what, const struct berth_error *why)
    REQUIRES(core);
static struct bth_happening *add_locked(struct bth_manager *m, enum bth_happening_kind kind,
                                        const char *what, const struct berth_error *why) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct bth_happening *h = &m->happenings[m->last_happening % BTH_HAPPENINGS];
    *h = (struct bth_happening){.number = ++m->last_happening,
                                .at_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000,
                                .kind = kind};
    snprintf(h->what, sizeof(h->what), "%s", what);
    m->sums.happened[kind]++;
    if (why) {
        h->code = why->code;
        snprintf(h->cause, sizeof(h->cause), "%.*s", (int)sizeof(h->cause) - 1, why->message);
    }
    return h;
}

void bth_happened_lease_locked(struct bth_manager *m, enum bth_happening_kind kind,
                               const struct bth_lease *lease, const struct berth_error *why) {
    struct bth_happening *h = add_locked(m, kind, lease->name, why);
    const bool both = *lease->tag && *lease->holder;
    snprintf(h->who, sizeof(h->who), "%.60s%s%.60s", lease->holder, both ? ", " : "", lease->tag);
    if (kind == BTH_HAPPENED_REFUSE) {
        const int code = -why->code;
        m->sums.refused[code > 0 && code < (int)BTH_COUNT(m->sums.refused) ? code : 0]++;
    }
    if (kind == BTH_HAPPENED_GRANT) {
        const int64_t waited = m->state.now - lease->since;
        bth_histogram_add(&m->sums.wait, waited);
        h->ms = waited / BTH_NS_PER_MS;
    }
}

void bth_happened_model_locked(struct bth_manager *m, const struct bth_model_news *news) {
    struct bth_happening *h = add_locked(m, news->kind, news->model, news->why);
    snprintf(h->device, sizeof(h->device), "%s", news->device ? news->device : "");
    h->bytes = news->bytes;
    h->residual = news->residual;
    h->idle = news->idle;
    h->ms = news->ns / BTH_NS_PER_MS;
    m->sums.idle += news->idle;
    if (news->kind == BTH_HAPPENED_LOAD) {
        bth_histogram_add(&m->sums.load, news->ns);
    } else if (news->kind != BTH_HAPPENED_FAIL) {
        bth_histogram_add(&m->sums.unload, news->ns);
    }
}

void bth_happened_device_locked(struct bth_manager *m, const char *device,
                                const struct berth_error *why) {
    add_locked(m, BTH_HAPPENED_LOST, device, why);
}

size_t bth_manager_happenings(struct bth_manager *m, uint64_t after, struct bth_happening *out,
                              size_t n) {
    size_t count = 0;
    core_lock(m);
    const uint64_t last = m->last_happening;
    const uint64_t oldest = last > BTH_HAPPENINGS ? last - BTH_HAPPENINGS : 0;
    for (uint64_t i = after > oldest ? after : oldest; i < last && count < n; i++) {
        out[count++] = m->happenings[i % BTH_HAPPENINGS];
    }
    core_unlock(m);
    return count;
}

uint64_t bth_manager_last_happening(struct bth_manager *m) {
    core_lock(m);
    uint64_t last = m->last_happening;
    core_unlock(m);
    return last;
}

void bth_manager_sums(struct bth_manager *m, struct bth_manager_sums *out) {
    core_lock(m);
    memcpy(out->happened, m->sums.happened, sizeof(out->happened));
    memcpy(out->refused, m->sums.refused, sizeof(out->refused));
    out->idle = m->sums.idle;
    bth_histogram_copy(&out->wait, &m->sums.wait);
    bth_histogram_copy(&out->hold, &m->sums.hold);
    bth_histogram_copy(&out->load, &m->sums.load);
    bth_histogram_copy(&out->unload, &m->sums.unload);
    for (uint32_t i = 0; i < m->n_devices; i++) {
        out->residual[i] = m->state.devices[i].residual;
    }
    core_unlock(m);
}

/*
 * A device that has failed, or on which an engine's call hangs. The step forgets what was on it
 * (BTH_EV_DEVICE_LOST); here it is kept, for somebody may still be inside: nothing in use is freed.
 */
#include "core/manager_private.h"

void bth_instance_lost_locked(struct bth_manager *m, const struct bth_action *a) {
    struct bth_instance *in = a->handle;
    if (in) {
        in->next = m->lost;
        m->lost = in;
    }
}

void bth_manager_lose_locked(struct bth_manager *m, uint32_t device,
                             const struct berth_error *why) {
    if (m->state.devices[device].lost) {
        return;
    }
    atomic_store_explicit(&m->gone[device], true, memory_order_relaxed);
    bth_happened_device_locked(m, m->devices[device]->name, why);
    bth_manager_step_locked(m, &(struct bth_event){.kind = BTH_EV_DEVICE_LOST, .device = device});
}

void bth_manager_lose(struct bth_manager *m, size_t device, const struct berth_error *why) {
    core_lock(m);
    bth_manager_lose_locked(m, (uint32_t)device, why);
    core_unlock(m);
}

bool bth_manager_is_lost(const struct bth_manager *m, size_t device) {
    return atomic_load_explicit(&m->gone[device], memory_order_relaxed);
}

const char *bth_manager_device_name(const struct bth_manager *m, size_t device) {
    return m->devices[device]->name;
}

/* The next that nobody is inside; one that is in use marks its device. */
static struct bth_instance *take_lost(struct bth_manager *m, bool hangs[BTH_MAX_DEVICES]) {
    struct bth_instance *in;
    core_lock(m);
    while ((in = m->lost)) {
        m->lost = in->next;
        if (in->users == 0) {
            break;
        }
        hangs[in->device] = true;
    }
    core_unlock(m);
    return in;
}

void bth_manager_close_devices(struct bth_manager *m) {
    bool hangs[BTH_MAX_DEVICES] = {false};
    struct bth_instance *in;
    while ((in = take_lost(m, hangs))) {
        in->ops->unload(in->model);
        bth_free(in);
    }
    for (uint32_t i = 0; i < m->n_devices; i++) {
        if (!hangs[i]) {
            m->devices[i]->ops->close(m->devices[i]);
        }
    }
}

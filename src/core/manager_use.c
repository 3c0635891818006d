#include "core/manager_private.h"

#include <assert.h>

static int use_grow(struct berth_reservation *r, size_t more, struct berth_error *err) {
    const struct bth_use *use = r->owner;
    return bth_manager_grow(
               use->manager, r,
               &(struct bth_event){.kind = BTH_EV_GROW, .id = use->id, .use = true, .bytes = more})
               ? 0
               : bth_error(err, BERTH_EBUDGET,
                           "the request needs %zu bytes beyond its reservation and the device has "
                           "no room for them",
                           more);
}

void bth_use_answer_locked(struct bth_manager *m, const struct bth_action *a) {
    struct bth_use *use = a->arg;
    if (a->kind == BTH_ACT_USE_OPENED) {
        const struct bth_gen *g = bth_table_get(&m->state.gens, a->gen);
        use->instance = g->handle;
        use->instance->users++;
        use->id = a->id;
        use->model = use->instance->model;
        use->device = g->device;
    } else if (a->kind == BTH_ACT_USE_RUN) {
        bth_reservation_init(&use->reservation, BERTH_BYTES_SESSION, (size_t)a->bytes);
        use->reservation.grow = use_grow;
        use->reservation.owner = use;
        use->granted(use, 0, NULL);
    } else if (use->id) { /* else bth_use_open itself says so */
        struct berth_error error;
        int rc = bth_manager_refusal_locked(m, a, &error);
        use->granted(use, rc, &error);
    }
}

int bth_use_open(struct bth_lease *lease, struct bth_use *use, struct berth_error *err) {
    struct bth_manager *m = lease->manager;
    use->manager = m;
    use->model = NULL;
    use->id = 0;
    bth_reservation_init(&use->reservation, BERTH_BYTES_SESSION, 0);
    int rc = 0;
    assert(!lease->exclusive);
    core_lock(m);
    bth_manager_step_locked(
        m, &(struct bth_event){.kind = BTH_EV_USE_OPEN, .id = lease->id, .arg = use});
    if (use->id) {
        m->refs++; /* the use's */
    } else if (m->actions.n == 0) {
        rc = bth_error_nomem(err);
    } else {
        rc = bth_manager_refusal_locked(m, &m->actions.items[0], err);
    }
    core_unlock(m);
    return rc;
}

void bth_use_begin(struct bth_use *use, size_t bytes_max) {
    struct bth_manager *m = use->manager;
    core_lock(m);
    bth_manager_step_locked(
        m, &(struct bth_event){
               .kind = BTH_EV_USE_BEGIN, .id = use->id, .bytes = bytes_max, .arg = use});
    core_unlock(m);
}

void bth_use_end(struct bth_use *use, bool failed) {
    struct bth_manager *m = use->manager;
    core_lock(m);
    use->instance->users--;
    bth_manager_step_locked(
        m, &(struct bth_event){.kind = BTH_EV_USE_END, .id = use->id, .failed = failed});
    bth_manager_leave_unref(m);
    use->model = NULL;
    use->id = 0;
}

/* Leases and what is done to all of them. */
#define _GNU_SOURCE /* malloc_trim */
#include "api/handle.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/sized.h"
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

int bth_read_options(const struct berth_acquire_options *options, struct berth_acquire_options *out,
                     struct berth_error *err) {
    struct berth_acquire_options o = BERTH_ACQUIRE_INIT;
    if (options && options->struct_size < sizeof(options->struct_size)) {
        return bth_error(err, BERTH_EINVAL, "berth_acquire needs options of BERTH_ACQUIRE_INIT");
    }
    if (options) {
        memcpy(&o, options, BTH_MIN((size_t)options->struct_size, sizeof(o)));
    }
    if (o.mode != BERTH_SHARED && o.mode != BERTH_EXCLUSIVE) {
        return bth_error(err, BERTH_EINVAL, "berth_acquire: mode is BERTH_SHARED or _EXCLUSIVE");
    }
    if (o.priority < 0 || o.priority > 9) {
        return bth_error(err, BERTH_EINVAL, "berth_acquire: priority is 0 to 9");
    }
    *out = o;
    return 0;
}

struct bth_ask bth_ask_of(const struct berth_acquire_options *o) {
    return (struct bth_ask){.tag = o->tag,
                            .deadline = bth_deadline(bth_now(), o->wait_ms),
                            .exclusive = o->mode == BERTH_EXCLUSIVE,
                            .max_concurrent = o->max_concurrent,
                            .priority = o->priority - 5,
                            .owner = o->owner};
}

void bth_lease_bind(struct berth_lease *handle, struct bth_lease *lease,
                    struct bth_sched *const *scheds) {
    const int device = bth_lease_device(lease);
    handle->pid = getpid();
    handle->world = &bth_local_world;
    handle->lease = lease;
    if (device >= 0) { /* an exclusive lease runs nothing */
        handle->sched = scheds[device];
        bth_sched_ref(handle->sched);
    }
}

BTH_EXPORT int berth_acquire(struct berth *b, const char *model,
                             const struct berth_acquire_options *options, struct berth_lease **out,
                             struct berth_error *err) {
    if (!b || !model || !out) {
        return bth_error(err, BERTH_EINVAL, "berth_acquire needs a manager, a model and `out`");
    }
    struct berth_acquire_options o = BERTH_ACQUIRE_INIT;
    int rc = bth_check_pid(b->pid, err);
    rc = rc < 0 ? rc : bth_read_options(options, &o, err);
    if (rc < 0) {
        return rc;
    }
    struct berth_lease *lease = bth_calloc(1, sizeof(*lease));
    if (!lease) {
        return bth_error_nomem(err);
    }
    lease->pid = b->pid;
    lease->world = b->world;
    rc = b->world->acquire(b, model, &o, lease, err);
    if (rc < 0) {
        bth_free(lease);
        return rc;
    }
    *out = lease;
    return 0;
}

BTH_EXPORT void berth_release(struct berth_lease *lease) {
    if (!lease || bth_check_pid(lease->pid, NULL) < 0) {
        return;
    }
    lease->world->release(lease);
    bth_free(lease);
}

BTH_EXPORT const char *berth_lease_model(const struct berth_lease *lease) {
    return lease ? lease->world->lease_model(lease) : "";
}

BTH_EXPORT int berth_unload(struct berth *b, const char *model, int64_t timeout_ms,
                            struct berth_error *err) {
    if (!b || !model) {
        return bth_error(err, BERTH_EINVAL, "berth_unload needs a manager and a model");
    }
    int rc = bth_check_pid(b->pid, err);
    return rc < 0 ? rc : b->world->unload(b, model, timeout_ms, err);
}

static int enable(struct berth *b, const char *model, bool on, struct berth_error *err) {
    if (!b || !model) {
        return bth_error(err, BERTH_EINVAL, "berth_%s needs a manager and a model",
                         on ? "enable" : "disable");
    }
    int rc = bth_check_pid(b->pid, err);
    return rc < 0 ? rc : b->world->enable(b, model, on, err);
}

BTH_EXPORT int berth_disable(struct berth *b, const char *model, struct berth_error *err) {
    return enable(b, model, false, err);
}

BTH_EXPORT int berth_enable(struct berth *b, const char *model, struct berth_error *err) {
    return enable(b, model, true, err);
}

BTH_EXPORT bool berth_lease_revoked(const struct berth_lease *lease) {
    return lease && lease->world->lease_revoked(lease);
}

BTH_EXPORT uint64_t berth_owner_new(struct berth *b) {
    return b && bth_check_pid(b->pid, NULL) == 0 ? b->world->owner_new(b) : 0;
}

BTH_EXPORT int berth_wait_available(struct berth *b, const char *what, uint64_t owner,
                                    uint32_t max_concurrent, int64_t timeout_ms,
                                    struct berth_error *err) {
    if (!b || !what || max_concurrent < 1) {
        return bth_error(err, BERTH_EINVAL,
                         "berth_wait_available needs a manager, a name and max_concurrent >= 1");
    }
    int rc = bth_check_pid(b->pid, err);
    return rc < 0 ? rc
                  : b->world->wait_available(b, what, owner, max_concurrent,
                                             bth_deadline(bth_now(), timeout_ms), err);
}

BTH_EXPORT int berth_usage(struct berth *b, struct berth_usage *out) {
    if (!b || !out || out->struct_size < sizeof(out->struct_size)) {
        return BERTH_EINVAL;
    }
    int rc = bth_check_pid(b->pid, NULL);
    if (rc == 0) {
        struct berth_usage usage = {0};
        rc = b->world->usage(b, &usage);
        if (rc == 0) {
            usage.struct_size = out->struct_size;
            bth_sized_copy(out, out->struct_size, &usage, sizeof(usage));
        }
    }
    return rc;
}

BTH_EXPORT int berth_cleanup(struct berth *b, uint64_t owner, int64_t timeout_ms,
                             struct berth_cleanup_report *out, struct berth_error *err) {
    if (!b || (out && out->struct_size < sizeof(out->struct_size))) {
        return bth_error(err, BERTH_EINVAL,
                         "berth_cleanup needs a manager, and a report of BERTH_CLEANUP_INIT or "
                         "NULL");
    }
    struct berth_cleanup_report report;
    int rc = bth_check_pid(b->pid, err);
    if (rc == 0) {
        rc = b->world->cleanup(b, owner, bth_deadline(bth_now(), timeout_ms), &report, err);
    }
    if (rc == 0 && out) {
        report.struct_size = out->struct_size;
        bth_sized_copy(out, out->struct_size, &report, sizeof(report));
    }
    return rc;
}

/* Of this process; 0: the system does not say. */
static uint64_t resident_bytes(void) {
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long long pages = 0;
    if (f) {
        if (fscanf(f, "%*u %llu", &pages) != 1) {
            pages = 0;
        }
        fclose(f);
    }
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

BTH_EXPORT int berth_trim(struct berth *b, uint64_t *out_before, uint64_t *out_after,
                          struct berth_error *err) {
    if (!b) {
        return bth_error(err, BERTH_EINVAL, "berth_trim needs a manager");
    }
    int rc = bth_check_pid(b->pid, err);
    if (rc < 0) {
        return rc;
    }
    const uint64_t before = resident_bytes();
#ifdef __GLIBC__
    malloc_trim(0);
#endif
    if (out_before) {
        *out_before = before;
    }
    if (out_after) {
        *out_after = resident_bytes();
    }
    return 0;
}

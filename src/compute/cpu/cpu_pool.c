/*
 * Who calls: the thread that creates or destroys a workspace's programs, one at a time for each
 * workspace (a loader). Only the list is shared between workspaces, and only it is locked: drawing
 * bytes may ask core for more, which must not happen under a lock.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "compute/cpu/cpu_device.h"
#include "compute/hostmem.h"

static struct bth_cpu_pool *find(struct bth_cpu_device *d, struct berth_reservation *workspace) {
    struct bth_cpu_pool *p, *found = NULL;
    cpu_device_lock(d);
    BTH_LIST_EACH(p, &d->pools, struct bth_cpu_pool, link) {
        if (p->workspace == workspace) {
            found = p;
        }
    }
    cpu_device_unlock(d);
    return found;
}

static struct bth_cpu_pool *create(struct bth_cpu_device *d, struct berth_reservation *workspace) {
    struct bth_cpu_pool *p = bth_calloc(1, sizeof(*p));
    if (p) {
        p->workspace = workspace;
        cpu_device_lock(d);
        bth_list_append(&d->pools, &p->link);
        cpu_device_unlock(d);
    }
    return p;
}

/* The old buffer goes first: it holds nothing between programs. */
static int grow(struct bth_cpu_device *d, struct bth_cpu_pool *p, size_t bytes,
                struct berth_error *err) {
    if (p->buffer && p->buffer->bytes >= bytes) {
        return 0;
    }
    bth_hostmem_destroy(p->buffer);
    p->buffer = NULL;
    return bth_hostmem_create(&d->base, p->workspace, bytes, &p->buffer, err);
}

int bth_cpu_pool_join(struct bth_cpu_device *d, struct berth_reservation *workspace, size_t bytes,
                      struct bth_cpu_pool **out, struct berth_error *err) {
    struct bth_cpu_pool *p = find(d, workspace);
    if (!p && !(p = create(d, workspace))) {
        return bth_error_nomem(err);
    }
    p->users++;
    int rc = grow(d, p, bytes, err);
    if (rc < 0) {
        bth_cpu_pool_leave(d, p);
        return rc;
    }
    *out = p;
    return 0;
}

void bth_cpu_pool_leave(struct bth_cpu_device *d, struct bth_cpu_pool *p) {
    if (--p->users > 0) {
        return;
    }
    cpu_device_lock(d);
    bth_list_remove(&p->link);
    cpu_device_unlock(d);
    bth_hostmem_destroy(p->buffer);
    bth_free(p);
}

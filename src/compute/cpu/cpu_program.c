/*
 * A program is its ops and a share in its workspace's scratch: a part that all members share, then
 * one part per member, each as large as the program's largest op needs. Running it, every member
 * walks the ops with a barrier behind each; nothing is allocated or decided.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "compute/cpu/cpu_device.h"
#include "compute/hostmem.h"
#include "compute/ops.h"

struct berth_program {
    struct bth_cpu_device *device;
    struct bth_cpu_pool *scratch; /* of [shared + members * own] and more */
    size_t shared_bytes, own_bytes;
    const uint32_t *live; /* of the run going on */
    size_t n_ops;
    struct berth_op ops[];
};

static void walk(void *arg, int member) {
    const struct berth_program *p = arg;
    const struct bth_cpu_device *d = p->device;
    const int n_members = bth_team_size(d->team);
    char *shared = p->scratch->buffer->host;
    struct bth_cpu_turn turn = {
        .member = member,
        .n_members = n_members,
        .shared = shared,
        .own = shared + p->shared_bytes + (size_t)member * p->own_bytes,
        .team = d->team,
    };
    for (size_t i = 0; i < p->n_ops; i++) {
        const struct berth_op *op = &p->ops[i];
        turn.op = op;
        turn.rows = bth_op_rows(op);
        if (op->live >= 0 && (int64_t)p->live[op->live] < turn.rows) {
            turn.rows = p->live[op->live];
        }
        d->kernels->op[op->kind](&turn);
        if (i + 1 < p->n_ops) {
            bth_team_barrier(d->team); /* the end of the walk is one already */
        }
    }
}

int bth_cpu_program_run(struct berth_program *p, const uint32_t live[BERTH_MAX_LIVE],
                        struct berth_error *err) {
    (void)err;
    p->live = live;
    bth_team_run(p->device->team, walk, p);
    p->live = NULL;
    return 0;
}

/* Rounded up so that members never share a cache line, nor the one that is prefetched beside it. */
static size_t round_128(size_t bytes) {
    return (bytes + 127) / 128 * 128;
}

int bth_cpu_program_create(struct berth_device *device, struct berth_reservation *r,
                           const struct berth_op *ops, size_t n_ops, struct berth_program **out,
                           struct berth_error *err) {
    struct bth_cpu_device *d = (struct bth_cpu_device *)device;
    size_t shared = 0, own = 0, bytes;
    for (size_t i = 0; i < n_ops; i++) {
        const size_t s = bth_cpu_shared_bytes(&ops[i]), o = bth_cpu_own_bytes(&ops[i]);
        shared = s > shared ? s : shared;
        own = o > own ? o : own;
    }
    if (shared > SIZE_MAX / 4 || own > SIZE_MAX / 4 ||
        !bth_mul(round_128(own), (size_t)bth_team_size(d->team), &bytes) ||
        !bth_add(bytes, round_128(shared), &bytes)) {
        return bth_error(err, BERTH_ETOOLARGE, "the scratch of a program overflows");
    }
    struct berth_program *p = NULL;
    size_t size;
    if (bth_mul(n_ops, sizeof(*ops), &size) && bth_add(size, sizeof(*p), &size)) {
        p = bth_alloc(size);
    }
    if (!p) {
        return bth_error_nomem(err);
    }
    *p = (struct berth_program){.device = d,
                                .shared_bytes = round_128(shared),
                                .own_bytes = round_128(own),
                                .n_ops = n_ops};
    for (size_t i = 0; i < n_ops; i++) {
        p->ops[i] = ops[i];
    }
    const int rc = bth_cpu_pool_join(d, r, bytes, &p->scratch, err);
    if (rc < 0) {
        bth_free(p);
        return rc;
    }
    *out = p;
    return 0;
}

void bth_cpu_program_destroy(struct berth_program *p) {
    if (p) {
        bth_cpu_pool_leave(p->device, p->scratch);
        bth_free(p);
    }
}

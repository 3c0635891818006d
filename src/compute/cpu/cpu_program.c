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

/* Rows that are live in this run. */
static int64_t live_rows(const struct berth_program *p, const struct berth_op *op) {
    const int64_t rows = bth_op_rows(op);
    return op->live >= 0 && (int64_t)p->live[op->live] < rows ? p->live[op->live] : rows;
}

/* About what a row (or a group) costs, in multiplications of a product, at most. */
static int64_t row_work(const struct berth_op *op) {
    enum { SLOW = 4 }; /* what is no product: exponentials, sums across lanes, moves */
    switch (op->kind) {
    case BERTH_OP_EMBED:
        return op->u.embed.y.cols;
    case BERTH_OP_LAYER_NORM:
        return SLOW * op->u.layer_norm.y.cols;
    case BERTH_OP_LINEAR:
        return op->u.linear.w->n * op->u.linear.w->k;
    case BERTH_OP_CONV3:
        return op->u.conv3.t_out * op->u.conv3.w->n * op->u.conv3.w->k;
    case BERTH_OP_ATTEND_FULL:
        return SLOW * 2 * op->u.attend_full.nq * op->u.attend_full.t * op->u.attend_full.q.cols;
    case BERTH_OP_KV_STORE:
        return op->u.kv_store.x.cols;
    case BERTH_OP_ATTEND_PAGED:
        return SLOW * 2 * op->u.attend_paged.table.cols * op->u.attend_paged.kv.page_rows *
               op->u.attend_paged.q.cols;
    case BERTH_OP_KV_COPY:
        return op->u.kv_copy.kv.page_stride;
    case BERTH_OP_GATHER:
        return op->u.gather.y.cols;
    case BERTH_OP_PICK:
        return SLOW * op->u.pick.logits.cols;
    case BERTH_OP_SELECT:
        return op->u.select.y.cols * op->u.select.x.cols;
    case BERTH_OP_SSRU:
        return SLOW * op->u.ssru.y.cols;
    case BERTH_OP_TOP:
        return SLOW * op->u.top.logits.cols;
    case BERTH_OP_EMBED_SUM:
        return op->u.embed_sum.y.cols * op->u.embed_sum.terms;
    case BERTH_OP_MAXOUT:
        return op->u.maxout.x.cols;
    case BERTH_OP_GATHER_MAX:
        return op->u.gather_max.x.cols;
    }
    return INT64_MAX;
}

/* Whether the run is not worth a second thread: about 50 us of one. */
static bool is_small(const struct berth_program *p) {
    const int64_t most = 4000000;
    int64_t work = 0;
    for (size_t i = 0; i < p->n_ops; i++) {
        int64_t of_op;
        if (__builtin_mul_overflow(live_rows(p, &p->ops[i]), row_work(&p->ops[i]), &of_op) ||
            of_op > most - work) {
            return false;
        }
        work += of_op;
    }
    return true;
}

static void walk_as(const struct berth_program *p, int member, int n_members) {
    const struct bth_cpu_device *d = p->device;
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
        turn.rows = live_rows(p, op);
        d->kernels->op[op->kind](&turn);
        if (n_members > 1 && i + 1 < p->n_ops) {
            bth_team_barrier(d->team); /* the end of the walk is one already */
        }
    }
}

static void walk(void *arg, int member) {
    const struct berth_program *p = arg;
    walk_as(p, member, bth_team_size(p->device->team));
}

int bth_cpu_program_run(struct berth_program *p, const uint32_t live[BERTH_MAX_LIVE],
                        struct berth_error *err) {
    (void)err;
    p->live = live;
    if (!p->device->together && is_small(p)) {
        walk_as(p, 0, 1);
    } else {
        bth_team_run(p->device->team, walk, p);
    }
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

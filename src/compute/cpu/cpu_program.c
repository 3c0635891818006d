/*
 * A program is its ops and a share in its workspace's scratch: a part that all members share, then
 * one part per member, each as large as the program's largest op needs. Running it, every member
 * walks the ops with a barrier behind each; nothing is allocated.
 *
 * Small models take steps of some 40 ops with a few microseconds of work in each, and then barriers
 * cost more than the work. Where the ops allow it (struct berth_op, `apart`) members split such a
 * run by rows instead, each walks its own rows to the end, and barriers are left only around ops
 * that look at other rows. Since they are at different ops then, each has shared scratch for
 * itself.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "compute/cpu/cpu_device.h"
#include "compute/hostmem.h"
#include "compute/ops.h"

struct berth_program {
    struct bth_cpu_device *device;
    struct bth_cpu_pool *scratch;   /* of [shared + members * own] and more */
    size_t shared_bytes, own_bytes; /* own: of a member, with its `shared` where it goes apart */
    bool apart;                     /* each member may have rows of its own */
    const uint32_t *live;           /* of the run going on */
    size_t n_ops;
    struct berth_op ops[];
};

/* Rows that are live in this run. */
static int64_t live_rows(const struct berth_program *p, const struct berth_op *op) {
    const int64_t rows = bth_op_rows(op);
    return op->live >= 0 && (int64_t)p->live[op->live] < rows ? p->live[op->live] : rows;
}

/* About what a row (or a group) costs, in multiplications of a product. */
static int64_t row_work(const struct berth_op *op) {
    enum {
        SLOW = 4, /* what is no product: exponentials, sums across lanes, moves */
        USUAL = 8 /* of a list or a context that may be so many times as long */
    };
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
        return SLOW * 2 * op->u.attend_paged.table.cols * op->u.attend_paged.kv.page_rows / USUAL *
               op->u.attend_paged.q.cols;
    case BERTH_OP_KV_COPY:
        return op->u.kv_copy.kv.page_stride;
    case BERTH_OP_GATHER:
        return op->u.gather.y.cols;
    case BERTH_OP_PICK:
        return SLOW * op->u.pick.logits.cols;
    case BERTH_OP_SELECT: /* of some of the ids, as wide as they are stored */
        return op->u.select.y.cols / USUAL * op->u.select.x.cols *
               (op->u.select.w.dtype == BERTH_I8 ? 1 : 4);
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

/* Ops whose rows can be given to members whole. */
static bool can_part(const struct berth_op *op) {
    switch (op->kind) {
    case BERTH_OP_EMBED:
    case BERTH_OP_LAYER_NORM:
    case BERTH_OP_LINEAR:
    case BERTH_OP_KV_STORE:
    case BERTH_OP_ATTEND_PAGED:
    case BERTH_OP_SELECT:
    case BERTH_OP_SSRU:
    case BERTH_OP_TOP:
        return true;
    default:
        return false;
    }
}

/* Each member reads every weight when it has rows of its own: only where they stay in a cache. */
static bool may_part(const struct berth_program *p) {
    const size_t most = 16 << 20;
    size_t weights = 0;
    bool any = false;
    for (size_t i = 0; i < p->n_ops; i++) {
        const struct berth_op *op = &p->ops[i];
        if (!can_part(op) || op->live != p->ops[0].live ||
            bth_op_rows(op) != bth_op_rows(&p->ops[0])) {
            return false;
        }
        any = any || op->apart;
        weights += op->kind == BERTH_OP_LINEAR ? op->u.linear.w->bytes : 0;
    }
    return any && weights <= most;
}

/* Whether all members have to have come to the end of op i before one goes on. The end of the walk
 * is a barrier by itself. */
static bool is_fence(const struct berth_program *p, size_t i, bool apart) {
    return i + 1 < p->n_ops && !(apart && p->ops[i].apart && p->ops[i + 1].apart);
}

static void walk_as(const struct berth_program *p, int member, int n_members) {
    const struct bth_cpu_device *d = p->device;
    char *shared = p->scratch->buffer->host;
    char *own = shared + p->shared_bytes + (size_t)member * p->own_bytes;
    const bool apart = n_members > 1 && p->apart && live_rows(p, &p->ops[0]) >= n_members;
    struct bth_cpu_turn turn = {
        .member = member,
        .n_members = n_members,
        .apart = apart,
        .shared = apart ? own : shared,
        .own = apart ? own + p->shared_bytes : own,
        .team = d->team,
    };
    for (size_t i = 0; i < p->n_ops; i++) {
        const struct berth_op *op = &p->ops[i];
        turn.op = op;
        turn.rows = live_rows(p, op);
        d->kernels->op[op->kind](&turn);
        if (n_members > 1 && is_fence(p, i, apart)) {
            bth_team_barrier(d->team);
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

/* What the largest op needs, and what all members together do. */
static int size_scratch(struct berth_program *p, size_t *out_bytes, struct berth_error *err) {
    const size_t most_apart = 32 << 20; /* large teams would take too much */
    size_t shared = 0, own = 0;
    for (size_t i = 0; i < p->n_ops; i++) {
        const size_t s = bth_cpu_shared_bytes(&p->ops[i]), o = bth_cpu_own_bytes(&p->ops[i]);
        shared = s > shared ? s : shared;
        own = o > own ? o : own;
    }
    if (shared <= SIZE_MAX / 4 && own <= SIZE_MAX / 4) {
        p->apart = p->apart && shared <= most_apart / (size_t)bth_team_size(p->device->team);
        p->shared_bytes = round_128(shared);
        p->own_bytes = round_128(own) + (p->apart ? p->shared_bytes : 0);
        if (bth_mul(p->own_bytes, (size_t)bth_team_size(p->device->team), out_bytes) &&
            bth_add(*out_bytes, p->shared_bytes, out_bytes)) {
            return 0;
        }
    }
    return bth_error(err, BERTH_ETOOLARGE, "the scratch of a program overflows");
}

int bth_cpu_program_create(struct berth_device *device, struct berth_reservation *r,
                           const struct berth_op *ops, size_t n_ops, struct berth_program **out,
                           struct berth_error *err) {
    struct bth_cpu_device *d = (struct bth_cpu_device *)device;
    struct berth_program *p = NULL;
    size_t size, bytes = 0;
    if (bth_mul(n_ops, sizeof(*ops), &size) && bth_add(size, sizeof(*p), &size)) {
        p = bth_alloc(size);
    }
    if (!p) {
        return bth_error_nomem(err);
    }
    *p = (struct berth_program){.device = d, .n_ops = n_ops};
    for (size_t i = 0; i < n_ops; i++) {
        p->ops[i] = ops[i];
    }
    p->apart = may_part(p);
    int rc = size_scratch(p, &bytes, err);
    if (rc == 0) {
        rc = bth_cpu_pool_join(d, r, bytes, &p->scratch, err);
    }
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

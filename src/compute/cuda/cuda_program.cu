/*
 * Programs: a copy of the ops, captured once as a graph, launched every turn.
 *
 * The live counts of a turn are the first thing a run writes; kernels read them on the device, so
 * one graph serves every number of rows up to the program's.
 */
#include "cuda_view.h"
#include "search_cuda.h"

#include <cstring>

extern "C" {
#include "base/alloc.h"
#include "base/reservation.h"
}

struct berth_program {
    struct bth_cuda_device *device;
    struct berth_op *ops;
    size_t n_ops;
    struct berth_reservation *reservation;
    size_t bytes;
    char *memory;   /* live counts, counters, scratch */
    size_t scratch; /* where it begins */
    cudaGraphExec_t graph;
};

enum { LIVE_BYTES = 256 };

static size_t counters_of(const struct berth_op *op) {
    return op->kind == BERTH_OP_ATTEND_PAGED ? attend_paged_counters(&op->u.attend_paged) : 0;
}

static size_t scratch_of(const struct berth_op *op) {
    switch (op->kind) {
    case BERTH_OP_ATTEND_PAGED:
        return attend_paged_partial(&op->u.attend_paged);
    case BERTH_OP_LINEAR:
        return op->u.linear.w->dtype == BERTH_I8
                   ? eights_scratch(op->u.linear.x.rows, op->u.linear.x.cols)
                   : 0;
    case BERTH_OP_SELECT:
        return op->u.select.w.dtype == BERTH_I8
                   ? eights_scratch(op->u.select.x.rows, op->u.select.x.cols)
                   : 0;
    default:
        return 0;
    }
}

/* The most that an op needs of something: they run one after the other and share it. */
static size_t most_of(const struct berth_op *ops, size_t n_ops,
                      size_t (*need)(const struct berth_op *)) {
    size_t most = 0;
    for (size_t i = 0; i < n_ops; i++) {
        size_t n = need(&ops[i]);
        most = n > most ? n : most;
    }
    return (most + 255) / 256 * 256;
}

/* What there are no kernels for, or they have no room for. */
static int check_ops(struct berth_device *device, const struct berth_op *ops, size_t n_ops,
                     struct berth_error *err) {
    for (size_t i = 0; i < n_ops; i++) {
        if (!device->ops->runs(device, ops[i].kind)) {
            return bth_error(err, BERTH_EUNSUPPORTED,
                             "a GPU has no kernels for this model; use the CPU");
        }
        int64_t dh = ops[i].kind == BERTH_OP_ATTEND_PAGED  ? ops[i].u.attend_paged.kv.head_dim
                     : ops[i].kind == BERTH_OP_ATTEND_FULL ? ops[i].u.attend_full.head_dim
                                                           : 0;
        if (dh > ATTEND_MAX_HEAD) {
            return bth_error(err, BERTH_EUNSUPPORTED,
                             "attention heads of %d columns: a GPU takes up to %d; use the CPU",
                             (int)dh, ATTEND_MAX_HEAD);
        }
        if (ops[i].kind == BERTH_OP_LAYER_NORM && ops[i].u.layer_norm.x.cols > NORM_MAX_COLS) {
            return bth_error(err, BERTH_EUNSUPPORTED,
                             "rows of %lld columns: a GPU normalises up to %d; use the CPU",
                             (long long)ops[i].u.layer_norm.x.cols, NORM_MAX_COLS);
        }
    }
    return 0;
}

int bth_cuda_program_create(struct berth_device *device, struct berth_reservation *r,
                            const struct berth_op *ops, size_t n_ops, struct berth_program **out,
                            struct berth_error *err) {
    int rc = bth_cuda_enter(bth_cuda(device), err);
    rc = rc < 0 ? rc : check_ops(device, ops, n_ops, err);
    if (rc < 0) {
        return rc;
    }
    struct berth_program *p = (struct berth_program *)bth_calloc(1, sizeof(*p));
    struct berth_op *copy = (struct berth_op *)bth_memdup(ops, n_ops * sizeof(*ops));
    size_t scratch = LIVE_BYTES + most_of(ops, n_ops, counters_of);
    size_t bytes = scratch + most_of(ops, n_ops, scratch_of);
    void *memory = NULL;
    if (!p || !copy) {
        rc = bth_error_nomem(err);
        goto err_free;
    }
    rc = bth_reservation_draw(r, bytes, err);
    if (rc < 0) {
        goto err_free;
    }
    rc = bth_cuda_check(bth_cuda(device), bth_cuda_malloc(bth_cuda(device), &memory, bytes),
                        "allocate scratch", err);
    if (rc == 0) {
        rc = bth_cuda_check(bth_cuda(device),
                            cudaMemsetAsync(memory, 0, scratch, bth_cuda(device)->stream),
                            "clear scratch", err);
    }
    if (rc < 0) {
        cudaFree(memory);
        bth_reservation_return(r, bytes);
        goto err_free;
    }
    p->scratch = scratch;
    p->device = bth_cuda(device);
    p->ops = copy;
    p->n_ops = n_ops;
    p->reservation = r;
    p->bytes = bytes;
    p->memory = (char *)memory;
    *out = p;
    return 0;

err_free:
    bth_free(copy);
    bth_free(p);
    return rc;
}

void bth_cuda_program_destroy(struct berth_program *p) {
    bth_cuda_enter(p->device, NULL);
    cudaStreamSynchronize(p->device->stream);
    if (p->graph) {
        cudaGraphExecDestroy(p->graph);
    }
    cudaFree(p->memory);
    bth_reservation_return(p->reservation, p->bytes);
    bth_free(p->ops);
    bth_free(p);
}

/* Whether no op of the program writes what the buffer holds. */
static bool settled(const struct berth_program *p, const struct berth_buffer *kv) {
    for (size_t i = 0; i < p->n_ops; i++) {
        const struct berth_op *op = &p->ops[i];
        if ((op->kind == BERTH_OP_KV_STORE && op->u.kv_store.kv.buffer == kv) ||
            (op->kind == BERTH_OP_KV_COPY && op->u.kv_copy.kv.buffer == kv) ||
            (op->kind == BERTH_OP_LINEAR && op->u.linear.y.buffer == kv)) {
            return false;
        }
    }
    return true;
}

static void launch(struct berth_program *p, const struct berth_op *op) {
    cudaStream_t s = p->device->capture;
    struct bound live = {(const uint32_t *)p->memory, op->live};
    uint32_t *counters = (uint32_t *)(p->memory + LIVE_BYTES);
    float *scratch = (float *)(p->memory + p->scratch);
    switch (op->kind) {
    case BERTH_OP_EMBED:
        return launch_embed(s, &op->u.embed, live);
    case BERTH_OP_LAYER_NORM:
        return launch_layer_norm(s, &op->u.layer_norm, live);
    case BERTH_OP_LINEAR:
        return op->u.linear.w->dtype == BERTH_I8 ? launch_eights(s, &op->u.linear, scratch, live)
                                                 : launch_linear(s, &op->u.linear, live);
    case BERTH_OP_CONV3:
        return launch_conv3(s, &op->u.conv3, live);
    case BERTH_OP_ATTEND_FULL:
        return p->device->fast ? launch_attend_fast(s, &op->u.attend_full, live)
                               : launch_attend_full(s, &op->u.attend_full, live);
    case BERTH_OP_KV_STORE:
        return launch_kv_store(s, &op->u.kv_store, live);
    case BERTH_OP_ATTEND_PAGED:
        return launch_attend_paged(s, &op->u.attend_paged, counters, scratch,
                                   settled(p, op->u.attend_paged.kv.buffer), live);
    case BERTH_OP_KV_COPY:
        return launch_kv_copy(s, &op->u.kv_copy, live);
    case BERTH_OP_GATHER:
        return launch_gather(s, &op->u.gather, live);
    case BERTH_OP_PICK:
        return launch_pick(s, &op->u.pick, live);
    case BERTH_OP_SELECT:
        return launch_select(s, &op->u.select, scratch, live);
    case BERTH_OP_SSRU:
        return launch_ssru(s, &op->u.ssru, live);
    case BERTH_OP_TOP:
        return launch_top(s, &op->u.top, live);
    case BERTH_OP_EMBED_SUM:
    case BERTH_OP_MAXOUT:
    case BERTH_OP_GATHER_MAX:
        break; /* refused when the program was made */
    }
}

static int capture(struct berth_program *p, struct berth_error *err) {
    struct bth_cuda_device *d = p->device;
    cudaGraph_t graph = NULL;
    int rc = bth_cuda_check(d, cudaStreamBeginCapture(d->capture, cudaStreamCaptureModeThreadLocal),
                            "capture", err);
    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; i < p->n_ops; i++) {
        launch(p, &p->ops[i]);
    }
    /* the cause comes first: out of memory is no failure of the device, a capture that it broke
     * would look like one */
    const cudaError_t launched = cudaGetLastError();
    const cudaError_t ended = cudaStreamEndCapture(d->capture, &graph);
    rc = bth_cuda_check(d, launched != cudaSuccess ? launched : ended, "capture", err);
    if (rc == 0) {
        rc = bth_cuda_check(d, cudaGraphInstantiate(&p->graph, graph, 0), "instantiate", err);
    }
    if (graph) {
        cudaGraphDestroy(graph);
    }
    return rc;
}

int bth_cuda_program_run(struct berth_program *p, const uint32_t live[BERTH_MAX_LIVE],
                         struct berth_error *err) {
    struct bth_cuda_device *d = p->device;
    int rc = bth_cuda_enter(d, err);
    if (rc == 0 && !p->graph) {
        rc = capture(p, err);
    }
    if (rc == 0) {
        rc = bth_cuda_check(d, bth_cuda_write(d, p->memory, live, BERTH_MAX_LIVE * sizeof(*live)),
                            "write live counts", err);
    }
    return rc < 0 ? rc : bth_cuda_check(d, cudaGraphLaunch(p->graph, d->stream), "launch", err);
}

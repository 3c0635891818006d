/*
 * Every op on a GPU, exact and fast: against the oracle, and with the same bytes alone and in
 * company. Skips where there is no GPU.
 */
#include "base/compiler.h"
#include "compute/compute.h"
#include "lib/test.h"
#include "op_cases.h"
#include "plug/gpu.h"

enum { MAX_CASES = 320 };

/* Sums on a GPU run in another order than the oracle's; fast products round their inputs to 16
 * bits. */
static void loosen(struct op_case *c, bool fast) {
    const bool copies =
        c->kind == BERTH_OP_KV_STORE || c->kind == BERTH_OP_KV_COPY || c->kind == BERTH_OP_GATHER;
    const bool product =
        c->kind == BERTH_OP_LINEAR || c->kind == BERTH_OP_CONV3 || c->kind == BERTH_OP_ATTEND_FULL;
    const bool rounded = c->act == BERTH_ACT_GELU || c->act == BERTH_ACT_SWISH;
    if (c->dtype == BERTH_I8) { /* sums of integers: the same bits everywhere */
        c->near = rounded;
        c->tolerance = 2e-5;
        return;
    }
    c->near = !copies || fast; /* keys and values are kept in f16 */
    const bool coarse = c->dtype != BERTH_F16 || c->kind == BERTH_OP_ATTEND_FULL; /* large scores */
    const bool paged = c->kind == BERTH_OP_ATTEND_PAGED; /* of rounded keys */
    c->tolerance = fast && product ? (coarse ? 4e-2 : 5e-3) : !fast ? 2e-5 : paged ? 1e-2 : 2e-3;
}

static void company(const struct op_case *c, struct berth_device *gpu, const char *want,
                    char *got) {
    const size_t row = op_case_row_bytes(c);
    for (int64_t n = 1; n <= BTH_MIN(c->rows, 33); n += 1 + n / 2) {
        for (int64_t first = (int64_t)(c->seed % 3); first + n <= c->rows; first += n + 2) {
            op_case_run(c, gpu, first, n, got);
            op_case_compare(c, got, want + (size_t)first * row, n, true, "in company");
        }
    }
}

static void run_all(bool fast, struct berth_device *ref) {
    static struct op_case cases[MAX_CASES];
    const int n = op_cases_make(cases, MAX_CASES);
    struct berth_device *gpu;
    struct berth_error err;
    CHECK(n <= MAX_CASES);
    if (bth_gpu_open("cuda", fast, &gpu, &err) < 0) {
        SKIP(err.message);
    }
    for (int i = 0; i < n; i++) {
        struct op_case *c = &cases[i];
        if (!gpu->ops->runs(gpu, c->kind)) { /* for the CPU only */
            continue;
        }
        const size_t bytes = op_case_row_bytes(c) * (size_t)c->rows;
        char *want = malloc(bytes), *got = malloc(bytes);
        loosen(c, fast);
        op_case_run(c, ref, 0, c->rows, want);
        op_case_run(c, gpu, 0, c->rows, got);
        op_case_compare(c, got, want, c->rows, false, gpu->description);
        memcpy(want, got, bytes);
        company(c, gpu, want, got);
        free(want);
        free(got);
    }
    gpu->ops->close(gpu);
}

int main(void) {
    struct berth_device *ref;
    struct berth_error err;
    CHECK_OK(bth_ref_open(&ref, &err), err);
    run_all(false, ref);
    run_all(true, ref);
    ref->ops->close(ref);
    return 0;
}

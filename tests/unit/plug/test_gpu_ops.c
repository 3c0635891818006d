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

/* Case i of those that fill more than one tile, the last not wholly: products with groups that end
 * within a tile, attention over several rounds. */
static bool large_case(int i, struct op_case *out) {
    struct op_case c = {
        .heads = 2, .dtype = BERTH_F16, .spare = i % 3, .seed = 2001 + 4 * (unsigned long long)i};
    if (i < 4) {
        c.kind = BERTH_OP_LINEAR;
        c.many = true;
        c.rows = 430;
        c.n = 1100;
        c.k = 1032;
        c.tall = 50;
        c.placing = i % 2 ? OP_GROUPS : OP_DENSE;
        c.act = i == 0 ? BERTH_ACT_GELU : BERTH_ACT_NONE;
        c.bias = i != 2;
        c.residual = i > 1;
    } else if (i < 6) {
        c.kind = BERTH_OP_ATTEND_FULL;
        c.rows = 3;
        c.n = 128;
        c.t = 420;
        c.q0 = i == 4 ? 0 : 33;
    } else {
        c.kind = BERTH_OP_ATTEND_PAGED;
        c.rows = 12;
        c.n = 128;
        c.pages = i == 6 ? 1 : 20;
        c.page_rows = i == 6 ? 900 : 50;
    }
    *out = c;
    return i < 8;
}

static void run_large(struct berth_device *gpu, struct berth_device *ref) {
    struct op_case c;
    for (int i = 0; large_case(i, &c); i++) {
        const int64_t third = c.rows / 3, parts[][2] = {{0, 1}, {third, third}, {c.rows - 1, 1}};
        const size_t row = op_case_row_bytes(&c);
        char *want = malloc(row * (size_t)c.rows), *got = malloc(row * (size_t)c.rows);
        loosen(&c, true);
        c.tolerance = BTH_MAX(c.tolerance, 2e-2); /* more sums, and inputs rounded more often */
        op_case_run(&c, ref, 0, c.rows, want);
        op_case_run(&c, gpu, 0, c.rows, got);
        op_case_compare(&c, got, want, c.rows, false, gpu->description);
        memcpy(want, got, row * (size_t)c.rows);
        for (size_t p = 0; p < BTH_COUNT(parts); p++) {
            op_case_run(&c, gpu, parts[p][0], parts[p][1], got);
            op_case_compare(&c, got, want + (size_t)parts[p][0] * row, parts[p][1], true,
                            "in company");
        }
        free(want);
        free(got);
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
    if (fast) {
        run_large(gpu, ref);
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

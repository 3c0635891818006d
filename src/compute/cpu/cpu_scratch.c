/* How much scratch each op needs: upper bounds over the instruction sets, known at creation. */
#include "base/alloc.h"
#include "compute/cpu/kernels.h"

/* a * b * c, SIZE_MAX on overflow. */
static size_t mul3(int64_t a, int64_t b, int64_t c) {
    size_t n;
    if (a < 0 || b < 0 || c < 0 || !bth_mul((size_t)a, (size_t)b, &n) ||
        !bth_mul(n, (size_t)c, &n)) {
        return SIZE_MAX;
    }
    return n;
}

static size_t plus(size_t a, size_t b) {
    size_t n;
    return bth_add(a, b, &n) ? n : SIZE_MAX;
}

/* product_group: packed rows, and one panel as f32. */
static size_t product_bytes(int64_t rows, int64_t k) {
    const int64_t packed = rows < BTH_GROUP_ROWS ? rows : BTH_GROUP_ROWS;
    return plus(plus(mul3(packed, k, 4), 128), mul3(k, BTH_PANEL, 4));
}

/* full_scratch_at */
static size_t full_bytes(const struct berth_op_attend_full *op) {
    const size_t keys = plus(mul3(op->t, op->head_dim, 4), 128);
    const size_t panels = mul3(op->head_dim, 2 * BTH_QUERIES, 4);
    return plus(plus(keys, panels), mul3(op->t, BTH_QUERIES, 4));
}

/* eights_scratch, and a row whose heads lie apart */
static size_t eights_bytes(int64_t rows, int64_t k) {
    const int64_t group = rows < BTH_GROUP_ROWS ? rows : BTH_GROUP_ROWS;
    return plus(mul3(group + 1, k + 128, 1), plus(mul3(group + 16, 4, 1), mul3(k, 4, 1)));
}

size_t bth_cpu_own_bytes(const struct berth_op *op) {
    switch (op->kind) {
    case BERTH_OP_LINEAR:
        if (op->u.linear.w->dtype == BERTH_I8) {
            return eights_bytes(op->u.linear.y.rows, op->u.linear.w->k);
        }
        return product_bytes(op->u.linear.y.rows, op->u.linear.w->k);
    case BERTH_OP_CONV3:
        return product_bytes(op->u.conv3.y.rows, op->u.conv3.w->k);
    case BERTH_OP_ATTEND_FULL:
        return full_bytes(&op->u.attend_full);
    case BERTH_OP_SELECT:
        return eights_bytes(1, op->u.select.x.cols);
    case BERTH_OP_MAXOUT:
        return mul3(op->u.maxout.y.cols, 4, 1);
    default:
        return 0;
    }
}

size_t bth_cpu_shared_bytes(const struct berth_op *op) {
    if (op->kind == BERTH_OP_ATTEND_PAGED) {
        const struct berth_op_attend_paged *a = &op->u.attend_paged;
        const size_t positions = mul3(a->table.cols, a->kv.page_rows, 1);
        const size_t chunks = positions / BTH_CHUNK + 1;
        const int64_t partial = 8 + (a->kv.head_dim + 15) / 16 * 64;
        return mul3(a->q.rows * a->kv.heads, (int64_t)(chunks & INT64_MAX), partial);
    }
    if (op->kind == BERTH_OP_PICK || op->kind == BERTH_OP_TOP) {
        const struct berth_tensor *z =
            op->kind == BERTH_OP_PICK ? &op->u.pick.logits : &op->u.top.logits;
        return mul3(z->rows, z->cols / BTH_PICK_PANEL + 2, BTH_PICK_RESULT_BYTES);
    }
    return 0;
}

/*
 * compute/cpu/eights_kernels.h - products with weights of i8 (struct berth_eights), and select.
 *
 * A row becomes bytes i + 127, so that instructions for unsigned times signed bytes fit; where the
 * sum wanted is that of i, 127 times the sum of the weight's row is taken off again. All sums are
 * exact, so how they are cut does not matter.
 *
 * A weight lies as panels [n / 32][k / 4][32][4]: sixteen columns times four bytes are one
 * register. The instructions for it (VNNI) are asked for when an op runs, since not every AVX-512
 * has them.
 */
#ifndef BTH_EIGHTS_KERNELS_H
#define BTH_EIGHTS_KERNELS_H

#include "linear_kernels.h"
#include "math_kernels.h"

enum { EIGHTS_ROWS = 12 }; /* that run together */

/* x as bytes, k rounded up to a multiple of 4 with weights of 0 behind. */
struct eights_rows {
    uint8_t *bytes; /* [rows][pitch] */
    float *alpha;   /* [rows] */
    int64_t pitch;
};

static int64_t eights_pitch(int64_t k) {
    return (k + 63) / 64 * 64;
}

/* The parts of a member's scratch for `rows` rows. */
static struct eights_rows eights_scratch(void *own, int64_t rows, int64_t k) {
    const int64_t alphas = (rows + 15) / 16 * 16;
    return (struct eights_rows){.alpha = own,
                                .bytes = (uint8_t *)own + alphas * (int64_t)sizeof(float),
                                .pitch = eights_pitch(k)};
}

static float row_alpha(const float *x, int64_t k) {
    v16 most = v_zero();
    for (int64_t c = 0; c < k; c += 16) {
        const v16 v = v_load_n(x + c, k - c < 16 ? (int)(k - c) : 16);
        most = v_max(v_max(v, v_sub(v_zero(), v)), most);
    }
    const float max = v_max_lane(most);
    return max > 0 ? 127.0f / max : 0.0f;
}

/* Adding 1.5 * 2^23 rounds to the nearest integer, which is then in the low bits. */
static void quantise(const float *x, int64_t k, float alpha, uint8_t *to) {
    const v16 a = v_set1(alpha), magic = v_set1(0x1.8p23f);
    for (int64_t c = 0; c < k; c += 16) {
        const int n = k - c < 16 ? (int)(k - c) : 16;
        float lane[16];
        uint32_t bits[16];
        const v16 t = v_mul(v_load_n(x + c, n), a);
        v_store(lane, v_add(v_min(v_max(t, v_set1(-127)), v_set1(127)), magic));
        memcpy(bits, lane, sizeof(bits));
        for (int i = 0; i < 16; i++) {
            to[c + i] = (uint8_t)(bits[i] + 127);
        }
    }
    for (int64_t c = (k + 15) / 16 * 16; c < eights_pitch(k); c++) {
        to[c] = 127;
    }
}

static void quantise_row(const struct eights_rows *q, int64_t i, const float *x, int64_t k,
                         float alpha) {
    q->alpha[i] = alpha > 0 ? alpha : row_alpha(x, k);
    quantise(x, k, q->alpha[i], q->bytes + i * q->pitch);
}

/* What the sum of a row is multiplied by: unit or unit / alpha. */
static float row_unit(float unit, float alpha, bool own) {
    return !own ? unit : alpha > 0 ? unit / alpha : 0.0f;
}

/* ---- linear ---------------------------------------------------------------------------------- */

struct eights_product {
    struct product p;    /* w, n, k, out */
    const int32_t *sums; /* [n] of the weight's rows */
    const float *unit;   /* [n] */
    int64_t fours;       /* k / 4 rounded up */
    float alpha;         /* 0: each row its own */
};

/* One row, 32 columns, any machine. */
static void plain_panel(const uint8_t *a, int64_t fours, const int8_t *w, int32_t sum[32]) {
    memset(sum, 0, 32 * sizeof(*sum));
    for (int64_t k = 0; k < fours; k++, a += 4, w += 128) {
        for (int c = 0; c < 32; c++) {
            sum[c] +=
                a[0] * w[c * 4] + a[1] * w[c * 4 + 1] + a[2] * w[c * 4 + 2] + a[3] * w[c * 4 + 3];
        }
    }
}

static void plain_dot(const uint8_t *a, const int8_t *w, int64_t k, int32_t *out,
                      int32_t *out_sum) {
    int32_t acc = 0, all = 0;
    for (int64_t c = 0; c < k; c++) {
        acc += a[c] * w[c];
        all += w[c];
    }
    *out = acc;
    *out_sum = all;
}

#if defined(__AVX512F__)
#define EIGHTS_VNNI __attribute__((target("avx512vnni")))

static bool has_vnni(void) {
    return __builtin_cpu_supports("avx512vnni") != 0;
}

/* sum[R][cols]: R rows times Z half panels at w; R and Z are constants. */
#define EIGHTS_BLOCK(name, R, Z)                                                                   \
    EIGHTS_VNNI static void name(const uint8_t *a, int64_t pitch, int64_t fours, const int8_t *w,  \
                                 int32_t *sum) {                                                   \
        __m512i acc[R][Z];                                                                         \
        V_UNROLL                                                                                   \
        for (int r = 0; r < (R); r++) {                                                            \
            V_UNROLL                                                                               \
            for (int z = 0; z < (Z); z++) {                                                        \
                acc[r][z] = _mm512_setzero_si512();                                                \
            }                                                                                      \
        }                                                                                          \
        for (int64_t k = 0; k < fours; k++) {                                                      \
            __m512i b[Z];                                                                          \
            V_UNROLL                                                                               \
            for (int z = 0; z < (Z); z++) {                                                        \
                const int8_t *at = w + z / 2 * fours * 128 + k * 128 + z % 2 * 64;                 \
                __builtin_prefetch(at + 2048);                                                     \
                b[z] = _mm512_loadu_si512(at);                                                     \
            }                                                                                      \
            V_UNROLL                                                                               \
            for (int r = 0; r < (R); r++) {                                                        \
                int32_t four;                                                                      \
                memcpy(&four, a + r * pitch + k * 4, 4);                                           \
                const __m512i x = _mm512_set1_epi32(four);                                         \
                V_UNROLL                                                                           \
                for (int z = 0; z < (Z); z++) {                                                    \
                    acc[r][z] = _mm512_dpbusd_epi32(acc[r][z], x, b[z]);                           \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        V_UNROLL                                                                                   \
        for (int r = 0; r < (R); r++) {                                                            \
            V_UNROLL                                                                               \
            for (int z = 0; z < (Z); z++) {                                                        \
                _mm512_storeu_si512(sum + r * (Z)*16 + z * 16, acc[r][z]);                         \
            }                                                                                      \
        }                                                                                          \
    }
EIGHTS_BLOCK(eights_1x8, 1, 8)
EIGHTS_BLOCK(eights_1x2, 1, 2)
EIGHTS_BLOCK(eights_2x2, 2, 2)
EIGHTS_BLOCK(eights_4x2, 4, 2)
EIGHTS_BLOCK(eights_8x2, 8, 2)
EIGHTS_BLOCK(eights_12x2, 12, 2)
#undef EIGHTS_BLOCK

/* How many of R rows run together in one panel. */
static int vnni_panel(const uint8_t *a, int64_t pitch, int64_t fours, const int8_t *w, int R,
                      int32_t *sum) {
    if (R >= 12) {
        eights_12x2(a, pitch, fours, w, sum);
        return 12;
    }
    if (R >= 8) {
        eights_8x2(a, pitch, fours, w, sum);
        return 8;
    }
    if (R >= 4) {
        eights_4x2(a, pitch, fours, w, sum);
        return 4;
    }
    if (R >= 2) {
        eights_2x2(a, pitch, fours, w, sum);
        return 2;
    }
    eights_1x2(a, pitch, fours, w, sum);
    return 1;
}

/* Bytes of a row times bytes of i8: their sum, and that of w alone. */
EIGHTS_VNNI static void vnni_dot(const uint8_t *a, const int8_t *w, int64_t k, bool sums,
                                 int32_t *out, int32_t *out_sum) {
    __m512i acc = _mm512_setzero_si512(), all = _mm512_setzero_si512();
    const __m512i one = _mm512_set1_epi8(1);
    for (int64_t c = 0; c < k; c += 64) {
        const int64_t left = k - c;
        const __mmask64 live = left >= 64 ? ~0ULL : (1ULL << left) - 1;
        const __m512i b = _mm512_maskz_loadu_epi8(live, w + c);
        acc = _mm512_dpbusd_epi32(acc, _mm512_loadu_si512(a + c), b);
        if (sums) {
            all = _mm512_dpbusd_epi32(all, one, b);
        }
    }
    *out = _mm512_reduce_add_epi32(acc);
    *out_sum = sums ? _mm512_reduce_add_epi32(all) : 0;
}
#endif

/* The sums of at most R rows in one panel, [rows][32]; how many rows they are. */
static int panel_sums(const uint8_t *a, int64_t pitch, int64_t fours, const int8_t *w, int R,
                      int32_t *sum) {
#if defined(__AVX512F__)
    if (has_vnni()) {
        return vnni_panel(a, pitch, fours, w, R, sum);
    }
#endif
    (void)pitch;
    (void)R;
    plain_panel(a, fours, w, sum);
    return 1;
}

static void dot_sums(const uint8_t *a, const int8_t *w, int64_t k, bool sums, int32_t *out,
                     int32_t *out_sum) {
#if defined(__AVX512F__)
    if (has_vnni()) {
        vnni_dot(a, w, k, sums, out, out_sum);
        return;
    }
#endif
    (void)sums;
    plain_dot(a, w, k, out, out_sum);
}

/* One row and four panels at once, where that is faster: how many panels are done. */
static int64_t wide_panels(const uint8_t *a, int64_t fours, const int8_t *w, int64_t panels,
                           int32_t sum[4 * BTH_PANEL]) {
#if defined(__AVX512F__)
    if (panels >= 4 && has_vnni()) {
        eights_1x8(a, 0, fours, w, sum);
        return 4;
    }
#endif
    (void)a, (void)fours, (void)w, (void)panels, (void)sum;
    return 0;
}

/* Sums [R][32] of a panel become numbers, and go where they belong. */
static void eights_finish(const struct eights_product *e, const float *alpha, const int32_t *sum,
                          int64_t pitch, int R, int64_t row, int64_t col) {
    float tile[EIGHTS_ROWS * BTH_PANEL];
    const int live = e->p.n - col < BTH_PANEL ? (int)(e->p.n - col) : BTH_PANEL;
    const bool own = !(e->alpha > 0);
    for (int r = 0; r < R; r++) {
        for (int c = 0; c < live; c++) {
            const int32_t s = sum[r * pitch + c] - (own ? 127 * e->sums[col + c] : 0);
            tile[r * BTH_PANEL + c] = (float)s * row_unit(e->unit[col + c], alpha[r], own);
        }
        for (int c = live; c < BTH_PANEL; c++) {
            tile[r * BTH_PANEL + c] = 0;
        }
    }
    finish(&e->p, tile, R, BTH_PANEL, row, col);
}

/* Rows [row, row + rows) that lie in q, times panels [p0, p1). */
static void eights_group(const struct eights_product *e, const struct eights_rows *q, int64_t row,
                         int64_t rows, int64_t p0, int64_t p1) {
    const int8_t *w = (const int8_t *)e->p.w;
    int32_t sum[EIGHTS_ROWS * BTH_PANEL];
    int64_t panel = p0, done = 0;
    for (; rows == 1; panel += done) {
        done = wide_panels(q->bytes, e->fours, w + panel * e->p.panel_bytes, p1 - panel, sum);
        if (done == 0) {
            break;
        }
        for (int64_t i = 0; i < done; i++) {
            eights_finish(e, q->alpha, sum + i * BTH_PANEL, 0, 1, row, (panel + i) * BTH_PANEL);
        }
    }
    for (; panel < p1; panel++) {
        const int8_t *at = w + panel * e->p.panel_bytes;
        for (int64_t r = 0, n; r < rows; r += n) {
            const uint8_t *a = q->bytes + r * q->pitch;
            const int most = rows - r < EIGHTS_ROWS ? (int)(rows - r) : EIGHTS_ROWS;
            n = panel_sums(a, q->pitch, e->fours, at, most, sum);
            eights_finish(e, q->alpha + r, sum, BTH_PANEL, (int)n, row + r, panel * BTH_PANEL);
        }
    }
}

static void op_linear_eights(const struct bth_cpu_turn *t, const struct product *from) {
    const struct berth_op_linear *op = &t->op->u.linear;
    const struct bth_cpu_weight *w = (const struct bth_cpu_weight *)op->w;
    struct eights_product e = {.p = *from,
                               .sums = eight_sums(w),
                               .unit = view_of(&op->eights.unit).base,
                               .fours = (from->k + 3) / 4,
                               .alpha = op->eights.alpha};
    e.p.panel_bytes = e.fours * 4 * BTH_PANEL;
    const int64_t panels = (e.p.n + BTH_PANEL - 1) / BTH_PANEL;
    const int parts = row_parts((t->rows + EIGHTS_ROWS - 1) / EIGHTS_ROWS, t->n_members);
    const int per_part = t->n_members / parts;
    int64_t first, end, p0, p1;
    share_of(t->rows, t->member / per_part, parts, &first, &end);
    share_of(panels, t->member % per_part, per_part, &p0, &p1);
    for (int64_t r = first; r < end && p0 < p1; r += BTH_GROUP_ROWS) {
        const int64_t n = end - r < BTH_GROUP_ROWS ? end - r : BTH_GROUP_ROWS;
        const struct eights_rows q = eights_scratch(t->own, n, e.p.k);
        float *row = (float *)(void *)(q.bytes + n * q.pitch);
        for (int64_t i = 0; i < n; i++) {
            const float *x = view_row(&e.p.in.x, r + i);
            if (e.p.in.run < e.p.k) { /* heads apart */
                for (int64_t c = 0; c < e.p.k; c += e.p.in.run) {
                    memcpy(row + c, x + view_col(&e.p.in.x, c), (size_t)e.p.in.run * sizeof(*row));
                }
                x = row;
            }
            quantise_row(&q, i, x, e.p.k, e.alpha);
        }
        eights_group(&e, &q, r, n, p0, p1);
    }
}

static void op_linear_any(const struct bth_cpu_turn *t) {
    const struct berth_op_linear *op = &t->op->u.linear;
    const struct product p = linear_product(op);
    if (op->w->dtype == BERTH_I8) {
        op_linear_eights(t, &p);
    } else {
        product_run(&p, t, t->rows);
    }
}

/* ---- select ---------------------------------------------------------------------------------- */

static float select_eight(const struct berth_op_select *op, const struct eights_rows *q,
                          const int8_t *w, float unit) {
    const bool own = !(op->eights.alpha > 0);
    int32_t sum, all;
    dot_sums(q->bytes, w, op->x.cols, own, &sum, &all);
    return (float)(sum - (own ? 127 * all : 0)) * row_unit(unit, q->alpha[0], own);
}

static float select_float(const float *x, const float *w, int64_t k) {
    v16 sum = v_zero();
    int64_t c = 0;
    for (; c + 16 <= k; c += 16) {
        sum = v_fma(v_load(x + c), v_load(w + c), sum);
    }
    if (c < k) {
        sum = v_fma(v_load_n(x + c, (int)(k - c)), v_load_n(w + c, (int)(k - c)), sum);
    }
    return v_sum(sum);
}

static void op_select(const struct bth_cpu_turn *t) {
    const struct berth_op_select *op = &t->op->u.select;
    const struct view x = view_of(&op->x), y = view_of(&op->y);
    const float *bias = view_of(&op->bias).base, *unit = view_of(&op->eights.unit).base;
    const struct eights_rows q = eights_scratch(t->own, 1, op->x.cols);
    const bool eights = op->w.dtype == BERTH_I8;
    const float *w = (const float *)op->w.buffer->host + op->w.offset;
    const int8_t *bytes = (const int8_t *)op->w.buffer->host + op->w.offset;
    for (int64_t r = 0; r < t->rows; r++) {
        const int32_t *ids = ints_of(&op->ids) + ints_of(&op->list)[r] * op->ids.row_stride;
        const float *from = view_row(&x, r);
        float *to = view_row(&y, r);
        int64_t first, end;
        share_of(ints_of(&op->count)[r], t->member, t->n_members, &first, &end);
        if (eights && first < end) {
            quantise_row(&q, 0, from, op->x.cols, op->eights.alpha);
        }
        for (int64_t i = first; i < end; i++) {
            const int64_t at = ids[i] * op->w.row_stride;
            const float v = eights ? select_eight(op, &q, bytes + at, unit[ids[i]])
                                   : select_float(from, w + at, op->x.cols);
            to[i] = bias ? v + bias[ids[i]] : v;
        }
    }
}

#endif

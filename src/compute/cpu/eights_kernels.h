/*
 * compute/cpu/eights_kernels.h - products with weights of i8 (struct berth_eights).
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

/* Low bytes of sixteen patterns, + 127. */
static void eights_store(uint8_t *to, v16 v) {
#if defined(__AVX512F__)
    const __m512i bits = _mm512_add_epi32(_mm512_castps_si512(v), _mm512_set1_epi32(127));
    _mm_storeu_si128((__m128i *)(void *)to, _mm512_cvtepi32_epi8(bits));
#else
    float lane[16];
    uint32_t bits[16];
    v_store(lane, v);
    memcpy(bits, lane, sizeof(bits));
    for (int i = 0; i < 16; i++) {
        to[i] = (uint8_t)(bits[i] + 127);
    }
#endif
}

/* Adding 1.5 * 2^23 rounds to the nearest integer, which is then in the low bits. */
static void quantise(const float *x, int64_t k, float alpha, uint8_t *to) {
    const v16 a = v_set1(alpha), magic = v_set1(0x1.8p23f);
    for (int64_t c = 0; c < k; c += 16) {
        const int n = k - c < 16 ? (int)(k - c) : 16;
        const v16 t = v_mul(v_load_n(x + c, n), a);
        eights_store(to + c, v_add(v_min(v_max(t, v_set1(-127)), v_set1(127)), magic));
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

/* sum[R][Z * 16]: R rows times Z half panels at w; R and Z are constants. */
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
EIGHTS_BLOCK(eights_2x4, 2, 4)
EIGHTS_BLOCK(eights_3x4, 3, 4)
EIGHTS_BLOCK(eights_4x4, 4, 4)
EIGHTS_BLOCK(eights_1x2, 1, 2)
EIGHTS_BLOCK(eights_2x2, 2, 2)
EIGHTS_BLOCK(eights_3x2, 3, 2)
EIGHTS_BLOCK(eights_4x2, 4, 2)
EIGHTS_BLOCK(eights_5x2, 5, 2)
EIGHTS_BLOCK(eights_6x2, 6, 2)
EIGHTS_BLOCK(eights_7x2, 7, 2)
EIGHTS_BLOCK(eights_8x2, 8, 2)
EIGHTS_BLOCK(eights_9x2, 9, 2)
EIGHTS_BLOCK(eights_10x2, 10, 2)
EIGHTS_BLOCK(eights_11x2, 11, 2)
EIGHTS_BLOCK(eights_12x2, 12, 2)
#undef EIGHTS_BLOCK

typedef void eights_block(const uint8_t *a, int64_t pitch, int64_t fours, const int8_t *w,
                          int32_t *sum);

/* For R rows: of one panel, and of as many as vnni_width says. */
static eights_block *const eights_one[EIGHTS_ROWS] = {
    eights_1x2, eights_2x2, eights_3x2, eights_4x2,  eights_5x2,  eights_6x2,
    eights_7x2, eights_8x2, eights_9x2, eights_10x2, eights_11x2, eights_12x2};
static eights_block *const eights_wide[4] = {eights_1x8, eights_2x4, eights_3x4, eights_4x4};

/* Panels that run together, so that there are enough sums for the units that add. */
static int vnni_width(int R) {
    return R == 1 ? 4 : R <= 4 ? 2 : 1;
}

/* Sums of bytes of a row times bytes of sixteen others; a NULL: of those alone. */
EIGHTS_VNNI static void vnni_dots(const uint8_t *a, const int8_t *const w[16], int64_t k,
                                  int32_t out[16]) {
    __m512i v[16];
    V_UNROLL
    for (int i = 0; i < 16; i++) {
        v[i] = _mm512_setzero_si512();
    }
    for (int64_t c = 0; c < k; c += 64) {
        const __mmask64 live = k - c >= 64 ? ~0ULL : (1ULL << (k - c)) - 1;
        const __m512i x = a ? _mm512_loadu_si512(a + c) : _mm512_set1_epi8(1);
        V_UNROLL
        for (int i = 0; i < 16; i++) {
            v[i] = _mm512_dpbusd_epi32(v[i], x, _mm512_maskz_loadu_epi8(live, w[i] + c));
        }
    }
    /* lanes of pairs, then of pairs of pairs, then across the register */
    V_UNROLL
    for (int i = 0; i < 8; i++) {
        v[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]),
                                _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]));
    }
    V_UNROLL
    for (int i = 0; i < 4; i++) {
        v[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(v[2 * i], v[2 * i + 1]),
                                _mm512_unpackhi_epi64(v[2 * i], v[2 * i + 1]));
    }
    V_UNROLL
    for (int i = 0; i < 2; i++) {
        v[i] = _mm512_add_epi32(_mm512_shuffle_i32x4(v[2 * i], v[2 * i + 1], 0x88),
                                _mm512_shuffle_i32x4(v[2 * i], v[2 * i + 1], 0xdd));
    }
    v[0] = _mm512_add_epi32(_mm512_shuffle_i32x4(v[0], v[1], 0x88),
                            _mm512_shuffle_i32x4(v[0], v[1], 0xdd));
    _mm512_storeu_si512(out, v[0]);
}
#endif

/* Panels that are best taken together with R rows. */
static int eights_width(int R) {
#if defined(__AVX512F__)
    if (has_vnni()) {
        return vnni_width(R);
    }
#endif
    (void)R;
    return 1;
}

/* sum[R][panels * 32]: R rows times so many panels, one or eights_width(R). */
static void eights_sums(const uint8_t *a, int64_t pitch, int64_t fours, const int8_t *w, int R,
                        int panels, int32_t *sum) {
#if defined(__AVX512F__)
    if (has_vnni()) {
        (panels == 1 ? eights_one : eights_wide)[R - 1](a, pitch, fours, w, sum);
        return;
    }
#endif
    for (int r = 0; r < R; r++) {
        for (int i = 0; i < panels; i++) {
            plain_panel(a + r * pitch, fours, w + i * fours * 4 * BTH_PANEL,
                        sum + (r * panels + i) * BTH_PANEL);
        }
    }
}

/* Products of a row with n <= 16 others of k bytes, of which w[n] and beyond repeat one; with
 * `all` their own sums too. */
static void dot_sums(const uint8_t *a, const int8_t *const w[16], int64_t k, int n, int32_t *sum,
                     int32_t *all) {
#if defined(__AVX512F__)
    if (has_vnni()) {
        vnni_dots(a, w, k, sum);
        if (all) {
            vnni_dots(NULL, w, k, all);
        }
        return;
    }
#endif
    for (int i = 0; i < n; i++) {
        int32_t own;
        plain_dot(a, w[i], k, &sum[i], all ? &all[i] : &own);
    }
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

/* Rows [row, row + rows) that lie in q, times panels [p0, p1). The rows are cut into blocks of like
 * size: one of a single row takes as long as one of four. */
static void eights_group(const struct eights_product *e, const struct eights_rows *q, int64_t row,
                         int64_t rows, int64_t p0, int64_t p1) {
    const int64_t blocks = (rows + EIGHTS_ROWS - 1) / EIGHTS_ROWS;
    const int R = (int)((rows + blocks - 1) / blocks), width = eights_width(R);
    int32_t sum[EIGHTS_ROWS * BTH_PANEL];
    for (int64_t p = p0, n; p < p1; p += n) {
        const int8_t *w = (const int8_t *)e->p.w + p * e->p.panel_bytes;
        n = p1 - p >= width ? width : 1;
        for (int64_t r = 0; r < rows; r += R) {
            const int here = rows - r < R ? (int)(rows - r) : R;
            eights_sums(q->bytes + r * q->pitch, q->pitch, e->fours, w, here, (int)n, sum);
            for (int64_t i = 0; i < n; i++) {
                eights_finish(e, q->alpha + r, sum + i * BTH_PANEL, n * BTH_PANEL, here, row + r,
                              (p + i) * BTH_PANEL);
            }
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
    const int parts = t->apart ? t->n_members
                               : row_parts((t->rows + EIGHTS_ROWS - 1) / EIGHTS_ROWS, t->n_members);
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

#endif

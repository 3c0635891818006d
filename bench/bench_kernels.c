/*
 * The CPU kernels against the limits of the machine, both measured in this run.
 *
 *     bench_kernels [threads]
 *
 * Minima over many runs. Products of the encoder and the attention are set against the fused
 * multiply-add peak; the products of a decoder step (Whisper base, f16, cold: 97 MB of weights)
 * against the read bandwidth for few rows and the peak for many.
 */
#include "base/clock.h"
#include "base/reservation.h"
#include "base/sync.h"
#include "compute/compute.h"
#include "compute/cpu/team.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* As much as the weights of a step of Whisper base, and as the keys and values of 8 rows. */
enum { STEP_BYTES = 96 << 20, CROSS_BYTES = 288 << 20 };

static struct berth_reservation bytes;
static struct berth_device *device;
static double peak_gflops, read_gbs, cross_read_gbs;

static void die(const char *what) {
    fprintf(stderr, "bench_kernels: %s\n", what);
    exit(1);
}

static double seconds(void) {
    return (double)bth_now() * 1e-9;
}

/* ---- the machine ---------------------------------------------------------------------------- */

struct limits {
    struct bth_team *team;
    const char *memory; /* [bytes] */
    size_t bytes;
    float sink[64];
};

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static float fma_512(long n) {
    __m512 a[12];
    const __m512 x = _mm512_set1_ps(1.0000001f), y = _mm512_set1_ps(1e-9f);
    for (int i = 0; i < 12; i++) {
        a[i] = _mm512_set1_ps((float)i);
    }
    for (long j = 0; j < n; j++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) {
            a[i] = _mm512_fmadd_ps(a[i], x, y);
        }
    }
    for (int i = 1; i < 12; i++) {
        a[0] = _mm512_add_ps(a[0], a[i]);
    }
    return _mm512_reduce_add_ps(a[0]);
}

__attribute__((target("avx2,fma"))) static float fma_256(long n) {
    __m256 a[12];
    const __m256 x = _mm256_set1_ps(1.0000001f), y = _mm256_set1_ps(1e-9f);
    for (int i = 0; i < 12; i++) {
        a[i] = _mm256_set1_ps((float)i);
    }
    for (long j = 0; j < n; j++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) {
            a[i] = _mm256_fmadd_ps(a[i], x, y);
        }
    }
    float out[8];
    for (int i = 1; i < 12; i++) {
        a[0] = _mm256_add_ps(a[0], a[i]);
    }
    _mm256_storeu_ps(out, a[0]);
    return out[0];
}
#endif

enum { PEAK_LOOPS = 2000000 };

static void peak_member(void *arg, int m) {
    struct limits *l = arg;
#if defined(__x86_64__)
    l->sink[m] = __builtin_cpu_supports("avx512f") ? fma_512(PEAK_LOOPS) : fma_256(PEAK_LOOPS);
#else
    l->sink[m] = 0;
#endif
}

static void read_member(void *arg, int m) {
    struct limits *l = arg;
    const int n = bth_team_size(l->team);
    const size_t part = l->bytes / (size_t)n / 4096 * 4096;
    const uint64_t *p = (const uint64_t *)(const void *)(l->memory + part * (size_t)m);
    uint64_t sum[8] = {0};
    for (size_t i = 0; i < part / 8; i += 8) { /* a line at a time, asked for 4 KiB ahead */
        __builtin_prefetch(p + i + 512);
        for (int j = 0; j < 8; j++) {
            sum[j] += p[i + (size_t)j];
        }
    }
    for (int j = 1; j < 8; j++) {
        sum[0] += sum[j];
    }
    l->sink[m] = (float)sum[0];
}

static double best_run(struct bth_team *team, bth_team_fn fn, void *arg, int times) {
    double best = 1e9;
    for (int i = 0; i < times; i++) {
        const double t = seconds();
        bth_team_run(team, fn, arg);
        const double d = seconds() - t;
        best = d < best ? d : best;
    }
    return best;
}

static void measure_limits(int threads) {
    struct limits l = {0};
    struct berth_buffer *b;
    if (bth_team_create(threads, &l.team, NULL) < 0 ||
        device->ops->buffer_create(device, &bytes, CROSS_BYTES, &b, NULL) < 0) {
        die("out of memory");
    }
    memset(b->host, 1, CROSS_BYTES);
    l.memory = b->host;
    int lanes = 8;
#if defined(__x86_64__)
    lanes = __builtin_cpu_supports("avx512f") ? 16 : 8;
#endif
    const double flops = 2.0 * 12 * lanes * PEAK_LOOPS * threads;
    peak_gflops = flops / best_run(l.team, peak_member, &l, 10) * 1e-9;
    l.bytes = STEP_BYTES;
    read_gbs = (double)l.bytes / best_run(l.team, read_member, &l, 15) * 1e-9;
    l.bytes = CROSS_BYTES;
    cross_read_gbs = (double)l.bytes / best_run(l.team, read_member, &l, 15) * 1e-9;
    printf("%s: peak %.0f GFLOP/s, read %.1f GB/s (%d MiB), %.1f GB/s (%d MiB)\n",
           device->description, peak_gflops, read_gbs, STEP_BYTES >> 20, cross_read_gbs,
           CROSS_BYTES >> 20);
    device->ops->buffer_destroy(b);
    bth_team_destroy(l.team);
}

/* ---- making things -------------------------------------------------------------------------- */

static uint64_t state = 88172645463325252u;

static float uniform(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (float)((double)(state >> 40) / (1 << 23) - 1.0);
}

static struct berth_tensor tensor(int64_t rows, int64_t cols, float scale) {
    struct berth_buffer *b;
    if (device->ops->buffer_create(device, &bytes, (size_t)(rows * cols) * 4, &b, NULL) < 0) {
        die("out of memory");
    }
    float *f = b->host;
    for (int64_t i = 0; i < rows * cols; i++) {
        f[i] = uniform() * scale;
    }
    return (struct berth_tensor){
        .buffer = b, .dtype = BERTH_F32, .rows = rows, .cols = cols, .row_stride = cols};
}

static struct berth_tensor tensor_i32(int64_t rows, int64_t cols, int32_t first, int32_t step) {
    struct berth_tensor t = tensor(rows, cols, 0);
    t.dtype = BERTH_I32;
    for (int64_t i = 0; i < rows * cols; i++) {
        ((int32_t *)t.buffer->host)[i] = first + step * (int32_t)i;
    }
    return t;
}

static struct berth_weight *weight(int64_t n, int64_t k) {
    struct berth_weight *w;
    uint16_t *rows = malloc((size_t)(n * k) * 2);
    if (!rows) {
        die("out of memory");
    }
    for (int64_t i = 0; i < n * k; i++) { /* halves of magnitude 2^-5 */
        state = state * 6364136223846793005u + 1442695040888963407u;
        rows[i] = (uint16_t)(0x2800 | ((state >> 33) & 0x83ff));
    }
    if (device->ops->weight_create(device, &bytes, BERTH_F16, n, k, rows, &w, NULL) < 0) {
        die("out of memory");
    }
    free(rows);
    return w;
}

static double best_program(const struct berth_op *ops, size_t n, int times) {
    struct berth_program *p;
    const uint32_t live[BERTH_MAX_LIVE] = {0};
    if (device->ops->program_create(device, &bytes, ops, n, &p, NULL) < 0) {
        die("no program");
    }
    double best = 1e9;
    for (int i = 0; i < times; i++) {
        const double t = seconds();
        device->ops->program_run(p, live, NULL);
        const double d = seconds() - t;
        best = d < best ? d : best;
    }
    device->ops->program_destroy(p);
    return best;
}

/* ---- the measurements ----------------------------------------------------------------------- */

static struct berth_op linear_op(int64_t rows, struct berth_weight *w, enum berth_activation act) {
    struct berth_op op = {.kind = BERTH_OP_LINEAR, .live = -1};
    op.u.linear = (struct berth_op_linear){.x = tensor(rows, w->k, 1),
                                           .bias = tensor(1, w->n, 1),
                                           .y = tensor(rows, w->n, 0),
                                           .w = w,
                                           .act = act};
    return op;
}

static void drop_linear(struct berth_op *op) {
    device->ops->buffer_destroy(op->u.linear.x.buffer);
    device->ops->buffer_destroy(op->u.linear.bias.buffer);
    device->ops->buffer_destroy(op->u.linear.y.buffer);
}

static void encoder_products(void) {
    static const int64_t shapes[][2] = {{512, 1536}, {512, 512}, {512, 2048}, {2048, 512}};
    enum { ROWS = 1500 };
    double flops = 0, time = 0;
    for (int i = 0; i < 4; i++) {
        struct berth_weight *w = weight(shapes[i][1], shapes[i][0]);
        struct berth_op op = linear_op(ROWS, w, i == 2 ? BERTH_ACT_GELU : BERTH_ACT_NONE);
        const double f = 2.0 * ROWS * (double)(w->n * w->k), t = best_program(&op, 1, 15);
        printf("encoder %d x %lld -> %lld: %.2f ms, %.0f GFLOP/s, %.1f %% of peak\n", ROWS,
               (long long)w->k, (long long)w->n, t * 1e3, f / t * 1e-9, f / t * 1e-7 / peak_gflops);
        flops += f;
        time += t;
        drop_linear(&op);
        device->ops->weight_destroy(w);
    }
    printf("encoder layer's products: %.2f ms, %.1f %% of peak\n", time * 1e3,
           flops / time * 1e-7 / peak_gflops);
}

/* qkv, out, q, out, up, down of six layers, then the vocabulary. */
static void decoder_step(void) {
    static const int64_t shapes[][2] = {{512, 1536}, {512, 512},  {512, 512},
                                        {512, 512},  {512, 2048}, {2048, 512}};
    static const int rows[] = {1, 2, 4, 5, 8, 12, 16, 24};
    struct berth_weight *w[37];
    double weights = 0;
    for (int i = 0; i < 37; i++) {
        w[i] = i == 36 ? weight(51865, 512) : weight(shapes[i % 6][1], shapes[i % 6][0]);
        weights += (double)(w[i]->n * w[i]->k);
    }
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        struct berth_op ops[37];
        for (int i = 0; i < 37; i++) {
            ops[i] = linear_op(rows[r], w[i], BERTH_ACT_NONE);
        }
        const double t = best_program(ops, 37, 60), v = best_program(&ops[36], 1, 60);
        const double gflops = 2 * weights * rows[r] / t * 1e-9;
        const double v_gflops = 2 * 512 * 51865.0 * rows[r] / v * 1e-9;
        printf("step's products, %2d rows: %.2f ms, %.0f %% of read, %.0f %% of peak; "
               "vocabulary %.2f ms, %.0f %% of read, %.0f %% of peak\n",
               rows[r], t * 1e3, weights * 2 / t * 1e-7 / read_gbs, gflops / peak_gflops * 100,
               v * 1e3, 512 * 51865.0 * 2 / v * 1e-7 / read_gbs, v_gflops / peak_gflops * 100);
        for (int i = 0; i < 37; i++) {
            drop_linear(&ops[i]);
        }
    }
    for (int i = 0; i < 37; i++) {
        device->ops->weight_destroy(w[i]);
    }
}

static void full_attention(void) {
    enum { T = 1500, HEADS = 8, DH = 64 };
    struct berth_tensor t[3];
    for (int i = 0; i < 3; i++) {
        t[i] = tensor(T, HEADS * DH, i ? 1 : 0.3f);
        t[i].row_stride = t[i].head_cols = DH;
        t[i].head_stride = T * DH;
    }
    struct berth_op op = {.kind = BERTH_OP_ATTEND_FULL, .live = -1};
    op.u.attend_full = (struct berth_op_attend_full){.q = t[0],
                                                     .k = t[1],
                                                     .v = t[2],
                                                     .y = tensor(T, HEADS * DH, 0),
                                                     .groups = 1,
                                                     .t = T,
                                                     .heads = HEADS,
                                                     .head_dim = DH,
                                                     .nq = T};
    const double time = best_program(&op, 1, 10), flops = 4.0 * T * T * HEADS * DH;
    printf("encoder attention, 8 heads: %.2f ms, %.0f GFLOP/s, %.1f %% of peak\n", time * 1e3,
           flops / time * 1e-9, flops / time * 1e-7 / peak_gflops);
    for (int i = 0; i < 3; i++) {
        device->ops->buffer_destroy(t[i].buffer);
    }
    device->ops->buffer_destroy(op.u.attend_full.y.buffer);
}

/* One op per layer, so that the pages are cold as in a real step. */
static void cross_attention(int rows, bool shared) {
    enum { T = 1500, HEADS = 8, DH = 64, LAYERS = 6 };
    const int64_t page = 2 * T * HEADS * DH, pages = shared ? 1 : rows;
    struct berth_op ops[LAYERS];
    for (int l = 0; l < LAYERS; l++) {
        ops[l] = (struct berth_op){.kind = BERTH_OP_ATTEND_PAGED, .live = -1};
        ops[l].u.attend_paged = (struct berth_op_attend_paged){
            .q = tensor(rows, HEADS * DH, 0.3f),
            .table = tensor_i32(rows, 1, 0, shared ? 0 : 1),
            .len = tensor_i32(1, rows, T, 0),
            .y = tensor(rows, HEADS * DH, 0),
            .kv = {.buffer = tensor(pages, page, 1).buffer,
                   .page_stride = page,
                   .page_rows = T,
                   .heads = HEADS,
                   .head_dim = DH,
                   .value_offset = page / 2},
        };
    }
    const double t = best_program(ops, LAYERS, 30);
    const double read = (double)(LAYERS * pages * page) * 4;
    printf("cross attention, 6 layers, %2d rows%s: %.2f ms, %.0f %% of read\n", rows,
           shared ? " of one window" : "", t * 1e3,
           read / t * 1e-7 / (read > STEP_BYTES ? cross_read_gbs : read_gbs));
    for (int l = 0; l < LAYERS; l++) {
        struct berth_op_attend_paged *a = &ops[l].u.attend_paged;
        device->ops->buffer_destroy(a->q.buffer);
        device->ops->buffer_destroy(a->table.buffer);
        device->ops->buffer_destroy(a->len.buffer);
        device->ops->buffer_destroy(a->y.buffer);
        device->ops->buffer_destroy(a->kv.buffer);
    }
}

static void picks(int rows, float temperature) {
    struct berth_tensor in = tensor_i32(rows, sizeof(struct berth_pick_in) / 4, 0, 0);
    for (int r = 0; r < rows; r++) {
        ((struct berth_pick_in *)in.buffer->host)[r] = (struct berth_pick_in){
            .mask = -1, .group_begin = 50364, .probe = -1, .temperature = temperature};
    }
    struct berth_op op = {.kind = BERTH_OP_PICK, .live = -1};
    op.u.pick = (struct berth_op_pick){
        .logits = tensor(rows, 51865, 8),
        .in = in,
        .out = tensor_i32(rows, sizeof(struct berth_pick_out) / 4, 0, 0),
    };
    const double t = best_program(&op, 1, 30);
    printf("pick, %2d rows of 51865, temperature %.1f: %.3f ms\n", rows, (double)temperature,
           t * 1e3);
    device->ops->buffer_destroy(op.u.pick.logits.buffer);
    device->ops->buffer_destroy(in.buffer);
    device->ops->buffer_destroy(op.u.pick.out.buffer);
}

int main(int argc, char **argv) {
    struct berth_error err;
    const int threads = argc > 1 ? atoi(argv[1]) : bth_cpu_count();
    const struct bth_cpu_config config = {.threads = threads, .cap = BTH_CPU_AVX512};
    bth_reservation_init(&bytes, BERTH_BYTES_WORKSPACE, SIZE_MAX / 2);
    if (bth_cpu_open(&config, &device, &err) < 0) {
        die(err.message);
    }
    measure_limits(threads);
    encoder_products();
    full_attention();
    decoder_step();
    cross_attention(1, false);
    cross_attention(8, false);
    cross_attention(8, true);
    picks(1, 0);
    picks(8, 0);
    picks(8, 1);
    device->ops->close(device);
    return 0;
}

/*
 * Products of bytes against the limit of the machine, both measured in this run.
 *
 *     bench_eights [threads]
 *
 * Minima over many runs. The weights are those of a student model (tiny: width 256, 1,536 in the
 * middle): all products of its encoder, and of a decoder step without the output. "apart": members
 * of the team have rows of their own (struct berth_op); else all work on each product together.
 */
#include "base/clock.h"
#include "base/reservation.h"
#include "base/sync.h"
#include "compute/compute.h"
#include "compute/cpu/team.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { D = 256, FFN = 1536, MOST_OPS = 64, MOST_ROWS = 128, TIMES = 200, PEAK_LOOPS = 200000 };

static struct berth_reservation bytes;
static struct berth_device *device;
static double peak; /* multiplications a second */
static volatile int sink[64]; /* so that the work is not seen to be for nothing */

static void die(const char *what) {
    fprintf(stderr, "bench_eights: %s\n", what);
    exit(1);
}

static double seconds(void) {
    return (double)bth_now() * 1e-9;
}

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512vnni"))) static int dots(long n) {
    __m512i a[12];
    const __m512i x = _mm512_set1_epi8(1);
    for (int i = 0; i < 12; i++) {
        a[i] = _mm512_set1_epi32(i);
    }
    for (long j = 0; j < n; j++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) {
            a[i] = _mm512_dpbusd_epi32(a[i], x, a[(i + 6) % 12]);
        }
    }
    for (int i = 1; i < 12; i++) {
        a[0] = _mm512_add_epi32(a[0], a[i]);
    }
    return _mm512_reduce_add_epi32(a[0]);
}
#endif

static void peak_member(void *arg, int m) {
    (void)arg;
#if defined(__x86_64__)
    sink[m] = __builtin_cpu_supports("avx512vnni") ? dots(PEAK_LOOPS) : 0;
#else
    sink[m] = 0;
#endif
}

static void measure_peak(int threads) {
    struct bth_team *team;
    double best = 1e9;
    if (bth_team_create(threads, &team, NULL) < 0) {
        die("no threads");
    }
    for (int i = 0; i < TIMES; i++) {
        const double t = seconds();
        bth_team_run(team, peak_member, NULL);
        const double d = seconds() - t;
        best = d < best ? d : best;
    }
    bth_team_destroy(team);
    peak = 64.0 * 12 * PEAK_LOOPS * threads / best;
    printf("limit: %.0f G products of bytes a second\n", peak * 1e-9);
}

static struct berth_tensor tensor(int64_t rows, int64_t cols, bool ones) {
    struct berth_tensor t = {.dtype = BERTH_F32, .rows = rows, .cols = cols, .row_stride = cols};
    const size_t n = (size_t)(rows * cols);
    float *values = calloc(n, sizeof(*values));
    for (size_t i = 0; values && i < n; i++) {
        values[i] = ones ? 1 : (float)((i * 7919) % 255) / 255.0f - 0.5f;
    }
    if (!values || device->ops->buffer_create(device, &bytes, n * 4, &t.buffer, NULL) < 0 ||
        device->ops->write(t.buffer, 0, values, n * 4) < 0) {
        die("no memory");
    }
    free(values);
    return t;
}

static struct berth_weight *weight(int64_t n, int64_t k) {
    int8_t *rows = malloc((size_t)(n * k));
    struct berth_weight *w;
    for (int64_t i = 0; rows && i < n * k; i++) {
        rows[i] = (int8_t)((i * 7919) % 255 - 127);
    }
    if (!rows || device->ops->weight_create(device, &bytes, BERTH_I8, n, k, rows, &w, NULL) < 0) {
        die("no weight");
    }
    free(rows);
    return w;
}

/* `layers` layers of four square products and the two of the middle. */
struct stack {
    struct berth_weight *w[MOST_OPS];
    struct berth_tensor narrow, wide, out, unit;
    int n;
    double products; /* of a row */
};

static void make(struct stack *s, int layers) {
    static const int64_t shapes[6][2] = {{D, D}, {D, D}, {D, D}, {D, D}, {FFN, D}, {D, FFN}};
    *s = (struct stack){.narrow = tensor(MOST_ROWS, D, false),
                        .wide = tensor(MOST_ROWS, FFN, false),
                        .out = tensor(MOST_ROWS, FFN, false),
                        .unit = tensor(1, FFN, true)};
    for (; s->n < 6 * layers; s->n++) {
        const int64_t *shape = shapes[s->n % 6];
        s->w[s->n] = weight(shape[0], shape[1]);
        s->products += (double)(shape[0] * shape[1]);
    }
}

static struct berth_tensor part(struct berth_tensor t, int64_t rows, int64_t cols) {
    t.rows = rows;
    t.cols = t.row_stride = cols;
    return t;
}

static void measure(const struct stack *s, const char *what, int64_t rows, bool apart) {
    struct berth_op ops[MOST_OPS];
    struct berth_program *p;
    const uint32_t live[BERTH_MAX_LIVE] = {0};
    double best = 1e9;
    for (int i = 0; i < s->n; i++) {
        const struct berth_weight *w = s->w[i];
        ops[i] = (struct berth_op){.kind = BERTH_OP_LINEAR, .live = -1, .apart = apart};
        ops[i].u.linear =
            (struct berth_op_linear){.x = part(w->k == D ? s->narrow : s->wide, rows, w->k),
                                     .y = part(s->out, rows, w->n),
                                     .w = w,
                                     .eights = {.alpha = 100, .unit = part(s->unit, 1, w->n)}};
    }
    if (device->ops->program_create(device, &bytes, ops, (size_t)s->n, &p, NULL) < 0) {
        die("no program");
    }
    for (int i = 0; i < TIMES; i++) {
        const double t = seconds();
        device->ops->program_run(p, live, NULL);
        const double d = seconds() - t;
        best = d < best ? d : best;
    }
    device->ops->program_destroy(p);
    printf("%s, %3d rows%s: %.0f us, %.0f %% of the limit\n", what, (int)rows,
           apart ? ", apart" : "", best * 1e6, s->products * (double)rows / best / peak * 100);
}

int main(int argc, char **argv) {
    static const int64_t step_rows[] = {1, 2, 4, 7, 8, 16, 32},
                         encode_rows[] = {16, 24, 35, 48, 96};
    const struct bth_cpu_config config = {.threads = argc > 1 ? atoi(argv[1]) : bth_cpu_count(),
                                          .cap = BTH_CPU_AVX512};
    static struct stack encoder, decoder;
    bth_reservation_init(&bytes, BERTH_BYTES_WORKSPACE, SIZE_MAX / 2);
    if (bth_cpu_open(&config, &device, NULL) < 0) {
        die("no device");
    }
    measure_peak(config.threads);
    make(&decoder, 2);
    make(&encoder, 6);
    for (int apart = 0; apart < 2; apart++) {
        for (size_t i = 0; i < sizeof(step_rows) / sizeof(step_rows[0]); i++) {
            measure(&decoder, "step", step_rows[i], apart);
        }
        for (size_t i = 0; i < sizeof(encode_rows) / sizeof(encode_rows[0]); i++) {
            measure(&encoder, "encoder", encode_rows[i], apart);
        }
    }
    return 0; /* the end of the process takes the rest down */
}

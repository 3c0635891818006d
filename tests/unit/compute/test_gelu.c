/* exp and GELU of the CPU kernels: against libm in double, and the same bits on every set. */
#include "compute/cpu/kernels.h"
#include "lib/test.h"

enum { N = 4001 };

static const struct bth_kernels *usable(int i) {
#if defined(__x86_64__)
    if (i == 0 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) {
        return bth_kernels_avx512();
    }
    if (i == 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return bth_kernels_avx2();
    }
#endif
    return i == 2 ? bth_kernels_scalar() : NULL;
}

static void check_exp(const struct bth_kernels *k) {
    float x[N], y[N];
    for (int block = 0; block < 40; block++) {
        for (int i = 0; i < N; i++) {
            x[i] = -87.0f + (float)(block * N + i) * (174.0f / (40 * N));
        }
        k->exp(x, y, N);
        for (int i = 0; i < N; i++) {
            const double want = exp((double)x[i]);
            CHECK_NEAR(y[i] / want, 1, 1.3e-7);
        }
    }
    const float edge[4] = {-INFINITY, -1000, 0, -0.0f};
    k->exp(edge, y, 4);
    CHECK(y[0] == 0 && y[1] == 0 && y[2] == 1 && y[3] == 1);
}

static void check_gelu(const struct bth_kernels *k) {
    float x[N], y[N];
    double worst = 0;
    for (int block = 0; block < 40; block++) {
        for (int i = 0; i < N; i++) {
            x[i] = -12.0f + (float)(block * N + i) * (24.0f / (40 * N));
        }
        k->gelu(x, y, N);
        for (int i = 0; i < N; i++) {
            const double want = 0.5 * (double)x[i] * erfc(-(double)x[i] / sqrt(2));
            /* half an ulp of the result is unavoidable; the rest is ours */
            const double excess = fabs((double)y[i] - want) - fabs(want) * 0x1p-24;
            worst = excess > worst ? excess : worst;
        }
    }
    CHECK(worst < 1e-7);
    const float edge[4] = {-100, -INFINITY, 100, 0};
    k->gelu(edge, y, 4);
    CHECK(fabsf(y[0]) < 1e-7f && y[2] == 100 && y[3] == 0);
}

int main(void) {
    float x[N], y[3][N], g[3][N];
    unsigned long long seed = 7;
    for (int i = 0; i < N; i++) {
        x[i] = test_randf(&seed) * 60.0f;
    }
    const struct bth_kernels *scalar = usable(2);
    for (int i = 2; i >= 0; i--) {
        const struct bth_kernels *k = usable(i);
        if (!k) {
            continue;
        }
        check_exp(k);
        check_gelu(k);
        k->exp(x, y[i], N);
        k->gelu(x, g[i], N);
        scalar->exp(x, y[2], N);
        CHECK(memcmp(y[i], y[2], sizeof(y[i])) == 0 && memcmp(g[i], g[2], sizeof(g[i])) == 0);
    }
    return 0;
}

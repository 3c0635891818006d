/*
 * The CPU backend against the oracle, op by op: the same bytes where the result is a chain of fused
 * products or a copy, close elsewhere. For every instruction set that BERTH_CPU can ask for.
 */
#include "compute/compute.h"
#include "lib/test.h"
#include "op_cases.h"

enum { MAX_CASES = 320 };

int main(void) {
    static const char *const isas[] = {"scalar", "avx2", "avx512"};
    static struct op_case cases[MAX_CASES];
    const int n = op_cases_make(cases, MAX_CASES);
    struct berth_device *ref, *cpu[3];
    struct berth_error err;
    CHECK(n <= MAX_CASES);
    CHECK_OK(bth_ref_open(&ref, &err), err);
    for (int i = 0; i < 3; i++) {
        const struct bth_cpu_config config = {.threads = 1 + i % 2, .cap = BTH_CPU_AVX512};
        setenv("BERTH_CPU", isas[i], 1);
        CHECK_OK(bth_cpu_open(&config, &cpu[i], &err), err);
        bth_cpu_together(cpu[i]);
    }
    for (int i = 0; i < n; i++) {
        const size_t bytes = op_case_row_bytes(&cases[i]) * (size_t)cases[i].rows;
        void *want = malloc(bytes), *got = malloc(bytes);
        op_case_run(&cases[i], ref, 0, cases[i].rows, want);
        for (int d = 0; d < 3; d++) {
            op_case_run(&cases[i], cpu[d], 0, cases[i].rows, got);
            op_case_compare(&cases[i], got, want, cases[i].rows, false, cpu[d]->description);
        }
        free(want);
        free(got);
    }
    for (int i = 0; i < 3; i++) {
        cpu[i]->ops->close(cpu[i]);
    }
    ref->ops->close(ref);
    return 0;
}

/*
 * A row has the same bytes alone and in company, at every position, with every team size and on
 * every instruction set: for all ops, placings and live counts of op_cases.h.
 */
#include "base/compiler.h"
#include "compute/compute.h"
#include "lib/test.h"
#include "op_cases.h"

enum { MAX_CASES = 320, DEVICES = 9, ISAS = 3 };

static const char *const isas[ISAS] = {"scalar", "avx2", "avx512"};

static void open_all(struct berth_device **devices) {
    struct berth_error err;
    for (int i = 0; i < DEVICES; i++) {
        const struct bth_cpu_config config = {.threads = 1 + i / ISAS, .cap = BTH_CPU_AVX512};
        setenv("BERTH_CPU", isas[i % ISAS], 1);
        CHECK_OK(bth_cpu_open(&config, &devices[i], &err), err);
        bth_cpu_together(devices[i]);
    }
}

/* Parts of the case: batches of growing sizes, each size at several offsets, every one on the
 * next device, so that all come up together over the cases. */
static void parts(const struct op_case *c, struct berth_device **devices, const char *want,
                  char *got) {
    const size_t row = op_case_row_bytes(c);
    int d = (int)(c->seed % DEVICES);
    for (int64_t n = 1; n <= BTH_MIN(c->rows, 33); n += 1 + n / 2) {
        for (int64_t first = (int64_t)(c->seed % 3); first + n <= c->rows; first += n + 2) {
            struct berth_device *device = devices[d++ % DEVICES];
            op_case_run(c, device, first, n, got);
            op_case_compare(c, got, want + (size_t)first * row, n, true, device->description);
        }
    }
}

int main(void) {
    static struct op_case cases[MAX_CASES];
    struct berth_device *devices[DEVICES];
    const int n = op_cases_make(cases, MAX_CASES);
    CHECK(n <= MAX_CASES);
    open_all(devices);
    for (int i = 0; i < n; i++) {
        if (i % 7 > 3) { /* some are left out, for time; 7 has no part in how cases are made */
            continue;
        }
        const struct op_case *c = &cases[i];
        const size_t bytes = op_case_row_bytes(c) * (size_t)c->rows;
        char *want = malloc(bytes), *got = malloc(bytes);
        op_case_run(c, devices[0], 0, c->rows, want);
        for (int d = 1; d < DEVICES; d++) {
            op_case_run(c, devices[d], 0, c->rows, got);
            op_case_compare(c, got, want, c->rows, true, devices[d]->description);
        }
        parts(c, devices, want, got);
        free(want);
        free(got);
    }
    for (int d = 0; d < DEVICES; d++) {
        devices[d]->ops->close(devices[d]);
    }
    return 0;
}

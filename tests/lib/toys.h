/* tests/lib/toys.h - a manager of this process with these models and nothing else, for tests. */
#ifndef BTH_TEST_TOYS_H
#define BTH_TEST_TOYS_H

#include "lib/test.h"
#include <berth/berth.h>

/* One thread, 100 MB, no file. */
static inline struct berth *test_open_models(const struct berth_model_spec *specs, size_t n) {
    struct berth_config config = BERTH_CONFIG_INIT;
    struct berth_error err;
    struct berth *b;
    config.file = "";
    config.models = specs;
    config.n_models = n;
    config.cpu_memory_bytes = 100000000;
    config.threads = 1;
    CHECK_OK(berth_open(&config, &b, &err), err);
    return b;
}

#endif

/* tests/lib/remote.h - the calls that every test of a daemon's client begins with. */
#ifndef BTH_TEST_REMOTE_H
#define BTH_TEST_REMOTE_H

#include "lib/test.h"
#include <berth/berth.h>

static inline struct berth *remote_open(const char *address) {
    struct berth_config c = BERTH_CONFIG_INIT;
    struct berth *b;
    struct berth_error err;
    c.server = address;
    CHECK_OK(berth_open(&c, &b, &err), err);
    return b;
}

static inline struct berth_lease *remote_acquire(struct berth *b, const char *model) {
    struct berth_lease *lease;
    struct berth_error err;
    CHECK_OK(berth_acquire(b, model, NULL, &lease, &err), err);
    return lease;
}

static inline struct berth_request remote_toy(const struct berth_option *options, size_t n) {
    struct berth_request r = BERTH_REQUEST_INIT;
    r.input = (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = "hallo", .size = 5};
    r.options = options;
    r.n_options = n;
    return r;
}

#endif

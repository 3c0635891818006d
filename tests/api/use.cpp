// Everything that a C++ program uses first: initialisers, handles, results.
#include <berth/berth.h>

int use_from_cpp(void);

int use_from_cpp(void) {
    berth_config config = BERTH_CONFIG_INIT;
    berth_acquire_options options = BERTH_ACQUIRE_INIT;
    berth_request request = BERTH_REQUEST_INIT;
    berth *b = nullptr;
    berth_lease *lease = nullptr;
    berth_item *item = nullptr;
    berth_error err = {};
    int rc = berth_open(&config, &b, &err);
    if (rc == 0) {
        rc = berth_acquire(b, "whisper/base", &options, &lease, &err);
    }
    if (rc == 0) {
        rc = berth_run(lease, &request, &item, &err);
    }
    berth_item_free(item);
    berth_release(lease);
    berth_close(b, -1, &err);
    return rc == BERTH_EINVAL ? berth_version()[0] : rc;
}

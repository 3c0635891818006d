/* Any bytes as a configuration. */
#include "api/config.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct berth_error err;
    struct bth_config c;
    if (bth_config_parse("/etc/b.yaml", (const char *)data, size, &c, &err) == 0) {
        for (size_t i = 0; i < c.n_models; i++) {
            if (!c.models[i].name[0] || !c.models[i].path[0]) {
                abort();
            }
        }
        bth_config_finish(&c);
    }
    return 0;
}

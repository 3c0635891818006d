/* Any bytes as an urlencoded form: an object of texts, or a refusal. */
#include "lib/test.h"
#include "server/values.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct berth_error err;
    json_t *object = json_object();
    const char *key;
    json_t *value;
    CHECK(object);
    if (bth_values_urlencoded(object, (const char *)data, size, &err) == 0) {
        json_object_foreach(object, key, value) {
            CHECK(json_is_string(value) &&
                  !memchr(json_string_value(value), '\r', json_string_length(value)));
        }
    }
    json_decref(object);
    return 0;
}

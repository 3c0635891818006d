/* JSON bodies become fields, or an error; then each kind of taking. */
#include "server/json_body.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct bth_form f;
    struct berth_option rest[BTH_FORM_FIELDS];
    const char *model;
    int64_t n;
    bool flag;
    f = (struct bth_form){0};
    if (bth_json_body(&f, (const char *)data, size, NULL) == 0) {
        bth_form_take(&f, "model", &model, NULL);
        bth_form_take_int(&f, "wait_ms", (int64_t[]){-1, 1000}, -1, &n, NULL);
        bth_form_take_bool(&f, "stream", false, &flag, NULL);
        bth_form_take_rest(&f, rest, NULL);
    }
    bth_form_finish(&f);
    return 0;
}

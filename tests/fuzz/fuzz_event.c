/* The daemon's JSON lines, cut into blocks by the first byte, and refusals. */
#include "base/compiler.h"
#include "client/event.h"
#include <stdint.h>

static int take_line(void *arg, const char *text, size_t n, struct berth_error *err) {
    struct bth_event e;
    (void)arg;
    if (bth_event_parse(text, n, &e, err) == 0 && e.kind == BTH_EVENT_ITEM) {
        berth_item_free(e.item);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bth_lines lines = {0};
    struct berth_error err;
    size_t block = size ? (size_t)data[0] + 1 : 1;
    for (size_t i = 0; i < size; i += block) {
        bth_lines_feed(&lines, (const char *)data + i, BTH_MIN(block, size - i), take_line, NULL,
                       &err);
    }
    bth_lines_finish(&lines);
    bth_event_refusal(400, (const char *)data, size, &err);
    return 0;
}

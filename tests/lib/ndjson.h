/* tests/lib/ndjson.h - a final item as the line that a daemon writes, for the client's reader. */
#ifndef BTH_TEST_NDJSON_H
#define BTH_TEST_NDJSON_H

#include "base/alloc.h"
#include "client/event.h"
#include "lib/test.h"
#include "server/exchange.h"

/* Without its end of line; bth_free() it. */
static inline char *ndjson_line(const struct berth_item *item) {
    struct bth_str out = {0};
    bth_reply_ndjson.final(&out, item, 0);
    CHECK(!out.failed && out.data[out.size - 1] == '\n');
    out.data[out.size - 1] = '\0';
    return out.data;
}

/* Writes and reads it with each allocation failing in turn: ENOMEM and nothing left, or all of it.
 */
static inline void ndjson_no_memory(const struct berth_item *item) {
    char *line = ndjson_line(item);
    const int64_t live = bth_alloc_live();
    bool again = true;
    for (int64_t n = 1; again; n++) {
        struct bth_str out = {0};
        struct bth_event e = {0};
        struct berth_error err;
        bth_alloc_fail_at(n);
        bth_reply_ndjson.final(&out, item, 0);
        int rc = bth_event_parse(line, strlen(line), &e, &err);
        again = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK(rc == (again && !out.failed ? BERTH_ENOMEM : 0));
        berth_item_free(e.item);
        bth_str_finish(&out);
        CHECK_INT(bth_alloc_live(), live);
    }
    bth_free(line);
}

#endif

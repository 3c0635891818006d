/* tests/lib/parsed.h - a reader of weights put before bytes, as lib/bytes.h calls it. */
#ifndef BTH_TEST_PARSED_H
#define BTH_TEST_PARSED_H

#include "format/source_internal.h"
#include "lib/test.h"

struct parsed {
    int (*reader)(struct bth_source *s, const unsigned char *data, size_t n,
                  struct berth_error *err);
    bool keep; /* in: what was read is kept */
    struct berth_error err;
    struct bth_source *source; /* the caller's, if kept */
};

/* user: a struct parsed */
static inline int parsed_read(const unsigned char *data, size_t n, void *user) {
    struct parsed *p = user;
    struct bth_source *s = bth_source_create();
    if (!s) {
        return BERTH_ENOMEM;
    }
    int rc = p->reader(s, data, n, &p->err);
    if (rc == 0 && p->keep) {
        p->source = s;
    } else {
        bth_source_close(s);
    }
    return rc;
}

#endif

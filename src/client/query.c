#include "client/query.h"

#include "base/error.h"
#include "base/str.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { MAX_MS = 86400000 }; /* a day: the daemon's limit */

static void put_encoded(struct bth_str *out, const char *text) {
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool plain = *p < 0x80 && (isalnum(*p) || strchr("-._~/", *p));
        bth_str_printf(out, plain ? "%c" : "%%%02X", *p);
    }
}

static void put(struct bth_str *out, const char *name, const char *value) {
    bth_str_putc(out, strchr(bth_str_text(out), '?') ? '&' : '?');
    put_encoded(out, name);
    bth_str_putc(out, '=');
    put_encoded(out, value);
}

int bth_query_run(const char *model, const char *lease, const struct berth_request *r, char **out,
                  struct berth_error *err) {
    struct bth_str path = {0};
    char number[32];
    bth_str_puts(&path, "/v1/run");
    put(&path, "model", model);
    put(&path, "lease", lease);
    if (r->stream) {
        put(&path, "stream", "true");
    }
    snprintf(number, sizeof(number), "%d", r->priority);
    put(&path, "priority", number);
    if (r->deadline_ms > 0) {
        snprintf(number, sizeof(number), "%lld",
                 (long long)(r->deadline_ms < MAX_MS ? r->deadline_ms : MAX_MS));
        put(&path, "timeout_ms", number);
    }
    for (size_t i = 0; i < r->n_options && path.size <= BTH_QUERY_BYTES; i++) {
        put(&path, r->options[i].name, r->options[i].value);
    }
    if (path.failed || path.size > BTH_QUERY_BYTES) {
        bool failed = path.failed;
        bth_str_finish(&path);
        return failed ? bth_error_nomem(err)
                      : bth_error(err, BERTH_ETOOLARGE,
                                  "the options are longer than %d bytes, which is all that a "
                                  "daemon takes: shorten the prompt",
                                  BTH_QUERY_BYTES);
    }
    *out = path.data;
    return 0;
}

void bth_query_caller(const char *caller, char out[BTH_CALLER_TEXT]) {
    static const char allowed[] = "._-:/=+@";
    enum { MOST = BTH_CALLER_TEXT - 1, HASH = 17 };
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)caller; *p; p++, n++) {
        if (n < MOST) {
            out[n] = (*p < 0x80 && isalnum(*p)) || strchr(allowed, *p) ? (char)*p : '_';
        }
        hash = (hash ^ *p) * UINT64_C(1099511628211);
    }
    out[n < MOST ? n : MOST] = '\0';
    if (n > MOST) {
        snprintf(out + MOST - HASH, HASH + 1, "-%016llx", (unsigned long long)hash);
    }
}

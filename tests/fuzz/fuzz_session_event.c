/* A line of a session's stream: what is read is in its bounds, whatever the daemon says. */
#include "client/session_event.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bth_session_event e;
    struct berth_error err;
    if (bth_session_event_parse((const char *)data, size, &e, &err) < 0) {
        return 0;
    }
    if (memchr(e.session, 0, sizeof(e.session)) == NULL ||
        memchr(e.model, 0, sizeof(e.model)) == NULL ||
        (e.kind == BTH_SESSION_REFUSED && e.error.code >= 0) ||
        e.session[strspn(e.session, "0123456789abcdef")] != 0) {
        abort();
    }
    return 0;
}

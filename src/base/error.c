#include "base/error.h"

#include "base/str.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

BTH_EXPORT const char *berth_error_name(int code) {
    switch (code) {
    case 0:
        return "OK";
#define BTH_X(name, number, text)                                                                  \
    case -(number):                                                                                \
        return #name;
        BERTH_ERROR_MAP(BTH_X)
#undef BTH_X
    default:
        return "EUNKNOWN";
    }
}

BTH_EXPORT const char *berth_strerror(int code) {
    switch (code) {
    case 0:
        return "success";
#define BTH_X(name, number, text)                                                                  \
    case -(number):                                                                                \
        return text;
        BERTH_ERROR_MAP(BTH_X)
#undef BTH_X
    default:
        return "unknown error";
    }
}

BTH_EXPORT bool berth_error_retryable(int code) {
    switch (code) {
    case BERTH_ENOMEM:
    case BERTH_ETIMEDOUT:
    case BERTH_EBUSY:
    case BERTH_EOVERLOADED:
    case BERTH_ESHUTDOWN:
    case BERTH_ELOST:
    case BERTH_EREVOKED:
    case BERTH_EDEVICE:
        return true;
    default:
        return false;
    }
}

/* A message may quote strangers' bytes: what is not UTF-8 becomes '?', and half a character at the
 * end goes where the message was cut to `size`. */
static void clean_utf8(char *s, size_t size) {
    const size_t n = strlen(s);
    for (size_t i = 0; i < n;) {
        uint32_t c;
        const size_t used = bth_utf8_decode(s + i, n - i, &c);
        if (!bth_utf8_valid(s + i, used)) {
            memset(s + i, i + used == n && n + 1 == size ? '\0' : '?', used);
        }
        i += used;
    }
}

int bth_error(struct berth_error *err, int code, const char *fmt, ...) {
    if (err) {
        va_list args;
        va_start(args, fmt);
        err->code = code;
        vsnprintf(err->message, sizeof(err->message), fmt, args);
        va_end(args);
        clean_utf8(err->message, sizeof(err->message));
    }
    return code;
}

void bth_error_prefix(struct berth_error *err, const char *fmt, ...) {
    if (!err) {
        return;
    }
    char old[sizeof(err->message)];
    memcpy(old, err->message, sizeof(old));
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->message, sizeof(err->message), fmt, args);
    va_end(args);
    size_t n = strlen(err->message);
    snprintf(err->message + n, sizeof(err->message) - n, "%s", old);
    clean_utf8(err->message, sizeof(err->message));
}

void bth_error_of_file(struct berth_error *err, const char *path) {
    if (err && !strstr(err->message, path)) {
        bth_error_prefix(err, "%s: ", path);
    }
}

int bth_error_nomem(struct berth_error *err) {
    return bth_error(err, BERTH_ENOMEM, "out of memory: free some, or lower the number of jobs");
}

int bth_error_copy(struct berth_error *to, const struct berth_error *from) {
    if (to && from != to) {
        *to = *from;
    }
    return from->code;
}

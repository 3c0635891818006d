#include "base/error.h"

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
    case BERTH_EDEVICE:
        return true;
    default:
        return false;
    }
}

/* Cuts s to fit `size` without leaving half a UTF-8 sequence at the end. */
static void trim_utf8(char *s, size_t size) {
    size_t n = strlen(s);
    if (n + 1 < size) {
        return;
    }
    size_t start = n;
    while (start > 0 && ((unsigned char)s[start - 1] & 0xC0) == 0x80) {
        start--;
    }
    if (start == 0) {
        return;
    }
    unsigned char lead = (unsigned char)s[start - 1];
    size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (n - (start - 1) < need) {
        s[start - 1] = '\0';
    }
}

int bth_error(struct berth_error *err, int code, const char *fmt, ...) {
    if (err) {
        va_list args;
        va_start(args, fmt);
        err->code = code;
        vsnprintf(err->message, sizeof(err->message), fmt, args);
        va_end(args);
        trim_utf8(err->message, sizeof(err->message));
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
    trim_utf8(err->message, sizeof(err->message));
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

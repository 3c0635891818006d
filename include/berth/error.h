/*
 * berth/error.h - the errors of every Berth call.
 *
 * Fallible functions return 0 (or a count) on success and a negative code on failure. The last
 * parameter of most is a `struct berth_error *err`, which may be NULL, belongs to the caller and
 * is filled on failure only: the code, and one sentence that says what is wrong and what to do.
 * There is no thread-local "last error": requests change threads.
 */
#ifndef BERTH_ERROR_H
#define BERTH_ERROR_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, number, text). Numbers are part of the ABI: append only. */
#define BERTH_ERROR_MAP(X)                                                                         \
    X(EINVAL, 1, "invalid argument or option")                                                     \
    X(ENOMEM, 2, "out of memory")                                                                  \
    X(EBUDGET, 3, "the device's memory budget cannot hold this")                                   \
    X(ENOTFOUND, 4, "no such model or file")                                                       \
    X(EFORMAT, 5, "damaged or unsupported model file")                                             \
    X(EAUDIO, 6, "unreadable audio")                                                               \
    X(EUNSUPPORTED, 7, "not supported")                                                            \
    X(ETIMEDOUT, 8, "timed out")                                                                   \
    X(ECANCELLED, 9, "cancelled")                                                                  \
    X(EBUSY, 10, "in use")                                                                         \
    X(EIO, 11, "input or output error")                                                            \
    X(EOVERLOADED, 12, "queue full")                                                               \
    X(ESHUTDOWN, 13, "shutting down")                                                              \
    X(ELOST, 14, "the lease was lost")                                                             \
    X(EDEVICE, 15, "device failure")                                                               \
    X(ETOOLARGE, 16, "over a limit")                                                               \
    X(ESTATE, 17, "not possible in this state")                                                    \
    X(EFORKED, 18, "handle inherited through fork")                                                \
    X(EINTERNAL, 19, "internal error, please report it")                                           \
    X(EUPGRADE, 20, "exclusive access asked for inside one's own lease: release that first")       \
    X(EREVOKED, 21, "the lease was revoked: acquire a new one")                                    \
    X(EDEADLOCK, 22, "others wait for what the caller holds: release that first")                  \
    X(EDISABLED, 23, "the model is disabled")

enum berth_error_code {
#define BERTH_X(name, number, text) BERTH_##name = -(number),
    BERTH_ERROR_MAP(BERTH_X)
#undef BERTH_X
        BERTH_OK = 0
};

/* An error as it travels up: filled where it happened, prefixed with context on the way. */
struct berth_error {
    int code;          /* BERTH_E..., or 0 when nothing was stored */
    char message[252]; /* one sentence, UTF-8, always terminated */
};

/* The name of a code ("EFORMAT") and its general text. Never NULL; unknown codes say so.
 * Any thread. The strings are static. */
const char *berth_error_name(int code);
const char *berth_strerror(int code);

/* Whether trying the same call again later can succeed (time-outs, full queues, lost leases). */
bool berth_error_retryable(int code);

#ifdef __cplusplus
}
#endif
#endif

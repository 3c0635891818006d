/*
 * client/session_event.h - one line of a session's stream (server/session.h) as what it says.
 *
 * What comes is not trusted: every field has its kind, or the line is damaged. Lines of another
 * event are signs of life, or a newer daemon's.
 */
#ifndef BTH_SESSION_EVENT_H
#define BTH_SESSION_EVENT_H

#include <berth/error.h>
#include <stddef.h>
#include <stdint.h>

enum bth_session_event_kind {
    BTH_SESSION_ALIVE,
    BTH_SESSION_HELLO,   /* `session` */
    BTH_SESSION_GRANTED, /* `lease`, `model` */
    BTH_SESSION_REFUSED, /* `lease`, `error` */
    BTH_SESSION_REVOKED  /* `lease` */
};

enum { BTH_SESSION_TEXT = 40 };

struct bth_session_event {
    enum bth_session_event_kind kind;
    char session[BTH_SESSION_TEXT]; /* hexadecimal digits: it becomes part of a path */
    uint64_t lease;
    char model[64];
    struct berth_error error;
};

/* EIO (damaged), ENOMEM. Pure. */
int bth_session_event_parse(const char *line, size_t n, struct bth_session_event *out,
                            struct berth_error *err);

#endif

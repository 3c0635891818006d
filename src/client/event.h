/*
 * client/event.h - what the daemon says while it works: JSON lines back into items and errors.
 *
 *     {"event":"progress","done":x,"total":y}
 *     {"event":"item","partial":bool,"done":x,"total":y,"transcript":{...} | "text":"..."
 *      | "doc":{...} (event_doc.h) | "translation":{...} (event_translation.h)}
 *     {"event":"error","code":"EAUDIO","message":"..."}
 *
 * Numbers come with 17 digits, so every double is the one that was sent; null is NaN, "inf" and
 * "-inf" are what JSON has no number for. What comes is not trusted: every field has its kind, or
 * the answer is damaged (EIO). Unknown fields are passed over: newer daemons may send more.
 */
#ifndef BTH_EVENT_H
#define BTH_EVENT_H

#include "base/str.h"
#include <berth/error.h>
#include <berth/types.h>

enum bth_event_kind { BTH_EVENT_PROGRESS = 1, BTH_EVENT_ITEM, BTH_EVENT_ERROR };

struct bth_event {
    enum bth_event_kind kind;
    double done, total;
    struct berth_item *item; /* ITEM: the caller's to free */
    struct berth_error error;
};

/* One line, without its end. EIO (damaged), ENOMEM. Pure. */
int bth_event_parse(const char *line, size_t n, struct bth_event *out, struct berth_error *err);

/* The code of a name; 0: this version does not know it. */
int bth_event_code(const char *name);
/* The error in the body of an answer whose status is not 200. Always fills err; returns its code.
 */
int bth_event_refusal(int status, const char *body, size_t n, struct berth_error *err);

/*
 * Bytes as they come, cut into lines.
 */
struct bth_lines {
    struct bth_str rest; /* a line that has not ended yet */
};
enum { BTH_LINE_BYTES = 64 << 20 };
/* Calls line(arg, ...) for each that is complete; what is not 0 ends it and is the answer. Empty
 * lines are passed over. ETOOLARGE beyond BTH_LINE_BYTES, ENOMEM. */
int bth_lines_feed(struct bth_lines *l, const char *bytes, size_t n,
                   int (*line)(void *arg, const char *text, size_t n, struct berth_error *err),
                   void *arg, struct berth_error *err);
void bth_lines_finish(struct bth_lines *l);

#endif

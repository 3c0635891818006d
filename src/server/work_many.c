#include "server/work_many.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "sched/sched.h"
#include "server/exchange.h"

/* A client that reads slowly holds about this much; then no more is taken. */
enum { MAX_PENDING = 256 << 10 };

static struct bth_many_slot *slot(struct bth_many *m, size_t i) {
    return &m->slots[i % BTH_MANY_AT_ONCE];
}

/* A text's job, or the error that stands in its place. False: no room now, but there will be. */
static bool submit(struct bth_exchange *x) {
    struct bth_work *w = &x->work;
    struct bth_many *m = w->many;
    struct bth_many_slot *s = slot(m, m->submitted);
    w->request.input = m->texts[m->submitted];
    if (w->deadline != BTH_FOREVER) {
        w->request.deadline_ms = BTH_MAX(1, (w->deadline - bth_now()) / BTH_NS_PER_MS);
    }
    *s = (struct bth_many_slot){0};
    int rc = bth_sched_submit(w->sched, w->lease, &w->request, &s->job, &s->err);
    if (rc == BERTH_EOVERLOADED && m->submitted > m->answered) {
        return false;
    }
    m->submitted++;
    if (rc == 0) {
        bth_job_on_event(s->job, bth_work_job_event, x);
        if (w->cancelled) {
            bth_job_cancel(s->job);
        }
    }
    return true;
}

static void fill(struct bth_exchange *x) {
    struct bth_many *m = x->work.many;
    while (m->submitted < m->n && m->submitted - m->answered < BTH_MANY_AT_ONCE && submit(x)) {
    }
}

/* Appends what the oldest text has come to; false: it is still at work. */
static bool take(struct bth_work *w, struct bth_str *out) {
    struct bth_many *m = w->many;
    struct bth_many_slot *s = slot(m, m->answered);
    struct berth_item *item = NULL;
    int rc = s->err.code;
    while (s->job && !item) { /* progress is passed over */
        enum berth_job_state state = bth_job_state(s->job);
        bool ended = state == BERTH_JOB_DONE || state == BERTH_JOB_FAILED;
        rc = bth_job_next(s->job, 0, &item, &s->err);
        if (rc == BERTH_ETIMEDOUT && !ended) {
            return false;
        }
        if (rc < 0) {
            break;
        }
        if (item->kind != BERTH_ITEM_FINAL) {
            berth_item_free(item);
            item = NULL;
        }
    }
    bth_str_puts(out, m->answered ? m->between : m->open);
    if (item) {
        w->reply->final(out, item, w->at);
    } else {
        w->reply->failed(out, &s->err);
    }
    berth_item_free(item);
    bth_job_free(s->job);
    s->job = NULL;
    m->answered++;
    return true;
}

void bth_many_go(struct bth_exchange *x) {
    struct bth_work *w = &x->work;
    struct bth_many *m = w->many;
    struct bth_str text = {0};
    bool more = true;
    while (more && bth_stream_pending(x) < MAX_PENDING) {
        fill(x);
        more = m->answered < m->n && take(w, &text);
        if (text.size || text.failed) {
            bth_work_write(x, &text);
        }
    }
    if (m->answered == m->n) {
        bth_str_puts(&text, m->n ? "" : m->open);
        bth_str_puts(&text, m->close);
        bth_work_write(x, &text);
        bth_work_end_stream(x);
    }
    bth_str_finish(&text);
}

void bth_many_cancel(struct bth_many *m) {
    for (size_t i = m->answered; i < m->submitted; i++) {
        if (slot(m, i)->job) {
            bth_job_cancel(slot(m, i)->job);
        }
    }
}

void bth_many_destroy(struct bth_many *m) {
    if (!m) {
        return;
    }
    for (size_t i = 0; i < BTH_MANY_AT_ONCE; i++) {
        bth_job_free(m->slots[i].job);
    }
    bth_free(m->texts);
    bth_free(m);
}

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
        bth_outbox_on_event(bth_job_results(s->job), bth_work_job_event, x);
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

/* What the oldest text has come to, or its error; ETIMEDOUT with *out_wait: it is still at work. */
static int oldest(struct bth_many *m, struct berth_item **out, bool *out_wait,
                  struct berth_error *err) {
    struct bth_many_slot *s = slot(m, m->answered);
    int rc = s->err.code;
    *err = s->err;
    while (s->job) { /* progress is passed over */
        enum berth_job_state state = bth_job_state(s->job);
        bool ended = state == BERTH_JOB_DONE || state == BERTH_JOB_FAILED;
        struct berth_item *item = NULL;
        rc = bth_job_next(s->job, 0, &item, err);
        *out_wait = rc == BERTH_ETIMEDOUT && !ended;
        if (*out_wait) {
            return rc;
        }
        if (rc < 0 || item->kind == BERTH_ITEM_FINAL) {
            *out = item;
            break;
        }
        berth_item_free(item);
    }
    bth_job_free(s->job);
    s->job = NULL;
    return rc;
}

/* Appends what the oldest text has come to; false: it is still at work. */
static bool take(struct bth_work *w, struct bth_str *out) {
    struct bth_many *m = w->many;
    struct berth_item *item = NULL;
    struct berth_error err;
    bool wait = false;
    int rc = oldest(m, &item, &wait, &err);
    if (wait) {
        return false;
    }
    bth_str_puts(out, m->answered ? m->between : m->open);
    if (rc == 0) {
        w->reply->final(out, item, w->at);
    } else {
        w->reply->failed(out, &err);
    }
    berth_item_free(item);
    m->answered++;
    return true;
}

static void finish_gathering(struct bth_exchange *x) {
    struct bth_many *m = x->work.many;
    struct bth_str text = {0};
    struct berth_error err;
    int rc = m->gather->finish(x, &text, &err);
    if (rc < 0) {
        bth_work_fail(x, &err);
    } else if (rc == 0) {
        bth_histogram_add(&x->server->metrics.duration, bth_now() - x->began);
        bth_work_answer(x, &text);
    } else {
        m->submitted = m->answered = 0;
        bth_work_again(x);
    }
    bth_str_finish(&text);
}

static void gather(struct bth_exchange *x) {
    struct bth_many *m = x->work.many;
    struct berth_error err;
    fill(x);
    while (m->answered < m->n) {
        struct berth_item *item = NULL;
        bool wait = false;
        int rc = oldest(m, &item, &wait, &err);
        if (wait) {
            return;
        }
        rc = rc < 0 ? rc : m->gather->take(x, m->answered, item, &err);
        berth_item_free(item);
        if (rc < 0) {
            bth_work_fail(x, &err);
            return;
        }
        m->answered++;
        fill(x);
    }
    finish_gathering(x);
}

void bth_many_go(struct bth_exchange *x) {
    struct bth_work *w = &x->work;
    struct bth_many *m = w->many;
    struct bth_str text = {0};
    bool more = true;
    if (m->gather) {
        gather(x);
        return;
    }
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

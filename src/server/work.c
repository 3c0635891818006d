#include "server/work.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "server/conn.h"
#include "server/desk.h"
#include "server/exchange.h"
#include "server/json_text.h"
#include <stdio.h>
#include <string.h>

/* A client that reads slowly holds this much; then the job is parked. */
enum { MAX_PENDING = 256 << 10 };

/* ---- models ----------------------------------------------------------------------------------*/

/* The first model of a family, for OpenAI's clients that know one name only. */
static bool first_of(struct bth_manager *m, const char *family, char out[64]) {
    size_t n = bth_manager_models(m, NULL, sizeof(struct berth_model_stats), 0);
    struct berth_model_stats *all = bth_calloc(n, sizeof(*all));
    size_t have = all ? BTH_MIN(bth_manager_models(m, all, sizeof(*all), n), n) : 0;
    bool found = false;
    for (size_t i = 0; i < have && !found; i++) {
        found = strcmp(all[i].family, family) == 0;
        if (found) {
            snprintf(out, 64, "%s", all[i].name);
        }
    }
    bth_free(all);
    return found;
}

int bth_work_model(struct bth_exchange *x, const char *name,
                   const struct berth_engine_ops **out_engine, struct berth_error *err) {
    struct bth_manager *m = x->server->berth->manager;
    struct berth_model_stats stats;
    struct berth_error why;
    char alias[64];
    int rc = bth_manager_find(m, name, &stats, &why);
    if (rc < 0 && strcmp(name, "whisper-1") == 0 && first_of(m, "whisper", alias)) {
        rc = bth_manager_find(m, alias, &stats, &why);
    }
    if (rc < 0) {
        return bth_error_copy(err, &why);
    }
    const struct berth_engine_ops *engine = bth_manager_engine(m, stats.name, &why);
    if (!engine) {
        return bth_error_copy(err, &why);
    }
    snprintf(x->work.model, sizeof(x->work.model), "%s", stats.name);
    *out_engine = engine;
    return 0;
}

/* ---- the end ---------------------------------------------------------------------------------*/

static void release(struct bth_work *w) {
    bth_job_free(w->job);
    w->job = NULL;
    bth_many_destroy(w->many);
    w->many = NULL;
    if (w->held) {
        w->release(w->held);
        w->held = NULL;
    }
    if (w->session) {
        bth_session_close(w->session);
        w->session = NULL;
    }
    if (w->lease && !*w->ask.session) {
        if (w->sched) {
            bth_sched_cancel(w->sched, w->lease);
        }
        bth_lease_release(w->lease);
    }
    w->lease = NULL; /* a session's stays with it */
}

/* Before the answer: who has it may send the next request at once, and finds the place and the
 * model free. */
static void give_back(struct bth_exchange *x) {
    release(&x->work);
    bth_exchange_leave(x);
}

/* Answered or not: the desk is through with it. */
static void over(struct bth_exchange *x) {
    x->work.state = BTH_WORK_OVER;
    give_back(x);
    server_lock(x->server);
    bool listed = x->listed;
    x->listed = false;
    if (!x->closed) {
        x->conn->exchange = NULL;
    }
    server_unlock(x->server);
    if (listed) {
        bth_exchange_unref(x); /* the desk's */
    }
}

void bth_work_fail(struct bth_exchange *x, const struct berth_error *err) {
    struct bth_work *w = &x->work;
    bth_histogram_add(&x->server->metrics.duration, bth_now() - x->began);
    give_back(x);
    if (x->streaming) {
        struct bth_str text = {0};
        w->reply->failed(&text, err);
        bth_stream_write(x, &text);
        bth_stream_end(x);
        bth_str_finish(&text);
    } else {
        bth_answer_error(x, err, NULL);
    }
    over(x);
}

/* The client has left, or its time is up while nobody reads. */
void bth_work_drop(struct bth_exchange *x) {
    struct bth_work *w = &x->work;
    if (w->state == BTH_WORK_LEASE) {
        bth_acquire_cancel(&w->acquire); /* answered now, if not before */
        w->lease = w->acquire.lease;
    }
    bth_work_lease_leave(x);
    bth_count(&x->server->metrics.left);
    bth_answer_abandon(x);
    over(x);
}

/* ---- results ---------------------------------------------------------------------------------*/

void bth_work_write(struct bth_exchange *x, struct bth_str *text) {
    struct bth_work *w = &x->work;
    if (!x->streaming) {
        bth_stream_begin(x, w->reply->type);
    }
    bth_stream_write(x, text);
    w->beat_at = bth_now() + w->reply->beat_ms * BTH_NS_PER_MS;
}

void bth_work_end_stream(struct bth_exchange *x) {
    give_back(x);
    bth_stream_end(x);
    over(x);
}

void bth_work_answer(struct bth_exchange *x, struct bth_str *text) {
    give_back(x);
    bth_answer_json(x, text);
    over(x);
}

static void finish(struct bth_exchange *x, const struct berth_item *item) {
    struct bth_work *w = &x->work;
    struct bth_str text = {0};
    bth_histogram_add(&x->server->metrics.duration, bth_now() - x->began);
    bth_histogram_add(&x->server->metrics.compute, bth_now() - w->submitted);
    w->reply->final(&text, item, w->at);
    give_back(x);
    if (x->streaming) {
        bth_work_write(x, &text);
        bth_stream_end(x);
    } else if (text.failed) {
        struct berth_error err;
        bth_error_nomem(&err);
        bth_answer_error(x, &err, NULL);
    } else {
        bth_answer(x, 200, w->reply->type, &text);
    }
    bth_str_finish(&text);
    over(x);
}

/* Takes what the job has, as far as the client keeps up. */
static void take_results(struct bth_exchange *x) {
    struct bth_work *w = &x->work;
    while (w->state == BTH_WORK_JOB && bth_stream_pending(x) < MAX_PENDING) {
        enum berth_job_state state = bth_job_state(w->job);
        bool ended = state == BERTH_JOB_DONE || state == BERTH_JOB_FAILED;
        struct berth_item *item = NULL;
        struct berth_error err = {0};
        int rc = bth_job_next(w->job, 0, &item, &err);
        if (rc == BERTH_ETIMEDOUT && !ended) {
            return; /* nothing yet: a note will come */
        }
        if (rc < 0) {
            bth_work_fail(x, &err);
        } else if (item->kind == BERTH_ITEM_FINAL) {
            finish(x, item);
        } else if (w->reply->part) {
            struct bth_str text = {0};
            w->reply->part(&text, item, &w->at);
            bth_work_write(x, &text);
            bth_str_finish(&text);
        }
        berth_item_free(item);
    }
}

/* ---- lease and job ---------------------------------------------------------------------------*/

/* Any thread, with core's lock held. */
static void lease_answered(struct bth_acquire *acquire, int rc, const struct berth_error *err) {
    struct bth_exchange *x = BTH_CONTAINER(acquire, struct bth_exchange, work.acquire);
    x->work.lease_rc = rc;
    if (rc < 0) {
        x->work.lease_error = *err;
    }
    bth_desk_note(x, BTH_DESK_LEASE); /* publishes the two above */
}

void bth_work_job_event(void *exchange) {
    bth_desk_note(exchange, BTH_DESK_JOB);
}

static void acquire(struct bth_exchange *x) {
    struct bth_work *w = &x->work;
    struct berth_error err = {0};
    const struct bth_ask ask = {.holder = x->caller, .pid = w->ask.pid, .deadline = w->deadline};
    w->state = BTH_WORK_LEASE;
    w->acquire = (struct bth_acquire){.answered = lease_answered};
    if (bth_acquire_start(x->server->berth->manager, w->model, &ask, &w->acquire, &err) < 0) {
        bth_work_fail(x, &err);
    }
}

void bth_work_again(struct bth_exchange *x) {
    bth_lease_release(x->work.lease);
    x->work.lease = NULL;
    acquire(x);
}

static void submit(struct bth_exchange *x) {
    struct bth_work *w = &x->work;
    struct berth *b = x->server->berth;
    struct berth_error err = {0};
    w->submitted = bth_now();
    bth_histogram_add(&x->server->metrics.wait, w->submitted - w->began);
    if (w->deadline != BTH_FOREVER) {
        w->request.deadline_ms = BTH_MAX(1, (w->deadline - bth_now()) / BTH_NS_PER_MS);
    }
    if (!*w->ask.session) {
        w->sched = b->scheds[bth_lease_device(w->lease)];
    }
    if (w->many) {
        w->state = BTH_WORK_JOB;
        bth_many_go(x);
        return;
    }
    if (bth_sched_submit(w->sched, w->lease, &w->request, &w->job, &err) < 0) {
        bth_work_fail(x, &err);
        return;
    }
    w->state = BTH_WORK_JOB;
    bth_body_finish(&x->body); /* the job has its copy */
    bth_outbox_on_event(bth_job_results(w->job), bth_work_job_event, x);
}

static void begin(struct bth_exchange *x) {
    struct bth_work *w = &x->work;
    struct bth_manager *m = x->server->berth->manager;
    struct berth_error err = {0};
    int rc;
    w->began = bth_now();
    w->deadline = bth_deadline(w->began, w->wait_ms);
    w->beat_at = w->reply ? w->began + w->reply->beat_ms * BTH_NS_PER_MS : BTH_FOREVER;
    if (w->kind >= BTH_WORK_OPEN_SESSION) {
        bth_work_lease_begin(x);
        return;
    }
    if (w->kind == BTH_WORK_UNLOAD) {
        w->state = BTH_WORK_UNLOADING;
        rc = bth_work_check_pins(x, &err);
        rc = rc < 0 ? rc : bth_manager_unload_start(m, w->model, &w->mark, &err);
    } else if (*w->ask.session) {
        w->state = BTH_WORK_LEASE;
        rc = bth_work_lease_use(x, &err);
        if (rc == 0) {
            submit(x);
        }
    } else {
        acquire(x);
        return;
    }
    if (rc < 0) {
        bth_work_fail(x, &err);
    }
}

static void answer_model(struct bth_exchange *x) {
    struct bth_str text = {0};
    bth_str_putc(&text, '{');
    bth_json_put_string(&text, "model", x->work.model);
    bth_str_putc(&text, '}');
    bth_work_answer(x, &text);
}

static void leased(struct bth_exchange *x) {
    struct bth_work *w = &x->work;
    if (w->lease_rc < 0) {
        bth_work_fail(x, &w->lease_error);
        return;
    }
    w->lease = w->acquire.lease;
    if (w->cancelled) { /* granted at the last moment */
        struct berth_error err;
        bth_error(&err, BERTH_ESHUTDOWN, "the server is shutting down: try again later");
        bth_work_fail(x, &err);
    } else if (w->kind == BTH_WORK_LOAD) {
        answer_model(x);
    } else {
        submit(x);
    }
}

/* ---- from the desk ---------------------------------------------------------------------------*/

void bth_work_begin(struct bth_exchange *x) {
    x->work.ask.pid = x->conn->peer_known ? x->conn->pid : 0;
    x->work.ask.uid = x->conn->peer_known ? (int64_t)x->conn->uid : -1;
    server_lock(x->server);
    x->listed = true;
    server_unlock(x->server);
    bth_exchange_ref(x); /* the desk's, until it is over */
    bth_desk_note(x, BTH_DESK_BEGIN);
}

void bth_work_note(struct bth_exchange *x, unsigned notes) {
    struct bth_work *w = &x->work;
    if ((notes & BTH_DESK_BEGIN) && w->state == BTH_WORK_NONE) {
        begin(x);
    }
    if ((notes & BTH_DESK_GRANT) && w->session) {
        bth_session_look(w->session);
    }
    if ((notes & BTH_DESK_LEASE) && w->state == BTH_WORK_LEASE) {
        leased(x);
    }
    if ((notes & BTH_DESK_LEFT) && w->state != BTH_WORK_OVER) {
        bth_work_drop(x);
    }
    if ((notes & (BTH_DESK_JOB | BTH_DESK_ROOM)) && w->state == BTH_WORK_JOB) {
        if (w->many) {
            bth_many_go(x);
        } else {
            take_results(x);
        }
    }
}

static void cancel_work(struct bth_exchange *x) {
    struct bth_work *w = &x->work;
    w->cancelled = true;
    if (w->state == BTH_WORK_JOB && w->many) {
        bth_many_cancel(w->many);
    } else if (w->state == BTH_WORK_JOB) {
        bth_job_cancel(w->job);
    } else if (w->state == BTH_WORK_LEASE) {
        bth_acquire_cancel(&w->acquire);
    } else if (w->state == BTH_WORK_UNLOADING) {
        struct berth_error err;
        bth_error(&err, BERTH_ESHUTDOWN, "the server is shutting down; the unload goes on");
        bth_work_fail(x, &err);
    } else {
        bth_work_lease_cancel(x);
    }
}

static void time_is_up(struct bth_exchange *x) {
    struct bth_work *w = &x->work;
    if (w->state == BTH_WORK_UNLOADING) {
        struct berth_error err;
        bth_error(&err, BERTH_ETIMEDOUT,
                  "%s: still in use, unloads when its last lease and request have ended", w->model);
        bth_work_fail(x, &err);
    } else if (w->state == BTH_WORK_LEASE && !w->cancelled) {
        bth_acquire_tick(&w->acquire); /* its note is on the way */
    }
}

/* For those who look from outside, and for the next beat. */
static void note_progress(struct bth_exchange *x) {
    double done, total;
    const struct bth_many *m = x->work.many;
    if (m) {
        done = (double)m->answered;
        total = (double)m->n;
    } else {
        bth_outbox_progress(bth_job_results(x->work.job), &done, &total);
    }
    server_lock(x->server);
    x->done = done;
    x->total = total;
    server_unlock(x->server);
}

static void beat(struct bth_exchange *x) {
    struct bth_work *w = &x->work;
    struct bth_str text = {0};
    w->reply->beat(&text, x->done, x->total);
    bth_work_write(x, &text);
    bth_str_finish(&text);
}

void bth_work_tick(struct bth_exchange *x, int64_t now, bool cancel) {
    struct bth_work *w = &x->work;
    if (w->state == BTH_WORK_UNLOADING &&
        bth_manager_unloaded(x->server->berth->manager, w->model, w->mark)) {
        answer_model(x);
    }
    if (w->state == BTH_WORK_SESSION || w->state == BTH_WORK_WATCHING) {
        bth_work_lease_tick(x, now);
    }
    if (cancel && !w->cancelled && w->state != BTH_WORK_NONE && w->state != BTH_WORK_OVER) {
        cancel_work(x);
    }
    if (now >= w->deadline && w->state != BTH_WORK_OVER) {
        time_is_up(x);
    }
    if (w->state == BTH_WORK_JOB) {
        note_progress(x);
    }
    bool at_work = w->state == BTH_WORK_LEASE || w->state == BTH_WORK_JOB;
    if (at_work && w->reply && w->reply->streams && now >= w->beat_at &&
        bth_stream_pending(x) == 0) {
        beat(x);
    }
}

void bth_work_finish(struct bth_work *w) {
    release(w);
}

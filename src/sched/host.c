#include "sched/host.h"

#include "base/alloc.h"
#include "base/error.h"
#include <sys/resource.h>

enum { MAX_THREADS = 16, NICE = 5 };

struct bth_host {
    struct bth_mutex lock;
    struct bth_cond work;
    struct bth_list queue GUARDED_BY(pool);
    bool stopping GUARDED_BY(pool);
    struct bth_thread threads[MAX_THREADS];
    int n_threads;
};

BTH_LOCK(host, struct bth_host, lock, pool)

static void run(struct bth_job *job) {
    struct berth_session *session = job->session;
    int status = 0;
    struct berth_error error = {0}, failed = {0};
    struct berth_batch b = {.model = session->model,
                            .stage = job->want.stage,
                            .key = job->want.key,
                            .n = 1,
                            .sessions = &session,
                            .status = &status,
                            .errors = &error};
    int rc = session->model->ops->enqueue(&b, &failed);
    if (rc < 0 && failed.code >= 0) {
        bth_error(&failed, rc, "%s", berth_strerror(rc));
    }
    job->host_error = failed;
    job->host_turn = b.turn;
    bth_sched_note(job->sched, job, BTH_NOTE_HOST_DONE); /* publishes what was written here */
}

static void *host_main(void *arg) {
    struct bth_host *h = arg;
    /* on Linux the nice value is a thread's own */
    setpriority(PRIO_PROCESS, (id_t)bth_thread_id(), NICE);
    host_lock(h);
    for (;;) {
        struct bth_list *l = bth_list_first(&h->queue);
        if (l) {
            bth_list_remove(l);
            host_unlock(h);
            run(BTH_CONTAINER(l, struct bth_job, on_host));
            host_lock(h);
        } else if (h->stopping) {
            break;
        } else {
            bth_cond_wait(&h->work, &h->lock, INT64_MAX);
        }
    }
    host_unlock(h);
    return NULL;
}

static void init(struct bth_host *h) BTH_TSA(no_thread_safety_analysis);
static void init(struct bth_host *h) {
    bth_mutex_init(&h->lock, BTH_RANK_pool);
    bth_cond_init(&h->work);
    bth_list_init(&h->queue);
}

int bth_host_create(int threads, struct bth_host **out, struct berth_error *err) {
    struct bth_host *h = bth_calloc(1, sizeof(*h));
    if (!h) {
        return bth_error_nomem(err);
    }
    init(h);
    threads = BTH_MIN(threads, MAX_THREADS);
    for (; h->n_threads < threads; h->n_threads++) {
        if (bth_thread_start(&h->threads[h->n_threads], "berth-host", host_main, h) < 0) {
            bth_host_destroy(h);
            return bth_error_nomem(err);
        }
    }
    *out = h;
    return 0;
}

void bth_host_destroy(struct bth_host *h) {
    if (!h) {
        return;
    }
    host_lock(h);
    h->stopping = true;
    bth_cond_broadcast(&h->work);
    host_unlock(h);
    for (int i = 0; i < h->n_threads; i++) {
        bth_thread_join(&h->threads[i]);
    }
    bth_cond_finish(&h->work);
    bth_mutex_finish(&h->lock);
    bth_free(h);
}

void bth_host_run(struct bth_host *h, struct bth_job *job) {
    host_lock(h);
    bth_list_append(&h->queue, &job->on_host);
    bth_cond_signal(&h->work);
    host_unlock(h);
}

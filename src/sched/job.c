#include "sched/job.h"

#include "base/alloc.h"
#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* ---- create and free ---- */

static bool copy_text(struct bth_arena *a, const char **text) {
    if (*text) {
        *text = bth_arena_strndup(a, *text, strlen(*text));
        return *text != NULL;
    }
    return true;
}

static bool copy_options(struct bth_arena *a, struct berth_request *r) {
    struct berth_option *options = bth_arena_memdup(a, r->options, r->n_options * sizeof(*options));
    bool ok = options != NULL;
    for (size_t i = 0; ok && i < r->n_options; i++) {
        ok = copy_text(a, &options[i].name) && copy_text(a, &options[i].value);
    }
    r->options = options;
    return ok;
}

/* request is an older or newer caller's: only what it has is read. */
static int copy_request(struct bth_job *job, const struct berth_request *request,
                        struct berth_error *err) {
    struct berth_request *r = &job->request;
    size_t n = BTH_MIN((size_t)request->struct_size, sizeof(*r));
    memcpy(r, request, n);
    r->struct_size = sizeof(*r);
    bool ok = copy_options(&job->arena, r) && copy_text(&job->arena, &r->caller) &&
              copy_text(&job->arena, &r->input.path);
    if (ok && r->input.kind == BERTH_INPUT_FD) {
        r->input.fd = job->fd = fcntl(r->input.fd, F_DUPFD_CLOEXEC, 0);
        if (job->fd < 0 && errno == EMFILE) {
            return bth_error(err, BERTH_EOVERLOADED,
                             "this process has no descriptor left for the input: try again later");
        }
        return job->fd >= 0 ? 0 : bth_error(err, BERTH_EIO, "the input: %s", strerror(errno));
    }
    if (ok && r->input.data) {
        r->input.data = bth_arena_memdup(&job->arena, r->input.data, r->input.size);
        ok = r->input.data != NULL;
    }
    return ok ? 0 : bth_error_nomem(err);
}

/* The engine's sink. There is room: no turn is made of a job that has none for a turn's items. */
static int emit(struct berth_sink *sink, struct berth_item *item) {
    bth_outbox_put(&BTH_CONTAINER(sink, struct bth_job, sink)->results, item);
    return 0;
}

static void on_room(struct bth_outbox *results) {
    struct bth_job *job = BTH_CONTAINER(results, struct bth_job, results);
    bth_sched_note(job->sched, job, BTH_NOTE_ROOM);
}

static void drop_request(struct bth_job *job) {
    if (job->fd >= 0) {
        close(job->fd);
    }
    bth_arena_finish(&job->arena);
}

static void destroy(struct bth_job *job) {
    struct bth_sched *sched = job->sched;
    bth_outbox_finish(&job->results);
    drop_request(job);
    bth_free(job);
    if (sched) {
        bth_sched_unref(sched);
    }
}

int bth_job_create(const struct berth_request *request, size_t max_items, struct bth_job **out,
                   struct berth_error *err) {
    struct bth_job *job = bth_calloc(1, sizeof(*job));
    if (!job) {
        return bth_error_nomem(err);
    }
    bth_list_init(&job->all);
    bth_list_init(&job->inbox);
    bth_list_init(&job->active);
    bth_list_init(&job->on_host);
    job->fd = -1;
    job->sink.emit = emit;
    int rc = copy_request(job, request, err);
    if (rc == 0) {
        const size_t capacity = job->request.stream ? max_items : 0;
        rc = bth_outbox_init(&job->results, capacity, BERTH_MAX_EMIT, on_room, err);
    }
    if (rc < 0) {
        drop_request(job);
        bth_free(job);
        return rc;
    }
    *out = job;
    return 0;
}

void bth_job_ref(struct bth_job *job) {
    bth_outbox_ref(&job->results);
}

void bth_job_unref(struct bth_job *job) {
    if (bth_outbox_unref(&job->results)) {
        destroy(job);
    }
}

struct bth_outbox *bth_job_results(struct bth_job *job) {
    return &job->results;
}

int bth_job_next(struct bth_job *job, int64_t deadline, struct berth_item **out,
                 struct berth_error *err) {
    return bth_outbox_next(&job->results, deadline, out, err);
}

enum berth_job_state bth_job_state(struct bth_job *job) {
    return bth_outbox_state(&job->results);
}

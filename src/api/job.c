/* Requests. */
#include "api/handle.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include <string.h>

static int check_input(const struct berth_input *in, struct berth_error *err) {
    bool pcm = in->kind == BERTH_INPUT_PCM_F32 || in->kind == BERTH_INPUT_PCM_S16;
    if (in->kind < BERTH_INPUT_FILE || in->kind > BERTH_INPUT_FD) {
        return bth_error(err, BERTH_EINVAL, "the request has no input");
    }
    if (in->kind == BERTH_INPUT_FD) {
        return in->fd >= 0 ? 0 : bth_error(err, BERTH_EINVAL, "the input's fd is negative");
    }
    if (in->kind == BERTH_INPUT_FILE ? !in->path : !in->data && in->size) {
        return bth_error(err, BERTH_EINVAL, "the input's path or data is NULL");
    }
    if (pcm && (in->sample_rate_hz == 0 || in->channels == 0)) {
        return bth_error(err, BERTH_EINVAL, "raw samples need sample_rate_hz and channels");
    }
    return 0;
}

static int check_request(const struct berth_request *r, struct berth_error *err) {
    if (!r || r->struct_size < offsetof(struct berth_request, stream)) {
        return bth_error(err, BERTH_EINVAL, "a request must begin as BERTH_REQUEST_INIT");
    }
    if (r->priority < 0 || r->priority > 9 || r->deadline_ms < 0) {
        return bth_error(err, BERTH_EINVAL, "priority is 0 to 9, deadline_ms not negative");
    }
    if (r->n_options && !r->options) {
        return bth_error(err, BERTH_EINVAL, "n_options is %zu, but options is NULL", r->n_options);
    }
    for (size_t i = 0; i < r->n_options; i++) {
        if (!r->options[i].name || !r->options[i].value) {
            return bth_error(err, BERTH_EINVAL, "option %zu has no name or no value", i);
        }
    }
    return check_input(&r->input, err);
}

/* The caller's may be an older, shorter one. */
static struct berth_request this_version(const struct berth_request *request) {
    struct berth_request r = {0};
    memcpy(&r, request, BTH_MIN((size_t)request->struct_size, sizeof(r)));
    r.struct_size = sizeof(r);
    return r;
}

BTH_EXPORT int berth_check(struct berth *b, const char *model, const struct berth_request *request,
                           struct berth_error *err) {
    if (!b || !model) {
        return bth_error(err, BERTH_EINVAL, "berth_check needs a manager and a model");
    }
    int rc = bth_check_pid(b->pid, err);
    if (rc == 0) {
        rc = check_request(request, err);
    }
    if (rc < 0) {
        return rc;
    }
    struct berth_request r = this_version(request);
    return b->world->check(b, model, &r, err);
}

BTH_EXPORT int berth_submit(struct berth_lease *lease, const struct berth_request *request,
                            struct berth_job **out, struct berth_error *err) {
    if (!lease || !out) {
        return bth_error(err, BERTH_EINVAL, "berth_submit needs a lease and `out`");
    }
    int rc = bth_check_pid(lease->pid, err);
    if (rc == 0) {
        rc = check_request(request, err);
    }
    if (rc < 0) {
        return rc;
    }
    struct berth_job *job = bth_calloc(1, sizeof(*job));
    if (!job) {
        return bth_error_nomem(err);
    }
    job->pid = lease->pid;
    job->world = lease->world;
    struct berth_request r = this_version(request);
    rc = lease->world->submit(lease, &r, job, err);
    if (rc < 0) {
        bth_free(job);
        return rc;
    }
    *out = job;
    return 0;
}

/* NULL is no job, one from before fork() does not run here. */
static int check_job(const struct berth_job *job, struct berth_error *err) {
    return job ? bth_check_pid(job->pid, err) : bth_error(err, BERTH_EINVAL, "the job is NULL");
}

static struct bth_outbox *results(const struct berth_job *job) {
    return job->world->job_results(job);
}

BTH_EXPORT enum berth_job_state berth_job_state(const struct berth_job *job) {
    return check_job(job, NULL) < 0 ? BERTH_JOB_FAILED : bth_outbox_state(results(job));
}

BTH_EXPORT int berth_job_next(struct berth_job *job, int64_t timeout_ms, struct berth_item **out,
                              struct berth_error *err) {
    int rc = check_job(job, err);
    if (rc == 0 && !out) {
        rc = bth_error(err, BERTH_EINVAL, "berth_job_next needs `out`");
    }
    return rc < 0 ? rc
                  : bth_outbox_next(results(job), bth_deadline(bth_now(), timeout_ms), out, err);
}

BTH_EXPORT int berth_job_wait(struct berth_job *job, int64_t timeout_ms, struct berth_item **out,
                              struct berth_error *err) {
    int rc = check_job(job, err);
    if (rc == 0 && !out) {
        rc = bth_error(err, BERTH_EINVAL, "berth_job_wait needs `out`");
    }
    return rc < 0 ? rc
                  : bth_outbox_wait(results(job), bth_deadline(bth_now(), timeout_ms), out, err);
}

BTH_EXPORT void berth_job_progress(const struct berth_job *job, double *done, double *total) {
    double d = 0, t = 0;
    if (check_job(job, NULL) == 0) {
        bth_outbox_progress(results(job), &d, &t);
    }
    if (done) {
        *done = d;
    }
    if (total) {
        *total = t;
    }
}

BTH_EXPORT void berth_job_on_event(struct berth_job *job, void (*fn)(void *arg), void *arg) {
    if (check_job(job, NULL) == 0) {
        bth_outbox_on_event(results(job), fn, arg);
    }
}

BTH_EXPORT void berth_job_cancel(struct berth_job *job) {
    if (check_job(job, NULL) == 0) {
        job->world->job_cancel(job);
    }
}

BTH_EXPORT void berth_job_free(struct berth_job *job) {
    if (check_job(job, NULL) == 0) {
        job->world->job_free(job);
        bth_free(job);
    }
}

BTH_EXPORT int berth_run(struct berth_lease *lease, const struct berth_request *request,
                         struct berth_item **out, struct berth_error *err) {
    if (!out) {
        return bth_error(err, BERTH_EINVAL, "berth_run needs `out`");
    }
    struct berth_job *job;
    int rc = berth_submit(lease, request, &job, err);
    if (rc < 0) {
        return rc;
    }
    rc = berth_job_wait(job, -1, out, err);
    berth_job_free(job);
    return rc;
}

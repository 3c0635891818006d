/*
 * showcase.c - several callers, one copy of the weights: what ./run shows.
 *
 *     example_showcase MODEL FILE TEXT [FILE TEXT]...
 *
 * A thread per FILE takes a lease on MODEL and has the file transcribed, as independent callers
 * would; the main thread watches. Then each transcript stands beside the known TEXT.
 */
#define _POSIX_C_SOURCE 200809L
#include <berth/berth.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CALLERS = 64 };

struct caller {
    struct berth *berth;
    const char *model, *file, *text;
    pthread_t thread;
    pthread_mutex_t *lock;
    struct berth_job *job; /* while it runs; guarded by lock */
    struct berth_item *item;
    struct berth_error err;
    double seconds; /* from asking for the lease to the transcript */
    bool done;      /* guarded by lock */
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void transcribe(struct caller *c, struct berth_lease *lease) {
    const struct berth_option options[] = {{"language", "en"}};
    struct berth_request request = BERTH_REQUEST_INIT;
    request.input = (struct berth_input){.kind = BERTH_INPUT_FILE, .path = c->file};
    request.options = options;
    request.n_options = 1;
    request.caller = c->file;
    struct berth_job *job;
    if (berth_submit(lease, &request, &job, &c->err) < 0) {
        return;
    }
    pthread_mutex_lock(c->lock);
    c->job = job;
    pthread_mutex_unlock(c->lock);
    berth_job_wait(job, -1, &c->item, &c->err);
    pthread_mutex_lock(c->lock);
    c->job = NULL;
    pthread_mutex_unlock(c->lock);
    berth_job_free(job);
}

static void *call(void *arg) {
    struct caller *c = arg;
    double start = now();
    struct berth_lease *lease;
    if (berth_acquire(c->berth, c->model, NULL, &lease, &c->err) == 0) {
        transcribe(c, lease);
        berth_release(lease);
    }
    c->seconds = now() - start;
    pthread_mutex_lock(c->lock);
    c->done = true;
    pthread_mutex_unlock(c->lock);
    return NULL;
}

static void print_stats(const char *when, const struct berth_model_stats *m,
                        const struct berth_device_stats *d) {
    printf(
        "%-7s %s: %llu leases, %llu running, %llu waiting, %llu served, %llu failed, loaded %llu "
        "time(s), weights %.1f MB, sessions %.1f MB\n",
        when, m->name, (unsigned long long)m->leases, (unsigned long long)m->running,
        (unsigned long long)m->waiting, (unsigned long long)m->served,
        (unsigned long long)m->failed, (unsigned long long)m->loads, (double)m->weights_bytes / 1e6,
        (double)m->session_bytes / 1e6);
    printf("        %s (%s): %.1f of %.1f MB committed, %llu turns of %.2f rows, the longest %.1f "
           "ms\n",
           d->name, d->description, (double)d->committed_bytes / 1e6, (double)d->budget_bytes / 1e6,
           (unsigned long long)d->turns, d->turns ? (double)d->rows / (double)d->turns : 0.0,
           (double)d->longest_turn_us / 1e3);
}

static bool snapshot(struct berth *b, const char *model, struct berth_model_stats *m,
                     struct berth_device_stats *d) {
    struct berth_model_stats models[16];
    size_t n = berth_models(b, models, sizeof(*models), 16);
    berth_devices(b, d, sizeof(*d), 1);
    for (size_t i = 0; i < n && i < 16; i++) {
        if (strcmp(models[i].name, model) == 0) {
            *m = models[i];
            return true;
        }
    }
    return false;
}

/* Draws one line and says whether anyone is still at work. */
static bool show_progress(struct caller *callers, int n, const struct berth_model_stats *m) {
    double done = 0, total = 0;
    int ended = 0;
    pthread_mutex_lock(callers[0].lock);
    for (int i = 0; i < n; i++) {
        double d = 0, t = 0;
        if (callers[i].job) {
            berth_job_progress(callers[i].job, &d, &t);
        }
        done += d;
        total += t;
        ended += callers[i].done;
    }
    pthread_mutex_unlock(callers[0].lock);
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r%s, %d of %d done, %.0f of %.0f s of the others' sound, %llu at once   ",
                m->state == BERTH_MODEL_READY ? "at work" : "loading", ended, n, done, total,
                (unsigned long long)m->running);
    }
    return ended < n;
}

static void watch(struct berth *b, const char *model, struct caller *callers, int n) {
    struct berth_model_stats m = {0}, busiest = {0};
    struct berth_device_stats d = {0}, busiest_device = {0};
    do {
        nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
        if (snapshot(b, model, &m, &d) && m.running >= busiest.running) {
            busiest = m;
            busiest_device = d;
        }
    } while (show_progress(callers, n, &m));
    if (isatty(STDERR_FILENO)) {
        fputs("\r\033[K", stderr);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(callers[i].thread, NULL);
    }
    print_stats("during", &busiest, &busiest_device);
}

static int report(struct caller *callers, int n) {
    int failed = 0;
    for (int i = 0; i < n; i++) {
        struct caller *c = &callers[i];
        const char *slash = strrchr(c->file, '/');
        printf("\n%d  %s  (%.2f s)\n", i + 1, slash ? slash + 1 : c->file, c->seconds);
        printf("   known: %s\n", c->text);
        if (c->item) {
            const char *text = c->item->transcript->text;
            printf("   heard:%s%s\n", *text == ' ' ? "" : " ", text);
        } else {
            printf("   failed: %s\n", c->err.message);
            failed++;
        }
        berth_item_free(c->item);
    }
    printf("\n");
    return failed;
}

int main(int argc, char **argv) {
    int n = (argc - 2) / 2;
    if (argc < 4 || argc % 2 != 0 || n > MAX_CALLERS) {
        fprintf(stderr, "Usage: %s MODEL FILE TEXT [FILE TEXT]...\n", argv[0]);
        return 2;
    }
    const char *model = argv[1];
    struct berth_error err;
    struct berth *b;
    if (berth_open(NULL, &b, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    printf("%d callers, one model: %s\n", n, model);
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct caller callers[MAX_CALLERS] = {0};
    double start = now();
    for (int i = 0; i < n; i++) {
        callers[i] = (struct caller){.berth = b,
                                     .model = model,
                                     .file = argv[2 + 2 * i],
                                     .text = argv[3 + 2 * i],
                                     .lock = &lock};
        if (pthread_create(&callers[i].thread, NULL, call, &callers[i]) != 0) {
            fprintf(stderr, "cannot start a thread\n");
            return 1;
        }
    }
    watch(b, model, callers, n);
    double seconds = now() - start;
    int failed = report(callers, n);
    struct berth_model_stats m = {0};
    struct berth_device_stats d = {0};
    snapshot(b, model, &m, &d);
    print_stats("after", &m, &d);
    printf("all of it, loading included, took %.2f s\n", seconds);
    if (berth_close(b, 10000, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        failed++;
    }
    return failed ? 1 : 0;
}

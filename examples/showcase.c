/*
 * showcase.c - several callers, one copy of each model: what ./run shows.
 *
 *     example_showcase SPEECH THERE BACK LANGUAGE FILE TEXT [FILE TEXT]...
 *
 * A thread per FILE has it transcribed by the model SPEECH, the text translated by THERE and the
 * translation back by BACK, and analysed by LANGUAGE, as independent callers would; the main thread
 * watches. Then each transcript stands beside the known TEXT.
 */
#define _POSIX_C_SOURCE 200809L
#include <berth/berth.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CALLERS = 64, STEPS = 4, MAX_MODELS = 16 };

/* What is done with a file: each step has its model and works on what an earlier one has made. */
enum step { TRANSCRIBE, TRANSLATE, BACK, ANALYSE };

struct caller {
    struct berth *berth;
    const char *const *models; /* [STEPS] */
    const char *file, *text;
    pthread_t thread;
    pthread_mutex_t *lock;
    struct berth_job *job; /* while it runs; guarded by lock */
    struct berth_item *items[STEPS];
    struct berth_error err;
    double seconds; /* from asking for the first lease to the last result */
    bool done;      /* guarded by lock */
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const char *transcript(const struct caller *c) {
    const char *text = c->items[TRANSCRIBE]->transcript->text;
    return *text == ' ' ? text + 1 : text;
}

static struct berth_input input_of(const struct caller *c, enum step step) {
    if (step == TRANSCRIBE) {
        return (struct berth_input){.kind = BERTH_INPUT_FILE, .path = c->file};
    }
    const char *text = step == BACK ? c->items[TRANSLATE]->translation->text : transcript(c);
    return (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = text, .size = strlen(text)};
}

static int work(struct caller *c, enum step step, struct berth_lease *lease) {
    const struct berth_option english = {"language", "en"};
    struct berth_request request = BERTH_REQUEST_INIT;
    request.input = input_of(c, step);
    request.options = &english;
    request.n_options = step == TRANSCRIBE;
    request.caller = c->file;
    struct berth_job *job;
    int rc = berth_submit(lease, &request, &job, &c->err);
    if (rc < 0) {
        return rc;
    }
    pthread_mutex_lock(c->lock);
    c->job = job;
    pthread_mutex_unlock(c->lock);
    rc = berth_job_wait(job, -1, &c->items[step], &c->err);
    pthread_mutex_lock(c->lock);
    c->job = NULL;
    pthread_mutex_unlock(c->lock);
    berth_job_free(job);
    return rc;
}

static void *call(void *arg) {
    struct caller *c = arg;
    double start = now();
    int rc = 0;
    for (int step = 0; rc == 0 && step < STEPS; step++) {
        struct berth_lease *lease;
        rc = berth_acquire(c->berth, c->models[step], NULL, &lease, &c->err);
        if (rc == 0) {
            rc = work(c, (enum step)step, lease);
            berth_release(lease);
        }
    }
    c->seconds = now() - start;
    pthread_mutex_lock(c->lock);
    c->done = true;
    pthread_mutex_unlock(c->lock);
    return NULL;
}

/* One copy of each model, however many callers. */
static void print_models(struct berth *b, const char *const *wanted) {
    struct berth_model_stats models[MAX_MODELS];
    size_t n = berth_models(b, models, sizeof(*models), MAX_MODELS);
    printf("%-24s %6s %6s %6s %7s %12s\n", "MODEL", "LOADS", "SERVED", "FAILED", "LEASES",
           "WEIGHTS");
    for (size_t i = 0; i < n && i < MAX_MODELS; i++) {
        const struct berth_model_stats *m = &models[i];
        for (int step = 0; step < STEPS; step++) {
            if (strcmp(m->name, wanted[step]) == 0) {
                printf("%-24s %6llu %6llu %6llu %7llu %9.1f MB\n", m->name,
                       (unsigned long long)m->loads, (unsigned long long)m->served,
                       (unsigned long long)m->failed, (unsigned long long)m->leases,
                       (double)m->weights_bytes / 1e6);
            }
        }
    }
}

static void print_devices(struct berth *b) {
    struct berth_device_stats devices[MAX_MODELS];
    size_t n = berth_devices(b, devices, sizeof(*devices), MAX_MODELS);
    for (size_t i = 0; i < n && i < MAX_MODELS; i++) {
        const struct berth_device_stats *d = &devices[i];
        printf("%s (%s): %.1f of %.1f MB committed, %llu turns of %.2f rows, the longest %.1f ms\n",
               d->name, d->description, (double)d->committed_bytes / 1e6,
               (double)d->budget_bytes / 1e6, (unsigned long long)d->turns,
               d->turns ? (double)d->rows / (double)d->turns : 0.0,
               (double)d->longest_turn_us / 1e3);
    }
}

/* Draws one line and says whether anyone is still at work. */
static bool show_progress(struct caller *callers, int n) {
    int ended = 0, working = 0;
    pthread_mutex_lock(callers[0].lock);
    for (int i = 0; i < n; i++) {
        working += callers[i].job != NULL;
        ended += callers[i].done;
    }
    pthread_mutex_unlock(callers[0].lock);
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r%d requests at work, %d of %d callers done   ", working, ended, n);
    }
    return ended < n;
}

static void watch(struct caller *callers, int n) {
    do {
        nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    } while (show_progress(callers, n));
    if (isatty(STDERR_FILENO)) {
        fputs("\r\033[K", stderr);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(callers[i].thread, NULL);
    }
}

/* The text of tokens [begin, end). */
static void print_tokens(const struct berth_doc *d, const struct berth_span *s) {
    const uint32_t from = d->tokens[s->begin].begin, to = d->tokens[s->end - 1].end;
    printf(" %.*s", (int)(to - from), d->text + from);
}

/* The root of each sentence with its lemma, noun phrases, and the names that were found. */
static void print_doc(const struct berth_doc *d) {
    printf("   syntax:");
    for (size_t i = 0; i < d->n_tokens; i++) {
        const struct berth_token *t = &d->tokens[i];
        if (t->head == (int32_t)i) {
            printf(" %s (%s of %s)", t->text, t->pos, t->lemma);
        }
    }
    printf("; about");
    for (size_t i = 0; i < d->n_noun_chunks; i++) {
        printf("%s", i ? "," : "");
        print_tokens(d, &d->noun_chunks[i]);
    }
    printf("\n   names: ");
    for (size_t i = 0; i < d->n_ents; i++) {
        printf("%s", i ? "," : "");
        print_tokens(d, &d->ents[i]);
        printf(" (%s)", d->ents[i].label);
    }
    printf("%s\n", d->n_ents ? "" : " none");
}

static int report(struct caller *callers, int n) {
    int failed = 0;
    for (int i = 0; i < n; i++) {
        struct caller *c = &callers[i];
        const char *slash = strrchr(c->file, '/');
        printf("\n%d  %s  (%.2f s)\n", i + 1, slash ? slash + 1 : c->file, c->seconds);
        printf("   known:  %s\n", c->text);
        if (c->items[ANALYSE]) {
            printf("   heard:  %s\n", transcript(c));
            printf("   there:  %s\n", c->items[TRANSLATE]->translation->text);
            printf("   back:   %s\n", c->items[BACK]->translation->text);
            print_doc(c->items[ANALYSE]->doc);
        } else {
            printf("   failed: %s\n", c->err.message);
            failed++;
        }
        for (int step = 0; step < STEPS; step++) {
            berth_item_free(c->items[step]);
        }
    }
    printf("\n");
    return failed;
}

int main(int argc, char **argv) {
    enum { FIRST = 1 + STEPS };
    int n = (argc - FIRST) / 2;
    if (n < 1 || argc != FIRST + 2 * n || n > MAX_CALLERS) {
        fprintf(stderr, "Usage: %s SPEECH THERE BACK LANGUAGE FILE TEXT [FILE TEXT]...\n", argv[0]);
        return 2;
    }
    const char *const *models = (const char *const *)argv + 1;
    struct berth_error err;
    struct berth *b;
    if (berth_open(NULL, &b, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    printf("%d callers at once: %s, %s, %s, %s\n", n, models[TRANSCRIBE], models[TRANSLATE],
           models[BACK], models[ANALYSE]);
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct caller callers[MAX_CALLERS] = {0};
    double start = now();
    for (int i = 0; i < n; i++) {
        callers[i] = (struct caller){.berth = b,
                                     .models = models,
                                     .file = argv[FIRST + 2 * i],
                                     .text = argv[FIRST + 1 + 2 * i],
                                     .lock = &lock};
        if (pthread_create(&callers[i].thread, NULL, call, &callers[i]) != 0) {
            fprintf(stderr, "cannot start a thread\n");
            return 1;
        }
    }
    watch(callers, n);
    double seconds = now() - start;
    int failed = report(callers, n);
    print_models(b, models);
    print_devices(b);
    printf("all of it, loading included, took %.2f s\n", seconds);
    if (berth_close(b, 10000, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        failed++;
    }
    return failed ? 1 : 0;
}

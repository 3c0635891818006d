/*
 * spaCy pipelines through the public API, as a program would use it. Prints one JSON object.
 *
 *     bench_spacy pipe MODEL TEXTS N THREADS      N documents under way at once, one caller
 *     bench_spacy one MODEL TEXT THREADS          one short document after the other, alone
 *
 * TEXTS is a file of one text a line. Loading and a first pass are not counted; the best of three
 * passes is, for noise only adds. bench/peer_spacy.py measures spaCy the same way.
 */
#include <berth/berth.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_AT_ONCE = 1024, PASSES = 3, ONES = 1000 };

struct texts {
    char **lines;
    size_t n;
};

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fail(const char *what, const struct berth_error *err) {
    fprintf(stderr, "bench_spacy: %s: %s\n", what, err ? err->message : "no memory");
    exit(1);
}

static struct texts read_texts(const char *path) {
    struct texts t = {0};
    size_t capacity = 0, size = 0;
    char *line = NULL;
    ssize_t n;
    FILE *f = fopen(path, "r");
    if (!f) {
        fail(path, NULL);
    }
    while ((n = getline(&line, &size, f)) > 0) {
        if (t.n == capacity) {
            capacity = 2 * capacity + 64;
            t.lines = realloc(t.lines, capacity * sizeof(*t.lines));
        }
        line[n - (line[n - 1] == '\n')] = '\0';
        t.lines[t.n++] = strdup(line);
    }
    free(line);
    fclose(f);
    return t;
}

static struct berth_job *submit(struct berth_lease *lease, const char *text) {
    struct berth_request request = BERTH_REQUEST_INIT;
    struct berth_error err;
    struct berth_job *job;
    request.input =
        (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = text, .size = strlen(text)};
    if (berth_submit(lease, &request, &job, &err) < 0) {
        fail("submit", &err);
    }
    return job;
}

/* Tokens of a job's document; the job is over. */
static size_t finish(struct berth_job *job) {
    struct berth_item *item;
    struct berth_error err;
    if (berth_job_wait(job, -1, &item, &err) < 0) {
        fail("wait", &err);
    }
    const size_t tokens = item->doc->n_tokens;
    berth_item_free(item);
    berth_job_free(job);
    return tokens;
}

/* All texts, at most `at_once` of them under way; returns their tokens. */
static size_t pass(struct berth_lease *lease, const struct texts *t, size_t at_once) {
    struct berth_job *jobs[MOST_AT_ONCE];
    size_t tokens = 0, done = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (i >= at_once) {
            tokens += finish(jobs[done++ % at_once]);
        }
        jobs[i % at_once] = submit(lease, t->lines[i]);
    }
    while (done < t->n) {
        tokens += finish(jobs[done++ % at_once]);
    }
    return tokens;
}

static void measure_pipe(struct berth_lease *lease, const char *path, size_t at_once) {
    const struct texts t = read_texts(path);
    double best = 1e9;
    size_t tokens = 0;
    pass(lease, &t, at_once);
    for (int i = 0; i < PASSES; i++) {
        const double start = now_s();
        tokens = pass(lease, &t, at_once);
        const double took = now_s() - start;
        best = took < best ? took : best;
    }
    printf("{\"who\": \"berth\", \"documents\": %zu, \"tokens\": %zu, \"tokens_s\": %.0f}\n", t.n,
           tokens, (double)tokens / best);
}

static int by_size(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void measure_one(struct berth_lease *lease, const char *text) {
    static double took[ONES];
    size_t tokens = 0;
    for (int i = 0; i < ONES; i++) {
        const double start = now_s();
        tokens = finish(submit(lease, text));
        took[i] = now_s() - start;
    }
    qsort(took, ONES, sizeof(*took), by_size);
    printf("{\"who\": \"berth\", \"tokens\": %zu, \"p50_ms\": %.4f, \"p95_ms\": %.4f}\n", tokens,
           took[ONES / 2] * 1e3, took[ONES * 95 / 100] * 1e3);
}

int main(int argc, char **argv) {
    struct berth_error err;
    struct berth *b;
    struct berth_lease *lease;
    const bool pipe = argc == 6 && strcmp(argv[1], "pipe") == 0;
    if (!pipe && !(argc == 5 && strcmp(argv[1], "one") == 0)) {
        fprintf(stderr, "usage: bench_spacy pipe MODEL TEXTS N THREADS | one MODEL TEXT THREADS\n");
        return 1;
    }
    const size_t at_once = pipe ? (size_t)atoi(argv[4]) : 1;
    struct berth_config config = BERTH_CONFIG_INIT;
    config.file = "";
    config.server = "none";
    config.threads = atoi(argv[argc - 1]);
    if (at_once < 1 || at_once > MOST_AT_ONCE || berth_open(&config, &b, &err) < 0) {
        fail("open", &err);
    }
    if (berth_acquire(b, argv[2], NULL, &lease, &err) < 0) {
        fail(argv[2], &err);
    }
    if (pipe) {
        measure_pipe(lease, argv[3], at_once);
    } else {
        measure_one(lease, argv[3]);
    }
    berth_release(lease);
    berth_close(b, 10000, &err);
    return 0;
}

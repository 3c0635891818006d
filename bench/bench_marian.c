/*
 * Marian through the public API, as a program would use it. Prints one JSON object to standard
 * error, and with "show" as first word the text of every line's result to standard output.
 *
 *     bench_marian [show] MODEL FILE N [name=value...]      N callers share the lines of FILE; each
 *                                                           line is a request
 *     bench_marian [show] MODEL FILE whole [name=value...]  one caller gives the whole file
 *
 * BERTH_PRECISION=fast takes products of i8. Loading and a first line are not counted.
 */
#include <berth/berth.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { MOST_CALLERS = 64, MOST_LINES = 1 << 16, MOST_OPTIONS = 16 };

struct work {
    struct berth_lease *lease;
    struct berth_option options[MOST_OPTIONS];
    size_t n_options, n_lines;
    char **lines, **results; /* [n_lines] */
    double *latency_s;       /* [n_lines] */
    pthread_mutex_t lock;
    size_t next, source_tokens, tokens, sentences; /* under lock */
};

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fail(const char *what, const struct berth_error *err) {
    fprintf(stderr, "bench_marian: %s: %s\n", what, err ? err->message : "cannot be read");
    exit(1);
}

static struct berth_item *translate(const struct work *w, const char *text, const char *caller) {
    struct berth_request request = BERTH_REQUEST_INIT;
    struct berth_error err;
    struct berth_item *item;
    request.input =
        (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = text, .size = strlen(text)};
    request.options = w->options;
    request.n_options = w->n_options;
    request.caller = caller;
    if (berth_run(w->lease, &request, &item, &err) < 0) {
        fail(text, &err);
    }
    return item;
}

static bool take(struct work *w, size_t *out) {
    pthread_mutex_lock(&w->lock);
    *out = w->next;
    const bool there = w->next < w->n_lines;
    w->next += there;
    pthread_mutex_unlock(&w->lock);
    return there;
}

static void count(struct work *w, const struct berth_translation *t) {
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < t->n_sentences; i++) {
        w->source_tokens += t->sentences[i].n_tokens;
        w->tokens += t->sentences[i].n_hypotheses ? t->sentences[i].hypotheses[0].n_tokens : 0;
    }
    w->sentences += t->n_sentences;
    pthread_mutex_unlock(&w->lock);
}

static void *caller(void *arg) {
    struct work *w = arg;
    char name[32];
    size_t i;
    snprintf(name, sizeof(name), "%p", (void *)&i); /* a caller id of its own */
    while (take(w, &i)) {
        const double start = now_s();
        struct berth_item *item = translate(w, w->lines[i], name);
        w->latency_s[i] = now_s() - start;
        w->results[i] = strdup(item->translation->text);
        count(w, item->translation);
        berth_item_free(item);
    }
    return NULL;
}

static double run(struct work *w, size_t n_callers) {
    pthread_t threads[MOST_CALLERS];
    const double start = now_s();
    for (size_t i = 0; i < n_callers; i++) {
        if (pthread_create(&threads[i], NULL, caller, w) != 0) {
            fprintf(stderr, "bench_marian: no thread\n");
            exit(1);
        }
    }
    for (size_t i = 0; i < n_callers; i++) {
        pthread_join(threads[i], NULL);
    }
    return now_s() - start;
}

static char *read_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) {
        fail(path, NULL);
    }
    const long size = ftell(f);
    char *text = calloc(1, (size_t)size + 1);
    rewind(f);
    if (!text || fread(text, 1, (size_t)size, f) != (size_t)size) {
        fail(path, NULL);
    }
    fclose(f);
    return text;
}

/* Lines of `text`, cut in place, or all of it. */
static void take_lines(struct work *w, char *text, bool whole) {
    w->lines = calloc(MOST_LINES, sizeof(*w->lines));
    w->results = calloc(MOST_LINES, sizeof(*w->results));
    w->latency_s = calloc(MOST_LINES, sizeof(*w->latency_s));
    if (whole) {
        w->lines[w->n_lines++] = text;
        return;
    }
    for (char *save = NULL, *p = strtok_r(text, "\n", &save); p && w->n_lines < MOST_LINES;
         p = strtok_r(NULL, "\n", &save)) {
        w->lines[w->n_lines++] = p;
    }
}

static void take_options(struct work *w, int argc, char **argv) {
    for (int i = 0; i < argc && i < MOST_OPTIONS; i++) {
        char *value = strchr(argv[i], '=');
        if (!value) {
            fprintf(stderr, "bench_marian: '%s' is not name=value\n", argv[i]);
            exit(2);
        }
        *value = '\0';
        w->options[w->n_options++] = (struct berth_option){argv[i], value + 1};
    }
}

static int by_size(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void report(struct work *w, struct berth *b, double wall_s) {
    struct berth_device_stats d;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    berth_devices(b, &d, sizeof(d), 1);
    qsort(w->latency_s, w->n_lines, sizeof(*w->latency_s), by_size);
    fprintf(stderr,
            "{\"who\": \"berth\", \"wall_s\": %.4f, \"requests\": %zu, \"sentences\": %zu, "
            "\"source_tokens\": %zu, \"tokens\": %zu, \"tokens_per_s\": %.1f, \"p50_s\": %.4f, "
            "\"p95_s\": %.4f, \"turns\": %llu, \"peak_rss_mb\": %.0f}\n",
            wall_s, w->n_lines, w->sentences, w->source_tokens, w->tokens,
            (double)w->tokens / wall_s, w->latency_s[w->n_lines / 2],
            w->latency_s[w->n_lines * 95 / 100], (unsigned long long)d.turns,
            (double)usage.ru_maxrss / 1024.0);
}

int main(int argc, char **argv) {
    static struct work w;
    const bool show = argc > 1 && strcmp(argv[1], "show") == 0;
    argv += show;
    argc -= show;
    const bool whole = argc > 3 && strcmp(argv[3], "whole") == 0;
    const size_t n_callers = whole ? 1 : argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    if (n_callers < 1 || n_callers > MOST_CALLERS) {
        fprintf(stderr, "usage: bench_marian [show] MODEL FILE N|whole [name=value...]\n");
        return 2;
    }
    pthread_mutex_init(&w.lock, NULL);
    take_options(&w, argc - 4, argv + 4);
    char *text = read_file(argv[2]);
    take_lines(&w, text, whole);
    struct berth_config config = BERTH_CONFIG_INIT;
    struct berth_error err;
    struct berth *b;
    config.file = "";
    if (berth_open(&config, &b, &err) < 0 || berth_acquire(b, argv[1], NULL, &w.lease, &err) < 0) {
        fail(argv[1], &err);
    }
    if (!whole) {
        berth_item_free(translate(&w, w.lines[0], "warm-up"));
    }
    const double wall_s = run(&w, n_callers);
    for (size_t i = 0; i < w.n_lines; i++) {
        if (show) {
            puts(w.results[i]);
        }
        free(w.results[i]);
    }
    report(&w, b, wall_s);
    berth_release(w.lease);
    berth_close(b, 10000, NULL);
    pthread_mutex_destroy(&w.lock);
    free(w.lines);
    free(w.results);
    free(w.latency_s);
    free(text);
    return 0;
}

/*
 * Whisper through the public API, as a program would use it. Prints one JSON object.
 *
 *     bench_whisper stream MODEL FILE             one caller
 *     bench_whisper callers MODEL N FILE...       N threads share the files, each asks and waits
 *     bench_whisper steps MODEL N FILE            one decoder step of N rows, all that goes with it
 *                                                 included: windows of 90 tokens less windows of 10
 *
 * Language given, greedy, no second attempts; "callers" without conditioning on the text so far.
 * Loading and a first short request are not counted. See bench/README.md.
 */
#include <berth/berth.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { MOST_CALLERS = 64, MOST_FILES = 1024 };

struct work {
    struct berth_lease *lease;
    char **files;
    size_t n_files;
    const char *conditioned, *sample_len, *timeless;
    pthread_mutex_t lock;
    size_t next; /* file; under lock */
    double latency_s[MOST_FILES];
    double audio_s;
    size_t tokens;
};

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fail(const char *what, const struct berth_error *err) {
    fprintf(stderr, "bench_whisper: %s: %s\n", what, err->message);
    exit(1);
}

static struct berth_item *transcribe(const struct work *w, const char *file, const char *caller) {
    const struct berth_option options[] = {{"language", "en"},
                                           {"temperature", "0"},
                                           {"temperature_increment_on_fallback", "None"},
                                           {"condition_on_previous_text", w->conditioned},
                                           {"sample_len", w->sample_len},
                                           {"without_timestamps", w->timeless}};
    struct berth_request request = BERTH_REQUEST_INIT;
    struct berth_error err;
    struct berth_item *item;
    request.input = (struct berth_input){.kind = BERTH_INPUT_FILE, .path = file};
    request.options = options;
    request.n_options = sizeof(options) / sizeof(*options);
    request.caller = caller;
    if (berth_run(w->lease, &request, &item, &err) < 0) {
        fail(file, &err);
    }
    return item;
}

static bool take(struct work *w, size_t *out) {
    pthread_mutex_lock(&w->lock);
    *out = w->next;
    bool there = w->next < w->n_files;
    w->next += there;
    pthread_mutex_unlock(&w->lock);
    return there;
}

static void count(struct work *w, size_t i, double latency_s, const struct berth_item *item) {
    pthread_mutex_lock(&w->lock);
    w->latency_s[i] = latency_s;
    w->audio_s += item->transcript->duration_s;
    for (size_t s = 0; s < item->transcript->n_segments; s++) {
        w->tokens += item->transcript->segments[s].n_tokens;
    }
    pthread_mutex_unlock(&w->lock);
}

static void *caller(void *arg) {
    struct work *w = arg;
    char name[32];
    size_t i;
    snprintf(name, sizeof(name), "%p", (void *)&i); /* a caller id of its own */
    while (take(w, &i)) {
        double start = now_s();
        struct berth_item *item = transcribe(w, w->files[i], name);
        count(w, i, now_s() - start, item);
        berth_item_free(item);
    }
    return NULL;
}

static int by_size(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The share `p` of the sorted values is not above the answer. */
static double percentile(const double *sorted, size_t n, double p) {
    size_t i = (size_t)(p * (double)n);
    return sorted[i < n ? i : n - 1];
}

static void report(struct work *w, struct berth *b, double wall_s) {
    struct berth_device_stats d;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    berth_devices(b, &d, sizeof(d), 1);
    qsort(w->latency_s, w->n_files, sizeof(*w->latency_s), by_size);
    printf("{\"who\": \"berth f32\", \"wall_s\": %.4f, \"audio_s\": %.3f, \"requests\": %zu, "
           "\"tokens\": %zu, \"p50_s\": %.4f, \"p95_s\": %.4f, \"longest_turn_ms\": %.1f, "
           "\"turns\": %llu, \"sessions_a_turn\": %.1f, \"peak_rss_mb\": %.0f}\n",
           wall_s, w->audio_s, w->n_files, w->tokens, percentile(w->latency_s, w->n_files, 0.5),
           percentile(w->latency_s, w->n_files, 0.95), (double)d.longest_turn_us / 1e3,
           (unsigned long long)d.turns, (double)d.rows / (double)d.turns,
           (double)usage.ru_maxrss / 1024.0);
}

/* Seconds that the callers take for all files. */
static double run(struct work *w, size_t n_callers) {
    pthread_t threads[MOST_CALLERS];
    double start = now_s();
    for (size_t i = 0; i < n_callers; i++) {
        if (pthread_create(&threads[i], NULL, caller, w) != 0) {
            fprintf(stderr, "bench_whisper: no thread\n");
            exit(1);
        }
    }
    for (size_t i = 0; i < n_callers; i++) {
        pthread_join(threads[i], NULL);
    }
    return now_s() - start;
}

/* The fastest of several, for noise only adds. */
static double fastest(struct work *w, size_t n_callers, const char *sample_len) {
    double best = 1e9;
    w->sample_len = sample_len;
    for (int i = 0; i < 7; i++) {
        w->next = 0;
        double s = run(w, n_callers);
        best = s < best ? s : best;
    }
    return best;
}

static void steps(struct work *w, size_t n) {
    char *file = w->files[0];
    char *same[MOST_CALLERS];
    for (size_t i = 0; i < n; i++) {
        same[i] = file;
    }
    w->files = same;
    w->n_files = n;
    const double few = fastest(w, n, "10"), many = fastest(w, n, "90");
    printf("{\"who\": \"berth\", \"rows\": %zu, \"ms_per_step\": %.4f, \"ms_of_10\": %.3f, "
           "\"ms_of_90\": %.3f}\n",
           n, (many - few) / 80 * 1e3, few * 1e3, many * 1e3);
}

int main(int argc, char **argv) {
    bool stream = argc == 4 && strcmp(argv[1], "stream") == 0;
    bool stepping = argc == 5 && strcmp(argv[1], "steps") == 0;
    bool callers = stepping || (argc >= 5 && strcmp(argv[1], "callers") == 0);
    size_t n_callers = callers ? strtoul(argv[3], NULL, 10) : 1;
    if ((!stream && !callers) || n_callers < 1 || n_callers > MOST_CALLERS || argc > MOST_FILES) {
        fprintf(stderr, "usage: bench_whisper stream MODEL FILE | callers MODEL N FILE... | steps "
                        "MODEL N FILE\n");
        return 2;
    }
    static struct work w;
    pthread_mutex_init(&w.lock, NULL);
    w.files = argv + (stream ? 3 : 4);
    w.n_files = (size_t)argc - (stream ? 3 : 4);
    w.sample_len = "224";
    w.timeless = stepping ? "True" : "False"; /* a window cut short must not be taken up again */
    w.conditioned = stream ? "True" : "False";

    struct berth_config config = BERTH_CONFIG_INIT;
    struct berth_error err;
    struct berth *b;
    config.file = "";
    if (berth_open(&config, &b, &err) < 0 || berth_acquire(b, argv[2], NULL, &w.lease, &err) < 0) {
        fail(argv[2], &err);
    }
    berth_item_free(transcribe(&w, w.files[0], "warm-up"));
    if (stepping) {
        steps(&w, n_callers);
    } else {
        report(&w, b, run(&w, n_callers));
    }
    berth_release(w.lease);
    berth_close(b, 10000, NULL);
    pthread_mutex_destroy(&w.lock);
    return 0;
}

/*
 * Berth against openai-whisper on real weights and real speech: tokens, times, text, probabilities
 * and every single decision, rejected attempts included. tools/golden/ made the files;
 * MANIFEST.json says with what. Several cases run at once, so this also shows that company changes
 * nothing.
 *
 * A mismatch is excused only where the original itself was on the edge (a margin below EDGE), and
 * is printed. Needs BERTH_SAMPLE (the model) and BERTH_MATERIAL (tools/material's folder); else
 * skips. Cases marked long run when BERTH_LONG is set.
 */
#include "lib/golden.h"
#include <berth/berth.h>
#include <time.h>

#define EDGE 5e-4

enum { MAX_CASES = 64, AT_ONCE = 4 };

struct stats {
    size_t steps, excused;
    double worst_margin, worst_logprob;
    double smallest_gap; /* of the original */
    double *gap_errors;  /* [n_gaps] of room for `room` */
    size_t n_gaps, room;
};

static double member(json_t *object, const char *name) {
    return golden_number(json_object_get(object, name));
}

static size_t read_cases(json_t **out) {
    json_t *manifest = golden_read("MANIFEST"), *cases = json_object_get(manifest, "cases");
    bool all = getenv("BERTH_LONG") != NULL;
    size_t n = 0, left_out = 0;
    printf("made on %s by openai-whisper %s, torch %s, %lld threads\n",
           golden_text(manifest, "date"), golden_text(manifest, "openai_whisper"),
           golden_text(manifest, "torch"),
           (long long)json_integer_value(json_object_get(manifest, "threads")));
    for (size_t i = 0; i < json_array_size(cases); i++) {
        json_t *c = golden_read(json_string_value(json_array_get(cases, i)));
        if (json_is_true(json_object_get(c, "long")) && !all) {
            json_decref(c);
            left_out++;
            continue;
        }
        CHECK(n < MAX_CASES);
        out[n++] = c;
    }
    printf("%zu cases, %zu long ones left out\n", n, left_out);
    json_decref(manifest);
    return n;
}

static size_t make_options(json_t *c, struct berth_option *out) {
    const char *name;
    json_t *value;
    size_t n = 0;
    json_object_foreach(json_object_get(c, "options"), name, value) {
        out[n++] = (struct berth_option){name, json_string_value(value)};
    }
    out[n++] = (struct berth_option){"trace", "true"};
    return n;
}

/* One decision of the original. */
struct decision {
    int window, attempt, row, step, token;
    double gap, logprob, margin, race;
};

/* Berth's record of it; NULL if there is none. */
static const struct berth_step_trace *find(const struct berth_transcript *t,
                                           const struct decision *d) {
    for (size_t i = 0; i < t->n_trace; i++) {
        const struct berth_step_trace *g = &t->trace[i];
        if (g->window == d->window && g->attempt == d->attempt && g->row == d->row &&
            g->step == d->step) {
            return g;
        }
    }
    return NULL;
}

static void add_gap_error(struct stats *s, double off) {
    if (s->n_gaps == s->room) {
        s->room = s->room ? 2 * s->room : 4096;
        s->gap_errors = realloc(s->gap_errors, s->room * sizeof(*s->gap_errors));
        CHECK(s->gap_errors);
    }
    s->gap_errors[s->n_gaps++] = off;
}

static bool below(double margin) {
    return fabs(margin) < EDGE; /* false for NaN */
}

/* Whether they agree; a difference that cannot be excused ends the test. */
static bool compare_decision(const char *name, const struct decision *d,
                             const struct berth_transcript *t, struct stats *s) {
    const struct berth_step_trace *g = find(t, d);
    if (!g || g->token != d->token) {
        printf(
            "%s: window %d, attempt %d, row %d, step %d: token %d, the original took %d; its gap "
            "was %.3g, of the race %.3g, of the timestamp rule %.3g\n",
            name, d->window, d->attempt, d->row, d->step, g ? g->token : -1, d->token, d->gap,
            d->race, d->margin);
        if (!g || !(below(isnan(d->race) ? d->gap : d->race) || below(d->margin))) {
            TEST_FAIL("%s: not excused", name);
        }
        s->excused++;
        return false;
    }
    double lp = fabs((double)g->logprob - d->logprob);
    s->steps++;
    s->worst_logprob = lp > s->worst_logprob ? lp : s->worst_logprob;
    if (!isnan(d->gap)) { /* else only one id was left */
        add_gap_error(s, fabs((double)g->gap - d->gap));
        s->smallest_gap = d->gap < s->smallest_gap ? d->gap : s->smallest_gap;
    }
    if (!isnan(d->margin) && isfinite(g->timestamp_margin)) {
        double off = fabs((double)g->timestamp_margin - d->margin);
        s->worst_margin = off > s->worst_margin ? off : s->worst_margin;
    }
    return true;
}

static bool compare_row(const char *name, json_t *row, struct decision d,
                        const struct berth_transcript *t, struct stats *s) {
    json_t *tokens = json_object_get(row, "token"), *gaps = json_object_get(row, "gap");
    json_t *logprobs = json_object_get(row, "logprob"), *margins = json_object_get(row, "margin");
    json_t *races = json_object_get(row, "race");
    for (size_t i = 0; i < json_array_size(tokens); i++) {
        d.step = (int)i;
        d.token = (int)json_integer_value(json_array_get(tokens, i));
        d.gap = golden_number(json_array_get(gaps, i));
        d.logprob = golden_number(json_array_get(logprobs, i));
        d.margin = golden_number(json_array_get(margins, i));
        d.race = golden_number(json_array_get(races, i));
        if (!compare_decision(name, &d, t, s)) {
            return false;
        }
    }
    return true;
}

/* Every decision, in order; false after the first excused difference. */
static bool compare_windows(const char *name, json_t *windows, const struct berth_transcript *t,
                            struct stats *s) {
    size_t before = s->steps;
    for (size_t w = 0; w < json_array_size(windows); w++) {
        json_t *attempts = json_object_get(json_array_get(windows, w), "attempts");
        for (size_t a = 0; a < json_array_size(attempts); a++) {
            json_t *rows = json_object_get(json_array_get(attempts, a), "rows");
            for (size_t r = 0; r < json_array_size(rows); r++) {
                const struct decision d = {.window = (int)w, .attempt = (int)a, .row = (int)r};
                if (!compare_row(name, json_array_get(rows, r), d, t, s)) {
                    return false;
                }
            }
        }
    }
    CHECK_INT(t->n_trace, s->steps - before); /* and none beyond the original's */
    return true;
}

static void compare_segment(const char *name, size_t i, json_t *e, const struct berth_segment *g) {
    json_t *tokens = json_object_get(e, "tokens");
    if (g->seek != json_integer_value(json_object_get(e, "seek")) ||
        g->start_s != member(e, "start") || g->end_s != member(e, "end") ||
        strcmp(g->text, golden_text(e, "text")) != 0 || g->n_tokens != json_array_size(tokens)) {
        TEST_FAIL("%s: segment %zu is [%.17g, %.17g] %s, expected [%.17g, %.17g] %s", name, i,
                  g->start_s, g->end_s, g->text, member(e, "start"), member(e, "end"),
                  golden_text(e, "text"));
    }
    for (size_t j = 0; j < g->n_tokens; j++) {
        CHECK_INT(g->tokens[j], json_integer_value(json_array_get(tokens, j)));
    }
    CHECK_INT(g->id, i);
    CHECK_NEAR(g->temperature, member(e, "temperature"), 0);
    CHECK_NEAR(g->avg_logprob, member(e, "avg_logprob"), 2.5e-5);
    CHECK_NEAR(g->compression_ratio, member(e, "compression_ratio"), 1e-12);
    CHECK_NEAR(g->no_speech_prob, member(e, "no_speech_prob"), 1e-5);
}

static void compare(json_t *c, const struct berth_transcript *t, struct stats *s) {
    const char *name = golden_text(c, "name");
    json_t *segments = json_object_get(c, "segments"), *languages = json_object_get(c, "languages");
    for (size_t i = 0; i < json_array_size(languages); i++) {
        json_t *l = json_array_get(languages, i);
        CHECK_STR(t->languages[i].language, json_string_value(json_array_get(l, 0)));
        CHECK_NEAR(t->languages[i].prob, golden_number(json_array_get(l, 1)), 1e-4);
    }
    CHECK_STR(t->language, golden_text(c, "language"));
    if (!compare_windows(name, json_object_get(c, "windows"), t, s)) {
        return; /* excused: what follows may differ */
    }
    if (t->n_segments != json_array_size(segments)) {
        TEST_FAIL("%s: %zu segments, expected %zu", name, t->n_segments, json_array_size(segments));
    }
    for (size_t i = 0; i < t->n_segments; i++) {
        compare_segment(name, i, json_array_get(segments, i), &t->segments[i]);
    }
    CHECK_STR(t->text, golden_text(c, "text"));
}

static struct berth_job *submit(struct berth_lease *lease, json_t *c, const char *material) {
    struct berth_option options[24];
    char path[4096];
    struct berth_error err;
    struct berth_job *job;
    golden_sound(c, material, path);
    struct berth_request request = BERTH_REQUEST_INIT;
    request.input = (struct berth_input){.kind = BERTH_INPUT_FILE, .path = path};
    request.n_options = make_options(c, options);
    request.options = options;
    int rc = berth_submit(lease, &request, &job, &err);
    if (rc < 0) {
        TEST_FAIL("%s: %s", golden_text(c, "name"), err.message);
    }
    return job;
}

static void run(struct berth_lease *lease, json_t **cases, size_t n, const char *material,
                struct stats *s) {
    struct berth_job *jobs[MAX_CASES];
    size_t next = 0;
    for (size_t i = 0; i < n; i++) {
        for (; next < n && next < i + AT_ONCE; next++) {
            jobs[next] = submit(lease, cases[next], material);
        }
        struct berth_item *item;
        struct berth_error err;
        if (berth_job_wait(jobs[i], -1, &item, &err) < 0) {
            TEST_FAIL("%s: %s", golden_text(cases[i], "name"), err.message);
        }
        compare(cases[i], item->transcript, s);
        printf("%s: as the original\n", golden_text(cases[i], "name"));
        berth_item_free(item);
        berth_job_free(jobs[i]);
        json_decref(cases[i]);
    }
}

static int by_size(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void report(struct stats *s) {
    printf("%zu decisions agree, %zu excused\n", s->steps, s->excused);
    CHECK(s->n_gaps > 0);
    qsort(s->gap_errors, s->n_gaps, sizeof(*s->gap_errors), by_size);
    printf("error of the gap between the best two logits: median %.2g, 99 %% %.2g, 99.9 %% %.2g, "
           "worst "
           "%.2g; the original's smallest gap: %.2g\n",
           s->gap_errors[s->n_gaps / 2], s->gap_errors[s->n_gaps * 99 / 100],
           s->gap_errors[s->n_gaps * 999 / 1000], s->gap_errors[s->n_gaps - 1], s->smallest_gap);
    printf("worst error of the timestamp margin %.2g, of log-probabilities %.2g\n", s->worst_margin,
           s->worst_logprob);
    free(s->gap_errors);
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(void) {
    const char *model = getenv("BERTH_SAMPLE"), *material = getenv("BERTH_MATERIAL");
    if (!model || !material) {
        SKIP("BERTH_SAMPLE (tools/sample) and BERTH_MATERIAL (tools/material) are not set");
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* what was printed must survive a failure */
    json_t *cases[MAX_CASES];
    size_t n = read_cases(cases);
    struct berth_config config = BERTH_CONFIG_INIT;
    config.file = "";
    struct berth *b;
    struct berth_lease *lease;
    struct berth_error err;
    CHECK_OK(berth_open(&config, &b, &err), err);
    CHECK_OK(berth_acquire(b, model, NULL, &lease, &err), err);
    struct stats s = {.smallest_gap = INFINITY};
    double start = now_s();
    run(lease, cases, n, material, &s);
    printf("%.1f s\n", now_s() - start);
    report(&s);
    berth_release(lease);
    CHECK_OK(berth_close(b, 10000, &err), err);
    return 0;
}

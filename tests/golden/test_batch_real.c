/*
 * Real weights, real speech: a request gives the same bytes alone and in the company of others, at
 * temperature 0 and sampled. Every bit counts: tokens, times, probabilities and the trace of each
 * decision. Needs BERTH_SAMPLE and BERTH_MATERIAL, else skips.
 */
#include "lib/test.h"
#include <berth/berth.h>

static const char *const clips[] = {"p008", "p001", "p015", "p005"};
static const size_t companies[] = {3, 8, 16};

enum { N_CLIPS = 4, MOST = 16, N_COMPANIES = 3 };

struct setting {
    const char *name;
    const struct berth_option *options;
    size_t n;
};

static const struct berth_option greedy[] = {{"temperature", "0"},
                                             {"temperature_increment_on_fallback", "None"},
                                             {"language", "en"},
                                             {"trace", "true"}};
static const struct berth_option sampled[] = {
    {"temperature", "0.7"}, {"temperature_increment_on_fallback", "None"},
    {"best_of", "2"},       {"language", "en"},
    {"seed", "5"},          {"trace", "true"}};

static const struct setting settings[] = {
    {"greedy", greedy, sizeof(greedy) / sizeof(*greedy)},
    {"sampled", sampled, sizeof(sampled) / sizeof(*sampled)},
};

static struct berth_job *submit(struct berth_lease *lease, const struct setting *s,
                                const char *material, size_t i) {
    char path[4096], caller[16];
    struct berth_error err;
    struct berth_job *job;
    snprintf(path, sizeof(path), "%s/%s.wav", material, clips[i % N_CLIPS]);
    snprintf(caller, sizeof(caller), "caller %zu", i % 5);
    struct berth_request request = BERTH_REQUEST_INIT;
    request.input = (struct berth_input){.kind = BERTH_INPUT_FILE, .path = path};
    request.options = s->options;
    request.n_options = s->n;
    request.caller = caller;
    CHECK_OK(berth_submit(lease, &request, &job, &err), err);
    return job;
}

static struct berth_item *finish(struct berth_job *job) {
    struct berth_item *item;
    struct berth_error err;
    CHECK_OK(berth_job_wait(job, -1, &item, &err), err);
    berth_job_free(job);
    return item;
}

static void same_bits(double a, double b) {
    CHECK(memcmp(&a, &b, sizeof(a)) == 0);
}

static void same_segment(const struct berth_segment *a, const struct berth_segment *b) {
    CHECK_INT(a->seek, b->seek);
    CHECK_STR(a->text, b->text);
    CHECK_INT(a->n_tokens, b->n_tokens);
    CHECK(memcmp(a->tokens, b->tokens, a->n_tokens * sizeof(*a->tokens)) == 0);
    same_bits(a->start_s, b->start_s);
    same_bits(a->end_s, b->end_s);
    same_bits(a->temperature, b->temperature);
    same_bits(a->avg_logprob, b->avg_logprob);
    same_bits(a->compression_ratio, b->compression_ratio);
    same_bits(a->no_speech_prob, b->no_speech_prob);
}

static void same_step(const struct berth_step_trace *a, const struct berth_step_trace *b) {
    if (a->token != b->token || memcmp(a, b, sizeof(*a)) != 0) {
        TEST_FAIL("window %d, attempt %d, row %d, step %d: token %d, log-probability %.9g, gap "
                  "%.9g; alone %d, %.9g, %.9g",
                  a->window, a->attempt, a->row, a->step, a->token, (double)a->logprob,
                  (double)a->gap, b->token, (double)b->logprob, (double)b->gap);
    }
}

static int by_place(const void *a, const void *b) {
    const struct berth_step_trace *x = a, *y = b;
    int rows = x->row - y->row, steps = x->step - y->step;
    return x->window != y->window ? x->window - y->window : rows ? rows : steps;
}

/* Rows may be recorded in another order when they end at different turns. */
static struct berth_step_trace *sorted(const struct berth_transcript *t) {
    struct berth_step_trace *copy = malloc(t->n_trace * sizeof(*copy));
    CHECK(copy);
    memcpy(copy, t->trace, t->n_trace * sizeof(*copy));
    qsort(copy, t->n_trace, sizeof(*copy), by_place);
    return copy;
}

static void same_transcript(const struct berth_transcript *a, const struct berth_transcript *b) {
    CHECK_INT(a->n_trace, b->n_trace);
    CHECK(a->n_trace > 0);
    struct berth_step_trace *x = sorted(a), *y = sorted(b);
    for (size_t i = 0; i < a->n_trace; i++) {
        same_step(&x[i], &y[i]);
    }
    free(x);
    free(y);
    CHECK_STR(a->text, b->text);
    CHECK_INT(a->n_segments, b->n_segments);
    for (size_t i = 0; i < a->n_segments; i++) {
        same_segment(&a->segments[i], &b->segments[i]);
    }
}

static void compare_setting(struct berth_lease *lease, const struct setting *s,
                            const char *material) {
    struct berth_item *alone[N_CLIPS];
    for (size_t i = 0; i < N_CLIPS; i++) {
        alone[i] = finish(submit(lease, s, material, i));
    }
    for (size_t k = 0; k < N_COMPANIES; k++) {
        struct berth_job *jobs[MOST];
        size_t decisions = 0;
        for (size_t i = 0; i < companies[k]; i++) {
            jobs[i] = submit(lease, s, material, i);
        }
        for (size_t i = 0; i < companies[k]; i++) {
            struct berth_item *item = finish(jobs[i]);
            same_transcript(item->transcript, alone[i % N_CLIPS]->transcript);
            decisions += item->transcript->n_trace;
            berth_item_free(item);
        }
        printf("%s, %zu together: %zu decisions as alone\n", s->name, companies[k], decisions);
    }
    for (size_t i = 0; i < N_CLIPS; i++) {
        berth_item_free(alone[i]);
    }
}

int main(void) {
    const char *model = getenv("BERTH_SAMPLE"), *material = getenv("BERTH_MATERIAL");
    if (!model || !material) {
        SKIP("BERTH_SAMPLE (tools/sample) and BERTH_MATERIAL (tools/material) are not set");
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* what was printed must survive a failure */
    struct berth_config config = BERTH_CONFIG_INIT;
    config.file = "";
    struct berth *b;
    struct berth_lease *lease;
    struct berth_error err;
    CHECK_OK(berth_open(&config, &b, &err), err);
    CHECK_OK(berth_acquire(b, model, NULL, &lease, &err), err);
    for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
        compare_setting(lease, &settings[i], material);
    }
    berth_release(lease);
    CHECK_OK(berth_close(b, 10000, &err), err);
    return 0;
}

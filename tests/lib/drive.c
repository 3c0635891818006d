#define _GNU_SOURCE /* open_memstream */
#include "lib/drive.h"

#include "base/item.h"
#include "base/reservation.h"
#include "lib/test.h"

struct runner {
    struct berth_sink sink; /* first */
    struct drive_one *one;
    struct berth_session *session; /* NULL: not begun, or ended */
    struct berth_reservation reservation;
    bool begun;
};

static int emit(struct berth_sink *sink, struct berth_item *item) {
    struct drive_one *one = ((struct runner *)sink)->one;
    if (item->kind == BERTH_ITEM_FINAL) {
        CHECK_INT(one->n_final, 0);
        one->n_final++;
        one->final = item;
        return 0;
    }
    CHECK(one->n_final == 0);
    one->n_partial += item->kind == BERTH_ITEM_PARTIAL;
    one->n_progress += item->kind == BERTH_ITEM_PROGRESS;
    CHECK(item->done <= item->total);
    berth_item_free(item);
    return 0;
}

static void start(struct berth_model *model, struct runner *r) {
    struct berth_need need = {0};
    struct drive_one *one = r->one;
    r->begun = true;
    one->rc = model->ops->begin(model, &one->request, &r->session, &need, &one->err);
    if (one->rc < 0) {
        r->session = NULL;
        return;
    }
    one->need_bytes = need.bytes_max;
    CHECK(need.bytes_now <= need.bytes_max);
    bth_reservation_init(&r->reservation, BERTH_BYTES_SESSION,
                         one->limit_bytes ? one->limit_bytes : need.bytes_max);
    r->session->sink = &r->sink;
    r->session->reservation = &r->reservation;
}

static void finish(struct berth_model *model, struct runner *r) {
    if (!r->session) {
        return;
    }
    r->one->high_bytes = atomic_load(&r->reservation.high_bytes);
    model->ops->end(r->session);
    r->session = NULL;
    CHECK_INT(bth_reservation_used(&r->reservation), 0);
}

/* Of the sessions from `from` on, the first that wants the earliest stage: those who have come far
 * wait, so that company gathers. */
static size_t furthest_behind(struct berth_model *model, const struct runner *all, size_t n,
                              size_t from) {
    int32_t earliest = INT32_MAX;
    size_t best = from;
    for (size_t i = 0; i < n; i++) {
        const struct runner *r = &all[(from + i) % n];
        struct berth_want want;
        if (r->session) {
            model->ops->next(r->session, &want);
            if (want.stage < earliest) {
                earliest = want.stage;
                best = (from + i) % n;
            }
        }
    }
    return best;
}

/* Who takes part in the next turn: a session by chance and those who want the same. */
static size_t choose(struct berth_model *model, struct runner *all, size_t n, size_t company,
                     unsigned long long *state, struct berth_batch *b, struct runner **chosen) {
    struct berth_want first = {0};
    uint32_t rows = 0;
    size_t from = (size_t)(test_rand(state) % n), taken = 0;
    size_t most = 1 + (size_t)(test_rand(state) % company); /* sometimes fewer than could */
    most = test_rand(state) % 4 ? company : most;
    if (test_rand(state) % 8) {
        from = furthest_behind(model, all, n, from);
    }
    for (size_t i = 0; i < n && taken < most; i++) {
        struct runner *r = &all[(from + i) % n];
        struct berth_want want;
        if (!r->session) {
            continue;
        }
        model->ops->next(r->session, &want);
        if (want.stage == BERTH_WANT_END) {
            finish(model, r);
            continue;
        }
        if (taken == 0) {
            first = want;
        }
        const struct berth_stage *stage = &model->ops->stages[want.stage];
        const uint32_t limit = want.max_rows ? want.max_rows : stage->max_rows;
        CHECK(want.rows >= 1 && want.rows <= limit);
        bool alone = stage->lane == BERTH_LANE_HOST && taken > 0;
        if (want.stage != first.stage || want.key != first.key || alone ||
            rows + want.rows > limit) {
            continue;
        }
        rows += want.rows;
        b->sessions[taken] = r->session;
        chosen[taken++] = r;
    }
    b->stage = first.stage;
    b->key = first.key;
    b->n = (uint32_t)taken;
    return taken;
}

static int turn(struct berth_model *model, struct berth_batch *b, struct runner **chosen,
                struct drive_stats *stats) {
    struct berth_error err = {0};
    int rc = model->ops->enqueue(b, &err);
    if (rc == 0) {
        rc = model->ops->settle(b, &err);
    }
    if (stats) {
        stats->turns[b->stage]++;
        stats->sessions[b->stage] += b->n;
        stats->most[b->stage] = b->n > stats->most[b->stage] ? b->n : stats->most[b->stage];
    }
    for (uint32_t i = 0; rc == 0 && i < b->n; i++) {
        struct drive_one *one = chosen[i]->one;
        one->turns++;
        if (b->status[i] < 0) {
            one->rc = b->status[i];
            one->err = b->errors[i];
            CHECK_INT(one->err.code, one->rc);
            finish(model, chosen[i]);
        } else if (one->cancel_after >= 0 && one->turns >= one->cancel_after) {
            one->rc = BERTH_ECANCELLED;
            model->ops->cancel(chosen[i]->session);
        }
    }
    return rc;
}

int drive(struct berth_model *model, struct drive_one *all, size_t n, size_t company, uint64_t seed,
          struct drive_stats *stats) {
    struct runner *runners = calloc(n, sizeof(*runners)), **chosen = calloc(n, sizeof(*chosen));
    struct berth_batch b = {.model = model,
                            .sessions = calloc(n, sizeof(*b.sessions)),
                            .status = calloc(n, sizeof(*b.status)),
                            .errors = calloc(n, sizeof(*b.errors))};
    unsigned long long state = (seed + 1) * 0x9E3779B97F4A7C15ULL;
    CHECK(runners && chosen && b.sessions && b.status && b.errors);
    for (size_t i = 0; i < n; i++) {
        runners[i] = (struct runner){.sink = {emit}, .one = &all[i]};
        all[i].rc = 0;
        all[i].final = NULL;
        all[i].n_final = all[i].n_partial = all[i].n_progress = 0;
        all[i].turns = 0;
    }
    int rc = 0;
    for (int t = 0;; t++) {
        bool left = false;
        for (size_t i = 0; i < n; i++) {
            if (!runners[i].begun && t >= all[i].start_after) {
                start(model, &runners[i]);
            }
            left |= !runners[i].begun || runners[i].session;
        }
        if (!left) {
            break;
        }
        if (choose(model, runners, n, company, &state, &b, chosen) > 0) {
            rc = turn(model, &b, chosen, stats);
            if (rc == BERTH_ENOMEM && stats && stats->retries > 0) {
                stats->retries--;
                rc = 0;
            }
            if (rc < 0) {
                break;
            }
        }
    }
    for (size_t i = 0; i < n; i++) {
        finish(model, &runners[i]);
    }
    free(runners);
    free(chosen);
    free(b.sessions);
    free(b.status);
    free(b.errors);
    return rc;
}

int drive_load(const struct berth_engine_ops *ops, const char *path, struct berth_device *device,
               struct drive_model *out, struct berth_error *err) {
    bth_reservation_init(&out->weights, BERTH_BYTES_WEIGHTS, SIZE_MAX / 2);
    bth_reservation_init(&out->workspace, BERTH_BYTES_WORKSPACE, SIZE_MAX / 2);
    const struct berth_load load = {
        .path = path, .device = device, .weights = &out->weights, .workspace = &out->workspace};
    int rc = ops->load(&load, &out->model, err);
    if (rc < 0) {
        CHECK_INT(bth_reservation_used(&out->weights), 0);
        CHECK_INT(bth_reservation_used(&out->workspace), 0);
    }
    return rc;
}

void drive_unload(struct drive_model *m) {
    m->model->ops->unload(m->model);
    CHECK_INT(bth_reservation_used(&m->weights), 0);
    CHECK_INT(bth_reservation_used(&m->workspace), 0);
}

static int by_place(const void *a, const void *b) {
    const struct berth_step_trace *x = a, *y = b;
    if (x->window != y->window) {
        return x->window - y->window;
    }
    if (x->attempt != y->attempt) {
        return x->attempt - y->attempt;
    }
    return x->step != y->step ? x->step - y->step : x->row - y->row;
}

static void print_translation(FILE *f, const struct berth_translation *t) {
    fprintf(f, "%s to %s [%s]\n", t->source, t->target, t->text);
    for (size_t i = 0; i < t->n_alternatives; i++) {
        fprintf(f, "or [%s]\n", t->alternatives[i]);
    }
    for (size_t i = 0; i < t->n_sentences; i++) {
        const struct berth_sentence *s = &t->sentences[i];
        fprintf(f, "sentence %zu-%zu to %zu-%zu repeats %d", s->source_begin, s->source_end,
                s->target_begin, s->target_end, s->repeats);
        for (size_t j = 0; j < s->n_tokens; j++) {
            fprintf(f, " %d", s->tokens[j]);
        }
        for (size_t h = 0; h < s->n_hypotheses; h++) {
            const struct berth_hypothesis *y = &s->hypotheses[h];
            fprintf(f, "\n  %a [%s]", y->score, y->text);
            for (size_t j = 0; j < y->n_tokens; j++) {
                fprintf(f, " %d %a", y->tokens[j], y->logprobs ? (double)y->logprobs[j] : 0.0);
            }
        }
        const size_t n = s->alignment ? s->n_tokens * s->hypotheses[0].n_tokens : 0;
        for (size_t j = 0; j < n; j++) {
            fprintf(f, " %a", (double)s->alignment[j]);
        }
        fprintf(f, "\n");
    }
    for (size_t i = 0; i < t->n_terms; i++) {
        fprintf(f, "term %s: %s, %zu %zu\n", t->terms[i].source, t->terms[i].target,
                t->terms[i].found, t->terms[i].placed);
    }
}

char *drive_print(const struct berth_item *item) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    CHECK(f && item);
    if (item->translation) {
        print_translation(f, item->translation);
        CHECK(fclose(f) == 0);
        return text;
    }
    CHECK(item->transcript);
    const struct berth_transcript *t = item->transcript;
    fprintf(f, "%s %a %zu segments, %zu decisions\n[%s]\n", t->language, t->duration_s,
            t->n_segments, t->n_trace, t->text);
    for (size_t i = 0; i < t->n_segments; i++) {
        const struct berth_segment *s = &t->segments[i];
        fprintf(f, "segment %u seek %lld %a %a T %a avg %a ratio %a silence %a [%s]", s->id,
                (long long)s->seek, s->start_s, s->end_s, s->temperature, s->avg_logprob,
                s->compression_ratio, s->no_speech_prob, s->text);
        for (size_t j = 0; j < s->n_tokens; j++) {
            fprintf(f, " %d", s->tokens[j]);
        }
        fprintf(f, "\n");
    }
    for (size_t i = 0; i < t->n_languages; i++) {
        fprintf(f, "language %s %a\n", t->languages[i].language, (double)t->languages[i].prob);
    }
    struct berth_step_trace *steps = malloc(t->n_trace * sizeof(*steps) + 1);
    CHECK(steps);
    if (t->n_trace) {
        memcpy(steps, t->trace, t->n_trace * sizeof(*steps));
        qsort(steps, t->n_trace, sizeof(*steps), by_place);
    }
    for (size_t i = 0; i < t->n_trace; i++) {
        const struct berth_step_trace *s = &steps[i];
        fprintf(f, "window %d attempt %d row %d step %d: %d %d %a %a %a\n", s->window, s->attempt,
                s->row, s->step, s->token, s->second, (double)s->logprob, (double)s->gap,
                (double)s->timestamp_margin);
    }
    free(steps);
    CHECK(fclose(f) == 0);
    return text;
}

char *drive_take(struct drive_one *one) {
    CHECK_OK(one->rc, one->err);
    CHECK(one->final != NULL);
    CHECK(one->high_bytes <= one->need_bytes);
    char *text = drive_print(one->final);
    berth_item_free(one->final);
    return text;
}

void drive_same(const char *what, const char *a, const char *b) {
    if (strcmp(a, b) == 0) {
        return;
    }
    size_t line = 0, i = 0;
    for (; a[i] && a[i] == b[i]; i++) {
        line = a[i] == '\n' ? i + 1 : line;
    }
    TEST_FAIL("%s: results differ:\n  %.*s\n  %.*s", what, (int)strcspn(a + line, "\n"), a + line,
              (int)strcspn(b + line, "\n"), b + line);
}

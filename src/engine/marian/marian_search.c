#include "marian/marian_search.h"

#include "base/alloc.h"
#include "base/error.h"
#include <math.h>
#include <string.h>

enum { MOST_CANDIDATES = 2 * MARIAN_MAX_BEAMS };

static const float nowhere = -1e9f; /* the score of what is not there, as in generate() */

struct candidate {
    float score;
    struct marian_choice choice;
    int beam;
};

static size_t choices_of(const struct marian_search_options *o) {
    return (size_t)o->beams * 3 * (size_t)o->max_length;
}

size_t marian_search_bytes(const struct marian_search_options *o) {
    return choices_of(o) * sizeof(struct marian_choice);
}

/* len ^ length_penalty, as f32. */
static float norm_of(const struct marian_search *s, int n) {
    return (float)pow((double)n, (double)s->o.length_penalty);
}

static bool at_forced_end(const struct marian_search *s) {
    return s->o.forced_eos >= 0 && s->length == s->o.max_length - 1;
}

static void append(struct marian_beam *b, const struct marian_choice *c) {
    b->choices[b->n++] = *c;
}

static void copy(struct marian_beam *to, const struct marian_beam *from) {
    struct marian_choice *choices = to->choices;
    memcpy(choices, from->choices, (size_t)from->n * sizeof(*choices));
    *to = *from;
    to->choices = choices;
}

/* ---- greedy ---------------------------------------------------------------------------------- */

static void greedy_step(struct marian_search *s, const struct candidate *c) {
    struct marian_beam *b = &s->live[0];
    b->parent = 0;
    b->score += c->choice.logprob;
    append(b, &c->choice);
    s->length++;
    if (c->choice.id == s->o.eos || s->length == s->o.max_length) {
        copy(&s->ended[0], b);
        s->ended[0].score = b->score / norm_of(s, b->n);
        s->ended[0].done = s->done = true;
    }
}

/* ---- beams ----------------------------------------------------------------------------------- */

static bool better(const struct candidate *a, const struct candidate *b) {
    if (a->score != b->score) {
        return a->score > b->score;
    }
    return a->beam != b->beam ? a->beam < b->beam : a->choice.id < b->choice.id;
}

/* Puts a candidate among the best so far. */
static void enter(struct candidate *all, int *n, int most, const struct candidate *c) {
    int at = *n < most ? (*n)++ : most;
    while (at > 0 && better(c, &all[at - 1])) {
        if (at < most) {
            all[at] = all[at - 1];
        }
        at--;
    }
    if (at < most) {
        all[at] = *c;
    }
}

static bool all_done(const struct marian_search *s) {
    bool all = true;
    for (int i = 0; i < s->o.beams; i++) {
        all = all && s->ended[i].done;
    }
    return all;
}

/* One more hypothesis among the finished ones; those that were there first stay ahead of equals. */
static void finish(struct marian_search *s, const struct candidate *c, float score) {
    const int beams = s->o.beams;
    int at = beams;
    while (at > 0 && (!s->ended[at - 1].done || score > s->ended[at - 1].score)) {
        at--;
    }
    if (at == beams) {
        return;
    }
    struct marian_choice *free_one = s->ended[beams - 1].choices;
    memmove(&s->ended[at + 1], &s->ended[at], (size_t)(beams - 1 - at) * sizeof(*s->ended));
    s->ended[at].choices = free_one;
    copy(&s->ended[at], &s->live[c->beam]);
    append(&s->ended[at], &c->choice);
    s->ended[at].score = score;
    s->ended[at].done = true;
}

/* The best candidates that do not end go on. */
static void go_on(struct marian_search *s, const struct candidate *all, int n) {
    int live = 0;
    for (int i = 0; i < n && live < s->o.beams; i++) {
        if (all[i].choice.id != s->o.eos) {
            struct marian_beam *b = &s->next[live++];
            copy(b, &s->live[all[i].beam]);
            append(b, &all[i].choice);
            b->score = all[i].score;
            b->parent = all[i].beam;
        }
    }
    for (int i = 0; i < live; i++) {
        const struct marian_beam old = s->live[i];
        s->live[i] = s->next[i];
        s->next[i] = old;
    }
    s->n_live = live;
}

/* Whether the best live beam could still beat the worst finished one. */
static bool could_improve(const struct marian_search *s) {
    const bool never = s->o.early_stopping == MARIAN_STOP_NEVER && s->o.length_penalty > 0;
    const int longest = never ? s->o.max_length - 1 : s->length - 1;
    if (!all_done(s)) {
        return true;
    }
    return s->n_live > 0 && s->live[0].score / norm_of(s, longest) > s->ended[s->o.beams - 1].score;
}

static void beam_step(struct marian_search *s, const struct candidate *all, int n) {
    const bool last = s->length + 1 >= s->o.max_length;
    const bool full = s->o.early_stopping == MARIAN_STOP_TRUE && all_done(s);
    for (int i = 0; i < n && i < s->o.beams; i++) {
        if (s->open && !full && (last || all[i].choice.id == s->o.eos)) {
            finish(s, &all[i], all[i].score / norm_of(s, s->length));
        }
    }
    s->length++;
    if (!last) {
        go_on(s, all, n);
    }
    s->open = s->open && could_improve(s);
    s->done = !s->open || last || s->n_live == 0 ||
              (s->o.early_stopping == MARIAN_STOP_TRUE && all_done(s));
}

/* ---- both ------------------------------------------------------------------------------------ */

static void apply(struct marian_search *s, const struct candidate *all, int n) {
    if (n == 0) {
        s->done = true; /* every id is out */
    } else if (s->o.beams == 1) {
        greedy_step(s, all);
    } else {
        beam_step(s, all, n);
    }
}

/* The one id that may follow, for each live beam. */
static void apply_forced(struct marian_search *s, int32_t id) {
    struct candidate all[MOST_CANDIDATES];
    int n = 0;
    for (int b = 0; b < s->n_live; b++) {
        const struct candidate c = {
            .score = s->live[b].score, .choice = {.id = id, .mark = -1}, .beam = b};
        enter(all, &n, 2 * s->o.beams, &c);
    }
    apply(s, all, n);
}

int marian_search_begin(struct marian_search *s, const struct marian_search_options *o,
                        struct berth_error *err) {
    struct marian_beam *const all[] = {s->live, s->next, s->ended};
    *s = (struct marian_search){.o = *o, .length = 1, .n_live = 1, .open = true};
    s->memory = bth_calloc(choices_of(o), sizeof(*s->memory));
    if (!s->memory) {
        return bth_error_nomem(err);
    }
    for (int i = 0; i < 3 * o->beams; i++) {
        all[i / o->beams][i % o->beams].choices = s->memory + (size_t)i * (size_t)o->max_length;
        all[i / o->beams][i % o->beams].score = i / o->beams == 0 ? 0 : nowhere;
    }
    if (at_forced_end(s)) {
        apply_forced(s, s->o.forced_eos);
    }
    return 0;
}

void marian_search_finish(struct marian_search *s) {
    bth_free(s->memory);
    s->memory = NULL;
}

int marian_search_wants(const struct marian_search *s) {
    return s->o.beams == 1 ? 1 : 2 * s->o.beams;
}

void marian_search_step(struct marian_search *s, const struct berth_top_out *tops) {
    struct candidate all[MOST_CANDIDATES];
    const int most = marian_search_wants(s);
    int n = 0;
    if (s->length == 1 && s->o.forced_bos >= 0) {
        apply_forced(s, s->o.forced_bos);
    } else {
        for (int b = 0; b < s->n_live; b++) {
            for (int i = 0; i < most && tops[b].id[i] >= 0; i++) {
                const struct candidate c = {.score = tops[b].logprob[i] + s->live[b].score,
                                            .choice = {.id = tops[b].id[i],
                                                       .mark = s->rows + b,
                                                       .logprob = tops[b].logprob[i]},
                                            .beam = b};
                enter(all, &n, most, &c);
            }
        }
        s->rows += s->n_live;
        apply(s, all, n);
    }
    if (!s->done && at_forced_end(s)) {
        apply_forced(s, s->o.forced_eos);
    }
}

int marian_search_ended(const struct marian_search *s) {
    int n = 0;
    while (n < s->o.beams && s->ended[n].done) {
        n++;
    }
    return n;
}

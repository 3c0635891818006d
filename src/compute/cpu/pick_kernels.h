/*
 * compute/cpu/pick_kernels.h - choosing an id per row of logits (struct berth_op_pick).
 *
 * A row is read once, in panels of BTH_PICK_PANEL ids that are split over the team. The group rule
 * needs sums over all panels before it is known whether ids below group_begin count, so each panel
 * answers for both sides of group_begin apart. After a barrier the panels of a row are combined in
 * order, and the rule is applied to the totals. `logits` is not written.
 */
#ifndef BTH_PICK_KERNELS_H
#define BTH_PICK_KERNELS_H

#include "compute/philox.h"
#include "math_kernels.h"
#include "view.h"
#include <math.h>
#include <string.h>

/* Largest first; of equals the smaller id first. id -1: none. */
struct best {
    float logit[2];
    int32_t id[2];
};

/* What one side of group_begin holds, in a panel or in a row. */
struct side {
    float max;
    double sum; /* of exp(z - max) */
    struct best best;
    double race; /* the largest of the exponential race, its id or -1 */
    int32_t race_id;
};

struct panel_result {
    float raw_max; /* of the unfiltered row */
    double raw_sum;
    struct side side[2]; /* below group_begin, from there on */
};

struct row_result {
    float max; /* of what is left of the filtered row */
    double sum;
    bool rule; /* ids below group_begin are out */
};

_Static_assert(sizeof(struct panel_result) <= BTH_PICK_RESULT_BYTES, "bth_cpu_shared_bytes");

struct pick {
    const struct berth_op_pick *op;
    struct view logits, all_probs;
    int64_t vocab, panels;
    struct panel_result *panel; /* [rows][panels] */
    struct row_result *row;     /* [rows] */
};

static struct pick pick_of(const struct bth_cpu_turn *t) {
    const struct berth_op_pick *op = &t->op->u.pick;
    const int64_t panels = (op->logits.cols + BTH_PICK_PANEL - 1) / BTH_PICK_PANEL;
    struct panel_result *panel = t->shared;
    return (struct pick){
        .op = op,
        .logits = view_of(&op->logits),
        .all_probs = view_of(&op->all_probs),
        .vocab = op->logits.cols,
        .panels = panels,
        .panel = panel,
        .row = (struct row_result *)(void *)(panel + op->logits.rows * panels),
    };
}

static void *pick_record(const struct berth_tensor *t, int64_t row) {
    return (uint32_t *)t->buffer->host + t->offset + row * t->row_stride;
}

static float exp_1(float x) {
    float lanes[16];
    v_store(lanes, v_exp(v_set1(x)));
    return lanes[0];
}

static void best_add(struct best *b, float logit, int32_t id) {
    if (id < 0) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (b->id[i] < 0 || logit > b->logit[i] || (logit == b->logit[i] && id < b->id[i])) {
            const float l = b->logit[i];
            const int32_t old = b->id[i];
            b->logit[i] = logit;
            b->id[i] = id;
            logit = l;
            id = old;
            if (id < 0) {
                return;
            }
        }
    }
}

static void forbid(float *z, int64_t first, int64_t n, int64_t begin, int64_t end) {
    const int64_t from = begin > first ? begin - first : 0;
    const int64_t to = end - first < n ? end - first : n;
    for (int64_t i = from; i < to; i++) {
        z[i] = -INFINITY;
    }
}

/* z[0, n): ids [first, first + n) after mask and ranges. */
static void filter_panel(const struct pick *p, const struct berth_pick_in *in, float *z,
                         int64_t first, int64_t n) {
    if (in->mask >= 0) {
        const struct berth_tensor *m = &p->op->mask;
        const uint32_t *words = pick_record(m, in->mask);
        for (int64_t i = 0; i < n; i += 32) {
            uint32_t word = words[(first + i) / 32];
            for (; word; word &= word - 1) {
                z[i + __builtin_ctz(word)] = -INFINITY; /* at most n rounded up to 32 */
            }
        }
    }
    for (int i = 0; i < 4; i++) {
        forbid(z, first, n, in->forbid[i][0], in->forbid[i][1]);
    }
}

/* Logits of a panel without NaN, and -inf up to a whole panel. */
static void load_panel(const struct pick *p, int64_t row, int64_t first, int64_t n, float *z) {
    const float *from = view_row(&p->logits, row) + first;
    const v16 none = v_set1(-INFINITY), lane = v_load(lane_number);
    for (int64_t i = 0; i < BTH_PICK_PANEL; i += 16) {
        const int64_t left = n - i;
        v16 v = none;
        if (left >= 16) {
            v = v_if_num(v_load(from + i), none);
        } else if (left > 0) {
            v = v_if_num(v_load_n(from + i, (int)left), none);
            v = v_if_gt(v_set1((float)left), lane, v, none);
        }
        v_store(z + i, v);
    }
}

static float panel_max(const float *z) {
    v16 max = v_set1(-INFINITY);
    for (int i = 0; i < BTH_PICK_PANEL; i += 16) {
        max = v_max(max, v_load(z + i));
    }
    return v_max_lane(max);
}

/* Sum of exp(z - max) in 16 lanes. */
static float panel_sum(const float *z, float max) {
    if (max == -INFINITY) {
        return 0;
    }
    const v16 m = v_set1(max);
    v16 sum = v_zero();
    for (int i = 0; i < BTH_PICK_PANEL; i += 16) {
        sum = v_add(sum, v_exp(v_sub(v_load(z + i), m)));
    }
    return v_sum(sum);
}

/* The best two of each lane, then of all. Ids travel as floats: they are small integers. */
static struct best panel_best(const float *z, int64_t first) {
    const v16 none = v_set1(-INFINITY), step = v_set1(16);
    v16 b0 = none, b1 = none, i0 = v_set1(-1), i1 = v_set1(-1), id = v_load(lane_number);
    for (int i = 0; i < BTH_PICK_PANEL; i += 16) {
        const v16 v = v_load(z + i);
        const v16 second = v_if_gt(v, b1, v, b1), second_id = v_if_gt(v, b1, id, i1);
        b1 = v_if_gt(v, b0, b0, second);
        i1 = v_if_gt(v, b0, i0, second_id);
        i0 = v_if_gt(v, b0, id, i0);
        b0 = v_if_gt(v, b0, v, b0);
        id = v_add(id, step);
    }
    float logit[2][16], at[2][16];
    v_store(logit[0], b0);
    v_store(logit[1], b1);
    v_store(at[0], i0);
    v_store(at[1], i1);
    struct best best = {{-INFINITY, -INFINITY}, {-1, -1}};
    for (int l = 0; l < 32; l++) {
        const float a = at[l / 16][l % 16];
        best_add(&best, logit[l / 16][l % 16], a < 0 ? -1 : (int32_t)first + (int32_t)a);
    }
    return best;
}

/*
 * The race: arg max of z/T - ln(-ln u). With e = -ln u >= 1 - u and p = exp((z - max)/T) it is the
 * arg min of e / p, so an id with (1 - u) / p well above the least e / p so far cannot win, and
 * only a few need the logarithms.
 */
static void panel_race(const struct berth_pick_in *in, const float *z, int64_t first,
                       struct side *s) {
    const double slack = 1.001; /* covers the f32 rounding of p many times over */
    const double T = (double)in->temperature;
    const v16 scale = v_set1(1.0f / in->temperature), max = v_set1(s->max);
    float p[BTH_PICK_PANEL];
    for (int i = 0; i < BTH_PICK_PANEL; i += 16) {
        v_store(p + i, v_exp(v_mul(v_sub(v_load(z + i), max), scale)));
    }
    double least = INFINITY;
    for (int i = 0; i < BTH_PICK_PANEL; i += 4) {
        if (p[i] + p[i + 1] + p[i + 2] + p[i + 3] == 0.0f) {
            continue;
        }
        const uint32_t key[2] = {in->seed_lo, in->seed_hi};
        const uint32_t counter[4] = {(uint32_t)(first + i) / 4, in->step | in->row << 16,
                                     in->window, in->attempt};
        uint32_t word[4];
        bth_philox4x32(counter, key, word);
        for (int j = 0; j < 4; j++) {
            const double u = ((double)word[j] + 0.5) * 0x1p-32;
            if (p[i + j] == 0.0f || 1.0 - u > least * (double)p[i + j] * slack) {
                continue;
            }
            const double e = -log(u), value = (double)z[i + j] / T - log(e);
            if (e / (double)p[i + j] < least) {
                least = e / (double)p[i + j];
            }
            if (s->race_id < 0 || value > s->race) {
                s->race = value;
                s->race_id = (int32_t)(first + i + j);
            }
        }
    }
}

/* z holds -inf outside of the side. */
static struct side panel_side(const struct berth_pick_in *in, const float *z, int64_t first) {
    struct side s = {.max = panel_max(z), .race_id = -1};
    s.sum = (double)panel_sum(z, s.max);
    s.best = panel_best(z, first);
    if (in->temperature > 0 && s.max > -INFINITY) {
        panel_race(in, z, first, &s);
    }
    return s;
}

static void pick_panel(const struct pick *p, int64_t row, int64_t panel) {
    const struct berth_pick_in *in = pick_record(&p->op->in, row);
    struct panel_result *out = &p->panel[row * p->panels + panel];
    const int64_t first = panel * BTH_PICK_PANEL;
    const int64_t n = p->vocab - first < BTH_PICK_PANEL ? p->vocab - first : BTH_PICK_PANEL;
    const int64_t group = in->group_begin < 0 ? p->vocab : in->group_begin;
    float z[BTH_PICK_PANEL], upper[BTH_PICK_PANEL];
    load_panel(p, row, first, n, z);
    if (in->probe >= 0) {
        out->raw_max = panel_max(z);
        out->raw_sum = (double)panel_sum(z, out->raw_max);
    }
    filter_panel(p, in, z, first, n);
    const struct side none = {-INFINITY, 0, {{-INFINITY, -INFINITY}, {-1, -1}}, 0, -1};
    out->side[0] = out->side[1] = none;
    if (group < first + n) {
        memcpy(upper, z, sizeof(upper));
        forbid(upper, first, n, 0, group);
        out->side[1] = panel_side(in, upper, first);
        forbid(z, first, n, group, p->vocab);
    }
    if (group > first) {
        out->side[0] = panel_side(in, z, first);
    }
}

/* (max, sum) of two parts. */
static void sum_add(float *max, double *sum, float more_max, double more) {
    if (more_max == -INFINITY) {
        return;
    }
    const float m = more_max > *max ? more_max : *max;
    *sum = (*max == -INFINITY ? 0 : *sum * (double)exp_1(*max - m)) +
           more * (double)exp_1(more_max - m);
    *max = m;
}

static void side_add(struct side *s, const struct side *more) {
    sum_add(&s->max, &s->sum, more->max, more->sum);
    for (int i = 0; i < 2; i++) {
        best_add(&s->best, more->best.logit[i], more->best.id[i]);
    }
    if (more->race_id >= 0 && (s->race_id < 0 || more->race > s->race)) {
        s->race = more->race;
        s->race_id = more->race_id;
    }
}

static double log_sum(float max, double sum) {
    return max == -INFINITY ? (double)-INFINITY : (double)max + log(sum);
}

static float probe_prob(const struct pick *p, int64_t row, int32_t probe) {
    const struct panel_result *panel = &p->panel[row * p->panels];
    float max = -INFINITY;
    double sum = 0;
    for (int64_t i = 0; i < p->panels; i++) {
        sum_add(&max, &sum, panel[i].raw_max, panel[i].raw_sum);
    }
    const float z = view_row(&p->logits, row)[probe];
    return isnan(z) || sum == 0 ? 0.0f : (float)((double)exp_1(z - max) / sum);
}

static void pick_row(const struct pick *p, int64_t row) {
    const struct berth_pick_in *in = pick_record(&p->op->in, row);
    struct berth_pick_out *out = pick_record(&p->op->out, row);
    const struct panel_result *panel = &p->panel[row * p->panels];
    struct side low = panel[0].side[0], high = panel[0].side[1];
    for (int64_t i = 1; i < p->panels; i++) {
        side_add(&low, &panel[i].side[0]);
        side_add(&high, &panel[i].side[1]);
    }
    const double range = log_sum(high.max, high.sum);
    const bool rule = in->group_begin >= 0 && range > (double)low.max;
    struct side left = high;
    if (!rule) {
        left = low;
        side_add(&left, &high);
    }
    const int32_t id = in->temperature > 0 && left.race_id >= 0 ? left.race_id : left.best.id[0];
    const double z = id < 0 ? (double)-INFINITY : (double)view_row(&p->logits, row)[id];
    *out = (struct berth_pick_out){
        .id = id,
        .logprob = id < 0 ? -INFINITY : (float)(z - log_sum(left.max, left.sum)),
        .top_id = {left.best.id[0], left.best.id[1]},
        .top_logit = {left.best.logit[0], left.best.logit[1]},
        .probe_prob = in->probe < 0 ? 0.0f : probe_prob(p, row, in->probe),
        .group_margin = in->group_begin < 0 ? NAN : (float)(range - (double)low.max),
    };
    p->row[row] = (struct row_result){left.max, left.sum, rule};
}

/* The softmax of the filtered row, panel by panel. */
static void pick_probs(const struct pick *p, int64_t row, int64_t panel) {
    const struct berth_pick_in *in = pick_record(&p->op->in, row);
    const struct row_result *r = &p->row[row];
    const int64_t first = panel * BTH_PICK_PANEL;
    const int64_t n = p->vocab - first < BTH_PICK_PANEL ? p->vocab - first : BTH_PICK_PANEL;
    float z[BTH_PICK_PANEL];
    load_panel(p, row, first, n, z);
    filter_panel(p, in, z, first, n);
    if (r->rule) {
        forbid(z, first, n, 0, in->group_begin);
    }
    float *to = view_row(&p->all_probs, row) + first;
    const v16 max = v_set1(r->max), scale = v_set1((float)(1.0 / r->sum));
    for (int64_t i = 0; i < n; i += 16) {
        const v16 e = r->sum > 0 ? v_exp(v_sub(v_load(z + i), max)) : v_zero();
        v_store_n(to + i, r->sum > 0 ? v_mul(e, scale) : e, n - i < 16 ? (int)(n - i) : 16);
    }
}

static void op_pick(const struct bth_cpu_turn *t) {
    const struct pick p = pick_of(t);
    int64_t first, end, first_row, end_row;
    share_of(t->rows * p.panels, t->member, t->n_members, &first, &end);
    share_of(t->rows, t->member, t->n_members, &first_row, &end_row);
    for (int64_t i = first; i < end; i++) {
        pick_panel(&p, i / p.panels, i % p.panels);
    }
    wait_for_all(t);
    for (int64_t r = first_row; r < end_row; r++) {
        pick_row(&p, r);
    }
    if (p.all_probs.base) {
        wait_for_all(t);
        for (int64_t i = first; i < end; i++) {
            pick_probs(&p, i / p.panels, i % p.panels);
        }
    }
}

#endif

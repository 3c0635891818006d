/*
 * compute/cpu/top_kernels.h - the most likely ids of a row of logits (struct berth_op_top).
 *
 * First every panel of BTH_PICK_PANEL ids is read once, split over the team: its maximum, its sum.
 * The k-th largest maximum of a row's panels is then a floor under its k-th largest logit, so few
 * panels have to be read again, and of them few ids are looked at one by one.
 */
#ifndef BTH_TOP_KERNELS_H
#define BTH_TOP_KERNELS_H

#include "pick_kernels.h"

struct top_panel {
    float max;     /* of what is left */
    float sum_max; /* of what the sum is over */
    double sum;    /* of exp(z - sum_max) */
};

_Static_assert(sizeof(struct top_panel) <= BTH_PICK_RESULT_BYTES, "bth_cpu_shared_bytes");

struct top {
    const struct berth_op_top *op;
    struct view logits;
    int64_t panels;
    struct top_panel *panel; /* [rows][panels] */
};

/* The ids that lead, best first. */
struct leaders {
    int32_t id[BERTH_TOP];
    float z[BERTH_TOP];
    int n, k;
};

static int64_t top_columns(const struct top *p, const struct berth_top_in *in) {
    return in->n < p->op->logits.cols ? in->n : p->op->logits.cols;
}

/* Logits of a panel without NaN, and -inf up to a whole panel. */
static void top_load(const struct top *p, const struct berth_top_in *in, int64_t row, int64_t first,
                     float *z) {
    const struct pick as_pick = {.logits = p->logits};
    const int64_t left = top_columns(p, in) - first;
    load_panel(&as_pick, row, first, left < BTH_PICK_PANEL ? left : BTH_PICK_PANEL, z);
}

static void top_forbid(const struct berth_top_in *in, int64_t first, float *z) {
    for (int i = 0; i < BERTH_TOP_FORBID; i++) {
        const int64_t at = in->forbid[i] - first;
        if (in->forbid[i] >= 0 && at >= 0 && at < BTH_PICK_PANEL) {
            z[at] = -INFINITY;
        }
    }
}

static void top_panel(const struct top *p, int64_t row, int64_t panel) {
    const struct berth_top_in *in = pick_record(&p->op->in, row);
    struct top_panel *out = &p->panel[row * p->panels + panel];
    const int64_t first = panel * BTH_PICK_PANEL;
    float z[BTH_PICK_PANEL];
    *out = (struct top_panel){-INFINITY, -INFINITY, 0};
    if (first >= top_columns(p, in)) {
        return;
    }
    top_load(p, in, row, first, z);
    if (in->all) {
        out->sum_max = panel_max(z);
        out->sum = (double)panel_sum(z, out->sum_max);
    }
    top_forbid(in, first, z);
    out->max = panel_max(z);
    if (!in->all) {
        out->sum_max = out->max;
        out->sum = (double)panel_sum(z, out->max);
    }
}

/* The k-th largest maximum of the panels; -inf where there are fewer. */
static float top_floor(const struct top_panel *panel, int64_t panels, int k) {
    float largest[BERTH_TOP];
    int n = 0;
    for (int64_t i = 0; i < panels; i++) {
        int at = n < k ? n++ : k;
        while (at > 0 && largest[at - 1] < panel[i].max) {
            if (at < k) {
                largest[at] = largest[at - 1];
            }
            at--;
        }
        if (at < k) {
            largest[at] = panel[i].max;
        }
    }
    return n < k ? -INFINITY : largest[k - 1];
}

/* Ids come in ascending order, so of equal ones the first stays ahead. */
static void lead(struct leaders *l, float z, int32_t id) {
    int at = l->n;
    if (at == l->k) {
        if (!(z > l->z[at - 1])) {
            return;
        }
        at--;
    } else {
        l->n++;
    }
    for (; at > 0 && z > l->z[at - 1]; at--) {
        l->z[at] = l->z[at - 1];
        l->id[at] = l->id[at - 1];
    }
    l->z[at] = z;
    l->id[at] = id;
}

static void lead_panel(struct leaders *l, const float *z, int64_t first, float floor) {
    for (int i = 0; i < BTH_PICK_PANEL; i += 16) {
        const float best = v_max_lane(v_load(z + i));
        if (best < floor || best == -INFINITY || (l->n == l->k && !(best > l->z[l->k - 1]))) {
            continue;
        }
        for (int j = i; j < i + 16; j++) {
            if (z[j] >= floor && z[j] > -INFINITY) {
                lead(l, z[j], (int32_t)(first + j));
            }
        }
    }
}

static void top_row(const struct top *p, int64_t row) {
    const struct berth_top_in *in = pick_record(&p->op->in, row);
    struct berth_top_out *out = pick_record(&p->op->out, row);
    const struct top_panel *panel = &p->panel[row * p->panels];
    struct leaders l = {.k = in->k < BERTH_TOP ? in->k : BERTH_TOP};
    const float floor = top_floor(panel, p->panels, l.k);
    float max = -INFINITY, z[BTH_PICK_PANEL];
    double sum = 0;
    for (int64_t i = 0; i < p->panels; i++) {
        sum_add(&max, &sum, panel[i].sum_max, panel[i].sum);
        if (panel[i].max >= floor && panel[i].max > -INFINITY) {
            top_load(p, in, row, i * BTH_PICK_PANEL, z);
            top_forbid(in, i * BTH_PICK_PANEL, z);
            lead_panel(&l, z, i * BTH_PICK_PANEL, floor);
        }
    }
    const double total = log_sum(max, sum);
    for (int i = 0; i < BERTH_TOP; i++) {
        out->id[i] = i < l.n ? l.id[i] : -1;
        out->logprob[i] = i < l.n ? (float)((double)l.z[i] - total) : -INFINITY;
    }
}

static void op_top(const struct bth_cpu_turn *t) {
    const struct berth_op_top *op = &t->op->u.top;
    const struct top p = {.op = op,
                          .logits = view_of(&op->logits),
                          .panels = (op->logits.cols + BTH_PICK_PANEL - 1) / BTH_PICK_PANEL,
                          .panel = t->shared};
    const struct row_share rows = row_share_of(t);
    int64_t first, end;
    share_of((rows.end - rows.first) * p.panels, rows.part, rows.parts, &first, &end);
    for (int64_t i = first; i < end; i++) {
        top_panel(&p, rows.first + i / p.panels, i % p.panels);
    }
    wait_for_all(t);
    share_of(rows.end - rows.first, rows.part, rows.parts, &first, &end);
    for (int64_t r = first; r < end; r++) {
        top_row(&p, rows.first + r);
    }
}

#endif

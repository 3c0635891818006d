#include "spacy/spacy_transition.h"

#include "base/alloc.h"
#include "base/error.h"
#include "compute/ops.h"
#include "compute/tensor.h"
#include <string.h>

enum {
    STATE_ROWS = 1 + SPACY_ROWS + SPACY_STATES, /* row 0: the part of a token that is missing */
    MAX_STEPS = 4 * SPACY_ROWS,                 /* of a turn */
    MAX_PARTS = 1 << 16                         /* columns of a token's parts */
};

struct spacy_transition {
    struct spacy_scratch *scratch;
    struct spacy_linear project; /* [hidden, width] */
    struct spacy_linear lower;   /* [features * pieces * n, hidden]; its bias belongs to the sum */
    struct spacy_linear upper;   /* [classes, n]; w NULL: the sums are the scores */
    float *missing;              /* [features * pieces * n] */
    int64_t features, pieces, n, classes;
    struct berth_program *parts, *step;
};

/* ---- loading ---------------------------------------------------------------------------------*/

/* [features, n, pieces] of `row` floats each to [features, pieces, n]. */
static float *by_piece(const struct spacy_transition *t, const float *from, int64_t features,
                       int64_t row) {
    const int64_t each = t->n * t->pieces;
    float *to = bth_calloc((size_t)(features * each), (size_t)row * sizeof(*to));
    for (int64_t i = 0; to && i < features * each; i++) {
        const int64_t f = i / each, o = i % each / t->pieces, p = i % t->pieces;
        memcpy(to + (f * each + p * t->n + o) * row, from + i * row, (size_t)row * sizeof(*to));
    }
    return to;
}

/* A parameter in the order of by_piece, or NULL and an error. */
static float *read_by_piece(const struct spacy_transition *t, const struct spacy_loader *l,
                            const struct bth_source_tensor *param, int64_t features, int64_t row) {
    float *from = spacy_layer_floats(l, param);
    float *to = from ? by_piece(t, from, features, row) : NULL;
    if (from && !to) {
        bth_error_nomem(l->err);
    }
    bth_free(from);
    return to;
}

static int bad_shape(const struct spacy_loader *l) {
    return bth_error(l->err, BERTH_EFORMAT, "%s/model: its layers do not fit together", l->name);
}

/* The precomputable_affine node: W [features, n, pieces, hidden], b [n, pieces], pad [1, features,
 * n, pieces]. */
static int load_lower(struct spacy_transition *t, const struct spacy_loader *l,
                      const struct bth_thinc_node *node) {
    const struct bth_source_tensor *w = spacy_layer_param(l, node, "W", 4);
    const struct bth_source_tensor *b = w ? spacy_layer_param(l, node, "b", 2) : NULL;
    const struct bth_source_tensor *pad = b ? spacy_layer_param(l, node, "pad", 4) : NULL;
    if (!pad) {
        return spacy_layer_failed(l);
    }
    t->features = w->dims[0];
    t->n = w->dims[1];
    t->pieces = w->dims[2];
    t->lower.k = w->dims[3];
    t->lower.n = t->features * t->n * t->pieces;
    if (t->features > SPACY_MAX_FEATURES || t->lower.n > MAX_PARTS || b->dims[0] != t->n ||
        b->dims[1] != t->pieces || pad->dims[0] != 1 || pad->dims[1] != t->features ||
        pad->dims[2] != t->n || pad->dims[3] != t->pieces) {
        return bad_shape(l);
    }
    float *rows = read_by_piece(t, l, w, t->features, t->lower.k);
    float *bias = rows ? read_by_piece(t, l, b, 1, 1) : NULL;
    t->missing = bias ? read_by_piece(t, l, pad, t->features, 1) : NULL;
    int rc = t->missing
                 ? l->device->ops->weight_create(l->device, l->weights, BERTH_F32, t->lower.n,
                                                 t->lower.k, rows, &t->lower.w, l->err)
                 : spacy_layer_failed(l);
    if (rc == 0) {
        rc = spacy_layer_tensor(l, bias, 1, t->n * t->pieces, &t->lower.bias);
    }
    bth_free(rows);
    bth_free(bias);
    return rc;
}

/* The node behind a reference of the first parser_model node; NULL: none. */
static const struct bth_thinc_node *referred(const struct spacy_loader *l, const char *name) {
    size_t at = 0;
    const struct bth_thinc_node *model = spacy_layer_next(l, "parser_model", &at);
    const int64_t i = model ? bth_thinc_ref(model, name) : -1;
    return i < 0 ? NULL : bth_thinc_at(l->file, (size_t)i);
}

static int load_parts(struct spacy_transition *t, const struct spacy_loader *l) {
    const struct bth_thinc_node *lower = referred(l, "lower"), *upper = referred(l, "upper");
    const struct bth_thinc_node *project;
    size_t at = 0;
    if (!lower) {
        return bth_error(l->err, BERTH_EFORMAT, "%s/model is no transition model", l->name);
    }
    if (upper && strcmp(upper->name, "linear") != 0) {
        upper = NULL; /* a layer that does nothing */
    }
    do { /* the other linear layer */
        project = spacy_layer_next(l, "linear", &at);
    } while (project && project == upper);
    if (!project) {
        return bad_shape(l);
    }
    int rc = load_lower(t, l, lower);
    if (rc == 0) {
        rc = spacy_linear_load(l, project, &t->project);
    }
    if (rc == 0 && upper) {
        rc = spacy_linear_load(l, upper, &t->upper);
    }
    t->classes = upper ? t->upper.n : t->n;
    if (rc == 0 && (t->project.n != t->lower.k || (upper && t->upper.k != t->n))) {
        rc = bad_shape(l);
    }
    return rc;
}

int spacy_transition_load(const struct spacy_loader *l, const struct spacy_moves *moves,
                          struct spacy_transition **out) {
    struct spacy_transition *t = bth_calloc(1, sizeof(*t));
    if (!t) {
        return bth_error_nomem(l->err);
    }
    int rc = load_parts(t, l);
    if (rc == 0 && t->classes != moves->n) {
        rc = bth_error(l->err, BERTH_EFORMAT, "%s/moves has %lld moves, the model %lld classes",
                       l->name, (long long)moves->n, (long long)t->classes);
    }
    if (rc < 0) {
        spacy_transition_destroy(t);
        return rc;
    }
    *out = t;
    return 0;
}

void spacy_transition_destroy(struct spacy_transition *t) {
    if (t) {
        if (t->scratch) {
            bth_program_destroy(t->scratch->device, t->parts);
            bth_program_destroy(t->scratch->device, t->step);
        }
        spacy_linear_finish(&t->project);
        spacy_linear_finish(&t->lower);
        spacy_linear_finish(&t->upper);
        bth_free(t->missing);
        bth_free(t);
    }
}

int64_t spacy_transition_width(const struct spacy_transition *t) {
    return t->project.k;
}

int spacy_transition_features(const struct spacy_transition *t) {
    return (int)t->features;
}

void spacy_transition_need(const struct spacy_transition *t, struct spacy_scratch *s) {
    const int64_t hidden = t->project.n > t->n ? t->project.n : t->n;
    spacy_scratch_need(&s->product_floats, SPACY_ROWS, hidden);
    spacy_scratch_need(&s->score_floats, SPACY_ROWS, t->classes);
    spacy_scratch_need(&s->state_floats, STATE_ROWS, t->lower.n);
    s->width = t->project.k > s->width ? t->project.k : s->width;
    s->ids_per_row = t->features > s->ids_per_row ? t->features : s->ids_per_row;
}

/* ---- programs --------------------------------------------------------------------------------*/

static int build_parts(struct spacy_transition *t, struct berth_error *err) {
    const struct spacy_scratch *s = t->scratch;
    const struct berth_tensor hidden =
        bth_tensor(s->product, BERTH_F32, 0, SPACY_ROWS, t->project.n);
    struct berth_tensor parts = bth_tensor(s->states, BERTH_F32, 0, SPACY_ROWS, t->lower.n);
    parts.index = s->slot;
    parts.group_rows = SPACY_ROWS;
    parts.group_stride = t->lower.n;
    struct bth_builder b;
    bth_builder_init(&b, s->device);
    bth_op_linear(&b, 0,
                  &(struct berth_op_linear){.x = bth_tensor(s->x, BERTH_F32,
                                                            (size_t)(SPACY_GUARD * t->project.k),
                                                            SPACY_ROWS, t->project.k),
                                            .bias = t->project.bias,
                                            .w = t->project.w,
                                            .y = hidden});
    bth_op_linear(&b, 0, &(struct berth_op_linear){.x = hidden, .w = t->lower.w, .y = parts});
    return bth_builder_build(&b, s->workspace, &t->parts, err);
}

static int build_step(struct spacy_transition *t, struct berth_error *err) {
    const struct spacy_scratch *s = t->scratch;
    const struct berth_tensor scores = bth_tensor(s->scores, BERTH_F32, 0, SPACY_ROWS, t->classes);
    const struct berth_tensor hidden = bth_tensor(s->product, BERTH_F32, 0, SPACY_ROWS, t->n);
    struct bth_builder b;
    bth_builder_init(&b, s->device);
    bth_op_gather_max(&b, 0,
                      &(struct berth_op_gather_max){
                          .ids = bth_tensor(s->ids, BERTH_I32, 0, SPACY_ROWS, t->features),
                          .x = bth_tensor(s->states, BERTH_F32, 0, STATE_ROWS, t->lower.n),
                          .bias = t->lower.bias,
                          .y = t->upper.w ? hidden : scores,
                          .pieces = t->pieces});
    if (t->upper.w) {
        bth_op_linear(&b, 0,
                      &(struct berth_op_linear){
                          .x = hidden, .bias = t->upper.bias, .w = t->upper.w, .y = scores});
    }
    return bth_builder_build(&b, s->workspace, &t->step, err);
}

int spacy_transition_build(struct spacy_transition *t, struct spacy_scratch *s,
                           struct berth_error *err) {
    t->scratch = s;
    int rc = build_parts(t, err);
    return rc < 0 ? rc : build_step(t, err);
}

/* ---- a turn ----------------------------------------------------------------------------------*/

/* One turn's parts: slot 1 + i belongs to the i-th token here. */
struct parts {
    const struct spacy_transition *t;
    int32_t *used[SPACY_ROWS + SPACY_STATES];
    int n, made; /* the first `made` lie on the device */
    struct berth_error *err;
};

static int device_failed(const struct parts *p, int rc) {
    return bth_error(p->err, rc, "%s: moving a turn's data failed", p->t->scratch->device->name);
}

/* Gives a token a slot and puts its vector in line; false: there is no room in this turn, or *rc is
 * why the device failed. */
static bool add_part(struct parts *p, const struct spacy_walk *w, uint32_t token, int *rc) {
    const struct spacy_scratch *s = p->t->scratch;
    const size_t width = (size_t)p->t->project.k;
    const int at = p->n - p->made;
    if (p->n == SPACY_ROWS + SPACY_STATES || at == SPACY_ROWS) {
        return false;
    }
    *rc =
        spacy_scratch_put(s, (size_t)at, w->vectors ? w->vectors + token * width : NULL, 1, width);
    if (*rc < 0) {
        return false;
    }
    p->used[p->n] = &w->slots[token];
    w->slots[token] = 1 + p->n++;
    return true;
}

/* Computes the parts of the tokens that were added since. */
static int make_parts(struct parts *p) {
    const struct spacy_scratch *s = p->t->scratch;
    const uint32_t live[BERTH_MAX_LIVE] = {(uint32_t)(p->n - p->made)};
    const int32_t first = 1 + p->made;
    if (live[0] == 0) {
        return 0;
    }
    p->made = p->n;
    int rc = s->device->ops->write(s->slot, 0, &first, sizeof(first));
    return rc < 0 ? device_failed(p, rc) : s->device->ops->program_run(p->t->parts, live, p->err);
}

/* The row of ids of a walk's state; false: as add_part. */
static bool add_state(struct parts *p, const struct spacy_walk *w, int32_t *ids, int *rc) {
    int32_t tokens[SPACY_MAX_FEATURES];
    w->machine->context(w->state, tokens);
    for (int f = 0; f < p->t->features; f++) {
        if (tokens[f] >= 0 && !w->slots[tokens[f]] && !add_part(p, w, (uint32_t)tokens[f], rc)) {
            return false;
        }
        ids[f] = tokens[f] < 0 ? 0 : w->slots[tokens[f]];
    }
    return true;
}

static void swap(struct spacy_walk *a, struct spacy_walk *b) {
    const struct spacy_walk t = *a;
    *a = *b;
    *b = t;
}

/* Swaps those of walks[0, n) that cannot go on in this turn behind the others, and returns how many
 * others there are; their rows of ids are set. */
static size_t keep_walking(struct spacy_walk *walks, size_t n, struct parts *p, int *rc) {
    const struct spacy_scratch *s = p->t->scratch;
    size_t kept = 0;
    while (*rc == 0 && kept < n) {
        const struct spacy_walk *w = &walks[kept];
        int32_t *ids = s->host_ids + kept * (size_t)p->t->features;
        const bool beyond = w->window < w->n && w->machine->ahead(w->state) + 1 >= w->window;
        if (w->machine->ended(w->state) || beyond || !add_state(p, w, ids, rc)) {
            swap(&walks[kept], &walks[--n]);
        } else {
            kept++;
        }
    }
    return kept;
}

static int step(struct parts *p, struct spacy_walk *walks, size_t n) {
    const struct spacy_scratch *s = p->t->scratch;
    const struct berth_backend_ops *ops = s->device->ops;
    const uint32_t live[BERTH_MAX_LIVE] = {(uint32_t)n};
    const size_t classes = (size_t)p->t->classes;
    int rc = make_parts(p);
    if (rc < 0) {
        return rc;
    }
    rc = ops->write(s->ids, 0, s->host_ids, n * (size_t)p->t->features * sizeof(*s->host_ids));
    if (rc == 0) {
        rc = ops->program_run(p->t->step, live, p->err);
        if (rc < 0) {
            return rc;
        }
        rc = ops->read(s->scores, 0, s->host_scores, n * classes * sizeof(*s->host_scores));
    }
    for (size_t i = 0; rc == 0 && i < n; i++) {
        walks[i].machine->advance(walks[i].state, s->host_scores + i * classes);
    }
    return rc < 0 ? device_failed(p, rc) : 0;
}

/* The parts of the tokens ahead. w->window becomes the token behind them. */
static void look_ahead(struct parts *p, struct spacy_walk *w, int *rc) {
    const uint32_t ahead = w->machine->ahead(w->state);
    uint32_t end = w->n - ahead < w->window ? w->n : ahead + w->window;
    for (uint32_t i = ahead; *rc == 0 && i < end; i++) {
        if (!add_part(p, w, i, rc)) {
            end = i;
        }
    }
    w->window = end;
}

int spacy_transition_run(const struct spacy_transition *t, struct spacy_walk *walks, size_t n,
                         struct berth_error *err) {
    const struct spacy_scratch *s = t->scratch;
    struct parts p = {.t = t, .err = err};
    int rc = s->device->ops->write(s->states, 0, t->missing, (size_t)t->lower.n * sizeof(float));
    for (size_t i = 0; rc == 0 && i < n; i++) {
        look_ahead(&p, &walks[i], &rc);
    }
    rc = rc < 0 ? device_failed(&p, rc) : make_parts(&p);
    for (int steps = 0; rc == 0 && steps < MAX_STEPS; steps++) {
        n = keep_walking(walks, n, &p, &rc);
        if (rc < 0) {
            rc = device_failed(&p, rc);
        } else if (n == 0) {
            break;
        } else {
            rc = step(&p, walks, n);
        }
    }
    for (int i = 0; i < p.n; i++) {
        *p.used[i] = 0;
    }
    return rc;
}

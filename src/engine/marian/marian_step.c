/* STEP turns: one id of every beam of every sentence that is in flight. */
#include "marian/marian_turn.h"

#include "base/alloc.h"
#include "base/error.h"
#include <math.h>
#include <string.h>

static struct berth_top_in *top_inputs(struct marian_model *m) {
    return (struct berth_top_in *)(m->host_inputs + m->layout.tops);
}

/* Where an id is in a row of logits; -1: not in this one. */
static int32_t column_of(const struct marian_flight *f, int32_t id) {
    size_t low = 0, high = f->n_list;
    if (!f->list) {
        return id;
    }
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (f->list[middle] < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < f->n_list && f->list[low] == id ? (int32_t)low : -1;
}

static void top_of(const struct marian_flight *f, struct berth_top_in *out) {
    const struct marian_config *c = &marian_session_model(f->session)->config;
    int n = 0;
    *out = (struct berth_top_in){.n = f->list ? (int32_t)f->n_list : (int32_t)c->target_vocab,
                                 .k = marian_search_wants(&f->search),
                                 .all = !c->renormalize_logits && !f->list};
    for (int i = 0; i < BERTH_TOP_FORBID; i++) {
        out->forbid[i] = -1;
    }
    if (c->suppress_unk && c->unk >= 0) {
        out->forbid[n++] = column_of(f, c->unk);
    }
    for (int32_t i = 0; i < c->n_bad_words && n < BERTH_TOP_FORBID; i++) {
        out->forbid[n++] = column_of(f, c->bad_ids[i]);
    }
}

static void add_beam(struct marian_model *m, uint32_t r, const struct marian_flight *f, int beam) {
    const struct marian_inputs *l = &m->layout;
    const struct marian_beam *b = &f->search.live[beam];
    const int pos = f->search.length - 1;
    const int32_t start = m->config.start_from_zero ? -1 : m->config.start;
    const int32_t *history = f->history + beam * f->width;
    marian_turn_words(m, l->ids)[r] = pos == 0 ? start : b->choices[pos - 1].id;
    marian_turn_words(m, l->pos)[r] = pos;
    marian_turn_words(m, l->len)[r] = pos + 1;
    marian_turn_words(m, l->cross_len)[r] = (int32_t)f->session->sentences[f->sentence].n_tokens;
    memcpy(marian_turn_words(m, l->cross_table) + r * (size_t)marian_source_pages(m), f->slots,
           (size_t)f->n_source * sizeof(int32_t));
    marian_turn_words(m, l->to)[r] = marian_flight_where(f, f->written[beam]);
    marian_turn_words(m, l->from)[r] = pos == 0 ? -1 : marian_flight_where(f, history[0]);
    marian_turn_words(m, l->list)[r] = f->list ? f->list_row : 0;
    marian_turn_words(m, l->count)[r] = (int32_t)f->n_list;
    top_of(f, &top_inputs(m)[r]);
    if (m->config.decoder == MARIAN_DECODER_SSRU) {
        return;
    }
    int32_t *table = marian_turn_words(m, l->table) + r * (size_t)m->target_most;
    for (int i = 0; i < pos; i++) {
        table[i] = marian_flight_where(f, history[i]);
    }
    table[pos] = marian_turn_words(m, l->to)[r];
}

/* A place for each of its live beams; sentences that are younger make room. */
static int find_places(struct marian_session *s, int i) {
    struct marian_flight *f = s->flights[i];
    for (int b = 0; b < f->search.n_live; b++) {
        int rc = marian_flight_place(f, b);
        while (rc == BERTH_EBUDGET && s->n_flights > i + 1) {
            marian_turn_back(s);
            rc = marian_flight_place(f, b);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* A sentence's list lies in the table's row that its first beam has in the turn; often it is there
 * from the turn before. */
static int place_list(struct marian_model *m, struct marian_flight *f, uint32_t first_row,
                      struct berth_error *err) {
    const size_t columns = (size_t)m->config.target_vocab;
    f->list_row = (int)first_row;
    if (!f->list || m->list_owner[first_row] == f->list_number) {
        return 0;
    }
    m->list_owner[first_row] = 0; /* nobody's, should the write fail half way */
    int rc = m->base.device->ops->write(m->lists, first_row * columns * 4, f->list,
                                        f->n_list * sizeof(*f->list));
    if (rc < 0) {
        return bth_error(err, rc, "%s: writing a shortlist failed", m->base.device->name);
    }
    m->list_owner[first_row] = f->list_number;
    return 0;
}

static int add_flights(struct marian_model *m, struct marian_session *s, uint32_t *rows,
                       struct berth_error *err) {
    for (int i = 0; s->rc == 0 && i < s->n_flights; i++) {
        struct marian_flight *f = s->flights[i];
        int rc = find_places(s, i);
        if (rc == BERTH_EBUDGET && i > 0) {
            marian_turn_back(s); /* it is the youngest */
            break;
        }
        if (rc < 0) {
            marian_fail(s, rc);
            return 0;
        }
        f->n_rows = f->search.n_live;
        rc = place_list(m, f, *rows, err);
        if (rc < 0) {
            return rc;
        }
        for (int b = 0; b < f->n_rows; b++) {
            add_beam(m, (*rows)++, f, b);
        }
    }
    return 0;
}

int marian_step_enqueue(struct marian_model *m, struct berth_batch *b, struct berth_error *err) {
    uint32_t rows = 0;
    int bucket = 0, rc = 0;
    for (uint32_t i = 0; rc == 0 && i < b->n; i++) {
        const uint32_t before = rows;
        rc = add_flights(m, marian_turn_session(b, i), &rows, err);
        rows = marian_turn_session(b, i)->rc < 0 ? before : rows;
    }
    if (rc < 0 || rows == 0) {
        return rc;
    }
    while ((1U << bucket) < rows) {
        bucket++;
    }
    const bool recurrent = m->config.decoder == MARIAN_DECODER_SSRU; /* it has no histories */
    rc = marian_turn_send(m, rows, recurrent ? 0 : (size_t)m->target_most, err);
    return rc < 0 ? rc : marian_turn_run(m, m->step[bucket], rows, err);
}

/* Products of heads become probabilities, and their mean, or the one head that is asked for. */
static void align_row(const struct marian_config *c, const float *scores, size_t pitch, size_t n,
                      float *out) {
    const int first = c->alignment_head >= 0 ? c->alignment_head : 0;
    const int end = c->alignment_head >= 0 ? first + 1 : (int)c->decoder_heads;
    memset(out, 0, n * sizeof(*out));
    for (int h = first; h < end; h++) {
        const float *z = scores + (size_t)h * pitch;
        double most = -INFINITY, sum = 0;
        for (size_t i = 0; i < n; i++) {
            most = fmax(most, (double)z[i]);
        }
        for (size_t i = 0; i < n; i++) {
            sum += exp((double)z[i] - most);
        }
        for (size_t i = 0; i < n; i++) {
            out[i] += (float)(exp((double)z[i] - most) / sum / (end - first));
        }
    }
}

/* Attention of the flight's rows, from row `first` of the turn on. */
static int keep_marks(struct marian_model *m, struct marian_flight *f, uint32_t first) {
    struct marian_session *s = f->session;
    const size_t n = s->sentences[f->sentence].n_tokens, rows = (size_t)f->search.rows;
    const size_t heads = (size_t)m->config.decoder_heads;
    const size_t pitch = (size_t)marian_source_pages(m) * MARIAN_PAGE;
    float *scores = bth_alloc(heads * pitch * sizeof(*scores));
    int rc = scores ? 0 : bth_error_nomem(&s->err);
    for (int r = 0; rc == 0 && r < f->n_rows; r++) {
        rc = m->base.device->ops->read(m->scores,
                                       (first + (size_t)r) * heads * pitch * sizeof(*scores),
                                       scores, heads * pitch * sizeof(*scores));
        if (rc < 0) {
            bth_error(&s->err, rc, "%s: reading an alignment failed", m->base.device->name);
        } else {
            align_row(&m->config, scores, pitch, n, f->marks + (rows + (size_t)r) * n);
        }
    }
    bth_free(scores);
    return rc;
}

/* Tops of a flight's rows: ids of the list become those of the vocabulary. */
static void step_flight(struct marian_flight *f, struct berth_top_out *tops) {
    const int k = marian_search_wants(&f->search);
    for (int r = 0; f->list && r < f->n_rows; r++) {
        for (int i = 0; i < k && tops[r].id[i] >= 0; i++) {
            tops[r].id[i] = f->list[tops[r].id[i]];
        }
    }
    marian_search_step(&f->search, tops);
    if (!f->search.done) {
        marian_flight_follow(f);
    }
}

static uint32_t rows_of(const struct marian_session *s) {
    uint32_t rows = 0;
    for (int i = 0; i < s->n_flights; i++) {
        rows += (uint32_t)s->flights[i]->n_rows;
    }
    return rows;
}

/* The session's rows begin at `row`. Flights may end, and younger ones turn back, on the way. */
static void settle_session(struct marian_model *m, struct marian_session *s, uint32_t row) {
    const bool marks = s->options.alignment || s->html || s->glossary;
    int rc = 0;
    for (int i = 0; rc == 0 && i < s->n_flights;) {
        struct marian_flight *f = s->flights[i];
        const uint32_t first = row;
        row += (uint32_t)f->n_rows;
        if (marks) {
            rc = keep_marks(m, f, first);
        }
        step_flight(f, m->host_outputs + first);
        if (rc == 0 && f->search.done) {
            rc = marian_turn_land(s, i);
        } else {
            i++;
        }
    }
    if (rc < 0) {
        marian_fail(s, rc);
    }
}

int marian_step_settle(struct marian_model *m, struct berth_batch *b, struct berth_error *err) {
    uint32_t rows = 0, row = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        const struct marian_session *s = marian_turn_session(b, i);
        rows += s->rc == 0 ? rows_of(s) : 0;
    }
    int rc = rows ? m->base.device->ops->read(m->outputs, 0, m->host_outputs,
                                              rows * sizeof(*m->host_outputs))
                  : 0;
    if (rc < 0) {
        return bth_error(err, rc, "%s: reading a turn's results failed", m->base.device->name);
    }
    for (uint32_t i = 0; i < b->n; i++) {
        struct marian_session *s = marian_turn_session(b, i);
        const uint32_t first = row;
        if (s->rc == 0) {
            row += rows_of(s);
            settle_session(m, s, first);
        }
    }
    return 0;
}

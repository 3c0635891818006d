/* Turns: what many sessions want is written to the device in one block, run, and read back. */
#include "marian/marian_turn.h"

#include "base/error.h"
#include <string.h>

/* Words [at, at + n) of the block. */
static int send(struct marian_model *m, size_t at, size_t n, struct berth_error *err) {
    int rc = m->base.device->ops->write(m->inputs, at * 4, m->host_inputs + at, n * 4);
    return rc < 0 ? bth_error(err, rc, "%s: writing a turn's inputs failed", m->base.device->name)
                  : 0;
}

int marian_turn_send(struct marian_model *m, uint32_t rows, size_t own_columns,
                     struct berth_error *err) {
    const struct marian_inputs *l = &m->layout;
    int rc = send(m, 0, l->cross_table, err);
    if (rc == 0) {
        rc = send(m, l->cross_table, rows * (size_t)marian_source_pages(m), err);
    }
    return rc < 0 ? rc : send(m, l->table, rows * own_columns, err);
}

int marian_turn_run(const struct marian_model *m, struct berth_program *p, uint32_t rows,
                    struct berth_error *err) {
    const uint32_t live[BERTH_MAX_LIVE] = {rows};
    return m->base.device->ops->program_run(p, live, err);
}

/* ---- ENCODE ---------------------------------------------------------------------------------- */

struct encoding {
    struct marian_model *m;
    uint32_t rows, pages;
};

/* The ids of a sentence behind those that are there. */
static void add_source(struct encoding *e, const struct marian_flight *f) {
    struct marian_model *m = e->m;
    const struct marian_sentence *s = &f->session->sentences[f->sentence];
    const size_t columns = (size_t)marian_source_pages(m);
    for (size_t i = 0; i < s->n_tokens; i++) {
        const uint32_t r = e->rows++;
        marian_turn_words(m, m->layout.ids)[r] = s->tokens[i].id;
        marian_turn_words(m, m->layout.pos)[r] = (int32_t)i;
        marian_turn_words(m, m->layout.len)[r] = (int32_t)s->n_tokens;
        for (int p = 0; p < f->n_source; p++) {
            marian_turn_words(m, m->layout.table)[r * columns + (size_t)p] = (int32_t)e->pages + p;
            marian_turn_words(m, m->layout.cross_table)[r * columns + (size_t)p] = f->slots[p];
        }
    }
    e->pages += (uint32_t)f->n_source;
}

/* Sentences take off as long as there is memory; one at least, or the session fails. */
static void launch(struct encoding *e, struct marian_session *s) {
    uint32_t rows;
    const size_t n = marian_launch_count(s, &rows);
    for (size_t i = 0; i < n; i++) {
        while (s->sentences[s->launched].done || s->sentences[s->launched].through) {
            s->launched++;
        }
        struct marian_flight *f;
        int rc = marian_flight_begin(s, s->launched, &f);
        if (rc == BERTH_EBUDGET && s->n_flights > 0) {
            s->crowded = true;
            return;
        }
        if (rc < 0) {
            marian_fail(s, rc);
            return;
        }
        s->launched++;
        if (!f) {
            continue; /* it was known */
        }
        s->flights[s->n_flights++] = f;
        add_source(e, f);
    }
}

void marian_turn_back(struct marian_session *s) {
    struct marian_flight *f = s->flights[--s->n_flights];
    s->launched = f->sentence < s->launched ? f->sentence : s->launched;
    marian_flight_end(f);
    s->crowded = true;
}

int marian_turn_land(struct marian_session *s, int i) {
    struct marian_flight *f = s->flights[i];
    size_t bytes;
    int rc = marian_flight_land(f, &bytes);
    marian_flight_end(f);
    s->n_flights--;
    memmove(&s->flights[i], &s->flights[i + 1],
            (size_t)(s->n_flights - i) * sizeof(struct marian_flight *));
    s->crowded = false;
    if (rc < 0) {
        return rc;
    }
    rc = marian_draw(s, bytes);
    while (rc == BERTH_EBUDGET && s->n_flights > i) {
        marian_turn_back(s);
        rc = marian_draw(s, bytes);
    }
    return rc;
}

static int enqueue_encode(struct marian_model *m, struct berth_batch *b, struct berth_error *err) {
    struct encoding e = {.m = m};
    for (uint32_t i = 0; i < b->n; i++) {
        launch(&e, marian_turn_session(b, i));
    }
    if (e.rows == 0) {
        return 0;
    }
    int bucket = 0;
    while (e.rows > (16U << bucket) && bucket + 1 < MARIAN_ENCODE_BUCKETS &&
           m->encode[bucket + 1]) {
        bucket++;
    }
    int rc = marian_turn_send(m, e.rows, (size_t)marian_source_pages(m), err);
    return rc < 0 ? rc : marian_turn_run(m, m->encode[bucket], e.rows, err);
}

/* A search may be over before it has begun: the longest target is the forced end alone. */
static void settle_encode(struct berth_batch *b) {
    for (uint32_t i = 0; i < b->n; i++) {
        struct marian_session *s = marian_turn_session(b, i);
        for (int f = 0; s->rc == 0 && f < s->n_flights;) {
            if (s->flights[f]->search.done) {
                int rc = marian_turn_land(s, f);
                if (rc < 0) {
                    marian_fail(s, rc);
                }
            } else {
                f++;
            }
        }
    }
}

<<<<<<< HEAD
=======
/* ---- STEP ------------------------------------------------------------------------------------ */

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
    words(m, l->ids)[r] = pos == 0 ? start : b->choices[pos - 1].id;
    words(m, l->pos)[r] = pos;
    words(m, l->len)[r] = pos + 1;
    words(m, l->cross_len)[r] = (int32_t)f->session->sentences[f->sentence].n_tokens;
    memcpy(words(m, l->cross_table) + r * (size_t)source_pages(m), f->slots,
           (size_t)f->n_source * sizeof(int32_t));
    words(m, l->to)[r] = marian_flight_where(f, f->written[beam]);
    words(m, l->from)[r] = pos == 0 ? -1 : marian_flight_where(f, history[0]);
    words(m, l->list)[r] = f->list ? f->list_row : 0;
    words(m, l->count)[r] = (int32_t)f->n_list;
    top_of(f, &top_inputs(m)[r]);
    if (m->config.decoder == MARIAN_DECODER_SSRU) {
        return;
    }
    int32_t *table = words(m, l->table) + r * (size_t)m->target_most;
    for (int i = 0; i < pos; i++) {
        table[i] = marian_flight_where(f, history[i]);
    }
    table[pos] = words(m, l->to)[r];
}

/* A place for each of its live beams; sentences that are younger make room. */
static int find_places(struct marian_session *s, int i) {
    struct marian_flight *f = s->flights[i];
    for (int b = 0; b < f->search.n_live; b++) {
        int rc = marian_flight_place(f, b);
        while (rc == BERTH_EBUDGET && s->n_flights > i + 1) {
            turn_back(s);
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
    m->list_owner[first_row] = f->list_number;
    int rc = m->base.device->ops->write(m->lists, first_row * columns * 4, f->list,
                                        f->n_list * sizeof(*f->list));
    return rc < 0 ? bth_error(err, rc, "%s: writing a shortlist failed", m->base.device->name) : 0;
}

static int add_flights(struct marian_model *m, struct marian_session *s, uint32_t *rows,
                       struct berth_error *err) {
    for (int i = 0; s->rc == 0 && i < s->n_flights; i++) {
        struct marian_flight *f = s->flights[i];
        int rc = find_places(s, i);
        if (rc == BERTH_EBUDGET && i > 0) {
            turn_back(s); /* it is the youngest */
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

static int enqueue_step(struct marian_model *m, struct berth_batch *b, struct berth_error *err) {
    uint32_t rows = 0;
    int bucket = 0, rc = 0;
    for (uint32_t i = 0; rc == 0 && i < b->n; i++) {
        const uint32_t before = rows;
        rc = add_flights(m, session_at(b, i), &rows, err);
        rows = session_at(b, i)->rc < 0 ? before : rows;
    }
    if (rc < 0 || rows == 0) {
        return rc;
    }
    while ((1U << bucket) < rows) {
        bucket++;
    }
    rc = send_inputs(m, rows, (size_t)m->target_most, err);
    return rc < 0 ? rc : run(m, m->step[bucket], rows, err);
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
    const size_t pitch = (size_t)source_pages(m) * MARIAN_PAGE;
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
    const bool marks = s->options.alignment || s->html;
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
            rc = land(s, i);
        } else {
            i++;
        }
    }
    if (rc < 0) {
        marian_fail(s, rc);
    }
}

static int settle_step(struct marian_model *m, struct berth_batch *b, struct berth_error *err) {
    uint32_t rows = 0, row = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        const struct marian_session *s = session_at(b, i);
        rows += s->rc == 0 ? rows_of(s) : 0;
    }
    int rc = rows ? m->base.device->ops->read(m->outputs, 0, m->host_outputs,
                                              rows * sizeof(*m->host_outputs))
                  : 0;
    if (rc < 0) {
        return bth_error(err, rc, "%s: reading a turn's results failed", m->base.device->name);
    }
    for (uint32_t i = 0; i < b->n; i++) {
        struct marian_session *s = session_at(b, i);
        const uint32_t first = row;
        if (s->rc == 0) {
            row += rows_of(s);
            settle_session(m, s, first);
        }
    }
    return 0;
}

>>>>>>> critic-marian
/* ---- all ------------------------------------------------------------------------------------- */

int marian_enqueue(struct berth_batch *batch, struct berth_error *err) {
    struct marian_model *m = (struct marian_model *)batch->model;
    switch ((enum marian_stage)batch->stage) {
    case MARIAN_STAGE_TOKENIZE:
    case MARIAN_STAGE_DETOKENIZE:
        for (uint32_t i = 0; i < batch->n; i++) {
            struct marian_session *s = marian_turn_session(batch, i);
            int rc =
                batch->stage == MARIAN_STAGE_TOKENIZE ? marian_tokenize(s) : marian_detokenize(s);
            if (rc < 0) {
                marian_fail(s, rc);
            }
        }
        return 0;
    case MARIAN_STAGE_ENCODE:
        return enqueue_encode(m, batch, err);
    case MARIAN_STAGE_STEP:
        return marian_step_enqueue(m, batch, err);
    case MARIAN_N_STAGES:
        break;
    }
    return bth_error(err, BERTH_EINTERNAL, "marian has no stage %d", batch->stage);
}

/* Hands out what is ready; the last of it is the result. */
static void settle_text(struct marian_session *s) {
    int rc = s->detokenized > s->emitted ? marian_emit_partial(s) : 0;
    if (rc == 0 && s->detokenized > s->emitted) {
        rc = marian_emit_progress(s);
    }
    s->emitted = s->detokenized;
    if (rc == 0 && marian_is_tokenized(s) && s->detokenized == s->n_sentences) {
        rc = marian_emit_final(s);
        marian_fail(s, rc); /* 0: ended well */
    } else if (rc < 0) {
        marian_fail(s, rc);
    }
}

int marian_settle(struct berth_batch *batch, struct berth_error *err) {
    struct marian_model *m = (struct marian_model *)batch->model;
    int rc = 0;
    if (batch->stage == MARIAN_STAGE_ENCODE) {
        settle_encode(batch);
    } else if (batch->stage == MARIAN_STAGE_STEP) {
        rc = marian_step_settle(m, batch, err);
    }
    for (uint32_t i = 0; i < batch->n; i++) {
<<<<<<< HEAD
        struct marian_session *s = marian_turn_session(batch, i);
=======
        struct marian_session *s = session_at(batch, i);
        marian_skip_settled(s);
>>>>>>> critic-marian
        if (s->rc == 0 && !s->ended && batch->stage == MARIAN_STAGE_DETOKENIZE) {
            settle_text(s);
        }
        batch->status[i] = s->rc;
        if (s->rc < 0) {
            batch->errors[i] = s->err;
        }
    }
    return rc;
}

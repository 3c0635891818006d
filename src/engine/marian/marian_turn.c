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
    return rc < 0 || own_columns == 0 ? rc : send(m, l->table, rows * own_columns, err);
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

static int encode(const struct encoding *e, struct berth_error *err) {
    struct marian_model *m = e->m;
    int bucket = 0;
    while (e->rows > (16U << bucket) && bucket + 1 < MARIAN_ENCODE_BUCKETS &&
           m->encode[bucket + 1]) {
        bucket++;
    }
    int rc = marian_turn_send(m, e->rows, (size_t)marian_source_pages(m), err);
    return rc < 0 ? rc : marian_turn_run(m, m->encode[bucket], e->rows, err);
}

/* The turn has run, or has failed: then its sentences, which nothing was written for, take off
 * again when it is tried again. */
static void have_encoded(struct marian_session *s, bool well) {
    for (int i = s->n_flights; i > 0 && !s->flights[i - 1]->encoded; i--) {
        struct marian_flight *f = s->flights[i - 1];
        f->encoded = well;
        if (!well) {
            s->launched = f->sentence < s->launched ? f->sentence : s->launched;
            s->n_flights--;
            marian_flight_end(f);
        }
    }
}

static int enqueue_encode(struct marian_model *m, struct berth_batch *b, struct berth_error *err) {
    struct encoding e = {.m = m};
    for (uint32_t i = 0; i < b->n; i++) {
        launch(&e, marian_turn_session(b, i));
    }
    const int rc = e.rows > 0 ? encode(&e, err) : 0;
    for (uint32_t i = 0; i < b->n; i++) {
        have_encoded(marian_turn_session(b, i), rc == 0);
    }
    return rc;
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

/* ---- all ------------------------------------------------------------------------------------- */

int marian_enqueue(struct berth_batch *batch, struct berth_error *err) {
    struct marian_model *m = (struct marian_model *)batch->model;
    switch ((enum marian_stage)batch->stage) {
    case MARIAN_STAGE_TOKENIZE:
    case MARIAN_STAGE_DETOKENIZE:
        for (uint32_t i = 0; i < batch->n; i++) {
            struct marian_session *s = marian_turn_session(batch, i);
            int rc = s->ended                                ? 0
                     : batch->stage == MARIAN_STAGE_TOKENIZE ? marian_tokenize(s)
                                                             : marian_detokenize(s);
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
        struct marian_session *s = marian_turn_session(batch, i);
        marian_skip_settled(s);
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

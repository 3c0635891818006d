/* Turns: what many sessions want is written to the device in one block, run, and read back. */
#include "whisper/whisper_session.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/reservation.h"
#include <string.h>

static struct whisper_session *session_at(const struct berth_batch *b, uint32_t i) {
    return (struct whisper_session *)b->sessions[i];
}

/* ---- host lane: one session ---- */

static int open_listening(struct whisper_session *s) {
    struct whisper_model *m = whisper_session_model(s);
    if (!s->chunk) {
        int rc = bth_reservation_draw(s->base.reservation, WHISPER_CHUNK * sizeof(float), &s->err);
        if (rc < 0) {
            return rc;
        }
        s->chunk = bth_alloc(WHISPER_CHUNK * sizeof(float));
        if (!s->chunk) {
            bth_reservation_return(s->base.reservation, WHISPER_CHUNK * sizeof(float));
            return bth_error_nomem(&s->err);
        }
    }
    return s->mel ? 0 : bth_mel_create(m->mel_tables, s->base.reservation, &s->mel, &s->err);
}

static int decode_chunk(struct whisper_session *s) {
    int rc = open_listening(s);
    if (rc < 0) {
        return rc;
    }
    s->n_chunk = bth_pcm_read(s->pcm, s->chunk, WHISPER_CHUNK, &s->err);
    s->pcm_ended = s->n_chunk == 0;
    return s->n_chunk < 0 ? (int)s->n_chunk : 0;
}

static int push_chunk(struct whisper_session *s) {
    if (s->pcm_ended) {
        return bth_mel_finish(s->mel, &s->err);
    }
    int rc = bth_mel_push(s->mel, s->chunk, (size_t)s->n_chunk, &s->err);
    s->n_chunk = 0;
    return rc;
}

/* ---- device lane ---- */

static struct berth_pick_in *pick_inputs(struct whisper_model *m) {
    return (struct berth_pick_in *)(m->host_inputs + m->layout.picks);
}

static int32_t *words(struct whisper_model *m, size_t at) {
    return (int32_t *)(m->host_inputs + at);
}

static int send_inputs(struct whisper_model *m, struct berth_error *err) {
    int rc = m->base.device->ops->write(m->inputs, 0, m->host_inputs, m->layout.words * 4);
    return rc < 0 ? bth_error(err, rc, "%s: writing a turn's inputs failed", m->base.device->name)
                  : 0;
}

static int read_outputs(struct whisper_model *m, uint32_t n, struct berth_error *err) {
    int rc =
        m->base.device->ops->read(m->outputs, 0, m->host_outputs, n * sizeof(*m->host_outputs));
    return rc < 0 ? bth_error(err, rc, "%s: reading a turn's results failed", m->base.device->name)
                  : 0;
}

/* Rows of a turn as they are put together. */
struct turn {
    struct whisper_model *m;
    uint32_t rows, picks, copies;
};

/* Row of token `id` at `pos` with row's pages and the session's window. */
static void add_row(struct turn *t, const struct whisper_session *s, const struct whisper_row *row,
                    int32_t id, int32_t pos) {
    struct whisper_model *m = t->m;
    uint32_t i = t->rows++;
    words(m, m->layout.ids)[i] = id;
    words(m, m->layout.pos)[i] = pos;
    words(m, m->layout.len)[i] = pos + 1;
    words(m, m->layout.cross_len)[i] = WHISPER_POSITIONS;
    words(m, m->layout.cross_table)[i] = s->cross_slot;
    int32_t *table = words(m, m->layout.table) + i * WHISPER_PAGES;
    for (int p = 0; p < WHISPER_PAGES; p++) {
        table[p] = row->pages[p] < 0 ? 0 : row->pages[p];
    }
}

/* A pick of the newest row. */
static struct berth_pick_in *add_pick(struct turn *t) {
    struct whisper_model *m = t->m;
    words(m, m->layout.pick_rows)[t->picks] = (int32_t)t->rows - 1;
    return &pick_inputs(m)[t->picks++];
}

static int take_page(struct whisper_session *s, struct whisper_row *row, int page) {
    struct whisper_model *m = whisper_session_model(s);
    return whisper_slot_take(&m->page_slots, m->pages, m->page_stride, s->base.reservation,
                             &row->pages[page], &s->err);
}

/* Row 0 has every page up to the one of `pos`. */
static int need_pages(struct whisper_session *s, int pos) {
    for (int p = 0; p <= pos / WHISPER_PAGE; p++) {
        int rc = s->rows[0].pages[p] >= 0 ? 0 : take_page(s, &s->rows[0], p);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* Another row's page at `pos`: full pages of the prompt are row 0's; the page where the prompt ends
 * is its own, copied when an attempt begins; later ones are its own. */
static int need_own_page(struct turn *t, struct whisper_session *s, struct whisper_row *row,
                         int pos) {
    struct whisper_model *m = t->m;
    int fork = (s->window.n_initial - 1) / WHISPER_PAGE, page = pos / WHISPER_PAGE;
    if (s->window.step == 0) {
        for (int p = 0; p < fork; p++) {
            row->pages[p] = s->rows[0].pages[p];
        }
    }
    if (row->pages[page] < 0) {
        int rc = take_page(s, row, page);
        if (rc < 0) {
            return rc;
        }
    }
    if (s->window.step == 0 && (s->window.n_initial - 1) % WHISPER_PAGE != 0) {
        words(m, m->layout.copy_from)[t->copies] = s->rows[0].pages[fork];
        words(m, m->layout.copy_to)[t->copies] = row->pages[fork];
        t->copies++;
    }
    return 0;
}

/* Shared pages may lie below other rows' own ones from an earlier window: give those back first. */
static void forget_shared_pages(struct whisper_session *s) {
    struct whisper_model *m = whisper_session_model(s);
    int fork = (s->window.n_initial - 1) / WHISPER_PAGE;
    for (int r = 1; r < s->most_rows; r++) {
        for (int p = 0; p < WHISPER_PAGES; p++) {
            int32_t *page = &s->rows[r].pages[p];
            bool shared = *page >= 0 && *page == s->rows[0].pages[p];
            if (*page >= 0 && !shared && p < fork) {
                whisper_slot_drop(&m->page_slots, m->pages, m->page_stride, s->base.reservation,
                                  *page);
            }
            if (shared || p < fork) {
                *page = -1;
            }
        }
    }
}

static int add_step_rows(struct turn *t, struct whisper_session *s) {
    const struct whisper_window *w = &s->window;
    int pos = w->n_initial - 1 + w->step;
    int rc = need_pages(s, pos);
    if (rc == 0 && w->step == 0) {
        forget_shared_pages(s);
    }
    for (int r = 0; rc == 0 && r < w->n_rows; r++) {
        struct whisper_row *row = &s->rows[r];
        if (row->ended) {
            continue;
        }
        rc = r == 0 ? 0 : need_own_page(t, s, row, pos);
        if (rc == 0) {
            add_row(t, s, row,
                    w->step == 0 ? w->initial[w->n_initial - 1] : row->tokens[row->n - 1], pos);
            whisper_window_pick(s, r, add_pick(t));
        }
    }
    return rc;
}

static int bucket(uint32_t rows) {
    int b = 0;
    while ((1U << b) < rows) {
        b++;
    }
    return b;
}

static int run(struct whisper_model *m, struct berth_program *p, const struct turn *t,
               struct berth_error *err) {
    const uint32_t live[BERTH_MAX_LIVE] = {t->rows, t->picks};
    return m->base.device->ops->program_run(p, live, err);
}

static int enqueue_step(struct whisper_model *m, struct berth_batch *b, struct berth_error *err) {
    struct turn t = {.m = m};
    for (uint32_t i = 0; i < b->n; i++) {
        struct whisper_session *s = session_at(b, i);
        struct turn before = t;
        int rc = add_step_rows(&t, s);
        if (rc < 0) {
            t = before; /* only this session has failed */
            whisper_fail(s, rc);
        }
    }
    int rc = t.rows ? send_inputs(m, err) : 0;
    if (rc == 0 && t.copies) {
        const uint32_t live[BERTH_MAX_LIVE] = {t.copies};
        rc = m->base.device->ops->program_run(m->copy, live, err);
    }
    return rc < 0 || !t.rows ? rc : run(m, m->rows[bucket(t.rows)], &t, err);
}

static int settle_step(struct whisper_model *m, struct berth_batch *b, struct berth_error *err) {
    int rc = read_outputs(m, WHISPER_MAX_ROWS, err);
    uint32_t pick = 0;
    for (uint32_t i = 0; rc == 0 && i < b->n; i++) {
        struct whisper_session *s = session_at(b, i);
        if (s->rc < 0) {
            continue;
        }
        for (int r = 0; r < s->window.n_rows; r++) {
            if (!s->rows[r].ended) {
                whisper_window_take(s, r, &m->host_outputs[pick++]);
            }
        }
        if (s->phase == PHASE_STEP) {
            whisper_window_step(s);
        }
    }
    return rc;
}

static int prefill_rows(const struct whisper_session *s) {
    int left = s->window.n_initial - 1 - s->window.prefilled;
    return left < WHISPER_MAX_ROWS ? left : WHISPER_MAX_ROWS;
}

/* Does this chunk hold the start of transcript, where the silence probability is read? */
static bool prefill_probes(const struct whisper_session *s) {
    const struct whisper_window *w = &s->window;
    return w->sot >= w->prefilled && w->sot < w->prefilled + prefill_rows(s);
}

static int enqueue_prefill(struct whisper_model *m, struct berth_batch *b,
                           struct berth_error *err) {
    struct turn t = {.m = m};
    for (uint32_t i = 0; i < b->n; i++) {
        struct whisper_session *s = session_at(b, i);
        struct whisper_window *w = &s->window;
        int n = prefill_rows(s);
        int rc = need_pages(s, w->prefilled + n - 1);
        if (rc < 0) {
            whisper_fail(s, rc);
            continue;
        }
        for (int j = w->prefilled; j < w->prefilled + n; j++) {
            add_row(&t, s, &s->rows[0], w->initial[j], j);
            if (j == w->sot) {
                *add_pick(&t) = (struct berth_pick_in){
                    .mask = -1, .group_begin = -1, .probe = m->vocab.nospeech};
            }
        }
    }
    int rc = t.rows ? send_inputs(m, err) : 0;
    return rc < 0 || !t.rows ? rc : run(m, m->rows[bucket(t.rows)], &t, err);
}

static int settle_prefill(struct whisper_model *m, struct berth_batch *b, struct berth_error *err) {
    int rc = read_outputs(m, WHISPER_MAX_ROWS, err);
    uint32_t pick = 0;
    for (uint32_t i = 0; rc == 0 && i < b->n; i++) {
        struct whisper_session *s = session_at(b, i);
        if (s->rc < 0) {
            continue;
        }
        if (prefill_probes(s)) {
            s->window.no_speech_prob = (double)m->host_outputs[pick++].probe_prob;
        }
        s->window.prefilled += prefill_rows(s);
        if (s->phase == PHASE_PREFILL && s->window.prefilled == s->window.n_initial - 1) {
            s->phase = PHASE_STEP;
        }
    }
    return rc;
}

/* The languages' tokens are all that may come after the start of transcript. */
static int enqueue_detect(struct whisper_model *m, struct berth_batch *b, struct berth_error *err) {
    const struct whisper_vocab *v = &m->vocab;
    struct turn t = {.m = m};
    for (uint32_t i = 0; i < b->n; i++) {
        struct whisper_session *s = session_at(b, i);
        int rc = need_pages(s, 0);
        if (rc < 0) {
            whisper_fail(s, rc);
            continue;
        }
        add_row(&t, s, &s->rows[0], v->sot, 0);
        *add_pick(&t) = (struct berth_pick_in){
            .mask = -1,
            .forbid = {{0, v->language0}, {v->language0 + v->n_languages, v->size}},
            .group_begin = -1,
            .probe = -1};
    }
    int rc = t.rows ? send_inputs(m, err) : 0;
    return rc < 0 || !t.rows ? rc : run(m, m->detect, &t, err);
}

static int settle_detect(struct whisper_model *m, struct berth_batch *b, struct berth_error *err) {
    size_t bytes = (size_t)m->vocab.size * sizeof(float);
    float *probs = bth_alloc(bytes);
    uint32_t row = 0;
    int rc = probs ? 0 : bth_error_nomem(err);
    for (uint32_t i = 0; rc == 0 && i < b->n; i++) {
        struct whisper_session *s = session_at(b, i);
        if (s->rc < 0) {
            continue;
        }
        rc = m->base.device->ops->read(m->probs, row++ * bytes, probs, bytes);
        if (rc == 0 && s->phase == PHASE_DETECT) {
            whisper_detected(s, probs);
        } else if (rc < 0) {
            bth_error(err, rc, "%s: reading a turn's results failed", m->base.device->name);
        }
    }
    bth_free(probs);
    return rc;
}

/* A session's slots before the first piece; its mel window into place `i`. */
static int begin_encoding(struct whisper_session *s, uint32_t i) {
    struct whisper_model *m = whisper_session_model(s);
    struct berth_reservation *r = s->base.reservation;
    whisper_drop_pages(s); /* the prompt will be another */
    int rc = s->encode_slot >= 0 ? 0
                                 : whisper_slot_take(&m->encode_slots, m->encodes, m->encode_stride,
                                                     r, &s->encode_slot, &s->err);
    if (rc == 0 && s->cross_slot < 0) {
        rc = whisper_slot_take(&m->cross_slots, m->crosses, m->cross_stride, r, &s->cross_slot,
                               &s->err);
    }
    if (rc < 0) {
        return rc;
    }
    bool detect = s->phase == PHASE_DETECT_ENCODE;
    bth_mel_window(s->mel, detect ? 0 : s->window.span.seek,
                   detect ? WHISPER_FRAMES : s->window.span.size, detect, m->host_mel);
    size_t bytes = WHISPER_FRAMES * (size_t)m->dims.mels * sizeof(float);
    rc = m->base.device->ops->write(m->mel, i * bytes, m->host_mel, bytes);
    return rc < 0
               ? bth_error(&s->err, rc, "%s: writing the spectrogram failed", m->base.device->name)
               : 0;
}

static int enqueue_encode(struct whisper_model *m, struct berth_batch *b, struct berth_error *err) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        struct whisper_session *s = session_at(b, i);
        int rc = b->key == 0 ? begin_encoding(s, n) : 0;
        if (rc < 0) {
            whisper_fail(s, rc);
            continue;
        }
        words(m, m->layout.groups)[n] = s->encode_slot;
        words(m, m->layout.groups)[(size_t)m->windows + n] = s->cross_slot;
        n++;
    }
    int rc = n ? send_inputs(m, err) : 0;
    const uint32_t live[BERTH_MAX_LIVE] = {n, n * (uint32_t)m->piece_rows[b->key]};
    return rc < 0 || !n ? rc : m->base.device->ops->program_run(m->pieces[b->key], live, err);
}

static void settle_encode(struct berth_batch *b) {
    for (uint32_t i = 0; i < b->n; i++) {
        struct whisper_session *s = session_at(b, i);
        if (s->rc == 0 && s->phase != PHASE_ENDED) {
            whisper_encoded(s);
        }
    }
}

int whisper_enqueue(struct berth_batch *batch, struct berth_error *err) {
    struct whisper_model *m = (struct whisper_model *)batch->model;
    int rc;
    switch ((enum whisper_stage)batch->stage) {
    case WHISPER_DECODE:
    case WHISPER_MEL:
        for (uint32_t i = 0; i < batch->n; i++) {
            struct whisper_session *s = session_at(batch, i);
            rc = batch->stage == WHISPER_DECODE ? decode_chunk(s) : push_chunk(s);
            if (rc < 0) {
                whisper_fail(s, rc);
            }
        }
        return 0;
    case WHISPER_ENCODE:
        return enqueue_encode(m, batch, err);
    case WHISPER_DETECT:
        return enqueue_detect(m, batch, err);
    case WHISPER_PREFILL:
        return enqueue_prefill(m, batch, err);
    case WHISPER_STEP:
        return enqueue_step(m, batch, err);
    case WHISPER_N_STAGES:
        break;
    }
    return bth_error(err, BERTH_EINTERNAL, "whisper has no stage %d", batch->stage);
}

/* The mel is complete once the end of the sound has been pushed. */
static void settle_listen(struct berth_batch *b) {
    for (uint32_t i = 0; i < b->n; i++) {
        struct whisper_session *s = session_at(b, i);
        if (s->rc == 0 && b->stage == WHISPER_MEL && s->pcm_ended && s->phase == PHASE_LISTEN) {
            whisper_listened(s);
        }
    }
}

static int settle_device(struct whisper_model *m, struct berth_batch *b, struct berth_error *err) {
    switch ((enum whisper_stage)b->stage) {
    case WHISPER_ENCODE:
        settle_encode(b);
        return 0;
    case WHISPER_DETECT:
        return settle_detect(m, b, err);
    case WHISPER_PREFILL:
        return settle_prefill(m, b, err);
    case WHISPER_STEP:
        return settle_step(m, b, err);
    default:
        settle_listen(b);
        return 0;
    }
}

int whisper_settle(struct berth_batch *batch, struct berth_error *err) {
    int rc = settle_device((struct whisper_model *)batch->model, batch, err);
    for (uint32_t i = 0; i < batch->n; i++) {
        struct whisper_session *s = session_at(batch, i);
        batch->status[i] = s->rc;
        if (s->rc < 0) {
            batch->errors[i] = s->err;
        }
    }
    return rc;
}

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

/* Where host turns run between those of the device they must be short. A device of many windows has
 * long turns of its own, and each wait for one costs more than the work: there a host turn takes a
 * whole window from the file to the spectrogram, so that who came first can be encoded while
 * others' sound is still decoded. */
static bool hears_at_once(const struct whisper_model *m) {
    return m->windows > 1;
}

size_t whisper_chunk(const struct whisper_model *m) {
    return (hears_at_once(m) ? 30 : 5) * (size_t)BTH_SAMPLE_RATE;
}

static int open_listening(struct whisper_session *s) {
    struct whisper_model *m = whisper_session_model(s);
    if (!s->chunk) {
        int rc =
            bth_reservation_draw(s->base.reservation, whisper_chunk(m) * sizeof(float), &s->err);
        if (rc < 0) {
            return rc;
        }
        s->chunk = bth_alloc(whisper_chunk(m) * sizeof(float));
        if (!s->chunk) {
            bth_reservation_return(s->base.reservation, whisper_chunk(m) * sizeof(float));
            return bth_error_nomem(&s->err);
        }
    }
    return s->mel ? 0 : bth_mel_create(m->mel_tables, s->base.reservation, &s->mel, &s->err);
}

static int push_chunk(struct whisper_session *s) {
    int rc = bth_mel_push(s->mel, s->chunk, (size_t)s->n_chunk, &s->err);
    s->n_chunk = 0;
    if (rc == 0 && s->pcm_ended) {
        rc = bth_mel_finish(s->mel, &s->err);
        s->heard = rc == 0;
    }
    return rc;
}

static int decode_chunk(struct whisper_session *s) {
    const struct whisper_model *m = whisper_session_model(s);
    const int64_t most = (int64_t)whisper_chunk(m);
    int rc = open_listening(s);
    if (rc < 0) {
        return rc;
    }
    s->n_chunk = bth_pcm_read(s->pcm, s->chunk, (size_t)most, &s->err);
    if (s->n_chunk < 0) {
        return (int)s->n_chunk;
    }
    s->pcm_ended = s->n_chunk < most;
    return hears_at_once(m) ? push_chunk(s) : 0;
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
    return bth_slots_take(&m->page_slots, m->pages, m->page_stride, s->base.reservation,
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
                bth_slots_drop(&m->page_slots, m->pages, m->page_stride, s->base.reservation,
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

static int run(const struct whisper_model *m, struct berth_program *p, uint32_t a, uint32_t b,
               struct berth_error *err) {
    const uint32_t live[BERTH_MAX_LIVE] = {a, b};
    return m->base.device->ops->program_run(p, live, err);
}

/* Queues what `add` puts together for each session; one that cannot take part fails alone. The
 * program is the one for so many rows, unless it is given. */
static int enqueue_rows(struct whisper_model *m, struct berth_batch *b,
                        int (*add)(struct turn *t, struct whisper_session *s),
                        struct berth_program *program, struct berth_error *err) {
    struct turn t = {.m = m};
    for (uint32_t i = 0; i < b->n; i++) {
        struct whisper_session *s = session_at(b, i);
        const struct turn before = t;
        int rc = add(&t, s);
        if (rc < 0) {
            t = before;
            whisper_fail(s, rc);
        }
    }
    if (!t.rows) {
        return 0;
    }
    int rc = send_inputs(m, err);
    if (rc == 0 && t.copies) {
        rc = run(m, m->copy, t.copies, 0, err);
    }
    return rc < 0 ? rc : run(m, program ? program : m->rows[bucket(t.rows)], t.rows, t.picks, err);
}

/* Hands each session its picks; `take` says how many they were. */
static int settle_rows(struct whisper_model *m, struct berth_batch *b,
                       uint32_t (*take)(struct whisper_session *s,
                                        const struct berth_pick_out *picks),
                       struct berth_error *err) {
    int rc = read_outputs(m, WHISPER_MAX_ROWS, err);
    const struct berth_pick_out *picks = m->host_outputs;
    for (uint32_t i = 0; rc == 0 && i < b->n; i++) {
        struct whisper_session *s = session_at(b, i);
        picks += s->rc < 0 ? 0 : take(s, picks);
    }
    return rc;
}

static uint32_t take_step(struct whisper_session *s, const struct berth_pick_out *picks) {
    uint32_t n = 0;
    for (int r = 0; r < s->window.n_rows; r++) {
        if (!s->rows[r].ended) {
            whisper_window_take(s, r, &picks[n++]);
        }
    }
    if (s->phase == PHASE_STEP) {
        whisper_window_step(s);
    }
    return n;
}

int whisper_prefill_rows(const struct whisper_session *s) {
    int left = s->window.n_initial - 1 - s->window.prefilled;
    int most = whisper_session_model(s)->prefill_rows;
    return left < most ? left : most;
}

/* Where the start of transcript lies in the chunk, the silence probability is read. */
static int add_prefill_rows(struct turn *t, struct whisper_session *s) {
    const struct whisper_window *w = &s->window;
    const int end = w->prefilled + whisper_prefill_rows(s);
    int rc = need_pages(s, end - 1);
    for (int j = w->prefilled; rc == 0 && j < end; j++) {
        add_row(t, s, &s->rows[0], w->initial[j], j);
        if (j == w->sot) {
            *add_pick(t) = (struct berth_pick_in){
                .mask = -1, .group_begin = -1, .probe = t->m->vocab.nospeech};
        }
    }
    return rc;
}

static uint32_t take_prefill(struct whisper_session *s, const struct berth_pick_out *picks) {
    struct whisper_window *w = &s->window;
    const int end = w->prefilled + whisper_prefill_rows(s);
    const bool probed = w->sot >= w->prefilled && w->sot < end;
    if (probed) {
        w->no_speech_prob = (double)picks->probe_prob;
    }
    w->prefilled = end;
    if (s->phase == PHASE_PREFILL && w->prefilled == w->n_initial - 1) {
        s->phase = PHASE_STEP;
    }
    return probed;
}

/* The languages' tokens are all that may come after the start of transcript. */
static int add_detect_row(struct turn *t, struct whisper_session *s) {
    const struct whisper_vocab *v = &t->m->vocab;
    int rc = need_pages(s, 0);
    if (rc == 0) {
        add_row(t, s, &s->rows[0], v->sot, 0);
        *add_pick(t) = (struct berth_pick_in){
            .mask = -1,
            .forbid = {{0, v->language0}, {v->language0 + v->n_languages, v->size}},
            .group_begin = -1,
            .probe = -1};
    }
    return rc;
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
                                 : bth_slots_take(&m->encode_slots, m->encodes, m->encode_stride, r,
                                                  &s->encode_slot, &s->err);
    if (rc == 0 && s->cross_slot < 0) {
        rc = bth_slots_take(&m->cross_slots, m->crosses, m->cross_stride, r, &s->cross_slot,
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
    return rc < 0 || !n ? rc
                        : run(m, m->pieces[b->key], n, n * (uint32_t)m->piece_rows[b->key], err);
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
        return enqueue_rows(m, batch, add_detect_row, m->detect, err);
    case WHISPER_PREFILL:
        return enqueue_rows(m, batch, add_prefill_rows, NULL, err);
    case WHISPER_STEP:
        return enqueue_rows(m, batch, add_step_rows, NULL, err);
    case WHISPER_N_STAGES:
        break;
    }
    return bth_error(err, BERTH_EINTERNAL, "whisper has no stage %d", batch->stage);
}

static void settle_listen(struct berth_batch *b) {
    for (uint32_t i = 0; i < b->n; i++) {
        struct whisper_session *s = session_at(b, i);
        if (s->rc == 0 && s->heard && s->phase == PHASE_LISTEN) {
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
        return settle_rows(m, b, take_prefill, err);
    case WHISPER_STEP:
        return settle_rows(m, b, take_step, err);
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

/*
 * Memory of sentences and turns.
 *
 * Sentences live in slots of one region: address space, of which a slot costs memory only while a
 * sentence holds it, drawn from its session's reservation. Turns share one scratch buffer: they
 * never overlap on a device.
 */
#include "marian/marian_model.h"

#include "base/alloc.h"
#include "base/error.h"
#include "compute/tensor.h"

enum { SLOT_ALIGN = (64 << 10) / sizeof(float) };

void marian_limits(const struct marian_config *c, int64_t *out_source, int64_t *out_target) {
    int64_t rows = c->max_positions;
    if (c->pos_kind != MARIAN_POS_STORED && rows < 512) {
        rows = 512; /* a formula goes on */
    }
    rows = rows < MARIAN_MOST ? rows : MARIAN_MOST;
    *out_source = c->max_source > 0 && c->max_source < rows ? c->max_source : rows;
    *out_target = rows;
}

/* Elements of one position: keys and values of all decoder layers, such that a slot is a multiple
 * of what regions are made of. */
static int64_t position_stride(const struct marian_config *c) {
    const int64_t slot = 2 * MARIAN_PAGE * c->d * c->decoder_layers;
    return (slot + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN / MARIAN_PAGE;
}

size_t marian_slot_bytes(const struct marian_config *c) {
    return (size_t)(position_stride(c) * MARIAN_PAGE) * sizeof(float);
}

static int64_t round_up(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}

struct marian_room marian_room_of(const struct marian_config *c,
                                  const struct berth_device *device) {
    const bool large = device->max_windows > 1;
    const int64_t least = large ? MARIAN_MOST : 128;
    int64_t source, target;
    marian_limits(c, &source, &target);
    source = round_up(source, MARIAN_PAGE);
    return (struct marian_room){.encode = source > least ? source : least,
                                .step = large ? MARIAN_MAX_ROWS : MARIAN_FEW_ROWS};
}

/* x, norm, attention, q k v, hidden; for STEP logits too. */
static size_t scratch_elements(const struct marian_config *c, const struct marian_room *room) {
    const int64_t encoder = room->encode * (6 * c->d + c->encoder_ffn);
    const int64_t decoder = room->step * (8 * c->d + c->decoder_ffn + c->target_vocab);
    return (size_t)(encoder > decoder ? encoder : decoder);
}

static size_t score_elements(const struct marian_config *c, const struct marian_room *room,
                             int64_t source) {
    return (size_t)(room->step * c->decoder_heads * round_up(source, MARIAN_PAGE));
}

static struct marian_inputs input_layout(const struct marian_config *c,
                                         const struct marian_room *room) {
    int64_t source, target;
    marian_limits(c, &source, &target);
    const size_t r = (size_t)room->step, e = (size_t)room->encode;
    const size_t pages = (size_t)(round_up(source, MARIAN_PAGE) / MARIAN_PAGE);
    const size_t own = r * (size_t)target > e * pages ? r * (size_t)target : e * pages;
    struct marian_inputs l = {0};
    size_t at = 0;
    struct {
        size_t *field, words;
    } parts[] = {{&l.ids, e > r ? e : r},
                 {&l.pos, e > r ? e : r},
                 {&l.len, e > r ? e : r},
                 {&l.cross_len, r},
                 {&l.from, r},
                 {&l.to, r},
                 {&l.list, r},
                 {&l.count, r},
                 {&l.tops, r * sizeof(struct berth_top_in) / 4},
                 {&l.cross_table, (e > r ? e : r) * pages},
                 {&l.table, own}};
    for (size_t i = 0; i < BTH_COUNT(parts); i++) {
        *parts[i].field = at;
        at += (parts[i].words + 15) / 16 * 16;
    }
    l.words = at;
    return l;
}

static size_t list_words(const struct marian_config *c, const struct marian_room *room,
                         bool shortlist) {
    return shortlist ? (size_t)room->step * (size_t)c->target_vocab : 1;
}

/* Keys and values of the sentences of an ENCODE turn. */
static size_t page_elements(const struct marian_config *c, const struct marian_room *room) {
    return (size_t)(room->encode * 2 * c->d);
}

/* Programs draw a little of their own: what their largest op needs. */
static size_t program_bytes(const struct marian_config *c, const struct marian_room *room) {
    int64_t source, target;
    marian_limits(c, &source, &target);
    const size_t rows = (size_t)room->encode, heads = (size_t)c->encoder_heads;
    const size_t chunks = (size_t)target / 256 + 2;
    return (32 << 20) + rows * heads * chunks * ((size_t)(c->d) + 80) * 4 +
           2 * rows * (size_t)(c->encoder_ffn + c->decoder_ffn) * sizeof(float);
}

size_t marian_workspace_bytes(const struct marian_config *c, const struct marian_room *room,
                              bool shortlist) {
    int64_t source, target;
    marian_limits(c, &source, &target);
    return (scratch_elements(c, room) + page_elements(c, room) + score_elements(c, room, source)) *
               sizeof(float) +
           (input_layout(c, room).words + list_words(c, room, shortlist)) * 4 +
           (size_t)room->step * sizeof(struct berth_top_out) + program_bytes(c, room);
}

static int scratch(struct marian_model *m, size_t bytes, struct berth_buffer **out,
                   struct berth_error *err) {
    struct berth_device *device = m->base.device;
    return device->ops->buffer_create(device, m->workspace, bytes, out, err);
}

int marian_memory_create(struct marian_model *m, struct berth_error *err) {
    const struct marian_config *c = &m->config;
    struct berth_device *device = m->base.device;
    const struct marian_room *room = &m->room;
    m->room = marian_room_of(c, device);
    m->layout = input_layout(c, room);
    m->position_stride = position_stride(c);
    const struct {
        size_t bytes;
        struct berth_buffer **out;
    } parts[] = {{scratch_elements(c, room) * sizeof(float), &m->scratch},
                 {page_elements(c, room) * sizeof(float), &m->pages},
                 {score_elements(c, room, m->source_most) * sizeof(float), &m->scores},
                 {m->layout.words * 4, &m->inputs},
                 {list_words(c, room, m->shortlist) * 4, &m->lists},
                 {(size_t)room->step * sizeof(struct berth_top_out), &m->outputs}};
    int rc =
        device->ops->region_create(device, MARIAN_MAX_SLOTS * marian_slot_bytes(c), &m->slots, err);
    for (size_t i = 0; rc == 0 && i < BTH_COUNT(parts); i++) {
        rc = scratch(m, parts[i].bytes, parts[i].out, err);
    }
    if (rc < 0) {
        return rc;
    }
    rc = bth_slots_create(&m->allocator, MARIAN_MAX_SLOTS, err);
    if (rc < 0) {
        return rc;
    }
    m->host_inputs = bth_calloc(m->layout.words, sizeof(*m->host_inputs));
    m->host_outputs = bth_calloc((size_t)room->step, sizeof(*m->host_outputs));
    return m->host_inputs && m->host_outputs ? 0 : bth_error_nomem(err);
}

void marian_memory_destroy(struct marian_model *m) {
    struct berth_buffer *buffers[] = {m->slots,  m->scratch, m->pages, m->scores,
                                      m->inputs, m->outputs, m->lists};
    for (size_t i = 0; i < BTH_COUNT(buffers); i++) {
        bth_buffer_destroy(buffers[i]);
    }
    bth_slots_finish(&m->allocator);
    bth_free(m->host_inputs);
    bth_free(m->host_outputs);
}

static size_t slot_bytes(const struct marian_model *m) {
    return (size_t)(m->position_stride * MARIAN_PAGE) * sizeof(float);
}

int marian_slot_take(struct marian_model *m, struct berth_reservation *r, int32_t *out,
                     struct berth_error *err) {
    return bth_slots_take(&m->allocator, m->slots, slot_bytes(m), r, out, err);
}

void marian_slot_drop(struct marian_model *m, struct berth_reservation *r, int32_t slot) {
    bth_slots_drop(&m->allocator, m->slots, slot_bytes(m), r, slot);
}

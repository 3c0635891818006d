/*
 * Memory of sessions and turns.
 *
 * Sessions live in three regions of equal slots (pages of decoder keys and values, windows' cross
 * keys and values, windows in the encoder). A region is address space; a slot costs memory only
 * while a session holds it, drawn from that session's reservation. Turns share one scratch buffer:
 * they never overlap on a device.
 */
#include "whisper/whisper_model.h"

#include "base/alloc.h"
#include "base/dtype.h"
#include "base/error.h"
#include "compute/tensor.h"

enum { ALIGN = 64 << 10 };

static int64_t aligned(int64_t bytes) {
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static size_t max_size(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Elements of scratch of an encoder piece with `w` windows: the first convolution's output, or norm
 * + attention + hidden rows. */
static size_t encoder_scratch(const struct whisper_dims *d, size_t w) {
    size_t conv = WHISPER_FRAMES * (size_t)d->d;
    size_t block = WHISPER_POSITIONS * (size_t)(2 * d->d + d->ffn);
    return w * max_size(conv, block);
}

/* x, norm, attention, gathered, q k v, hidden, logits. */
static size_t decoder_scratch(const struct whisper_dims *d) {
    return WHISPER_MAX_ROWS * (size_t)(4 * d->d + 3 * d->d + d->ffn + d->vocab);
}

static size_t scratch_bytes(const struct whisper_dims *d, const struct berth_device *device) {
    const size_t w = (size_t)device->max_windows;
    return max_size(encoder_scratch(d, w) * bth_dtype_bytes(device->narrow),
                    decoder_scratch(d) * sizeof(float));
}

static struct whisper_inputs input_layout(size_t windows) {
    const size_t r = WHISPER_MAX_ROWS;
    struct whisper_inputs l = {0};
    size_t at = 0;
    struct {
        size_t *field, words;
    } parts[] = {{&l.ids, r},
                 {&l.pos, r},
                 {&l.len, r},
                 {&l.cross_len, r},
                 {&l.table, r * WHISPER_PAGES},
                 {&l.cross_table, r},
                 {&l.pick_rows, r},
                 {&l.picks, r * sizeof(struct berth_pick_in) / 4},
                 {&l.copy_from, r},
                 {&l.copy_to, r},
                 {&l.groups, 2 * windows}};
    for (size_t i = 0; i < BTH_COUNT(parts); i++) {
        *parts[i].field = at;
        at += (parts[i].words + 15) / 16 * 16;
    }
    l.words = at;
    return l;
}

/* Programs may draw a little scratch of their own for each of their ops. */
static size_t program_bytes(const struct whisper_dims *d) {
    size_t splits = (WHISPER_POSITIONS + 63) / 64;
    size_t paged =
        WHISPER_MAX_ROWS * (size_t)d->heads * splits * (WHISPER_HEAD + 2) * sizeof(float);
    return (16 << 20) + 2 * (WHISPER_BUCKETS + 2) * paged;
}

size_t whisper_workspace_bytes(const struct whisper_dims *d, const struct berth_device *device) {
    size_t w = (size_t)device->max_windows;
    return scratch_bytes(d, device) + w * WHISPER_FRAMES * (size_t)d->mels * sizeof(float) +
           input_layout(w).words * 4 + WHISPER_MAX_ROWS * sizeof(struct berth_pick_out) +
           WHISPER_MASKS * whisper_mask_words(d) * 4 +
           WHISPER_DETECTS * (size_t)d->vocab * sizeof(float) + program_bytes(d);
}

static int region(struct whisper_model *m, int64_t stride, int32_t slots,
                  struct bth_slots *allocator, struct berth_buffer **out, struct berth_error *err) {
    struct berth_device *device = m->base.device;
    int rc = bth_slots_create(allocator, slots, err);
    if (rc < 0) {
        return rc;
    }
    return device->ops->region_create(device, (size_t)stride * (size_t)slots, out, err);
}

static int scratch(struct whisper_model *m, size_t bytes, struct berth_buffer **out,
                   struct berth_error *err) {
    struct berth_device *device = m->base.device;
    return device->ops->buffer_create(device, m->workspace, bytes, out, err);
}

int whisper_memory_create(struct whisper_model *m, struct berth_error *err) {
    const struct whisper_dims *d = &m->dims;
    size_t w = (size_t)m->base.device->max_windows;
    m->windows = m->base.device->max_windows;
    m->layout = input_layout(w);
    m->narrow = m->base.device->narrow;
    const int64_t narrow = (int64_t)bth_dtype_bytes(m->narrow);
    m->page_stride = aligned(2 * WHISPER_PAGE * d->d * d->decoder_layers * narrow);
    m->cross_stride = aligned(2 * WHISPER_POSITIONS * d->d * d->decoder_layers * narrow);
    m->encode_stride = aligned(WHISPER_POSITIONS * d->d * ((int64_t)sizeof(float) + 3 * narrow));
    int rc =
        region(m, m->page_stride, WHISPER_SLOTS * WHISPER_PAGES, &m->page_slots, &m->pages, err);
    if (rc == 0) {
        rc = region(m, m->cross_stride, WHISPER_SLOTS, &m->cross_slots, &m->crosses, err);
    }
    if (rc == 0) {
        rc = region(m, m->encode_stride, WHISPER_SLOTS, &m->encode_slots, &m->encodes, err);
    }
    if (rc == 0) {
        rc = scratch(m, scratch_bytes(d, m->base.device), &m->scratch, err);
    }
    if (rc == 0) {
        rc = scratch(m, w * WHISPER_FRAMES * (size_t)d->mels * sizeof(float), &m->mel, err);
    }
    if (rc == 0) {
        rc = scratch(m, m->layout.words * 4, &m->inputs, err);
    }
    if (rc == 0) {
        rc = scratch(m, WHISPER_MAX_ROWS * sizeof(struct berth_pick_out), &m->outputs, err);
    }
    if (rc == 0) {
        rc = scratch(m, WHISPER_MASKS * whisper_mask_words(d) * 4, &m->masks, err);
    }
    if (rc == 0) {
        rc = scratch(m, WHISPER_DETECTS * (size_t)d->vocab * sizeof(float), &m->probs, err);
    }
    if (rc < 0) {
        return rc;
    }
    m->host_inputs = bth_calloc(m->layout.words, sizeof(*m->host_inputs));
    m->host_outputs = bth_calloc(WHISPER_MAX_ROWS, sizeof(*m->host_outputs));
    m->host_mel = bth_calloc(WHISPER_FRAMES * (size_t)d->mels, sizeof(float));
    if (!m->host_inputs || !m->host_outputs || !m->host_mel) {
        return bth_error_nomem(err);
    }
    return whisper_masks_create(m, err);
}

void whisper_memory_destroy(struct whisper_model *m) {
    struct berth_buffer *buffers[] = {m->pages,  m->crosses, m->encodes, m->scratch, m->mel,
                                      m->inputs, m->outputs, m->masks,   m->probs};
    for (size_t i = 0; i < BTH_COUNT(buffers); i++) {
        bth_buffer_destroy(buffers[i]);
    }
    struct bth_slots *slots[] = {&m->page_slots, &m->cross_slots, &m->encode_slots};
    for (size_t i = 0; i < BTH_COUNT(slots); i++) {
        bth_slots_finish(slots[i]);
    }
    bth_free(m->host_inputs);
    bth_free(m->host_outputs);
    bth_free(m->host_mel);
}

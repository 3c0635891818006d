#include "spacy/spacy_scratch.h"

#include "base/alloc.h"
#include "base/error.h"
#include "compute/tensor.h"

void spacy_scratch_need(size_t *most, int64_t a, int64_t b) {
    size_t n;
    if (a < 0 || b < 0 || !bth_mul((size_t)a, (size_t)b, &n)) {
        n = SIZE_MAX;
    }
    *most = n > *most ? n : *most;
}

struct part {
    struct berth_buffer **buffer;
    size_t words; /* of 4 bytes, at least 1 */
};

enum { N_PARTS = 8 };

static void parts_of(struct spacy_scratch *s, struct part out[N_PARTS]) {
    size_t x = 0, ids = 0;
    spacy_scratch_need(&x, SPACY_ROWS + 2 * SPACY_GUARD, s->width);
    spacy_scratch_need(&ids, SPACY_ROWS, s->ids_per_row);
    const struct part parts[N_PARTS] = {{&s->wide, s->wide_floats},
                                        {&s->product, s->product_floats},
                                        {&s->x, x},
                                        {&s->scores, s->score_floats},
                                        {&s->states, s->state_floats},
                                        {&s->ids, ids},
                                        {&s->rows, SPACY_ROWS},
                                        {&s->slot, 1}};
    for (int i = 0; i < N_PARTS; i++) {
        out[i] = parts[i];
        out[i].words = out[i].words ? out[i].words : 1;
    }
}

/* Bytes that create draws. */
static size_t scratch_bytes(const struct spacy_scratch *s) {
    struct spacy_scratch copy = *s;
    struct part parts[N_PARTS];
    size_t all = 0;
    parts_of(&copy, parts);
    for (int i = 0; i < N_PARTS; i++) {
        if (parts[i].words > SIZE_MAX / 4 || !bth_add(all, parts[i].words * 4, &all)) {
            return SIZE_MAX;
        }
    }
    return all;
}

int spacy_scratch_create(struct spacy_scratch *s, struct berth_error *err) {
    struct part parts[N_PARTS];
    parts_of(s, parts);
    if (scratch_bytes(s) == SIZE_MAX) {
        return bth_error(err, BERTH_ETOOLARGE, "the scratch of the networks overflows");
    }
    for (int i = 0; i < N_PARTS; i++) {
        int rc = s->device->ops->buffer_create(s->device, s->workspace, parts[i].words * 4,
                                               parts[i].buffer, err);
        if (rc < 0) {
            return rc;
        }
    }
    s->host_ids = bth_calloc((size_t)s->ids_per_row + 1, SPACY_ROWS * sizeof(*s->host_ids));
    s->host_rows = bth_calloc(SPACY_ROWS, sizeof(*s->host_rows));
    s->host_scores = bth_calloc(s->score_floats + 1, sizeof(*s->host_scores));
    return s->host_ids && s->host_rows && s->host_scores ? 0 : bth_error_nomem(err);
}

void spacy_scratch_destroy(struct spacy_scratch *s) {
    struct part parts[N_PARTS];
    parts_of(s, parts);
    for (int i = 0; i < N_PARTS; i++) {
        bth_buffer_destroy(*parts[i].buffer);
    }
    bth_free(s->host_ids);
    bth_free(s->host_rows);
    bth_free(s->host_scores);
}

int spacy_scratch_put(const struct spacy_scratch *s, size_t row, const float *vectors, size_t n,
                      size_t width) {
    static const float zeros[256];
    const size_t at = (SPACY_GUARD + row) * width * sizeof(float), all = n * width * sizeof(float);
    if (vectors) {
        return s->device->ops->write(s->x, at, vectors, all);
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < all; i += sizeof(zeros)) {
        const size_t left = all - i < sizeof(zeros) ? all - i : sizeof(zeros);
        rc = s->device->ops->write(s->x, at + i, zeros, left);
    }
    return rc;
}

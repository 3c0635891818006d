/*
 * spacy_scratch.h - device memory of a turn, shared by all networks of a model: only one runs at a
 * time.
 *
 * Networks say what they need while they load (spacy_scratch_need), then the buffers are made once,
 * as large as the largest needs, then programs are built on them.
 */
#ifndef SPACY_SCRATCH_H
#define SPACY_SCRATCH_H

#include <berth/engine.h>

enum {
    SPACY_ROWS = 512,  /* most rows of a turn: tokens and padding, or documents */
    SPACY_GUARD = 16,  /* rows on both sides of `x` that windows may reach into */
    SPACY_STATES = 256 /* more rows for tokens that a parse looks back to, in one turn */
};

struct spacy_scratch {
    struct berth_device *device;
    struct berth_reservation *workspace;
    size_t wide_floats, product_floats, score_floats, state_floats; /* the most needed so far */
    int64_t width, ids_per_row;

    struct berth_buffer *wide;    /* inputs of mixers, f32 */
    struct berth_buffer *product; /* what maxout layers choose from; hidden rows of parsers, f32 */
    struct berth_buffer *x;       /* [guard + ROWS + guard, width] f32: vectors of tokens */
    struct berth_buffer *scores;  /* [ROWS, classes] f32 */
    struct berth_buffer *states;  /* [1 + ROWS + STATES, width of a token's parts] f32 */
    struct berth_buffer *ids;     /* [ROWS, ids_per_row] i32 */
    struct berth_buffer *rows;    /* [ROWS] i32 */
    struct berth_buffer *slot;    /* [1] i32: where the rows of a product go */

    /* the host's side of ids and rows, and of what is read back: device thread */
    int32_t *host_ids, *host_rows;
    float *host_scores;
};

/* All buffers, from the workspace; s->device and the needs are set. ENOMEM, EBUDGET. */
int spacy_scratch_create(struct spacy_scratch *s, struct berth_error *err);
void spacy_scratch_destroy(struct spacy_scratch *s); /* a zeroed one is allowed */

/* Puts n vectors into x, from row `row` behind the guard on; NULL: zeros. As the contract's write.
 */
int spacy_scratch_put(const struct spacy_scratch *s, size_t row, const float *vectors, size_t n,
                      size_t width);

/* Raises *most to a * b if that is more; SIZE_MAX, which no reservation holds, on overflow. */
void spacy_scratch_need(size_t *most, int64_t a, int64_t b);

#endif

/*
 * Rows of a turn: padding, the tokens of a piece, padding, and so on. The padding of a document's
 * ends is zero where it enters the encoder, changes there as tokens do, and is as wide as the
 * layers look: so no document ever sees its neighbour, and one padding serves two of them. Inside a
 * document the tokens around the piece take its place.
 *
 * The first layer is a sum: each token's row times the part of its weights for each place in a
 * window. Those products too depend on one token alone and are kept with its mixed row, so the
 * layer only adds them up. Deeper layers leave out the rows at both ends that no token sees any
 * more.
 */
#include "spacy/spacy_tok2vec_private.h"

#include "base/alloc.h"
#include "base/error.h"
#include "compute/ops.h"
#include "compute/tensor.h"
#include "spacy/spacy_murmur.h"
#include <string.h>

static uint64_t attribute(const struct spacy_token *t, int number) {
    switch (number) {
    case SPACY_NAME_ORTH:
        return t->lex->orth;
    case SPACY_NAME_LOWER:
        return t->lex->lower;
    case SPACY_NAME_NORM:
        return t->norm;
    case SPACY_NAME_SHAPE:
        return t->lex->shape;
    case SPACY_NAME_PREFIX:
        return t->lex->prefix;
    case SPACY_NAME_SUFFIX:
        return t->lex->suffix;
    case SPACY_NAME_LENGTH:
        return t->lex->length;
    case SPACY_NAME_SPACY:
        return t->space;
    default:
        return t->lex->flags >> number & 1;
    }
}

static uint32_t reach(const struct spacy_tok2vec *t) {
    return (uint32_t)(t->window * t->n_layers);
}

uint32_t spacy_tok2vec_padding(const struct spacy_tok2vec *t) {
    return 2 * reach(t);
}

/* ---- programs --------------------------------------------------------------------------------*/

/* Of a token's parts of the first layer. */
static int64_t part_columns(const struct spacy_tok2vec *t) {
    return t->n_layers > 0 ? spacy_tok2vec_places(t) * t->layers[0].linear.n : 0;
}

static int64_t mixer_columns(const struct spacy_tok2vec *t) {
    return t->mixer.linear.k;
}

void spacy_tok2vec_need(const struct spacy_tok2vec *t, struct spacy_scratch *s) {
    spacy_scratch_need(&s->wide_floats, SPACY_ROWS, mixer_columns(t));
    spacy_scratch_need(&s->product_floats, SPACY_ROWS, t->mixer.linear.n);
    for (int i = 0; i < t->n_layers; i++) {
        spacy_scratch_need(&s->product_floats, SPACY_ROWS, t->layers[i].linear.n);
    }
    s->width = t->width > s->width ? t->width : s->width;
    const int64_t ids = t->n_tables * SPACY_TERMS > spacy_tok2vec_places(t)
                            ? t->n_tables * SPACY_TERMS
                            : spacy_tok2vec_places(t);
    s->ids_per_row = ids > s->ids_per_row ? ids : s->ids_per_row;
}

/* The second maxout layer is the first to look at neighbours: its parts are most of it. */
size_t spacy_tok2vec_estimate(const struct bth_thinc *file) {
    const struct spacy_loader l = {.file = file};
    const struct bth_thinc_node *node;
    size_t at = 0, words = 0;
    for (int n = 0; (node = spacy_layer_next(&l, "maxout", &at)) && n < 2; n++) {
        const struct bth_source_tensor *w = bth_thinc_param(node, "W");
        if (w && w->rank == 3) {
            spacy_scratch_need(&words, w->dims[1], n == 0 ? w->dims[0] : w->dims[2]);
        }
    }
    size_t bytes;
    return bth_mul(words, SPACY_SLOTS * sizeof(float) * 3 / 2, &bytes) ? bytes : SIZE_MAX;
}

static struct berth_tensor dense(struct berth_buffer *b, int64_t cols) {
    return bth_tensor(b, BERTH_F32, 0, SPACY_ROWS, cols);
}

/* Rows of a cache from *slot on. */
static struct berth_tensor from_slot(const struct spacy_tok2vec *t, struct berth_buffer *b,
                                     int64_t cols) {
    struct berth_tensor rows = dense(b, cols);
    rows.index = t->scratch->slot;
    rows.group_rows = SPACY_ROWS;
    rows.group_stride = cols;
    return rows;
}

static int build_mix(struct spacy_tok2vec *t, struct berth_error *err) {
    const struct spacy_scratch *s = t->scratch;
    const struct berth_tensor wide = dense(s->wide, mixer_columns(t));
    const struct berth_tensor product = dense(s->product, t->mixer.linear.n);
    const int64_t embedded = t->n_tables * t->table.cols;
    const struct berth_tensor mixed = from_slot(t, t->mixed, t->width);
    struct bth_builder b;
    bth_builder_init(&b, s->device);
    bth_op_embed_sum(
        &b, 0,
        &(struct berth_op_embed_sum){
            .ids = bth_tensor(s->ids, BERTH_I32, 0, SPACY_ROWS, t->n_tables * SPACY_TERMS),
            .table = t->table,
            .y = bth_tensor_cols(wide, 0, embedded),
            .terms = SPACY_TERMS});
    if (t->vector_map.w) {
        bth_op_linear(
            &b, 0,
            &(struct berth_op_linear){.x = dense(t->vector_rows, t->vector_map.k),
                                      .w = t->vector_map.w,
                                      .y = bth_tensor_cols(wide, embedded, t->vector_map.n)});
    }
    bth_op_linear(
        &b, 0,
        &(struct berth_op_linear){
            .x = wide, .bias = t->mixer.linear.bias, .w = t->mixer.linear.w, .y = product});
    bth_op_maxout(&b, 0,
                  &(struct berth_op_maxout){.x = product,
                                            .gamma = t->mixer.gamma,
                                            .beta = t->mixer.beta,
                                            .y = mixed,
                                            .pieces = t->mixer.pieces,
                                            .eps = 1e-8f});
    if (t->first) {
        const struct berth_tensor parts = from_slot(t, t->parts, part_columns(t));
        bth_op_linear(&b, 0, &(struct berth_op_linear){.x = mixed, .w = t->first, .y = parts});
    }
    return bth_builder_build(&b, s->workspace, &t->mix, err);
}

/* Rows at both ends that layer i need not make: no token looks so far from there on. A program
 * has few live counts, so the deepest layers leave out what the last of these does. */
static int64_t left_out(const struct spacy_tok2vec *t, int i) {
    return i == 0 ? 0 : t->window * ((i < BERTH_MAX_LIVE ? i : BERTH_MAX_LIVE - 1) + 1);
}

static int live_of(int i) {
    return i < BERTH_MAX_LIVE ? i : BERTH_MAX_LIVE - 1;
}

static void add_first(struct spacy_tok2vec *t, struct bth_builder *b, struct berth_tensor x) {
    const struct spacy_scratch *s = t->scratch;
    const struct spacy_maxout *layer = &t->layers[0];
    const struct berth_tensor sums = dense(s->product, t->width);
    bth_op_gather_max(
        b, 0,
        &(struct berth_op_gather_max){
            .ids = bth_tensor(s->ids, BERTH_I32, 0, SPACY_ROWS, spacy_tok2vec_places(t)),
            .x = bth_tensor(t->parts, BERTH_F32, 0, SPACY_SLOTS, part_columns(t)),
            .bias = layer->linear.bias,
            .y = sums,
            .pieces = layer->pieces});
    bth_op_maxout(b, 0,
                  &(struct berth_op_maxout){.x = sums,
                                            .gamma = layer->gamma,
                                            .beta = layer->beta,
                                            .residual = x,
                                            .y = x,
                                            .pieces = 1,
                                            .eps = 1e-8f});
}

static void add_layer(struct spacy_tok2vec *t, struct bth_builder *b, struct berth_tensor x,
                      int i) {
    const struct spacy_maxout *layer = &t->layers[i];
    const int64_t first = left_out(t, i), rows = SPACY_ROWS - 2 * first;
    const struct berth_tensor y = bth_tensor_rows(x, first, rows);
    struct berth_tensor windows = y; /* rows that overlap: each with its neighbours */
    windows.offset -= (size_t)(t->window * t->width);
    windows.cols = t->width * spacy_tok2vec_places(t);
    const struct berth_tensor product =
        bth_tensor(t->scratch->product, BERTH_F32, 0, rows, layer->linear.n);
    bth_op_linear(
        b, live_of(i),
        &(struct berth_op_linear){
            .x = windows, .bias = layer->linear.bias, .w = layer->linear.w, .y = product});
    bth_op_maxout(b, live_of(i),
                  &(struct berth_op_maxout){.x = product,
                                            .gamma = layer->gamma,
                                            .beta = layer->beta,
                                            .residual = y,
                                            .y = y,
                                            .pieces = layer->pieces,
                                            .eps = 1e-8f});
}

static int build_encode(struct spacy_tok2vec *t, struct berth_error *err) {
    const struct spacy_scratch *s = t->scratch;
    const size_t guard = (size_t)(SPACY_GUARD * t->width);
    const struct berth_tensor x = bth_tensor(s->x, BERTH_F32, guard, SPACY_ROWS, t->width);
    struct bth_builder b;
    bth_builder_init(&b, s->device);
    bth_op_gather(
        &b, 0,
        &(struct berth_op_gather){.x = bth_tensor(t->mixed, BERTH_F32, 0, SPACY_SLOTS, t->width),
                                  .rows = bth_tensor(s->rows, BERTH_I32, 0, 1, SPACY_ROWS),
                                  .y = x});
    for (int i = 0; i < t->n_layers; i++) {
        if (i == 0) {
            add_first(t, &b, x);
        } else {
            add_layer(t, &b, x, i);
        }
    }
    return bth_builder_build(&b, s->workspace, &t->encode, err);
}

int spacy_tok2vec_build(struct spacy_tok2vec *t, struct spacy_scratch *scratch,
                        struct berth_error *err) {
    t->scratch = scratch;
    const struct berth_backend_ops *ops = scratch->device->ops;
    int rc = ops->buffer_create(scratch->device, scratch->workspace,
                                (size_t)t->width * SPACY_SLOTS * sizeof(float), &t->mixed, err);
    if (rc == 0 && t->first) {
        rc = ops->buffer_create(scratch->device, scratch->workspace,
                                (size_t)part_columns(t) * SPACY_SLOTS * sizeof(float), &t->parts,
                                err);
    }
    if (rc == 0 && t->vector_map.w) {
        rc = ops->buffer_create(scratch->device, scratch->workspace,
                                (size_t)t->vector_map.k * SPACY_ROWS * sizeof(float),
                                &t->vector_rows, err);
        t->host_vectors = bth_calloc((size_t)t->vector_map.k, SPACY_ROWS * sizeof(float));
        rc = rc == 0 && !t->host_vectors ? bth_error_nomem(err) : rc;
    }
    if (rc < 0) {
        return rc;
    }
    t->keys = bth_calloc(SPACY_SLOTS, (size_t)t->key_words * sizeof(*t->keys));
    t->buckets = bth_calloc((size_t)2 * SPACY_SLOTS, sizeof(*t->buckets));
    t->n_slots = 1;
    if (!t->keys || !t->buckets) {
        return bth_error_nomem(err);
    }
    rc = build_mix(t, err);
    return rc < 0 ? rc : build_encode(t, err);
}

/* ---- running ---------------------------------------------------------------------------------*/

static void forget(struct spacy_tok2vec *t) {
    memset(t->buckets, 0, (size_t)2 * SPACY_SLOTS * sizeof(*t->buckets));
    t->n_slots = 1;
}

/* The slot of a token's attributes; *fresh: it has just been given and is to be computed. */
static int32_t slot_of(struct spacy_tok2vec *t, const struct spacy_token *token, bool *fresh) {
    uint64_t key[SPACY_MAX_COLUMNS + 1], h = 0;
    for (int i = 0; i < t->n_columns; i++) {
        key[i] = attribute(token, t->columns[i]);
    }
    if (t->vector_map.w) {
        key[t->n_columns] = token->lex->orth;
    }
    for (int i = 0; i < t->key_words; i++) {
        h = (h ^ key[i]) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    const size_t bytes = (size_t)t->key_words * sizeof(*key);
    size_t at = h & (2 * SPACY_SLOTS - 1);
    for (; t->buckets[at]; at = (at + 1) & (2 * SPACY_SLOTS - 1)) {
        if (memcmp(t->keys + t->buckets[at] * t->key_words, key, bytes) == 0) {
            *fresh = false;
            return t->buckets[at];
        }
    }
    *fresh = true;
    t->buckets[at] = t->n_slots;
    memcpy(t->keys + t->n_slots * t->key_words, key, bytes);
    return t->n_slots++;
}

/* What the mixer reads of a token, as row `row` of its turn. ENOMEM. */
static int add_fresh(struct spacy_tok2vec *t, const struct spacy_token *token, int row) {
    int32_t *ids = t->scratch->host_ids + (ptrdiff_t)row * t->n_tables * SPACY_TERMS;
    for (int i = 0; i < t->n_tables; i++) {
        const struct spacy_embed_table *e = &t->tables[i];
        uint32_t words[SPACY_TERMS];
        spacy_murmur_key(attribute(token, t->columns[e->column]), e->seed, words);
        for (int k = 0; k < SPACY_TERMS; k++) {
            *ids++ = (int32_t)(e->base + (int64_t)(words[k] % (uint64_t)e->rows));
        }
    }
    if (t->vector_map.w) {
        float *to = t->host_vectors + row * t->vector_map.k;
        const struct spacy_lexeme *lex = token->lex;
        const size_t rows = spacy_vectors_rows(t->vectors);
        if (t->last_vector && !spacy_vectors_floret(t->vectors) && lex->vector < 0 && rows > 0) {
            memcpy(to, spacy_vectors_data(t->vectors) + (rows - 1) * (size_t)t->vector_map.k,
                   (size_t)t->vector_map.k * sizeof(*to));
        } else {
            return spacy_vectors_word(t->vectors, lex->orth, lex->text, lex->bytes, to);
        }
    }
    return 0;
}

/* The rows of a turn as they are put together. */
struct layout {
    int32_t *rows;
    uint32_t n;
    bool padded; /* the last rows are padding that the next document may share */
    int fresh;
    int rc; /* why a row could not be put together */
};

static void add_token(struct spacy_tok2vec *t, struct layout *w, const struct spacy_token *token) {
    bool fresh;
    w->rows[w->n++] = slot_of(t, token, &fresh);
    if (fresh) {
        int rc = add_fresh(t, token, w->fresh++);
        w->rc = w->rc < 0 ? w->rc : rc;
    }
}

static void add_piece(struct spacy_tok2vec *t, struct layout *w, struct spacy_piece *p) {
    const struct spacy_doc *doc = p->doc;
    const uint32_t r = reach(t), before = p->begin < r ? p->begin : r;
    const size_t left = doc->n - p->end;
    const uint32_t after = left < r ? (uint32_t)left : r;
    for (uint32_t i = before == 0 && w->padded ? r : before; i < r; i++) {
        w->rows[w->n++] = 0;
    }
    p->row = w->n + before;
    for (uint32_t i = p->begin - before; i < p->end + after; i++) {
        add_token(t, w, &doc->tokens[i]);
    }
    for (uint32_t i = after; i < r; i++) {
        w->rows[w->n++] = 0;
    }
    w->padded = after == 0;
}

static int put_in(const struct spacy_scratch *s, struct berth_buffer *b, const void *from,
                  size_t bytes, struct berth_error *err) {
    int rc = bytes ? s->device->ops->write(b, 0, from, bytes) : 0;
    return rc < 0 ? bth_error(err, rc, "%s: writing a turn's inputs failed", s->device->name) : 0;
}

/* Computes the n rows that are new, slots [first, first + n). */
static int mix_fresh(struct spacy_tok2vec *t, int32_t first, int n, struct berth_error *err) {
    const struct spacy_scratch *s = t->scratch;
    const uint32_t live[BERTH_MAX_LIVE] = {(uint32_t)n};
    int rc = put_in(s, s->slot, &first, sizeof(first), err);
    if (rc == 0) {
        rc = put_in(s, s->ids, s->host_ids,
                    (size_t)(n * t->n_tables * SPACY_TERMS) * sizeof(int32_t), err);
    }
    if (rc == 0 && t->vector_map.w) {
        rc = put_in(s, t->vector_rows, t->host_vectors,
                    (size_t)(n * t->vector_map.k) * sizeof(float), err);
    }
    return rc < 0 ? rc : s->device->ops->program_run(t->mix, live, err);
}

/* For each row the slots of all rows in its window; beyond the turn's rows that of zeros. */
static int put_neighbours(const struct spacy_tok2vec *t, uint32_t n, struct berth_error *err) {
    const struct spacy_scratch *s = t->scratch;
    const int64_t window = t->window;
    int32_t *ids = s->host_ids;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = i - window; k <= i + window; k++) {
            *ids++ = k < 0 || k >= n ? 0 : s->host_rows[k];
        }
    }
    return put_in(s, s->ids, s->host_ids, (size_t)(n * spacy_tok2vec_places(t)) * sizeof(*ids),
                  err);
}

int spacy_tok2vec_run(struct spacy_tok2vec *t, struct spacy_piece *pieces, size_t n,
                      struct berth_error *err) {
    const struct spacy_scratch *s = t->scratch;
    if (t->n_slots > SPACY_SLOTS - 2 * SPACY_ROWS) { /* a product writes from its first slot on */
        forget(t);
    }
    const int32_t first = t->n_slots;
    struct layout w = {.rows = s->host_rows};
    for (size_t i = 0; i < n; i++) {
        add_piece(t, &w, &pieces[i]);
    }
    int rc = w.rc < 0 ? bth_error_nomem(err) : 0;
    if (rc == 0 && w.fresh) {
        rc = mix_fresh(t, first, w.fresh, err);
    }
    if (rc == 0) {
        rc = put_in(s, s->rows, s->host_rows, w.n * sizeof(*s->host_rows), err);
    }
    if (rc == 0 && t->first) {
        rc = put_neighbours(t, w.n, err);
    }
    uint32_t live[BERTH_MAX_LIVE];
    for (int i = 0; i < BERTH_MAX_LIVE; i++) {
        const uint32_t out = 2 * (uint32_t)left_out(t, i);
        live[i] = out < w.n ? w.n - out : 0;
    }
    if (rc == 0) {
        rc = s->device->ops->program_run(t->encode, live, err);
    }
    if (rc < 0) {
        forget(t); /* rows that were given slots may not have been made */
    }
    return rc;
}

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
#include "spacy/spacy_tok2vec.h"

#include "base/alloc.h"
#include "base/error.h"
#include "compute/ops.h"
#include "compute/tensor.h"
#include <string.h>

enum {
    MAX_COLUMNS = 32,
    MAX_LAYERS = 32,
    MAX_WIDTH = 4096,
    TERMS = 4,     /* rows of a table that make one embedding */
    SLOTS = 4096,  /* mixed rows kept; slot 0 is zero */
    NAME_ORTH = 65 /* numbers of attributes */
};

struct table {
    int column;
    uint32_t seed;
    int64_t rows, base; /* in the joined table */
};

struct spacy_tok2vec {
    struct spacy_scratch *scratch;
    int columns[MAX_COLUMNS]; /* attributes */
    int n_columns;
    struct table tables[MAX_COLUMNS];
    int n_tables;
    struct berth_tensor table; /* [rows of all, columns of each] f32 */
    const struct spacy_vectors *vectors;
    bool last_vector;
    struct spacy_linear vector_map; /* w NULL: no vectors */
    struct spacy_maxout mixer, layers[MAX_LAYERS];
    int n_layers;
    int64_t window, width;

    struct berth_weight *first;       /* layers[0]: [places * its columns, width] */
    struct berth_buffer *mixed;       /* [SLOTS, width] f32 */
    struct berth_buffer *parts;       /* [SLOTS, places * columns of layers[0]] f32 */
    struct berth_buffer *vector_rows; /* [ROWS, columns of vectors] f32 */
    struct berth_program *mix, *encode;

    /* the cache: device thread */
    uint64_t *keys;   /* [SLOTS, key_words] */
    int32_t *buckets; /* [2 * SLOTS] slots; 0: free */
    int key_words, n_slots;
    float *host_vectors;
};

/* ---- loading ---------------------------------------------------------------------------------*/

bool spacy_tok2vec_in(const struct bth_thinc *file) {
    for (size_t i = 0; i < bth_thinc_count(file); i++) {
        if (strcmp(bth_thinc_at(file, i)->name, "hashembed") == 0) {
            return true;
        }
    }
    return false;
}

/* The number of an attribute that a network may look at; -1: none. */
static int attribute_of(const char *name) {
    static const struct {
        const char *name;
        int number;
    } names[] = {
        {"ORTH", 65},
        {"LOWER", 66},
        {"NORM", 67},
        {"SHAPE", 68},
        {"PREFIX", 69},
        {"SUFFIX", 70},
        {"LENGTH", 71},
        {"SPACY", 82},
        {"IS_ALPHA", SPACY_IS_ALPHA},
        {"IS_ASCII", SPACY_IS_ASCII},
        {"IS_DIGIT", SPACY_IS_DIGIT},
        {"IS_LOWER", SPACY_IS_LOWER},
        {"IS_PUNCT", SPACY_IS_PUNCT},
        {"IS_SPACE", SPACY_IS_SPACE},
        {"IS_TITLE", SPACY_IS_TITLE},
        {"IS_UPPER", SPACY_IS_UPPER},
        {"LIKE_URL", SPACY_LIKE_URL},
        {"LIKE_NUM", SPACY_LIKE_NUM},
        {"LIKE_EMAIL", SPACY_LIKE_EMAIL},
        {"IS_STOP", SPACY_IS_STOP},
        {"IS_BRACKET", SPACY_IS_BRACKET},
        {"IS_QUOTE", SPACY_IS_QUOTE},
        {"IS_LEFT_PUNCT", SPACY_IS_LEFT_PUNCT},
        {"IS_RIGHT_PUNCT", SPACY_IS_RIGHT_PUNCT},
        {"IS_CURRENCY", SPACY_IS_CURRENCY},
    };
    for (size_t i = 0; i < BTH_COUNT(names); i++) {
        if (strcmp(name, names[i].name) == 0) {
            return names[i].number;
        }
    }
    return -1;
}

static uint64_t attribute(const struct spacy_token *t, int number) {
    switch (number) {
    case NAME_ORTH:
        return t->lex->orth;
    case 66:
        return t->lex->lower;
    case 67:
        return t->norm;
    case 68:
        return t->lex->shape;
    case 69:
        return t->lex->prefix;
    case 70:
        return t->lex->suffix;
    case 71:
        return t->lex->length;
    case 82:
        return t->space;
    default:
        return t->lex->flags >> number & 1;
    }
}

static int load_columns(struct spacy_tok2vec *t, const struct spacy_loader *l) {
    size_t at = 0;
    const struct bth_thinc_node *node = spacy_layer_next(l, "extract_features", &at);
    const struct bth_thinc_attr *list = node ? bth_thinc_attr(node, "columns") : NULL;
    if (!list || list->kind != BTH_THINC_LIST || list->n < 1 || list->n > MAX_COLUMNS) {
        return bth_error(l->err, BERTH_EFORMAT, "%s/model: no list of 1 to %d attributes", l->name,
                         MAX_COLUMNS);
    }
    for (size_t i = 0; i < list->n; i++) {
        const struct bth_thinc_attr *item = &list->items[i];
        const int number = item->kind == BTH_THINC_TEXT ? attribute_of(item->text) : -1;
        if (number < 0) {
            return bth_error(l->err, BERTH_EUNSUPPORTED,
                             "%s/model: tokens have no attribute %.60s to embed", l->name,
                             item->kind == BTH_THINC_TEXT ? item->text : "of that kind");
        }
        t->columns[t->n_columns++] = number;
    }
    return 0;
}

/* One hashembed node as the next table. */
static int read_table(struct spacy_tok2vec *t, const struct spacy_loader *l,
                      const struct bth_thinc_node *node) {
    const struct bth_source_tensor *e = spacy_layer_param(l, node, "E", 2);
    const struct bth_thinc_attr *seed = bth_thinc_attr(node, "seed");
    const struct bth_thinc_attr *column = bth_thinc_attr(node, "column");
    if (!e) {
        return spacy_layer_failed(l);
    }
    const int64_t base =
        t->n_tables ? t->tables[t->n_tables - 1].base + t->tables[t->n_tables - 1].rows : 0;
    const int64_t where = column && column->kind == BTH_THINC_INT ? column->integer : 0;
    if (t->n_tables == MAX_COLUMNS || !seed || seed->kind != BTH_THINC_INT || where < 0 ||
        where >= t->n_columns || e->dims[0] > INT32_MAX - base ||
        (t->n_tables && e->dims[1] != t->table.cols)) {
        return bth_error(l->err, BERTH_EFORMAT, "%s/model: hashembed layer %d is not as expected",
                         l->name, t->n_tables);
    }
    t->table.cols = e->dims[1];
    t->tables[t->n_tables++] = (struct table){
        .column = (int)where, .seed = (uint32_t)seed->integer, .rows = e->dims[0], .base = base};
    return 0;
}

/* All tables in one buffer, in the order of their nodes. */
static int load_tables(struct spacy_tok2vec *t, const struct spacy_loader *l) {
    const struct bth_thinc_node *node;
    size_t at = 0;
    int rc = 0;
    while (rc == 0 && (node = spacy_layer_next(l, "hashembed", &at))) {
        rc = read_table(t, l, node);
    }
    if (rc == 0 && t->n_tables == 0) {
        rc = bth_error(l->err, BERTH_EFORMAT, "%s/model: no hashembed layer", l->name);
    }
    if (rc < 0) {
        return rc;
    }
    const struct table *last = &t->tables[t->n_tables - 1];
    const size_t row = (size_t)t->table.cols * sizeof(float);
    struct berth_buffer *b;
    rc = l->device->ops->buffer_create(l->device, l->weights,
                                       (size_t)(last->base + last->rows) * row, &b, l->err);
    if (rc < 0) {
        return rc;
    }
    t->table = bth_tensor(b, BERTH_F32, 0, last->base + last->rows, t->table.cols);
    at = 0;
    for (int i = 0; rc == 0 && i < t->n_tables; i++) {
        node = spacy_layer_next(l, "hashembed", &at);
        const struct bth_source_tensor *e = bth_thinc_param(node, "E");
        float *values = spacy_layer_floats(l, e);
        rc = values ? l->device->ops->write(b, (size_t)t->tables[i].base * row, values,
                                            (size_t)e->dims[0] * row)
                    : spacy_layer_failed(l);
        bth_free(values);
    }
    return rc;
}

static int load_vectors(struct spacy_tok2vec *t, const struct spacy_loader *l) {
    size_t at = 0;
    const struct bth_thinc_node *node = spacy_layer_next(l, "static_vectors", &at);
    if (!node) {
        return 0;
    }
    int rc = spacy_linear_load(l, node, &t->vector_map);
    if (rc == 0 && (!t->vectors || (int64_t)spacy_vectors_width(t->vectors) != t->vector_map.k)) {
        rc = bth_error(l->err, BERTH_EFORMAT,
                       "%s/model wants word vectors of width %lld, the model's have %zu", l->name,
                       (long long)t->vector_map.k,
                       t->vectors ? spacy_vectors_width(t->vectors) : (size_t)0);
    }
    return rc;
}

/* The pairs of maxout and layernorm: the first mixes, the others encode. */
static int load_layers(struct spacy_tok2vec *t, const struct spacy_loader *l) {
    size_t at_maxout = 0, at_norm = 0, at = 0;
    const struct bth_thinc_node *maxout, *norm;
    int rc = 0, n = 0;
    while (rc == 0 && (maxout = spacy_layer_next(l, "maxout", &at_maxout))) {
        norm = spacy_layer_next(l, "layernorm", &at_norm);
        if (!norm || n > MAX_LAYERS) {
            return bth_error(l->err, norm ? BERTH_EUNSUPPORTED : BERTH_EFORMAT, "%s/model: %s",
                             l->name,
                             norm ? "too many layers" : "a maxout layer without a layernorm");
        }
        rc = spacy_maxout_load(l, maxout, norm, n ? &t->layers[n - 1] : &t->mixer);
        n++;
    }
    t->n_layers = n - 1;
    const struct bth_thinc_node *expand = spacy_layer_next(l, "expand_window", &at);
    const struct bth_thinc_attr *size = expand ? bth_thinc_attr(expand, "window_size") : NULL;
    t->window = size && size->kind == BTH_THINC_INT ? size->integer : 0;
    t->width = t->mixer.n;
    return rc;
}

static int64_t places(const struct spacy_tok2vec *t) {
    return 2 * t->window + 1;
}

/* The first layer's weights [n, places * width] as [places * n, width]. */
static int load_first(struct spacy_tok2vec *t, const struct spacy_loader *l) {
    const int64_t n = t->layers[0].linear.n, width = t->width, pieces = t->layers[0].pieces;
    size_t at = 0;
    spacy_layer_next(l, "maxout", &at); /* the mixer */
    const struct bth_thinc_node *node = spacy_layer_next(l, "maxout", &at);
    float *from = spacy_layer_floats(l, bth_thinc_param(node, "W"));
    float *to = from ? bth_calloc((size_t)(places(t) * n), (size_t)width * sizeof(*to)) : NULL;
    for (int64_t i = 0; to && i < places(t) * n; i++) { /* place, piece, output */
        const int64_t place = i / n, piece = i % n / t->width, out = i % n % t->width;
        memcpy(to + i * width, from + ((out * pieces + piece) * places(t) + place) * width,
               (size_t)width * sizeof(*to));
    }
    int rc = to ? l->device->ops->weight_create(l->device, l->weights, BERTH_F32, places(t) * n,
                                                width, to, &t->first, l->err)
                : bth_error_nomem(l->err);
    bth_weight_destroy(t->layers[0].linear.w); /* in another order */
    t->layers[0].linear.w = NULL;
    bth_free(from);
    bth_free(to);
    return rc;
}

/* Whether the layers fit together. */
static int check_shapes(const struct spacy_tok2vec *t, const struct spacy_loader *l) {
    const int64_t in = t->n_tables * t->table.cols + t->vector_map.n;
    bool good = t->n_layers >= 0 && t->mixer.linear.k == in && t->window >= 0 &&
                (t->n_layers == 0 || t->window >= 1);
    if (t->window > SPACY_GUARD || t->window * t->n_layers > SPACY_ROWS / 8 ||
        t->width > MAX_WIDTH) {
        return bth_error(l->err, BERTH_EUNSUPPORTED,
                         "%s/model: windows of %lld tokens, vectors of %lld columns", l->name,
                         (long long)t->window, (long long)t->width);
    }
    for (int i = 0; good && i < t->n_layers; i++) {
        good =
            t->layers[i].n == t->width && t->layers[i].linear.k == t->width * (2 * t->window + 1);
    }
    return good ? 0
                : bth_error(l->err, BERTH_EFORMAT, "%s/model: its layers do not fit together",
                            l->name);
}

int spacy_tok2vec_load(const struct spacy_loader *l, const struct spacy_vectors *vectors,
                       bool last_vector, struct spacy_tok2vec **out) {
    struct spacy_tok2vec *t = bth_calloc(1, sizeof(*t));
    if (!t) {
        return bth_error_nomem(l->err);
    }
    t->vectors = vectors;
    t->last_vector = last_vector;
    int rc = load_columns(t, l);
    if (rc == 0) {
        rc = load_tables(t, l);
    }
    if (rc == 0) {
        rc = load_vectors(t, l);
    }
    if (rc == 0) {
        rc = load_layers(t, l);
    }
    if (rc == 0) {
        rc = check_shapes(t, l);
    }
    if (rc == 0 && t->n_layers > 0) {
        rc = load_first(t, l);
    }
    if (rc < 0) {
        spacy_tok2vec_destroy(t);
        return rc;
    }
    t->key_words = t->n_columns + (t->vector_map.w != NULL);
    *out = t;
    return 0;
}

void spacy_tok2vec_destroy(struct spacy_tok2vec *t) {
    if (!t) {
        return;
    }
    if (t->scratch) {
        bth_program_destroy(t->scratch->device, t->mix);
        bth_program_destroy(t->scratch->device, t->encode);
    }
    bth_buffer_destroy(t->table.buffer);
    bth_weight_destroy(t->first);
    bth_buffer_destroy(t->mixed);
    bth_buffer_destroy(t->parts);
    bth_buffer_destroy(t->vector_rows);
    spacy_linear_finish(&t->vector_map);
    spacy_maxout_finish(&t->mixer);
    for (int i = 0; i < MAX_LAYERS; i++) {
        spacy_maxout_finish(&t->layers[i]);
    }
    bth_free(t->keys);
    bth_free(t->buckets);
    bth_free(t->host_vectors);
    bth_free(t);
}

int64_t spacy_tok2vec_width(const struct spacy_tok2vec *t) {
    return t->width;
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
    return t->n_layers > 0 ? places(t) * t->layers[0].linear.n : 0;
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
    const int64_t ids = t->n_tables * TERMS > places(t) ? t->n_tables * TERMS : places(t);
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
    return bth_mul(words, SLOTS * sizeof(float) * 3 / 2, &bytes) ? bytes : SIZE_MAX;
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
    bth_op_embed_sum(&b, 0,
                     &(struct berth_op_embed_sum){
                         .ids = bth_tensor(s->ids, BERTH_I32, 0, SPACY_ROWS, t->n_tables * TERMS),
                         .table = t->table,
                         .y = bth_tensor_cols(wide, 0, embedded),
                         .terms = TERMS});
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
    bth_op_gather_max(b, 0,
                      &(struct berth_op_gather_max){
                          .ids = bth_tensor(s->ids, BERTH_I32, 0, SPACY_ROWS, places(t)),
                          .x = bth_tensor(t->parts, BERTH_F32, 0, SLOTS, part_columns(t)),
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
    windows.cols = t->width * places(t);
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
        &(struct berth_op_gather){.x = bth_tensor(t->mixed, BERTH_F32, 0, SLOTS, t->width),
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
                                (size_t)t->width * SLOTS * sizeof(float), &t->mixed, err);
    if (rc == 0 && t->first) {
        rc = ops->buffer_create(scratch->device, scratch->workspace,
                                (size_t)part_columns(t) * SLOTS * sizeof(float), &t->parts, err);
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
    t->keys = bth_calloc(SLOTS, (size_t)t->key_words * sizeof(*t->keys));
    t->buckets = bth_calloc((size_t)2 * SLOTS, sizeof(*t->buckets));
    t->n_slots = 1;
    if (!t->keys || !t->buckets) {
        return bth_error_nomem(err);
    }
    rc = build_mix(t, err);
    return rc < 0 ? rc : build_encode(t, err);
}

/* ---- running ---------------------------------------------------------------------------------*/

static uint64_t mixed_bits(uint64_t h) {
    h ^= h >> 33;
    h *= UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 33;
    h *= UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ h >> 33;
}

/* MurmurHash3 x64 128 of the eight bytes of a key: four words. */
static void hash_words(uint64_t key, uint32_t seed, uint32_t out[TERMS]) {
    uint64_t h1 = key * UINT64_C(0x87c37b91114253d5);
    h1 = (h1 << 31 | h1 >> 33) * UINT64_C(0x4cf5ad432745937f);
    h1 ^= seed;
    h1 ^= 8;
    uint64_t h2 = seed ^ 8u;
    h1 += h2;
    h2 += h1;
    h1 = mixed_bits(h1);
    h2 = mixed_bits(h2);
    h1 += h2;
    h2 += h1;
    out[0] = (uint32_t)h1;
    out[1] = (uint32_t)(h1 >> 32);
    out[2] = (uint32_t)h2;
    out[3] = (uint32_t)(h2 >> 32);
}

static void forget(struct spacy_tok2vec *t) {
    memset(t->buckets, 0, (size_t)2 * SLOTS * sizeof(*t->buckets));
    t->n_slots = 1;
}

/* The slot of a token's attributes; *fresh: it has just been given and is to be computed. */
static int32_t slot_of(struct spacy_tok2vec *t, const struct spacy_token *token, bool *fresh) {
    uint64_t key[MAX_COLUMNS + 1], h = 0;
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
    size_t at = h & (2 * SLOTS - 1);
    for (; t->buckets[at]; at = (at + 1) & (2 * SLOTS - 1)) {
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

/* What the mixer reads of a token, as row `row` of its turn. */
static void add_fresh(struct spacy_tok2vec *t, const struct spacy_token *token, int row) {
    int32_t *ids = t->scratch->host_ids + (ptrdiff_t)row * t->n_tables * TERMS;
    for (int i = 0; i < t->n_tables; i++) {
        const struct table *e = &t->tables[i];
        uint32_t words[TERMS];
        hash_words(attribute(token, t->columns[e->column]), e->seed, words);
        for (int k = 0; k < TERMS; k++) {
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
            spacy_vectors_word(t->vectors, lex->orth, lex->text, lex->bytes, to);
        }
    }
}

/* The rows of a turn as they are put together. */
struct layout {
    int32_t *rows;
    uint32_t n;
    bool padded; /* the last rows are padding that the next document may share */
    int fresh;
};

static void add_token(struct spacy_tok2vec *t, struct layout *w, const struct spacy_token *token) {
    bool fresh;
    w->rows[w->n++] = slot_of(t, token, &fresh);
    if (fresh) {
        add_fresh(t, token, w->fresh++);
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
        rc = put_in(s, s->ids, s->host_ids, (size_t)(n * t->n_tables * TERMS) * sizeof(int32_t),
                    err);
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
    return put_in(s, s->ids, s->host_ids, (size_t)(n * places(t)) * sizeof(*ids), err);
}

int spacy_tok2vec_run(struct spacy_tok2vec *t, struct spacy_piece *pieces, size_t n,
                      struct berth_error *err) {
    const struct spacy_scratch *s = t->scratch;
    if (t->n_slots > SLOTS - 2 * SPACY_ROWS) { /* a product writes from its first slot on */
        forget(t);
    }
    const int32_t first = t->n_slots;
    struct layout w = {.rows = s->host_rows};
    for (size_t i = 0; i < n; i++) {
        add_piece(t, &w, &pieces[i]);
    }
    int rc = w.fresh ? mix_fresh(t, first, w.fresh, err) : 0;
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

/* Reading the layers of a network: what order and names in the file say, checked to fit together.
 */
#include "spacy/spacy_tok2vec_private.h"

#include "base/alloc.h"
#include "base/error.h"
#include "compute/tensor.h"
#include <string.h>

enum { MAX_WIDTH = 4096 };

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
        {"ORTH", SPACY_NAME_ORTH},
        {"LOWER", SPACY_NAME_LOWER},
        {"NORM", SPACY_NAME_NORM},
        {"SHAPE", SPACY_NAME_SHAPE},
        {"PREFIX", SPACY_NAME_PREFIX},
        {"SUFFIX", SPACY_NAME_SUFFIX},
        {"LENGTH", SPACY_NAME_LENGTH},
        {"SPACY", SPACY_NAME_SPACY},
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

static int load_columns(struct spacy_tok2vec *t, const struct spacy_loader *l) {
    size_t at = 0;
    const struct bth_thinc_node *node = spacy_layer_next(l, "extract_features", &at);
    const struct bth_thinc_attr *list = node ? bth_thinc_attr(node, "columns") : NULL;
    if (!list || list->kind != BTH_THINC_LIST || list->n < 1 || list->n > SPACY_MAX_COLUMNS) {
        return bth_error(l->err, BERTH_EFORMAT, "%s/model: no list of 1 to %d attributes", l->name,
                         SPACY_MAX_COLUMNS);
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
    if (t->n_tables == SPACY_MAX_COLUMNS || !seed || seed->kind != BTH_THINC_INT || where < 0 ||
        where >= t->n_columns || e->dims[0] > INT32_MAX - base ||
        (t->n_tables && e->dims[1] != t->table.cols)) {
        return bth_error(l->err, BERTH_EFORMAT, "%s/model: hashembed layer %d is not as expected",
                         l->name, t->n_tables);
    }
    t->table.cols = e->dims[1];
    t->tables[t->n_tables++] = (struct spacy_embed_table){
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
    const struct spacy_embed_table *last = &t->tables[t->n_tables - 1];
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
        if (!norm || n > SPACY_MAX_LAYERS) {
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

/* The first layer's weights [n, places * width] as [places * n, width]. */
static int load_first(struct spacy_tok2vec *t, const struct spacy_loader *l) {
    const int64_t n = t->layers[0].linear.n, width = t->width, pieces = t->layers[0].pieces;
    size_t at = 0;
    spacy_layer_next(l, "maxout", &at); /* the mixer */
    const struct bth_thinc_node *node = spacy_layer_next(l, "maxout", &at);
    float *from = spacy_layer_floats(l, bth_thinc_param(node, "W"));
    float *to = from
                    ? bth_calloc((size_t)(spacy_tok2vec_places(t) * n), (size_t)width * sizeof(*to))
                    : NULL;
    for (int64_t i = 0; to && i < spacy_tok2vec_places(t) * n; i++) { /* place, piece, output */
        const int64_t place = i / n, piece = i % n / t->width, out = i % n % t->width;
        memcpy(to + i * width,
               from + ((out * pieces + piece) * spacy_tok2vec_places(t) + place) * width,
               (size_t)width * sizeof(*to));
    }
    int rc = to ? l->device->ops->weight_create(l->device, l->weights, BERTH_F32,
                                                spacy_tok2vec_places(t) * n, width, to, &t->first,
                                                l->err)
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
    for (int i = 0; i < SPACY_MAX_LAYERS; i++) {
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

/*
 * spacy_tok2vec_private.h - what the two files of spacy_tok2vec.h share: spacy_tok2vec_load.c reads
 * and frees a network, spacy_tok2vec.c builds and runs it.
 */
#ifndef SPACY_TOK2VEC_PRIVATE_H
#define SPACY_TOK2VEC_PRIVATE_H

#include "spacy/spacy_tok2vec.h"

enum {
    SPACY_MAX_COLUMNS = 32,
    SPACY_MAX_LAYERS = 32,
    SPACY_TERMS = 4,    /* rows of a table that make one embedding */
    SPACY_SLOTS = 4096, /* mixed rows kept; slot 0 is zero */
};

/* spaCy's numbers of attributes; those of flags are enum spacy_flag. */
enum {
    SPACY_NAME_ORTH = 65,
    SPACY_NAME_LOWER,
    SPACY_NAME_NORM,
    SPACY_NAME_SHAPE,
    SPACY_NAME_PREFIX,
    SPACY_NAME_SUFFIX,
    SPACY_NAME_LENGTH,
    SPACY_NAME_SPACY = 82
};

struct spacy_embed_table {
    int column;
    uint32_t seed;
    int64_t rows, base; /* in the joined table */
};

struct spacy_tok2vec {
    struct spacy_scratch *scratch;
    int columns[SPACY_MAX_COLUMNS]; /* attributes */
    int n_columns;
    struct spacy_embed_table tables[SPACY_MAX_COLUMNS];
    int n_tables;
    struct berth_tensor table; /* [rows of all, columns of each] f32 */
    const struct spacy_vectors *vectors;
    bool last_vector;
    struct spacy_linear vector_map; /* w NULL: no vectors */
    struct spacy_maxout mixer, layers[SPACY_MAX_LAYERS];
    int n_layers;
    int64_t window, width;

    struct berth_weight *first;       /* layers[0]: [places * its columns, width] */
    struct berth_buffer *mixed;       /* [SPACY_SLOTS, width] f32 */
    struct berth_buffer *parts;       /* [SPACY_SLOTS, places * columns of layers[0]] f32 */
    struct berth_buffer *vector_rows; /* [ROWS, columns of vectors] f32 */
    struct berth_program *mix, *encode;

    /* the cache: device thread */
    uint64_t *keys;   /* [SPACY_SLOTS, key_words] */
    int32_t *buckets; /* [2 * SPACY_SLOTS] slots; 0: free */
    int key_words, n_slots;
    float *host_vectors;
};

/* Tokens of a window. */
static inline int64_t spacy_tok2vec_places(const struct spacy_tok2vec *t) {
    return 2 * t->window + 1;
}

#endif

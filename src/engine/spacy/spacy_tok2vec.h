/*
 * spacy_tok2vec.h - the network that makes a vector of each token: hashed embeddings of its
 * attributes, a mixing layer, then layers that look at neighbours (MultiHashEmbed, HashEmbedCNN,
 * MaxoutWindowEncoder).
 *
 * The mixing layer sees one token alone, so its results are kept by the token's attributes and
 * computed once for words that come again: the same bytes, since a row's bits depend on its own
 * inputs only.
 *
 * A document may be cut: each piece brings as many tokens around it as the layers look at.
 *
 * Immutable after building but for that cache and the scratch: run on the device's thread.
 */
#ifndef SPACY_TOK2VEC_H
#define SPACY_TOK2VEC_H

#include "spacy/spacy_doc.h"
#include "spacy/spacy_layers.h"
#include "spacy/spacy_scratch.h"
#include "spacy/spacy_vectors.h"

struct spacy_tok2vec;

/* Tokens [begin, end) of a document, end > begin. */
struct spacy_piece {
    const struct spacy_doc *doc;
    uint32_t begin, end;
    uint32_t row; /* out: of scratch->x (after the guard) where the first one's vector lies */
};

/* Whether a model file holds such a network. */
bool spacy_tok2vec_in(const struct bth_thinc *file);

/* The layers of l->file. `vectors` of the model may be NULL; unknown words have the last of them
 * with `last_vector` (StaticVectors.v1), else none. EFORMAT, EUNSUPPORTED, ENOMEM, EBUDGET. */
int spacy_tok2vec_load(const struct spacy_loader *l, const struct spacy_vectors *vectors,
                       bool last_vector, struct spacy_tok2vec **out);
void spacy_tok2vec_need(const struct spacy_tok2vec *t, struct spacy_scratch *scratch);
int spacy_tok2vec_build(struct spacy_tok2vec *t, struct spacy_scratch *scratch,
                        struct berth_error *err);
void spacy_tok2vec_destroy(struct spacy_tok2vec *t); /* NULL is allowed */

int64_t spacy_tok2vec_width(const struct spacy_tok2vec *t);
/* Rows that a piece takes beside its tokens. */
uint32_t spacy_tok2vec_padding(const struct spacy_tok2vec *t);
/* Bytes of the workspace that the network of a model file will take, beside the scratch; 0: it has
 * none. */
size_t spacy_tok2vec_estimate(const struct bth_thinc *file);

/* Makes the vectors of n pieces, tokens and padding at most SPACY_ROWS rows in all. Codes as
 * program_run. */
int spacy_tok2vec_run(struct spacy_tok2vec *t, struct spacy_piece *pieces, size_t n,
                      struct berth_error *err);

#endif

/*
 * tests/lib/tiny_marian.h - Marian models of random weights, as a Hugging Face directory.
 *
 * Weights come from a counter: element i of a tensor depends on the seed, the tensor's name and i
 * alone, so tools/golden_marian.py makes the same ones in numpy. They are scaled so that the best
 * ids lie well apart and that the end comes after a while; what such a model says is nonsense. Its
 * vocabulary is made of a few hundred pieces; with `sentencepiece` real text can be given to it.
 */
#ifndef BTH_TINY_MARIAN_H
#define BTH_TINY_MARIAN_H

#include <stdbool.h>
#include <stdint.h>

struct tiny_marian {
    int d, heads, encoder_ffn, decoder_ffn, encoder_layers, decoder_layers;
    int vocab, decoder_vocab; /* ids 0 end, 1 unknown, vocab - 1 pad, in each */
    bool relu;                /* else swish */
    bool tied_embeddings, tied_output;
    bool renormalize;
    float spread, eos_bias; /* of logits */
    uint64_t seed;
    int positions; /* stored in the file; 0: none, 512 are made */
    bool pre_norm; /* norms before the blocks and one behind the last; no such in Hugging Face's */
};

/* The shapes of tests/golden/marian; NULL beyond the last. */
const struct tiny_marian *tiny_marian_shape(int i);
/* Writes the files into a directory that exists. Aborts the test when it cannot. */
void tiny_marian_hf(const struct tiny_marian *t, const char *dir);

/* The values of a tensor by its Hugging Face name; free() them. Aborts the test without one. */
float *tiny_marian_values(const struct tiny_marian *t, const char *name, int64_t *out_n);

/* The shapes of tests/golden/marian/ct2.json; NULL beyond the last. tiny_ct2.c. */
const struct tiny_marian *tiny_ct2_shape(int i);
enum tiny_ct2_type { TINY_CT2_F32, TINY_CT2_I16, TINY_CT2_I8 };
/* Writes a CTranslate2 directory; its words are </s>, <unk>, w2, w3 ... */
void tiny_marian_ct2(const struct tiny_marian *t, enum tiny_ct2_type type, const char *dir);

/* A fresh directory under TMPDIR or /tmp, and its end with all files in it. */
char *tiny_marian_dir(void);
void tiny_marian_remove(char *dir);

#endif

/*
 * engine/marian/marian_files.h - what a path holds: configuration and tensors of a Marian model,
 * whatever wrote it.
 *
 * Layouts (MARIAN_*): Hugging Face directories (config.json, safetensors or pytorch_model.bin),
 * Marian's own .npz, Bergamot folders and .bin files (int8 with its scales), CTranslate2
 * directories (model.bin). All are seen through one configuration and one naming of tensors.
 *
 * Not here: weights on a device, text (marian_vocab.h). Nothing is copied at open: tensors point
 * into mapped files. Immutable after open: any thread.
 */
#ifndef BTH_MARIAN_FILES_H
#define BTH_MARIAN_FILES_H

#include "format/source.h"
#include <stdbool.h>

enum marian_format { MARIAN_HF, MARIAN_NPZ, MARIAN_BIN, MARIAN_CT2 };

/* Rows of the position table where the file holds none, or sine first, cosine second half. */
enum marian_pos_kind {
    MARIAN_POS_STORED, /* tensor model.encoder.embed_positions.weight (and decoder's) */
    MARIAN_POS_HF,     /* angle = p / 10000^(2j/d), p from 0 */
    MARIAN_POS_MARIAN, /* angle = p * exp(-j ln(10000) / (d/2 - 1)), p from 0 */
    MARIAN_POS_ONMT_TF /* as MARIAN, p from 1 */
};

enum marian_decoder { MARIAN_DECODER_ATTENTION, MARIAN_DECODER_SSRU };

enum marian_activation {
    MARIAN_ACT_RELU,
    MARIAN_ACT_SWISH,
    MARIAN_ACT_GELU, /* erf */
    MARIAN_ACT_GELU_TANH,
    MARIAN_ACT_GELU_SIGMOID /* x * sigmoid(1.702 x) */
};

/* How weights and activations of int8 products are quantised. */
enum marian_int8 {
    MARIAN_INT8_NONE,
    MARIAN_INT8_SHIFT_ALPHA, /* Bergamot's int8shiftAlphaAll: alphas from the file */
    MARIAN_INT8_DYNAMIC,     /* Marian without alphas: 127 / max|x| */
    MARIAN_INT8_ROWS         /* CTranslate2: a scale per row of weights and of activations */
};

enum { MARIAN_MAX_LAYERS = 64, MARIAN_MAX_BAD_WORDS = 64, MARIAN_MAX_BAD_IDS = 256 };

#define MARIAN_ID_OF_VOCAB (-2)

enum marian_early_stopping { MARIAN_STOP_FALSE, MARIAN_STOP_TRUE, MARIAN_STOP_NEVER };

/* Checked against the tensors: every dimension below is that of a weight. */
struct marian_config {
    /* network */
    int64_t d, encoder_ffn, decoder_ffn;
    int64_t encoder_heads, decoder_heads; /* each divides d */
    int encoder_layers, decoder_layers;
    enum marian_activation activation;
    enum marian_decoder decoder;
    bool pre_norm;   /* layer norm before each block, and encoder/decoder.layer_norm on top */
    bool final_norm; /* encoder.layer_norm and decoder.layer_norm exist */
    bool normalize_embedding; /* encoder/decoder.layernorm_embedding exist */
    float ln_eps;
    float embedding_scale; /* of encoder and decoder; 1 for none, sqrt(d) mostly */
    enum marian_pos_kind pos_kind;
    int64_t max_positions; /* rows of the stored table, or the length the model was made for;
                              0: none said */
    enum marian_int8 int8;

    /* vocabularies: rows of the embeddings */
    int64_t source_vocab, target_vocab;
    bool shared_vocab;    /* one vocabulary (and one embedding) for both languages */
    bool tied_embeddings; /* source and target embedding are one tensor */
    bool tied_output;     /* target embedding and output matrix are one tensor */

    /* ids; -1: there is none; MARIAN_ID_OF_VOCAB until marian_vocab_open has put them in */
    int32_t eos, pad, unk, bos;
    int32_t source_eos;   /* of the source vocabulary; -1: none is appended (CTranslate2) */
    int32_t source_bos;   /* put before the source; mostly -1 */
    int32_t start;        /* first decoder input; -1 where start_from_zero */
    bool start_from_zero; /* step 0 takes a zero embedding */
    int32_t forced_eos;   /* at max_length - 1, HF; else -1 */
    int32_t forced_bos;   /* first token that is produced, HF; else -1 */
    bool suppress_unk;    /* Marian without allow-unk */

    /* generation: what the files say, defaults of the program that they are made for otherwise */
    int32_t bad_ids[MARIAN_MAX_BAD_IDS]; /* the lists of bad_words_ids, one behind the other */
    int32_t bad_lengths[MARIAN_MAX_BAD_WORDS]; /* [n_bad_words] */
    int32_t n_bad_words;
    int32_t num_beams;
    int32_t max_length;      /* counts the start token; 0: max_length_factor rules alone */
    float max_length_factor; /* Marian: at most ceil(factor * source ids with eos) tokens; else 0 */
    float length_penalty;
    float word_penalty; /* Marian */
    enum marian_early_stopping early_stopping;
    bool renormalize_logits;  /* as the file says; false when it is silent */
    bool skip_cost;           /* Marian: raw logits are compared */
    int32_t no_repeat_ngram;  /* 0: off */
    float repetition_penalty; /* 1: off */

    /* alignment of output to source: attention of this decoder layer to the source */
    int32_t alignment_layer; /* -1: the last */
    int32_t alignment_head;  /* -1: the mean of all */

    /* text */
    bool clean_up_spaces; /* clean_up_tokenization_spaces; false where the files are silent */
    int32_t max_source;   /* ids of a source with eos: tokenizer's model_max_length, or 0 */
};

/* A weight. Matrices are [n, k] row-major with y = x W^T, vectors [1, k]. */
enum marian_scale {
    MARIAN_PLAIN,        /* f32, f16, bf16 */
    MARIAN_SCALE_ONE,    /* i8, i16: value = q / scale[0] */
    MARIAN_SCALE_PER_ROW /* i8: value = q / scale[row] */
};
struct marian_tensor {
    enum berth_dtype dtype;
    enum marian_scale quant;
    int64_t n, k;
    const void *data;  /* any alignment; two names of one tensor give the same pointer */
    const void *scale; /* f32, any alignment: [1] or [n]; NULL if PLAIN */
    float alpha; /* Marian's activation scale of products with this weight; 0: none in the file */
    void *owned; /* what marian_tensor_release frees; data points into it */
};

/* How the files spell special tokens; "": there is none. */
#define MARIAN_TOKEN_BYTES 64
struct marian_tokens {
    char unk[MARIAN_TOKEN_BYTES], eos[MARIAN_TOKEN_BYTES], pad[MARIAN_TOKEN_BYTES],
        bos[MARIAN_TOKEN_BYTES], start[MARIAN_TOKEN_BYTES];
};

struct marian_files {
    enum marian_format format;
    char *dir;
    struct marian_config config;
    struct marian_tokens tokens;
    struct bth_source *source;
    char *paths[3]; /* source vocabulary, target vocabulary, shortlist; NULL: none. See _vocab.h */
    uint64_t parameters;
    uint32_t ct2_revision;
    bool torch; /* HF: from pytorch_model.bin */
};

/* Opens a directory or a weights file; reads configuration and names, no weights. On failure `f` is
 * zeroed. ENOTFOUND: no Marian model here; EFORMAT: one, but damaged or of a kind that is not
 * read; EIO, ENOMEM. */
int marian_files_open(struct marian_files *f, const char *path, struct berth_error *err);
void marian_files_close(struct marian_files *f);
/* "ctranslate2", "safetensors", "pytorch", "npz", "bergamot" */
const char *marian_files_format(const struct marian_files *f);
/* "marian 6+6 layers, d 512, i8" */
void marian_files_describe(const struct marian_files *f, char *out, size_t size);

/*
 * One tensor by its canonical name, those of Hugging Face:
 *
 *   model.encoder.embed_tokens.weight   [source_vocab, d]
 *   model.decoder.embed_tokens.weight   [target_vocab, d]
 *   lm_head.weight                      [target_vocab, d]   the embedding where tied
 *   final_logits_bias                   [1, target_vocab]
 *   model.{encoder,decoder}.embed_positions.weight          [max_positions, d] (POS_STORED)
 *   model.{encoder,decoder}.{layer_norm,layernorm_embedding}.{weight,bias}     (if config says so)
 *   P = model.{encoder,decoder}.layers.N.
 *   P self_attn.{q,k,v,out}_proj.{weight [d, d],bias [1, d]}   P self_attn_layer_norm.{weight,bias}
 *   P encoder_attn.{q,k,v,out}_proj.*  P encoder_attn_layer_norm.*    (decoder)
 *   P fc1.{weight [ffn, d],bias}       P fc2.{weight [d, ffn],bias}   P final_layer_norm.*
 *   P ssru.{weight [d, d]}  P ssru.gate.{weight [d, d],bias}  P ssru_layer_norm.*
 *                                       (SSRU decoder, in place of self_attn.*)
 *
 * Rows of CTranslate2's fused matrices are views; matrices that are stored [k, n] (npz) are turned
 * into memory that `owned` holds. Every result is released with marian_tensor_release, before f is
 * closed. ENOTFOUND: not in this model (optional biases, say); EFORMAT: it has another shape than
 * n, k (0: any); ENOMEM. */
int marian_files_tensor(const struct marian_files *f, const char *name, int64_t n, int64_t k,
                        struct marian_tensor *out, struct berth_error *err);
void marian_tensor_release(struct marian_tensor *t);
/* The values as f32, de-quantised as q * (1 / scale): [n * k] into out. */
void marian_tensor_to_f32(const struct marian_tensor *t, float *out);
/* Rows [row, row + n) of it, into out. */
void marian_tensor_rows_to_f32(const struct marian_tensor *t, int64_t row, int64_t n, float *out);
float marian_tensor_scale(const struct marian_tensor *t, int64_t row);

#endif

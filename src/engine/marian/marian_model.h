/*
 * engine/marian/marian_model.h - a loaded model: weights, programs, memory for sentences.
 *
 * Weights and programs are immutable after load. The slot allocator, the buffers of a turn and the
 * cache belong to the device's thread.
 */
#ifndef BTH_MARIAN_MODEL_H
#define BTH_MARIAN_MODEL_H

#include "common/slots.h"
#include "marian/marian_files.h"
#include "marian/marian_vocab.h"
#include <berth/engine.h>

enum {
    MARIAN_PAGE = 16,          /* positions of a slot */
    MARIAN_MAX_ROWS = 256,     /* of a decoder turn, on a device that gains from so many */
    MARIAN_FEW_ROWS = 64,      /* on others; of one session everywhere */
    MARIAN_BUCKETS = 9,        /* 1, 2, 4, ... 256 rows */
    MARIAN_MOST = 1024,        /* ids of a sentence, source or target */
    MARIAN_ENCODE_BUCKETS = 7, /* 16, 32, ... 1024 rows */
    MARIAN_MAX_SLOTS = 1 << 15,
    MARIAN_MAX_BEAMS = 16
};

/* y = x W^T + b; in one piece, or its parts one after the other where each has its own scale. */
struct marian_matrix {
    struct berth_weight *w;
    struct berth_tensor bias; /* [1, n] f32 in model->vectors; buffer NULL: none */
    struct berth_eights eights;
};

enum { MARIAN_MAX_PARTS = 3 };
struct marian_linear {
    struct marian_matrix part[MARIAN_MAX_PARTS];
    int n_parts;
    int64_t n; /* outputs of a part */
};

struct marian_norm {
    struct berth_tensor gamma, beta; /* [1, d] f32 */
};

struct marian_layer {
    struct marian_norm self_norm, cross_norm, ffn_norm;
    struct marian_linear qkv, self_out; /* 3 d, d */
    struct marian_linear ssru, gate;    /* d, d: decoders with SSRU, in place of these two */
    struct marian_linear cross_q, cross_kv, cross_out; /* decoder: d, 2 d, d */
    struct marian_linear ffn_up, ffn_down;
};

/* Rows of an embedding: a weight that makes the logits too, or a dense tensor. */
struct marian_table {
    const struct berth_weight *w;
    struct berth_tensor rows;
    float unit;
};

/* What a turn tells the device, in one block: offsets in 32-bit words of `inputs`. */
struct marian_inputs {
    size_t ids, pos, len, table; /* both stages; table: of the rows themselves */
    size_t cross_table, cross_len, from, to, list, count, tops; /* STEP; cross_table: ENCODE too */
    size_t words;
};

/* The most rows of a turn of each stage. */
struct marian_room {
    int64_t encode, step;
};

struct bth_shortlist;

struct marian_cache;

struct marian_model {
    struct berth_model base; /* first */
    struct marian_config config;
    struct marian_vocab *vocab;
    struct bth_shortlist *shortlist;  /* NULL: none */
    char source[32], target[32];      /* languages; "" where not known */
    bool eights;                      /* products of i8 */
    int64_t source_most, target_most; /* ids of a sentence; rows of the position table */
    struct marian_room room;          /* most rows of its turns */

    /* weights */
    struct berth_buffer *vectors; /* biases, norms, positions, units: f32 */
    size_t vectors_used;          /* elements */
    struct berth_buffer *tables[2];
    struct marian_table source_table, target_table;
    struct berth_weight *output;     /* [target_vocab, d]; NULL with a shortlist */
    struct berth_tensor output_rows; /* the same as rows, with a shortlist */
    struct berth_tensor output_bias;
    struct berth_eights output_eights;
    struct berth_tensor source_positions, target_positions;
    struct marian_layer encoder[MARIAN_MAX_LAYERS], decoder[MARIAN_MAX_LAYERS];
    struct marian_norm encoder_norm, decoder_norm, encoder_first, decoder_first;

    /* memory of sentences: address space, committed slot by slot. A slot is MARIAN_PAGE positions
     * of keys and values of all decoder layers: a page of a source, or that many pages of targets,
     * or that many states of a recurrent decoder. */
    struct berth_buffer *slots;
    int64_t position_stride; /* f32 elements of one position */
    struct bth_slots allocator;

    /* scratch of turns */
    struct berth_buffer *scratch; /* f32 */
    struct berth_buffer *pages;   /* keys and values of the sentences in an ENCODE turn */
    struct berth_buffer *scores;  /* [rows * heads, source_most] f32, of the layer that aligns */
    struct berth_buffer *inputs;  /* u32 words, see marian_inputs */
    struct berth_buffer *outputs; /* [rows] berth_top_out */
    struct berth_buffer *lists;   /* [rows, target_vocab] i32: shortlists */
    uint64_t list_owner[MARIAN_MAX_ROWS]; /* whose list a row of it holds */
    uint64_t n_lists;                     /* counter of their numbers */
    struct marian_inputs layout;
    struct berth_reservation *workspace;

    /* programs */
    struct berth_program *encode[MARIAN_ENCODE_BUCKETS];
    struct berth_program *step[MARIAN_BUCKETS];
    int encode_rows; /* worth putting into one ENCODE turn */

    /* device thread: the host side of `inputs` and `outputs` */
    uint32_t *host_inputs;
    struct berth_top_out *host_outputs;
    struct marian_cache *cache;
};

/* Pages of the longest source. */
static inline int64_t marian_source_pages(const struct marian_model *m) {
    return (m->source_most + MARIAN_PAGE - 1) / MARIAN_PAGE;
}

/* marian_load.c */
/* Whether products are of i8: fast ones, of weights that the file holds in i8, and of all others on
 * a device whose fast products are of nothing better (f16). */
bool marian_takes_eights(const struct marian_config *c, const struct berth_device *device,
                         bool fast);
size_t marian_weights_bytes(const struct marian_files *f, struct berth_device *device, bool eights);
int marian_weights_load(struct marian_model *m, const struct marian_files *f,
                        struct berth_reservation *weights, struct berth_error *err);
void marian_weights_unload(struct marian_model *m);

/* marian_memory.c */
/* Longest source and target in ids. */
void marian_limits(const struct marian_config *c, int64_t *out_source, int64_t *out_target);
struct marian_room marian_room_of(const struct marian_config *c, const struct berth_device *device);
size_t marian_workspace_bytes(const struct marian_config *c, const struct marian_room *room,
                              bool shortlist);
size_t marian_slot_bytes(const struct marian_config *c);
int marian_memory_create(struct marian_model *m, struct berth_error *err);
void marian_memory_destroy(struct marian_model *m);
/* The lowest free slot, committed from `r`. EBUDGET, ENOMEM, EOVERLOADED. Device thread. */
int marian_slot_take(struct marian_model *m, struct berth_reservation *r, int32_t *out,
                     struct berth_error *err);
void marian_slot_drop(struct marian_model *m, struct berth_reservation *r, int32_t slot);

/* marian_encode.c, marian_decode.c: programs */
int marian_encode_build(struct marian_model *m, struct berth_error *err);
int marian_decode_build(struct marian_model *m, struct berth_error *err);
void marian_programs_destroy(struct marian_model *m);

#endif

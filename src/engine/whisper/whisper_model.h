/*
 * engine/whisper/whisper_model.h - a loaded model: dimensions, weights, programs, memory for
 * sessions.
 *
 * Weights and programs are immutable after load. The slot allocators and the buffers of a turn
 * belong to the device's thread.
 */
#ifndef BTH_WHISPER_MODEL_H
#define BTH_WHISPER_MODEL_H

#include "audio/mel.h"
#include "common/slots.h"
#include "format/source.h"
#include "whisper/whisper_options.h"
#include "whisper/whisper_vocab.h"
#include <berth/engine.h>

enum {
    WHISPER_FRAMES = 3000,    /* mel frames of a window */
    WHISPER_POSITIONS = 1500, /* encoder positions of a window */
    WHISPER_TEXT = 448,       /* positions of the decoder */
    WHISPER_HEAD = 64,        /* columns of an attention head */
    WHISPER_PAGE = 32,        /* decoder positions of a page of keys and values */
    WHISPER_PAGES = WHISPER_TEXT / WHISPER_PAGE,
    WHISPER_MAX_LAYERS = 64,
    WHISPER_MAX_ROWS = 64, /* of a decoder turn */
    WHISPER_BUCKETS = 7,   /* 1, 2, 4, ... 64 rows */
    WHISPER_SLOTS = 1024,  /* sessions at once */
    WHISPER_MASKS = 64     /* different suppress lists at once, the default one included */
};

struct whisper_dims {
    int64_t mels, d, heads, encoder_layers, decoder_layers, ffn, vocab;
};

/* y = x W^T + b */
struct whisper_linear {
    struct berth_weight *w;
    struct berth_tensor b; /* [1, n] f32 in model->vectors */
};

struct whisper_norm {
    struct berth_tensor gamma, beta; /* [1, d] f32 */
};

struct whisper_layer {
    struct whisper_norm self_norm, cross_norm, ffn_norm;
    struct whisper_linear qkv, self_out;                /* [3d, d], [d, d] */
    struct whisper_linear cross_q, cross_kv, cross_out; /* decoder: [d, d], [2d, d], [d, d] */
    struct whisper_linear ffn_up, ffn_down;             /* [ffn, d], [d, ffn] */
};

/* A piece of the encoder: what one ENCODE turn runs. */
enum { WHISPER_MAX_PIECES = 4096 };

/* A suppress list in a row of the mask table; sessions with equal lists share it. */
struct whisper_mask {
    char *list; /* as the option says it */
    uint32_t users;
};

/* What a decoder turn tells the device, in one block: offsets in 32-bit words of `inputs`. */
struct whisper_inputs {
    size_t ids, pos, len, cross_len, table, cross_table, pick_rows, picks, copy_from, copy_to,
        groups, words;
};

struct whisper_model {
    struct berth_model base; /* first */
    struct whisper_dims dims;
    struct whisper_vocab vocab;
    struct bth_mel_tables *mel_tables;

    /* weights */
    struct berth_buffer *vectors;   /* biases, norms, positions: f32 */
    size_t vectors_used;            /* elements */
    struct berth_weight *embedding; /* of tokens [vocab, d]: ids to rows, and rows to logits */
    struct berth_tensor decoder_positions, encoder_positions;
    struct whisper_linear conv1, conv2;
    struct whisper_layer encoder[WHISPER_MAX_LAYERS], decoder[WHISPER_MAX_LAYERS];
    struct whisper_norm encoder_norm, decoder_norm;

    /* memory of sessions: address space, committed slot by slot */
    enum berth_dtype narrow;    /* the device's: of pages, crosses, q, k, v, encoder scratch */
    struct berth_buffer *pages; /* decoder keys and values, WHISPER_PAGE positions of all layers */
    struct berth_buffer *crosses; /* a window's keys and values of all decoder layers */
    struct berth_buffer
        *encodes; /* a window in the encoder: x [1500, d] f32, q, k, v [heads][1500][64] narrow */
    int64_t page_stride, cross_stride, encode_stride; /* bytes, multiples of 64 KiB */
    struct bth_slots page_slots, cross_slots, encode_slots;

    /* scratch of turns */
    struct berth_buffer *mel;     /* [windows, 3000, mels] f32 */
    struct berth_buffer *scratch; /* the larger of encoder (narrow) and decoder (f32) scratch */
    struct berth_buffer *inputs;  /* u32 words, see whisper_inputs */
    struct berth_buffer *outputs; /* [64] berth_pick_out */
    struct berth_buffer *masks;   /* [WHISPER_MASKS, ceil(vocab / 32)] u32; row 0: the default */
    struct berth_buffer *probs;   /* [WHISPER_DETECTS, vocab] f32 */
    struct whisper_mask mask_rows[WHISPER_MASKS];
    struct whisper_inputs layout;
    struct berth_reservation *workspace;

    /* programs */
    struct berth_program *pieces[WHISPER_MAX_PIECES]; /* [n_pieces] the encoder, in order */
    int32_t piece_rows[WHISPER_MAX_PIECES];           /* of one window */
    int n_pieces, windows;                            /* windows: most in one ENCODE turn */
    int prefill_rows;                                 /* most in one PREFILL turn */
    struct berth_program *rows[WHISPER_BUCKETS];      /* PREFILL and STEP */
    struct berth_program *detect;
    struct berth_program *copy;

    /* device thread: the host side of `inputs`, `outputs` */
    uint32_t *host_inputs;
    struct berth_pick_out *host_outputs;
    float *host_mel; /* [3000, mels] */
};

enum { WHISPER_DETECTS = 8 }; /* sessions of a DETECT turn */

/* whisper_config.c */
enum whisper_format { WHISPER_CT2, WHISPER_HF };
struct whisper_files {
    enum whisper_format format;
    char *dir;
    struct bth_source *source;
    struct whisper_dims dims;
};
/* Opens a model's files and works out its dimensions; reads no weights. ENOTFOUND: not Whisper. */
int whisper_files_open(struct whisper_files *f, const char *path, struct berth_error *err);
void whisper_files_close(struct whisper_files *f);
/* "base, multilingual" */
void whisper_dims_describe(const struct whisper_dims *d, char *out, size_t size);

/* whisper_load.c */
size_t whisper_weights_bytes(const struct whisper_dims *d, const struct whisper_files *f,
                             struct berth_device *device);
int whisper_weights_load(struct whisper_model *m, const struct whisper_files *f,
                         struct berth_reservation *weights, struct berth_error *err);
void whisper_weights_unload(struct whisper_model *m);

/* whisper_memory.c: regions, scratch, slots */
size_t whisper_workspace_bytes(const struct whisper_dims *d, const struct berth_device *device);
int whisper_memory_create(struct whisper_model *m, struct berth_error *err);
void whisper_memory_destroy(struct whisper_model *m);

/* whisper_mask.c: which ids are never produced */
size_t whisper_mask_words(const struct whisper_dims *d); /* u32 of a row of the mask table */
int whisper_masks_create(struct whisper_model *m, struct berth_error *err); /* row 0, the default */
/* The row of a suppress_tokens list; -1: nothing is forbidden. EINVAL, ENOMEM, EOVERLOADED. Device
 * thread, as its end: give each row back once. */
int whisper_mask_take(struct whisper_model *m, const char *list, int32_t *out,
                      struct berth_error *err);
void whisper_mask_drop(struct whisper_model *m, int32_t row);

/* whisper_encode.c, whisper_decode.c: programs */
int whisper_encode_build(struct whisper_model *m, struct berth_error *err);
int whisper_decode_build(struct whisper_model *m, struct berth_error *err);
void whisper_programs_destroy(struct whisper_model *m);

#endif

/*
 * berth/types.h - what goes into a request and what comes out of it.
 *
 * Plain data shared by applications (berth.h) and engine authors (engine.h). Strings are UTF-8.
 */
#ifndef BERTH_TYPES_H
#define BERTH_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One option of a request or a model, as a person would write it: {"language", "en"}.
 * Every engine lists its names in its MODEL.md; unknown names and values are errors. */
struct berth_option {
    const char *name;
    const char *value;
};

enum berth_input_kind {
    BERTH_INPUT_NONE = 0,
    BERTH_INPUT_FILE,    /* `path`: a sound file (wav, flac, ogg, opus, mp3) or a text file */
    BERTH_INPUT_BYTES,   /* `data`, `size`: the same file, already in memory */
    BERTH_INPUT_PCM_F32, /* `data`: [size / 4 / channels, channels] f32, host byte order */
    BERTH_INPUT_PCM_S16, /* `data`: [size / 2 / channels, channels] i16, host byte order */
    BERTH_INPUT_TEXT,    /* `data`, `size`: UTF-8 text */
    BERTH_INPUT_FD       /* `fd`: a sound file that is open for reading; read from its start, its
                            position is left alone. A request keeps its own duplicate */
};

struct berth_input {
    enum berth_input_kind kind;
    const char *path;        /* FILE only */
    const void *data;        /* all but FILE and FD */
    size_t size;             /* bytes at `data` */
    uint32_t sample_rate_hz; /* PCM only */
    uint32_t channels;       /* PCM only */
    int fd;                  /* FD only; a regular file */
};

/* One piece of work. Zero-initialise with BERTH_REQUEST_INIT, then set what you need. */
struct berth_request {
    uint32_t struct_size; /* sizeof(struct berth_request) */
    struct berth_input input;
    const struct berth_option *options; /* [n_options] */
    size_t n_options;
    const char *caller;  /* fair share is counted per caller id; NULL = "" */
    int priority;        /* 0 to 9, larger first; default 5 */
    int64_t deadline_ms; /* from submission to result; 0 = none */
    bool stream;         /* deliver partial results too (berth_job_next); else only the last */
};
#define BERTH_REQUEST_INIT                                                                         \
    { .struct_size = sizeof(struct berth_request), .priority = 5 }

/* One segment of a transcript, the fields of openai-whisper's JSON. */
struct berth_segment {
    uint32_t id;
    int64_t seek;          /* mel frames (10 ms) of the window's start */
    double start_s, end_s; /* seconds from the start of the audio */
    const char *text;
    const int32_t *tokens; /* [n_tokens], timestamp tokens included */
    size_t n_tokens;
    double temperature;
    double avg_logprob;
    double compression_ratio;
    double no_speech_prob;
};

struct berth_language_prob {
    const char *language; /* "en" */
    float prob;
};

/* A record of one decoder decision, kept when the request says {"trace", "true"}. */
struct berth_step_trace {
    int32_t window, attempt, row, step;
    int32_t token, second;  /* the chosen id and the best other one */
    float logprob;          /* of `token`, after the filters */
    float gap;              /* best - second best logit after the filters */
    float timestamp_margin; /* logsumexp(timestamps) - max(text), NaN where the rule is off */
};

/* What Whisper gives: with BERTH_ITEM_PARTIAL the segments of one window and text NULL,
 * with BERTH_ITEM_FINAL everything. */
struct berth_transcript {
    const char *language; /* "en" */
    const char *text;
    double duration_s; /* of the audio */
    const struct berth_segment *segments;
    size_t n_segments;
    const struct berth_language_prob *languages; /* when detected: most likely first */
    size_t n_languages;
    const struct berth_step_trace *trace;
    size_t n_trace;
    const char *language_name; /* "english" */
};

/* One candidate for a sentence. */
struct berth_hypothesis {
    const char *text;
    double score; /* sum of the tokens' log-probabilities / length ^ length_penalty: as it ranks */
    const int32_t *tokens; /* [n_tokens] target ids, the end token included, the start token not */
    const float *logprobs; /* [n_tokens], or NULL: {"token_scores", "true"} was not asked for */
    size_t n_tokens;
};

/* One sentence of a translated text. Its spans leave out the white space around it, which goes into
 * the result byte for byte. */
struct berth_sentence {
    size_t source_begin, source_end; /* bytes of the input */
    size_t target_begin, target_end; /* bytes of berth_translation.text */
    const int32_t *tokens;           /* [n_tokens] source ids, the end token included */
    size_t n_tokens;
    const struct berth_hypothesis *hypotheses; /* best first; [0] is in the text */
    size_t n_hypotheses;    /* 0: passed through as it is (nothing to translate) */
    const float *alignment; /* [hypotheses[0].n_tokens, n_tokens] f32, or NULL: not asked for */
    bool cached;            /* from the cache of texts */
    bool repeats;           /* the repetition guard has found a loop and cut it */
};

/* What MarianMT gives: with BERTH_ITEM_PARTIAL the sentences that are ready, in order, and text
 * NULL; with BERTH_ITEM_FINAL everything. */
struct berth_translation {
    const char *source, *target; /* languages: "en", "pt" */
    const char *text;
    const char *const *alternatives; /* [n_alternatives] other whole texts, best first */
    size_t n_alternatives;
    const struct berth_sentence *sentences;
    size_t n_sentences;
};

/* One token of a document, spaCy's attributes under spaCy's names. Strings are never NULL; one that
 * no component has set is "". */
struct berth_token {
    const char *text;      /* without the space after it */
    uint32_t begin, end;   /* bytes of berth_doc.text */
    uint32_t idx, idx_end; /* code points */
    bool space;            /* a space follows: it belongs to no token */
    uint32_t flags;        /* bit n: spaCy's flag n (1 IS_ALPHA .. 18 IS_CURRENCY) */
    const char *norm, *lower, *shape, *prefix, *suffix;
    const char *tag, *pos, *morph, *lemma, *dep;
    int32_t head;      /* index of the head; the token itself for a root or without a parse */
    int8_t sent_start; /* 1 begins a sentence, -1 does not, 0 not known */
    uint8_t ent_iob;   /* 0 not set, 1 I, 2 O, 3 B */
    const char *ent_type, *ent_id, *ent_kb_id;
};

/* Tokens [begin, end). */
struct berth_span {
    uint32_t begin, end;
    const char *label, *id, *kb_id;
};

/* What a spaCy pipeline gives. */
struct berth_doc {
    const char *text;
    const char *language; /* "en" */
    const struct berth_token *tokens;
    size_t n_tokens;
    const struct berth_span *ents, *sents, *noun_chunks;
    size_t n_ents, n_sents, n_noun_chunks;
    const char *components; /* that have run, in order: "tok2vec,tagger,parser" */
    const float *tensor;    /* [n_tokens, tensor_width] f32, or NULL: not asked for */
    size_t tensor_width;
    const float *vectors; /* [n_tokens, vector_width] f32, or NULL: not asked for, or none */
    size_t vector_width;
};

enum berth_item_kind {
    BERTH_ITEM_PROGRESS = 1, /* `done` of `total` */
    BERTH_ITEM_PARTIAL,      /* the newest part of the result */
    BERTH_ITEM_FINAL         /* the result: the last item, exactly one unless the job failed */
};

/* One thing that a request has produced. The payload depends on the family: `transcript` for
 * whisper, `translation` for marian, `doc` for spacy, `text` for toy. Immutable; everything it
 * points to lives and dies with it. */
struct berth_item {
    enum berth_item_kind kind;
    double done, total; /* work units of the family (whisper: seconds of audio) */
    const struct berth_transcript *transcript;
    const char *text;
    const struct berth_translation *translation;
    const struct berth_doc *doc;
};

/* Frees an item and all it points to. NULL is allowed. Any thread, once. */
void berth_item_free(struct berth_item *item);

/* How far a request has come: it is DONE with a final item, or FAILED with an error. */
enum berth_job_state { BERTH_JOB_QUEUED, BERTH_JOB_RUNNING, BERTH_JOB_DONE, BERTH_JOB_FAILED };

/* A device that could be opened on this machine, whether or not a manager uses it. */
struct berth_device_info {
    char name[32];        /* what berth_config.device takes */
    char uuid[48];        /* of a GPU, else "" */
    char description[96]; /* "NVIDIA H100 80GB HBM3", "AVX-512, 2 threads" */
    char problem[96];     /* why it cannot be used, or "" */
    uint64_t total_bytes; /* of memory; 0: not known */
    uint64_t used_bytes;  /* of them in use by all programs; 0: not known */
};

#ifdef __cplusplus
}
#endif
#endif

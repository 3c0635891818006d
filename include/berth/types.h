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

enum berth_item_kind {
    BERTH_ITEM_PROGRESS = 1, /* `done` of `total` */
    BERTH_ITEM_PARTIAL,      /* the newest part of the result */
    BERTH_ITEM_FINAL         /* the result: the last item, exactly one unless the job failed */
};

/* One thing that a request has produced. The payload depends on the family: `transcript` for
 * whisper, `text` for toy. Immutable; everything it points to lives and dies with it. */
struct berth_item {
    enum berth_item_kind kind;
    double done, total; /* work units of the family (whisper: seconds of audio) */
    const struct berth_transcript *transcript;
    const char *text;
};

/* Frees an item and all it points to. NULL is allowed. Any thread, once. */
void berth_item_free(struct berth_item *item);

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

/*
 * engine/whisper/whisper_options.h - the options of a request, parsed and checked.
 *
 * Names and defaults are those of openai-whisper's transcribe(); MODEL.md lists them. Pure.
 */
#ifndef BTH_WHISPER_OPTIONS_H
#define BTH_WHISPER_OPTIONS_H

#include <berth/engine.h>

enum { WHISPER_MAX_TEMPERATURES = 32, WHISPER_MAX_CLIPS = 256, WHISPER_MAX_BEST_OF = 16 };

struct whisper_options {
    int language; /* index; -1: detect */
    bool translate;
    double temperatures[WHISPER_MAX_TEMPERATURES];
    int n_temperatures;
    int best_of;
    double compression_ratio_threshold, logprob_threshold, no_speech_threshold; /* NaN: None */
    bool condition_on_previous_text;
    const char *initial_prompt; /* in the request; NULL: none */
    bool carry_initial_prompt;
    const char *prefix;          /* NULL: none */
    const char *suppress_tokens; /* "-1", "", "1,2,3" */
    bool suppress_blank, without_timestamps;
    double max_initial_timestamp; /* NaN: None */
    int sample_len;
    double length_penalty; /* NaN: rank by mean */
    double clips[WHISPER_MAX_CLIPS];
    int n_clips;
    uint64_t seed;
    bool trace;
    double max_seconds;
};

/* EINVAL (unknown name, bad value), EUNSUPPORTED (known, not built). */
int whisper_options_parse(const struct berth_request *request, struct whisper_options *out,
                          struct berth_error *err);

#endif

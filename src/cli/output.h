/*
 * cli/output.h - transcripts as files, byte for byte as openai-whisper's writers make them.
 *
 * Source: openai/whisper 20250625, utils.py, without its word options. Pure.
 */
#ifndef BTH_OUTPUT_H
#define BTH_OUTPUT_H

#include "base/str.h"
#include <berth/types.h>

enum bth_output_format {
    BTH_OUTPUT_TXT,
    BTH_OUTPUT_VTT,
    BTH_OUTPUT_SRT,
    BTH_OUTPUT_TSV,
    BTH_OUTPUT_JSON
};
#define BTH_N_OUTPUTS 5

/* "txt", "vtt", ...: also the file's extension. */
const char *bth_output_name(enum bth_output_format format);
bool bth_output_parse(const char *name, enum bth_output_format *out);

/* Appends to `out`. 0 or ENOMEM. */
int bth_output_write(enum bth_output_format format, const struct berth_transcript *t,
                     struct bth_str *out);

/* A number as Python's repr(float) writes it: the shortest decimal that reads back the same. */
void bth_output_float(struct bth_str *out, double v);

#endif

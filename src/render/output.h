/*
 * render/output.h - transcripts as text: the files that openai-whisper's command writes, byte for
 * byte (20250625, utils.py, without word times).
 *
 * Layer render: what programs share that show results (the command and the server). Not here: where
 * the text goes. Any thread.
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
    BTH_OUTPUT_JSON,
    BTH_N_OUTPUT_FORMATS
};

/* "txt"; also the file name's extension. */
const char *bth_output_name(enum bth_output_format format);
/* false: no such format; *out untouched. */
bool bth_output_parse(const char *name, enum bth_output_format *out);

/* Appends the whole file to `out`; out->failed says that memory was short. */
void bth_output_write(struct bth_str *out, const struct berth_transcript *t,
                      enum bth_output_format format);

#endif

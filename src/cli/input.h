/* cli/input.h - the options that say what kind of sound an operand is. */
#ifndef BTH_INPUT_H
#define BTH_INPUT_H

#include <berth/error.h>
#include <berth/types.h>

/* Reads `path` as the command line says: `format` NULL for a sound file, "s16" or "f32" for raw
 * samples (the file is read into memory; *out_memory is bth_free'd by the caller after use).
 * 0 or an error code. */
int bth_input_open(const char *path, const char *format, const char *rate, const char *channels,
                   struct berth_input *out, char **out_memory, struct berth_error *err);

#endif

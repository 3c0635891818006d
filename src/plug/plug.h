/*
 * plug/plug.h - the only layer that names engines and devices.
 *
 * builtin.c lists the engines; device.c opens devices by name; decode.c lends the audio layer to
 * the API.
 */
#ifndef BTH_PLUG_H
#define BTH_PLUG_H

#include <berth/engine.h>

const struct berth_engine_ops *const *bth_builtin_engines(size_t *out_n);

/* berth_decode, see berth/berth.h. */
int bth_builtin_decode(const struct berth_input *input,
                       int (*write)(void *arg, const int16_t *samples, size_t n), void *arg,
                       struct berth_error *err);

#endif

/* engine/whisper/whisper.h - the Whisper family, see MODEL.md. */
#ifndef BTH_WHISPER_H
#define BTH_WHISPER_H

#include <berth/engine.h>

extern const struct berth_engine_ops bth_whisper_engine;

#endif

/* engine/marian/marian.h - the MarianMT engine: translation. See MODEL.md. */
#ifndef BTH_MARIAN_H
#define BTH_MARIAN_H

#include <berth/engine.h>

extern const struct berth_engine_ops bth_marian_engine;

#endif

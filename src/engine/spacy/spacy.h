/* engine/spacy/spacy.h - the spaCy engine for the plug table. See MODEL.md. */
#ifndef SPACY_H
#define SPACY_H

#include <berth/engine.h>

extern const struct berth_engine_ops bth_spacy_engine;

#endif

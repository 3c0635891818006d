#include "plug/plug.h"

#include "base/compiler.h"
#include "marian/marian.h"
#include "spacy/spacy.h"
#include "toy/toy.h"
#include "whisper/whisper.h"

/* A new engine adds its line here, and its folder to CMakeLists.txt. */
static const struct berth_engine_ops *const engines[] = {
    &bth_whisper_engine,
    &bth_marian_engine,
    &bth_spacy_engine,
    &bth_toy_engine,
};

const struct berth_engine_ops *const *bth_builtin_engines(size_t *out_n) {
    *out_n = BTH_COUNT(engines);
    return engines;
}

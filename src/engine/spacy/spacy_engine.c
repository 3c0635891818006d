/* The spaCy engine's row in the contract. */
#include "spacy/spacy.h"

#include "spacy/spacy_session.h"

/* Planned costs are for a small English pipeline on one core; the scheduler learns the real ones.
 */
static const struct berth_stage stages[SPACY_N_STAGES] = {
    [SPACY_TOKENIZE] = {"TOKENIZE", BERTH_LANE_HOST, 1, 50000, 0},
    [SPACY_EMBED] = {"EMBED", BERTH_LANE_DEVICE, SPACY_ROWS, 50000, 6000},
    [SPACY_TAG] = {"TAG", BERTH_LANE_DEVICE, SPACY_ROWS, 20000, 200},
    [SPACY_PARSE] = {"PARSE", BERTH_LANE_DEVICE, SPACY_ROWS, 50000, 3000},
    [SPACY_ENTITY] = {"NER", BERTH_LANE_DEVICE, SPACY_ROWS, 50000, 1500},
    [SPACY_RULES] = {"RULES", BERTH_LANE_HOST, 1, 50000, 0},
};

const struct berth_engine_ops bth_spacy_engine = {
    .api_version = BERTH_ENGINE_API,
    .struct_size = sizeof(struct berth_engine_ops),
    .family = "spacy",
    .stages = stages,
    .n_stages = SPACY_N_STAGES,
    .check = spacy_check,
    .probe = spacy_probe,
    .estimate = spacy_estimate,
    .load = spacy_load,
    .unload = spacy_unload,
    .begin = spacy_begin,
    .next = spacy_next,
    .enqueue = spacy_enqueue,
    .settle = spacy_settle,
    .cancel = spacy_cancel,
    .end = spacy_end,
};

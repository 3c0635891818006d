/* Any bytes as a config.cfg. */
#include "spacy/spacy_config.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_t *config;
    if (spacy_config_parse((const char *)data, size, &config, NULL) == 0) {
        spacy_config_text(config, "nlp.lang", "");
        json_decref(config);
    }
    return 0;
}

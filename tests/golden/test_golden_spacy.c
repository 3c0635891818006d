/*
 * Documents of the real en_core_web_sm 3.8.0 as spaCy 3.8.7 gives them: words, tags, parts of
 * speech, morphology, lemmas, heads, labels, entities, sentences, noun chunks, tensors.
 *
 * BERTH_SPACY_SM names the model. BERTH_SPACY_DOCS may name a larger file of tools/golden_spacy.py.
 */
#include "base/reservation.h"
#include "compute/compute.h"
#include "lib/drive.h"
#include "lib/spacy_docs.h"
#include "lib/test.h"
#include "spacy/spacy.h"

int main(void) {
    const char *path = getenv("BERTH_SPACY_SM"), *more = getenv("BERTH_SPACY_DOCS");
    struct spacy_docs_count c = {0};
    struct berth_device *device;
    struct drive_model model;
    struct berth_error err;
    if (!path) {
        SKIP("BERTH_SPACY_SM names no model");
    }
    const struct bth_cpu_config config = {.threads = 1, .cap = BTH_CPU_AVX512};
    CHECK_OK(bth_cpu_open(&config, &device, &err), err);
    CHECK_OK(drive_load(&bth_spacy_engine, path, device, &model, &err), err);
    struct berth_estimate estimate;
    CHECK_OK(bth_spacy_engine.estimate(path, device, &estimate, &err), err);
    CHECK(bth_reservation_used(&model.weights) <= estimate.weights_bytes);
    CHECK(bth_reservation_used(&model.workspace) <= estimate.workspace_bytes);
    spacy_docs_compare(model.model,
                       more ? more : BTH_TEST_DATA "/golden/spacy/en_core_web_sm.jsonl", 0, &c);
    printf("%zu documents, %zu tokens, %zu differences, tensors within %g\n", c.docs, c.tokens,
           c.bad, c.tensor);
    CHECK_INT(c.bad, 0);
    CHECK(c.tensor < 1e-5);
    drive_unload(&model);
    device->ops->close(device);
    return 0;
}

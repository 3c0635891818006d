/*
 * The engine on small pipelines with random weights: what spaCy gave for them, the same bytes alone
 * and in company and on every instruction set, options, bad input, memory that runs out.
 *
 * BERTH_SPACY_TINY names the folder of the pipelines, else tests/data/spacy.
 */
#include "compute/compute.h"
#include "lib/drive.h"
#include "lib/spacy_docs.h"
#include "lib/test.h"
#include "spacy/spacy.h"

static const char *folder;
static struct berth_device *device;

static void check_golden(const char *name) {
    struct spacy_docs_count c = {0};
    struct drive_model model;
    struct berth_error err;
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    CHECK_OK(drive_load(&bth_spacy_engine, path, device, &model, &err), err);
    snprintf(path, sizeof(path), "%s/%s.docs.jsonl", folder, name);
    spacy_docs_compare(model.model, path, 0, &c);
    printf("%s: %zu documents, %zu tokens, %zu differences, tensors within %g\n", name, c.docs,
           c.tokens, c.bad, c.tensor);
    CHECK_INT(c.bad, 0);
    CHECK(c.tensor < 3e-5); /* of values up to 10, printed with six digits */
    drive_unload(&model);
}

int main(void) {
    const struct bth_cpu_config config = {.threads = 2, .cap = BTH_CPU_AVX512};
    struct berth_error err;
    folder = getenv("BERTH_SPACY_TINY");
    folder = folder ? folder : BTH_TEST_DATA "/data/spacy";
    CHECK_OK(bth_cpu_open(&config, &device, &err), err);
    check_golden("tiny_en");
    check_golden("tiny_en_vec");
    check_golden("tiny_de");
    device->ops->close(device);
    return 0;
}

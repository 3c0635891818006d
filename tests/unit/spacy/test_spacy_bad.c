/*
 * Damaged pipelines: files of a small one with bytes changed, cut off or emptied. Loading says no,
 * or a model comes out that answers; nothing crashes, hangs or leaks.
 */
#include "base/alloc.h"
#include "compute/compute.h"
#include "lib/drive.h"
#include "lib/test.h"
#include "spacy/spacy.h"
#include <unistd.h>

enum { ROUNDS = 12, MOST = 1 << 20 };

static const char *const files[] = {"config.cfg", "tok2vec/model", "tagger/model",
                                    "tagger/cfg", "parser/model",  "parser/moves",
                                    "ner/model",  "ner/moves",     "senter/model"};

static char folder[256];
static struct berth_device *device;
static size_t loaded, refused;

static size_t read_file(const char *path, char *out) {
    FILE *f = fopen(path, "rb");
    CHECK(f);
    const size_t n = fread(out, 1, MOST, f);
    CHECK(n < MOST);
    fclose(f);
    return n;
}

static void write_file(const char *path, const char *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(bytes, 1, n, f) == n);
    CHECK_INT(fclose(f), 0);
}

/* Some bytes changed, near the start (what the file says of itself) more often than not; or the end
 * cut off. */
static size_t damage(char *bytes, size_t n, unsigned long long *seed) {
    const unsigned long long kind = test_rand(seed) >> 40;
    if (kind % 4 == 0) {
        return (size_t)(test_rand(seed) >> 20) % (n + 1);
    }
    for (unsigned long long i = 0; i < 1 + kind % 3; i++) {
        const size_t within = kind % 5 ? n / 16 + 1 : n;
        bytes[(size_t)(test_rand(seed) >> 20) % within] = (char)(test_rand(seed) >> 30);
    }
    return n;
}

static void try(const char *file) {
    static const char text[] = "Peter doesn't live in New York, maybe.\n\nHe is in London now.";
    struct drive_model m;
    struct berth_error err;
    const int64_t live = bth_alloc_live();
    const int rc = drive_load(&bth_spacy_engine, folder, device, &m, &err);
    if (rc < 0) {
        CHECK(err.message[0] &&
              (rc == BERTH_EFORMAT || rc == BERTH_EUNSUPPORTED || rc == BERTH_ENOTFOUND ||
               rc == BERTH_ETOOLARGE || rc == BERTH_ENOMEM || rc == BERTH_EBUDGET));
        refused++;
    } else {
        struct drive_one one = {.cancel_after = -1};
        one.request = (struct berth_request)BERTH_REQUEST_INIT;
        one.request.input =
            (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = text, .size = sizeof(text) - 1};
        CHECK_INT(drive(m.model, &one, 1, 1, 1, NULL), 0);
        if (one.rc < 0) {
            TEST_FAIL("%s: %s", file, one.err.message);
        }
        berth_item_free(one.final);
        drive_unload(&m);
        loaded++;
    }
    CHECK_INT(bth_alloc_live(), live);
}

int main(void) {
    static char whole[MOST], bytes[MOST];
    const struct bth_cpu_config config = {.threads = 1, .cap = BTH_CPU_AVX512};
    struct berth_error err;
    char command[1024], path[512];
    unsigned long long seed = 2024;
    snprintf(folder, sizeof(folder), "/tmp/test_spacy_bad.%ld", (long)getpid());
    snprintf(command, sizeof(command), "cp -r '%s/data/spacy/tiny_en' '%s'", BTH_TEST_DATA, folder);
    CHECK_INT(system(command), 0);
    CHECK_OK(bth_cpu_open(&config, &device, &err), err);
    for (size_t f = 0; f < sizeof(files) / sizeof(*files); f++) {
        snprintf(path, sizeof(path), "%s/%s", folder, files[f]);
        const size_t n = read_file(path, whole);
        for (int i = 0; i < ROUNDS; i++) {
            memcpy(bytes, whole, n);
            write_file(path, bytes, damage(bytes, n, &seed));
            try(files[f]);
        }
        write_file(path, whole, n);
    }
    try("nothing damaged");
    CHECK(loaded > 0 && refused > 0);
    printf("%zu loaded, %zu refused\n", loaded, refused);
    device->ops->close(device);
    snprintf(command, sizeof(command), "rm -r '%s'", folder);
    return system(command);
}

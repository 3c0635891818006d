/*
 * A small real model in the three precisions that CTranslate2 stores (tests/data/ct2): pre-norm,
 * fused matrices, positions from 1. Its answers are known, with every number of beams.
 */
#include "compute/compute.h"
#include "lib/drive.h"
#include "lib/test.h"
#include "marian/marian.h"

enum { MOST = 64 };

struct words {
    char text[MOST][32];
    int n;
};

/* One token a line. */
static void read_words(const char *model, const char *name, struct words *w) {
    char path[512];
    snprintf(path, sizeof(path), BTH_TEST_DATA "/data/ct2/%s/%s", model, name);
    FILE *f = fopen(path, "r");
    CHECK(f);
    for (w->n = 0; w->n < MOST && fgets(w->text[w->n], 32, f); w->n++) {
        w->text[w->n][strcspn(w->text[w->n], "\n")] = '\0';
    }
    fclose(f);
}

static int find(const struct words *w, const char *text, size_t n) {
    for (int i = 0; i < w->n; i++) {
        if (strlen(w->text[i]) == n && memcmp(w->text[i], text, n) == 0) {
            return i;
        }
    }
    TEST_FAIL("no word %.*s", (int)n, text);
}

/* "a b" as [[1, 2]] */
static void to_rows(const struct words *w, const char *text, char out[256]) {
    int at = snprintf(out, 256, "[[");
    while (*text) {
        const size_t n = strcspn(text, " ");
        at += snprintf(out + at, 256 - (size_t)at, "%s%d", at > 2 ? "," : "", find(w, text, n));
        text += n + (text[n] == ' ');
    }
    snprintf(out + at, 256 - (size_t)at, "]]");
}

static double ask(struct berth_model *m, const char *model, const char *from, const char *beams,
                  const char *want) {
    const struct berth_option options[] = {
        {"task", "generate"}, {"beams", beams}, {"length_penalty", "0"}};
    struct words source, target;
    char rows[256], got[256] = "";
    read_words(model, "source_vocabulary.txt", &source);
    read_words(model, "target_vocabulary.txt", &target);
    to_rows(&source, from, rows);
    struct drive_one one = {.request = BERTH_REQUEST_INIT, .cancel_after = -1};
    one.request.input =
        (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = rows, .size = strlen(rows)};
    one.request.options = options;
    one.request.n_options = 3;
    CHECK_INT(drive(m, &one, 1, 1, 1, NULL), 0);
    CHECK_OK(one.rc, one.err);
    const struct berth_hypothesis *h = one.final->translation->sentences[0].hypotheses;
    for (size_t i = 0; i + 1 < h->n_tokens; i++) { /* the end is left out */
        strcat(got, i ? " " : "");
        strcat(got, target.text[h->tokens[i]]);
    }
    CHECK_STR(got, want);
    const double score = h->score;
    berth_item_free(one.final);
    return score;
}

static void check_model(const char *model, bool fast, double first, double second) {
    static const char *const beams[] = {"1", "2", "3", "5"};
    const struct bth_cpu_config config = {.threads = 1, .cap = BTH_CPU_AVX512};
    struct berth_device *device;
    struct drive_model m;
    struct berth_error err;
    char path[512];
    snprintf(path, sizeof(path), BTH_TEST_DATA "/data/ct2/%s", model);
    CHECK_OK(bth_cpu_open(&config, &device, &err), err);
    device->fast = fast;
    CHECK_OK(drive_load(&bth_marian_engine, path, device, &m, &err), err);
    for (int i = 0; i < 4; i++) {
        const double a =
            ask(m.model, model, "\xd8\xa2 \xd8\xaa \xd8\xb2 \xd9\x85 \xd9\x88 \xd9\x86", beams[i],
                "a t z m o n");
        const double b = ask(m.model, model, "\xd8\xa2 \xd8\xb2 \xd8\xa7", beams[i], "a z z a");
        CHECK_NEAR(a, first, fast ? 0.3 : 2e-5);
        CHECK_NEAR(b, second, fast ? 0.3 : 2e-5);
    }
    drive_unload(&m);
    device->ops->close(device);
}

int main(void) {
    for (int fast = 0; fast < 2; fast++) {
        check_model("aren-transliteration", fast, -1.06175, -0.75456);
        check_model("aren-transliteration-i16", fast, -1.05999, -0.75482);
        check_model("aren-transliteration-i8", fast, -1.08767, -0.73943);
    }
    return 0;
}

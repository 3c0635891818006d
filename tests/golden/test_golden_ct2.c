/*
 * CTranslate2's ids and scores on models of random weights, post-norm and pre-norm, stored as f32,
 * i16 and i8 (tests/golden/marian/ct2.json, by tools/golden_marian_ct2.py).
 *
 * In f32 all ids are the same. In int8 CTranslate2 rounds, scales and sums f32 in an order of its
 * own, so the two agree for the most part: how often is printed, and that it does not fall.
 */
#include "compute/compute.h"
#include "lib/drive.h"
#include "lib/test.h"
#include "lib/tiny_marian.h"
#include "marian/marian.h"
#include <jansson.h>

enum { COMPANY = 4 };

struct one {
    json_t *want;
    double score;
    char *input, beams[8];
    struct berth_option options[4];
};

struct count {
    int exact, eights, eights_same;
    double worst;
};

static const char *const stored[] = {
    [TINY_CT2_F32] = "float32", [TINY_CT2_I16] = "int16", [TINY_CT2_I8] = "int8"};

/* Whether the case is of this shape, file and arithmetic; it is made ready then. */
static bool take(json_t *c, int shape, enum tiny_ct2_type type, bool fast, struct one *o,
                 struct drive_one *out) {
    const char *is_stored, *computed;
    int is_shape, beams;
    json_t *source;
    CHECK(json_unpack(c, "[i,s,s,i,o,o,F]", &is_shape, &is_stored, &computed, &beams, &source,
                      &o->want, &o->score) == 0);
    if (is_shape != shape || strcmp(is_stored, stored[type]) != 0 ||
        fast != (strcmp(computed, "int8") == 0)) {
        return false;
    }
    json_t *rows = json_pack("[O]", source);
    o->input = json_dumps(rows, 0);
    json_decref(rows);
    snprintf(o->beams, sizeof(o->beams), "%d", beams);
    o->options[0] = (struct berth_option){"task", "generate"};
    o->options[1] = (struct berth_option){"beams", o->beams};
    o->options[2] = (struct berth_option){"length_penalty", "0"};
    o->options[3] = (struct berth_option){"max_length", "48"}; /* with the start */
    *out = (struct drive_one){.request = BERTH_REQUEST_INIT, .cancel_after = -1};
    out->request.input =
        (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = o->input, .size = strlen(o->input)};
    out->request.options = o->options;
    out->request.n_options = 4;
    return true;
}

static void compare(const struct one *o, struct drive_one *got, bool fast, struct count *count) {
    CHECK_OK(got->rc, got->err);
    const struct berth_hypothesis *h = got->final->translation->sentences->hypotheses;
    const size_t n = json_array_size(o->want);
    bool same = h->n_tokens == n || (h->n_tokens == n + 1 && h->tokens[n] == 0);
    for (size_t i = 0; same && i < n; i++) {
        same = h->tokens[i] == json_integer_value(json_array_get(o->want, i));
    }
    count->exact += !fast;
    count->eights += fast;
    count->eights_same += fast && same;
    if (!fast) {
        const double off = fabs(h->score - o->score);
        if (!same || off > 1e-4) {
            TEST_FAIL("%s, beams %s: %zu ids of %zu, score %.6f of %.6f", o->input, o->beams,
                      h->n_tokens, n, h->score, o->score);
        }
        count->worst = off > count->worst ? off : count->worst;
    }
    berth_item_free(got->final);
    free(o->input);
}

static void run(json_t *cases, int shape, enum tiny_ct2_type type, struct berth_device *device,
                struct count *count) {
    struct drive_one all[COMPANY];
    struct one ones[COMPANY];
    struct drive_model m;
    struct berth_error err;
    char *dir = tiny_marian_dir();
    tiny_marian_ct2(tiny_ct2_shape(shape), type, dir);
    CHECK_OK(drive_load(&bth_marian_engine, dir, device, &m, &err), err);
    for (size_t next = 0, n = 0; next < json_array_size(cases); next++) {
        n += take(json_array_get(cases, next), shape, type, device->fast, &ones[n], &all[n]);
        if (n == COMPANY || (n > 0 && next + 1 == json_array_size(cases))) {
            CHECK_INT(drive(m.model, all, n, n, next, NULL), 0);
            for (size_t i = 0; i < n; i++) {
                compare(&ones[i], &all[i], device->fast, count);
            }
            n = 0;
        }
    }
    drive_unload(&m);
    tiny_marian_remove(dir);
}

int main(void) {
    const struct bth_cpu_config config = {.threads = 2, .cap = BTH_CPU_AVX512};
    struct count count = {0};
    struct berth_device *device;
    struct berth_error err;
    json_error_t why;
    json_t *file = json_load_file(BTH_TEST_DATA "/golden/marian/ct2.json", 0, &why);
    if (!file) {
        TEST_FAIL("golden/marian/ct2.json: %s", why.text);
    }
    CHECK_OK(bth_cpu_open(&config, &device, &err), err);
    for (int shape = 0; tiny_ct2_shape(shape); shape++) {
        for (enum tiny_ct2_type type = TINY_CT2_F32; type <= TINY_CT2_I8; type++) {
            device->fast = false;
            run(json_object_get(file, "cases"), shape, type, device, &count);
        }
        device->fast = true;
        run(json_object_get(file, "cases"), shape, TINY_CT2_I8, device, &count);
    }
    device->ops->close(device);
    json_decref(file);
    printf("f32: %d cases with the same ids, scores within %.2g; int8: %d of %d\n", count.exact,
           count.worst, count.eights_same, count.eights);
    CHECK(count.exact > 0 && count.eights_same * 10 >= count.eights * 9);
    return 0;
}

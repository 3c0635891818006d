/*
 * Ids and scores of generate() of transformers on models of random weights
 * (tests/golden/marian/generate.json, by tools/golden_marian.py): the same ids for every case whose
 * choices lie further apart than f32 sums may differ, and scores within 1e-4. Cases run in company.
 * BERTH_DEVICE=cuda: on a GPU.
 */
#include "lib/device.h"
#include "lib/drive.h"
#include "lib/test.h"
#include "lib/tiny_marian.h"
#include "marian/marian.h"
#include <jansson.h>

enum { COMPANY = 8, MOST_OPTIONS = 8 };
static const double least_margin = 1e-4;

struct one {
    json_t *c;
    char *input;
    char values[MOST_OPTIONS][40];
    struct berth_option options[MOST_OPTIONS];
};

struct count {
    int compared, close, close_differ;
    double worst;
};

/* transformers' names are ours but for one. */
static void take_options(struct one *o, json_t *from) {
    const char *name;
    json_t *v;
    size_t n = 0;
    o->options[n++] = (struct berth_option){"task", "generate"};
    json_object_foreach(from, name, v) {
        char *text = o->values[n];
        if (json_is_boolean(v)) {
            snprintf(text, 40, "%s", json_is_true(v) ? "true" : "false");
        } else if (json_is_string(v)) {
            snprintf(text, 40, "%s", json_string_value(v));
        } else {
            snprintf(text, 40, "%.9g", json_number_value(v));
        }
        o->options[n] = (struct berth_option){strcmp(name, "num_beams") ? name : "beams", text};
        n++;
    }
}

static void prepare(struct one *o, json_t *c, struct drive_one *out) {
    json_t *rows = json_pack("[O]", json_array_get(c, 2));
    *o = (struct one){.c = c, .input = json_dumps(rows, 0)};
    json_decref(rows);
    take_options(o, json_array_get(c, 1));
    *out = (struct drive_one){.request = BERTH_REQUEST_INIT, .cancel_after = -1};
    out->request.input =
        (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = o->input, .size = strlen(o->input)};
    out->request.options = o->options;
    out->request.n_options = 1 + json_object_size(json_array_get(c, 1));
}

static void compare(int number, const struct one *o, struct drive_one *got, struct count *count) {
    const json_t *want = json_array_get(o->c, 3);
    const bool close = json_number_value(json_array_get(o->c, 5)) < least_margin;
    CHECK_OK(got->rc, got->err);
    const struct berth_sentence *s = got->final->translation->sentences;
    CHECK_INT(got->final->translation->n_sentences, 1);
    CHECK(s->n_hypotheses >= 1);
    const struct berth_hypothesis *h = s->hypotheses;
    bool same = h->n_tokens == json_array_size(want);
    for (size_t i = 0; same && i < h->n_tokens; i++) {
        same = h->tokens[i] == json_integer_value(json_array_get(want, i));
    }
    if (!same && !close) {
        fprintf(stderr, "wanted %s, got [", json_dumps(want, JSON_COMPACT));
        for (size_t i = 0; i < h->n_tokens; i++) {
            fprintf(stderr, "%d,", h->tokens[i]);
        }
        TEST_FAIL("] case %d differs: %s", number, json_dumps(o->c, JSON_COMPACT));
    }
    const double off = fabs(h->score - json_number_value(json_array_get(o->c, 4)));
    if (same) {
        count->worst = off > count->worst ? off : count->worst;
        CHECK(off < 1e-4);
    }
    count->compared += !close;
    count->close += close;
    count->close_differ += close && !same;
    if (close && !same) {
        printf("case %d differs: its choices are %.2g apart\n", number,
               json_number_value(json_array_get(o->c, 5)));
    }
    berth_item_free(got->final);
    free(o->input);
}

static void run_shape(json_t *cases, int shape, struct berth_device *device, struct count *count) {
    struct drive_one all[COMPANY];
    struct one ones[COMPANY];
    struct drive_model m;
    struct berth_error err;
    char *dir = tiny_marian_dir();
    size_t next = 0;
    tiny_marian_hf(tiny_marian_shape(shape), dir);
    CHECK_OK(drive_load(&bth_marian_engine, dir, device, &m, &err), err);
    while (next < json_array_size(cases)) {
        int numbers[COMPANY];
        size_t n = 0;
        for (; n < COMPANY && next < json_array_size(cases); next++) {
            json_t *c = json_array_get(cases, next);
            if (json_integer_value(json_array_get(c, 0)) == shape) {
                numbers[n] = (int)next;
                prepare(&ones[n], c, &all[n]);
                n++;
            }
        }
        if (n == 0) {
            break;
        }
        CHECK_INT(drive(m.model, all, n, n, next, NULL), 0);
        for (size_t i = 0; i < n; i++) {
            compare(numbers[i], &ones[i], &all[i], count);
        }
    }
    drive_unload(&m);
    tiny_marian_remove(dir);
}

int main(void) {
    struct count count = {0};
    json_error_t why;
    json_t *file = json_load_file(BTH_TEST_DATA "/golden/marian/generate.json", 0, &why);
    if (!file) {
        TEST_FAIL("golden/marian/generate.json: %s", why.text);
    }
    struct berth_device *device = test_open_device(false);
    printf("on %s\n", device->description);
    for (int i = 0; tiny_marian_shape(i); i++) {
        run_shape(json_object_get(file, "cases"), i, device, &count);
    }
    device->ops->close(device);
    json_decref(file);
    printf("%d cases with the same ids; %d with a margin under %g, %d of them differ; scores "
           "within %.2g\n",
           count.compared, count.close, least_margin, count.close_differ, count.worst);
    return 0;
}

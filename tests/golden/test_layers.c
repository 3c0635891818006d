/*
 * Each layer of the encoder and the decoder against openai-whisper's, on real weights and speech.
 *
 * A turn is a list of ops, so the test slips between the engine and the CPU: every program is made
 * of one program per op, and what the interesting ones have written is read back from the device
 * before the next one runs. layers.json (tools/golden/record.py) holds 64 values and the norm of
 * each layer's output; needs BERTH_SAMPLE and BERTH_MATERIAL, else skips.
 *
 * THE MEASURE. An op sums over a row, so f32 loses what it loses relative to the largest values of
 * that row: Whisper has rows with a value of 500 beside others below 1 (layers 3 and up, silence).
 * A value is compared relative to the largest one of its row, which says how far its last bits are
 * to be trusted.
 *
 * THE TOLERANCE. Two f32 programs that add the same products in another order differ by about
 * sqrt(K) * 2^-24 of the terms, 3e-6 for K = 2,048, and a layer adds up a few such errors of the
 * layers before it. 1e-5 is four times what was seen; a value rounded to f16 on the way is off by
 * up to 5e-4, so a narrow intermediate, a missing bias or a wrong scale cannot hide. A norm is a
 * mean over many such errors.
 */
#include "compute/compute.h"
#include "compute/ops.h"
#include "lib/drive.h"
#include "lib/golden.h"
#include "whisper/whisper.h"
#include "whisper/whisper_model.h"

#define VALUE_TOLERANCE 1e-5
#define NORM_TOLERANCE  2e-6

enum { PROMPT = 3 }; /* rows of the decoder's first pass: start, language, task */

/* ---- what layers have written ---------------------------------------------------------------*/

/* Rows of one layer, in the order of their turns. */
struct seen {
    float *data; /* [rows, cols] */
    int64_t rows, cols;
};

static struct {
    struct seen conv1, conv2, encoder[WHISPER_MAX_LAYERS], ln_post;
    struct seen decoder[WHISPER_MAX_LAYERS], ln; /* ln: of rows with a pick only */
} seen;

static const struct berth_backend_ops *real; /* the CPU's */
static const struct whisper_model *model;    /* NULL while it is loaded */

/* Appends the first `rows` rows of a tensor. */
static void keep(struct seen *s, const struct berth_tensor *t, int64_t rows) {
    CHECK(t->dtype == BERTH_F32 && t->head_cols == 0 && (s->cols == 0 || s->cols == t->cols));
    if (rows == 0) {
        return;
    }
    s->cols = t->cols;
    s->data = realloc(s->data, (size_t)((s->rows + rows) * s->cols) * sizeof(float));
    CHECK(s->data);
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = (int64_t)t->offset + r * t->row_stride;
        if (t->index) {
            int32_t group;
            const size_t word = t->index_offset + (size_t)(r / t->group_rows);
            CHECK_INT(real->read(t->index, word * 4, &group, 4), 0);
            at = (int64_t)t->offset + group * t->group_stride + r % t->group_rows * t->row_stride;
        }
        CHECK_INT(real->read(t->buffer, (size_t)at * 4, s->data + s->rows++ * s->cols,
                             (size_t)t->cols * 4),
                  0);
    }
}

static bool is_norm(const struct berth_op *op, const struct whisper_norm *n) {
    return op->kind == BERTH_OP_LAYER_NORM && op->u.layer_norm.gamma.buffer == n->gamma.buffer &&
           op->u.layer_norm.gamma.offset == n->gamma.offset;
}

/* An op has run, on so many rows (groups). */
static void look(const struct berth_op *op, int64_t rows) {
    if (op->kind == BERTH_OP_CONV3) {
        const struct berth_op_conv3 *conv = &op->u.conv3;
        keep(conv->w == model->conv1.w ? &seen.conv1 : &seen.conv2, &conv->y, rows * conv->t_out);
    } else if (is_norm(op, &model->encoder_norm)) {
        keep(&seen.ln_post, &op->u.layer_norm.y, rows);
    } else if (is_norm(op, &model->decoder_norm)) {
        keep(&seen.ln, &op->u.layer_norm.y, rows);
    }
    for (int i = 0; op->kind == BERTH_OP_LINEAR && i < WHISPER_MAX_LAYERS; i++) {
        const struct berth_weight *w = op->u.linear.w; /* a layer ends with it */
        if (w == model->encoder[i].ffn_down.w) {
            keep(&seen.encoder[i], &op->u.linear.y, rows);
        } else if (w == model->decoder[i].ffn_down.w) {
            keep(&seen.decoder[i], &op->u.linear.y, rows);
        }
    }
}

/* ---- a device that can be looked at ---------------------------------------------------------*/

/* One of the CPU's programs per op; a convolution has a second one in front that stops where the
 * original's module does, before the activation. */
struct berth_program {
    size_t n;
    struct berth_op *ops;
    struct berth_program **single, **bare;
};

static int spy_create(struct berth_device *device, struct berth_reservation *r,
                      const struct berth_op *ops, size_t n, struct berth_program **out,
                      struct berth_error *err) {
    struct berth_program *p = malloc(sizeof(*p));
    CHECK(p);
    *p = (struct berth_program){.n = n,
                                .ops = malloc(n * sizeof(*ops)),
                                .single = calloc(n, sizeof(*p->single)),
                                .bare = calloc(n, sizeof(*p->bare))};
    CHECK(p->ops && p->single && p->bare);
    memcpy(p->ops, ops, n * sizeof(*ops));
    for (size_t i = 0; i < n; i++) {
        CHECK_OK(real->program_create(device, r, &ops[i], 1, &p->single[i], err), *err);
        if (ops[i].kind == BERTH_OP_CONV3) {
            struct berth_op bare = ops[i];
            bare.u.conv3.act = BERTH_ACT_NONE;
            bare.u.conv3.add = (struct berth_tensor){0};
            CHECK_OK(real->program_create(device, r, &bare, 1, &p->bare[i], err), *err);
        }
    }
    *out = p;
    return 0;
}

static void spy_destroy(struct berth_program *p) {
    for (size_t i = 0; i < p->n; i++) {
        real->program_destroy(p->single[i]);
        real->program_destroy(p->bare[i]);
    }
    free(p->ops);
    free(p->single);
    free(p->bare);
    free(p);
}

static int spy_run(struct berth_program *p, const uint32_t live[BERTH_MAX_LIVE],
                   struct berth_error *err) {
    for (size_t i = 0; i < p->n; i++) {
        const struct berth_op *op = &p->ops[i];
        const int64_t most = bth_op_rows(op);
        const int64_t rows = op->live < 0 || live[op->live] > most ? most : live[op->live];
        CHECK_OK(real->program_run(p->bare[i] ? p->bare[i] : p->single[i], live, err), *err);
        look(op, rows);
        if (p->bare[i]) {
            CHECK_OK(real->program_run(p->single[i], live, err), *err);
        }
    }
    return 0;
}

/* ---- comparing ------------------------------------------------------------------------------*/

static double worst_value, worst_norm;
static size_t compared;

/* Where element `place` of the original's [shape] is in what was seen; NULL where we compute no
 * such row. *out_row is its row of `cols` values. */
typedef const float *(*place_fn)(const struct seen *s, int64_t first, const int64_t shape[2],
                                 int64_t place, const float **out_row);

static const float *plain(const struct seen *s, int64_t first, const int64_t shape[2],
                          int64_t place, const float **out_row) {
    CHECK(s->cols == shape[1] && s->rows >= first + shape[0]);
    *out_row = s->data + (first + place / shape[1]) * s->cols;
    return *out_row + place % shape[1];
}

/* The original's convolutions give [channels, time]. */
static const float *turned(const struct seen *s, int64_t first, const int64_t shape[2],
                           int64_t place, const float **out_row) {
    CHECK(first == 0 && s->cols == shape[0] && s->rows == shape[1]);
    *out_row = s->data + place % shape[1] * s->cols;
    return *out_row + place / shape[1];
}

/* Only rows that something is picked from go through the last norm: not the language's in the
 * prompt, which nobody reads. */
static const float *picked(const struct seen *s, int64_t first, const int64_t shape[2],
                           int64_t place, const float **out_row) {
    const int64_t row = first + place / shape[1];
    *out_row = s->data + (row > 0 ? row - 1 : 0) * s->cols;
    return row == 1 ? NULL : *out_row + place % shape[1];
}

static double largest(const float *row, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)row[i]));
    }
    return most;
}

static void compare(json_t *layers, const char *name, const struct seen *s, int64_t first,
                    place_fn at) {
    json_t *g = json_object_get(layers, name), *shape = json_object_get(g, "shape");
    json_t *places = json_object_get(g, "places"), *values = json_object_get(g, "values");
    const int64_t size[2] = {json_integer_value(json_array_get(shape, 0)),
                             json_integer_value(json_array_get(shape, 1))};
    const double norm = golden_number(json_object_get(g, "norm"));
    const float *row, *got;
    double sum = 0, off = 0;
    bool all = true;
    CHECK(g && json_array_size(values) == 64 && norm > 0);
    for (int64_t i = 0; i < size[0] * size[1]; i++) {
        got = at(s, first, size, i, &row);
        sum += got ? (double)*got * (double)*got : 0;
        all &= got != NULL;
    }
    for (size_t i = 0; i < json_array_size(values); i++) {
        got = at(s, first, size, json_integer_value(json_array_get(places, i)), &row);
        if (got) {
            const double expected = golden_number(json_array_get(values, i));
            off = fmax(off, fabs((double)*got - expected) / largest(row, s->cols));
        }
    }
    const double norm_off = all ? fabs(sqrt(sum) - norm) / norm : 0;
    printf("%-24s values within %.1e, norm within %.1e\n", name, off, norm_off);
    if (!(off <= VALUE_TOLERANCE && norm_off <= NORM_TOLERANCE)) {
        TEST_FAIL("%s is not the original's", name);
    }
    worst_value = fmax(worst_value, off);
    worst_norm = fmax(worst_norm, norm_off);
    compared++;
}

static void compare_passes(json_t *layers, const char *layer, const struct seen *s, place_fn at) {
    static const int passes[] = {0, 1, 5};
    for (size_t i = 0; i < sizeof(passes) / sizeof(*passes); i++) {
        char name[96];
        snprintf(name, sizeof(name), "%s.pass_%d", layer, passes[i]);
        compare(layers, name, s, passes[i] ? PROMPT - 1 + passes[i] : 0, at);
    }
}

static void compare_all(json_t *layers) {
    char name[64];
    compare(layers, "encoder.conv1", &seen.conv1, 0, turned);
    compare(layers, "encoder.conv2", &seen.conv2, 0, turned);
    for (int i = 0; i < model->dims.encoder_layers; i++) {
        snprintf(name, sizeof(name), "encoder.layer_%d", i);
        CHECK_INT(seen.encoder[i].rows, WHISPER_POSITIONS);
        compare(layers, name, &seen.encoder[i], 0, plain);
    }
    compare(layers, "encoder.ln_post", &seen.ln_post, 0, plain);
    for (int i = 0; i < model->dims.decoder_layers; i++) {
        snprintf(name, sizeof(name), "decoder.layer_%d", i);
        compare_passes(layers, name, &seen.decoder[i], plain);
    }
    compare_passes(layers, "decoder.ln", &seen.ln, picked);
    CHECK_INT(compared, json_object_size(layers)); /* none was left out */
    printf("%zu outputs; worst value off by %.1e of its row's largest, worst norm by %.1e\n",
           compared, worst_value, worst_norm);
}

static void transcribe(struct berth_model *m, const char *path) {
    static const struct berth_option options[] = {
        {"language", "en"}, {"temperature", "0"}, {"temperature_increment_on_fallback", "None"}};
    struct drive_one one = {.request = BERTH_REQUEST_INIT, .cancel_after = -1};
    one.request.input = (struct berth_input){.kind = BERTH_INPUT_FILE, .path = path};
    one.request.options = options;
    one.request.n_options = sizeof(options) / sizeof(*options);
    CHECK_INT(drive(m, &one, 1, 1, 0, NULL), 0);
    CHECK_OK(one.rc, one.err);
    berth_item_free(one.final);
}

int main(void) {
    const char *sample = getenv("BERTH_SAMPLE"), *material = getenv("BERTH_MATERIAL");
    if (!sample || !material) {
        SKIP("BERTH_SAMPLE (tools/sample) and BERTH_MATERIAL (tools/material) are not set");
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* what was printed must survive a failure */
    const struct bth_cpu_config config = {0, BTH_CPU_AVX512};
    struct berth_device *device;
    struct berth_error err;
    struct drive_model m;
    char path[4096];
    json_t *golden = golden_read("layers");
    golden_sound(golden, material, path);
    CHECK_OK(bth_cpu_open(&config, &device, &err), err);
    real = device->ops;
    struct berth_backend_ops spy = *real;
    spy.program_create = spy_create;
    spy.program_destroy = spy_destroy;
    spy.program_run = spy_run;
    device->ops = &spy;
    CHECK_OK(drive_load(&bth_whisper_engine, sample, device, &m, &err), err);
    model = (const struct whisper_model *)m.model;
    transcribe(m.model, path);
    compare_all(json_object_get(golden, "layers"));
    drive_unload(&m);
    device->ops->close(device);
    json_decref(golden);
    return 0;
}

/*
 * Damaged, lying and foreign model files: a clear error that names what is wrong, nothing left
 * behind.
 */
#include "base/alloc.h"
#include "compute/compute.h"
#include "lib/drive.h"
#include "lib/test.h"
#include "lib/tiny_whisper.h"
#include "whisper/whisper.h"
#include <unistd.h>

static struct berth_device *device;
static const struct tiny_whisper model = {64, 1, 2, 80, 51864, BERTH_F16, 1};

struct bytes {
    char *data;
    size_t n;
};

static struct bytes read_all(const char *path) {
    struct bytes b = {0};
    FILE *f = fopen(path, "rb");
    CHECK(f && fseek(f, 0, SEEK_END) == 0);
    b.n = (size_t)ftell(f);
    rewind(f);
    b.data = malloc(b.n);
    CHECK(b.data && fread(b.data, 1, b.n, f) == b.n);
    fclose(f);
    return b;
}

static void write_all(const char *path, const char *data, size_t n) {
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(data, 1, n, f) == n);
    fclose(f);
}

static void path_of(char out[512], const char *dir, const char *name) {
    snprintf(out, 512, "%s/%s", dir, name);
}

/* Loading fails with one of two codes and says `what`; nothing is left. */
static void refuses(const char *path, int a, int b, const char *what) {
    struct drive_model m;
    struct berth_error err = {0};
    struct berth_estimate e;
    struct berth_model_info info;
    int64_t live = bth_alloc_live();
    int rc = drive_load(&bth_whisper_engine, path, device, &m, &err);
    if ((rc != a && rc != b) || !strstr(err.message, what)) {
        TEST_FAIL("loading gave %d (%s), expected %d about %s", rc, err.message, a, what);
    }
    CHECK_INT(err.code, rc);
    CHECK_INT(bth_alloc_live(), live);
    bth_whisper_engine.estimate(path, device, &e, &err); /* any answer, no crash */
    bth_whisper_engine.probe(path, &info, &err);
    CHECK_INT(bth_alloc_live(), live);
}

static void loads(const char *path) {
    struct drive_model m;
    struct berth_error err;
    CHECK_OK(drive_load(&bth_whisper_engine, path, device, &m, &err), err);
    drive_unload(&m);
}

static char *find(const struct bytes *b, const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i + n <= b->n; i++) {
        if (memcmp(b->data + i, name, n) == 0) {
            return b->data + i;
        }
    }
    TEST_FAIL("%s is not in the file", name);
}

/* One tensor under another name: missing, and named. */
static void missing(const char *path, const struct bytes *b, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char *at = find(b, names[i]), kept = *at;
        *at = 'X';
        write_all(path, b->data, b->n);
        char dir[512];
        snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path), path);
        refuses(dir, BERTH_EFORMAT, BERTH_EFORMAT, names[i]);
        *at = kept;
    }
    write_all(path, b->data, b->n);
}

/* CTranslate2: two dimensions change places, the byte count stays right. */
static void swapped(const char *dir, const char *path, const struct bytes *b) {
    static const char *const names[] = {
        "encoder/layer_0/self_attention/linear_0/weight", "encoder/layer_0/ffn/linear_1/weight",
        "decoder/layer_1/attention/linear_1/weight",      "decoder/layer_1/ffn/linear_0/weight",
        "decoder/position_encodings/encodings",           "decoder/embeddings/weight"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char *dims = find(b, names[i]) + strlen(names[i]) + 2, kept[8];
        memcpy(kept, dims, 8);
        memcpy(dims, kept + 4, 4);
        memcpy(dims + 4, kept, 4);
        write_all(path, b->data, b->n);
        refuses(dir, BERTH_EFORMAT, BERTH_EFORMAT, i == 5 ? "51864" : names[i]);
        memcpy(dims, kept, 8);
    }
    write_all(path, b->data, b->n);
}

static void cut_short(const char *dir, const char *path, const struct bytes *b) {
    for (size_t i = 0; i < 24; i++) {
        size_t n = i < 12 ? i * i * 3 : b->n * (i - 11) / 13;
        write_all(path, b->data, n);
        refuses(dir, BERTH_EFORMAT, BERTH_EFORMAT, "");
    }
    write_all(path, b->data, b->n);
}

/* Bytes of the head set to extremes: any answer but a crash or a leak. */
static void flipped(const char *dir, const char *path, const struct bytes *b) {
    unsigned long long state = 7;
    for (int i = 0; i < 60; i++) {
        size_t at = (size_t)(test_rand(&state) % 3000);
        char kept = b->data[at];
        struct berth_model_info info;
        struct berth_estimate e;
        struct berth_error err;
        int64_t live = bth_alloc_live();
        b->data[at] = (char)(test_rand(&state) % 2 ? 0xFF : test_rand(&state));
        write_all(path, b->data, 200000 < b->n ? 200000 : b->n);
        bth_whisper_engine.probe(dir, &info, &err);
        bth_whisper_engine.estimate(dir, device, &e, &err);
        CHECK_INT(bth_alloc_live(), live);
        b->data[at] = kept;
    }
    write_all(path, b->data, b->n);
}

static void tokenizers(const char *dir) {
    char path[512];
    struct tiny_whisper other = model;
    path_of(path, dir, "tokenizer.json");
    unlink(path);
    refuses(dir, BERTH_ENOTFOUND, BERTH_EFORMAT, "tokenizer.json");
    write_all(path, "{\"model\": {\"vocab\": {\"a\": 0}}}", 29);
    refuses(dir, BERTH_EFORMAT, BERTH_EFORMAT, "");
    write_all(path, "[", 1);
    refuses(dir, BERTH_EFORMAT, BERTH_EFORMAT, "");
    tiny_whisper_tokenizer(&other, dir);
    loads(dir);
}

static void ctranslate2(void) {
    static const char *const names[] = {
        "encoder/conv1/weight",
        "encoder/conv2/bias",
        "encoder/position_encodings/encodings",
        "encoder/layer_norm/beta",
        "encoder/layer_0/self_attention/layer_norm/gamma",
        "encoder/layer_0/self_attention/linear_0/bias",
        "encoder/layer_0/ffn/linear_1/weight",
        "decoder/embeddings/weight",
        "decoder/position_encodings/encodings",
        "decoder/layer_norm/gamma",
        "decoder/layer_0/attention/linear_0/weight",
        "decoder/layer_1/attention/linear_1/bias",
        "decoder/layer_1/ffn/layer_norm/beta",
        "decoder/layer_1/ffn/layer_norm/gamma", /* what layers are counted by */
    };
    char *dir = tiny_dir(), path[512];
    struct berth_model_info info;
    struct berth_error err;
    tiny_whisper_ct2(&model, dir);
    path_of(path, dir, "model.bin");
    CHECK_OK(bth_whisper_engine.probe(dir, &info, &err), err);
    CHECK_STR(info.family, "whisper");
    CHECK_STR(info.format, "ctranslate2");
    loads(path); /* the file itself */
    struct bytes b = read_all(path);
    missing(path, &b, names, sizeof(names) / sizeof(*names));
    swapped(dir, path, &b);
    cut_short(dir, path, &b);
    flipped(dir, path, &b);
    char *spec = find(&b, "WhisperSpec");
    *spec = 'X';
    write_all(path, b.data, b.n);
    refuses(dir, BERTH_ENOTFOUND, BERTH_ENOTFOUND, "XhisperSpec");
    *spec = 'W';
    write_all(path, b.data, b.n);
    tokenizers(dir);
    free(b.data);
    tiny_dir_remove(dir);
}

static void safetensors(void) {
    static const char *const names[] = {
        "model.encoder.conv1.weight",
        "model.encoder.layers.0.self_attn.q_proj.weight",
        "model.encoder.layers.0.self_attn.v_proj.bias",
        "model.decoder.embed_tokens.weight",
        "model.decoder.layers.1.encoder_attn.k_proj.weight",
        "model.decoder.layers.1.final_layer_norm.weight",
        "model.decoder.layer_norm.bias",
    };
    char *dir = tiny_dir(), path[512];
    struct berth_model_info info;
    struct berth_error err;
    tiny_whisper_hf(&model, dir);
    CHECK_OK(bth_whisper_engine.probe(dir, &info, &err), err);
    CHECK_STR(info.format, "safetensors");
    path_of(path, dir, "model.safetensors");
    struct bytes b = read_all(path);
    missing(path, &b, names, sizeof(names) / sizeof(*names));
    cut_short(dir, path, &b);
    flipped(dir, path, &b);
    free(b.data);
    path_of(path, dir, "config.json");
    write_all(path, "{\"model_type\": \"bert\"}", 22);
    refuses(dir, BERTH_ENOTFOUND, BERTH_ENOTFOUND, "");
    write_all(path, "{", 1);
    refuses(dir, BERTH_ENOTFOUND, BERTH_EFORMAT, "");
    tiny_dir_remove(dir);
}

int main(void) {
    const struct bth_cpu_config config = {2, BTH_CPU_AVX512};
    struct berth_error err;
    CHECK_OK(bth_cpu_open(&config, &device, &err), err);
    refuses("/nowhere/at/all", BERTH_ENOTFOUND, BERTH_ENOTFOUND, "/nowhere/at/all");
    char *empty = tiny_dir();
    refuses(empty, BERTH_ENOTFOUND, BERTH_ENOTFOUND, empty);
    tiny_dir_remove(empty);
    ctranslate2();
    safetensors();
    device->ops->close(device);
    return 0;
}

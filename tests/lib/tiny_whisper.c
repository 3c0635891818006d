#define _GNU_SOURCE /* mkdtemp, open_memstream, M_PI */
#include "lib/tiny_whisper.h"

#include "base/dtype.h"
#include "compute/tensor.h"
#include "lib/test.h"
#include <dirent.h>
#include <inttypes.h>
#include <unistd.h>

enum { AUDIO = 1500, TEXT = 448, MOST = 1024 };

/* One tensor by its CTranslate2 name: how its numbers are spread, and its Hugging Face names, which
 * share its rows evenly. */
struct tensor {
    char name[320];
    char hf[3][96]; /* "" at the end; "-": rows that Hugging Face does not store (zero) */
    int64_t dims[3];
    int rank;
    float mean, spread;
};

struct list {
    const struct tiny_whisper *t;
    struct tensor *all;
    size_t n;
};

static struct tensor *add(struct list *l, const char *name, const char *hf, int64_t a, int64_t b,
                          int64_t c) {
    CHECK(l->n < MOST);
    struct tensor *t = &l->all[l->n++];
    snprintf(t->name, sizeof(t->name), "%s", name);
    for (int i = 0; i < 3 && *hf; i++) {
        size_t n = strcspn(hf, ",");
        snprintf(t->hf[i], sizeof(t->hf[i]), "%.*s", (int)n, hf);
        hf += n + (hf[n] == ',');
    }
    t->dims[0] = a;
    t->dims[1] = b;
    t->dims[2] = c;
    t->rank = c ? 3 : b ? 2 : 1;
    return t;
}

static void add_norm(struct list *l, const char *ct2, const char *hf) {
    char a[96], b[96];
    snprintf(a, sizeof(a), "%s/gamma", ct2);
    snprintf(b, sizeof(b), "%s.weight", hf);
    struct tensor *t = add(l, a, b, l->t->d, 0, 0);
    t->mean = 1;
    t->spread = 0.1f;
    snprintf(a, sizeof(a), "%s/beta", ct2);
    snprintf(b, sizeof(b), "%s.bias", hf);
    add(l, a, b, l->t->d, 0, 0)->spread = 0.1f;
}

/* W [n, k] and b [n]; `hf` names up to three modules; one that ends in k_proj has no bias. */
static void add_linear(struct list *l, const char *ct2, const char *prefix, const char *hf,
                       int64_t n, int64_t k) {
    char name[320], weights[288] = "", biases[288] = "", rest[96];
    snprintf(rest, sizeof(rest), "%s", hf);
    for (char *save = NULL, *p = strtok_r(rest, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
        size_t w = strlen(weights), b = strlen(biases);
        snprintf(weights + w, sizeof(weights) - w, "%s%s.%s.weight", w ? "," : "", prefix, p);
        if (strstr(p, "k_proj")) {
            snprintf(biases + b, sizeof(biases) - b, "%s-", b ? "," : "");
        } else {
            snprintf(biases + b, sizeof(biases) - b, "%s%s.%s.bias", b ? "," : "", prefix, p);
        }
    }
    snprintf(name, sizeof(name), "%s/weight", ct2);
    add(l, name, weights, n, k, 0)->spread = 2.5f / sqrtf((float)k);
    snprintf(name, sizeof(name), "%s/bias", ct2);
    add(l, name, biases, n, 0, 0)->spread = 0.2f;
}

static void add_layer(struct list *l, const char *part, int i, bool cross) {
    const int64_t d = l->t->d;
    const struct {
        const char *ct2, *hf;
        int64_t n, k; /* n 0: a norm */
        bool cross;
    } parts[] = {
        {"self_attention/layer_norm", "self_attn_layer_norm", 0, 0, false},
        {"self_attention/linear_0", "self_attn.q_proj,self_attn.k_proj,self_attn.v_proj", 3 * d, d,
         false},
        {"self_attention/linear_1", "self_attn.out_proj", d, d, false},
        {"attention/layer_norm", "encoder_attn_layer_norm", 0, 0, true},
        {"attention/linear_0", "encoder_attn.q_proj", d, d, true},
        {"attention/linear_1", "encoder_attn.k_proj,encoder_attn.v_proj", 2 * d, d, true},
        {"attention/linear_2", "encoder_attn.out_proj", d, d, true},
        {"ffn/layer_norm", "final_layer_norm", 0, 0, false},
        {"ffn/linear_0", "fc1", 4 * d, d, false},
        {"ffn/linear_1", "fc2", d, 4 * d, false},
    };
    for (size_t j = 0; j < sizeof(parts) / sizeof(*parts); j++) {
        char ct2[96], prefix[64], hf[96];
        snprintf(ct2, sizeof(ct2), "%s/layer_%d/%s", part, i, parts[j].ct2);
        snprintf(prefix, sizeof(prefix), "model.%s.layers.%d", part, i);
        if (parts[j].cross && !cross) {
            continue;
        }
        if (parts[j].n) {
            add_linear(l, ct2, prefix, parts[j].hf, parts[j].n, parts[j].k);
        } else {
            snprintf(hf, sizeof(hf), "%s.%s", prefix, parts[j].hf);
            add_norm(l, ct2, hf);
        }
    }
}

static void add_conv(struct list *l, const char *ct2, const char *hf, int64_t c, float spread) {
    char a[96], b[96];
    snprintf(a, sizeof(a), "%s/weight", ct2);
    snprintf(b, sizeof(b), "%s.weight", hf);
    add(l, a, b, l->t->d, c, 3)->spread = spread / sqrtf(3 * (float)c);
    snprintf(a, sizeof(a), "%s/bias", ct2);
    snprintf(b, sizeof(b), "%s.bias", hf);
    add(l, a, b, l->t->d, 0, 0)->spread = 0.2f;
}

static struct list make_list(const struct tiny_whisper *t) {
    struct list l = {.t = t, .all = calloc(MOST, sizeof(*l.all))};
    CHECK(l.all);
    add_conv(&l, "encoder/conv1", "model.encoder.conv1", t->mels, 6);
    add_conv(&l, "encoder/conv2", "model.encoder.conv2", t->d, 3);
    add(&l, "encoder/position_encodings/encodings", "model.encoder.embed_positions.weight", AUDIO,
        t->d, 0)
        ->spread = 0.3f;
    add_norm(&l, "encoder/layer_norm", "model.encoder.layer_norm");
    for (int i = 0; i < t->encoder_layers; i++) {
        add_layer(&l, "encoder", i, false);
    }
    /* a spread of logits at which timestamps and text are about as likely: the more columns, the
     * smaller the numbers */
    add(&l, "decoder/embeddings/weight", "model.decoder.embed_tokens.weight", t->vocab, t->d, 0)
        ->spread = 5.5f / sqrtf((float)t->d);
    add(&l, "decoder/position_encodings/encodings", "model.decoder.embed_positions.weight", TEXT,
        t->d, 0)
        ->spread = 0.5f;
    add_norm(&l, "decoder/layer_norm", "model.decoder.layer_norm");
    for (int i = 0; i < t->decoder_layers; i++) {
        add_layer(&l, "decoder", i, true);
    }
    return l;
}

/* About normal, from three uniform draws. */
static float normal(unsigned long long *state) {
    return test_randf(state) + test_randf(state) + test_randf(state);
}

static size_t elements(const struct tensor *t) {
    size_t n = 1;
    for (int i = 0; i < t->rank; i++) {
        n *= (size_t)t->dims[i];
    }
    return n;
}

/* Louder rows: the end mark, silence and timestamps are said now and then. */
static void shape_embedding(const struct tiny_whisper *t, float *v) {
    const size_t d = (size_t)t->d, vocab = (size_t)t->vocab, first = vocab - 1501;
    const size_t eot = t->vocab == 51864 ? 50256 : 50257, nospeech = first - 2;
    for (size_t row = eot; row < vocab; row++) {
        float by = row == eot ? 2.3f : row == nospeech ? 3.0f : row >= first ? 1.12f : 1.0f;
        for (size_t c = 0; c < d; c++) {
            v[row * d + c] *= by;
        }
    }
}

/* The tensor's numbers as stored; *out_bytes of an element. */
static void *values(const struct tiny_whisper *t, const struct tensor *x, enum berth_dtype dtype) {
    unsigned long long state = 1469598103934665603ULL ^ (t->seed * 0x9E3779B97F4A7C15ULL);
    for (const char *p = x->name; *p; p++) {
        state = (state ^ (unsigned char)*p) * 1099511628211ULL;
    }
    state |= 1;
    size_t n = elements(x), size = dtype == BERTH_F32 ? 4 : 2;
    float *v = malloc(n * sizeof(*v));
    char *out = malloc(n * size);
    CHECK(v && out);
    size_t parts = 1;
    while (parts < 3 && x->hf[parts][0]) {
        parts++;
    }
    for (size_t i = 0; i < n; i++) {
        bool zero = x->hf[i / (n / parts)][0] == '-';
        v[i] = zero ? 0 : x->mean + x->spread * normal(&state);
    }
    if (strcmp(x->name, "decoder/embeddings/weight") == 0) {
        shape_embedding(t, v);
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &v[i], 4);
        uint16_t half = dtype == BERTH_F16 ? bth_f32_to_f16(v[i]) : (uint16_t)(bits >> 16);
        memcpy(out + i * size, dtype == BERTH_F32 ? (const void *)&v[i] : (const void *)&half,
               size);
    }
    free(v);
    return out;
}

static FILE *create(const char *dir, const char *name) {
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    if (!f) {
        TEST_FAIL("%s cannot be written", path);
    }
    return f;
}

static void put(FILE *f, const void *p, size_t n) {
    CHECK(fwrite(p, 1, n, f) == n);
}

static void put_u32(FILE *f, size_t v) {
    uint32_t x = (uint32_t)v;
    put(f, &x, 4);
}

static void put_string(FILE *f, const char *s) {
    uint16_t n = (uint16_t)(strlen(s) + 1);
    put(f, &n, 2);
    put(f, s, n);
}

void tiny_whisper_ct2(const struct tiny_whisper *t, const char *dir) {
    struct list l = make_list(t);
    FILE *f = create(dir, "model.bin");
    put_u32(f, 6);
    put_string(f, "WhisperSpec");
    put_u32(f, 3);
    put_u32(f, l.n);
    for (size_t i = 0; i < l.n; i++) {
        const struct tensor *x = &l.all[i];
        enum berth_dtype dtype = t->dtype;
        unsigned char rank = (unsigned char)x->rank;
        unsigned char code = dtype == BERTH_F32 ? 0 : dtype == BERTH_F16 ? 4 : 5;
        size_t bytes = elements(x) * (dtype == BERTH_F32 ? 4 : 2);
        put_string(f, x->name);
        put(f, &rank, 1);
        for (int j = 0; j < x->rank; j++) {
            put_u32(f, (size_t)x->dims[j]);
        }
        put(f, &code, 1);
        put_u32(f, bytes);
        void *v = values(t, x, dtype);
        put(f, v, bytes);
        free(v);
    }
    put_u32(f, 1);
    put_string(f, "decoder/projection/weight");
    put_string(f, "decoder/embeddings/weight");
    CHECK(fclose(f) == 0);
    free(l.all);
    tiny_whisper_tokenizer(t, dir);
}

/* Either the header's entry of each Hugging Face tensor, or the data in the same order. */
static void hf_tensors(const struct list *l, FILE *f, bool data) {
    size_t at = 0;
    for (size_t i = 0; i < l->n; i++) {
        const struct tensor *x = &l->all[i];
        enum berth_dtype dtype = l->t->dtype;
        size_t parts = 1;
        while (parts < 3 && x->hf[parts][0]) {
            parts++;
        }
        size_t bytes = elements(x) * (dtype == BERTH_F32 ? 4 : 2) / parts;
        char *v = data ? values(l->t, x, dtype) : NULL;
        for (size_t j = 0; j < parts; j++) {
            if (x->hf[j][0] == '-') {
                continue;
            }
            if (v) {
                put(f, v + j * bytes, bytes);
            } else {
                fprintf(f, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%" PRId64, at ? "," : "",
                        x->hf[j],
                        dtype == BERTH_F32   ? "F32"
                        : dtype == BERTH_F16 ? "F16"
                                             : "BF16",
                        x->dims[0] / (int64_t)parts);
                for (int k = 1; k < x->rank; k++) {
                    fprintf(f, ",%" PRId64, x->dims[k]);
                }
                fprintf(f, "],\"data_offsets\":[%zu,%zu]}", at, at + bytes);
            }
            at += bytes;
        }
        free(v);
    }
}

void tiny_whisper_hf(const struct tiny_whisper *t, const char *dir) {
    struct list l = make_list(t);
    char *text = NULL;
    size_t size = 0;
    FILE *header = open_memstream(&text, &size);
    CHECK(header);
    fprintf(header, "{");
    hf_tensors(&l, header, false);
    fprintf(header, "}");
    CHECK(fclose(header) == 0);
    FILE *f = create(dir, "model.safetensors");
    uint64_t n = size;
    put(f, &n, 8);
    put(f, text, size);
    hf_tensors(&l, f, true);
    CHECK(fclose(f) == 0);
    free(text);
    free(l.all);
    f = create(dir, "config.json");
    fprintf(
        f,
        "{\"model_type\": \"whisper\", \"d_model\": %d, \"encoder_layers\": %d, "
        "\"decoder_layers\": %d, \"encoder_attention_heads\": %d, \"decoder_attention_heads\": "
        "%d, \"encoder_ffn_dim\": %d, \"decoder_ffn_dim\": %d, \"vocab_size\": %d, "
        "\"num_mel_bins\": %d, \"max_source_positions\": 1500, \"max_target_positions\": 448}\n",
        t->d, t->encoder_layers, t->decoder_layers, t->d / 64, t->d / 64, 4 * t->d, 4 * t->d,
        t->vocab, t->mels);
    CHECK(fclose(f) == 0);
    tiny_whisper_tokenizer(t, dir);
}

/* GPT-2 writes each byte as a printable code point. */
static unsigned printable(unsigned char byte) {
    unsigned moved = 256;
    for (unsigned b = 0; b < 256; b++) {
        bool itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        if (b == byte) {
            return itself ? b : moved;
        }
        moved += !itself;
    }
    return 0;
}

static int base64(int c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c ? strchr(digits, c) : NULL;
    return p ? (int)(p - digits) : -1;
}

/* The vocabulary in tests/data as a tokenizer.json. */
void tiny_whisper_tokenizer(const struct tiny_whisper *t, const char *dir) {
    FILE *in = fopen(t->vocab == 51864 ? BTH_TEST_DATA "/data/gpt2.tiktoken"
                                       : BTH_TEST_DATA "/data/multilingual.tiktoken",
                     "rb");
    CHECK(in);
    FILE *out = create(dir, "tokenizer.json");
    char line[1024];
    fprintf(out, "{\"model\": {\"type\": \"BPE\", \"vocab\": {");
    for (bool first = true; fgets(line, sizeof(line), in); first = false) {
        char *rank = strchr(line, ' ');
        CHECK(rank);
        fprintf(out, "%s\"", first ? "" : ",");
        unsigned bits = 0;
        int n = 0;
        for (const char *p = line; p < rank; p++) {
            int v = base64(*p);
            if (v < 0) {
                continue; /* padding */
            }
            bits = bits << 6 | (unsigned)v;
            n += 6;
            if (n >= 8) {
                n -= 8;
                unsigned c = printable((unsigned char)(bits >> n));
                fprintf(out, c == '"' || c == '\\' ? "\\%c" : c < 127 ? "%c" : "\\u%04x", c);
            }
        }
        fprintf(out, "\":%d", atoi(rank + 1));
    }
    fprintf(out, "}, \"merges\": []}}\n");
    fclose(in);
    CHECK(fclose(out) == 0);
}

char *tiny_dir(void) {
    const char *tmp = getenv("TMPDIR");
    char path[256];
    snprintf(path, sizeof(path), "%s/berth-test-XXXXXX", tmp ? tmp : "/tmp");
    char *dir = mkdtemp(path);
    CHECK(dir);
    return strdup(dir);
}

void tiny_dir_remove(char *dir) {
    DIR *d = opendir(dir);
    CHECK(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] != '.') {
            char path[512];
            snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
            unlink(path);
        }
    }
    closedir(d);
    rmdir(dir);
    free(dir);
}

int16_t *tiny_sound(uint64_t seed, size_t n) {
    unsigned long long state = (seed + 1) * 0x9E3779B97F4A7C15ULL;
    int16_t *out = malloc(n * sizeof(*out) + 1);
    CHECK(out);
    double f[3] = {0}, phase[3] = {0}, loud = 0;
    for (size_t i = 0; i < n; i++) {
        if (i % 4000 == 0) { /* another chord each quarter of a second */
            loud = 500 + 3000 * fabs((double)test_randf(&state));
            for (int j = 0; j < 3; j++) {
                f[j] = 100 + 3000 * fabs((double)test_randf(&state));
            }
        }
        double v = 300 * (double)test_randf(&state);
        for (int j = 0; j < 3; j++) {
            phase[j] += 2 * M_PI * f[j] / 16000;
            v += loud * sin(phase[j]);
        }
        out[i] = (int16_t)v;
    }
    return out;
}

#define _GNU_SOURCE /* mkdtemp, open_memstream */
#include "lib/tiny_marian.h"

#include "lib/test.h"
#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <unistd.h>

enum { MOST = 512 };

static const struct tiny_marian shapes[] = {
    {64, 4, 128, 128, 2, 2, 400, 400, false, true, true, true, 2.5f, 3.5f, 1, 0, false},
    {96, 3, 160, 256, 3, 1, 1500, 1500, true, true, true, false, 2.5f, 4.5f, 2, 0, false},
    {64, 2, 192, 96, 1, 3, 420, 420, false, false, true, true, 3.0f, 4.0f, 3, 0, false},
    {128, 8, 256, 256, 2, 2, 700, 700, true, true, false, true, 2.5f, 4.0f, 4, 0, false},
    {512, 8, 2048, 2048, 6, 6, 3000, 3000, false, true, true, true, 2.5f, 5.0f, 5, 0, false},
};

const struct tiny_marian *tiny_marian_shape(int i) {
    return i < (int)(sizeof(shapes) / sizeof(*shapes)) ? &shapes[i] : NULL;
}

/* ---- weights --------------------------------------------------------------------------------- */

struct tensor {
    char name[96];
    int64_t n, k; /* k 0: a vector */
    float mean, spread;
};

struct list {
    const struct tiny_marian *t;
    struct tensor all[MOST];
    int n;
};

static uint64_t mixed(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static uint64_t key_of(const char *name, uint64_t seed) {
    uint64_t h = 0xCBF29CE484222325u;
    for (; *name; name++) {
        h = (h ^ (uint8_t)*name) * 0x100000001B3u;
    }
    return h ^ mixed(seed);
}

/* mean + spread * u, u in [-1, 1) with 24 bits. */
static float element(const struct tensor *t, uint64_t key, int64_t i) {
    const uint64_t bits = mixed(key + (uint64_t)(i + 1) * 0x9E3779B97F4A7C15u) >> 40;
    const float scaled = ((float)bits / 8388608.0f - 1.0f) * t->spread;
    return scaled + t->mean;
}

static struct tensor *add(struct list *l, int64_t n, int64_t k, float mean, float spread,
                          const char *fmt, ...) {
    struct tensor *t = &l->all[l->n++];
    va_list args;
    CHECK(l->n <= MOST);
    va_start(args, fmt);
    vsnprintf(t->name, sizeof(t->name), fmt, args);
    va_end(args);
    t->n = n;
    t->k = k;
    t->mean = mean;
    t->spread = spread;
    return t;
}

static void add_linear(struct list *l, const char *prefix, const char *name, int64_t n, int64_t k) {
    add(l, n, k, 0, sqrtf(3.0f / (float)k), "%s.%s.weight", prefix, name);
    add(l, n, 0, 0, 0.1f, "%s.%s.bias", prefix, name);
}

static void add_norm(struct list *l, const char *prefix, const char *name) {
    add(l, l->t->d, 0, 1, 0.1f, "%s.%s.weight", prefix, name);
    add(l, l->t->d, 0, 0, 0.1f, "%s.%s.bias", prefix, name);
}

static void add_attention(struct list *l, const char *prefix, const char *name) {
    static const char *const parts[] = {"q_proj", "k_proj", "v_proj", "out_proj"};
    char block[80];
    snprintf(block, sizeof(block), "%s.%s", prefix, name);
    for (int i = 0; i < 4; i++) {
        add_linear(l, block, parts[i], l->t->d, l->t->d);
    }
    snprintf(block, sizeof(block), "%s_layer_norm", name);
    add_norm(l, prefix, block);
}

static void add_layer(struct list *l, bool decoder, int i) {
    const int64_t ffn = decoder ? l->t->decoder_ffn : l->t->encoder_ffn;
    char prefix[64];
    snprintf(prefix, sizeof(prefix), "model.%s.layers.%d", decoder ? "decoder" : "encoder", i);
    add_attention(l, prefix, "self_attn");
    if (decoder) {
        add_attention(l, prefix, "encoder_attn");
    }
    add_linear(l, prefix, "fc1", ffn, l->t->d);
    add_linear(l, prefix, "fc2", l->t->d, ffn);
    add_norm(l, prefix, "final_layer_norm");
}

static struct list *make_list(const struct tiny_marian *t) {
    struct list *l = calloc(1, sizeof(*l));
    const float rows = t->spread * sqrtf(3.0f / (float)t->d);
    l->t = t;
    if (t->tied_embeddings) {
        add(l, t->vocab, t->d, 0, rows, "model.shared.weight");
    } else {
        add(l, t->vocab, t->d, 0, rows, "model.encoder.embed_tokens.weight");
        add(l, t->decoder_vocab, t->d, 0, rows, "model.decoder.embed_tokens.weight");
    }
    if (!t->tied_output) {
        add(l, t->decoder_vocab, t->d, 0, rows, "lm_head.weight");
    }
    add(l, 1, t->decoder_vocab, 0, 0.2f, "final_logits_bias");
    if (t->positions) {
        add(l, t->positions, t->d, 0, 1, "model.encoder.embed_positions.weight");
        add(l, t->positions, t->d, 0, 1, "model.decoder.embed_positions.weight");
    }
    for (int i = 0; i < t->encoder_layers; i++) {
        add_layer(l, false, i);
    }
    for (int i = 0; i < t->decoder_layers; i++) {
        add_layer(l, true, i);
    }
    if (t->pre_norm) {
        add_norm(l, "model.encoder", "layer_norm");
        add_norm(l, "model.decoder", "layer_norm");
    }
    return l;
}

/* The pad row of an embedding is zeros; the end has a bias of its own, the pad none. */
static float value(const struct list *l, const struct tensor *t, uint64_t key, int64_t i) {
    const bool table = strstr(t->name, "embed_tokens") || strstr(t->name, "shared");
    if (table && i / t->k == t->n - 1) {
        return 0;
    }
    if (strcmp(t->name, "final_logits_bias") == 0 && (i == 0 || i == t->k - 1)) {
        return i ? 0 : l->t->eos_bias;
    }
    return element(t, key, i);
}

static float *values_of(const struct list *l, const struct tensor *t, int64_t *out_n) {
    const int64_t n = t->n * (t->k ? t->k : 1);
    const uint64_t key = key_of(t->name, l->t->seed);
    float *values = malloc((size_t)n * sizeof(*values));
    for (int64_t i = 0; i < n; i++) {
        values[i] = value(l, t, key, i);
    }
    *out_n = n;
    return values;
}

float *tiny_marian_values(const struct tiny_marian *t, const char *name, int64_t *out_n) {
    struct list *l = make_list(t);
    float *values = NULL;
    for (int i = 0; i < l->n && !values; i++) {
        values = strcmp(l->all[i].name, name) == 0 ? values_of(l, &l->all[i], out_n) : NULL;
    }
    free(l);
    if (!values) {
        TEST_FAIL("no tensor %s", name);
    }
    return values;
}

/* ---- files ----------------------------------------------------------------------------------- */

static FILE *create(const char *dir, const char *name) {
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    if (!f) {
        TEST_FAIL("cannot write %s", path);
    }
    return f;
}

static void write_tensors(const struct list *l, const char *dir) {
    char *header;
    size_t size;
    int64_t at = 0;
    FILE *h = open_memstream(&header, &size);
    for (int i = 0; i < l->n; i++) {
        const struct tensor *t = &l->all[i];
        const int64_t bytes = t->n * (t->k ? t->k : 1) * 4;
        fprintf(h, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%" PRId64, i ? "," : "{", t->name, t->n);
        if (t->k) {
            fprintf(h, ",%" PRId64, t->k);
        }
        fprintf(h, "],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}", at, at + bytes);
        at += bytes;
    }
    fprintf(h, "}");
    fclose(h);
    const uint64_t length = size;
    FILE *f = create(dir, "model.safetensors");
    fwrite(&length, 8, 1, f);
    fwrite(header, 1, size, f);
    for (int i = 0; i < l->n; i++) {
        int64_t n;
        float *values = values_of(l, &l->all[i], &n);
        CHECK(fwrite(values, sizeof(*values), (size_t)n, f) == (size_t)n);
        free(values);
    }
    CHECK(fclose(f) == 0);
    free(header);
}

static void write_config(const struct tiny_marian *t, const char *dir) {
    FILE *f = create(dir, "config.json");
    const int pad = t->decoder_vocab - 1;
    fprintf(f,
            "{\"model_type\": \"marian\", \"architectures\": [\"MarianMTModel\"],\n"
            " \"d_model\": %d, \"encoder_attention_heads\": %d, \"decoder_attention_heads\": %d,\n"
            " \"encoder_ffn_dim\": %d, \"decoder_ffn_dim\": %d, \"encoder_layers\": %d,\n"
            " \"decoder_layers\": %d, \"vocab_size\": %d, \"decoder_vocab_size\": %d,\n"
            " \"activation_function\": \"%s\", \"scale_embedding\": true,\n"
            " \"static_position_embeddings\": true, \"max_position_embeddings\": %d,\n"
            " \"share_encoder_decoder_embeddings\": %s, \"tie_word_embeddings\": %s,\n"
            " \"pad_token_id\": %d, \"decoder_start_token_id\": %d, \"eos_token_id\": 0,\n"
            " \"forced_eos_token_id\": 0, \"bos_token_id\": 0, \"is_encoder_decoder\": true}\n",
            t->d, t->heads, t->heads, t->encoder_ffn, t->decoder_ffn, t->encoder_layers,
            t->decoder_layers, t->vocab, t->decoder_vocab, t->relu ? "relu" : "swish",
            t->positions ? t->positions : 512, t->tied_embeddings ? "true" : "false",
            t->tied_output ? "true" : "false", pad, pad);
    CHECK(fclose(f) == 0);
    f = create(dir, "generation_config.json");
    fprintf(f,
            "{\"bad_words_ids\": [[%d]], \"decoder_start_token_id\": %d, \"eos_token_id\": 0,\n"
            " \"forced_eos_token_id\": 0, \"max_length\": 48, \"num_beams\": 4,\n"
            " \"pad_token_id\": %d%s}\n",
            pad, pad, pad, t->renormalize ? ", \"renormalize_logits\": true" : "");
    CHECK(fclose(f) == 0);
}

/* Piece i: common letters first, then pairs of letters; those behind a blank at even ids. */
static void piece_name(int i, char out[32]) {
    static const char letters[] = "etaoinshrdlucmfwypvbgkjqxz";
    const char *blank = i % 2 ? "" : "\xe2\x96\x81";
    const int n = i / 2;
    if (i == 0) {
        snprintf(out, 32, "</s>");
    } else if (i == 1) {
        snprintf(out, 32, "<unk>");
    } else if (n <= 26) {
        snprintf(out, 32, "%s%c", blank, letters[n - 1]);
    } else if (n <= 26 + 676) {
        snprintf(out, 32, "%s%c%c", blank, letters[(n - 27) / 26], letters[(n - 27) % 26]);
    } else {
        snprintf(out, 32, "%s%c%c%c", blank, letters[(n - 703) / 676 % 26],
                 letters[(n - 703) / 26 % 26], letters[(n - 703) % 26]);
    }
}

static void put_varint(FILE *f, uint64_t v) {
    for (; v >= 128; v /= 128) {
        fputc((int)(v % 128 + 128), f);
    }
    fputc((int)v, f);
}

/* A field of a protobuf message that is bytes. */
static void put_bytes(FILE *f, int field, const void *bytes, size_t n) {
    put_varint(f, (uint64_t)field << 3 | 2);
    put_varint(f, n);
    fwrite(bytes, 1, n, f);
}

/* A unigram model whose scores prefer long pieces; ids of its own: <unk> 0, <s> 1, </s> 2. */
static void write_pieces(const char *dir, const char *name, int vocab) {
    FILE *f = create(dir, name);
    for (int i = -3; i < vocab - 3; i++) {
        static const char *const special[] = {"<unk>", "<s>", "</s>"};
        char piece[32] = "", *message;
        size_t size;
        const int type = i < 0 ? (i == -3 ? 2 : 3) : 1;
        const float score = i < 0 ? 0 : -4.0f - (float)i * 0.001f;
        if (i >= 0) {
            piece_name(i + 2, piece);
        }
        const char *text = i < 0 ? special[i + 3] : piece;
        FILE *m = open_memstream(&message, &size);
        put_bytes(m, 1, text, strlen(text));
        put_varint(m, 2 << 3 | 5);
        fwrite(&score, 4, 1, m);
        put_varint(m, 3 << 3);
        put_varint(m, (uint64_t)type);
        fclose(m);
        put_bytes(f, 1, message, size);
        free(message);
    }
    static const char trainer[] = {3 << 3, 1};                      /* model_type: unigram */
    static const char normal[] = {3 << 3, 1, 4 << 3, 1, 5 << 3, 1}; /* blanks as usual */
    put_bytes(f, 2, trainer, sizeof(trainer));
    put_bytes(f, 3, normal, sizeof(normal));
    CHECK(fclose(f) == 0);
}

static void write_vocab(const char *dir, const char *name, int vocab) {
    FILE *f = create(dir, name);
    for (int i = 0; i < vocab - 1; i++) {
        char piece[32];
        piece_name(i, piece);
        fprintf(f, "%s\"%s\": %d", i ? ",\n" : "{", piece, i);
    }
    fprintf(f, ",\n\"<pad>\": %d}\n", vocab - 1);
    CHECK(fclose(f) == 0);
}

void tiny_marian_hf(const struct tiny_marian *t, const char *dir) {
    struct list *l = make_list(t);
    write_tensors(l, dir);
    write_config(t, dir);
    write_pieces(dir, "source.spm", t->vocab - 1);
    write_pieces(dir, "target.spm", t->decoder_vocab - 1);
    write_vocab(dir, "vocab.json", t->vocab);
    if (!t->tied_embeddings) {
        write_vocab(dir, "target_vocab.json", t->decoder_vocab);
    }
    free(l);
}

char *tiny_marian_dir(void) {
    const char *tmp = getenv("TMPDIR");
    char *dir = malloc(512);
    snprintf(dir, 512, "%s/marian-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    CHECK(mkdtemp(dir));
    return dir;
}

void tiny_marian_remove(char *dir) {
    DIR *d = opendir(dir);
    CHECK(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[1024];
        if (e->d_name[0] != '.') {
            snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
            remove(path);
        }
    }
    closedir(d);
    CHECK(rmdir(dir) == 0);
    free(dir);
}

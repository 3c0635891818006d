/* The models of tiny_marian.h as CTranslate2 has them: model.bin of version 6. */
#include "lib/tiny_marian.h"

#include "lib/test.h"
#include <math.h>
#include <stdarg.h>

enum { POSITIONS = 512, F32 = 0, I8 = 1, I16 = 2 };

static const struct tiny_marian shapes[] = {
    {64, 4, 128, 128, 2, 2, 400, 400, false, true, false, true, 2.5f, 3.0f, 13, 0, false},
    {64, 4, 128, 192, 3, 2, 420, 420, true, true, false, true, 2.5f, 2.5f, 6, 0, true},
    {96, 3, 160, 96, 2, 3, 500, 500, false, false, false, true, 2.5f, 1.5f, 12, 0, true},
};

const struct tiny_marian *tiny_ct2_shape(int i) {
    return i < (int)(sizeof(shapes) / sizeof(*shapes)) ? &shapes[i] : NULL;
}

struct ct2 {
    const struct tiny_marian *t;
    enum tiny_ct2_type type;
    FILE *f;
    uint32_t n;
};

static void put_u32(FILE *f, uint32_t v) {
    fwrite(&v, sizeof(v), 1, f);
}

static void put_text(FILE *f, const char *text) {
    const uint16_t n = (uint16_t)(strlen(text) + 1);
    fwrite(&n, sizeof(n), 1, f);
    fwrite(text, 1, n, f);
}

/* k 0: a vector, n 0 too: a number. */
static void put_variable(struct ct2 *c, const char *name, int64_t n, int64_t k, int type,
                         const void *data) {
    static const int bytes[] = {4, 1, 2};
    const int64_t count = (n ? n : 1) * (k ? k : 1);
    put_text(c->f, name);
    fputc((n > 0) + (k > 0), c->f);
    if (n) {
        put_u32(c->f, (uint32_t)n);
    }
    if (k) {
        put_u32(c->f, (uint32_t)k);
    }
    fputc(type, c->f);
    put_u32(c->f, (uint32_t)(count * bytes[type]));
    fwrite(data, (size_t)bytes[type], (size_t)count, c->f);
    c->n++;
}

/* ---- matrices ---------------------------------------------------------------------------------
 */

static float largest(const float *v, int64_t n) {
    float most = 0;
    for (int64_t i = 0; i < n; i++) {
        most = fmaxf(most, fabsf(v[i]));
    }
    return most;
}

/* One scale of 10 bits for all, or of 7 for each row; beside it, the scale. */
static void put_matrix(struct ct2 *c, const char *name, int64_t n, int64_t k, const float *v) {
    int16_t *i16 = malloc((size_t)(n * k) * sizeof(*i16));
    int8_t *i8 = malloc((size_t)(n * k));
    float *scales = malloc((size_t)n * sizeof(*scales));
    char beside[128];
    snprintf(beside, sizeof(beside), "%s_scale", name);
    for (int64_t r = 0; r < n; r++) {
        const float most = largest(v + r * k, k);
        scales[r] = 127.0f / (most > 0 ? most : 127.0f);
        for (int64_t j = r * k; j < (r + 1) * k; j++) {
            i8[j] = (int8_t)rintf(v[j] * scales[r]);
        }
    }
    if (c->type == TINY_CT2_F32) {
        put_variable(c, name, n, k, F32, v);
    } else if (c->type == TINY_CT2_I8) {
        put_variable(c, name, n, k, I8, i8);
        put_variable(c, beside, n, 0, F32, scales);
    } else {
        const float scale = 1024.0f / largest(v, n * k);
        for (int64_t j = 0; j < n * k; j++) {
            i16[j] = (int16_t)rintf(v[j] * scale);
        }
        put_variable(c, name, n, k, I16, i16);
        put_variable(c, beside, 0, 0, F32, &scale);
    }
    free(i16);
    free(i8);
    free(scales);
}

/* Rows of several tensors, one behind the other. */
static float *joined(const struct ct2 *c, const char *const *names, const char *kind,
                     int64_t *out_n) {
    float *all = NULL;
    int64_t n = 0, more;
    for (; *names; names++) {
        char full[128];
        snprintf(full, sizeof(full), "%s.%s", *names, kind);
        float *one = tiny_marian_values(c->t, full, &more);
        all = realloc(all, (size_t)(n + more) * sizeof(*all));
        memcpy(all + n, one, (size_t)more * sizeof(*all));
        n += more;
        free(one);
    }
    *out_n = n;
    return all;
}

/* ---- layers -----------------------------------------------------------------------------------
 */

static void put_linear(struct ct2 *c, const char *to, const char *prefix, const char *parts) {
    char names[3][96], name[96];
    const char *from[4] = {NULL};
    int64_t n, size;
    int count = 0;
    for (const char *p = parts; *p; p++) { /* letters of projections; else the prefix itself */
        if (*p == '.') {
            snprintf(names[count], sizeof(names[count]), "%s", prefix);
        } else {
            snprintf(names[count], sizeof(names[count]), "%s.%s_proj", prefix,
                     *p == 'o' ? "out" : (char[2]){*p, '\0'});
        }
        from[count] = names[count];
        count++;
    }
    float *bias = joined(c, from, "bias", &n), *weight = joined(c, from, "weight", &size);
    snprintf(name, sizeof(name), "%s/bias", to);
    put_variable(c, name, n, 0, F32, bias);
    snprintf(name, sizeof(name), "%s/weight", to);
    put_matrix(c, name, n, size / n, weight);
    free(bias);
    free(weight);
}

static void put_norm(struct ct2 *c, const char *to, const char *from) {
    static const char *const kinds[][2] = {{"beta", "bias"}, {"gamma", "weight"}};
    for (int i = 0; i < 2; i++) {
        char name[128];
        int64_t n;
        float *v = joined(c, (const char *const[]){from, NULL}, kinds[i][1], &n);
        snprintf(name, sizeof(name), "%s/%s", to, kinds[i][0]);
        put_variable(c, name, n, 0, F32, v);
        free(v);
    }
}

static void put_attention(struct ct2 *c, const char *layer, const char *prefix, bool cross) {
    char to[64], name[96], from[64];
    const char *block = cross ? "attention" : "self_attention";
    static const char *const own[] = {"qkv", "o", NULL}, *const other[] = {"q", "kv", "o", NULL};
    const char *const *parts = cross ? other : own;
    snprintf(from, sizeof(from), "%s.%s", prefix, cross ? "encoder_attn" : "self_attn");
    snprintf(to, sizeof(to), "%s/%s", layer, block);
    for (int i = 0; parts[i]; i++) {
        snprintf(name, sizeof(name), "%s/linear_%d", to, i);
        put_linear(c, name, from, parts[i]);
    }
    snprintf(name, sizeof(name), "%s/layer_norm", to);
    strcat(from, "_layer_norm");
    put_norm(c, name, from);
}

static void put_layer(struct ct2 *c, const char *side, int i) {
    char layer[32], prefix[64], to[64], from[96];
    snprintf(layer, sizeof(layer), "%s/layer_%d", side, i);
    snprintf(prefix, sizeof(prefix), "model.%s.layers.%d", side, i);
    put_attention(c, layer, prefix, false);
    if (strcmp(side, "decoder") == 0) {
        put_attention(c, layer, prefix, true);
    }
    for (int j = 0; j < 2; j++) {
        snprintf(to, sizeof(to), "%s/ffn/linear_%d", layer, j);
        snprintf(from, sizeof(from), "%s.fc%d", prefix, j + 1);
        put_linear(c, to, from, ".");
    }
    snprintf(to, sizeof(to), "%s/ffn/layer_norm", layer);
    snprintf(from, sizeof(from), "%s.final_layer_norm", prefix);
    put_norm(c, to, from);
}

/* ---- the rest ---------------------------------------------------------------------------------
 */

static void put_positions(struct ct2 *c, const char *side) {
    const int d = c->t->d;
    float *p = malloc((size_t)POSITIONS * (size_t)d * sizeof(*p));
    char name[64];
    for (int i = 0; i < POSITIONS; i++) {
        for (int j = 0; j < d / 2; j++) {
            const double angle = i / pow(10000, 2.0 * j / d);
            p[i * d + j] = (float)sin(angle);
            p[i * d + d / 2 + j] = (float)cos(angle);
        }
    }
    snprintf(name, sizeof(name), "%s/position_encodings/encodings", side);
    put_variable(c, name, POSITIONS, d, F32, p);
    free(p);
}

/* A table without its last row, the padding's. */
static void put_table(struct ct2 *c, const char *name, const char *from) {
    int64_t n;
    float *v = tiny_marian_values(c->t, from, &n);
    put_matrix(c, name, n / c->t->d - 1, c->t->d, v);
    free(v);
}

static void put_number(struct ct2 *c, const char *side, const char *what, int type, int value) {
    const int8_t i8 = (int8_t)value;
    const int16_t i16 = (int16_t)value;
    char name[64];
    snprintf(name, sizeof(name), "%s/%s", side, what);
    put_variable(c, name, 0, 0, type, type == I8 ? (const void *)&i8 : &i16);
}

static void put_side(struct ct2 *c, const char *side) {
    const struct tiny_marian *t = c->t;
    const bool decoder = strcmp(side, "decoder") == 0;
    const float scale = (float)sqrt(t->d);
    char name[64], from[64];
    for (int i = 0; i < (decoder ? t->decoder_layers : t->encoder_layers); i++) {
        put_layer(c, side, i);
    }
    if (t->pre_norm) {
        snprintf(name, sizeof(name), "%s/layer_norm", side);
        snprintf(from, sizeof(from), "model.%s.layer_norm", side);
        put_norm(c, name, from);
    }
    if (!decoder || !t->tied_embeddings) {
        snprintf(name, sizeof(name), "%s/embeddings%s/weight", side, decoder ? "" : "_0");
        snprintf(from, sizeof(from), "model.%s.embed_tokens.weight", side);
        put_table(c, name, t->tied_embeddings ? "model.shared.weight" : from);
    }
    if (!decoder) {
        put_positions(c, side);
    }
    put_number(c, side, "activation", I8, t->relu ? 0 : 2);
    put_number(c, side, decoder ? "alibi" : "multi_query_attention", I8, 0);
    put_number(c, side, "num_heads", I16, t->heads);
    put_number(c, side, "pre_norm", I8, t->pre_norm);
    snprintf(name, sizeof(name), "%s/scale_embeddings", side);
    put_variable(c, name, 0, 0, F32, &scale);
}

static void put_output(struct ct2 *c) {
    int64_t n;
    float *bias = tiny_marian_values(c->t, "final_logits_bias", &n);
    put_number(c, "decoder", "start_from_zero_embedding", I8, 1);
    put_variable(c, "decoder/projection/bias", n - 1, 0, F32, bias);
    put_table(c, "decoder/projection/weight", "lm_head.weight");
    free(bias);
}

static FILE *create(const char *dir, const char *name) {
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    CHECK(f);
    return f;
}

static void write_words(const struct tiny_marian *t, const char *dir) {
    FILE *f = create(dir, "shared_vocabulary.json");
    fprintf(f, "[\"</s>\", \"<unk>\"");
    for (int i = 2; i < t->vocab - 1; i++) {
        fprintf(f, ", \"w%d\"", i);
    }
    fprintf(f, "]\n");
    CHECK(fclose(f) == 0);
}

void tiny_marian_ct2(const struct tiny_marian *t, enum tiny_ct2_type type, const char *dir) {
    struct ct2 c = {.t = t, .type = type, .f = create(dir, "model.bin")};
    CHECK(!t->tied_output);
    put_u32(c.f, 6);
    put_text(c.f, "TransformerSpec");
    put_u32(c.f, 7);
    const long count = ftell(c.f);
    put_u32(c.f, 0);
    put_side(&c, "encoder");
    put_side(&c, "decoder");
    put_output(&c);
    put_u32(c.f, 1 + t->tied_embeddings); /* aliases */
    put_text(c.f, "decoder/position_encodings/encodings");
    put_text(c.f, "encoder/position_encodings/encodings");
    if (t->tied_embeddings) {
        put_text(c.f, "decoder/embeddings/weight");
        put_text(c.f, "encoder/embeddings_0/weight");
    }
    CHECK(fseek(c.f, count, SEEK_SET) == 0);
    put_u32(c.f, c.n);
    CHECK(fclose(c.f) == 0);
    FILE *f = create(dir, "config.json");
    fprintf(f, "{\"unk_token\": \"<unk>\", \"bos_token\": \"<s>\", \"eos_token\": \"</s>\",\n"
               " \"decoder_start_token\": \"</s>\", \"layer_norm_epsilon\": null}\n");
    CHECK(fclose(f) == 0);
    write_words(t, dir);
}

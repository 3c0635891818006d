/* Folders of Marian's own models made here (.bin of f32 and int8, .npz), Hugging Face and
 * CTranslate2 ones: one configuration, one naming, one orientation; and what is refused. */
#include "base/alloc.h"
#include "lib/files.h"
#include "lib/marian_bytes.h"
#include "lib/zip_bytes.h"
#include "marian/marian_files.h"

enum { D = 4, FFN = 6, VOCAB = 8, MOST = 64 };
enum kind { BIN8, BIN32, NPZ };

/* A tiny student as it is written. */
struct model {
    enum kind kind;
    struct bin bin;
    struct zip zip;
    const char *leave_out; /* a tensor's name */
    const char *yml;
};

static const char student_yml[] =
    "type: transformer\ndec-cell: ssru\ndec-depth: 1\nenc-depth: 1\ndim-emb: 4\n"
    "transformer-decoder-autoreg: rnn\ntransformer-dim-ffn: 6\ntransformer-ffn-activation: relu\n"
    "transformer-ffn-depth: 2\ntransformer-heads: 2\ntransformer-postprocess: dan\n"
    "transformer-postprocess-emb: d\ntransformer-preprocess: \"\"\ntransformer-tied-layers: []\n"
    "input-types: []\ntied-embeddings-all: true\ndim-vocabs:\n  - 8\n  - 8\n";

/* Element [row of n, column of k] of a matrix, a small integer. */
static int value(const char *name, int n, int k) {
    return ((int)strlen(name) * 31 + n * 7 + k * 3) % 255 - 127;
}

static void put_matrix(struct model *m, const char *name, int k, int n, bool embedding) {
    int8_t q[MOST];
    float f[MOST];
    if (m->leave_out && strcmp(name, m->leave_out) == 0) {
        return;
    }
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < k; j++) {
            q[i * k + j] = (int8_t)value(name, i, j);
            /* f32: [k, n], but embeddings [n, k]; values as int8 with scale 8 has them */
            f[embedding ? i * k + j : j * n + i] = (float)value(name, i, j) * 0.125F;
        }
    }
    int rows = embedding ? n : k, cols = embedding ? k : n;
    char shape[32], alpha[64];
    float a = 3;
    switch (m->kind) {
    case BIN8:
        bin_int8(&m->bin, name, rows, cols, q, 8);
        snprintf(alpha, sizeof(alpha), "%s_QuantMultA", embedding ? "none" : name);
        bin_item(&m->bin, alpha, BIN_F32, 1, 1, &a, sizeof(a));
        break;
    case BIN32:
        bin_item(&m->bin, name, BIN_F32, rows, cols, f, sizeof(float) * (size_t)(n * k));
        break;
    case NPZ:
        snprintf(shape, sizeof(shape), "(%d, %d)", rows, cols);
        zip_array(&m->zip, name, "<f4", shape, f, sizeof(float) * (size_t)(n * k));
    }
}

static void put_vector(struct model *m, const char *name, int n) {
    float f[MOST];
    char shape[32];
    if (m->leave_out && strcmp(name, m->leave_out) == 0) {
        return;
    }
    for (int i = 0; i < n; i++) {
        f[i] = (float)value(name, 0, i);
    }
    snprintf(shape, sizeof(shape), "(1, %d)", n);
    if (m->kind == NPZ) {
        zip_array(&m->zip, name, "<f4", shape, f, sizeof(float) * (size_t)n);
    } else {
        bin_item(&m->bin, name, BIN_F32, 1, n, f, sizeof(float) * (size_t)n);
    }
}

/* PREFIX_W<s> and PREFIX_b<s> for each letter s. */
static void put_block(struct model *m, const char *prefix, const char *letters) {
    char name[64];
    for (const char *s = letters; *s; s++) {
        snprintf(name, sizeof(name), "%s_W%c", prefix, *s);
        put_matrix(m, name, D, D, false);
        snprintf(name, sizeof(name), "%s_b%c", prefix, *s);
        put_vector(m, name, D);
    }
}

static void put_norm(struct model *m, const char *prefix) {
    char name[64];
    snprintf(name, sizeof(name), "%s_ln_scale", prefix);
    put_vector(m, name, D);
    snprintf(name, sizeof(name), "%s_ln_bias", prefix);
    put_vector(m, name, D);
}

static void put_ffn(struct model *m, const char *part) {
    char name[64];
    snprintf(name, sizeof(name), "%s_l1_ffn_W1", part);
    put_matrix(m, name, D, FFN, false);
    snprintf(name, sizeof(name), "%s_l1_ffn_b1", part);
    put_vector(m, name, FFN);
    snprintf(name, sizeof(name), "%s_l1_ffn_W2", part);
    put_matrix(m, name, FFN, D, false);
    snprintf(name, sizeof(name), "%s_l1_ffn_b2", part);
    put_vector(m, name, D);
    snprintf(name, sizeof(name), "%s_l1_ffn_ffn", part);
    put_norm(m, name);
}

static void write_model(struct model *m, const struct test_dir *dir, const char *name) {
    put_matrix(m, "Wemb", D, VOCAB, true);
    put_vector(m, "decoder_ff_logit_out_b", VOCAB);
    put_block(m, "encoder_l1_self", "qkvo");
    put_norm(m, "encoder_l1_self_Wo");
    put_ffn(m, "encoder");
    put_matrix(m, "decoder_l1_rnn_W", D, D, false);
    put_block(m, "decoder_l1_rnn", "f");
    put_norm(m, "decoder_l1_rnn_ffn");
    put_block(m, "decoder_l1_context", "qkvo");
    put_norm(m, "decoder_l1_context_Wo");
    put_ffn(m, "decoder");
    const char *yml = m->yml ? m->yml : student_yml;
    size_t n = strlen(yml) + 1;
    if (m->kind == NPZ) {
        char shape[32];
        snprintf(shape, sizeof(shape), "(%zu,)", n);
        zip_array(&m->zip, "special:model.yml", "|i1", shape, yml, n);
        zip_finish(&m->zip);
        test_dir_write(dir, name, m->zip.out.data, m->zip.out.size);
        bth_str_finish(&m->zip.out);
    } else {
        struct bth_str out = {0};
        bin_item(&m->bin, "special:model.yml", BIN_I8, 0, (int)n, yml, n);
        bin_finish(&m->bin, &out);
        test_dir_write(dir, name, out.data, out.size);
        bth_str_finish(&out);
    }
}

static void write_text(const struct test_dir *dir, const char *name, const char *text) {
    test_dir_write(dir, name, text, strlen(text));
}

static void check_matrix(const struct marian_files *f, const char *name, const char *native, int n,
                         int k) {
    struct marian_tensor t;
    struct berth_error err;
    float out[MOST];
    CHECK_OK(marian_files_tensor(f, name, n, k, &t, &err), err);
    CHECK(t.n == n && t.k == k);
    marian_tensor_to_f32(&t, out);
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < k; j++) {
            CHECK(out[i * k + j] == (float)value(native, i, j) * 0.125F);
        }
    }
    float row[MOST];
    marian_tensor_rows_to_f32(&t, n - 1, 1, row);
    CHECK(memcmp(row, out + (n - 1) * k, sizeof(float) * (size_t)k) == 0);
    bool int8 = f->config.int8 != MARIAN_INT8_NONE;
    CHECK(t.quant == (int8 ? MARIAN_SCALE_ONE : MARIAN_PLAIN));
    CHECK(t.alpha == (int8 ? 3 : 0));
    CHECK(marian_tensor_scale(&t, n - 1) == (int8 ? 8 : 1));
    marian_tensor_release(&t);
}

static void check_student(const struct marian_files *f) {
    const struct marian_config *c = &f->config;
    CHECK(c->d == D && c->encoder_ffn == FFN && c->decoder_ffn == FFN && c->encoder_heads == 2);
    CHECK(c->encoder_layers == 1 && c->decoder_layers == 1 && c->source_vocab == VOCAB);
    CHECK(c->decoder == MARIAN_DECODER_SSRU && c->activation == MARIAN_ACT_RELU);
    CHECK(!c->pre_norm && !c->final_norm && c->tied_embeddings && c->tied_output);
    CHECK(c->pos_kind == MARIAN_POS_MARIAN && c->ln_eps == 1e-6F && c->embedding_scale == 2);
    CHECK(c->start_from_zero && c->start == -1 && c->suppress_unk);
    check_matrix(f, "model.encoder.layers.0.self_attn.q_proj.weight", "encoder_l1_self_Wq", D, D);
    check_matrix(f, "model.encoder.layers.0.fc1.weight", "encoder_l1_ffn_W1", FFN, D);
    check_matrix(f, "model.decoder.layers.0.fc2.weight", "decoder_l1_ffn_W2", D, FFN);
    check_matrix(f, "model.decoder.layers.0.ssru.weight", "decoder_l1_rnn_W", D, D);
    check_matrix(f, "model.decoder.layers.0.ssru.gate.weight", "decoder_l1_rnn_Wf", D, D);
    check_matrix(f, "model.decoder.layers.0.encoder_attn.out_proj.weight", "decoder_l1_context_Wo",
                 D, D);
    check_matrix(f, "lm_head.weight", "Wemb", VOCAB, D);
    struct marian_tensor a, b;
    struct berth_error err;
    CHECK_OK(marian_files_tensor(f, "model.encoder.embed_tokens.weight", 0, 0, &a, &err), err);
    CHECK_OK(marian_files_tensor(f, "model.decoder.embed_tokens.weight", 0, 0, &b, &err), err);
    CHECK(a.data == b.data && !a.owned); /* one matrix, where it lies */
    CHECK_OK(marian_files_tensor(f, "model.decoder.layers.0.ssru_layer_norm.bias", 1, D, &a, &err),
             err);
    CHECK_OK(marian_files_tensor(f, "final_logits_bias", 1, VOCAB, &a, &err), err);
    CHECK_INT(marian_files_tensor(f, "model.decoder.layers.0.ssru.bias", 0, 0, &a, &err),
              BERTH_ENOTFOUND);
    CHECK_INT(marian_files_tensor(f, "model.decoder.layers.0.fc1.weight", D, FFN, &a, &err),
              BERTH_EFORMAT);
    CHECK_INT(marian_files_tensor(f, "model.encoder.layers.1.fc1.weight", 0, 0, &a, &err),
              BERTH_ENOTFOUND);
}

static void test_native(void) {
    static const char *const names[] = {"model.ende.intgemm.alphas.bin", "model.ende.bin",
                                        "model.npz"};
    static const char *const formats[] = {"bergamot", "marian", "npz"};
    for (int kind = BIN8; kind <= NPZ; kind++) {
        struct test_dir dir;
        struct model m = {.kind = (enum kind)kind};
        struct marian_files f;
        struct berth_error err;
        char text[512], path[512];
        test_dir_open(&dir);
        write_model(&m, &dir, names[kind]);
        write_text(&dir, "vocab.ende.spm", "");
        write_text(&dir, "lex.50.50.ende.s2t.bin", "");
        snprintf(text, sizeof(text),
                 "relative-paths: true\nmodels: [/elsewhere/%s]\nvocabs:\n  - vocab.ende.spm\n"
                 "  - vocab.ende.spm\nshortlist:\n    - lex.50.50.ende.s2t.bin\n    - false\n"
                 "beam-size: 3\nnormalize: 0.6\nmax-length-factor: 2.5\nskip-cost: true\n"
                 "gemm-precision: int8shiftAlphaAll\n",
                 names[kind]);
        write_text(&dir, "config.yml", text);
        for (int file = 0; file < 2; file++) { /* the folder, and the file in it */
            CHECK_OK(marian_files_open(&f, file ? test_dir_path(&dir, names[kind], path) : dir.path,
                                       &err),
                     err);
            check_student(&f);
            CHECK_STR(marian_files_format(&f), formats[kind]);
            CHECK(f.config.int8 == (kind == BIN8 ? MARIAN_INT8_SHIFT_ALPHA : MARIAN_INT8_NONE));
            CHECK(f.config.num_beams == 3 && f.config.max_length_factor == 2.5F);
            CHECK(f.config.length_penalty == 0.6F && f.config.skip_cost);
            CHECK(f.config.shared_vocab);
            CHECK(strstr(f.paths[0], "/vocab.ende.spm") && strcmp(f.paths[0], f.paths[1]) == 0);
            CHECK(strstr(f.paths[2], "/lex.50.50.ende.s2t.bin"));
            marian_files_close(&f);
        }
        test_dir_close(&dir);
    }
}

/* Without a .yml names tell what files are. */
static void test_no_yml(void) {
    struct test_dir dir;
    struct model m = {.kind = BIN8};
    struct marian_files f;
    struct berth_error err;
    test_dir_open(&dir);
    write_model(&m, &dir, "model.enzh.intgemm.alphas.bin");
    write_text(&dir, "srcvocab.enzh.spm", "");
    write_text(&dir, "trgvocab.enzh.spm", "");
    CHECK_OK(marian_files_open(&f, dir.path, &err), err);
    CHECK(strstr(f.paths[0], "srcvocab") && strstr(f.paths[1], "trgvocab") && !f.paths[2]);
    CHECK(!f.config.shared_vocab && f.config.num_beams == 1 && f.config.max_length_factor == 2);
    marian_files_close(&f);
    test_dir_close(&dir);
}

static void refuse(struct model *m, const char *config, int code, const char *words) {
    struct test_dir dir;
    struct marian_files f;
    struct berth_error err;
    test_dir_open(&dir);
    write_model(m, &dir, "model.xx.bin");
    if (config) {
        write_text(&dir, "decoder.yml", config);
    }
    CHECK_INT(marian_files_open(&f, dir.path, &err), code);
    if (!strstr(err.message, words)) {
        TEST_FAIL("%s does not say %s", err.message, words);
    }
    CHECK(!f.source && !f.dir);
    test_dir_close(&dir);
}

static void test_refusals(void) {
    refuse(&(struct model){.kind = BIN8, .leave_out = "decoder_l1_context_Wv"}, NULL, BERTH_EFORMAT,
           "encoder_attn.v_proj.weight is missing");
    refuse(&(struct model){.kind = BIN8, .leave_out = "encoder_l1_ffn_ffn_ln_bias"}, NULL,
           BERTH_EFORMAT, "final_layer_norm.bias is missing");
    refuse(&(struct model){.kind = BIN32, .leave_out = "Wemb"}, NULL, BERTH_EFORMAT,
           "encoder_Wemb is missing");
    refuse(&(struct model){.kind = BIN8}, "models: [model.xx.bin]\nvocabs: [v.spm, v.spm]\n",
           BERTH_EFORMAT, "v.spm, which the .yml names, is not there");
    refuse(&(struct model){.kind = BIN8}, "models: [model.xx.bin]\nbeam-size: 0\n", BERTH_EFORMAT,
           "beam-size 0");
    refuse(&(struct model){.kind = BIN8, .yml = "type: s2s\n"}, NULL, BERTH_EFORMAT,
           "type s2s is not read");
    refuse(&(struct model){.kind = BIN8,
                           .yml = "type: transformer\ntransformer-heads: 3\n"
                                  "dec-cell: ssru\n"
                                  "transformer-decoder-autoreg: rnn\n"},
           NULL, BERTH_EFORMAT, "3 heads");
    refuse(&(struct model){.kind = BIN8, .yml = "a: [1\n"}, NULL, BERTH_EFORMAT, "model.yml");
    struct marian_files f;
    struct berth_error err;
    struct test_dir dir;
    test_dir_open(&dir);
    CHECK_INT(marian_files_open(&f, dir.path, &err), BERTH_ENOTFOUND);
    write_text(&dir, "config.json", "{\"model_type\": \"bert\"}");
    CHECK_INT(marian_files_open(&f, dir.path, &err), BERTH_ENOTFOUND);
    write_text(&dir, "config.json", "{\"model_type\": \"marian\"}");
    CHECK_INT(marian_files_open(&f, dir.path, &err), BERTH_ENOTFOUND); /* no weights */
    CHECK_INT(marian_files_open(&f, "/nonexistent", &err), BERTH_ENOTFOUND);
    test_dir_close(&dir);
}

static void test_ct2(void) {
    static const struct {
        const char *name;
        enum berth_dtype dtype;
        enum marian_scale quant;
        float first; /* of the query's weights of layer 0, exact for f32 */
    } types[] = {{"aren-transliteration", BERTH_F32, MARIAN_PLAIN, 0.0615219F},
                 {"aren-transliteration-i16", BERTH_I16, MARIAN_SCALE_ONE, 0.061F},
                 {"aren-transliteration-i8", BERTH_I8, MARIAN_SCALE_PER_ROW, 0.0597825F}};
    for (size_t i = 0; i < 3; i++) {
        char path[512];
        struct marian_files f;
        struct marian_tensor q, v, whole;
        struct berth_error err;
        float out[32 * 32];
        snprintf(path, sizeof(path), BTH_TEST_DATA "/data/ct2/%s", types[i].name);
        CHECK_OK(marian_files_open(&f, path, &err), err);
        CHECK(f.config.pre_norm && f.config.final_norm && f.config.encoder_layers == 6);
        CHECK(f.config.source_vocab == 51 && f.config.target_vocab == 43);
        CHECK(f.config.pos_kind == MARIAN_POS_ONMT_TF && !f.config.tied_output);
        CHECK_OK(marian_files_tensor(&f, "model.encoder.layers.0.self_attn.q_proj.weight", 32, 32,
                                     &q, &err),
                 err);
        CHECK_OK(marian_files_tensor(&f, "model.encoder.layers.0.self_attn.v_proj.weight", 32, 32,
                                     &v, &err),
                 err);
        CHECK(q.dtype == types[i].dtype && q.quant == types[i].quant);
        size_t width = types[i].dtype == BERTH_F32 ? 4 : types[i].dtype == BERTH_I16 ? 2 : 1;
        CHECK((const char *)v.data == (const char *)q.data + 64 * 32 * width); /* rows of one */
        marian_tensor_to_f32(&q, out);
        CHECK_NEAR(out[0], types[i].first, 1e-6);
        CHECK_OK(marian_files_tensor(&f, "model.decoder.layers.5.encoder_attn.v_proj.bias", 1, 32,
                                     &whole, &err),
                 err);
        marian_files_close(&f);
    }
}

/* A variable of a CTranslate2 file of version 1: values count up. */
static void put_old(struct bth_str *s, const char *scope, const char *name, int rows, int cols,
                    int *n) {
    char full[128];
    snprintf(full, sizeof(full), "transformer/%s/%s:0", scope, name);
    put_int(s, strlen(full) + 1, 2);
    bth_str_append(s, full, strlen(full) + 1);
    put_int(s, rows ? 2 : 1, 1);
    if (rows) {
        put_int(s, (uint64_t)rows, 4);
    }
    put_int(s, (uint64_t)cols, 4);
    put_int(s, 4, 1); /* f32 by its size */
    int count = cols * (rows ? rows : 1);
    put_int(s, (uint64_t)count, 4);
    for (int i = 0; i < count; i++) {
        float v = (float)i;
        bth_str_append(s, &v, sizeof(v));
    }
    ++*n;
}

static void put_old_block(struct bth_str *s, const char *scope, const char *block,
                          const int (*dims)[2], int n_dims, int *n) {
    char name[96];
    for (int i = 0; i < n_dims; i++) {
        char number[16] = "";
        if (i) {
            snprintf(number, sizeof(number), "_%d", i);
        }
        snprintf(name, sizeof(name), "%s/conv1d%s/kernel", block, number);
        put_old(s, scope, name, dims[i][0], dims[i][1], n);
        snprintf(name, sizeof(name), "%s/conv1d%s/bias", block, number);
        put_old(s, scope, name, 0, dims[i][0], n);
    }
    const char *slash = *block ? "/" : "";
    snprintf(name, sizeof(name), "%s%sLayerNorm/gamma", block, slash);
    put_old(s, scope, name, 0, 8, n);
    snprintf(name, sizeof(name), "%s%sLayerNorm/beta", block, slash);
    put_old(s, scope, name, 0, 8, n);
}

/* Version 1 has OpenNMT-tf's names and no spec. */
static void test_ct2_old(void) {
    static const int self[][2] = {{24, 8}, {8, 8}}, cross[][2] = {{8, 8}, {16, 8}, {8, 8}},
                     ffn[][2] = {{12, 8}, {8, 12}};
    struct bth_str body = {0}, file = {0};
    int n = 0;
    put_old(&body, "encoder", "w_embs", 5, 8, &n);
    put_old_block(&body, "encoder", "layer_0/multi_head", self, 2, &n);
    put_old_block(&body, "encoder", "layer_0/ffn", ffn, 2, &n);
    put_old_block(&body, "encoder", "", NULL, 0, &n); /* the norm on top */
    put_old(&body, "decoder", "w_embs", 6, 8, &n);
    put_old_block(&body, "decoder", "layer_0/masked_multi_head", self, 2, &n);
    put_old_block(&body, "decoder", "layer_0/multi_head", cross, 3, &n);
    put_old_block(&body, "decoder", "layer_0/ffn", ffn, 2, &n);
    put_old_block(&body, "decoder", "", NULL, 0, &n);
    put_old(&body, "decoder", "dense/kernel", 6, 8, &n);
    put_old(&body, "decoder", "dense/bias", 0, 6, &n);
    put_int(&file, 1, 4);
    put_int(&file, (uint64_t)n, 4);
    bth_str_append(&file, body.data, body.size);
    struct test_dir dir;
    struct marian_files f;
    struct marian_tensor t;
    struct berth_error err;
    float v[64];
    test_dir_open(&dir);
    test_dir_write(&dir, "model.bin", file.data, file.size);
    CHECK_OK(marian_files_open(&f, dir.path, &err), err);
    CHECK(f.config.d == 8 && f.config.encoder_ffn == 12 && f.config.decoder_layers == 1);
    CHECK(f.config.source_vocab == 5 && f.config.target_vocab == 6 && f.config.final_norm);
    CHECK_OK(marian_files_tensor(&f, "model.decoder.layers.0.encoder_attn.v_proj.weight", 8, 8, &t,
                                 &err),
             err);
    marian_tensor_to_f32(&t, v);
    CHECK(v[0] == 64); /* the second half */
    CHECK_OK(
        marian_files_tensor(&f, "model.decoder.layers.0.self_attn.k_proj.bias", 1, 8, &t, &err),
        err);
    marian_tensor_to_f32(&t, v);
    CHECK(v[0] == 8);
    marian_files_close(&f);
    test_dir_close(&dir);
    bth_str_finish(&body);
    bth_str_finish(&file);
}

static void test_no_memory(void) {
    struct test_dir dir;
    struct model m = {.kind = BIN8};
    test_dir_open(&dir);
    write_model(&m, &dir, "model.xx.bin");
    write_text(&dir, "decoder.yml", "models: [model.xx.bin]\nbeam-size: 2\n");
    for (int64_t n = 1;; n++) {
        struct marian_files f;
        struct berth_error err;
        bth_alloc_fail_at(n);
        int rc = marian_files_open(&f, dir.path, &err);
        bool fired = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK_INT(rc, fired ? BERTH_ENOMEM : 0);
        if (rc == 0) {
            marian_files_close(&f);
            break;
        }
    }
    test_dir_close(&dir);
}

int main(void) {
    test_native();
    test_no_yml();
    test_refusals();
    test_ct2();
    test_ct2_old();
    test_no_memory();
    CHECK_INT(bth_alloc_live(), 0);
    return 0;
}

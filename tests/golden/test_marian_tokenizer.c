/*
 * MarianTokenizer's ids and texts of odd strings, as tools/golden_marian_tokenizer.py wrote them,
 * must come out the same. Without arguments the small tokenizer of the tree; with DIR GOLDEN
 * others.
 */
#include "base/alloc.h"
#include "lib/test.h"
#include "marian/marian_vocab.h"
#include <jansson.h>

static int failures;

/* Only what a vocabulary needs of a model: the tokenizer's files come without weights. */
static struct marian_vocab *open_vocab(const char *dir, int64_t size) {
    char vocab[512];
    snprintf(vocab, sizeof(vocab), "%s/vocab.json", dir);
    struct marian_files f = {.format = MARIAN_HF,
                             .dir = (char *)dir,
                             .paths = {vocab},
                             .tokens = {.unk = "<unk>", .eos = "</s>", .pad = "<pad>"},
                             .config = {.source_vocab = size,
                                        .target_vocab = size,
                                        .eos = MARIAN_ID_OF_VOCAB,
                                        .unk = MARIAN_ID_OF_VOCAB,
                                        .start = (int32_t)size - 1,
                                        .source_bos = -1}};
    struct marian_vocab *v;
    struct berth_error err;
    CHECK_OK(marian_vocab_open(&f, &v, &err), err);
    CHECK_INT(f.config.eos, marian_vocab_target_id(v, "</s>"));
    return v;
}

static void differ(const char *what, const json_t *c, const char *have) {
    char *text = json_dumps(c, JSON_COMPACT);
    if (failures++ < 20) {
        fprintf(stderr, "%s differs: %s\n  of %s\n", what, have, text);
    }
    free(text);
}

typedef int encode_fn(const struct marian_vocab *v, const char *text, size_t n, int flags,
                      struct marian_token **out, size_t *out_n, struct berth_error *err);

static void check_ids(const struct marian_vocab *v, const json_t *c, const char *key,
                      encode_fn *encode) {
    const json_t *text = json_object_get(c, "text"), *ids = json_object_get(c, key);
    struct marian_token *tokens;
    struct berth_error err;
    size_t n, size = json_string_length(text);
    CHECK_OK(encode(v, json_string_value(text), size, MARIAN_ENCODE_SPECIAL | MARIAN_ENCODE_PREFIX,
                    &tokens, &n, &err),
             err);
    bool same = n == json_array_size(ids);
    for (size_t i = 0; i < n; i++) {
        same = same && json_integer_value(json_array_get(ids, i)) == tokens[i].id;
        CHECK(tokens[i].begin <= tokens[i].end && tokens[i].end <= size);
        CHECK(i == 0 || tokens[i - 1].end <= tokens[i].begin);
    }
    if (!same) {
        char have[400] = "";
        for (size_t i = 0; i < n && strlen(have) < 380; i++) {
            snprintf(have + strlen(have), sizeof(have) - strlen(have), "%d ", tokens[i].id);
        }
        differ(key, c, have);
    }
    bth_free(tokens);
}

static void check_text(const struct marian_vocab *v, const json_t *c, const char *key, int flags) {
    const json_t *list = json_object_get(c, "ids"), *want = json_object_get(c, key);
    size_t n = json_array_size(list);
    int32_t ids[4096];
    uint32_t ends[4096];
    CHECK(n <= 4096);
    for (size_t i = 0; i < n; i++) {
        ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    }
    struct bth_str out = {0};
    struct berth_error err;
    CHECK_OK(marian_vocab_decode(v, ids, n, flags, &out, ends, &err), err);
    for (size_t i = 0; i < n; i++) {
        CHECK(ends[i] <= out.size && (i == 0 || ends[i - 1] <= ends[i]));
    }
    if (out.size != json_string_length(want) ||
        memcmp(bth_str_text(&out), json_string_value(want), out.size) != 0) {
        differ(key, c, bth_str_text(&out));
    }
    bth_str_finish(&out);
}

int main(int argc, char **argv) {
    const char *dir = argc == 3 ? argv[1] : BTH_TEST_DATA "/data/marian_tokenizer";
    const char *path = argc == 3 ? argv[2] : BTH_TEST_DATA "/golden/marian_tokenizer.json";
    json_error_t why;
    json_t *golden = json_load_file(path, JSON_ALLOW_NUL, &why);
    if (!golden) {
        TEST_FAIL("%s: %s", path, why.text);
    }
    struct marian_vocab *v = open_vocab(dir, json_integer_value(json_object_get(golden, "size")));
    const json_t *c;
    size_t i;
    json_array_foreach(json_object_get(golden, "cases"), i, c) {
        if (json_object_get(c, "text")) {
            check_ids(v, c, "ids", marian_vocab_encode);
            check_ids(v, c, "target_ids", marian_vocab_encode_target);
        }
        check_text(v, c, "skipped", 0);
        check_text(v, c, "kept", MARIAN_DECODE_KEEP_SPECIAL);
        check_text(v, c, "clean", MARIAN_DECODE_CLEAN_UP);
    }
    CHECK(i > 100);
    printf("%zu cases, %d differ\n", i, failures);
    CHECK_INT(failures, 0);
    marian_vocab_close(v);
    json_decref(golden);
    CHECK_INT(bth_alloc_live(), 0);
    return 0;
}

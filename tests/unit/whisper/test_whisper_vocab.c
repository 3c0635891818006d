/* Special ids, languages, suppressed symbols and decoding, against openai-whisper 20250625. */
#include "base/alloc.h"
#include "lib/test.h"
#include "lib/tiny_whisper.h"
#include "whisper/whisper_vocab.h"

static const int32_t english[] = {
    1,     2,     7,     8,     9,     10,    14,    25,    26,    27,    28,    29,
    31,    58,    59,    60,    61,    62,    63,    90,    91,    92,    93,    357,
    366,   438,   532,   685,   705,   796,   930,   1058,  1220,  1267,  1279,  1303,
    1343,  1377,  1391,  1635,  1782,  1875,  2162,  2361,  2488,  3467,  4008,  4211,
    4600,  4808,  5299,  5855,  6329,  7203,  9609,  9959,  10563, 10786, 11420, 11709,
    11907, 13163, 13697, 13700, 14808, 15306, 16410, 16791, 17992, 19203, 19510, 20724,
    22305, 22935, 27007, 30109, 30420, 33409, 34949, 40283, 40493, 40549, 47282, 49146};
static const int32_t multilingual[] = {
    1,     2,     7,     8,     9,     10,    14,    25,    26,    27,    28,    29,
    31,    58,    59,    60,    61,    62,    63,    90,    91,    92,    93,    359,
    503,   522,   542,   873,   893,   902,   918,   922,   931,   1350,  1853,  1982,
    2460,  2627,  3246,  3253,  3268,  3536,  3846,  3961,  4183,  4667,  6585,  6647,
    7273,  9061,  9383,  10428, 10929, 11938, 12033, 12331, 12562, 13793, 14157, 14635,
    15265, 15618, 16553, 16604, 18362, 18956, 20075, 21675, 22520, 26130, 26161, 26435,
    28279, 29464, 31650, 32302, 32470, 36865, 42863, 47425, 49870, 50254};

static void layouts(void) {
    static const struct {
        int32_t size, languages, eot, translate, transcribe, prev, nospeech, notimestamps, first;
    } all[] = {
        {51864, 99, 50256, 50357, 50358, 50360, 50361, 50362, 50363},
        {51865, 99, 50257, 50358, 50359, 50361, 50362, 50363, 50364},
        {51866, 100, 50257, 50359, 50360, 50362, 50363, 50364, 50365},
    };
    struct whisper_vocab v;
    struct berth_error err;
    for (size_t i = 0; i < 3; i++) {
        CHECK_OK(whisper_vocab_layout(&v, all[i].size, &err), err);
        CHECK_INT(v.multilingual, i > 0);
        CHECK_INT(v.n_languages, all[i].languages);
        CHECK_INT(v.eot, all[i].eot);
        CHECK_INT(v.sot, all[i].eot + 1);
        CHECK_INT(v.language0, all[i].eot + 2);
        CHECK_INT(v.translate, all[i].translate);
        CHECK_INT(v.transcribe, all[i].transcribe);
        CHECK_INT(v.startofprev, all[i].prev);
        CHECK_INT(v.nospeech, all[i].nospeech);
        CHECK_INT(v.notimestamps, all[i].notimestamps);
        CHECK_INT(v.timestamp0, all[i].first);
        CHECK_INT(v.timestamp0 + 1501, v.size);
    }
    CHECK_INT(whisper_vocab_layout(&v, 50257, &err), BERTH_EFORMAT);
    CHECK_INT(whisper_vocab_layout(&v, 51867, &err), BERTH_EFORMAT);
    CHECK_STR(whisper_language_code(99), "yue");
    CHECK(whisper_language_code(100) == NULL);
    CHECK_INT(whisper_language_index("haw"), 93);
    CHECK_INT(whisper_language_index("Haitian Creole"), whisper_language_index("ht"));
    CHECK_INT(whisper_language_index("moldovan"), whisper_language_index("ro"));
    CHECK_INT(whisper_language_index(""), -1);
}

static void symbols(const struct whisper_vocab *v, const int32_t *list, size_t n) {
    uint32_t mask[(51866 + 31) / 32] = {0};
    struct berth_error err;
    size_t found = 0;
    CHECK_OK(whisper_vocab_suppress_symbols(v, mask, &err), err);
    for (int32_t id = 0; id < v->size; id++) {
        if (mask[id / 32] >> (id % 32) & 1) {
            CHECK(found < n);
            CHECK_INT(id, list[found]);
            found++;
        }
    }
    CHECK_INT(found, n);
}

static void decoded(const struct whisper_vocab *v, const int32_t *ids, size_t n, int32_t limit,
                    const char *expected) {
    struct bth_str s = {0};
    whisper_vocab_decode(v, ids, n, limit, &s);
    CHECK_STR(bth_str_text(&s), expected);
    bth_str_finish(&s);
}

static void decoding(const struct whisper_vocab *v) {
    const int32_t americans[] = {50364, 400, 370, 452, 7177, 6280, 50500, -5, 60000};
    const int32_t japanese[] = {38088, 24486};
    const int32_t marks[] = {50258, 50259, 50359, 400, 50362, 50363, 50257};
    decoded(v, americans, 9, v->timestamp0, " And so my fellow Americans");
    decoded(v, japanese, 2, v->eot, "こんにちは世界");
    decoded(v, marks, 7, v->timestamp0,
            "<|startoftranscript|><|en|><|transcribe|> And<|nospeech|><|notimestamps|>"
            "<|endoftext|>");
    decoded(v, marks, 7, v->eot, " And");
    decoded(v, NULL, 0, v->eot, "");
}

static void prompts(const struct whisper_vocab *v) {
    static const int32_t expected[] = {324, 1913};
    static const char *const texts[] = {"hallo", "  hallo\n", "\xE3\x80\x80hallo\x1C"};
    struct berth_error err;
    int32_t *ids;
    size_t n;
    for (size_t i = 0; i < 3; i++) {
        CHECK_OK(whisper_vocab_encode_prompt(v, texts[i], &ids, &n, &err), err);
        CHECK_INT(n, 2);
        CHECK(memcmp(ids, expected, sizeof(expected)) == 0);
        bth_free(ids);
    }
    CHECK_INT(whisper_vocab_encode_prompt(v, "\xC3(", &ids, &n, &err), BERTH_EINVAL);
    CHECK(strstr(err.message, "prompt: ") == err.message);
    CHECK_INT(whisper_vocab_encode_prompt(v, "\xC3(", &ids, &n, NULL), BERTH_EINVAL);
}

static void opened(int32_t size, const int32_t *list, size_t n) {
    struct tiny_whisper t = TINY_WHISPER;
    struct whisper_vocab v;
    struct berth_error err;
    char *dir = tiny_dir();
    t.vocab = size;
    CHECK_INT(whisper_vocab_open(&v, dir, size, &err), BERTH_ENOTFOUND);
    tiny_whisper_tokenizer(&t, dir);
    CHECK_OK(whisper_vocab_open(&v, dir, size, &err), err);
    symbols(&v, list, n);
    if (size == 51865) {
        decoding(&v);
        prompts(&v);
    }
    whisper_vocab_close(&v);
    tiny_dir_remove(dir);
}

int main(void) {
    int64_t live = bth_alloc_live();
    layouts();
    opened(51864, english, sizeof(english) / sizeof(*english));
    opened(51865, multilingual, sizeof(multilingual) / sizeof(*multilingual));
    opened(51866, multilingual, sizeof(multilingual) / sizeof(*multilingual));
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

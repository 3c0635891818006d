/* Reads the results in tests/golden/writers/NAME.json (tools/golden_writers.py) and writes them in
 * every format: the bytes must be those of openai-whisper. */
#include "base/alloc.h"
#include "base/fs.h"
#include "base/pystr.h"
#include "render/output.h"
#include "lib/test.h"
#include <jansson.h>

#define MAX_SEGMENTS 256
#define MAX_TOKENS   8

struct result {
    json_t *json; /* owns the strings */
    struct berth_transcript transcript;
    struct berth_segment segments[MAX_SEGMENTS];
    int32_t tokens[MAX_SEGMENTS][MAX_TOKENS];
};

static char *golden(const char *name, const char *extension, size_t *out_n) {
    struct berth_error err = {0};
    char *path = bth_printf("%s/golden/writers/%s.%s", BTH_TEST_DATA, name, extension), *text;
    CHECK_OK(bth_read_file(path, 1 << 20, &text, out_n, &err), err);
    bth_free(path);
    return text;
}

static void read_segment(struct result *r, size_t i) {
    json_t *j = json_array_get(json_object_get(r->json, "segments"), i), *token;
    size_t k, n = json_array_size(json_object_get(j, "tokens"));
    CHECK(i < MAX_SEGMENTS && n <= MAX_TOKENS);
    json_array_foreach(json_object_get(j, "tokens"), k, token) {
        r->tokens[i][k] = (int32_t)json_integer_value(token);
    }
    r->segments[i] = (struct berth_segment){
        .id = (uint32_t)json_integer_value(json_object_get(j, "id")),
        .seek = json_integer_value(json_object_get(j, "seek")),
        .start_s = json_real_value(json_object_get(j, "start")),
        .end_s = json_real_value(json_object_get(j, "end")),
        .text = json_string_value(json_object_get(j, "text")),
        .tokens = r->tokens[i],
        .n_tokens = n,
        .temperature = json_real_value(json_object_get(j, "temperature")),
        .avg_logprob = json_real_value(json_object_get(j, "avg_logprob")),
        .compression_ratio = json_real_value(json_object_get(j, "compression_ratio")),
        .no_speech_prob = json_real_value(json_object_get(j, "no_speech_prob")),
    };
}

static struct result *read_result(const char *name) {
    size_t size;
    char *text = golden(name, "json", &size);
    struct result *r = bth_calloc(1, sizeof(*r));
    CHECK(r);
    r->json = json_loadb(text, size, 0, NULL);
    CHECK(r->json);
    bth_free(text);
    size_t n = json_array_size(json_object_get(r->json, "segments"));
    for (size_t i = 0; i < n; i++) {
        read_segment(r, i);
    }
    r->transcript = (struct berth_transcript){
        .language = json_string_value(json_object_get(r->json, "language")),
        .text = json_string_value(json_object_get(r->json, "text")),
        .segments = r->segments,
        .n_segments = n,
    };
    return r;
}

static void same_as_golden(const char *name) {
    struct result *r = read_result(name);
    for (int f = 0; f < BTH_N_OUTPUT_FORMATS; f++) {
        enum bth_output_format format;
        CHECK(bth_output_parse(bth_output_name((enum bth_output_format)f), &format));
        CHECK_INT(format, f);
        size_t size;
        char *expected = golden(name, bth_output_name(format), &size);
        struct bth_str out = {0};
        bth_output_write(&out, &r->transcript, format);
        if (out.size != size || memcmp(bth_str_text(&out), expected, size) != 0) {
            size_t i = 0;
            while (i < size && i < out.size && out.data[i] == expected[i]) {
                i++;
            }
            TEST_FAIL("%s.%s differs at byte %zu: \"%.40s\", expected \"%.40s\"", name,
                      bth_output_name(format), i, bth_str_text(&out) + i, expected + i);
        }
        bth_str_finish(&out);
        bth_free(expected);
    }
    json_decref(r->json);
    bth_free(r);
}

static void failing_allocations(void) {
    struct result *r = read_result("texts");
    for (int f = 0; f < BTH_N_OUTPUT_FORMATS; f++) {
        for (int n = 1;; n++) {
            struct bth_str out = {0};
            bth_alloc_fail_at(n);
            bth_output_write(&out, &r->transcript, (enum bth_output_format)f);
            bool failed = bth_alloc_failed();
            bth_alloc_fail_at(0);
            CHECK_INT(out.failed, failed);
            bth_str_finish(&out);
            if (!failed) {
                break;
            }
        }
    }
    json_decref(r->json);
    bth_free(r);
}

static void not_numbers(void) {
    struct berth_segment s = {.text = "", .avg_logprob = NAN, .no_speech_prob = -INFINITY};
    struct berth_transcript t = {.language = "en", .text = "", .segments = &s, .n_segments = 1};
    struct bth_str out = {0};
    bth_output_write(&out, &t, BTH_OUTPUT_JSON);
    CHECK(strstr(bth_str_text(&out), "\"avg_logprob\": NaN, "));
    CHECK(strstr(bth_str_text(&out), "\"no_speech_prob\": -Infinity}"));
    bth_str_finish(&out);
    enum bth_output_format format;
    CHECK(!bth_output_parse("doc", &format));
}

int main(void) {
    int64_t live = bth_alloc_live();
    static const char *const names[] = {"empty", "texts", "times", "numbers"};
    for (size_t i = 0; i < BTH_COUNT(names); i++) {
        same_as_golden(names[i]);
    }
    failing_allocations();
    not_numbers();
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

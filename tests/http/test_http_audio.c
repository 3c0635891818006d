/* OpenAI's audio endpoints with a tiny random Whisper: what it says is nonsense, but the same
 * nonsense in every format, and the same as in process. */
#include "base/alloc.h"
#include "base/str.h"
#include "lib/http.h"
#include "lib/tiny_whisper.h"
#include "render/output.h"
#include <jansson.h>

enum { SECONDS = 4, SAMPLES = SECONDS * 16000 };

static struct test_server t;
static char *wav;
static size_t n_wav;
static struct berth_item *truth; /* in process */

static const char *const transcriptions = "/v1/audio/transcriptions";
static const char *const translations = "/v1/audio/translations";

/* ---- forms ---- */

static void put_field(struct bth_str *s, const char *name, const char *value) {
    bth_str_printf(s, "--BOUND\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n", name,
                   value);
}

static void put_file(struct bth_str *s, const void *data, size_t n) {
    bth_str_puts(s,
                 "--BOUND\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n"
                 "Content-Type: audio/wav\r\n\r\n");
    bth_str_append(s, data, n);
    bth_str_puts(s, "\r\n");
}

static struct http_reply post(const char *path, struct bth_str *s) {
    struct http_conn c = http_open(t.address);
    struct http_reply r;
    bth_str_puts(s, "--BOUND--\r\n");
    http_say(&c,
             "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; "
             "boundary=BOUND\r\nContent-Length: %zu\r\n\r\n",
             path, s->size);
    http_send(&c, s->data, s->size);
    CHECK(http_read(&c, &r));
    http_close(&c);
    bth_str_finish(s);
    return r;
}

/* The sound, the model and up to three fields. */
static struct http_reply ask(const char *path, const char *const fields[][2], size_t n) {
    struct bth_str s = {0};
    put_file(&s, wav, n_wav); /* first, as OpenAI's JavaScript client sends it */
    put_field(&s, "model", "whisper-1");
    for (size_t i = 0; i < n; i++) {
        put_field(&s, fields[i][0], fields[i][1]);
    }
    return post(path, &s);
}

static void expect_error(struct http_reply r, int status, const char *param) {
    if (r.status != status) {
        TEST_FAIL("%d instead of %d: %s", r.status, status, r.body);
    }
    json_t *j = json_loads(r.body, 0, NULL), *e = json_object_get(j, "error");
    const char *got = json_string_value(json_object_get(e, "param"));
    CHECK_STR(got ? got : "", param ? param : "");
    json_decref(j);
    http_free(&r);
}

#define ASK(path, ...)                                                                             \
    ask(path, (const char *const[][2]){__VA_ARGS__},                                               \
        sizeof((const char *const[][2]){__VA_ARGS__}) / sizeof(const char *[2]))

/* ---- the same in process ---- */

static void put_u32(char *p, uint32_t v) {
    memcpy(p, &v, 4);
}

static void make_wav(void) {
    int16_t *samples = tiny_sound(7, SAMPLES);
    n_wav = 44 + SAMPLES * 2;
    wav = malloc(n_wav);
    CHECK(wav);
    memcpy(wav, "RIFF....WAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data....", 44);
    put_u32(wav + 4, (uint32_t)n_wav - 8);
    put_u32(wav + 40, SAMPLES * 2);
    memcpy(wav + 44, samples, SAMPLES * 2);
    free(samples);
}

static void run_in_process(void) {
    struct berth_lease *lease;
    struct berth_error err;
    struct berth_request r = BERTH_REQUEST_INIT;
    CHECK_OK(berth_acquire(t.berth, "whisper/tiny", NULL, &lease, &err), err);
    r.input = (struct berth_input){.kind = BERTH_INPUT_BYTES, .data = wav, .size = n_wav};
    CHECK_OK(berth_run(lease, &r, &truth, &err), err);
    berth_release(lease);
}

static void check_text(const json_t *j) {
    const char *text = truth->transcript->text,
               *got = json_string_value(json_object_get(j, "text"));
    CHECK(got);
    CHECK(strstr(text, got) && strlen(text) - strlen(got) <= 2); /* the space at its ends */
}

/* ---- tests ---- */

static void test_json(void) {
    struct http_reply r = ASK(transcriptions, {"temperature", "0"});
    CHECK_INT(r.status, 200);
    CHECK_STR(http_field(&r, "Content-Type"), "application/json");
    json_t *j = json_loads(r.body, 0, NULL);
    check_text(j);
    CHECK_INT(json_integer_value(json_object_get(json_object_get(j, "usage"), "seconds")), SECONDS);
    json_decref(j);
    http_free(&r);
}

static void test_files(void) {
    static const struct {
        const char *name;
        enum bth_output_format format;
    } formats[] = {{"srt", BTH_OUTPUT_SRT}, {"vtt", BTH_OUTPUT_VTT}};
    for (size_t i = 0; i < 2; i++) {
        struct bth_str want = {0};
        struct http_reply r = ASK(transcriptions, {"response_format", formats[i].name});
        bth_output_write(&want, truth->transcript, formats[i].format);
        CHECK_INT(r.status, 200);
        CHECK_STR(r.body, bth_str_text(&want));
        bth_str_finish(&want);
        http_free(&r);
    }
    struct http_reply r = ASK(transcriptions, {"response_format", "text"});
    CHECK(strncmp(http_field(&r, "Content-Type"), "text/plain", 10) == 0);
    r.body[r.n_body - 1] = '\0';
    CHECK(strstr(truth->transcript->text, r.body));
    http_free(&r);
}

static void test_verbose(void) {
    struct http_reply r = ASK(transcriptions, {"response_format", "verbose_json"},
                              {"timestamp_granularities[]", "segment"});
    const struct berth_transcript *want = truth->transcript;
    CHECK_INT(r.status, 200);
    json_t *j = json_loads(r.body, 0, NULL), *segments = json_object_get(j, "segments");
    check_text(j);
    CHECK_STR(json_string_value(json_object_get(j, "task")), "transcribe");
    CHECK_STR(json_string_value(json_object_get(j, "language")), want->language_name);
    CHECK_INT(json_array_size(segments), want->n_segments);
    for (size_t i = 0; i < want->n_segments; i++) {
        const json_t *s = json_array_get(segments, i);
        CHECK_STR(json_string_value(json_object_get(s, "text")), want->segments[i].text);
        CHECK(json_number_value(json_object_get(s, "avg_logprob")) ==
              want->segments[i].avg_logprob);
        CHECK_INT(json_array_size(json_object_get(s, "tokens")), want->segments[i].n_tokens);
    }
    json_decref(j);
    http_free(&r);
    r = ASK(translations, {"response_format", "verbose_json"});
    CHECK(strstr(r.body, "\"task\":\"translate\",\"language\":\"english\""));
    http_free(&r);
}

/* The deltas together are the text. */
static void test_stream(void) {
    struct http_reply r = ASK(transcriptions, {"stream", "true"});
    struct bth_str all = {0};
    CHECK_INT(r.status, 200);
    CHECK_STR(http_field(&r, "Content-Type"), "text/event-stream");
    size_t deltas = 0;
    bool done = false;
    for (char *p = r.body; (p = strstr(p, "data: ")); p += 6) {
        json_t *j = json_loads(p + 6, JSON_DISABLE_EOF_CHECK, NULL);
        const char *type = json_string_value(json_object_get(j, "type"));
        CHECK(type && !done);
        if (strcmp(type, "transcript.text.delta") == 0) {
            deltas++;
            bth_str_puts(&all, json_string_value(json_object_get(j, "delta")));
        } else {
            CHECK_STR(type, "transcript.text.done");
            done = true;
            check_text(j);
        }
        json_decref(j);
    }
    CHECK(done);
    CHECK_INT(deltas, truth->transcript->n_segments);
    struct bth_str want = {0};
    for (size_t i = 0; i < deltas; i++) {
        bth_str_puts(&want, truth->transcript->segments[i].text);
    }
    CHECK_STR(bth_str_text(&all), bth_str_text(&want));
    bth_str_finish(&want);
    bth_str_finish(&all);
    http_free(&r);
}

static void test_refused(void) {
    expect_error(ASK(transcriptions, {"response_format", "yaml"}), 400, "response_format");
    expect_error(ASK(transcriptions, {"temperature", "2"}), 400, "temperature");
    expect_error(ASK(transcriptions, {"temperature", "x"}), 400, "temperature");
    expect_error(ASK(transcriptions, {"language", "klingon"}), 400, NULL);
    expect_error(ASK(transcriptions, {"no_such_option", "1"}), 400, NULL);
    expect_error(ASK(transcriptions, {"stream", "maybe"}), 400, "stream");
    expect_error(ASK(transcriptions, {"stream", "true"}, {"response_format", "srt"}), 400,
                 "response_format");
    expect_error(ASK(transcriptions, {"timestamp_granularities[]", "word"}), 400,
                 "timestamp_granularities[]");
    expect_error(ASK(transcriptions, {"timestamp_granularities[]", "segment"}), 400,
                 "timestamp_granularities[]");
    expect_error(ASK(transcriptions, {"language", "en"}, {"language", "de"}), 400, NULL);
    expect_error(ASK(transcriptions, {"model", "other"}), 400, "model");
    expect_error(ASK(translations, {"task", "transcribe"}), 400, "task");
    struct bth_str s = {0};
    put_field(&s, "model", "whisper-1");
    expect_error(post(transcriptions, &s), 400, "file");
    put_file(&s, wav, n_wav);
    expect_error(post(transcriptions, &s), 400, "model");
    put_field(&s, "model", "no/model");
    put_file(&s, wav, n_wav);
    expect_error(post(transcriptions, &s), 404, "model");
    put_field(&s, "model", "whisper-1");
    put_file(&s, "this is no sound", 16);
    expect_error(post(transcriptions, &s), 400, NULL);
    put_field(&s, "model", "whisper-1");
    put_file(&s, wav, n_wav);
    put_file(&s, wav, n_wav);
    expect_error(post(transcriptions, &s), 400, NULL);
    expect_error(http_ask(t.address, "POST", transcriptions, "Content-Type: text/plain\r\n", "x"),
                 400, NULL);
    expect_error(http_ask(t.address, "POST", transcriptions,
                          "Content-Type: multipart/form-data; boundary=B\r\n", "--B\r\n"),
                 400, NULL);
}

/* Unreadable sound is refused before a model is loaded for it. */
static void test_no_load(void) {
    struct berth_model_stats all[4];
    CHECK_INT(berth_models(t.berth, all, sizeof(all[0]), 4), 4);
    CHECK_STR(all[3].name, "whisper/tiny");
    CHECK_INT(all[3].loads, 0);
}

/* Berth's own endpoint: a file, and raw samples, give what they give in process. */
static void test_run(void) {
    struct http_conn c = http_open(t.socket);
    const char *const types[] = {"application/octet-stream", "audio/x-berth-s16"};
    for (size_t i = 0; i < 2; i++) {
        size_t skip = i * 44;
        struct http_reply r;
        http_say(&c,
                 "POST /v1/run?model=whisper/tiny HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\n"
                 "Content-Length: %zu\r\n\r\n",
                 types[i], n_wav - skip);
        http_send(&c, wav + skip, n_wav - skip);
        CHECK(http_read(&c, &r));
        CHECK_INT(r.status, 200);
        char *line = strstr(r.body, "{\"event\":\"item\"");
        CHECK(line);
        json_t *j = json_loads(line, 0, NULL), *tr = json_object_get(j, "transcript");
        CHECK_STR(json_string_value(json_object_get(tr, "text")), truth->transcript->text);
        CHECK_STR(json_string_value(json_object_get(tr, "language")), truth->transcript->language);
        CHECK(json_number_value(json_object_get(tr, "duration_s")) ==
              truth->transcript->duration_s);
        CHECK_INT(json_array_size(json_object_get(tr, "languages")),
                  truth->transcript->n_languages);
        json_decref(j);
        http_free(&r);
    }
    http_close(&c);
    CHECK_INT(http_status(t.address, "POST", "/v1/run?model=whisper/tiny", NULL, "not a sound"),
              400);
}

int main(void) {
    int64_t live = bth_alloc_live();
    char *dir = tiny_dir();
    tiny_whisper_ct2(&(struct tiny_whisper)TINY_WHISPER, dir);
    tiny_whisper_tokenizer(&(struct tiny_whisper)TINY_WHISPER, dir);
    make_wav();
    http_prepare(&t);
    http_start(&t, dir);
    test_refused();
    test_no_load();
    run_in_process();
    test_json();
    test_files();
    test_verbose();
    test_stream();
    test_run();
    http_stop(&t);
    berth_item_free(truth);
    free(wav);
    tiny_dir_remove(dir);
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

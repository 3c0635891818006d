/* Options: names, values and defaults of openai-whisper's transcribe(), and clear words otherwise.
 */
#include "lib/test.h"
#include "whisper/whisper.h"
#include "whisper/whisper_options.h"

static struct berth_error err;

static int parse(const char *name, const char *value, struct whisper_options *out) {
    const struct berth_option option = {name, value};
    struct berth_request r = BERTH_REQUEST_INIT;
    r.options = &option;
    r.n_options = 1;
    err = (struct berth_error){0};
    return whisper_options_parse(&r, out, &err);
}

static void defaults(void) {
    struct berth_request r = BERTH_REQUEST_INIT;
    struct whisper_options o;
    CHECK_OK(whisper_options_parse(&r, &o, &err), err);
    const double ladder[] = {0, 0.2, 0.4, 0.6, 0.8, 1.0};
    CHECK_INT(o.n_temperatures, 6);
    CHECK(memcmp(o.temperatures, ladder, sizeof(ladder)) == 0);
    CHECK_INT(o.language, -1);
    CHECK(!o.translate && o.best_of == 1 && o.condition_on_previous_text && o.suppress_blank);
    CHECK(o.compression_ratio_threshold == 2.4 && o.logprob_threshold == -1.0);
    CHECK(o.no_speech_threshold == 0.6 && o.max_initial_timestamp == 1.0);
    CHECK(o.sample_len == 224 && isnan(o.length_penalty) && o.n_clips == 0 && o.seed == 0);
    CHECK_STR(o.suppress_tokens, "-1");
    CHECK(!o.initial_prompt && !o.prefix && !o.carry_initial_prompt && !o.without_timestamps);
    CHECK(!o.trace);
}

static void good(void) {
    struct whisper_options o;
    static const struct {
        const char *name;
        int index;
    } languages[] = {{"en", 0},   {"English", 0},  {"GERMAN", 2}, {"castilian", 3}, {"zh", 1},
                     {"yue", 99}, {"Flemish", 12}, {"None", -1},  {"auto", -1}};
    for (size_t i = 0; i < sizeof(languages) / sizeof(*languages); i++) {
        CHECK_OK(parse("language", languages[i].name, &o), err);
        CHECK_INT(o.language, languages[i].index);
    }
    CHECK_OK(parse("temperature", "0.5", &o), err);
    CHECK(o.n_temperatures == 1 && o.temperatures[0] == 0.5);
    CHECK_OK(parse("temperature", "0,0.3,1", &o), err);
    CHECK(o.n_temperatures == 3 && o.temperatures[1] == 0.3);
    CHECK_OK(parse("temperature_increment_on_fallback", "0.2", &o), err);
    CHECK_INT(o.n_temperatures, 6);
    CHECK(o.temperatures[3] == 0.6000000000000001); /* as numpy.arange */
    CHECK_OK(parse("temperature_increment_on_fallback", "None", &o), err);
    CHECK(o.n_temperatures == 1 && o.temperatures[0] == 0);
    CHECK_OK(parse("no_speech_threshold", "None", &o), err);
    CHECK(isnan(o.no_speech_threshold));
    CHECK_OK(parse("clip_timestamps", "0.5,2,3", &o), err);
    CHECK(o.n_clips == 3 && o.clips[1] == 2);
    CHECK_OK(parse("clip_timestamps", "", &o), err);
    CHECK_INT(o.n_clips, 0);
    CHECK_OK(parse("seed", "18446744073709551615", &o), err);
    CHECK(o.seed == UINT64_MAX);
    CHECK_OK(parse("suppress_tokens", "", &o), err);
    CHECK_STR(o.suppress_tokens, "");
    CHECK_OK(parse("suppress_tokens", "None", &o), err);
    CHECK_STR(o.suppress_tokens, "");
    CHECK_OK(parse("suppress_tokens", "-1,5,50000", &o), err);
    CHECK_OK(parse("task", "translate", &o), err);
    CHECK(o.translate);
    CHECK_OK(parse("word_timestamps", "false", &o), err);
    CHECK_OK(parse("beam_size", "None", &o), err);
    CHECK_OK(parse("trace", "True", &o), err);
    CHECK(o.trace);
}

static void bad(void) {
    static const struct {
        const char *name, *value;
        int rc;
        const char *says;
    } all[] = {
        {"language", "klingon", BERTH_EINVAL, "klingon"},
        {"task", "summarise", BERTH_EINVAL, "translate"},
        {"temperature", "", BERTH_EINVAL, "temperature"},
        {"temperature", "-0.1", BERTH_EINVAL, "temperature"},
        {"temperature", "nan", BERTH_EINVAL, "temperature"},
        {"temperature", "0,,1", BERTH_EINVAL, "temperature"},
        {"temperature", "hot", BERTH_EINVAL, "hot"},
        {"temperature_increment_on_fallback", "0", BERTH_EINVAL, "temperature_increment"},
        {"temperature_increment_on_fallback", "0.0011", BERTH_EINVAL, "32"},
        {"best_of", "0", BERTH_EINVAL, "best_of"},
        {"best_of", "1000000", BERTH_EINVAL, "best_of"},
        {"best_of", "2.5", BERTH_EINVAL, "best_of"},
        {"sample_len", "0", BERTH_EINVAL, "sample_len"},
        {"length_penalty", "1.5", BERTH_EINVAL, "length_penalty"},
        {"suppress_blank", "maybe", BERTH_EINVAL, "maybe"},
        {"suppress_tokens", "1,x", BERTH_EINVAL, "suppress_tokens"},
        {"suppress_tokens", "99999999", BERTH_EINVAL, "suppress_tokens"},
        {"seed", "-1", BERTH_EINVAL, "seed"},
        {"seed", "18446744073709551616", BERTH_EINVAL, "seed"},
        {"clip_timestamps", "1;2", BERTH_EINVAL, "clip_timestamps"},
        {"clip_timestamps", "-1", BERTH_EINVAL, "clip_timestamps"},
        {"initial_prompt", "\xFF\xFE", BERTH_EINVAL, "UTF-8"},
        {"max_seconds", "0", BERTH_EINVAL, "max_seconds"},
        {"beam_size", "5", BERTH_EUNSUPPORTED, "beam_size"},
        {"patience", "2", BERTH_EUNSUPPORTED, "patience"},
        {"word_timestamps", "True", BERTH_EUNSUPPORTED, "word_timestamps"},
        {"hallucination_silence_threshold", "2", BERTH_EUNSUPPORTED, "hallucination"},
        {"temprature", "0", BERTH_EINVAL, "temperature"},
        {"", "0", BERTH_EINVAL, "option"},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        struct whisper_options o, before;
        memset(&o, 0x5A, sizeof(o));
        before = o;
        int rc = parse(all[i].name, all[i].value, &o);
        if (rc != all[i].rc || !strstr(err.message, all[i].says) || err.code != rc) {
            TEST_FAIL("%s = '%s' gave %d: %s", all[i].name, all[i].value, rc, err.message);
        }
        CHECK(memcmp(&o, &before, sizeof(o)) == 0);
    }
    struct whisper_options o;
    CHECK_INT(parse(NULL, "x", &o), BERTH_EINVAL);
    CHECK_INT(parse("language", NULL, &o), BERTH_EINVAL);
    const struct berth_option both[] = {{"temperature", "0,1"},
                                        {"temperature_increment_on_fallback", "0.2"}};
    struct berth_request r = BERTH_REQUEST_INIT;
    r.options = both;
    r.n_options = 2;
    CHECK_INT(whisper_options_parse(&r, &o, &err), BERTH_EINVAL);
}

/* check() needs no model: options, then the sound's header. */
static void check(void) {
    static const char not_sound[] = "this is no sound file, whatever its name says";
    const struct berth_option option = {"temperature", "0"};
    struct berth_request r = BERTH_REQUEST_INIT;
    int16_t samples[160] = {0};
    r.input = (struct berth_input){
        .kind = BERTH_INPUT_BYTES, .data = not_sound, .size = sizeof(not_sound)};
    CHECK_INT(bth_whisper_engine.check(&r, &err), BERTH_EAUDIO);
    r.input = (struct berth_input){.kind = BERTH_INPUT_FILE, .path = "/nowhere/at/all.wav"};
    CHECK_INT(bth_whisper_engine.check(&r, &err), BERTH_ENOTFOUND);
    r.input = (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = "a", .size = 1};
    CHECK(bth_whisper_engine.check(&r, &err) < 0);
    r.input = (struct berth_input){.kind = BERTH_INPUT_PCM_S16,
                                   .data = samples,
                                   .size = sizeof(samples),
                                   .sample_rate_hz = 16000,
                                   .channels = 1};
    r.options = &option;
    r.n_options = 1;
    CHECK_OK(bth_whisper_engine.check(&r, &err), err);
}

int main(void) {
    defaults();
    good();
    bad();
    check();
    return 0;
}

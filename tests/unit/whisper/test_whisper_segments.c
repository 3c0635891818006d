/* The rules over tokens: which may come next, and what a window's tokens mean in time. The expected
 * values are openai-whisper 20250625's for the same tokens. */
#include "lib/test.h"
#include "whisper/whisper_segments.h"

static struct whisper_vocab v;
static struct whisper_options o;

enum { T0 = 50364, EOT = 50257 };

static bool forbidden(const struct berth_pick_in *in, int32_t id) {
    for (int i = 0; i < 4; i++) {
        if (id >= in->forbid[i][0] && id < in->forbid[i][1]) {
            return true;
        }
    }
    return false;
}

static struct berth_pick_in rules(const int32_t *tokens, int n) {
    struct berth_pick_in in = {.mask = -1};
    whisper_timestamp_rules(&v, &o, tokens, n, &in);
    return in;
}

static void first_token(void) {
    struct berth_pick_in in = rules(NULL, 0);
    CHECK(forbidden(&in, 0) && forbidden(&in, EOT) && forbidden(&in, T0 - 1));
    CHECK(!forbidden(&in, T0) && !forbidden(&in, T0 + 50));
    CHECK(forbidden(&in, T0 + 51) && forbidden(&in, 51864));
    CHECK_INT(in.group_begin, T0);
    /* None and, as in the original, 0: no limit */
    o.max_initial_timestamp = NAN;
    in = rules(NULL, 0);
    CHECK(!forbidden(&in, 51864) && forbidden(&in, T0 - 1));
    o.max_initial_timestamp = 0;
    in = rules(NULL, 0);
    CHECK(!forbidden(&in, T0 + 1) && !forbidden(&in, 51864));
    o.max_initial_timestamp = 1;
}

static void without_timestamps(void) {
    const int32_t text[] = {400};
    o.without_timestamps = true;
    struct berth_pick_in in = rules(NULL, 0);
    CHECK(forbidden(&in, 220) && forbidden(&in, EOT) && !forbidden(&in, 221) &&
          !forbidden(&in, T0));
    CHECK_INT(in.group_begin, -1);
    in = rules(text, 1);
    CHECK(!forbidden(&in, 220) && !forbidden(&in, EOT));
    o.suppress_blank = false;
    in = rules(NULL, 0);
    CHECK(!forbidden(&in, 220) && !forbidden(&in, EOT));
    o.suppress_blank = true;
    o.without_timestamps = false;
}

static void pairs(void) {
    const int32_t tokens[] = {T0 + 10, 400, 401, T0 + 60, T0 + 60, 402};
    struct berth_pick_in in = rules(tokens, 1); /* opened: text comes */
    CHECK(forbidden(&in, T0) && forbidden(&in, T0 + 1500) && !forbidden(&in, 400));
    CHECK(forbidden(&in, T0 - 1) && !forbidden(&in, EOT));
    in = rules(tokens, 3); /* text: text, the end, or a later time */
    CHECK(forbidden(&in, T0 + 10) && !forbidden(&in, T0 + 11) && !forbidden(&in, 400));
    in = rules(tokens, 4); /* half a pair: the same time or later, or the end */
    CHECK(forbidden(&in, 400) && !forbidden(&in, EOT) && !forbidden(&in, T0 + 60));
    CHECK(forbidden(&in, T0 + 59) && !forbidden(&in, T0 + 1500));
    in = rules(tokens, 5);
    CHECK(forbidden(&in, T0 + 60) && forbidden(&in, T0 + 1500) && !forbidden(&in, 400));
    in = rules(tokens, 6);
    CHECK(forbidden(&in, T0 + 60) && !forbidden(&in, T0 + 61));
}

struct cut {
    int n;
    int32_t tokens[12];
    struct whisper_span window;
    int n_out;
    int64_t advance;
    int first[4];
    double start[4], end[4];
};

static void cuts(void) {
    static const struct cut all[] = {
        /* two closed segments, the third unfinished */
        {8,
         {T0, 1, T0 + 100, T0 + 100, 2, T0 + 200, T0 + 250, 3},
         {1000, 3000},
         2,
         400,
         {0, 3},
         {10, 12},
         {12, 14}},
        /* the last timestamp stands alone: all of the window is done */
        {6, {T0, 1, T0 + 100, T0 + 110, 2, T0 + 200}, {0, 3000}, 2, 3000, {0, 3}, {0, 2.2}, {2, 4}},
        /* no pair: one segment up to the only time */
        {3, {T0 + 5, 1, T0 + 50}, {0, 1234}, 1, 1234, {0}, {0}, {1}},
        /* only <|0.00|>: the whole window */
        {2, {T0, 1}, {500, 250}, 1, 250, {0}, {5}, {7.5}},
        {0, {0}, {0, 100}, 1, 100, {0}, {0}, {1}},
        {2, {1, 2}, {0, 3000}, 1, 3000, {0}, {0}, {30}},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        const struct cut *c = &all[i];
        struct whisper_slice out[13];
        int64_t advance = -1;
        CHECK_INT(whisper_cut_segments(&v, c->tokens, c->n, c->window, out, &advance), c->n_out);
        CHECK_INT(advance, c->advance);
        int covered = 0;
        for (int j = 0; j < c->n_out; j++) {
            CHECK_INT(out[j].first, c->first[j]);
            CHECK_INT(out[j].first, covered);
            covered += out[j].n;
            CHECK_NEAR(out[j].start_s, c->start[j], 1e-12);
            CHECK_NEAR(out[j].end_s, c->end[j], 1e-12);
        }
        CHECK(covered <= c->n);
    }
}

/* Whatever the tokens, slices tile a beginning of them and the seek moves on. */
static void any_tokens(void) {
    unsigned long long state = 42;
    for (int round = 0; round < 20000; round++) {
        int32_t tokens[24];
        struct whisper_slice out[25];
        int n = (int)(test_rand(&state) % 24), at = 0;
        int64_t advance = 0;
        for (int i = 0; i < n; i++) {
            int32_t stamp = T0 + (int32_t)(test_rand(&state) % 3);
            tokens[i] = test_rand(&state) % 2 ? stamp : 400;
        }
        const struct whisper_span window = {0, 1 + (int64_t)(test_rand(&state) % 3000)};
        int n_out = whisper_cut_segments(&v, tokens, n, window, out, &advance);
        CHECK(n_out >= 1 && n_out <= n + 1);
        CHECK(advance > 0);
        for (int i = 0; i < n_out; i++) {
            CHECK_INT(out[i].first, at);
            at += out[i].n;
        }
        CHECK(at <= n);
    }
}

static void thresholds(void) {
    struct whisper_outcome good = {0, -0.3, 1.5, 0.1}, repeats = {0, -0.3, 2.41, 0.1};
    struct whisper_outcome unsure = {0, -1.1, 1.5, 0.1}, silent = {0, -1.1, 1.5, 0.7};
    struct whisper_outcome sure = {0, -0.3, 1.5, 0.7}, edge = {0, -1, 2.4, 0.6};
    CHECK(!whisper_needs_fallback(&o, &good) && !whisper_is_silence(&o, &good));
    CHECK(whisper_needs_fallback(&o, &repeats) && whisper_needs_fallback(&o, &unsure));
    CHECK(!whisper_needs_fallback(&o, &silent) && whisper_is_silence(&o, &silent));
    CHECK(!whisper_needs_fallback(&o, &sure) && !whisper_is_silence(&o, &sure));
    CHECK(!whisper_needs_fallback(&o, &edge) && !whisper_is_silence(&o, &edge));
    o.no_speech_threshold = NAN;
    CHECK(whisper_needs_fallback(&o, &silent) && !whisper_is_silence(&o, &silent));
    o.no_speech_threshold = 0.6;
    o.logprob_threshold = NAN;
    CHECK(!whisper_needs_fallback(&o, &unsure) && whisper_is_silence(&o, &sure));
    o.logprob_threshold = -1;
    o.compression_ratio_threshold = NAN;
    CHECK(!whisper_needs_fallback(&o, &repeats));
}

static void compression(void) {
    char text[110];
    for (int i = 0; i < 10; i++) {
        memcpy(text + (ptrdiff_t)i * 11, "Thank you. ", 11);
    }
    CHECK_NEAR(whisper_compression_ratio(text, 110), 5.0, 0);
    CHECK_NEAR(whisper_compression_ratio("", 0), 0, 0);
}

int main(void) {
    const struct berth_request request = BERTH_REQUEST_INIT;
    struct berth_error err;
    CHECK_OK(whisper_vocab_layout(&v, 51865, &err), err);
    CHECK_OK(whisper_options_parse(&request, &o, &err), err);
    first_token();
    without_timestamps();
    pairs();
    cuts();
    any_tokens();
    thresholds();
    compression();
    return 0;
}

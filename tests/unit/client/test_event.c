/* What the daemon says, good and damaged. */
#include "base/alloc.h"
#include "base/error.h"
#include "client/event.h"
#include "client/query.h"
#include "lib/test.h"

static struct bth_event parse(const char *line) {
    struct bth_event e;
    struct berth_error err;
    CHECK_OK(bth_event_parse(line, strlen(line), &e, &err), err);
    return e;
}

static void test_numbers(void) {
    static const struct {
        const char *text;
        double value;
    } cases[] = {{"0.10000000000000001", 0.1},
                 {"-0", -0.0},
                 {"3", 3},
                 {"4.9406564584124654e-324", 0x1p-1074},
                 {"1.7976931348623157e+308", 0x1.fffffffffffffp1023},
                 {"\"inf\"", INFINITY},
                 {"\"-inf\"", -INFINITY}};
    for (size_t i = 0; i < BTH_COUNT(cases); i++) {
        char line[128];
        snprintf(line, sizeof(line), "{\"event\":\"progress\",\"done\":%s,\"total\":null}",
                 cases[i].text);
        struct bth_event e = parse(line);
        CHECK_INT(e.kind, BTH_EVENT_PROGRESS);
        CHECK(memcmp(&e.done, &cases[i].value, sizeof(double)) == 0);
        CHECK(isnan(e.total));
    }
}

static const char whole[] =
    "{\"event\":\"item\",\"partial\":false,\"done\":1,\"total\":2,\"newer\":[1],\"transcript\":{"
    "\"language\":\"en\",\"language_name\":null,\"text\":\"a\\u003cb \\u00e9\",\"duration_s\":1.5,"
    "\"segments\":[{\"id\":7,\"seek\":-1,\"start_s\":0,\"end_s\":1,\"text\":\"x\",\"tokens\":"
    "[1,-2,50256],\"temperature\":0,\"avg_logprob\":\"-inf\",\"compression_ratio\":1,"
    "\"no_speech_prob\":0.5}],\"languages\":[{\"language\":\"en\",\"prob\":0.5}],\"trace\":[{"
    "\"window\":1,\"attempt\":2,\"row\":3,\"step\":4,\"token\":5,\"second\":6,\"logprob\":-1,"
    "\"gap\":2,\"timestamp_margin\":null}]}}";

static void test_item(void) {
    struct bth_event e = parse(whole);
    const struct berth_transcript *t = e.item->transcript;
    CHECK_INT(e.item->kind, BERTH_ITEM_FINAL);
    CHECK_STR(t->text, "a<b \xc3\xa9");
    CHECK(!t->language_name && !e.item->text);
    CHECK_INT(t->n_segments, 1);
    CHECK_INT(t->segments[0].id, 7);
    CHECK_INT(t->segments[0].n_tokens, 3);
    CHECK_INT(t->segments[0].tokens[2], 50256);
    CHECK(isinf(t->segments[0].avg_logprob));
    CHECK(t->languages[0].prob == 0.5f);
    CHECK_INT(t->trace[0].second, 6);
    CHECK(isnan(t->trace[0].timestamp_margin));
    berth_item_free(e.item);
    e = parse("{\"event\":\"item\",\"partial\":true,\"done\":0,\"total\":0,\"text\":\"\"}");
    CHECK_INT(e.item->kind, BERTH_ITEM_PARTIAL);
    CHECK_STR(e.item->text, "");
    berth_item_free(e.item);
    e = parse("{\"event\":\"error\",\"code\":\"EAUDIO\",\"message\":\"m %s\",\"status\":400}");
    CHECK_INT(e.error.code, BERTH_EAUDIO);
    CHECK_STR(e.error.message, "m %s");
    e = parse("{\"event\":\"error\",\"code\":\"ENEWER\",\"message\":\"m\"}");
    CHECK_INT(e.error.code, BERTH_EIO);
}

static void test_damaged(void) {
    static const char *const lines[] = {
        "",
        "{",
        "[]",
        "null",
        "{}",
        "{\"event\":1}",
        "{\"event\":\"nope\"}",
        "{\"event\":\"progress\"}",
        "{\"event\":\"progress\",\"done\":\"x\",\"total\":1}",
        "{\"event\":\"progress\",\"done\":1e999,\"total\":1}",
        "{\"event\":\"item\"}",
        "{\"event\":\"item\",\"partial\":1,\"done\":0,\"total\":0}",
        "{\"event\":\"item\",\"partial\":true,\"done\":0,\"total\":0,\"text\":5}",
        "{\"event\":\"item\",\"partial\":true,\"done\":0,\"total\":0,\"text\":\"a\\u0000b\"}",
        "{\"event\":\"item\",\"partial\":true,\"done\":0,\"total\":0,\"transcript\":{}}",
        "{\"event\":\"item\",\"partial\":true,\"done\":0,\"total\":0,\"transcript\":[]}",
        "{\"event\":\"error\",\"code\":\"EIO\"}",
        "{\"event\":\"error\",\"event\":\"error\",\"code\":\"EIO\",\"message\":\"m\"}",
        "{\"event\":\"progress\",\"done\":1,\"total\":1} x",
        "\xff\xfe"};
    for (size_t i = 0; i < BTH_COUNT(lines); i++) {
        struct bth_event e;
        struct berth_error err;
        CHECK_INT(bth_event_parse(lines[i], strlen(lines[i]), &e, &err), BERTH_EIO);
        CHECK(strstr(err.message, "damaged"));
    }
    /* every token of the whole one replaced by a number out of range, every cut of it */
    for (const char *p = whole; (p = strpbrk(p, "0123456789")); p++) {
        char *copy = NULL;
        struct bth_event e;
        copy = bth_printf("%.*s1e300%s", (int)(p - whole), whole, p + 1);
        CHECK(copy);
        if (bth_event_parse(copy, strlen(copy), &e, NULL) == 0 && e.kind == BTH_EVENT_ITEM) {
            berth_item_free(e.item);
        }
        CHECK_INT(bth_event_parse(copy, (size_t)(p - whole), &e, NULL), BERTH_EIO);
        bth_free(copy);
    }
}

static void test_memory(void) {
    for (int64_t n = 1;; n++) {
        struct bth_event e;
        bth_alloc_fail_at(n);
        int rc = bth_event_parse(whole, strlen(whole), &e, NULL);
        bool failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK_INT(rc, failed ? BERTH_ENOMEM : 0);
        if (!failed) {
            berth_item_free(e.item);
            return;
        }
    }
}

static int note_line(void *arg, const char *text, size_t n, struct berth_error *err) {
    struct bth_str *s = arg;
    CHECK_INT(strlen(text), n);
    bth_str_printf(s, "<%s>", text);
    return strcmp(text, "stop") == 0 ? bth_error(err, BERTH_EIO, "stop") : 0;
}

static void test_lines(void) {
    static const char text[] = "one\n\ntwo\nthree\nrest";
    for (size_t step = 1; step < sizeof(text); step++) {
        struct bth_lines l = {0};
        struct bth_str s = {0};
        struct berth_error err;
        for (size_t i = 0; i < sizeof(text) - 1; i += step) {
            size_t n = BTH_MIN(step, sizeof(text) - 1 - i);
            CHECK_OK(bth_lines_feed(&l, text + i, n, note_line, &s, &err), err);
        }
        CHECK_STR(bth_str_text(&s), "<one><two><three>");
        CHECK_INT(bth_lines_feed(&l, "\nstop\nmore\n", 11, note_line, &s, &err), BERTH_EIO);
        CHECK_STR(bth_str_text(&s), "<one><two><three><rest><stop>");
        bth_lines_finish(&l);
        bth_str_finish(&s);
    }
}

static void test_refusal(void) {
    static const struct {
        int status;
        const char *body;
        int code;
    } cases[] = {
        {400, "{\"error\":{\"code\":\"EAUDIO\",\"message\":\"m\"}}", BERTH_EAUDIO},
        {401, "{\"error\":{\"code\":\"invalid_api_key\",\"message\":\"m\"}}", BERTH_EINVAL},
        {429, "{\"error\":{\"message\":\"m\"}}", BERTH_EOVERLOADED},
        {503, "", BERTH_ESHUTDOWN},
        {404, "<html>", BERTH_EIO},
        {500, "{\"error\":7}", BERTH_EIO},
        {301, "[]", BERTH_EIO}};
    for (size_t i = 0; i < BTH_COUNT(cases); i++) {
        struct berth_error err = {0};
        CHECK_INT(bth_event_refusal(cases[i].status, cases[i].body, strlen(cases[i].body), &err),
                  cases[i].code);
        CHECK_INT(err.code, cases[i].code);
        CHECK(err.message[0]);
    }
}

static void test_query(void) {
    const struct berth_option options[] = {{"initial_prompt", "a b&c=d?\xc3\xa9#%"}, {"x", ""}};
    struct berth_request r = BERTH_REQUEST_INIT;
    struct berth_error err;
    char *path, caller[BTH_CALLER_TEXT], longer[200];
    r.options = options;
    r.n_options = 2;
    r.deadline_ms = 5;
    r.stream = true;
    CHECK_OK(bth_query_run("toy/a", "s/1", &r, &path, &err), err);
    CHECK_STR(path, "/v1/run?model=toy/a&lease=s/1&stream=true&priority=5&timeout_ms=5&"
                    "initial_prompt=a%20b%26c%3Dd%3F%C3%A9%23%25&x=");
    bth_free(path);
    static char prompt[BTH_QUERY_BYTES];
    memset(prompt, 'x', sizeof(prompt) - 1);
    r.options = &(struct berth_option){"initial_prompt", prompt};
    r.n_options = 1;
    CHECK_INT(bth_query_run("toy/a", "s/1", &r, &path, &err), BERTH_ETOOLARGE);
    bth_query_caller("a b\n\xc3", caller);
    CHECK_STR(caller, "a_b__");
    memset(longer, 'y', sizeof(longer) - 1);
    longer[199] = '\0';
    bth_query_caller(longer, caller);
    CHECK_INT(strlen(caller), 64);
    char other[BTH_CALLER_TEXT];
    longer[198] = 'z';
    bth_query_caller(longer, other);
    CHECK(strcmp(caller, other) != 0);
}

int main(void) {
    int64_t live = bth_alloc_live();
    test_numbers();
    test_item();
    test_damaged();
    test_memory();
    test_lines();
    test_refusal();
    test_query();
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

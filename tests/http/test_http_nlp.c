/* POST /v1/nlp on toy models: one text, many in their order, what is wrong with a request, and
 * clients that leave. Documents themselves: tests/unit/render/test_doc_json.c. */
#include "base/alloc.h"
#include "base/str.h"
#include "lib/http.h"
#include "lib/test.h"

static struct test_server t;

static struct http_reply ask(const char *body) {
    return http_ask(t.address, "POST", "/v1/nlp", NULL, body);
}

static void says(const char *body, const char *expected) {
    struct http_reply r = ask(body);
    CHECK_INT(r.status, 200);
    CHECK_STR(r.body, expected);
    http_free(&r);
}

static void refuses(const char *body, int status, const char *part) {
    struct http_reply r = ask(body);
    if (r.status != status || !strstr(r.body, part)) {
        TEST_FAIL("%s: %d %s", body, r.status, r.body);
    }
    http_free(&r);
}

static void test_one(void) {
    says("{\"model\":\"toy/echo\",\"text\":\"a \\u00e9\"}",
         "{\"text\": \"a \\u00e9\", \"ents\": [], \"sents\": [], \"tokens\": []}\n");
    says("{\"model\":\"echo\",\"text\":\"\",\"attributes\":[\"lemma\",\"ents\"],\"offsets\":"
         "\"utf8\",\"priority\":9,\"timeout_ms\":10000,\"turns\":2}",
         "{\"text\": \"\", \"ents\": [], \"tokens\": []}\n");
}

static void test_wrong(void) {
    static const struct {
        const char *body;
        int status;
        const char *part;
    } cases[] = {
        {"", 400, "not JSON"},
        {"[]", 400, "JSON object"},
        {"{\"text\":\"a\"}", 400, "which model"},
        {"{\"model\":\"toy/echo\"}", 400, "text or texts"},
        {"{\"model\":\"toy/echo\",\"text\":\"a\",\"texts\":[]}", 400, "text or texts"},
        {"{\"model\":\"toy/echo\",\"text\":7}", 400, "\"param\":\"text\""},
        {"{\"model\":\"toy/echo\",\"text\":\"a\\u0000b\"}", 400, "not JSON"},
        {"{\"model\":\"toy/echo\",\"text\":\"a\",\"text\":\"b\"}", 400, "not JSON"},
        {"{\"model\":\"toy/echo\",\"texts\":\"a\"}", 400, "\"param\":\"texts\""},
        {"{\"model\":\"toy/echo\",\"texts\":[\"a\",null]}", 400, "\"param\":\"texts\""},
        {"{\"model\":\"none\",\"text\":\"a\"}", 404, "ENOTFOUND"},
        {"{\"model\":\"toy/echo\",\"text\":\"a\",\"offsets\":\"bytes\"}", 400,
         "\"param\":\"offsets\""},
        {"{\"model\":\"toy/echo\",\"text\":\"a\",\"attributes\":\"x\"}", 400, "attribute 'x'"},
        {"{\"model\":\"toy/echo\",\"text\":\"a\",\"attributes\":[1]}", 400, "list of names"},
        {"{\"model\":\"toy/echo\",\"text\":\"a\",\"stream\":\"x\"}", 400, "EINVAL"},
        {"{\"model\":\"toy/echo\",\"text\":\"a\",\"components\":[\"a\",\"b\"]}", 400,
         "components=a,b"},
        {"{\"model\":\"toy/echo\",\"text\":\"a\",\"components\":{}}", 400, "EINVAL"},
        {"{\"model\":\"toy/echo\",\"text\":\"a\",\"fail\":\"EBUDGET\"}", 503, "EBUDGET"},
        {"{\"model\":\"toy/broken\",\"texts\":[\"a\"]}", 500, "EFORMAT"},
    };
    for (size_t i = 0; i < BTH_COUNT(cases); i++) {
        refuses(cases[i].body, cases[i].status, cases[i].part);
    }
    struct http_reply r = http_ask(t.address, "POST", "/v1/nlp?model=echo", NULL, "{}");
    CHECK_INT(r.status, 400);
    http_free(&r);
}

static void test_array(void) {
    says("{\"model\":\"toy/echo\",\"texts\":[]}", "[]\n");
    says("{\"model\":\"toy/echo\",\"texts\":[],\"stream\":true}", "");
    says("{\"model\":\"toy/echo\",\"attributes\":\"ents\",\"texts\":[\"a\",\"b\"]}",
         "[{\"text\": \"a\", \"ents\": []},\n{\"text\": \"b\", \"ents\": []}]\n");
    /* each has its own error in its place */
    struct http_reply r =
        ask("{\"model\":\"toy/echo\",\"fail\":\"EAUDIO\",\"texts\":[\"a\",\"b\"],\"stream\":true}");
    CHECK_INT(r.status, 200);
    CHECK(strstr(r.body, "\"EAUDIO\""));
    CHECK(strchr(r.body, '\n') && strchr(strchr(r.body, '\n') + 1, '\n'));
    http_free(&r);
}

/* More than run at once, and more than a connection takes without being read. */
static void test_many(void) {
    enum { N = 500, LONG = 2000 };
    struct bth_str body = {0}, expected = {0};
    char *text = bth_alloc(LONG + 1);
    memset(text, 'x', LONG);
    text[LONG] = '\0';
    bth_str_puts(&body,
                 "{\"model\":\"toy/echo\",\"turns\":2,\"attributes\":\"ents\",\"stream\":true,"
                 "\"texts\":[");
    for (int i = 0; i < N; i++) {
        bth_str_printf(&body, "%s\"%d %s\"", i ? "," : "", i, text);
        bth_str_printf(&expected, "{\"text\": \"%d %s\", \"ents\": []}\n", i, text);
    }
    bth_str_puts(&body, "]}");
    says(bth_str_text(&body), bth_str_text(&expected));
    bth_str_finish(&body);
    bth_str_finish(&expected);
    bth_free(text);
}

/* Slow work whose client leaves: the jobs go with him, and the place is free. */
static void test_left(void) {
    struct http_conn c = http_open(t.address);
    const char *body = "{\"model\":\"toy/echo\",\"turns\":1000,\"turn_us\":10000,\"stream\":true,"
                       "\"texts\":[\"a\",\"b\",\"c\"]}";
    http_say(&c, "POST /v1/nlp HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    http_sleep_ms(300);
    CHECK_INT(bth_server_busy(t.server), 1);
    http_close(&c);
    for (int i = 0; i < 100 && bth_server_busy(t.server) > 0; i++) {
        http_sleep_ms(50);
    }
    CHECK_INT(bth_server_busy(t.server), 0);
}

/* The daemon stops: what is under way says so, in the form that was asked for. */
static void test_stopped(void) {
    struct http_conn c = http_open(t.address);
    struct http_reply r;
    const char *body = "{\"model\":\"toy/echo\",\"turns\":1000,\"turn_us\":10000,"
                       "\"texts\":[\"a\",\"b\"]}";
    http_say(&c, "POST /v1/nlp HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    http_sleep_ms(200);
    bth_server_drain(t.server);
    bth_server_cancel(t.server);
    CHECK(http_read(&c, &r));
    CHECK(strncmp(r.body, "[{\"error\":", 10) == 0 && strstr(r.body, "}}]\n"));
    http_free(&r);
    http_close(&c);
}

int main(void) {
    http_prepare(&t);
    http_start(&t, NULL);
    test_one();
    test_wrong();
    test_array();
    test_many();
    test_left();
    test_stopped();
    http_stop(&t);
    return 0;
}

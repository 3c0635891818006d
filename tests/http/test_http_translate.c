/* LibreTranslate's API and /v1/translate on toy models, which give back what they get: how requests
 * come in, which models they take, what is wrong with them. */
#include "base/alloc.h"
#include "base/compiler.h"
#include "base/str.h"
#include "lib/http.h"
#include "lib/test.h"
#include "lib/tiny_marian.h"

static struct test_server t;

static const char json[] = "Content-Type: application/json\r\n";
static const char form[] = "Content-Type: application/x-www-form-urlencoded\r\n";

static void says(const char *path, const char *headers, const char *body, int status,
                 const char *expected) {
    struct http_reply r = http_ask(t.address, "POST", path, headers, body);
    if (r.status != status || strcmp(r.body, expected) != 0) {
        TEST_FAIL("%s %s: %d %s", path, body, r.status, r.body);
    }
    http_free(&r);
}

static void holds(const char *path, const char *headers, const char *body, int status,
                  const char *part) {
    struct http_reply r = http_ask(t.address, "POST", path, headers, body);
    if (r.status != status || !strstr(r.body, part)) {
        TEST_FAIL("%s %s: %d %s", path, body, r.status, r.body);
    }
    http_free(&r);
}

/* ---- LibreTranslate's ------------------------------------------------------------------------*/

static void test_bodies(void) {
    says("/translate", json, "{\"q\":\"one\",\"source\":\"en\",\"target\":\"pt\"}", 200,
         "{\"translatedText\":\"one\"}\n");
    says("/translate", json,
         "{\"q\":[\"one\",\"\",\"three\"],\"source\":\"en\",\"target\":\"pt\",\"format\":\"text\","
         "\"alternatives\":0,\"api_key\":\"\"}",
         200, "{\"translatedText\":[\"one\",\"\",\"three\"]}\n");
    says("/translate", form, "q=one+%26%20two%0D%0A3&source=en&target=pt&format=text", 200,
         "{\"translatedText\":\"one \\u0026 two\\n3\"}\n");
    says("/translate?q=one&source=en&target=pt", form, "", 200, "{\"translatedText\":\"one\"}\n");
    says("/translate", "Content-Type: multipart/form-data; boundary=B\r\n",
         "--B\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\na\r\nb\r\n--B\r\n"
         "Content-Disposition: form-data; name=\"source\"\r\n\r\nen\r\n--B\r\n"
         "Content-Disposition: form-data; name=\"target\"\r\n\r\npt\r\n--B--\r\n",
         200, "{\"translatedText\":\"a\\nb\"}\n");
    /* fields that are left empty, as forms send them: the first one too */
    says("/translate", form, "q=one&source=en&target=pt&alternatives=", 200,
         "{\"translatedText\":\"one\"}\n");
    says("/translate", json,
         "{\"q\":\"one\",\"source\":\"en\",\"target\":\"pt\",\"alternatives\":\"\"}", 200,
         "{\"translatedText\":\"one\"}\n");
    says("/translate", "Content-Type: multipart/form-data; boundary=B\r\n",
         "--B\r\nContent-Disposition: form-data; name=\"api_key\"\r\n\r\n\r\n--B\r\n"
         "Content-Disposition: form-data; name=\"q\"\r\n\r\na\r\n--B\r\n"
         "Content-Disposition: form-data; name=\"source\"\r\n\r\nen\r\n--B\r\n"
         "Content-Disposition: form-data; name=\"target\"\r\n\r\npt\r\n--B--\r\n",
         200, "{\"translatedText\":\"a\"}\n");
}

static void test_routes(void) {
    /* nl-pt by way of English, zh by LibreTranslate's own code, the same language */
    says("/translate", form, "q=een&source=nl&target=pt", 200, "{\"translatedText\":\"een\"}\n");
    says("/translate", form, "q=een&source=nl&target=pt-BR", 200, "{\"translatedText\":\"een\"}\n");
    says("/translate", form, "q=one&source=en&target=pb", 200, "{\"translatedText\":\"one\"}\n");
    says("/translate", form, "q=one&source=en&target=zt", 200, "{\"translatedText\":\"one\"}\n");
    says("/translate", form, "q=one&source=en&target=en", 200, "{\"translatedText\":\"one\"}\n");
    holds("/translate", form,
          "q=The+quick+brown+fox+jumps+over+the+lazy+dog+again.&source=auto&target=pt", 200,
          "\"language\":\"en\"},\"translatedText\":\"The quick");
    holds("/translate", json,
          "{\"q\":[\"The quick brown fox jumps over the lazy dog\",\"and again\"],"
          "\"source\":\"auto\",\"target\":\"pt\"}",
          200, "\"detectedLanguage\":[{");
    says("/translate", form, "q=12+34&source=auto&target=pt", 200,
         "{\"detectedLanguage\":{\"confidence\":0,\"language\":\"en\"},\"translatedText\":\"12 "
         "34\"}\n");
}

static void test_wrong(void) {
    static const struct {
        const char *type, *body, *message;
    } cases[] = {
        {json, "{", "Invalid JSON format"},
        {json, "[1]", "Invalid JSON format"},
        {json, "{}", "Invalid request: missing q parameter"},
        {json, "{\"q\":\"\",\"source\":\"en\",\"target\":\"pt\"}",
         "Invalid request: missing q parameter"},
        {json, "{\"q\":[],\"source\":\"en\",\"target\":\"pt\"}",
         "Invalid request: missing q parameter"},
        {json, "{\"q\":[1],\"source\":\"en\",\"target\":\"pt\"}",
         "Invalid request: missing q parameter"},
        {form, "", "Invalid request: missing q parameter"},
        {form, "q=a", "Invalid request: missing source parameter"},
        {form, "q=a&source=en", "Invalid request: missing target parameter"},
        {form, "q=a&source=xx&target=pt", "xx is not supported"},
        {form, "q=a&source=en&target=xx", "xx is not supported"},
        {form, "q=a&source=en&target=pt&format=pdf", "pdf format is not supported"},
        {form, "q=a&source=en&target=pt&alternatives=x",
         "Invalid request: alternatives parameter is not a number"},
        {json, "{\"q\":\"a\",\"source\":\"en\",\"target\":\"pt\",\"alternatives\":[]}",
         "Invalid request: alternatives parameter is not a number"},
        {json, "{\"q\":\"a\",\"source\":\"en\",\"target\":\"pt\",\"alternatives\":1e9}",
         "Invalid request: alternatives parameter must be \\u003c= 15"},
        {form, "q=a&source=fr&target=pt",
         "Portuguese (pt) is not available as a target language from French (fr)"},
        {form, "q=%FF&source=en&target=pt", "a field is not text in UTF-8"},
        {form, "q=a%00&source=en&target=pt", "a field is not text in UTF-8"},
        {form, "q=a&q=b&source=en&target=pt", "q is given more than once"},
        {"", "q", "the body is neither JSON nor a form: say which in Content-Type"},
    };
    for (size_t i = 0; i < BTH_COUNT(cases); i++) {
        struct bth_str want = {0};
        bth_str_printf(&want, "{\"error\":\"%s\"}\n", cases[i].message);
        says("/translate", cases[i].type, cases[i].body, 400, bth_str_text(&want));
        bth_str_finish(&want);
    }
    says("/translate_file", form, "", 403,
         "{\"error\":\"Files translation are disabled on this server.\"}\n");
    says("/suggest", json, "{}", 403, "{\"error\":\"Suggestions are disabled on this server.\"}\n");
}

static void test_others(void) {
    holds("/detect", form, "q=Onde+fica+a+esta%C3%A7%C3%A3o+de+trem+mais+pr%C3%B3xima%3F", 200,
          "\"language\":\"pt\"}");
    says("/detect", json, "{\"q\":\"12\"}", 200, "[{\"confidence\":0.0,\"language\":\"en\"}]\n");
    says("/detect", json, "{}", 400, "{\"error\":\"Invalid request: missing q parameter\"}\n");
    struct http_reply r = http_ask(t.address, "GET", "/languages", NULL, NULL);
    CHECK_STR(r.body, "[{\"code\":\"en\",\"name\":\"English\",\"targets\":[\"pt\",\"en\","
                      "\"zh-Hant\"]},{\"code\":\"nl\",\"name\":\"Dutch\",\"targets\":[\"pt\","
                      "\"en\",\"zh-Hant\",\"nl\"]},{\"code\":\"fr\",\"name\":\"French\","
                      "\"targets\":[\"en\",\"nl\"]}]\n");
    http_free(&r);
    r = http_ask(t.address, "GET", "/frontend/settings", NULL, NULL);
    CHECK(strstr(r.body, "\"language\":{\"source\":{\"code\":\"en\",\"name\":\"English\"}"));
    http_free(&r);
    r = http_ask(t.address, "GET", "/health", NULL, NULL);
    CHECK(strstr(r.body, "\"status\":\"ok\""));
    http_free(&r);
}

/* ---- Berth's own -----------------------------------------------------------------------------*/

static void test_own(void) {
    says("/v1/translate", json, "{\"text\":\"a\",\"source\":\"en\",\"target\":\"pt\"}", 200,
         "{\"source\":\"en\",\"target\":\"pt\",\"models\":[\"marian/en-pt\"],\"translation\":"
         "{\"text\":\"a\",\"alternatives\":[],\"sentences\":[]}}\n");
    says("/v1/translate", json,
         "{\"texts\":[\"a\",\"b\"],\"source\":\"nl\",\"target\":\"pt\",\"pivot\":\"en\"}", 200,
         "{\"source\":\"nl\",\"target\":\"pt\",\"models\":[\"marian/nl-en\",\"marian/en-pt\"],"
         "\"pivot\":\"en\",\"translations\":[{\"text\":\"a\",\"alternatives\":[],\"sentences\":[]},"
         "\n{\"text\":\"b\",\"alternatives\":[],\"sentences\":[]}]}\n");
    says("/v1/translate", json,
         "{\"text\":\"a\",\"source\":\"en\",\"target\":\"pt\",\"glossary\":[\"a\"]}", 400,
         "{\"error\":{\"message\":\"glossary is to be an object of terms and their "
         "translations\",\"type\":\"invalid_request_error\",\"param\":\"glossary\",\"code\":"
         "\"EINVAL\"}}\n");
    says("/v1/translate", json, "{\"texts\":[],\"model\":\"marian/en-pt\",\"turns\":2}", 200,
         "{\"models\":[\"marian/en-pt\"],\"translations\":[]}\n");
    says("/v1/translate", json,
         "{\"text\":\"a\",\"source\":\"en\",\"target\":\"pt\",\"stream\":true,\"emit\":1}", 200,
         "event: sentence\ndata: {\"sentences\":[],\"text\":\"a\"}\n\nevent: done\ndata: "
         "{\"text\":\"a\",\"alternatives\":[],\"sentences\":[]}\n\n");
    static const struct {
        const char *body;
        int status;
        const char *part;
    } cases[] = {
        {"", 400, "not JSON"},
        {"{\"source\":\"en\",\"target\":\"pt\"}", 400, "text or texts"},
        {"{\"text\":1,\"source\":\"en\",\"target\":\"pt\"}", 400, "\"param\":\"text\""},
        {"{\"texts\":\"a\",\"source\":\"en\",\"target\":\"pt\"}", 400, "\"param\":\"texts\""},
        {"{\"texts\":[1],\"source\":\"en\",\"target\":\"pt\"}", 400, "\"param\":\"texts\""},
        {"{\"text\":\"a\",\"target\":\"pt\"}", 400, "\"param\":\"source\""},
        {"{\"text\":\"a\",\"source\":\"en\"}", 400, "\"param\":\"target\""},
        {"{\"text\":\"a\",\"source\":\"nl\",\"target\":\"pt\"}", 404, "there are: en-pt, nl-en"},
        {"{\"text\":\"1\",\"source\":\"auto\",\"target\":\"pt\"}", 400, "not clear"},
        {"{\"text\":\"a\",\"model\":\"none\"}", 404, "ENOTFOUND"},
        {"{\"text\":\"a\",\"model\":\"toy/echo\",\"source\":\"en\"}", 400, "\"param\":\"model\""},
        {"{\"text\":\"a\",\"source\":\"en\",\"target\":\"pt\",\"format\":\"x\"}", 400,
         "text or html"},
        {"{\"text\":\"a\",\"source\":\"en\",\"target\":\"pt\",\"alternatives\":99}", 400,
         "0 to 15"},
        {"{\"text\":\"a\",\"source\":\"en\",\"target\":\"pt\",\"nonsense\":1}", 400, "nonsense"},
        {"{\"texts\":[\"a\"],\"source\":\"en\",\"target\":\"pt\",\"stream\":true}", 400, "stream"},
        {"{\"texts\":[\"a\",\"b\"],\"source\":\"en\",\"target\":\"pt\",\"fail\":\"EBUDGET\"}", 503,
         "EBUDGET"},
    };
    for (size_t i = 0; i < BTH_COUNT(cases); i++) {
        holds("/v1/translate", json, cases[i].body, cases[i].status, cases[i].part);
    }
}

/* Models that talk nonsense: terms are never lost, not on a way through two of them either. */
static void test_glossary(void) {
    static const char *const texts[] = {"\"text\":\"one two\"", "\"texts\":[\"Two\",\"one two\"]"};
    static const char *const ways[] = {"\"target\":\"en\"", "\"target\":\"fr\",\"pivot\":\"en\""};
    static const char part[] = "\"glossary\":[{\"term\":\"two\",\"translation\":\"ZWEI\","
                               "\"found\":1,\"used\":";
    char *model = tiny_marian_dir(), body[512];
    tiny_marian_hf(tiny_marian_shape(0), model);
    http_prepare(&t);
    t.marian = model;
    http_start(&t, NULL);
    for (size_t i = 0; i < 4; i++) {
        snprintf(body, sizeof(body),
                 "{%s,\"source\":\"de\",%s,\"max_length_factor\":2,"
                 "\"glossary\":{\"two\":\"ZWEI\",\"no\":\"X\"}}",
                 texts[i % 2], ways[i / 2]);
        holds("/v1/translate", json, body, 200, part);
        struct http_reply r = http_ask(t.address, "POST", "/v1/translate", json, body);
        const char *term = strstr(r.body, "ZWEI"), *list = strstr(r.body, "\"glossary\"");
        CHECK(term && list && term < list); /* in the text, too */
        http_free(&r);
    }
    holds("/v1/translate", json,
          "{\"text\":\"a\",\"source\":\"de\",\"target\":\"fr\",\"pivot\":\"en\",\"glossary\":{\"\":"
          "\"x\"}}",
          400, "blanks around the term");
    http_stop(&t);
    tiny_marian_remove(model);
}

/* More texts than run at once, through two models. */
static void test_many(void) {
    enum { N = 300 };
    struct bth_str body = {0}, expected = {0};
    bth_str_puts(&body, "{\"source\":\"nl\",\"target\":\"pt\",\"q\":[");
    bth_str_puts(&expected, "{\"translatedText\":[");
    for (int i = 0; i < N; i++) {
        bth_str_printf(&body, "%s\"text %d\"", i ? "," : "", i);
        bth_str_printf(&expected, "%s\"text %d\"", i ? "," : "", i);
    }
    bth_str_puts(&body, "]}");
    bth_str_puts(&expected, "]}\n");
    says("/translate", json, bth_str_text(&body), 200, bth_str_text(&expected));
    bth_str_finish(&body);
    bth_str_finish(&expected);
}

/* Slow work whose client leaves. */
static void test_left(void) {
    struct http_conn c = http_open(t.address);
    const char *body = "{\"texts\":[\"a\",\"b\"],\"source\":\"en\",\"target\":\"pt\","
                       "\"turns\":1000,\"turn_us\":10000}";
    http_say(&c,
             "POST /v1/translate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    http_sleep_ms(300);
    CHECK_INT(bth_server_busy(t.server), 1);
    http_close(&c);
    for (int i = 0; i < 100 && bth_server_busy(t.server) > 0; i++) {
        http_sleep_ms(50);
    }
    CHECK_INT(bth_server_busy(t.server), 0);
}

/* A server that wants keys takes LibreTranslate's way of sending them too. */
static void test_keys(void) {
    static const char keys[] = "0123456789abcdef\n";
    char path[512];
    test_dir_write(&t.dir, "keys", keys, sizeof(keys) - 1);
    t.config.key_file = test_dir_path(&t.dir, "keys", path);
    t.pairs[0] = "marian/en-pt";
    http_start(&t, NULL);
    says("/translate", form, "q=one&source=en&target=pt", 400,
         "{\"error\":\"Please contact the server operator to get an API key\"}\n");
    says("/translate", form, "q=one&source=en&target=pt&api_key=fedcba9876543210", 403,
         "{\"error\":\"Invalid API key\"}\n");
    says("/translate", form, "q=one&source=en&target=pt&api_key=0123456789abcdef", 200,
         "{\"translatedText\":\"one\"}\n");
    says("/translate",
         "Content-Type: application/json\r\nAuthorization: Bearer 0123456789abcdef\r\n",
         "{\"q\":\"one\",\"source\":\"en\",\"target\":\"pt\"}", 200,
         "{\"translatedText\":\"one\"}\n");
    holds("/translate", "Authorization: Bearer fedcba9876543210\r\n", "", 401, "not known");
    holds("/v1/translate", json, "{}", 401, "invalid_api_key");
    CHECK_INT(http_status(t.address, "GET", "/languages", NULL, NULL), 200);
    http_stop(&t);
}

int main(void) {
    http_prepare(&t);
    test_keys();
    test_glossary();
    http_prepare(&t);
    t.pairs[0] = "marian/en-pt";
    t.pairs[1] = "marian/nl-en";
    t.pairs[2] = "marian/en-zh-Hant";
    t.pairs[3] = "marian/fr-nl";
    http_start(&t, NULL);
    test_bodies();
    test_routes();
    test_wrong();
    test_others();
    test_own();
    test_many();
    test_left();
    http_stop(&t);
    return 0;
}

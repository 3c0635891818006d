/* Every route of the server and every status that its head or fields can bring about. */
#include "api/handle.h"
#include "base/alloc.h"
#include "lib/http.h"
#include "server/route.h"
#include <ctype.h>
#include <jansson.h>
#include <strings.h>
#include <unistd.h>

static struct test_server t;
static const char *const text_type = "Content-Type: text/plain\r\n";

static json_t *parse(const struct http_reply *r) {
    json_error_t why;
    json_t *j = json_loads(r->body, 0, &why);
    if (!j) {
        TEST_FAIL("not JSON: %s: %s", why.text, r->body);
    }
    return j;
}

/* The reply is an error in OpenAI's shape, all four keys there. */
static void check_error(struct http_reply r, int status, const char *code) {
    CHECK_INT(r.status, status);
    json_t *j = parse(&r), *e = json_object_get(j, "error");
    CHECK(json_is_string(json_object_get(e, "message")));
    CHECK(json_is_string(json_object_get(e, "type")));
    CHECK(json_object_get(e, "param"));
    CHECK_STR(json_string_value(json_object_get(e, "code")), code);
    json_decref(j);
    http_free(&r);
}

static struct http_reply run(const char *query, const char *body) {
    char path[256];
    snprintf(path, sizeof(path), "/v1/run?%s", query);
    return http_ask(t.address, "POST", path, text_type, body);
}

static void test_health(void) {
    static const char *const paths[] = {"/health", "/health/live", "/health/ready"};
    for (size_t i = 0; i < 3; i++) {
        struct http_reply r = http_ask(t.address, "GET", paths[i], NULL, NULL);
        CHECK_INT(r.status, 200);
        CHECK_STR(r.body, "{\"status\":\"ok\",\"live\":true,\"ready\":true}\n");
        CHECK_STR(http_field(&r, "Content-Type"), "application/json");
        http_free(&r);
    }
}

static void test_stats(void) {
    struct http_reply r = http_ask(t.address, "GET", "/api/model-stats", NULL, NULL);
    CHECK_INT(r.status, 200);
    CHECK_STR(r.body, "{\"success\":true,\"stats\":{\"current_usage\":{\"whisper\":0,"
                      "\"translation\":0,\"spacy\":0},\"device\":\"cpu\",\"models_loaded\":"
                      "{\"whisper\":false,\"translation\":false,\"spacy\":false},"
                      "\"instances\":{}}}\n");
    http_free(&r);
    r = http_ask(t.address, "GET", "/v1/stats", NULL, NULL);
    json_t *j = parse(&r);
    CHECK_INT(json_array_size(json_object_get(j, "models")), 3);
    CHECK_INT(json_array_size(json_object_get(j, "devices")), 1);
    CHECK(json_is_false(json_object_get(json_object_get(j, "server"), "draining")));
    json_decref(j);
    http_free(&r);
    r = http_ask(t.address, "GET", "/v1/requests", NULL, NULL);
    CHECK_STR(r.body, "{\"requests\":[]}\n");
    http_free(&r);
    r = http_ask(t.address, "GET", "/metrics", NULL, NULL);
    CHECK_INT(r.status, 200);
    CHECK(strstr(r.body, "\nberth_model_loaded{model=\"toy/echo\"} "));
    CHECK(strstr(r.body, "\nberth_request_duration_seconds_bucket{le=\"+Inf\"} "));
    http_free(&r);
}

static void test_models(void) {
    struct http_reply r = http_ask(t.address, "GET", "/v1/models", NULL, NULL);
    json_t *j = parse(&r);
    CHECK_STR(json_string_value(json_object_get(j, "object")), "list");
    CHECK_INT(json_array_size(json_object_get(j, "data")), 3);
    json_decref(j);
    http_free(&r);
    static const char *const names[] = {"toy/echo", "toy%2Fecho", "echo"};
    for (size_t i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof(path), "/v1/models/%s", names[i]);
        r = http_ask(t.address, "GET", path, NULL, NULL);
        CHECK_INT(r.status, 200);
        j = parse(&r);
        CHECK_STR(json_string_value(json_object_get(j, "name")), "toy/echo");
        CHECK_STR(json_string_value(json_object_get(j, "id")), i == 2 ? "echo" : "toy/echo");
        json_decref(j);
        http_free(&r);
    }
    check_error(http_ask(t.address, "GET", "/v1/models/none", NULL, NULL), 404, "model_not_found");
    /* a path of this machine is no name */
    char path[600];
    snprintf(path, sizeof(path), "/v1/models/%s/echo", t.dir.path);
    check_error(http_ask(t.address, "GET", path, NULL, NULL), 404, "model_not_found");
    check_error(http_ask(t.address, "GET", "/v1/models/a%00b", NULL, NULL), 404, "model_not_found");
}

static void test_control(void) {
    const char *load = "/v1/models/load", *unload = "/v1/models/unload";
    struct http_reply r =
        http_ask(t.address, "POST", load, NULL, "{\"model\":\"toy/slow\",\"wait_ms\":-1}");
    CHECK_INT(r.status, 200);
    CHECK_STR(r.body, "{\"model\":\"toy/slow\"}\n");
    http_free(&r);
    CHECK_INT(http_status(t.address, "POST", unload, NULL, "{\"model\":\"toy/slow\"}"), 200);
    check_error(http_ask(t.address, "POST", load, NULL, "{\"model\":\"toy/slow\",\"wait_ms\":1}"),
                504, "ETIMEDOUT");
    check_error(http_ask(t.address, "POST", load, NULL, "{\"model\":\"toy/broken\"}"), 500,
                "EFORMAT");
    check_error(http_ask(t.address, "POST", load, NULL, "{\"model\":\"none\"}"), 404, "ENOTFOUND");
    check_error(http_ask(t.address, "POST", load, NULL, "{\"model\":\"echo\",\"x\":1}"), 400,
                "EINVAL");
    check_error(http_ask(t.address, "POST", load, NULL, "{}"), 400, "EINVAL");
    check_error(http_ask(t.address, "POST", load, NULL, "{\"model\":[]}"), 400, "EINVAL");
    check_error(http_ask(t.address, "POST", load, NULL, "[]"), 400, "EINVAL");
    check_error(http_ask(t.address, "POST", load, NULL, "nonsense"), 400, "EINVAL");
    check_error(http_ask(t.address, "POST", "/v1/models/load?model=echo", NULL, "{}"), 400,
                "unexpected_query");
    check_error(http_ask(t.address, "POST", "/v1/stop", NULL, NULL), 403, "forbidden");
    static const char echo[] = "{\"model\":\"echo\"}";
    check_error(http_ask(t.address, "POST", "/v1/models/disable", NULL, echo), 403, "EUNSUPPORTED");
    check_error(http_ask(t.address, "POST", "/v1/models/enable", NULL, echo), 403, "EUNSUPPORTED");
    check_error(
        http_ask(t.address, "PUT", "/v1/leases/a/1", NULL, "{\"model\":\"echo\",\"priority\":6}"),
        403, "EUNSUPPORTED");
    check_error(
        http_ask(t.address, "PUT", "/v1/leases/a/1", NULL, "{\"model\":\"echo\",\"priority\":4}"),
        410, "ELOST");
}

static void test_run(void) {
    struct http_reply r = run("model=echo&turns=3&emit=1&stream=true", "hello");
    CHECK_INT(r.status, 200);
    CHECK_STR(http_field(&r, "Content-Type"), "application/x-ndjson");
    CHECK(strstr(r.body, "{\"event\":\"item\",\"partial\":true,\"done\":1,\"total\":3,"
                         "\"text\":\"hello\"}\n"));
    CHECK(strstr(r.body, "{\"event\":\"item\",\"partial\":false,\"done\":3,\"total\":3,"
                         "\"text\":\"hello\"}\n"));
    http_free(&r);
    r = run("model=toy/echo", "<b>\"&\x01\xff");
    CHECK(strstr(r.body, "\"text\":\"\\u003cb\\u003e\\\"\\u0026\\u0001\xEF\xBF\xBD\"}\n"));
    http_free(&r);
    check_error(run("model=echo&fail=EAUDIO", "x"), 400, "EAUDIO");
    check_error(run("model=echo&fail=EDEVICE", "x"), 503, "EDEVICE");
    check_error(run("model=echo&nope=1", "x"), 400, "EINVAL");
    check_error(run("model=echo&turns=1&turns=2", "x"), 400, "EINVAL");
    check_error(run("model=echo&stream=perhaps", "x"), 400, "EINVAL");
    check_error(run("model=echo&priority=10", "x"), 400, "EINVAL");
    check_error(run("model=echo&turns=%00", "x"), 400, "EINVAL");
    check_error(run("turns=1", "x"), 400, "EINVAL");
    check_error(run("model=none", "x"), 404, "ENOTFOUND");
    check_error(run("model=toy/broken", "x"), 500, "EFORMAT");
    check_error(run("model=echo&turns=100&turn_us=20000&timeout_ms=100", "x"), 504, "ETIMEDOUT");
    check_error(http_ask(t.address, "POST", "/v1/run?model=echo", NULL, "x"), 400, "EINVAL");
    /* slow enough for a sign of life, then an error: it is in the stream */
    r = run("model=echo&turns=40&turn_us=20000&fail=EIO&fail_at=39", "x");
    CHECK_INT(r.status, 200);
    CHECK(strncmp(r.body, "{\"event\":\"progress\",", 20) == 0);
    CHECK(strstr(r.body, "{\"event\":\"error\",\"code\":\"EIO\",\"message\":"));
    CHECK(strstr(r.body, ",\"status\":500}\n"));
    http_free(&r);
}

/* One that takes the rest of a path ends in braces in the description. */
static bool is_of(const struct bth_route *route, const char *path) {
    const size_t n = strlen(route->path);
    const bool rest = n > 1 && route->path[n - 1] == '/';
    return rest ? strncmp(path, route->path, n) == 0 && path[n] == '{'
                : strcmp(path, route->path) == 0;
}

/* What the description says of a route. */
static const json_t *described(const json_t *paths, const struct bth_route *route) {
    const char *path;
    char method[8];
    for (size_t i = 0; i <= strlen(route->method); i++) {
        method[i] = (char)tolower((unsigned char)route->method[i]);
    }
    json_t *value;
    json_object_foreach((json_t *)paths, path, value) {
        if (is_of(route, path)) {
            return json_object_get(value, method);
        }
    }
    return NULL;
}

static bool is_there(const char *path, const char *method) {
    for (size_t g = 0; g < bth_n_route_groups; g++) {
        for (size_t i = 0; i < bth_route_groups[g]->n; i++) {
            const struct bth_route *route = &bth_route_groups[g]->routes[i];
            if (is_of(route, path) && strcasecmp(route->method, method) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* The description knows every route, and no other. */
static void test_openapi(void) {
    struct http_reply r = http_ask(t.address, "GET", "/openapi.json", NULL, NULL);
    json_t *j = parse(&r), *paths = json_object_get(j, "paths"), *operations;
    const char *path, *method;
    for (size_t g = 0; g < bth_n_route_groups; g++) {
        for (size_t i = 0; i < bth_route_groups[g]->n; i++) {
            const struct bth_route *route = &bth_route_groups[g]->routes[i];
            if (!described(paths, route)) {
                TEST_FAIL("openapi.json does not have %s %s", route->method, route->path);
            }
        }
    }
    json_object_foreach(paths, path, operations) {
        json_t *operation;
        json_object_foreach(operations, method, operation) {
            if (!is_there(path, method)) {
                TEST_FAIL("there is no %s %s", method, path);
            }
        }
    }
    json_decref(j);
    http_free(&r);
}

static void test_page(void) {
    struct http_reply r = http_ask(t.address, "GET", "/", NULL, NULL);
    CHECK_INT(r.status, 200);
    CHECK_STR(http_field(&r, "Content-Type"), "text/html; charset=utf-8");
    CHECK(http_field(&r, "Content-Security-Policy"));
    CHECK(strstr(r.body, "<title>Berth</title>"));
    http_free(&r);
}

/* What the head alone decides. */
static void test_heads(void) {
    check_error(http_ask(t.address, "GET", "/none", NULL, NULL), 404, "unknown_path");
    struct http_reply r = http_ask(t.address, "DELETE", "/v1/models", NULL, NULL);
    CHECK_STR(http_field(&r, "Allow"), "GET");
    check_error(r, 405, "method_not_allowed");
    check_error(http_ask(t.address, "GET", "/health", NULL, "body"), 400, "unexpected_body");
    check_error(http_ask(t.address, "GET", "/health", "Origin: http://evil.example\r\n", NULL), 403,
                "bad_origin");
    check_error(http_ask(t.address, "GET", "/health", "Origin: null\r\n", NULL), 403, "bad_origin");
    CHECK_INT(http_status(t.address, "GET", "/health", "Origin: http://localhost\r\n", NULL), 200);
    /* our own id only if it can be repeated safely */
    r = http_ask(t.address, "GET", "/health", "X-Request-Id: abc-1.2\r\n", NULL);
    CHECK_STR(http_field(&r, "X-Request-Id"), "abc-1.2");
    CHECK(!http_field(&r, "Access-Control-Allow-Origin"));
    http_free(&r);
    r = http_ask(t.address, "GET", "/health", "X-Request-Id: a<b>\r\n", NULL);
    CHECK(!strstr(http_field(&r, "X-Request-Id"), "<"));
    http_free(&r);
    struct http_conn c = http_open(t.address);
    http_say(&c, "GET /health HTTP/1.1\r\nHost: evil.example:80\r\n\r\n");
    CHECK(http_read(&c, &r));
    check_error(r, 403, "bad_host");
    http_say(&c, "HEAD /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    CHECK(http_read_until(&c, "\r\n\r\n"));
    CHECK(strncmp(c.buf, "HTTP/1.1 200", 12) == 0);
    http_close(&c);
    /* a Unix socket's peer needs no Host that we know */
    c = http_open(t.socket);
    http_say(&c, "GET /health HTTP/1.1\r\nHost: anything\r\n\r\n");
    CHECK(http_read(&c, &r));
    CHECK_INT(r.status, 200);
    http_free(&r);
    http_close(&c);
}

static void test_keys(void) {
    static const char keys[] = "# keys\nalice 0123456789abcdef\n\nfedcba9876543210\n";
    static const char *const origins[] = {"https://page.example"};
    char path[512];
    http_prepare(&t);
    test_dir_write(&t.dir, "keys", keys, sizeof(keys) - 1);
    t.config.key_file = test_dir_path(&t.dir, "keys", path);
    t.config.origins = origins;
    t.config.n_origins = 1;
    http_start(&t, NULL);
    const char *good = "Authorization: Bearer 0123456789abcdef\r\n";
    struct http_reply r = http_ask(t.address, "GET", "/v1/models", NULL, NULL);
    CHECK_STR(http_field(&r, "WWW-Authenticate"), "Bearer");
    check_error(r, 401, "invalid_api_key");
    check_error(http_ask(t.address, "GET", "/v1/models",
                         "Authorization: Bearer 0123456789abcdee\r\n", NULL),
                401, "invalid_api_key");
    check_error(http_ask(t.address, "GET", "/v1/models", "Authorization: Basic eA==\r\n", NULL),
                401, "invalid_api_key");
    CHECK_INT(http_status(t.address, "GET", "/v1/models", good, NULL), 200);
    CHECK_INT(http_status(t.address, "GET", "/health", NULL, NULL), 200);
    CHECK_INT(http_status(t.socket, "GET", "/v1/models", NULL, NULL), 200);
    r = http_ask(t.address, "OPTIONS", "/v1/models", "Origin: https://page.example\r\n", NULL);
    CHECK_INT(r.status, 204);
    CHECK_STR(http_field(&r, "Access-Control-Allow-Origin"), "https://page.example");
    CHECK_STR(http_field(&r, "Access-Control-Allow-Methods"), "GET, POST");
    http_free(&r);
    http_stop(&t);
}

/* What must not start. */
static void test_start(void) {
    struct berth_error err;
    struct bth_server *s = NULL;
    http_prepare(&t);
    t.listen[0] = "0.0.0.0:0";
    struct berth_config c = BERTH_CONFIG_INIT;
    c.file = "";
    CHECK_OK(berth_open(&c, &t.berth, &err), err);
    t.config.berth = t.berth;
    CHECK_INT(bth_server_create(&t.config, &s, &err), BERTH_EINVAL);
    CHECK(strstr(err.message, "--api-key-file"));
    static const char *const wrong[] = {"127.0.0.1",     "example.org:80", "127.0.0.1:70000",
                                        "unix:relative", "[::1:80",        "127.0.0.1:8x"};
    for (size_t i = 0; i < BTH_COUNT(wrong); i++) {
        t.listen[0] = wrong[i];
        CHECK_INT(bth_server_create(&t.config, &s, &err), BERTH_EINVAL);
    }
    t.config.n_listen = 0;
    CHECK_INT(bth_server_create(&t.config, &s, &err), BERTH_EINVAL);
    t.config.key_file = "/no/such/file";
    CHECK(bth_server_create(&t.config, &s, &err) < 0);
    CHECK(!s);
    http_stop(&t);
}

/* A lost device is named; when none is left the server lives, and is not ready. */
static void test_lost(void) {
    const struct berth_error why = {BERTH_EDEVICE, "unplugged"};
    bth_manager_lose(t.berth->manager, 0, &why);
    struct http_reply r = http_ask(t.address, "GET", "/health", NULL, NULL);
    CHECK_INT(r.status, 503);
    CHECK_STR(r.body, "{\"status\":\"no device\",\"live\":true,\"ready\":false,"
                      "\"lost_devices\":[\"cpu\"]}\n");
    http_free(&r);
    CHECK_INT(http_status(t.address, "GET", "/health/live", NULL, NULL), 200);
    check_error(run("model=echo", "x"), 503, "EDEVICE");
    r = http_ask(t.address, "GET", "/v1/events?since=0&follow=false", NULL, NULL);
    CHECK_INT(r.status, 200);
    CHECK(strstr(r.body, "event: device_lost\n") && strstr(r.body, "\"device\":\"cpu\""));
    CHECK(strstr(r.body, "\"cause\":\"unplugged\""));
    http_free(&r);
    r = http_ask(t.address, "GET", "/metrics", NULL, NULL);
    CHECK(strstr(r.body, "berth_device_lost{device=\"cpu\"} 1\n"));
    CHECK(strstr(r.body, "berth_model_instances{model=\"toy/echo\"} 0\n"));
    http_free(&r);
}

int main(void) {
    int64_t live = bth_alloc_live();
    http_prepare(&t);
    http_start(&t, NULL);
    test_health();
    test_stats();
    test_models();
    test_control();
    test_run();
    test_heads();
    test_openapi();
    test_page();
    test_lost();
    http_stop(&t);
    test_keys();
    test_start();
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

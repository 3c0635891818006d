/* Keys, hosts and origins; JSON text. */
#include "base/alloc.h"
#include "base/compiler.h"
#include "lib/files.h"
#include "server/auth.h"
#include "server/json_text.h"

static struct test_dir dir;

static int open_keys(const char *text, struct bth_auth *out, struct berth_error *err) {
    char path[512];
    test_dir_write(&dir, "keys", text, strlen(text));
    return bth_auth_init(out, test_dir_path(&dir, "keys", path), err);
}

static void test_keys(void) {
    struct bth_auth a;
    struct berth_error err;
    CHECK_OK(
        open_keys("\n# a comment\nalice\t0123456789abcdef\r\n  fedcba9876543210\n\n", &a, &err),
        err);
    CHECK_INT(a.n_keys, 2);
    CHECK_STR(bth_auth_check(&a, "Bearer 0123456789abcdef"), "alice");
    CHECK_STR(bth_auth_check(&a, "bearer  fedcba9876543210"), "key 2");
    static const char *const wrong[] = {NULL,
                                        "",
                                        "Bearer",
                                        "Bearer ",
                                        "0123456789abcdef",
                                        "Bearer 0123456789abcde",
                                        "Bearer 0123456789abcdef0",
                                        "Bearer 0123456789abcdeF",
                                        "Basic 0123456789abcdef",
                                        "Bearer 0123456789abcdef "};
    for (size_t i = 0; i < BTH_COUNT(wrong); i++) {
        CHECK(!bth_auth_check(&a, wrong[i]));
    }
    bth_auth_finish(&a);
    CHECK_INT(open_keys("", &a, &err), BERTH_EINVAL);
    CHECK_INT(open_keys("# nothing\n", &a, &err), BERTH_EINVAL);
    CHECK_INT(open_keys("tooshort\n", &a, &err), BERTH_EINVAL);
    CHECK_INT(open_keys("a 0123456789abcdef more\n", &a, &err), BERTH_EINVAL);
    CHECK(strstr(err.message, "line 1"));
    CHECK_INT(bth_auth_init(&a, "/no/such/file", &err), BERTH_ENOTFOUND);
    CHECK_OK(bth_auth_init(&a, NULL, &err), err);
    CHECK(!bth_auth_check(&a, "Bearer 0123456789abcdef"));
    bth_auth_finish(&a);
}

static void test_hosts(void) {
    static const char *const names[] = {"speech.lan"}, *const pages[] = {"https://page.lan"};
    const struct bth_auth a = {.hosts = names, .n_hosts = 1, .origins = pages, .n_origins = 1};
    static const char *const good[] = {"localhost", "LOCALHOST:8000", "127.0.0.1",   "10.1.2.3:80",
                                       "[::1]",     "[::1]:8000",     "Speech.LAN:1"};
    static const char *const bad[] = {"",
                                      ":80",
                                      "evil.example",
                                      "localhost.evil.example",
                                      "127.0.0.1.evil.example",
                                      "localhost:80:90",
                                      "localhost:x",
                                      "[evil]",
                                      "[::1",
                                      "::1",
                                      "speech.lan.",
                                      "[::1]x"};
    for (size_t i = 0; i < BTH_COUNT(good); i++) {
        CHECK(bth_auth_host(&a, good[i]));
    }
    for (size_t i = 0; i < BTH_COUNT(bad); i++) {
        CHECK(!bth_auth_host(&a, bad[i]));
    }
    bool cross;
    CHECK(bth_auth_origin(&a, "http://localhost:8000", "localhost:8000", &cross) && !cross);
    CHECK(bth_auth_origin(&a, "https://page.lan", "localhost:8000", &cross) && cross);
    CHECK(!bth_auth_origin(&a, "http://localhost:8001", "localhost:8000", &cross));
    CHECK(!bth_auth_origin(&a, "https://page.lan.evil", "localhost:8000", &cross));
    CHECK(!bth_auth_origin(&a, "null", "localhost:8000", &cross));
}

static void test_json(void) {
    struct bth_str s = {0};
    bth_str_putc(&s, '{');
    bth_json_put_string(&s, "a", "\"\\\n\x1f</script>\xC3\xA9\xff");
    bth_json_put_string(&s, "b", NULL);
    bth_json_put_number(&s, "c", 0.1);
    bth_json_put_number(&s, "d", (double)NAN);
    bth_json_put_int(&s, "e", -1);
    bth_json_put_bool(&s, "f", true);
    bth_str_putc(&s, '}');
    CHECK_STR(s.data,
              "{\"a\":\"\\\"\\\\\\n\\u001f\\u003c/script\\u003e\xC3\xA9\xEF\xBF\xBD\",\"b\":null,"
              "\"c\":0.10000000000000001,\"d\":null,\"e\":-1,\"f\":true}");
    bth_str_finish(&s);
}

int main(void) {
    int64_t live = bth_alloc_live();
    test_dir_open(&dir);
    test_keys();
    test_hosts();
    test_json();
    test_dir_close(&dir);
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

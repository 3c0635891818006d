#include "api/config.h"
#include "base/alloc.h"
#include "base/str.h"
#include "lib/files.h"
#include <sys/stat.h>

static int parse(const char *text, size_t n, struct bth_config *out, struct berth_error *err) {
    char *copy = malloc(n ? n : 1); /* exact: a sanitizer sees one byte too many */
    CHECK(copy);
    if (n) {
        memcpy(copy, text, n);
    }
    int rc = bth_config_parse("/etc/b.yaml", copy, n, out, err);
    free(copy);
    return rc;
}

static struct bth_config good(const char *text) {
    struct bth_config c;
    struct berth_error err;
    CHECK_OK(parse(text, strlen(text), &c, &err), err);
    return c;
}

/* EINVAL at this place, with these words. */
static void bad(const char *text, const char *place, const char *words) {
    struct bth_config c = {.n_models = 77};
    struct berth_error err = {0};
    char start[64];
    snprintf(start, sizeof(start), "/etc/b.yaml:%s: ", place);
    int rc = parse(text, strlen(text), &c, &err);
    if (rc != BERTH_EINVAL || strncmp(err.message, start, strlen(start)) != 0 ||
        !strstr(err.message, words) || c.n_models != 77) {
        TEST_FAIL("%s\ngave %d \"%s\", expected %s%s", text, rc, err.message, start, words);
    }
    CHECK_INT(parse(text, strlen(text), &c, NULL), BERTH_EINVAL);
}

static void whole(void) {
    struct bth_config c = good("models:\n"
                               "  whisper/base: {path: /srv/base, alias: whisper-1}\n"
                               "  whisper/large-v3.1_x:\n"
                               "    path: models/large # relative\n"
                               "  toy/one: {path: '/a b: c', keep_alive: 5m, pin: true, "
                               "preload: true}\n"
                               "devices:\n"
                               "  cpu: {memory: 4GiB, threads: 2}\n");
    CHECK_INT(c.n_models, 3);
    CHECK_STR(c.models[0].name, "whisper/base");
    CHECK_STR(c.models[0].path, "/srv/base");
    CHECK_STR(c.models[0].alias, "whisper-1");
    CHECK_STR(c.models[1].name, "whisper/large-v3.1_x");
    CHECK_STR(c.models[1].path, "/etc/models/large");
    CHECK(!c.models[1].alias);
    CHECK_STR(c.models[2].path, "/a b: c");
    CHECK_INT(c.models[2].keep_alive_s, 300);
    CHECK(c.models[2].pin && c.models[2].preload);
    CHECK(!c.models[1].keep_alive_s && !c.models[1].pin && !c.models[1].preload);
    CHECK_INT(c.cpu_memory_bytes, 4LL << 30);
    CHECK_INT(c.threads, 2);
    bth_config_finish(&c);
    bth_config_finish(&c);

    static const char *const empty[] = {"",   "\n",         "# nothing\n",
                                        "{}", "models: {}", "---\n{}\n..."};
    for (size_t i = 0; i < BTH_COUNT(empty); i++) {
        c = good(empty[i]);
        CHECK(c.n_models == 0 && c.cpu_memory_bytes == 0 && c.threads == 0);
        bth_config_finish(&c);
    }
}

static void sizes(void) {
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {{"1", 1},
                 {"123456789012", 123456789012},
                 {"7B", 7},
                 {"2KB", 2000},
                 {"3 MB", 3000000},
                 {"4GB", 4000000000},
                 {"5KiB", 5 << 10},
                 {"6MiB", 6 << 20},
                 {"7 GiB", UINT64_C(7) << 30},
                 {"9gib", UINT64_C(9) << 30},
                 {"'8GiB'", UINT64_C(8) << 30}};
    char text[128];
    for (size_t i = 0; i < BTH_COUNT(cases); i++) {
        snprintf(text, sizeof(text), "devices: {cpu: {memory: %s}}", cases[i].text);
        struct bth_config c = good(text);
        CHECK_INT(c.cpu_memory_bytes, cases[i].bytes);
        bth_config_finish(&c);
    }
    static const char *const wrong[] = {
        "''",  "GiB",  "-1",   "0",    "0.2",    "4 gigs",        "4GiBx",
        "nan", "inf",  "1e99", "0x10", "1.5GiB", "9999999999GiB", "99999999999999999999",
        "4G",  "4TiB", "~",    "+-4"};
    for (size_t i = 0; i < BTH_COUNT(wrong); i++) {
        snprintf(text, sizeof(text), "devices: {cpu: {memory: %s}}", wrong[i]);
        bad(text, "1:25", "size");
    }
    static const char *const counts[] = {
        "0", "-1", "1025", "two", "2.0", "''", "99999999999999999999"};
    for (size_t i = 0; i < BTH_COUNT(counts); i++) {
        snprintf(text, sizeof(text), "devices: {cpu: {threads: %s}}", counts[i]);
        bad(text, "1:26", "number");
    }
}

static void refusals(void) {
    bad("modles: {}", "1:1", "modles");
    bad("models: {}\nmodels: {}", "2:1", "twice");
    bad("models:\n  a/b: {path: /x}\n  a/b: {path: /y}\n", "3:3", "twice");
    bad("models:\n  a/b:\n    path: /x\n    path: /y\n", "4:5", "twice");
    bad("devices: {cpu: {threads: 1}, cpu: {}}", "1:30", "twice");
    bad("models:\n  a/b: {path: /x, size: 3}", "2:19", "size");
    bad("devices: {gpu: {}}", "1:11", "gpu");
    bad("devices: {cpu: {cores: 1}}", "1:17", "cores");
    bad("models:\n  a/b: {alias: c}\n", "2:3", "no path");
    bad("models:\n  a/b: {path: ''}\n", "2:15", "path");
    bad("models:\n  a/b: {path: [x]}\n", "2:15", "plain text");
    bad("models:\n  a/b: {path: {x: y}}\n", "2:15", "plain text");
    bad("models:\n  a/b: /x\n", "2:8", "mapping");
    bad("models: [a/b]\n", "1:9", "mapping");
    bad("models:\n", "1:8", "mapping");
    bad("- models\n", "1:1", "mapping");
    bad("models\n", "1:1", "mapping");
    bad("? [a]\n: b\n", "1:3", "key");
    bad("models: &x {}\n", "1:9", "anchors");
    bad("models:\n  a/b: {path: &x /x}\n", "2:15", "anchors");
    bad("models:\n  a/b: {path: *x}\n", "2:15", "aliases");
    bad("<<: *x\n", "1:1", "<<");
    bad("{}\n---\n{}\n", "2:1", "one document");
    bad("models: {a/b: {path: \"/x\\0y\"}}\n", "1:22", "NUL");
    static const char *const names[] = {"base",  "a/",         "/a",    "a/b/c", "a/b c",
                                        "a b/c", "a/\xC3\xA9", "a/b:c", "'a/'",  "../b/c"};
    for (size_t i = 0; i < BTH_COUNT(names); i++) {
        char text[128];
        snprintf(text, sizeof(text), "models:\n  %s: {path: /x}\n", names[i]);
        bad(text, "2:3", "family/name");
    }
    /* what is not YAML, or not UTF-8 */
    static const char *const broken[] = {
        "a: b: c", "{", "[", "\"", "a: 'b", "\t\tx: 1", "\xFF", "a: \x01", "%YAML 9.9\n---\n{}"};
    for (size_t i = 0; i < BTH_COUNT(broken); i++) {
        struct bth_config c;
        struct berth_error err = {0};
        CHECK_INT(parse(broken[i], strlen(broken[i]), &c, &err), BERTH_EINVAL);
        CHECK(strncmp(err.message, "/etc/b.yaml:", 12) == 0);
    }
}

static void limits(void) {
    struct bth_str s = {0};
    bth_str_puts(&s, "models:\n");
    for (int i = 0; i < 1000; i++) {
        bth_str_printf(&s, "  t/%d: {path: /x}\n", i);
    }
    struct bth_config c = good(s.data);
    CHECK_INT(c.n_models, 1000);
    CHECK_STR(c.models[999].name, "t/999");
    bth_config_finish(&c);
    bth_str_puts(&s, "  t/last: {path: /x}\n");
    bad(s.data, "1002:3", "1000");
    bth_str_clear(&s);
    for (int i = 0; i < 100000; i++) {
        bth_str_putc(&s, '[');
    }
    bad(s.data, "1:1", "mapping");
    bth_str_finish(&s);
}

static void every_prefix(void) {
    static const char text[] = "models:\n  whisper/base: {path: /srv/base, alias: whisper-1}\n"
                               "devices:\n  cpu:\n    memory: \"4GiB\"\n    threads: 2\n";
    int64_t live = bth_alloc_live();
    for (size_t n = 0; n < sizeof(text); n++) {
        struct bth_config c;
        int rc = parse(text, n, &c, NULL);
        CHECK(rc == 0 || rc == BERTH_EINVAL);
        if (rc == 0) {
            bth_config_finish(&c);
        }
        CHECK_INT(bth_alloc_live(), live);
    }
}

static void files(const struct test_dir *dir) {
    static const char text[] = "models: {a/b: {path: sub/x}}";
    struct bth_config c;
    struct berth_error err;
    char path[512], want[600];
    test_dir_write(dir, "b.yaml", text, strlen(text));
    CHECK_OK(bth_config_load(test_dir_path(dir, "b.yaml", path), &c, &err), err);
    snprintf(want, sizeof(want), "%s/sub/x", dir->path);
    CHECK_STR(c.models[0].path, want);
    bth_config_finish(&c);
    int64_t live = bth_alloc_live();
    for (int64_t n = 1;; n++) {
        bth_alloc_fail_at(n);
        int rc = bth_config_load(path, &c, NULL);
        bool failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK_INT(rc, failed ? BERTH_ENOMEM : 0);
        if (!failed) {
            CHECK(n > 3);
            bth_config_finish(&c);
            break;
        }
        CHECK_INT(bth_alloc_live(), live);
    }
    char *big = malloc((1 << 20) + 1);
    CHECK(big);
    memset(big, '\n', (1 << 20) + 1);
    test_dir_write(dir, "b.yaml", big, (1 << 20) + 1);
    free(big);
    CHECK_INT(bth_config_load(path, &c, &err), BERTH_ETOOLARGE);
    CHECK_INT(bth_config_load(dir->path, &c, &err), BERTH_EIO);
    CHECK_INT(bth_config_load(test_dir_path(dir, "none", path), &c, &err), BERTH_ENOTFOUND);
}

static void found(const char *expected) {
    char *path = bth_config_find();
    if (expected) {
        CHECK(path);
        CHECK_STR(path, expected);
    } else {
        CHECK(!path || strcmp(path, "/etc/berth/berth.yaml") == 0);
    }
    bth_free(path);
}

static void finding(const struct test_dir *dir) {
    char sub[600], file[700];
    snprintf(sub, sizeof(sub), "%s/berth", dir->path);
    snprintf(file, sizeof(file), "%s/berth.yaml", sub);
    unsetenv("BERTH_CONFIG");
    unsetenv("XDG_CONFIG_HOME");
    setenv("HOME", dir->path, 1);
    found(NULL);
    setenv("XDG_CONFIG_HOME", dir->path, 1);
    found(NULL);
    CHECK(mkdir(sub, 0700) == 0);
    FILE *f = fopen(file, "w");
    CHECK(f && fclose(f) == 0);
    found(file);
    setenv("BERTH_CONFIG", "/named/even/if/missing", 1);
    found("/named/even/if/missing");
    setenv("BERTH_CONFIG", "", 1);
    found(file);
    setenv("XDG_CONFIG_HOME", "", 1); /* as unset: ~/.config, which is not there */
    found(NULL);
    CHECK(remove(file) == 0);
}

static void devices(void) {
    struct bth_config c = good("device: cuda:1\nprecision: exact\n"
                               "devices: {cuda: {memory: 20GiB}, cpu: {threads: 3}}\n");
    CHECK_STR(c.device, "cuda:1");
    CHECK_STR(c.precision, "exact");
    CHECK_INT(c.gpu_memory_bytes, 20LL << 30);
    CHECK_INT(c.threads, 3);
    CHECK_INT(c.cpu_memory_bytes, 0);
    bth_config_finish(&c);
    c = good("models: {}\n");
    CHECK(!c.device && !c.precision && !c.gpu_memory_bytes);
    bth_config_finish(&c);
    bad("devices: {tpu: {memory: 1GiB}}\n", "1:11", "cpu and cuda are known");
    bad("devices: {cuda: {threads: 1}}\n", "1:18", "a GPU has memory, not threads");
    bad("device: [cuda]\n", "1:9", "");
    bad("precision: exact\nprecision: fast\n", "2:1", "precision");
}

static void keeping(void) {
    struct bth_config c = good("models: {toy/a: {path: a, replicas: auto}, toy/b: {path: b, replicas: 3}}\n");
    CHECK_INT(c.models[0].replicas, 0);
    CHECK_INT(c.models[1].replicas, 3);
    bth_config_finish(&c);
    bad("models: {toy/a: {path: a, replicas: 0}}", "1:37", "a number from 1 to 16, or auto");
    bad("models: {toy/a: {path: a, replicas: 17}}", "1:37", "a number from 1 to 16, or auto");
    bad("models: {toy/a: {path: a, replicas: 2x}}", "1:37", "a number from 1 to 16, or auto");
    bad("models: {toy/a: {path: a, replicas: ''}}", "1:37", "a number from 1 to 16, or auto");
    bad("models: {toy/a: {path: a, keep_alive: 5}}", "1:39", "a time like 30s");
    bad("models: {toy/a: {path: a, keep_alive: -5s}}", "1:39", "a time like 30s");
    bad("models: {toy/a: {path: a, keep_alive: 0s}}", "1:39", "a time like 30s");
    bad("models: {toy/a: {path: a, keep_alive: 366d}}", "1:39", "a time like 30s");
    bad("models: {toy/a: {path: a, pin: yes}}", "1:32", "true or false");
    bad("models: {toy/a: {path: a, preload: 1}}", "1:36", "true or false");
}

int main(void) {
    keeping();
    struct test_dir dir;
    test_dir_open(&dir);
    whole();
    devices();
    sizes();
    refusals();
    limits();
    every_prefix();
    files(&dir);
    finding(&dir);
    test_dir_close(&dir);
    CHECK_INT(bth_alloc_live(), 0);
    return 0;
}

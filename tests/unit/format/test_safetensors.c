/* safetensors files made here: single, in a folder, in shards, and every kind of damage. */
#include "base/alloc.h"
#include "base/str.h"
#include "format/source_internal.h"
#include "lib/files.h"

static const char good_header[] =
    "{\"__metadata__\":{\"format\":\"pt\"},"
    "\"b\":{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[8,12]},"
    "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
    "\"none\":{\"dtype\":\"I8\",\"shape\":[0,5],\"data_offsets\":[12,12]},"
    "\"one\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[12,16]}}";
static const char good_data[16] = "0123456789abcdef";

static struct bth_str file(const char *header, const char *data, size_t n) {
    struct bth_str s = {0};
    uint64_t size = strlen(header);
    for (int i = 0; i < 8; i++) {
        bth_str_putc(&s, (char)(size >> (8 * i) & 255));
    }
    bth_str_puts(&s, header);
    bth_str_append(&s, data, n);
    return s;
}

static int parse(const void *data, size_t n, struct berth_error *err) {
    unsigned char *copy = malloc(n ? n : 1);
    CHECK(copy);
    if (n) {
        memcpy(copy, data, n);
    }
    struct bth_source *source = bth_source_create();
    CHECK(source);
    int rc = bth_safetensors_parse(source, copy, n, err);
    rc = rc < 0 ? rc : bth_source_seal(source, err);
    for (size_t i = 0; rc == 0 && i < bth_source_count(source); i++) {
        const struct bth_source_tensor *t = bth_source_at(source, i);
        const unsigned char *bytes = t->data;
        CHECK(bth_source_find(source, t->name) == t);
        CHECK(bytes >= copy && bytes <= copy + n && t->bytes <= (size_t)(copy + n - bytes));
    }
    bth_source_close(source);
    free(copy);
    return rc;
}

static void refuse(const char *header, const char *words) {
    struct berth_error err = {0};
    struct bth_str s = file(header, good_data, 16);
    if (parse(s.data, s.size, &err) != BERTH_EFORMAT || !strstr(err.message, words)) {
        TEST_FAIL("%s gave \"%s\" instead of \"%s\"", header, err.message, words);
    }
    bth_str_finish(&s);
}

/* One tensor, described wrongly. */
static void refuse_tensor(const char *entry, const char *words) {
    char header[512];
    snprintf(header, sizeof(header), "{\"t\":%s}", entry);
    refuse(header, words);
}

static void headers(void) {
    refuse("", "header");
    refuse("[]", "no object");
    refuse("{", "header");
    refuse("{} x", "header");
    refuse("{\"a\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]},"
           "\"a\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
           "duplicate");
    refuse("{\"a\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,4]},"
           "\"b\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[3,7]}}",
           "overlap");
    refuse("{\"a\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,4]},"
           "\"b\":{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
           "overlap");
    refuse("{\"\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}", "name");
    refuse("{\"a\\u0000b\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}", "header");
    refuse("{\"t\":7}", "type");

    const char *at = "\"shape\":[4],\"data_offsets\":[0,4]";
    char entry[256];
    static const char *const types[] = {"\"F64\"", "\"f32\"", "\"\"", "1", "null", "[]"};
    for (size_t i = 0; i < BTH_COUNT(types); i++) {
        snprintf(entry, sizeof(entry), "{\"dtype\":%s,%s}", types[i], at);
        refuse_tensor(entry, "type");
    }
    static const struct {
        const char *shape, *offsets, *words;
    } bad[] = {
        {"[4]", "[0,17]", "inside"},
        {"[4]", "[4,0]", "inside"},
        {"[4]", "[-4,0]", "inside"},
        {"[4]", "[0]", "inside"},
        {"[4]", "[0,4,8]", "inside"},
        {"[4]", "[0,4.0]", "inside"},
        {"[4]", "7", "inside"},
        {"[4]", "[9223372036854775807,9223372036854775807]", "inside"},
        {"[4]", "[0,99999999999999999999]", "header"},
        {"[4]", "[0,3]", "do not hold"},
        {"[-4]", "[0,4]", "dimension"},
        {"[\"4\"]", "[0,4]", "dimension"},
        {"4", "[0,4]", "shape"},
        {"[1,1,1,1,4]", "[0,4]", "shape"},
        {"[4294967296,4294967296]", "[0,0]", "impossible"},
        {"[9223372036854775807,2]", "[0,0]", "impossible"},
        {"[1099511627777]", "[0,1]", "impossible"},
    };
    for (size_t i = 0; i < BTH_COUNT(bad); i++) {
        snprintf(entry, sizeof(entry), "{\"dtype\":\"I8\",\"shape\":%s,\"data_offsets\":%s}",
                 bad[i].shape, bad[i].offsets);
        refuse_tensor(entry, bad[i].words);
    }
}

static void prefixes_and_bytes(void) {
    struct bth_str s = file(good_header, good_data, sizeof(good_data));
    int64_t live = bth_alloc_live();
    CHECK_INT(parse(s.data, s.size, NULL), 0);
    for (size_t n = 0; n < s.size; n++) {
        CHECK_INT(parse(s.data, n, NULL), BERTH_EFORMAT);
    }
    for (size_t i = 0; i < s.size - sizeof(good_data); i++) {
        for (int change = 1; change < 256; change *= 2) {
            s.data[i] = (char)(s.data[i] ^ change);
            int rc = parse(s.data, s.size, NULL);
            CHECK(rc == 0 || rc == BERTH_EFORMAT);
            s.data[i] = (char)(s.data[i] ^ change);
        }
    }
    CHECK_INT(bth_alloc_live(), live);
    bth_str_finish(&s);
    static const unsigned char sizes[][8] = {{255, 255, 255, 255, 255, 255, 255, 255},
                                             {248, 255, 255, 255, 255, 255, 255, 255},
                                             {1, 0, 0, 0, 0, 0, 0, 0}};
    for (size_t i = 0; i < BTH_COUNT(sizes); i++) {
        CHECK_INT(parse(sizes[i], 8, NULL), BERTH_EFORMAT);
    }
}

static void good(const char *path) {
    struct bth_source *s;
    struct berth_error err;
    CHECK_OK(bth_safetensors_open(path, &s, &err), err);
    CHECK_INT(bth_source_count(s), 4);
    const struct bth_source_tensor *t = bth_source_find(s, "b");
    CHECK(t && t->dtype == BERTH_F16 && t->rank == 2 && t->dims[0] == 2 && t->dims[1] == 1);
    CHECK(t->bytes == 4 && memcmp(t->data, "89ab", 4) == 0);
    t = bth_source_find(s, "none");
    CHECK(t && t->bytes == 0 && t->rank == 2);
    t = bth_source_find(s, "one");
    CHECK(t && t->rank == 0 && t->dtype == BERTH_I32 && memcmp(t->data, "cdef", 4) == 0);
    CHECK(!bth_source_find(s, "__metadata__"));
    bth_source_close(s);
}

static void write_shard(const struct test_dir *dir, const char *name, const char *tensor) {
    char header[256];
    snprintf(header, sizeof(header),
             "{\"%s\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,4]}}", tensor);
    struct bth_str s = file(header, tensor, 4);
    test_dir_write(dir, name, s.data, s.size);
    bth_str_finish(&s);
}

static int open_index(const struct test_dir *dir, const char *index, struct berth_error *err) {
    struct bth_source *s = NULL;
    test_dir_write(dir, "model.safetensors.index.json", index, strlen(index));
    int rc = bth_safetensors_open(dir->path, &s, err);
    if (rc == 0) {
        CHECK_INT(bth_source_count(s), 2);
        CHECK(memcmp(bth_source_find(s, "second")->data, "seco", 4) == 0);
    } else {
        CHECK(!s);
    }
    bth_source_close(s);
    return rc;
}

static void shards(const struct test_dir *dir) {
    struct berth_error err;
    write_shard(dir, "m-1.safetensors", "first");
    write_shard(dir, "m-2.safetensors", "second");
    write_shard(dir, "m-3.safetensors", "first");
    CHECK_OK(open_index(dir,
                        "{\"metadata\":{},\"weight_map\":{\"first\":\"m-1.safetensors\","
                        "\"second\":\"m-2.safetensors\"}}",
                        &err),
             err);
    static const struct {
        const char *index;
        int code;
    } bad[] = {
        {"{\"weight_map\":{\"a\":\"../m-1.safetensors\"}}", BERTH_EFORMAT},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", BERTH_EFORMAT},
        {"{\"weight_map\":{\"a\":\"..\"}}", BERTH_EFORMAT},
        {"{\"weight_map\":{\"a\":\"\"}}", BERTH_EFORMAT},
        {"{\"weight_map\":{\"a\":7}}", BERTH_EFORMAT},
        {"{\"weight_map\":[]}", BERTH_EFORMAT},
        {"{}", BERTH_EFORMAT},
        {"[", BERTH_EFORMAT},
        {"{\"weight_map\":{\"first\":\"m-1.safetensors\",\"x\":\"m-3.safetensors\"}}",
         BERTH_EFORMAT}, /* "first" twice */
        {"{\"weight_map\":{\"first\":\"m-1.safetensors\",\"x\":\"m-2.safetensors\"}}",
         BERTH_EFORMAT}, /* x is in no shard */
        {"{\"weight_map\":{\"a\":\"m-4.safetensors\"}}", BERTH_ENOTFOUND},
    };
    for (size_t i = 0; i < BTH_COUNT(bad); i++) {
        err = (struct berth_error){0};
        int rc = open_index(dir, bad[i].index, &err);
        if (rc != bad[i].code || !err.message[0]) {
            TEST_FAIL("%s gave %d: %s", bad[i].index, rc, err.message);
        }
    }
}

static void failing_allocations(const char *path) {
    int64_t live = bth_alloc_live();
    for (int64_t n = 1;; n++) {
        struct bth_source *source = NULL;
        bth_alloc_fail_at(n);
        int rc = bth_safetensors_open(path, &source, NULL);
        bool failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK_INT(rc, failed ? BERTH_ENOMEM : 0);
        bth_source_close(source);
        CHECK_INT(bth_alloc_live(), live);
        if (!failed) {
            CHECK(n > 3);
            return;
        }
    }
}

int main(void) {
    struct test_dir dir;
    struct berth_error err;
    struct bth_source *none;
    char path[512];
    test_dir_open(&dir);
    CHECK_INT(bth_safetensors_open(dir.path, &none, &err), BERTH_ENOTFOUND);
    shards(&dir);
    CHECK_OK(open_index(&dir,
                        "{\"weight_map\":{\"first\":\"m-1.safetensors\","
                        "\"second\":\"m-2.safetensors\"}}",
                        &err),
             err);
    failing_allocations(dir.path);
    struct bth_str s = file(good_header, good_data, sizeof(good_data));
    test_dir_write(&dir, "model.safetensors", s.data, s.size);
    bth_str_finish(&s);
    good(test_dir_path(&dir, "model.safetensors", path));
    good(dir.path);
    failing_allocations(path);
    headers();
    prefixes_and_bytes();
    test_dir_close(&dir);
    CHECK_INT(bth_alloc_live(), 0);
    return 0;
}

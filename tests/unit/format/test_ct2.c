/* CTranslate2 files made here: good ones of every version, and every kind of damage. */
#include "base/alloc.h"
#include "base/str.h"
#include "format/source_internal.h"
#include "lib/files.h"

static void u8(struct bth_str *s, unsigned v) {
    bth_str_putc(s, (char)v);
}
static void u16(struct bth_str *s, unsigned v) {
    u8(s, v & 255);
    u8(s, v >> 8);
}
static void u32(struct bth_str *s, unsigned v) {
    u16(s, v & 65535);
    u16(s, v >> 16);
}
static void string(struct bth_str *s, const char *text) {
    u16(s, (unsigned)strlen(text) + 1);
    bth_str_append(s, text, strlen(text) + 1);
}

/* A variable's head: name, rank, dims; the rest is the caller's. */
static void head(struct bth_str *s, const char *name, int rank, const unsigned *dims) {
    string(s, name);
    u8(s, (unsigned)rank);
    for (int i = 0; i < rank; i++) {
        u32(s, dims[i]);
    }
}

enum { F32, I8, I16, I32, F16, BF16 };

/* type is the code of version 4 and later; older files get what they can say. */
static void variable(struct bth_str *s, int version, const char *name, int rank,
                     const unsigned *dims, int type, const void *data, unsigned items) {
    static const unsigned sizes[] = {4, 1, 2, 4, 2, 2};
    head(s, name, rank, dims);
    u8(s, version >= 4 ? (unsigned)type : sizes[type]);
    u32(s, version >= 4 ? items * sizes[type] : items);
    bth_str_append(s, data, items * sizes[type]);
}

static const float floats[6] = {0.5F, -1.0F, 2.0F, 3.25F, 0.0F, 1e-3F};
static const signed char bytes[6] = {1, -2, 3, -4, 5, -6};
static const unsigned dims23[2] = {2, 3}, dims2[1] = {2};

static void good_file(struct bth_str *s, int version) {
    u32(s, (unsigned)version);
    if (version >= 2) {
        string(s, "WhisperSpec");
        u32(s, 3);
    }
    u32(s, 4);
    variable(s, version, "z/weight", 2, dims23, I8, bytes, 6);
    variable(s, version, "z/weight_scale", 1, dims2, F32, floats, 2);
    variable(s, version, "a", 2, dims23, F32, floats, 6);
    variable(s, version, "n", 0, NULL, I16, "\x08", 1);
    if (version >= 3) {
        u32(s, 1);
        string(s, "alias/weight");
        string(s, "z/weight");
    }
}

/* Parses a copy of exactly these bytes, so that a sanitizer sees one too many, and looks at every
 * tensor of it. */
static int parse(const struct bth_str *s, size_t n, struct berth_error *err) {
    unsigned char *copy = malloc(n ? n : 1);
    CHECK(copy);
    if (n) {
        memcpy(copy, s->data, n);
    }
    struct bth_source *source = bth_source_create();
    CHECK(source);
    int rc = bth_ct2_parse(source, copy, n, err);
    for (size_t i = 0; rc == 0 && i < bth_source_count(source); i++) {
        const struct bth_source_tensor *t = bth_source_at(source, i);
        const unsigned char *data = t->data;
        CHECK(bth_source_find(source, t->name) == t);
        CHECK(data >= copy && t->bytes <= (size_t)(copy + n - data));
    }
    bth_source_close(source);
    free(copy);
    return rc;
}

static void refuse(const struct bth_str *s, const char *words) {
    struct berth_error err = {0};
    CHECK_INT(parse(s, s->size, &err), BERTH_EFORMAT);
    if (!strstr(err.message, words)) {
        TEST_FAIL("\"%s\" does not say \"%s\"", err.message, words);
    }
}

static void every_version(const struct test_dir *dir) {
    for (int version = 1; version <= 6; version++) {
        struct bth_str s = {0};
        struct berth_error err;
        struct bth_source *source;
        char path[512];
        good_file(&s, version);
        test_dir_write(dir, "model.bin", s.data, s.size);
        CHECK_OK(bth_ct2_open(test_dir_path(dir, "model.bin", path), &source, &err), err);
        uint32_t revision;
        CHECK_STR(bth_ct2_spec(source, &revision), version >= 2 ? "WhisperSpec" : "");
        CHECK_INT(revision, version >= 2 ? 3 : 1);
        CHECK_INT(bth_source_count(source), version >= 3 ? 6 : 4);
        const struct bth_source_tensor *t = bth_source_find(source, "a");
        CHECK(t && t->dtype == BERTH_F32 && t->rank == 2 && t->dims[0] == 2 && t->dims[1] == 3);
        CHECK(t->bytes == 24 && memcmp(t->data, floats, 24) == 0);
        t = bth_source_find(source, "n");
        CHECK(t && t->rank == 0 && t->dtype == BERTH_I16 && t->bytes == 2);
        t = bth_source_find(source, "z/weight");
        CHECK(t && t->dtype == BERTH_I8 && memcmp(t->data, bytes, 6) == 0);
        CHECK(!bth_source_find(source, "z") && !bth_source_at(source, 6));
        const struct bth_source_tensor *a = bth_source_find(source, "alias/weight");
        const struct bth_source_tensor *scale = bth_source_find(source, "alias/weight_scale");
        CHECK(version < 3 ? !a && !scale : a->data == t->data && scale->bytes == 8);
        bth_source_close(source);
        bth_str_finish(&s);
    }
}

static void every_prefix_and_byte(int version) {
    struct bth_str s = {0};
    good_file(&s, version);
    int64_t live = bth_alloc_live();
    for (size_t n = 0; n < s.size; n++) {
        CHECK_INT(parse(&s, n, NULL), BERTH_EFORMAT);
    }
    for (size_t i = 0; i < s.size; i++) {
        for (int change = 1; change < 256; change *= 2) {
            s.data[i] = (char)(s.data[i] ^ change);
            int rc = parse(&s, s.size, NULL);
            CHECK(rc == 0 || rc == BERTH_EFORMAT);
            s.data[i] = (char)(s.data[i] ^ change);
        }
    }
    CHECK_INT(bth_alloc_live(), live);
    bth_str_finish(&s);
}

/* version, spec, revision, and a number of variables */
static struct bth_str begin(unsigned n) {
    struct bth_str s = {0};
    u32(&s, 6);
    string(&s, "WhisperSpec");
    u32(&s, 3);
    u32(&s, n);
    return s;
}

static void refuse_shape(int rank, const unsigned *dims, unsigned type, unsigned size,
                         const char *words) {
    struct bth_str s = begin(1);
    head(&s, "t", rank, dims);
    u8(&s, type);
    u32(&s, size);
    bth_str_append(&s, floats, sizeof(floats));
    u32(&s, 0);
    refuse(&s, words);
    bth_str_finish(&s);
}

static void lies(void) {
    const unsigned huge[4] = {0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF};
    const unsigned wraps[4] = {0x80000000, 0x80000000, 4, 1}, many[5] = {1, 1, 1, 1, 6};
    const unsigned two_to_41[2] = {1U << 21, 1U << 20}, none[2] = {0, 0xFFFFFFFF};
    refuse_shape(4, huge, F32, 24, "impossible");
    refuse_shape(4, wraps, F32, 0, "impossible"); /* 2^64 elements are 0 bytes to the careless */
    refuse_shape(2, two_to_41, I8, 0, "impossible");
    refuse_shape(5, many, F32, 24, "dimensions");
    refuse_shape(2, dims23, F32, 20, "do not hold");
    refuse_shape(2, dims23, F16, 24, "do not hold");
    refuse_shape(2, dims23, 6, 24, "unknown type");
    refuse_shape(2, dims23, F32, 0xFFFFFFFF, "cut short");
    refuse_shape(2, none, F32, 24, "do not hold");

    for (unsigned version = 0; version <= 7; version += 7) {
        struct bth_str s = {0};
        good_file(&s, 6);
        s.data[0] = (char)version;
        refuse(&s, "version");
        bth_str_finish(&s);
    }
    struct bth_str s = begin(0xFFFFFFFF); /* no memory is taken for what is only claimed */
    refuse(&s, "cut short");
    bth_str_finish(&s);

    s = begin(2);
    variable(&s, 6, "t", 2, dims23, F32, floats, 6);
    variable(&s, 6, "t", 2, dims23, F32, floats, 6);
    u32(&s, 0);
    refuse(&s, "twice");
    bth_str_finish(&s);
}

static void refuse_alias(const char *alias, const char *name, const char *words) {
    struct bth_str s = begin(2);
    variable(&s, 6, "t", 2, dims23, F32, floats, 6);
    variable(&s, 6, "u", 2, dims23, F32, floats, 6);
    u32(&s, 2);
    string(&s, "v");
    string(&s, "t");
    string(&s, alias);
    string(&s, name);
    refuse(&s, words);
    bth_str_finish(&s);
}

static void refuse_name(const char *name, size_t n) {
    struct bth_str s = begin(1);
    u16(&s, (unsigned)n);
    bth_str_append(&s, name, n);
    u8(&s, 0);
    u8(&s, F32);
    u32(&s, 4);
    bth_str_append(&s, floats, 4);
    u32(&s, 0);
    refuse(&s, "");
    bth_str_finish(&s);
}

static void names(void) {
    refuse_alias("w", "nowhere", "not there");
    refuse_alias("u", "t", "twice");
    refuse_alias("v", "t", "twice");
    refuse_alias("w", "v", "not there"); /* an alias is no target */
    refuse_name("", 0);
    refuse_name("", 1);
    refuse_name("abc", 3);   /* no NUL */
    refuse_name("a\0bc", 5); /* two */
    refuse_name("\xFF\xFE", 3);
    char long_name[600];
    memset(long_name, 'x', sizeof(long_name));
    long_name[599] = 0;
    refuse_name(long_name, sizeof(long_name));
}

static void failing_allocations(const struct test_dir *dir) {
    struct bth_str s = {0};
    char path[512];
    good_file(&s, 6);
    test_dir_write(dir, "model.bin", s.data, s.size);
    bth_str_finish(&s);
    int64_t live = bth_alloc_live();
    for (int64_t n = 1;; n++) {
        struct bth_source *source = NULL;
        bth_alloc_fail_at(n);
        int rc = bth_ct2_open(test_dir_path(dir, "model.bin", path), &source, NULL);
        bool failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK_INT(rc, failed ? BERTH_ENOMEM : 0);
        CHECK(failed == !source);
        bth_source_close(source);
        CHECK_INT(bth_alloc_live(), live);
        if (!failed) {
            CHECK(n > 3);
            return;
        }
    }
}

static float number(const char *type, const void *data, enum berth_dtype dtype) {
    /* one byte off, as in real files */
    char raw[8] = {0};
    float out = -1;
    size_t n = dtype == BERTH_F32 ? 4 : 2;
    memcpy(raw + 1, data, n);
    struct bth_source_tensor t = {.name = type, .dtype = dtype, .data = raw + 1, .bytes = n};
    CHECK_INT(bth_source_to_f32(&t, &out, NULL), 0);
    return out;
}

static float half(unsigned bits) {
    uint16_t h = (uint16_t)bits;
    return number("f16", &h, BERTH_F16);
}

static void to_f32(void) {
    for (unsigned h = 0; h < 0x10000; h++) {
        unsigned e = h >> 10 & 31, m = h & 0x3FF;
        float got = half(h), sign = h & 0x8000 ? -1.0F : 1.0F;
        if (e == 31 && m) {
            CHECK(isnan(got));
            continue;
        }
        float want = e == 31  ? INFINITY
                     : e == 0 ? ldexpf((float)m, -24)
                              : ldexpf((float)(m + 1024), (int)e - 25);
        CHECK(got == sign * want && !signbit(got) == !(h & 0x8000));
    }
    uint16_t one_third = 0x3EAB;
    CHECK(number("bf16", &one_third, BERTH_BF16) == 0x1.56p-2F);
    CHECK(number("f32", &floats[3], BERTH_F32) == 3.25F);
    struct bth_source_tensor t = {.name = "i", .dtype = BERTH_I8, .data = "", .bytes = 1};
    float out = 7;
    CHECK_INT(bth_source_to_f32(&t, &out, NULL), BERTH_EFORMAT);
    CHECK(out == 7);
    t = (struct bth_source_tensor){.name = "e", .dtype = BERTH_F16, .data = NULL, .bytes = 0};
    CHECK_INT(bth_source_to_f32(&t, NULL, NULL), 0);
}

/* A real model, where there is one: BERTH_SAMPLE names its folder. */
static void sample(void) {
    const char *folder = getenv("BERTH_SAMPLE");
    if (!folder) {
        return;
    }
    char path[512];
    struct bth_source *s;
    struct berth_error err;
    uint32_t revision;
    snprintf(path, sizeof(path), "%s/model.bin", folder);
    CHECK_OK(bth_ct2_open(path, &s, &err), err);
    CHECK_STR(bth_ct2_spec(s, &revision), "WhisperSpec");
    CHECK(revision == 3 && bth_source_count(s) > 100);
    const struct bth_source_tensor *e = bth_source_find(s, "decoder/embeddings/weight");
    const struct bth_source_tensor *p = bth_source_find(s, "decoder/projection/weight");
    CHECK(e && p && e->data == p->data && e->rank == 2 && e->dims[0] >= 51864);
    bth_source_close(s);
}

int main(void) {
    struct test_dir dir;
    struct berth_error err;
    struct bth_source *none;
    char path[512];
    test_dir_open(&dir);
    every_version(&dir);
    for (int version = 3; version <= 6; version++) {
        every_prefix_and_byte(version);
    }
    lies();
    names();
    failing_allocations(&dir);
    to_f32();
    sample();
    CHECK_INT(bth_ct2_open(test_dir_path(&dir, "nowhere", path), &none, &err), BERTH_ENOTFOUND);
    CHECK_INT(bth_ct2_open(dir.path, &none, &err), BERTH_EIO);
    test_dir_write(&dir, "empty", "", 0);
    CHECK_INT(bth_ct2_open(test_dir_path(&dir, "empty", path), &none, &err), BERTH_EFORMAT);
    test_dir_close(&dir);
    CHECK_INT(bth_alloc_live(), 0);
    return 0;
}

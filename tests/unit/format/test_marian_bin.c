/* Marian .bin containers made here: good ones, and every kind of damage. */
#include "base/alloc.h"
#include "format/source_internal.h"
#include "lib/marian_bytes.h"

static const float floats[6] = {0.5F, -1.0F, 2.0F, 3.25F, 0.0F, 1e-3F};
static const int8_t ints[6] = {1, -2, 3, -4, 5, -127};

static void good_file(struct bth_str *out) {
    struct bin b = {0};
    bin_item(&b, "decoder_ff_logit_out_b", BIN_F32, 1, 6, floats, sizeof(floats));
    bin_int8(&b, "encoder_l1_ffn_W1", 2, 3, ints, 4);
    bin_int8(&b, "Wemb", 2, 3, ints, 8);
    bin_item(&b, "special:model.yml", BIN_I8, 0, 6, "a: b\n", 6);
    bin_finish(&b, out);
}

struct outcome {
    struct berth_error err;
    struct bth_source *source; /* of the last that was good, if kept */
    bool keep;
};

static int parse(const unsigned char *data, size_t n, void *user) {
    struct outcome *o = user;
    struct bth_source *s = bth_source_create();
    if (!s) {
        return BERTH_ENOMEM;
    }
    int rc = bth_marian_bin_parse(s, data, n, &o->err);
    for (size_t i = 0; rc == 0 && i < bth_source_count(s); i++) {
        const struct bth_source_tensor *t = bth_source_at(s, i);
        const unsigned char *at = t->data;
        CHECK(at >= data && t->bytes <= (size_t)(data + n - at));
    }
    if (rc == 0 && o->keep) {
        o->source = s;
    } else {
        bth_source_close(s);
    }
    return rc;
}

static void test_good(void) {
    struct bth_str file = {0};
    good_file(&file);
    struct outcome o = {.keep = true};
    CHECK_OK(parse((unsigned char *)file.data, file.size, &o), o.err);
    const struct bth_source_tensor *w = bth_source_find(o.source, "encoder_l1_ffn_W1");
    CHECK(w && w->dtype == BERTH_I8 && w->dims[0] == 3 && w->dims[1] == 2); /* as its bytes lie */
    CHECK(memcmp(w->data, ints, 6) == 0);
    const struct bth_source_tensor *e = bth_source_find(o.source, "Wemb");
    CHECK(e && e->dims[0] == 2 && e->dims[1] == 3);
    const struct bth_source_tensor *scale = bth_source_find(o.source, "Wemb" BTH_MARIAN_SCALE);
    float value;
    CHECK(scale && scale->bytes == sizeof(value));
    memcpy(&value, scale->data, sizeof(value));
    CHECK(value == 8);
    const struct bth_source_tensor *b = bth_source_find(o.source, "decoder_ff_logit_out_b");
    CHECK(b && b->bytes == sizeof(floats) && memcmp(b->data, floats, sizeof(floats)) == 0);
    const struct bth_source_tensor *yml = bth_source_find(o.source, "special:model.yml");
    CHECK(yml && yml->bytes == 6);
    bth_source_close(o.source);
    bth_str_finish(&file);
}

static void refuse(struct bin *b, const char *words) {
    struct bth_str file = {0};
    struct outcome o = {0};
    bin_finish(b, &file);
    CHECK_INT(with_copy(&file, file.size, parse, &o), BERTH_EFORMAT);
    if (!strstr(o.err.message, words)) {
        TEST_FAIL("%s does not say %s", o.err.message, words);
    }
    bth_str_finish(&file);
}

static void test_refusals(void) {
    struct bin packed = {0};
    bin_item(&packed, "x", 0x0801, 1, 1, floats, 4);
    refuse(&packed, "of type 801");
    struct bin twice = {0};
    bin_item(&twice, "x", BIN_F32, 1, 1, floats, 4);
    bin_item(&twice, "x", BIN_F32, 1, 1, floats, 4);
    refuse(&twice, "twice");
    struct bin small = {0};
    bin_item(&small, "x", BIN_F32, 100, 100, floats, sizeof(floats));
    refuse(&small, "shorter than its shape");
    struct bin no_scale = {0};
    bin_item(&no_scale, "x_W", BIN_INTGEMM8, 16, 16, floats, 24); /* 256 bytes hold no scale */
    refuse(&no_scale, "shorter than its shape");
    struct bin huge = {0};
    bin_item(&huge, "x", BIN_F32, 0x7fffffff, 0x7fffffff, floats, 4);
    refuse(&huge, "shorter than its shape");
    struct bth_str claims = {0};
    put_int(&claims, 1, 8);
    put_int(&claims, UINT64_MAX, 8);
    put_zeros(&claims, 64);
    struct outcome o = {0};
    CHECK_INT(with_copy(&claims, claims.size, parse, &o), BERTH_EFORMAT);
    bth_str_finish(&claims);
}

static void test_damage(void) {
    struct bth_str file = {0};
    struct outcome o = {0};
    good_file(&file);
    damage_all(&file, parse, &o);
    bth_str_finish(&file);
}

static void test_no_memory(void) {
    struct bth_str file = {0};
    good_file(&file);
    bool fired = true;
    for (int64_t n = 1; fired; n++) {
        struct outcome o = {0};
        bth_alloc_fail_at(n);
        int rc = parse((unsigned char *)file.data, file.size, &o);
        fired = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK_INT(rc, fired ? BERTH_ENOMEM : 0);
    }
    bth_str_finish(&file);
}

int main(void) {
    test_good();
    test_refusals();
    test_damage();
    test_no_memory();
    CHECK_INT(bth_alloc_live(), 0);
    return 0;
}

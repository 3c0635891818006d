/* thinc's model files: a small one is read, damaged and lying ones are refused. */
#include "base/alloc.h"
#include "base/dtype.h"
#include "format/packed.h"
#include "format/thinc.h"
#include "lib/test.h"

static msgpack_sbuffer buf;
static msgpack_packer pk;

static void str(const char *s) {
    msgpack_pack_str_with_body(&pk, s, strlen(s));
}
static void bin(const void *p, size_t n) {
    msgpack_pack_bin_with_body(&pk, p, n);
}
static void ints(const char *name, int64_t value) {
    msgpack_pack_map(&pk, 1);
    str(name);
    msgpack_pack_int64(&pk, value);
}

struct recipe {
    int64_t index, ref, rows;
    const char *type;
    bool nd, shim;
    size_t attr_bytes;
};
static const struct recipe good = {0, 0, 2, "<f4", true, false, 3};

static void array(const struct recipe *r) {
    static const float data[2] = {1.5f, -2};
    msgpack_pack_map(&pk, 5);
    bin("nd", 2);
    r->nd ? msgpack_pack_true(&pk) : msgpack_pack_false(&pk);
    bin("type", 4);
    str(r->type);
    bin("kind", 4);
    bin("", 0);
    bin("shape", 5);
    msgpack_pack_array(&pk, 2);
    msgpack_pack_int64(&pk, r->rows);
    msgpack_pack_int64(&pk, 1);
    bin("data", 4);
    bin(data, sizeof(data));
}

static void write_model(const struct recipe *r) {
    msgpack_sbuffer_clear(&buf);
    msgpack_packer_init(&pk, &buf, msgpack_sbuffer_write);
    msgpack_pack_map(&pk, 4);
    str("nodes");
    msgpack_pack_array(&pk, 1);
    msgpack_pack_map(&pk, 4);
    str("index");
    msgpack_pack_int64(&pk, r->index);
    str("name");
    str("linear");
    str("dims");
    ints("nO", 2);
    str("refs");
    ints("lower", r->ref);
    str("attrs");
    msgpack_pack_array(&pk, 1);
    msgpack_pack_map(&pk, 2);
    str("columns");
    bin("\x92\xa1"
        "a\xa2"
        "bc",
        6);
    str("seed");
    bin("\xcd\x01\x02", r->attr_bytes);
    str("params");
    msgpack_pack_array(&pk, 1);
    msgpack_pack_map(&pk, 2);
    str("W");
    array(r);
    str("b");
    msgpack_pack_nil(&pk);
    str("shims");
    msgpack_pack_array(&pk, 1);
    msgpack_pack_array(&pk, r->shim ? 1 : 0);
    if (r->shim) {
        bin("x", 1);
    }
}

static void test_reads(void) {
    struct berth_error err;
    struct bth_thinc *m;
    write_model(&good);
    CHECK_OK(bth_thinc_parse(buf.data, buf.size, &m, &err), err);
    CHECK_INT(bth_thinc_count(m), 1);
    CHECK(!bth_thinc_at(m, 1));
    const struct bth_thinc_node *n = bth_thinc_at(m, 0);
    CHECK_STR(n->name, "linear");
    CHECK_INT(bth_thinc_dim(n, "nO"), 2);
    CHECK_INT(bth_thinc_dim(n, "nI"), -1);
    CHECK_INT(bth_thinc_ref(n, "lower"), 0);
    const struct bth_thinc_attr *a = bth_thinc_attr(n, "columns");
    CHECK(a && a->kind == BTH_THINC_LIST && a->n == 2);
    CHECK_STR(a->items[1].text, "bc");
    a = bth_thinc_attr(n, "seed");
    CHECK(a && a->kind == BTH_THINC_INT && a->integer == 258);
    CHECK(!bth_thinc_attr(n, "pad") && !bth_thinc_param(n, "b"));
    const struct bth_source_tensor *w = bth_thinc_param(n, "W");
    CHECK(w && w->rank == 2 && w->dims[0] == 2 && w->dims[1] == 1 && w->bytes == 8);
    float x[2];
    CHECK_OK(bth_source_to_f32(w, x, &err), err);
    CHECK(x[0] == 1.5f && x[1] == -2);
    bth_thinc_close(m);
    bth_thinc_close(NULL);
}

static void test_refuses(void) {
    struct recipe bad[8];
    for (size_t i = 0; i < BTH_COUNT(bad); i++) {
        bad[i] = good;
    }
    bad[0].index = 1;               /* out of its place */
    bad[1].ref = 1;                 /* no such node */
    bad[2].ref = -3;                /* neither */
    bad[3].rows = 3;                /* more than its bytes */
    bad[4].rows = INT64_C(1) << 62; /* overflow */
    bad[5].type = "<f8";            /* not read */
    bad[6].nd = false;              /* a scalar */
    bad[7].attr_bytes = 2;          /* cut short */
    struct berth_error err;
    struct bth_thinc *m = NULL;
    for (size_t i = 0; i < BTH_COUNT(bad); i++) {
        write_model(&bad[i]);
        CHECK_INT(bth_thinc_parse(buf.data, buf.size, &m, &err), BERTH_EFORMAT);
        CHECK(!m);
    }
    struct recipe foreign = good;
    foreign.shim = true;
    write_model(&foreign);
    CHECK_INT(bth_thinc_parse(buf.data, buf.size, &m, &err), BERTH_EUNSUPPORTED);
    write_model(&good);
    for (size_t cut = 0; cut < buf.size; cut++) {
        CHECK_INT(bth_thinc_parse(buf.data, cut, &m, &err), BERTH_EFORMAT);
    }
}

/* Claims without bytes, deep nesting, extensions: refused before anything is allocated for them. */
static void test_packed(void) {
    static const struct {
        const char *bytes;
        size_t n;
    } bad[] = {{"\xdd\xff\xff\xff\xff", 5},
               {"\xdf\xff\xff\xff\xff\x01", 6},
               {"\xc6\xff\xff\xff\xff", 5},
               {"\x92\x01", 2},
               {"\xc1", 1},
               {"\xd4\x01\x01", 3},
               {"\x01\x01", 2},
               {"", 0},
               {"\xdc\x00", 2},
               {"\x93\xdc\xff\xff\xdc\xff\xff", 7}};
    struct berth_error err;
    struct bth_packed p = {0};
    for (size_t i = 0; i < BTH_COUNT(bad); i++) {
        CHECK_INT(bth_packed_open(&p, bad[i].bytes, bad[i].n, &err), BERTH_EFORMAT);
    }
    char deep[1000];
    memset(deep, 0x91, sizeof(deep));
    deep[BTH_PACKED_MAX_DEPTH] = 1;
    CHECK_OK(bth_packed_open(&p, deep, BTH_PACKED_MAX_DEPTH + 1, &err), err);
    bth_packed_close(&p);
    deep[BTH_PACKED_MAX_DEPTH] = (char)0x91;
    deep[BTH_PACKED_MAX_DEPTH + 1] = 1;
    CHECK_INT(bth_packed_open(&p, deep, BTH_PACKED_MAX_DEPTH + 2, &err), BERTH_EFORMAT);
    CHECK_INT(bth_packed_open(&p, deep, sizeof(deep), &err), BERTH_EFORMAT);
    bth_packed_close(&p);
    /* text is not copied */
    const char text[] = "\x81\xa1k\xa1v";
    CHECK_OK(bth_packed_open(&p, text, 5, &err), err);
    size_t n;
    CHECK(bth_packed_text(bth_packed_get(&p.root, "k"), &n) == text + 4 && n == 1);
    bth_packed_close(&p);
}

static void test_memory(void) {
    struct berth_error err;
    write_model(&good);
    const int64_t before = bth_alloc_live();
    for (int64_t n = 1;; n++) {
        struct bth_thinc *m = NULL;
        bth_alloc_fail_at(n);
        int rc = bth_thinc_parse(buf.data, buf.size, &m, &err);
        const bool failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        bth_thinc_close(m);
        CHECK_INT(bth_alloc_live(), before);
        if (!failed) {
            CHECK_INT(rc, 0);
            break;
        }
        CHECK_INT(rc, BERTH_ENOMEM);
    }
}

int main(void) {
    msgpack_sbuffer_init(&buf);
    test_reads();
    test_refuses();
    test_packed();
    test_memory();
    msgpack_sbuffer_destroy(&buf);
    return 0;
}

/* Forms cut at every place, forms that lie, and forms that are too large. */
#include "base/alloc.h"
#include "base/compiler.h"
#include "base/str.h"
#include "lib/test.h"
#include "server/form.h"
#include "server/json_body.h"

static const struct bth_body_limits limits = {.most = 1000, .memory = 100, .dir = "/tmp"};

struct reading {
    struct bth_body body;
    struct bth_form form;
    struct berth_error err;
};

/* Feeds a form in pieces of `step` bytes. */
static int read_form(struct reading *r, const char *type, const char *text, size_t n, size_t step) {
    struct bth_multipart *m = NULL;
    r->err = (struct berth_error){0};
    bth_body_init(&r->body);
    bth_form_init(&r->form, &r->body, &limits);
    struct bth_multipart_sink sink = bth_form_sink(&r->form);
    int rc = bth_multipart_create(type, &sink, &m, &r->err);
    for (size_t i = 0; rc == 0 && i < n; i += step) {
        rc = bth_multipart_feed(m, text + i, BTH_MIN(step, n - i), &r->err);
    }
    rc = rc < 0 ? rc : bth_multipart_finish(m, &r->err);
    bth_multipart_destroy(m);
    return rc;
}

static void finish(struct reading *r) {
    bth_form_finish(&r->form);
    bth_body_finish(&r->body);
}

static const char type[] = "multipart/form-data; boundary=\"x y\"";
static const char good[] =
    "preamble\r\n--x y\r\n"
    "Content-Type: audio/wav\r\ncontent-disposition: form-data; name=file; "
    "filename=\"a\\\"b;.wav\"\r\n"
    "\r\n"
    "\r\n--x \r\n--x\r\r\n-\r\n--x yy\r\n--x y\r\n"
    "Content-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--x y\r\n"
    "Content-Disposition: form-data; name=\"empty\"\r\n\r\n\r\n--x y--\r\nepilogue --x y\r\n";

/* Look-alikes of a boundary are data; a boundary with more behind it is refused. */
static void test_every_cut(void) {
    char text[sizeof(good)];
    memcpy(text, good, sizeof(good));
    memcpy(strstr(text, "--x yy"), "--x zy", 6);
    for (size_t step = 1; step < sizeof(good); step++) {
        struct reading r;
        struct berth_input in;
        const char *value;
        CHECK_OK(read_form(&r, type, text, sizeof(good) - 1, step), r.err);
        CHECK_OK(bth_body_input(&r.body, BERTH_INPUT_FD, &in, &r.err), r.err);
        CHECK_INT(in.size, 23);
        CHECK(memcmp(in.data, "\r\n--x \r\n--x\r\r\n-\r\n--x zy", 23) == 0);
        CHECK_OK(bth_form_take(&r.form, "model", &value, &r.err), r.err);
        CHECK_STR(value, "whisper-1");
        CHECK_INT(bth_form_done(&r.form, &r.err), BERTH_EINVAL);
        CHECK_OK(bth_form_take(&r.form, "empty", &value, &r.err), r.err);
        CHECK_STR(value, "");
        CHECK_OK(bth_form_done(&r.form, &r.err), r.err);
        finish(&r);
    }
    struct reading r;
    CHECK_INT(read_form(&r, type, good, sizeof(good) - 1, 7), BERTH_EINVAL);
    finish(&r);
}

static void expect(int code, const char *content_type, const char *text) {
    struct reading r;
    int rc = read_form(&r, content_type, text, strlen(text), 5);
    if (rc != code) {
        TEST_FAIL("%d (%s) instead of %d for %s", rc, r.err.message, code, text);
    }
    finish(&r);
}

static void test_refused(void) {
    static const char plain[] = "multipart/form-data; boundary=B";
    static const char *const types[] = {"",
                                        "text/plain",
                                        "multipart/form-data",
                                        "multipart/form-data; boundary=",
                                        "multipart/form-data; boundary=a; boundary=b",
                                        "multipart/form-data; boundary=\"",
                                        "multipart/mixed; boundary=B",
                                        "multipart/form-datax; boundary=B",
                                        "multipart/form-data; boundary=\"a \""};
    for (size_t i = 0; i < BTH_COUNT(types); i++) {
        expect(BERTH_EINVAL, types[i], "--B--");
    }
    expect(0, plain, "--B--");
    expect(0, "Multipart/Form-Data;charset=utf-8;boundary=B", "--B--");
    static const char *const texts[] = {
        "",
        "--B",
        "--B\r\n",
        "--BB--",
        "--B-x",
        "--B\r\n\r\ndata\r\n--B--",
        "--B\r\nX: y\r\n\r\ndata\r\n--B--",
        "--B\r\nContent-Disposition: form-data\r\n\r\n\r\n--B--",
        "--B\r\nContent-Disposition: attachment; name=a\r\n\r\n\r\n--B--",
        "--B\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\n\r\n--B--",
        "--B\r\nContent-Disposition: form-data; name=\"a\r\n\r\n\r\n--B--",
        "--B\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; "
        "name=b\r\n"
        "\r\n\r\n--B--",
        "--B\r\nContent-Disposition: form-data; name=a\r\n\r\n\xff\r\n--B--",
        "--B\r\nContent-Disposition: form-data; name=\xff\r\n\r\n\r\n--B--",
        "--B\r\nContent-Disposition: form-data; name=other; filename=f\r\n\r\nx\r\n--B--",
        ("--B\r\nContent-Disposition: form-data; name=file; filename=f\r\n\r\nx\r\n--B\r\n"
         "Content-Disposition: form-data; name=file; filename=f\r\n\r\nx\r\n--B--"),
    };
    for (size_t i = 0; i < BTH_COUNT(texts); i++) {
        expect(BERTH_EINVAL, plain, texts[i]);
    }
    static const char nul[] = "--B\r\nContent-Disposition: form-data; name=a\r\n\r\nx\0y\r\n--B--";
    struct reading r;
    CHECK_INT(read_form(&r, plain, nul, sizeof(nul) - 1, 100), BERTH_EINVAL);
    finish(&r);
}

static void test_limits(void) {
    static const char plain[] = "multipart/form-data; boundary=B";
    struct bth_str s = {0};
    for (int i = 0; i <= BTH_MULTIPART_PARTS; i++) {
        bth_str_printf(&s, "--B\r\nContent-Disposition: form-data; name=a%d\r\n\r\n\r\n", i);
    }
    bth_str_puts(&s, "--B--");
    expect(BERTH_ETOOLARGE, plain, s.data);
    bth_str_clear(&s);
    bth_str_puts(&s, "--B\r\nX: ");
    for (int i = 0; i < BTH_MULTIPART_HEAD; i++) {
        bth_str_putc(&s, 'x');
    }
    expect(BERTH_ETOOLARGE, plain, s.data);
    bth_str_clear(&s);
    bth_str_puts(&s, "--B\r\nContent-Disposition: form-data; name=a\r\n\r\n");
    for (int i = 0; i <= BTH_FORM_FIELD_BYTES; i++) {
        bth_str_putc(&s, 'x');
    }
    expect(BERTH_ETOOLARGE, plain, s.data);
    bth_str_clear(&s);
    bth_str_puts(&s, "--B\r\nContent-Disposition: form-data; name=file; filename=f\r\n\r\n");
    for (int i = 0; i <= 1000; i++) {
        bth_str_putc(&s, 'x');
    }
    expect(BERTH_ETOOLARGE, plain, s.data);
    bth_str_finish(&s);
}

static void test_memory(void) {
    static const char plain[] = "multipart/form-data; boundary=B";
    static const char text[] =
        "--B\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--B\r\n"
        "Content-Disposition: form-data; name=file; filename=f\r\n\r\nxy\r\n--B--";
    int64_t live = bth_alloc_live();
    for (int64_t n = 1;; n++) {
        struct reading r;
        bth_alloc_fail_at(n);
        int rc = read_form(&r, plain, text, sizeof(text) - 1, 9);
        bool failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        finish(&r);
        CHECK_INT(rc, failed ? BERTH_ENOMEM : 0);
        CHECK_INT(bth_alloc_live(), live);
        if (!failed) {
            break;
        }
    }
}

/* ---- bodies and JSON ---- */

/* In memory, then in a file: the same bytes. */
static void test_body(void) {
    struct bth_body b;
    struct berth_input in;
    struct berth_error err;
    bth_body_init(&b);
    for (int i = 0; i < 100; i++) {
        CHECK_OK(bth_body_append(&b, &limits, "0123456789", 10, &err), err);
        CHECK_OK(bth_body_input(&b, BERTH_INPUT_FD, &in, &err), err);
        CHECK_INT(in.kind, i < 10 ? BERTH_INPUT_BYTES : BERTH_INPUT_FD);
    }
    CHECK_INT(bth_body_append(&b, &limits, "x", 1, &err), BERTH_ETOOLARGE);
    CHECK_OK(bth_body_input(&b, BERTH_INPUT_TEXT, &in, &err), err);
    CHECK_INT(in.size, 1000);
    for (int i = 0; i < 100; i++) {
        CHECK(memcmp((const char *)in.data + 10 * i, "0123456789", 10) == 0);
    }
    bth_body_finish(&b);
    static const struct bth_body_limits nowhere = {.most = 10, .memory = 0, .dir = "/no/such/dir"};
    CHECK_INT(bth_body_append(&b, &nowhere, "x", 1, &err), BERTH_EIO);
    bth_body_finish(&b);
}

static void test_json(void) {
    struct bth_form f = {0};
    struct berth_error err;
    const char text[] = "{\"a\":\"x\",\"b\":-5,\"c\":true,\"d\":null,\"e\":1.5}";
    const char *value;
    int64_t number;
    bool flag;
    CHECK_OK(bth_json_body(&f, text, sizeof(text) - 1, &err), err);
    CHECK_INT(f.n, 4);
    CHECK_OK(bth_form_take(&f, "a", &value, &err), err);
    CHECK_STR(value, "x");
    CHECK_OK(bth_form_take_int(&f, "b", (int64_t[]){-5, 5}, 0, &number, &err), err);
    CHECK_INT(number, -5);
    CHECK_OK(bth_form_take_bool(&f, "c", false, &flag, &err), err);
    CHECK(flag);
    CHECK_INT(bth_form_take_int(&f, "e", (int64_t[]){-5, 5}, 0, &number, &err), BERTH_EINVAL);
    CHECK_OK(bth_form_done(&f, &err), err);
    bth_form_finish(&f);
    f = (struct bth_form){0};
    CHECK_OK(bth_json_body(&f, "", 0, &err), err);
    static const char *const wrong[] = {
        "{", "[1]", "5", "{\"a\":{}}", "{\"a\":1,\"a\":2}", "{\"a\":\"\\u0000\"}"};
    for (size_t i = 0; i < BTH_COUNT(wrong); i++) {
        CHECK_INT(bth_json_body(&f, wrong[i], strlen(wrong[i]), &err), BERTH_EINVAL);
        bth_form_finish(&f);
        f = (struct bth_form){0};
    }
}

int main(void) {
    int64_t live = bth_alloc_live();
    test_every_cut();
    test_refused();
    test_limits();
    test_memory();
    test_body();
    test_json();
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

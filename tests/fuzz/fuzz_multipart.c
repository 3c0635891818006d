/* A Content-Type, a NUL or newline, and a body: fed whole and byte by byte, both must agree. */
#include "base/alloc.h"
#include "lib/test.h"
#include "server/form.h"
#include <stdint.h>

static const struct bth_body_limits limits = {.most = 1 << 20, .memory = 1 << 20, .dir = "/tmp"};

static int read_form(struct bth_form *f, struct bth_body *body, const char *type, const char *text,
                     size_t n, size_t step) {
    struct bth_multipart *m = NULL;
    bth_body_init(body);
    bth_form_init(f, body, &limits);
    struct bth_multipart_sink sink = bth_form_sink(f);
    int rc = bth_multipart_create(type, &sink, &m, NULL);
    for (size_t i = 0; rc == 0 && i < n; i += step) {
        rc = bth_multipart_feed(m, text + i, n - i < step ? n - i : step, NULL);
    }
    rc = rc < 0 ? rc : bth_multipart_finish(m, NULL);
    bth_multipart_destroy(m);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct bth_form whole, bytes;
    struct bth_body whole_body, bytes_body;
    const char *text = (const char *)data;
    size_t n_type = 0;
    while (n_type < size && text[n_type] && text[n_type] != '\n') {
        n_type++;
    }
    char *type = bth_strndup(text, n_type);
    CHECK(type);
    size_t skip = n_type < size ? n_type + 1 : size;
    int a = read_form(&whole, &whole_body, type, text + skip, size - skip, size + 1);
    int b = read_form(&bytes, &bytes_body, type, text + skip, size - skip, 1);
    CHECK_INT(a, b);
    CHECK_INT(whole.n, bytes.n);
    CHECK_INT(whole_body.size, bytes_body.size);
    for (size_t i = 0; i < whole.n; i++) {
        CHECK_STR(whole.fields[i].name, bytes.fields[i].name);
        CHECK_STR(whole.fields[i].value, bytes.fields[i].value);
    }
    bth_form_finish(&whole);
    bth_form_finish(&bytes);
    bth_body_finish(&whole_body);
    bth_body_finish(&bytes_body);
    bth_free(type);
    return 0;
}

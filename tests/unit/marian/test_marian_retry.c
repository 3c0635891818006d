/*
 * A turn that fails for want of memory is tried again, and what comes of it is the same: whichever
 * write, program or reading of the device it was.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "compute/compute.h"
#include "lib/drive.h"
#include "lib/test.h"
#include "lib/tiny_marian.h"
#include "marian/marian.h"

enum { N_TEXTS = 3, N_RETRIES = 2 };

static const char *const texts[N_TEXTS] = {"one two three\nfour five six seven\neight",
                                           "<p>nine <b>ten</b></p>\neleven twelve", "thirteen"};
static const struct berth_option options[N_TEXTS][3] = {
    {{"max_length", "9"}, {"beams", "2"}, {"alignment", "true"}},
    {{"max_length", "9"}, {"beams", "3"}, {"html", "true"}},
    {{"max_length", "9"}, {"beams", "1"}, {"cache", "true"}}};

static const struct berth_backend_ops *whole;
static int64_t fail_in; /* calls from now; 0: none */

static bool must_fail(void) {
    return fail_in > 0 && --fail_in == 0;
}

static int failing_write(struct berth_buffer *b, size_t offset, const void *from, size_t bytes) {
    return must_fail() ? BERTH_ENOMEM : whole->write(b, offset, from, bytes);
}

static int failing_read(struct berth_buffer *b, size_t offset, void *to, size_t bytes) {
    return must_fail() ? BERTH_ENOMEM : whole->read(b, offset, to, bytes);
}

static int failing_run(struct berth_program *p, const uint32_t live[BERTH_MAX_LIVE],
                       struct berth_error *err) {
    return must_fail() ? bth_error(err, BERTH_ENOMEM, "as it was told to")
                       : whole->program_run(p, live, err);
}

/* All texts in company; *out_left: turns that did not have to be tried again. */
static void run(struct berth_model *m, char *out[N_TEXTS], int *out_left) {
    struct drive_one all[N_TEXTS];
    struct drive_stats stats = {.retries = N_RETRIES};
    for (int i = 0; i < N_TEXTS; i++) {
        all[i] = (struct drive_one){.request = BERTH_REQUEST_INIT, .cancel_after = -1};
        all[i].request.input = (struct berth_input){
            .kind = BERTH_INPUT_TEXT, .data = texts[i], .size = strlen(texts[i])};
        all[i].request.options = options[i];
        all[i].request.n_options = 3;
    }
    CHECK_INT(drive(m, all, N_TEXTS, N_TEXTS, 1, &stats), 0);
    for (int i = 0; i < N_TEXTS; i++) {
        CHECK(all[i].rc == 0 || all[i].rc == BERTH_ENOMEM); /* a session's own reading */
        out[i] = all[i].rc == 0 ? drive_print(all[i].final) : NULL;
        berth_item_free(all[i].final);
    }
    *out_left = stats.retries;
}

/* A session fails while it takes off, and so does the turn: it is told all the same. */
static void failing_twice(struct berth_model *m, char *expected[N_TEXTS]) {
    char *got[N_TEXTS];
    int left, failed = 0;
    for (int64_t n = 1;; n++) {
        fail_in = 1;
        bth_alloc_fail_at(n);
        run(m, got, &left);
        const bool fired = bth_alloc_failed();
        bth_alloc_fail_at(0);
        for (int i = 0; i < N_TEXTS; i++) {
            failed += got[i] == NULL;
            if (got[i]) {
                drive_same("beside one that failed", expected[i], got[i]);
            }
            free(got[i]);
        }
        if (!fired) {
            break;
        }
    }
    CHECK(failed > 20);
}

int main(void) {
    const struct bth_cpu_config config = {.threads = 1, .cap = BTH_CPU_AVX512};
    struct berth_device *device;
    struct berth_backend_ops ops;
    struct drive_model m;
    struct berth_error err;
    char *expected[N_TEXTS], *got[N_TEXTS], *dir = tiny_marian_dir();
    int left, tried = 0;
    tiny_marian_hf(tiny_marian_shape(0), dir);
    CHECK_OK(bth_cpu_open(&config, &device, &err), err);
    CHECK_OK(drive_load(&bth_marian_engine, dir, device, &m, &err), err);
    whole = device->ops;
    ops = *whole;
    ops.write = failing_write;
    ops.read = failing_read;
    ops.program_run = failing_run;
    device->ops = &ops;
    run(m.model, expected, &left);
    CHECK_INT(left, N_RETRIES);
    for (int64_t n = 1;; n++) {
        fail_in = n;
        run(m.model, got, &left);
        const bool fired = fail_in == 0;
        fail_in = 0;
        tried += N_RETRIES - left;
        for (int i = 0; i < N_TEXTS; i++) {
            if (got[i]) {
                drive_same("after a turn that was tried again", expected[i], got[i]);
            }
            CHECK(got[i] || left == N_RETRIES);
            free(got[i]);
        }
        if (!fired) {
            break;
        }
    }
    CHECK(tried > 20);
    failing_twice(m.model, expected);
    for (int i = 0; i < N_TEXTS; i++) {
        free(expected[i]);
    }
    device->ops = whole;
    drive_unload(&m);
    device->ops->close(device);
    tiny_marian_remove(dir);
    return 0;
}

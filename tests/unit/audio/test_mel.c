/* Against tests/golden/mel.txt, which tools/golden_mel.py makes with openai-whisper: the filter
 * bank bit for bit, sampled values of windows within 1e-4. */
#include "audio/mel.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/fs.h"
#include "base/reservation.h"
#include "lib/test.h"
#include <zlib.h>

#define MAX_SAMPLES 561234
#define TOLERANCE   1e-4

static float sound[MAX_SAMPLES];
static float window[BTH_MEL_WINDOW * 128];

/* As sound() in tools/golden_mel.py. */
static void make_sound(void) {
    uint32_t state = 1, phase = 0, step = 20000000;
    for (int i = 0; i < MAX_SAMPLES; i++) {
        state = state * 1664525U + 1013904223U;
        phase += step;
        step = (step + 1777) & 0x7FFFFFFF;
        int tone = abs((int)(phase >> 16) - 32768) - 16384, quiet = (i >> 13) % 5;
        int v = (tone >> (2 * quiet)) + (((int)(state >> 24) - 128) >> quiet);
        sound[i] = (float)v / 32768.0F;
    }
}

static struct bth_mel *mel_of(const struct bth_mel_tables *t, struct berth_reservation *r,
                              size_t n_samples, size_t piece) {
    struct berth_error err = {0};
    struct bth_mel *m;
    CHECK_OK(bth_mel_create(t, r, &m, &err), err);
    for (size_t at = 0; at < n_samples; at += piece) {
        CHECK_OK(bth_mel_push(m, sound + at, BTH_MIN(piece, n_samples - at), &err), err);
    }
    CHECK_OK(bth_mel_finish(m, &err), err);
    CHECK_INT(bth_mel_samples(m), n_samples);
    CHECK_INT(bth_mel_frames(m), n_samples / 160);
    return m;
}

static double number(char **p) {
    char *end;
    double x = strtod(*p, &end);
    CHECK(end != *p);
    *p = end;
    return x;
}

static void check_filters(char *p) {
    static float bank[128 * 201];
    int n_mels = (int)number(&p);
    bth_mel_filters(n_mels, bank);
    uLong crc = crc32(0, (const Bytef *)bank, (uInt)(sizeof(float) * 201 * (size_t)n_mels));
    CHECK_INT(crc, strtoul(p, NULL, 16));
}

static double check_window(char *p) {
    struct berth_error err = {0};
    struct berth_reservation r;
    struct bth_mel_tables *t;
    int n_mels = (int)number(&p);
    size_t n_samples = (size_t)number(&p);
    int64_t seek = (int64_t)number(&p), n = (int64_t)number(&p);
    bool padded = number(&p) != 0.0;
    /* exactly what was announced must do */
    bth_reservation_init(&r, BERTH_BYTES_SESSION, bth_mel_bytes(n_mels, n_samples));
    CHECK_OK(bth_mel_tables_create(n_mels, &t, &err), err);
    struct bth_mel *m = mel_of(t, &r, n_samples, 5000);
    CHECK_INT(bth_reservation_used(&r), bth_mel_bytes(n_mels, n_samples));
    bth_mel_window(m, seek, n, padded, window);
    double sum = 0, squares = 0, expected_sum = number(&p), norm = number(&p), worst = 0;
    for (int i = 0; i < BTH_MEL_WINDOW * n_mels; i++) {
        sum += (double)window[i];
        squares += (double)window[i] * (double)window[i];
    }
    CHECK_NEAR(sum, expected_sum, 1e-6 * BTH_MEL_WINDOW * n_mels);
    CHECK_NEAR(sqrt(squares), norm, 1e-5 * (norm + 1));
    while (*p == ' ') {
        int row = (int)number(&p), band = (int)number(&p);
        double x = number(&p);
        CHECK_NEAR((double)window[row * n_mels + band], x, TOLERANCE);
        worst = fmax(worst, fabs((double)window[row * n_mels + band] - x));
    }
    bth_mel_destroy(m);
    bth_mel_tables_destroy(t);
    CHECK_INT(bth_reservation_used(&r), 0);
    return worst;
}

static void golden(void) {
    struct berth_error err = {0};
    char *text, *save = NULL;
    size_t size;
    int n_windows = 0;
    double worst = 0;
    CHECK_OK(bth_read_file(BTH_TEST_DATA "/golden/mel.txt", 1 << 20, &text, &size, &err), err);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (strncmp(line, "filters ", 8) == 0) {
            check_filters(line + 8);
        } else {
            CHECK(strncmp(line, "window ", 7) == 0);
            worst = fmax(worst, check_window(line + 7));
            n_windows++;
        }
    }
    CHECK_INT(n_windows, 40);
    printf("%d windows, largest difference %.2g\n", n_windows, worst);
    bth_free(text);
}

static void pieces_do_not_matter(void) {
    static float other[BTH_MEL_WINDOW * 80];
    struct berth_error err = {0};
    struct berth_reservation r;
    struct bth_mel_tables *t;
    bth_reservation_init(&r, BERTH_BYTES_SESSION, SIZE_MAX);
    CHECK_OK(bth_mel_tables_create(80, &t, &err), err);
    struct bth_mel *m = mel_of(t, &r, 40001, 40001);
    bth_mel_window(m, 0, 250, true, window);
    bth_mel_destroy(m);
    static const size_t pieces[] = {1, 7, 160, 201, 4096};
    for (size_t i = 0; i < BTH_COUNT(pieces); i++) {
        m = mel_of(t, &r, 40001, pieces[i]);
        bth_mel_window(m, 0, 250, true, other);
        CHECK(memcmp(window, other, sizeof(other)) == 0);
        bth_mel_destroy(m);
    }
    bth_mel_tables_destroy(t);
}

/* Everything that can fail, with `n_bytes` to draw from; returns the code. */
static int attempt(size_t n_bytes) {
    struct berth_error err = {0};
    struct berth_reservation r;
    struct bth_mel_tables *t = NULL;
    struct bth_mel *m = NULL;
    bth_reservation_init(&r, BERTH_BYTES_SESSION, n_bytes);
    int rc = bth_mel_tables_create(80, &t, &err);
    rc = rc < 0 ? rc : bth_mel_create(t, &r, &m, &err);
    rc = rc < 0 ? rc : bth_mel_push(m, sound, 160000, &err);
    rc = rc < 0 ? rc : bth_mel_finish(m, &err);
    CHECK_INT(rc, err.code);
    bth_mel_destroy(m);
    bth_mel_tables_destroy(t);
    CHECK_INT(bth_reservation_used(&r), 0);
    return rc;
}

static void failures(void) {
    size_t enough = bth_mel_bytes(80, 160000);
    CHECK_INT(attempt(enough), 0);
    CHECK_INT(attempt(enough - 1), BERTH_EBUDGET);
    CHECK_INT(attempt(0), BERTH_EBUDGET);
    for (int n = 1;; n++) {
        bth_alloc_fail_at(n);
        int rc = attempt(enough);
        bool failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK_INT(rc, failed ? BERTH_ENOMEM : 0);
        if (!failed) {
            break;
        }
    }
    struct bth_mel_tables *t;
    CHECK_INT(bth_mel_tables_create(81, &t, NULL), BERTH_EFORMAT);
}

static void speed(void) {
    struct berth_error err = {0};
    struct berth_reservation r;
    struct bth_mel_tables *t;
    int64_t best = INT64_MAX;
    bth_reservation_init(&r, BERTH_BYTES_SESSION, SIZE_MAX);
    CHECK_OK(bth_mel_tables_create(80, &t, &err), err);
    for (int i = 0; i < 3; i++) {
        int64_t start = bth_now();
        bth_mel_destroy(mel_of(t, &r, 480000, 16000));
        best = BTH_MIN(best, bth_now() - start);
    }
    bth_mel_tables_destroy(t);
    printf("%.1f ms for 30 s\n", (double)best / 1e6);
}

int main(void) {
    int64_t live = bth_alloc_live();
    make_sound();
    golden();
    pieces_do_not_matter();
    failures();
    speed();
    CHECK_INT(bth_alloc_live(), live);
    return 0;
}

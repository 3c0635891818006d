/* Buffers and regions: every byte drawn, zeroed, aligned and given back, whatever fails. */
#include "base/alloc.h"
#include "base/reservation.h"
#include "compute/compute.h"
#include "compute/hostmem.h"
#include "lib/test.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KIB = 1024, MIB = 1024 * 1024, PAGE = 64 * KIB };

static struct berth_reservation r;
static struct berth_device device;
static struct berth_error err;

static void check_buffers(void) {
    static const size_t sizes[] = {0, 1, 63, 64, 100 * KIB, 2 * MIB - 1, 2 * MIB, 5 * MIB + 3};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct berth_buffer *b;
        CHECK_OK(bth_hostmem_create(&device, &r, sizes[i], &b, &err), err);
        CHECK_INT(b->bytes, sizes[i]);
        CHECK(b->device == &device && b->reservation == &r);
        CHECK_INT(bth_reservation_used(&r), sizes[i]);
        CHECK_INT((uintptr_t)b->host % (sizes[i] >= 2 * MIB ? 2 * MIB : 64), 0);
        for (size_t j = 0; j < sizes[i]; j++) {
            CHECK(((char *)b->host)[j] == 0);
        }
        if (sizes[i]) {
            char last = 7;
            CHECK_INT(bth_hostmem_write(b, sizes[i] - 1, &last, 1), 0);
            last = 0;
            CHECK_INT(bth_hostmem_read(b, sizes[i] - 1, &last, 1), 0);
            CHECK_INT(last, 7);
            CHECK_INT(bth_hostmem_write(b, sizes[i], &last, 1), BERTH_EINTERNAL);
            CHECK_INT(bth_hostmem_read(b, SIZE_MAX, &last, 2), BERTH_EINTERNAL);
        }
        bth_hostmem_destroy(b);
        CHECK_INT(bth_reservation_used(&r), 0);
    }
    bth_hostmem_destroy(NULL);
}

static void check_refusals(void) {
    struct berth_reservation small, all;
    struct berth_buffer *b = NULL;
    bth_reservation_init(&small, BERTH_BYTES_SESSION, 100);
    bth_reservation_init(&all, BERTH_BYTES_SESSION, SIZE_MAX);
    CHECK_INT(bth_hostmem_create(&device, &small, 101, &b, &err), BERTH_EBUDGET);
    CHECK_INT(bth_hostmem_create(&device, &all, SIZE_MAX, &b, &err), BERTH_ENOMEM);
    CHECK_INT(bth_hostmem_create(&device, &all, (size_t)1 << 60, &b, &err), BERTH_ENOMEM);
    CHECK_INT(bth_hostmem_region_create(&device, (size_t)1 << 60, &b, &err), BERTH_ENOMEM);
    CHECK(b == NULL);
    CHECK_INT(bth_reservation_used(&small) + bth_reservation_used(&all), 0);
}

/* Touches a byte in a child; whether that killed it. */
static bool dies(volatile char *p) {
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); /* of a sanitizer: no report wanted */
        *p = 1;
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static void check_region(void) {
    struct berth_reservation other;
    struct berth_buffer *b;
    bth_reservation_init(&other, BERTH_BYTES_SESSION, 2 * PAGE);
    /* far more than the machine has: only address space */
    CHECK_OK(bth_hostmem_region_create(&device, (size_t)1 << 36, &b, &err), err);
    CHECK_INT(bth_reservation_used(&r), 0);
    CHECK(b->reservation == NULL);
    char *host = b->host;
    CHECK(dies(host) && dies(host + b->bytes - 1));
    CHECK_OK(bth_hostmem_commit(b, &r, 4 * PAGE, 3 * PAGE, &err), err);
    CHECK_OK(bth_hostmem_commit(b, &other, (size_t)b->bytes - PAGE, PAGE, &err), err);
    CHECK_INT(bth_reservation_used(&r), 3 * PAGE);
    CHECK_INT(bth_reservation_used(&other), PAGE);
    CHECK(dies(host + 4 * PAGE - 1) && dies(host + 7 * PAGE));
    memset(host + 4 * PAGE, 1, 3 * PAGE);
    host[b->bytes - 1] = 1;
    /* the middle page goes, its neighbours keep their bytes */
    bth_hostmem_decommit(b, &r, 5 * PAGE, PAGE);
    CHECK_INT(bth_reservation_used(&r), 2 * PAGE);
    CHECK(dies(host + 5 * PAGE) && host[5 * PAGE - 1] == 1 && host[6 * PAGE] == 1);
    CHECK_OK(bth_hostmem_commit(b, &r, 5 * PAGE, PAGE, &err), err);
    CHECK(host[5 * PAGE] == 0 && host[6 * PAGE - 1] == 0);
    /* beyond the reservation, beyond the region */
    CHECK_INT(bth_hostmem_commit(b, &other, 0, 2 * PAGE, &err), BERTH_EBUDGET);
    CHECK_INT(bth_hostmem_commit(b, &r, (size_t)b->bytes - PAGE, 2 * PAGE, &err), BERTH_EINTERNAL);
    CHECK_INT(bth_reservation_used(&r), 3 * PAGE);
    CHECK(dies(host));
    bth_hostmem_decommit(b, &r, 4 * PAGE, 3 * PAGE);
    bth_hostmem_decommit(b, &other, (size_t)b->bytes - PAGE, PAGE);
    CHECK_INT(bth_reservation_used(&r) + bth_reservation_used(&other), 0);
    bth_hostmem_destroy(b);
}

/* A device, a weight, a buffer and a region; the first error. */
static int make_all(int (*open)(struct berth_device **, struct berth_error *)) {
    static const float rows[6] = {1, 2, 3, 4, 5, 6};
    struct berth_device *d;
    struct berth_buffer *small = NULL, *region = NULL;
    struct berth_weight *w = NULL;
    struct berth_program *p = NULL;
    const uint32_t live[BERTH_MAX_LIVE] = {0};
    int rc = open(&d, &err);
    if (rc < 0) {
        return rc;
    }
    rc = d->ops->buffer_create(d, &r, 100, &small, &err);
    if (rc == 0) {
        rc = d->ops->region_create(d, MIB, &region, &err);
    }
    if (rc == 0) {
        rc = d->ops->weight_create(d, &r, BERTH_F32, 2, 3, rows, &w, &err);
    }
    if (rc == 0) {
        CHECK_INT(w->bytes, d->ops->weight_bytes(d, BERTH_F32, 2, 3));
        CHECK_INT(bth_reservation_used(&r), 100 + w->bytes);
        rc = d->ops->program_create(d, &r, NULL, 0, &p, &err);
    }
    if (rc == 0) {
        rc = d->ops->program_run(p, live, &err);
    }
    d->ops->program_destroy(p);
    d->ops->weight_destroy(w);
    d->ops->buffer_destroy(small);
    d->ops->buffer_destroy(region);
    d->ops->close(d);
    return rc;
}

static int open_cpu(struct berth_device **out, struct berth_error *e) {
    const struct bth_cpu_config config = {.threads = 2, .cap = BTH_CPU_AVX512};
    return bth_cpu_open(&config, out, e);
}

static void check_failing(int (*open)(struct berth_device **, struct berth_error *)) {
    const int64_t blocks = bth_alloc_live();
    bool failed = true;
    for (int n = 1; failed; n++) {
        bth_alloc_fail_at(n);
        const int rc = make_all(open);
        failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK_INT(rc, failed ? BERTH_ENOMEM : 0);
        CHECK_INT(bth_alloc_live(), blocks);
        CHECK_INT(bth_reservation_used(&r), 0);
    }
}

int main(void) {
    bth_reservation_init(&r, BERTH_BYTES_WORKSPACE, 64 * MIB);
    CHECK(bth_hostmem_total() > MIB);
    check_buffers();
    check_refusals();
    check_region();
    check_failing(bth_ref_open);
    check_failing(open_cpu);
    return 0;
}

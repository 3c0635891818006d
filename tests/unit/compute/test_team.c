/* The team: every member runs, barriers order what members write, idle teams wake up again. */
#include "base/alloc.h"
#include "compute/cpu/team.h"
#include "lib/test.h"
#include <time.h>

enum { MEMBERS = 5, ROUNDS = 200 };

struct relay {
    struct bth_team *team;
    int size;
    long value[MEMBERS]; /* written by its member, read by its neighbour after a barrier */
    long wrong[MEMBERS];
};

static void relay_member(void *arg, int m) {
    struct relay *r = arg;
    for (long round = 1; round <= ROUNDS; round++) {
        r->value[m] = round;
        bth_team_barrier(r->team);
        r->wrong[m] += r->value[(m + 1) % r->size] != round;
        bth_team_barrier(r->team);
    }
}

static void check_size(int size) {
    struct berth_error err = {0};
    struct relay r = {.size = size};
    CHECK_OK(bth_team_create(size, &r.team, &err), err);
    CHECK_INT(bth_team_size(r.team), size);
    for (int run = 0; run < 3; run++) {
        bth_team_run(r.team, relay_member, &r);
        for (int m = 0; m < size; m++) {
            CHECK_INT(r.value[m], ROUNDS);
            CHECK_INT(r.wrong[m], 0);
            r.value[m] = 0;
        }
        const struct timespec nap = {.tv_nsec = 2000000}; /* long enough for all to fall asleep */
        nanosleep(&nap, NULL);
    }
    bth_team_destroy(r.team);
}

static void check_allocation_failures(void) {
    const int64_t live = bth_alloc_live();
    for (int64_t n = 1;; n++) {
        struct bth_team *team = NULL;
        bth_alloc_fail_at(n);
        const int rc = bth_team_create(3, &team, NULL);
        const bool failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        if (!failed) {
            CHECK_INT(rc, 0);
            bth_team_destroy(team);
            break;
        }
        CHECK_INT(rc, BERTH_ENOMEM);
        CHECK(!team);
        CHECK_INT(bth_alloc_live(), live);
    }
    CHECK_INT(bth_alloc_live(), live);
}

int main(void) {
    for (int size = 1; size <= MEMBERS; size++) {
        check_size(size);
    }
    check_allocation_failures();
    bth_team_destroy(NULL);
    return 0;
}

#include "lib/company.h"

#include "lib/test.h"

void company_alone(struct berth_model *m, const struct company *c, char **out) {
    for (size_t k = 0; k < c->n_kinds; k++) {
        struct drive_one one = c->kind(k);
        CHECK_INT(drive(m, &one, 1, 1, 1, NULL), 0);
        free(out[k]);
        out[k] = drive_take(&one);
    }
}

void company_together(struct berth_model *m, const struct company *c, size_t n,
                      char *const *expected, const char *what) {
    struct drive_one all[COMPANY_MOST];
    struct drive_stats stats = {0};
    CHECK(n <= COMPANY_MOST);
    for (size_t i = 0; i < n; i++) {
        all[i] = c->kind((i * 5 + n) % c->n_kinds);
        all[i].start_after = (int)(i * i % 11) * 4;
    }
    CHECK_INT(drive(m, all, n, n, n, &stats), 0);
    for (size_t i = 0; i < n; i++) {
        char *text = drive_take(&all[i]);
        drive_same(what, expected[(i * 5 + n) % c->n_kinds], text);
        free(text);
    }
    CHECK(n < 3 || stats.most[c->step] > 1);
    printf("%s: %zu sessions as alone, %.1f a STEP turn (at most %zu)\n", what, n,
           (double)stats.sessions[c->step] / (double)stats.turns[c->step], stats.most[c->step]);
}

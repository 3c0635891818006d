#include "core/history.h"

#include "base/clock.h"
#include "base/compiler.h"
#include <stdlib.h>

#define OVERDUE_LEAST (30 * BTH_NS_PER_S)
#define OVERDUE_TIMES 10

void bth_history_add(struct bth_history *h, int64_t held) {
    h->holds[h->next] = BTH_MAX(held, 0);
    h->next = (h->next + 1) % BTH_HISTORY_HOLDS;
    h->n = BTH_MIN(h->n + 1, (uint32_t)BTH_HISTORY_HOLDS);
}

static int by_time(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The median of those that were held for longer than `elapsed`. */
static int64_t median_beyond(const struct bth_history *h, int64_t elapsed) {
    int64_t longer[BTH_HISTORY_HOLDS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < h->n; i++) {
        if (h->holds[i] > elapsed) {
            longer[n++] = h->holds[i];
        }
    }
    if (h->n < BTH_HISTORY_LEAST || n == 0) {
        return BTH_UNKNOWN;
    }
    qsort(longer, n, sizeof(longer[0]), by_time);
    return longer[n / 2];
}

int64_t bth_history_usual(const struct bth_history *h) {
    return median_beyond(h, -1);
}

int64_t bth_history_left(const struct bth_history *h, int64_t elapsed) {
    const int64_t usual = median_beyond(h, elapsed);
    return usual < 0 ? BTH_UNKNOWN : usual - elapsed;
}

bool bth_history_overdue(const struct bth_history *h, int64_t elapsed) {
    int64_t longest = 0;
    for (uint32_t i = 0; i < h->n; i++) {
        longest = BTH_MAX(longest, h->holds[i]);
    }
    return h->n >= BTH_HISTORY_LEAST && elapsed > OVERDUE_LEAST &&
           elapsed / OVERDUE_TIMES > longest;
}

int64_t bth_wait_expected(const struct bth_wait *w) {
    const bool known =
        w->holders_left >= 0 && w->load_left >= 0 && (w->turns == 0 || w->usual >= 0);
    if (!known || (w->turns && w->usual > (BTH_FOREVER / 4) / w->turns)) {
        return BTH_UNKNOWN;
    }
    const int64_t turns = w->turns ? w->usual * w->turns : 0;
    return BTH_MIN(w->holders_left, BTH_FOREVER / 4) + turns +
           BTH_MIN(w->load_left, BTH_FOREVER / 4);
}

int64_t bth_load_left(int64_t last, int64_t elapsed) {
    return last > elapsed ? last - elapsed : BTH_UNKNOWN;
}

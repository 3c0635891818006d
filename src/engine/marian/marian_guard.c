/*
 * The repetition guard: a model that has lost its way says the same few ids over and over. A run of
 * at most LOOP_IDS ids that comes four times or more, one behind the other, is said once; shorter
 * than a few ids in all it may be meant ("no, no, no").
 */
#include "marian/marian_session.h"

#include <string.h>

enum { LOOP_IDS = 8, LOOP_TIMES = 4, LOOP_LENGTH = 8 };

/* How many ids from `at` on repeat those `period` before, the first period included. */
static int run_length(const struct marian_choice *c, int n, int at, int period) {
    int length = period;
    while (at + length < n && c[at + length].id == c[at + length - period].id) {
        length++;
    }
    return length;
}

bool marian_cut_loops(struct marian_hypothesis *h) {
    bool cut = false;
    for (int at = 0; at < h->n; at++) {
        for (int period = 1; period <= LOOP_IDS && at + period < h->n; period++) {
            const int length = run_length(h->choices, h->n, at, period);
            const int times = length / period;
            if (times < LOOP_TIMES || length < LOOP_LENGTH) {
                continue;
            }
            const int from = at + times * period, to = at + period;
            memmove(&h->choices[to], &h->choices[from],
                    (size_t)(h->n - from) * sizeof(*h->choices));
            h->n -= from - to;
            cut = true;
            break;
        }
    }
    return cut;
}

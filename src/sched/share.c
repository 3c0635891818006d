#include "sched/share.h"

#include "base/alloc.h"
#include "base/compiler.h"
#include <string.h>

static uint64_t hash_id(const char *id) {
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
    for (; *id; id++) {
        h = (h ^ (unsigned char)*id) * UINT64_C(1099511628211);
    }
    return h;
}

void bth_share_init(struct bth_share *s) {
    *s = (struct bth_share){0};
    bth_list_init(&s->accounts);
}

static void drop(struct bth_account *a) {
    bth_list_remove(&a->link);
    bth_free(a);
}

void bth_share_finish(struct bth_share *s) {
    struct bth_account *a;
    BTH_LIST_EACH(a, &s->accounts, struct bth_account, link) {
        drop(a);
    }
}

/* An account without jobs says nothing once the clock has come by, nor when nobody has any. */
static void sweep(struct bth_share *s) {
    struct bth_account *a;
    BTH_LIST_EACH(a, &s->accounts, struct bth_account, link) {
        if (a->n_jobs == 0 && (a->used <= s->clock || s->n_jobs == 0)) {
            drop(a);
        }
    }
}

struct bth_account *bth_share_join(struct bth_share *s, const char *id) {
    uint64_t hash = hash_id(id);
    struct bth_account *a, *found = NULL;
    sweep(s);
    BTH_LIST_EACH(a, &s->accounts, struct bth_account, link) {
        if (a->hash == hash && strcmp(a->id, id) == 0) {
            found = a;
            break;
        }
    }
    if (!found) {
        size_t n = strlen(id) + 1;
        found = bth_calloc(1, sizeof(*found) + n);
        if (!found) {
            return NULL;
        }
        memcpy(found->id, id, n);
        found->hash = hash;
        found->used = s->clock;
        bth_list_append(&s->accounts, &found->link);
    }
    found->n_jobs++;
    s->n_jobs++;
    return found;
}

void bth_share_leave(struct bth_share *s, struct bth_account *a) {
    a->n_jobs--;
    s->n_jobs--;
    sweep(s);
}

void bth_share_begin(struct bth_share *s) {
    s->round++;
}

void bth_share_waits(struct bth_share *s, struct bth_account *a) {
    if (a->round + 1 < s->round) {
        a->used = BTH_MAX(a->used, s->clock);
    }
    a->round = s->round;
}

void bth_share_leads(struct bth_share *s, const struct bth_account *a) {
    s->clock = BTH_MAX(s->clock, a->used);
}

void bth_share_charge(struct bth_account *a, int64_t cost_ns, int priority) {
    int shift = BTH_DEFAULT_PRIORITY - priority;
    a->used += shift >= 0 ? cost_ns * (INT64_C(1) << shift) : cost_ns >> -shift;
}

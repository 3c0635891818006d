#include "server/loan.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "server/exchange.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct bth_loan {
    struct bth_list link; /* bth_server.loans */
    char id[BTH_LOAN_ID_BYTES];
    char model[64], caller[BTH_CALLER_BYTES];
    int64_t uid; /* of the peer, -1: not known */
    bool exclusive, told;
    uint64_t asker; /* the exchange that asked for it */
    int64_t deadline, expires;
    struct bth_lease *lease;
    struct bth_acquire acquire;
    /* core's callback */
    int rc;
    struct berth_error error;
    _Atomic bool answered; /* publishes the two above */
};

bool bth_loan_read_id(const char *text, char out[BTH_LOAN_ID_BYTES]) {
    static const char shape[] = "00000000-0000-0000-0000-000000000000";
    if (strlen(text) != BTH_LOAN_ID_BYTES - 1) {
        return false;
    }
    for (size_t i = 0; i < BTH_LOAN_ID_BYTES - 1; i++) {
        if (shape[i] == '-' ? text[i] != '-' : !isxdigit((unsigned char)text[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < BTH_LOAN_ID_BYTES; i++) {
        out[i] = (char)tolower((unsigned char)text[i]);
    }
    return true;
}

static struct bth_loan *find(struct bth_server *s, const char *id) {
    struct bth_loan *l;
    BTH_LIST_EACH(l, &s->loans, struct bth_loan, link) {
        if (strcmp(l->id, id) == 0) {
            return l;
        }
    }
    return NULL;
}

static void forget(struct bth_server *s, struct bth_loan *l) {
    bth_list_remove(&l->link);
    atomic_fetch_sub_explicit(&s->n_loans, 1, memory_order_relaxed);
    bth_free(l);
}

/* Whatever state it is in. */
static void give_back(struct bth_server *s, struct bth_loan *l) {
    bth_acquire_cancel(&l->acquire);
    bth_lease_release(l->told ? l->lease : l->rc == 0 ? l->acquire.lease : NULL);
    forget(s, l);
}

/* ---- asking ----------------------------------------------------------------------------------*/

/* Any thread, with core's lock held. */
static void answered(struct bth_acquire *acquire, int rc, const struct berth_error *err) {
    struct bth_loan *l = BTH_CONTAINER(acquire, struct bth_loan, acquire);
    l->rc = rc;
    if (rc < 0) {
        l->error = *err;
    }
    atomic_store_explicit(&l->answered, true, memory_order_release);
}

/* A user's programs are one caller, whose process is another each time. */
static size_t count_of(struct bth_exchange *x) {
    size_t n = 0;
    const struct bth_loan *l;
    BTH_LIST_EACH(l, &x->server->loans, struct bth_loan, link) {
        n += x->work.ask.uid >= 0 ? l->uid == x->work.ask.uid : strcmp(l->caller, x->caller) == 0;
    }
    return n;
}

static int check_room(struct bth_exchange *x, struct berth_error *err) {
    if (x->work.ask.renew) {
        return bth_error(err, BERTH_ELOST, "the lease has ended, or was never there");
    }
    if (x->server->n_loans >= BTH_LOANS || count_of(x) >= BTH_CALLER_LOANS) {
        return bth_error(err, BERTH_EOVERLOADED,
                         "%d leases without a session are the most, %d of one caller: give some "
                         "back",
                         BTH_LOANS, BTH_CALLER_LOANS);
    }
    return 0;
}

static int start(struct bth_exchange *x, struct berth_error *err) {
    struct bth_work *w = &x->work;
    int rc = check_room(x, err);
    struct bth_loan *l = rc < 0 ? NULL : bth_calloc(1, sizeof(*l));
    if (!l) {
        return rc < 0 ? rc : bth_error_nomem(err);
    }
    memcpy(l->id, w->ask.loan, sizeof(l->id));
    memcpy(l->model, w->model, sizeof(l->model));
    memcpy(l->caller, x->caller, sizeof(l->caller));
    l->uid = w->ask.uid;
    l->exclusive = w->ask.exclusive;
    l->asker = x->number;
    l->deadline = w->deadline;
    l->acquire.answered = answered;
    bth_list_append(&x->server->loans, &l->link);
    atomic_fetch_add_explicit(&x->server->n_loans, 1, memory_order_relaxed);
    const struct bth_ask ask = {.tag = w->ask.tag,
                                .holder = x->caller,
                                .pid = w->ask.pid,
                                .deadline = w->deadline,
                                .exclusive = w->ask.exclusive,
                                .max_concurrent = w->ask.max_concurrent};
    rc = bth_acquire_start(x->server->berth->manager, w->model, &ask, &l->acquire, err);
    if (rc < 0) {
        forget(x->server, l);
    }
    return rc;
}

static void lend(struct bth_exchange *x, struct bth_loan *l) {
    l->expires = bth_now() + x->work.ask.ttl_ms * BTH_NS_PER_MS;
    bth_lease_until(l->lease, l->expires);
}

int bth_loan_ask(struct bth_exchange *x, struct berth_error *err) {
    struct bth_loan *l = find(x->server, x->work.ask.loan);
    if (!l) {
        return start(x, err);
    }
    if (strcmp(l->model, x->work.model) != 0 || l->exclusive != x->work.ask.exclusive) {
        return bth_error(err, BERTH_EINVAL, "this lease is on %s, %s", l->model,
                         l->exclusive ? "exclusive" : "shared");
    }
    if (l->told && bth_lease_is_revoked(l->lease)) {
        give_back(x->server, l);
        return bth_error(err, BERTH_EREVOKED, "the lease was taken away: ask for it again");
    }
    if (l->told) {
        lend(x, l);
    }
    return 0;
}

int bth_loan_look(struct bth_exchange *x, int64_t now, int64_t *out_left_ms,
                  struct berth_error *err) {
    struct bth_loan *l = find(x->server, x->work.ask.loan);
    if (!l) {
        return bth_error(err, BERTH_ECANCELLED, "the lease was given back meanwhile");
    }
    if (!l->told && now >= l->deadline) {
        bth_acquire_tick(&l->acquire);
    }
    if (!l->told && !atomic_load_explicit(&l->answered, memory_order_acquire)) {
        return 0;
    }
    if (l->rc < 0) {
        int rc = bth_error_copy(err, &l->error);
        forget(x->server, l);
        return rc;
    }
    if (!l->told) {
        l->told = true;
        l->lease = l->acquire.lease;
        lend(x, l);
    }
    *out_left_ms = BTH_MAX(0, l->expires - now) / BTH_NS_PER_MS;
    return 1;
}

void bth_loan_leave(struct bth_exchange *x) {
    struct bth_loan *l = find(x->server, x->work.ask.loan);
    if (l && !l->told && l->asker == x->number) {
        give_back(x->server, l);
    }
}

bool bth_loan_release(struct bth_server *s, const char *id) {
    struct bth_loan *l = find(s, id);
    if (l) {
        give_back(s, l);
    }
    return l != NULL;
}

/* ---- the end ---------------------------------------------------------------------------------*/

void bth_loans_tick(struct bth_server *s, int64_t now) {
    struct bth_loan *l;
    BTH_LIST_EACH(l, &s->loans, struct bth_loan, link) {
        if (l->told && now >= l->expires) {
            bth_lease_revoke(l->lease);
            give_back(s, l);
        }
    }
}

void bth_loans_finish(struct bth_server *s) {
    struct bth_loan *l;
    BTH_LIST_EACH(l, &s->loans, struct bth_loan, link) {
        give_back(s, l);
    }
}

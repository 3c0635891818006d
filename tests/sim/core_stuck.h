/*
 * tests/sim/core_stuck.h - who waits for ever: by brute force, from the clients' own books.
 *
 * Assume that everybody who need not wait any more ends: he is answered, and lets go of all that he
 * has. Whoever is left when nobody can go on is stuck. Nobody's leases, and those of owners who
 * have asked for something while they waited, are thought to end by themselves. A part of
 * core_world.h, which includes it.
 */
#ifndef BTH_CORE_STUCK_H
#define BTH_CORE_STUCK_H

static bool may_end(const struct world *w, const struct client *holder, const bool *done) {
    EACH_CLIENT(o, w) {
        if (o->state == WAITING && !done[o - w->clients] && same_owner(o->owner, holder->owner)) {
            return w->hands[holder->owner];
        }
    }
    return true;
}

/* Can c be answered, if those who are done are out of the way? */
static bool can_end(const struct world *w, const struct client *c, const bool *done) {
    uint32_t left = 0;
    EACH_CLIENT(o, w) {
        const bool own = same_owner(o->owner, c->owner);
        if (o == c || !overlap(w, o->scope, c->scope)) {
            continue;
        }
        if (o->state == HOLDING && !own && !may_end(w, o, done)) {
            if (c->exclusive || o->exclusive) {
                return false;
            }
            left += o->scope == c->scope;
        }
        if (o->state == WAITING && !done[o - w->clients] && is_before(o, c) &&
            (o->scope == c->scope || c->order > 0)) {
            return false;
        }
    }
    return !c->order || c->exclusive || !c->max_concurrent || left < c->max_concurrent;
}

/* Marks all who will be answered; how many will not. */
static size_t reduce(const struct world *w, bool done[MAX_CLIENTS]) {
    size_t stuck = 0;
    memset(done, 0, MAX_CLIENTS * sizeof(*done));
    for (bool any = true; any;) {
        any = false;
        stuck = 0;
        EACH_CLIENT(c, w) {
            bool *d = &done[c - w->clients];
            if (c->state == WAITING && !*d) {
                *d = can_end(w, c, done);
                any |= *d;
                stuck += !*d;
            }
        }
    }
    return stuck;
}

/* I11: nobody is. */
static void check_stuck(struct world *w) {
    bool done[MAX_CLIENTS];
    const size_t stuck = reduce(w, done);
    HOLDS(w, stuck == 0, "I11: %zu wait for ever", stuck);
}

/* Whether one who is asking, or anybody for his sake, would be. */
static bool closes_ring(const struct world *w, const struct client *c) {
    bool done[MAX_CLIENTS];
    reduce(w, done);
    return !done[c - w->clients] && !w->hands[c->owner];
}

/* A client who is about to ask, with all but his state: what the books make of it. One who would
 * hurt somebody whom he would overtake comes last. */
static void prepare_to_ask(struct world *w, struct client *c) {
    bool done[MAX_CLIENTS];
    EACH_CLIENT(o, w) {
        w->hands[c->owner] |= o->state == WAITING && same_owner(o->owner, c->owner);
    }
    c->order = ++w->order;
    c->order = is_inside(w, c) ? 0 : c->order;
    c->key = w->now - c->priority * BTH_PRIORITY_NS;
    c->state = WAITING;
    if (c->order && w->now < c->expires && reduce(w, done) > 0 && w->state.last_key > c->key) {
        c->key = w->state.last_key; /* the largest there has been */
        seen_demoted++;
    }
}

/* An owner who has nothing any more has no past. */
static void forget_hands(struct world *w) {
    bool has[MAX_OWNERS + 1] = {false};
    EACH_CLIENT(c, w) {
        has[c->owner] |= c->state == WAITING || c->state == HOLDING;
    }
    for (size_t i = 0; i <= MAX_OWNERS; i++) {
        w->hands[i] &= has[i] && i > 0;
    }
}

#endif

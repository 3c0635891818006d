/*
 * tests/sim/state_hash.h - whether a state of the step has changed: in what matters, or at all.
 */
#ifndef BTH_STATE_HASH_H
#define BTH_STATE_HASH_H

#include "core/ledger.h"
#include "core/step.h"
#include <string.h>

static void mix(uint64_t *h, uint64_t v) {
    *h = (*h ^ v) * UINT64_C(1099511628211);
    *h ^= *h >> 29;
}
#define EACH_ROW(type, var, table)                                                                 \
    for (type *var = bth_table_next(&(table), NULL); var; var = bth_table_next(&(table), var))

/* All that matters, so that "changes nothing" can be checked. */
static uint64_t state_hash(const struct bth_state *s) {
    uint64_t h = 7;
    for (uint32_t i = 0; i < s->n_devices; i++) {
        mix(&h, s->devices[i].reserved);
        mix(&h, s->devices[i].committed);
        mix(&h, s->devices[i].freeing);
        mix(&h, s->devices[i].residual);
    }
    for (uint32_t i = 0; i < s->n_models; i++) {
        mix(&h, s->models[i].open);
        mix(&h, s->models[i].est_state);
        mix(&h, s->models[i].failures);
        mix(&h, s->models[i].served);
        mix(&h, s->models[i].scope.held);
    }
    EACH_ROW(struct bth_gen, g, s->gens) {
        mix(&h, g->id);
        mix(&h, g->inst);
        mix(&h, g->op);
        mix(&h, g->leases);
        mix(&h, g->uses);
        mix(&h, bth_gen_bytes(g));
    }
    EACH_ROW(struct bth_ticket, t, s->tickets) {
        mix(&h, t->id);
    }
    EACH_ROW(struct bth_lease_row, l, s->leases) {
        mix(&h, l->id);
        mix(&h, l->state);
    }
    EACH_ROW(struct bth_use_row, u, s->uses) {
        mix(&h, u->id);
        mix(&h, u->state);
    }
    return h;
}

/* Everything, byte for byte. */
static uint64_t whole_hash(const struct bth_state *s) {
    const struct {
        const void *data;
        size_t size;
    } parts[] = {{s, sizeof(*s)},
                 {s->models, s->n_models * sizeof(*s->models)},
                 {s->gens.rows, s->gens.capacity * s->gens.width},
                 {s->tickets.rows, s->tickets.capacity * s->tickets.width},
                 {s->leases.rows, s->leases.capacity * s->leases.width},
                 {s->uses.rows, s->uses.capacity * s->uses.width}};
    uint64_t h = 3;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        for (size_t k = 0; k < parts[i].size; k += sizeof(uint64_t)) { /* all are of such words */
            uint64_t word;
            memcpy(&word, (const char *)parts[i].data + k, sizeof(word));
            mix(&h, word);
        }
    }
    return h;
}

#endif

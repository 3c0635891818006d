/*
 * A draining generation is never revived, never freed with somebody on it, always freed in the end;
 * newcomers meanwhile get the next one. The drain returns.
 * src/core/step.c: bth_gen_close, bth_gen_settle, on_use_open; step_lease.c: revoke_due; manager.c:
 * bth_manager_unload; see README.md.
 */
#include "monitor.h"

#define CALLERS 2
#define GENS    2 /* the unloaded one and the next */

mtype = { READY, DRAIN, FREEING, GONE };
mtype inst[GENS] = READY; /* whichever is open */
byte leases[GENS] = 0, uses[GENS] = 0, frees[GENS] = 0;
byte open = 0; /* the OPEN generation */
bit unloaded = 0;
byte over = 0;

/* bth_gen_settle, with the lock. */
inline settle(g) {
    if
    :: inst[g] == DRAIN && leases[g] == 0 && uses[g] == 0 ->
        inst[g] = FREEING;
        broadcast()
    :: else
    fi
}

active [CALLERS] proctype caller() {
    byte g;
    lock();
    atomic {
        g = open;
        assert(inst[g] == READY); /* a grant: READY in this very step */
        leases[g]++
    }
    unlock();
    lock();
    assert(inst[g] == READY || inst[g] == DRAIN);
    uses[g]++; /* a held lease still opens uses while it drains */
    unlock();
    if
    :: lock(); leases[g]--; settle(g); unlock(); /* the use outlives its lease */
       assert(inst[g] == READY || inst[g] == DRAIN);
       lock(); uses[g]--; settle(g); unlock()
    :: lock(); uses[g]--; settle(g); unlock();
       lock(); leases[g]--; settle(g); unlock()
    fi;
    over++
}

active proctype unloader() {
    byte since;
    lock();
    atomic {
        inst[0] = DRAIN;
        open = 1 /* the next generation: its load is not the subject here */
    }
    settle(0);
    do
    :: inst[0] == GONE -> break
    :: else -> wait()
    od;
    unlock();
    unloaded = 1
}

active proctype loader() {
    byte since;
    lock();
    do
    :: inst[0] == FREEING -> break
    :: else -> wait()
    od;
    frees[0]++;
    unlock();
    assert(leases[0] == 0 && uses[0] == 0); /* engine's unload, nothing held */
    lock();
    assert(inst[0] == FREEING);
    inst[0] = GONE;
    broadcast();
    unlock()
}

active proctype at_the_end() {
    timeout;
    assert(over == CALLERS && unloaded && inst[0] == GONE && frees[0] == 1);
    assert(leases[1] == 0 && uses[1] == 0 && inst[1] == READY)
}

/*
 * A ticket gets one answer, whether the grant or the time-out comes first, and a grant that crosses
 * the time-out is not lost: its lease is held by somebody who releases it.
 * src/core/manager_lease.c: wait_for_answer; step_lease.c: bth_on_tick; step.c: on_load_done; see README.md.
 */
#include "monitor.h"

#define CALLERS 2

mtype = { NONE, QUEUED, GRANTED, REFUSED };
mtype ticket[CALLERS] = NONE;
byte answers[CALLERS] = 0;
byte leases = 0; /* HELD, by the ledger */
byte held = 0;   /* by those who think that they hold one */
bit ready = 0;   /* the instance */
byte over = 0;

/* bth_pump: the only place that grants. Called with the lock. */
inline pump() {
    atomic {
        byte i = 0;
        do
        :: i < CALLERS ->
            if
            :: ready && ticket[i] == QUEUED ->
                ticket[i] = GRANTED; answers[i]++; leases++
            :: else
            fi;
            i++
        :: else -> break
        od
    }
    broadcast()
}

active [CALLERS] proctype caller() {
    bit timed_out = 0;
    byte since;
    byte me = _pid;
    lock();
    ticket[me] = QUEUED;
    pump();
    do
    :: ticket[me] != QUEUED -> break
    :: ticket[me] == QUEUED ->
        timed_wait(timed_out);
        if
        :: timed_out && ticket[me] == QUEUED -> /* TICK: the step decides, under the lock */
            ticket[me] = REFUSED; answers[me]++
        :: else
        fi
    od;
    unlock();
    if
    :: ticket[me] == GRANTED -> held++
    :: else
    fi;
    assert(answers[me] == 1);
    if
    :: ticket[me] == GRANTED ->
        lock();
        assert(ready && leases > 0);
        leases--;
        held--;
        unlock()
    :: else
    fi;
    over++
}

active proctype loader() {
    lock();
    ready = 1;
    pump();
    unlock()
}

active proctype at_the_end() {
    timeout;
    assert(over == CALLERS && leases == 0 && held == 0)
}

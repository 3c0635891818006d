/*
 * Exclusive and shared leases that are granted, timed out and revoked: nobody is ever beside an
 * exclusive, every ticket has one answer, nobody sleeps on when he could be granted, and a clean-up
 * ends though a holder does not let go.
 * src/core/step_lease.c: bth_on_acquire, bth_on_tick, bth_on_release, revoke_due; step_pump.c:
 * pump_model; manager_lease.c: wait_for_answer, bth_manager_cleanup; see README.md.
 */
#include "monitor.h"

#define CALLERS 3
#define EXCLUSIVE(i) (i == 1) /* caller 1 wants it for himself, 0 and 2 share */

mtype = { NONE, QUEUED, HELD, REVOKED, REFUSED };
mtype at[CALLERS] = NONE;
byte queue[CALLERS]; /* who waits, first come first */
byte waiting = 0;
byte answers[CALLERS] = 0;
byte shared = 0, exclusive = 0; /* HELD */
bit swept = 0;
byte over = 0;

#define FIRST_MAY_GO                                                                              \
    (waiting > 0 && (EXCLUSIVE(queue[0]) -> shared + exclusive == 0 : exclusive == 0))

/* pump_model: from the first of the queue on, until one must wait. Called with the lock. */
inline pump() {
    atomic {
        do
        :: FIRST_MAY_GO ->
            at[queue[0]] = HELD; answers[queue[0]]++;
            if
            :: EXCLUSIVE(queue[0]) -> exclusive++
            :: else -> shared++
            fi;
            queue[0] = queue[1]; queue[1] = queue[2]; waiting--
        :: else -> break
        od;
        assert(exclusive <= 1 && (exclusive == 0 || shared == 0))
    }
    broadcast()
}

inline leave() {
    assert(!FIRST_MAY_GO);
    unlock()
}

inline let_go(i) {
    if
    :: EXCLUSIVE(i) -> exclusive--
    :: else -> shared--
    fi
}

/* Takes `i` out of the queue, whose other tickets keep their order. */
inline unlink(i) {
    atomic {
        if
        :: queue[0] == i -> queue[0] = queue[1]; queue[1] = queue[2]
        :: queue[0] != i && queue[1] == i -> queue[1] = queue[2]
        :: else
        fi;
        waiting--
    }
}

active [CALLERS] proctype caller() {
    bit timed_out = 0;
    byte since;
    byte me = _pid;
    lock();
    at[me] = QUEUED;
    queue[waiting] = me;
    waiting++;
    pump();
    do
    :: at[me] != QUEUED -> break
    :: at[me] == QUEUED ->
        if
        :: me == 2 -> wait() /* without a time-out: he must be woken */
        :: else -> timed_wait(timed_out)
        fi;
        if
        :: timed_out && at[me] == QUEUED -> /* TICK: those behind him may go now */
            at[me] = REFUSED; answers[me]++;
            unlink(me);
            pump()
        :: else
        fi
    od;
    leave();
    assert(answers[me] == 1);
    if
    :: at[me] == REFUSED
    :: else ->
        if
        :: me == 0 -> (swept) /* holds on until it is revoked, or the clean-up did not meet it */
        :: else
        fi;
        lock(); /* RELEASE: of a revoked lease it changes nothing */
        if
        :: at[me] == HELD -> let_go(me); at[me] = NONE; pump()
        :: else -> assert(at[me] == REVOKED)
        fi;
        leave()
    fi;
    over++
}

active proctype cleaner() {
    byte i = 0;
    lock();
    do
    :: i < CALLERS ->
        if
        :: at[i] == HELD -> let_go(i); at[i] = REVOKED
        :: else
        fi;
        i++
    :: else -> break
    od;
    pump();
    swept = 1;
    leave()
}

active proctype at_the_end() {
    timeout;
    assert(over == CALLERS && shared + exclusive == 0 && waiting == 0)
}

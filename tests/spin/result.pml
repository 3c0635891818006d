/*
 * A result is completed once, taken once, and nobody who waits for it sleeps on.
 * src/base/outbox.c: bth_outbox_complete, wait_locked; bth_job_cancel; see README.md.
 */
#include "monitor.h"

#define WAITERS 2

bit done = 0;
bit cancelled = 0; /* a flag that the device's thread reads between turns */
byte completions = 0, taken = 0, returned = 0;
byte refs = 2;     /* the caller's handle, the scheduler's */
bit freed = 0;

inline unref() {
    atomic {
        refs--;
        if
        :: refs == 0 -> assert(!freed); freed = 1
        :: else
        fi
    }
}

/* The device's thread: turns until the work is done or no longer wanted. */
active proctype device() {
    byte turns = 2;
    do
    :: turns > 0 && !cancelled -> turns--
    :: else -> break
    od;
    lock();
    assert(!done && !freed);
    done = 1;
    completions++;
    broadcast();
    unlock();
    unref()
}

active [WAITERS] proctype waiter() {
    bit timed_out = 0;
    byte since;
    lock();
    do
    :: done -> break
    :: !done && timed_out -> break
    :: !done && !timed_out ->
        if
        :: wait()
        :: timed_wait(timed_out)
        fi
    od;
    assert(!freed);
    if
    :: done && taken == 0 -> taken = 1
    :: else
    fi;
    unlock();
    atomic {
        returned++;
        if
        :: returned == WAITERS -> unref() /* the caller frees his handle */
        :: else
        fi
    }
}

active proctype canceller() {
    if
    :: cancelled = 1
    :: skip
    fi
}

active proctype at_the_end() {
    timeout; /* nothing else can move */
    assert(completions == 1 && returned == WAITERS && taken <= 1);
    assert(freed && refs == 0)
}

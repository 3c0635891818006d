/*
 * A client's session ends while a grant is on its way to it: every lease that core has granted is
 * given back, once, and nobody else waits for it for ever.
 * src/server/session.c: bth_session_acquire, answered (core's thread), bth_session_look,
 * bth_session_release (DELETE), bth_session_close; all but `answered` on the desk; see README.md.
 */
#include "monitor.h" /* core's lock, for the other caller's wait */

mtype = { NONE, QUEUED, GRANTED, RELEASED };
mtype ticket = NONE;
bit answered = 0, told = 0, there = 0; /* of bth_session_lease */
bit free = 0;                          /* the model: another client has it at first */
byte notes = 0;                        /* in the desk's inbox */
bit session = 1;                       /* open */
byte grants = 0, releases = 0;
bit other_done = 0;
mtype = { PUT, DELETE, END };
chan wire = [3] of { mtype };

/* With core's lock: the first who waits gets it. `answered` is the callback. */
inline pump() {
    if
    :: free && ticket == QUEUED ->
        free = 0; ticket = GRANTED; grants++; answered = 1; notes++
    :: else
    fi
}

/* give_back: cancel, then release what was granted, told or not. */
inline give_back() {
    lock();
    if
    :: ticket == QUEUED -> ticket = NONE; answered = 1; notes++
    :: else
    fi;
    unlock();
    if
    :: ticket == GRANTED ->
        lock();
        ticket = RELEASED; releases++; free = 1; pump();
        broadcast();
        unlock()
    :: else
    fi;
    there = 0
}

active proctype client() {
    wire ! PUT;
    if
    :: wire ! DELETE
    :: skip
    fi;
    wire ! END /* killed */
}

active proctype desk() {
    do
    :: wire ? PUT ->
        there = 1;
        lock(); ticket = QUEUED; pump(); unlock()
    :: wire ? DELETE ->
        if
        :: there -> give_back()
        :: else
        fi
    :: wire ? END ->
        if
        :: there -> give_back()
        :: else
        fi;
        session = 0;
        break
    :: notes > 0 -> /* bth_session_look */
        notes--;
        if
        :: there && answered && !told -> told = 1
        :: else
        fi
    od
}

/* Holds the model at first, lets it go at any time, and wants it again. */
active proctype other() {
    byte since;
    lock();
    free = 1; pump();
    unlock();
    lock();
    do
    :: free -> free = 0; break
    :: else -> wait()
    od;
    unlock();
    other_done = 1
}

active proctype at_the_end() {
    timeout;
    assert(session == 0 && there == 0 && ticket != QUEUED && ticket != GRANTED);
    assert(grants == releases && other_done)
}

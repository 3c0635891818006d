/*
 * A mutex and a condition variable, as base/sync.h has them: wait gives the mutex up and begins to
 * sleep in one step, and a broadcast wakes those who sleep at that moment and nobody who comes
 * later, which is how wake-ups get lost. timed_wait may also end by itself. Whoever waits declares
 * `byte since`.
 */
bit locked = 0;
byte wakeups = 0;

inline lock() {
    atomic { locked == 0 -> locked = 1 }
}
inline unlock() {
    locked = 0
}
inline broadcast() {
    wakeups++
}
inline wait() {
    atomic { since = wakeups; locked = 0 }
    wakeups != since;
    lock()
}
inline timed_wait(timed_out) {
    atomic { since = wakeups; locked = 0 }
    if
    :: wakeups != since -> timed_out = 0
    :: timed_out = 1
    fi;
    lock()
}

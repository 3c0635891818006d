/*
 * server/notify.h - what systemd and a service tell each other: sd_notify(3) and LISTEN_FDS, spoken
 * without its library. Without systemd nothing happens. Call it from one thread.
 */
#ifndef BTH_NOTIFY_H
#define BTH_NOTIFY_H

#include <stddef.h>
#include <stdint.h>

/* Sends "READY=1" and the like to NOTIFY_SOCKET, if there is one. Does not wait. */
void bth_notify(const char *text);
/* How often "WATCHDOG=1" is wanted, half the limit, in ms; 0: not at all. */
int64_t bth_notify_watchdog_ms(void);
/* Listening sockets that were passed to this process, made close-on-exec; at most n into out. Takes
 * the environment variables away, so that children do not think them theirs. */
size_t bth_notify_sockets(int *out, size_t n);

#endif

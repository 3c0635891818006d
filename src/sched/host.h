/*
 * sched/host.h - a small pool of threads for host-lane turns (decoding sound, tokenising).
 *
 * A thread runs one job's `enqueue` and leaves the note HOST_DONE; the device's thread settles. The
 * threads run at lower priority than the device's: they prepare work, they must not hold it up.
 */
#ifndef BTH_HOST_H
#define BTH_HOST_H

#include "sched/job.h"

struct bth_host;

int bth_host_create(int threads, struct bth_host **out, struct berth_error *err);
/* No job may be with it. NULL is allowed. */
void bth_host_destroy(struct bth_host *h);
/* Hands the job over until its note. Does not wait. */
void bth_host_run(struct bth_host *h, struct bth_job *job);

#endif

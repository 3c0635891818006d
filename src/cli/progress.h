/*
 * cli/progress.h - one line on a terminal that says how far we are; nothing anywhere else.
 *
 * Standard error, redrawn at most ten times a second.
 */
#ifndef BTH_PROGRESS_H
#define BTH_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct bth_progress {
    bool shown; /* standard error is a terminal */
    bool drawn; /* a line is on the screen */
    int64_t next_ns;
    const char *unit; /* of `done` and `total`: "s" unless it is set after init */
};

void bth_progress_init(struct bth_progress *p);
/* `done` of `total` units, a bar and the counts of files. */
void bth_progress_draw(struct bth_progress *p, double done, double total, int files_done,
                       int files);
/* Removes the line, so that other text can be printed. */
void bth_progress_clear(struct bth_progress *p);

#endif

/*
 * server/log_writer.h - writes lines of the log on a thread of its own.
 *
 * Whoever reads standard error may be slow, or a disk may be: the threads that serve leave their
 * lines here and never wait. What does not fit, or cannot be
 * written, is dropped and counted, and a later line says so.
 *
 * Lock rank: stats.
 */
#ifndef BTH_LOG_WRITER_H
#define BTH_LOG_WRITER_H

#include <berth/error.h>
#include <stddef.h>
#include <stdint.h>

struct bth_log_writer;

/* Lines on their way, beyond which they are dropped. */
enum { BTH_LOG_PENDING = 256 << 10 };

/* Starts the thread; fd stays the caller's. ENOMEM. */
int bth_log_writer_create(int fd, struct bth_log_writer **out, struct berth_error *err);
/* A whole line. Any thread, does not wait. */
void bth_log_writer_put(struct bth_log_writer *w, const char *line, size_t n);
/* Lines lost so far. */
uint64_t bth_log_writer_dropped(struct bth_log_writer *w);
/* How many of them no line has spoken of, when there is room for one that does: the caller writes
 * it. Else 0. */
uint64_t bth_log_writer_untold(struct bth_log_writer *w);
/* Writes what is left, for a second at most. NULL is allowed. */
void bth_log_writer_destroy(struct bth_log_writer *w);

#endif

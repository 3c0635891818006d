/*
 * server/log.h - what happens, a line each on standard error.
 *
 * Text on a terminal, JSON lines elsewhere: {"ts":..., "level":..., "msg":..., "request_id":...}.
 * Under systemd a line begins with its priority (<6>), which the journal takes off. One write a
 * line: the caller's, or, with a writer, its thread's, and then nobody waits for who reads the log.
 * Any thread, with no lock held.
 */
#ifndef BTH_LOG_H
#define BTH_LOG_H

#include "base/compiler.h"
#include "server/log_writer.h"
#include <stdbool.h>
#include <stdint.h>

enum bth_log_level { BTH_LOG_ERROR = 3, BTH_LOG_WARNING = 4, BTH_LOG_INFO = 6, BTH_LOG_DEBUG = 7 };

/* Constant once in use. */
struct bth_log {
    int fd;
    enum bth_log_level level; /* what is less urgent is left out; 0: everything is */
    bool json, priorities;
    struct bth_log_writer *writer; /* or NULL */
};

/* As the environment and the descriptor suggest. */
struct bth_log bth_log_default(void);
/* request_id may be NULL. */
void bth_log_write(const struct bth_log *log, enum bth_log_level level, const char *request_id,
                   const char *fmt, ...) BTH_PRINTF(4, 5);

/* A request that has ended, as one sentence or as fields of their own. */
struct bth_log_request {
    const char *id, *method, *path, *caller, *model; /* model "": none */
    int status;
    bool sent; /* else the client had left */
    double ms;
    uint64_t bytes; /* of its body */
};
void bth_log_request(const struct bth_log *log, enum bth_log_level level,
                     const struct bth_log_request *r);

#endif

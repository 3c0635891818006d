#include "server/log.h"

#include "server/json_text.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct bth_log bth_log_default(void) {
    return (struct bth_log){.fd = STDERR_FILENO,
                            .level = BTH_LOG_INFO,
                            .json = !isatty(STDERR_FILENO),
                            .priorities = getenv("JOURNAL_STREAM") != NULL};
}

static const char *level_name(enum bth_log_level level) {
    switch (level) {
    case BTH_LOG_ERROR:
        return "error";
    case BTH_LOG_WARNING:
        return "warning";
    case BTH_LOG_INFO:
        return "info";
    case BTH_LOG_DEBUG:
        break;
    }
    return "debug";
}

/* Up to the message; the line is to be ended with "}\n". */
static void begin_json(struct bth_str *line, enum bth_log_level level, const char *id,
                       const char *text) {
    struct timespec now;
    struct tm tm;
    char when[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
    bth_str_printf(line, "{\"ts\":\"%s.%03ldZ\"", when, now.tv_nsec / 1000000);
    bth_json_put_string(line, "level", level_name(level));
    bth_json_put_string(line, "msg", text);
    if (id) {
        bth_json_put_string(line, "request_id", id);
    }
}

/* Control characters, U+0080 to U+009F too, would write to the terminal what a client made up. */
static void put_text(struct bth_str *line, enum bth_log_level level, const char *id,
                     const char *text) {
    if (level < BTH_LOG_INFO) {
        bth_str_printf(line, "%s: ", level_name(level));
    }
    for (size_t n = strlen(text), used; n > 0; text += used, n -= used) {
        uint32_t c;
        char utf8[4];
        used = bth_utf8_decode(text, n, &c);
        c = c < ' ' || (c >= 127 && c < 0xA0) ? '?' : c;
        bth_str_append(line, utf8, bth_utf8_encode(c, utf8));
    }
    if (id) {
        bth_str_printf(line, " [%s]", id);
    }
    bth_str_putc(line, '\n');
}

static void begin_line(const struct bth_log *log, enum bth_log_level level, struct bth_str *line) {
    if (log->priorities) {
        bth_str_printf(line, "<%d>", (int)level);
    }
}

/* A line of nothing but text. */
static void put_line(const struct bth_log *log, enum bth_log_level level, const char *id,
                     const char *text, struct bth_str *line) {
    begin_line(log, level, line);
    if (log->json) {
        begin_json(line, level, id, text);
        bth_str_puts(line, "}\n");
    } else {
        put_text(line, level, id, text);
    }
}

/* Whoever reads the log learns before the next line that some are not there. */
static void tell_dropped(const struct bth_log *log) {
    const uint64_t n = bth_log_writer_untold(log->writer);
    if (n > 0) {
        char text[128];
        struct bth_str line = {0};
        snprintf(text, sizeof(text),
                 "%llu lines of the log were lost: they could not be written, or not in time",
                 (unsigned long long)n);
        put_line(log, BTH_LOG_WARNING, NULL, text, &line);
        bth_log_writer_put(log->writer, bth_str_text(&line), line.size);
        bth_str_finish(&line);
    }
}

static void write_line(const struct bth_log *log, struct bth_str *line) {
    if (log->writer && !line->failed) {
        tell_dropped(log);
        bth_log_writer_put(log->writer, line->data, line->size);
    } else {
        while (!line->failed && write(log->fd, line->data, line->size) < 0 && errno == EINTR) {
        }
    }
    bth_str_finish(line);
}

void bth_log_write(const struct bth_log *log, enum bth_log_level level, const char *request_id,
                   const char *fmt, ...) {
    if (level > log->level) {
        return;
    }
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    struct bth_str line = {0};
    put_line(log, level, request_id, text, &line);
    write_line(log, &line);
}

void bth_log_request(const struct bth_log *log, enum bth_log_level level,
                     const struct bth_log_request *r) {
    if (level > log->level) {
        return;
    }
    if (!log->json) {
        bth_log_write(log, level, r->id, "%s %s %d%s, %.1f ms, %llu bytes, %s%s%s", r->method,
                      r->path, r->status, r->sent ? "" : " not sent, the client has left", r->ms,
                      (unsigned long long)r->bytes, r->caller, *r->model ? ", " : "", r->model);
        return;
    }
    struct bth_str line = {0};
    begin_line(log, level, &line);
    begin_json(&line, level, r->id, "request");
    bth_json_put_string(&line, "method", r->method);
    bth_json_put_string(&line, "path", r->path);
    bth_json_put_int(&line, "status", r->status);
    bth_json_put_bool(&line, "sent", r->sent);
    bth_json_key(&line, "ms");
    bth_str_printf(&line, "%.3f", r->ms);
    bth_json_put_uint(&line, "bytes", r->bytes);
    bth_json_put_string(&line, "caller", r->caller);
    bth_json_put_string(&line, "model", *r->model ? r->model : NULL);
    bth_str_puts(&line, "}\n");
    write_line(log, &line);
}

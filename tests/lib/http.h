/*
 * tests/lib/http.h - a server with toy models on a free port, and a client that says exactly what
 * the test wants, well formed or not.
 *
 * Everything aborts the test when it fails, unless it says otherwise. Replies are waited for ten
 * seconds at most.
 */
#ifndef BTH_TEST_HTTP_H
#define BTH_TEST_HTTP_H

#include "lib/files.h"
#include "server/server.h"
#include <berth/berth.h>

struct test_server {
    struct test_dir dir;
    struct berth *berth;
    struct bth_server *server;
    struct bth_server_config config;
    char address[128], socket[160]; /* TCP; "unix:PATH" */
    const char *listen[2];
    const char *spacy;    /* the folder of spacy/tiny, or NULL: before http_start */
    const char *marian;   /* the folder of marian/de-en and marian/en-fr, or NULL: likewise */
    const char *pairs[8]; /* more toys: names of models that translate, "marian/en-pt" */
    int fds, threads;     /* of the process before the server */
};

/* The defaults, for changes before http_start: toy/echo (alias echo), toy/slow (300 ms to load),
 * toy/broken; with `whisper`, a tiny random whisper/tiny in that directory. */
void http_prepare(struct test_server *t);
void http_start(struct test_server *t, const char *whisper);
/* Ends it all and checks that descriptors, threads and memory are back where they were. */
void http_stop(struct test_server *t);

struct http_conn {
    int fd;
    char *buf; /* [n] received, not yet read */
    size_t n, capacity;
};

struct http_reply {
    int status;
    char *head; /* all of it, NUL-terminated */
    char *body; /* decoded, NUL-terminated */
    size_t n_body;
};

struct http_conn http_open(const char *address);
void http_close(struct http_conn *c);
/* A peer that has closed is no failure here. */
void http_send(struct http_conn *c, const void *data, size_t n);
void http_say(struct http_conn *c, const char *fmt, ...) BTH_PRINTF(2, 3);
/* The next reply; false: the connection was closed before it was complete. Free it. */
bool http_read(struct http_conn *c, struct http_reply *out);
/* Reads until `text` has come in; false: closed before. */
bool http_read_until(struct http_conn *c, const char *text);
void http_free(struct http_reply *r);
/* The value of a header, or NULL; valid until the next call. */
const char *http_field(const struct http_reply *r, const char *name);
/* Whether the peer closes within ms. */
bool http_closed(struct http_conn *c, int ms);

/* One request on a connection of its own. body NULL: none. */
struct http_reply http_ask(const char *address, const char *method, const char *path,
                           const char *headers, const char *body);
/* The status of such a request. */
int http_status(const char *address, const char *method, const char *path, const char *headers,
                const char *body);

/* Runs a program and waits; its exit status, 98 if a signal ended it, 99 if it cannot be run. */
int http_program(const char *path, char *const argv[]);
void http_sleep_ms(long ms);
int http_count_fds(void);
int http_count_threads(void);

#endif

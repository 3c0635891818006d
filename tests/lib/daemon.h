/*
 * tests/lib/daemon.h - a berthd of its own process, on a private socket, with toy models and maybe
 * a tiny whisper.
 */
#ifndef BTH_TEST_DAEMON_H
#define BTH_TEST_DAEMON_H

#include "lib/files.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>

struct test_daemon {
    struct test_dir dir;
    char config[512], socket[200]; /* "unix:PATH" */
    pid_t pid;
    const char *trace; /* the file of its trace, or NULL */
};

static inline void daemon_sleep_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Returns when it serves. */
static inline void daemon_start(struct test_daemon *d) {
    char ready[512];
    test_dir_path(&d->dir, "addresses", ready);
    remove(ready);
    d->pid = fork();
    CHECK(d->pid >= 0);
    if (d->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves no daemon behind */
        execl(BTH_TEST_BERTHD, "berth", "serve", "--no-socket", "--listen", d->socket, "--config",
              d->config, "--threads", "1", "--address-file", ready, "--stop-timeout", "1",
              d->trace ? "--trace" : (char *)NULL, d->trace, (char *)NULL);
        _exit(99);
    }
    /* long, for a checker on a busy machine; one that has ended will not come */
    for (int i = 0; i < 6000 && access(ready, F_OK) != 0; i++) {
        CHECK_INT(waitpid(d->pid, NULL, WNOHANG), 0);
        daemon_sleep_ms(10);
    }
    CHECK(access(ready, F_OK) == 0);
}

static inline void daemon_prepare(struct test_daemon *d, const char *whisper) {
    static const char echo[] = "berth-toy 1\n";
    char text[1200];
    *d = (struct test_daemon){0};
    test_dir_open(&d->dir);
    test_dir_write(&d->dir, "echo", echo, sizeof(echo) - 1);
    int n = snprintf(text, sizeof(text), "models:\n  toy/echo: {path: echo, alias: echo}\n");
    if (whisper) {
        n += snprintf(text + n, sizeof(text) - (size_t)n, "  whisper/tiny: {path: %.500s}\n",
                      whisper);
    }
    test_dir_write(&d->dir, "berth.yaml", text, (size_t)n);
    test_dir_path(&d->dir, "berth.yaml", d->config);
    snprintf(d->socket, sizeof(d->socket), "unix:%.150s/s.sock", d->dir.path);
}

/* Ends it by a signal; its wait status. */
static inline int daemon_end(struct test_daemon *d, int signal) {
    int status;
    CHECK(kill(d->pid, signal) == 0);
    CHECK(waitpid(d->pid, &status, 0) == d->pid);
    return status;
}

#endif

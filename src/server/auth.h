/*
 * server/auth.h - API keys, and names that a request may call this server by.
 *
 * The key file holds one key of 16 to 512 characters a line, or `name key`; blank lines and lines
 * that begin with # are skipped. Constant after bth_auth_init; any thread.
 */
#ifndef BTH_AUTH_H
#define BTH_AUTH_H

#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>

struct bth_key {
    const char *name; /* "key 3" when the file gives none */
    const char *key;
};

struct bth_auth {
    char *text; /* the file, cut into strings */
    struct bth_key *keys;
    size_t n_keys;
    char *names;              /* made-up ones */
    const char *const *hosts; /* [n_hosts], the configuration's */
    size_t n_hosts;
    const char *const *origins; /* [n_origins] */
    size_t n_origins;
};

/* path NULL: no keys. EINVAL (no key in it, one too short), ENOTFOUND, EIO, ENOMEM. */
int bth_auth_init(struct bth_auth *a, const char *path, struct berth_error *err);
void bth_auth_finish(struct bth_auth *a);

/* The name of the key in an Authorization header ("Bearer KEY"), or NULL. Takes as long for a wrong
 * key as for a right one. */
const char *bth_auth_check(const struct bth_auth *a, const char *authorization);

/* May a request with this Host header be meant for us? A web page can make its own name point to
 * this machine (DNS rebinding) but cannot send another Host: so an IP address, localhost, or a name
 * that was allowed. */
bool bth_auth_host(const struct bth_auth *a, const char *host);
/* A web page's Origin: the server's own (`host` is the request's), or one that was allowed.
 * *out_cross: one that was allowed, which needs CORS headers. */
bool bth_auth_origin(const struct bth_auth *a, const char *origin, const char *host,
                     bool *out_cross);

#endif

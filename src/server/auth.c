#include "server/auth.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAX_FILE = 1 << 20, MAX_KEYS = 1000, MIN_KEY = 16, MAX_KEY = 512, NAME_BYTES = 16 };

/* ---- keys ------------------------------------------------------------------------------------*/

static int parse_line(struct bth_auth *a, char *line, size_t number, struct berth_error *err) {
    char *rest, *first = strtok_r(line, " \t\r", &rest);
    if (!first || *first == '#') {
        return 0;
    }
    char *second = strtok_r(NULL, " \t\r", &rest);
    const char *key = second ? second : first;
    if (strtok_r(NULL, " \t\r", &rest) || strlen(key) < MIN_KEY || strlen(key) > MAX_KEY) {
        return bth_error(
            err, BERTH_EINVAL,
            "line %zu: a key of %d to %d characters is wanted, with a name before it or "
            "without",
            number, MIN_KEY, MAX_KEY);
    }
    if (a->n_keys == MAX_KEYS) {
        return bth_error(err, BERTH_EINVAL, "more than %d keys", MAX_KEYS);
    }
    char *made_up = a->names + a->n_keys * NAME_BYTES;
    snprintf(made_up, NAME_BYTES, "key %zu", a->n_keys + 1);
    a->keys[a->n_keys++] = (struct bth_key){.name = second ? first : made_up, .key = key};
    return 0;
}

static int read_keys(struct bth_auth *a, const char *path, struct berth_error *err) {
    size_t n, number = 0;
    int rc = bth_read_file(path, MAX_FILE, &a->text, &n, err);
    if (rc < 0) {
        return rc;
    }
    a->keys = bth_calloc(MAX_KEYS, sizeof(*a->keys));
    a->names = bth_calloc(MAX_KEYS, NAME_BYTES);
    if (!a->keys || !a->names) {
        return bth_error_nomem(err);
    }
    for (char *line = a->text; rc == 0 && line;) {
        char *next = strchr(line, '\n');
        if (next) {
            *next++ = '\0';
        }
        rc = parse_line(a, line, ++number, err);
        line = next;
    }
    return rc == 0 && a->n_keys == 0 ? bth_error(err, BERTH_EINVAL, "there is no key in it") : rc;
}

int bth_auth_init(struct bth_auth *a, const char *path, struct berth_error *err) {
    struct berth_error why = {0};
    *a = (struct bth_auth){0};
    if (!path || read_keys(a, path, &why) == 0) {
        return 0;
    }
    bth_auth_finish(a);
    bth_error_prefix(&why, "API keys, %s: ", path);
    return bth_error_copy(err, &why);
}

void bth_auth_finish(struct bth_auth *a) {
    bth_free(a->text);
    bth_free(a->keys);
    bth_free(a->names);
    *a = (struct bth_auth){0};
}

/* The same steps wherever two texts differ, and for a key of any length. */
static bool same_key(const char *key, const char *given, size_t n_given) {
    size_t n = strlen(key);
    unsigned difference = n != n_given;
    for (size_t i = 0; i < MAX_KEY; i++) {
        unsigned char a = (unsigned char)key[i % (n + 1)];
        unsigned char b = (unsigned char)given[i % (n_given + 1)];
        difference |= (unsigned)(a ^ b);
    }
    return difference == 0;
}

const char *bth_auth_check(const struct bth_auth *a, const char *authorization) {
    static const char scheme[] = "Bearer ";
    const char *name = NULL;
    if (!authorization || strncasecmp(authorization, scheme, sizeof(scheme) - 1) != 0) {
        return NULL;
    }
    const char *given = authorization + sizeof(scheme) - 1;
    given += strspn(given, " ");
    size_t n = strlen(given);
    for (size_t i = 0; i < a->n_keys; i++) { /* all of them */
        if (same_key(a->keys[i].key, given, n)) {
            name = a->keys[i].name;
        }
    }
    return name;
}

/* ---- hosts and origins -----------------------------------------------------------------------*/

/* The name part of "name:port" or "[address]:port"; false: neither. */
static bool host_name(const char *host, char out[256], bool *out_v6) {
    const char *end = *host == '[' ? strchr(host, ']') : NULL;
    *out_v6 = end != NULL;
    const char *begin = end ? host + 1 : host;
    const char *port = end ? end + 1 : host + strcspn(host, ":");
    size_t n = (size_t)((end ? end : port) - begin);
    bool good_port = !*port || (*port == ':' && strspn(port + 1, "0123456789") == strlen(port + 1));
    if (n == 0 || n > 255 || !good_port) {
        return false;
    }
    memcpy(out, begin, n);
    out[n] = '\0';
    return true;
}

bool bth_auth_host(const struct bth_auth *a, const char *host) {
    char name[256];
    struct in6_addr v6;
    struct in_addr v4;
    bool is_v6;
    if (!host_name(host, name, &is_v6)) {
        return false;
    }
    if (is_v6 || inet_pton(AF_INET, name, &v4) == 1) {
        return !is_v6 || inet_pton(AF_INET6, name, &v6) == 1;
    }
    for (size_t i = 0; i < a->n_hosts; i++) {
        if (strcasecmp(a->hosts[i], name) == 0) {
            return true;
        }
    }
    return strcasecmp(name, "localhost") == 0;
}

bool bth_auth_origin(const struct bth_auth *a, const char *origin, const char *host,
                     bool *out_cross) {
    const char *own = strncmp(origin, "http://", 7) == 0 ? origin + 7 : NULL;
    *out_cross = false;
    if (own && strcasecmp(own, host) == 0) {
        return true;
    }
    for (size_t i = 0; i < a->n_origins; i++) {
        *out_cross |= strcmp(a->origins[i], origin) == 0;
    }
    return *out_cross;
}

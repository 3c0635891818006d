#include "client/client.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "client/client_private.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- life ------------------------------------------------------------------------------------*/

void bth_client_ref(struct bth_client *c) {
    client_lock(c);
    c->refs++;
    client_unlock(c);
}

static void free_names(struct bth_client *c) {
    bth_free(c->address);
    bth_free(c->base);
    bth_free(c->socket);
    bth_free(c->bearer);
    bth_free(c);
}

void bth_client_unref(struct bth_client *c) {
    client_lock(c);
    bool last = --c->refs == 0;
    client_unlock(c);
    if (last) {
        bth_loop_finish(&c->loop);
        bth_cond_finish(&c->changed);
        bth_mutex_finish(&c->lock);
        free_names(c);
        curl_global_cleanup();
    }
}

static bool is_url(const char *address) {
    for (const char *p = address; *p; p++) {
        if (!isgraph((unsigned char)*p)) {
            return false;
        }
    }
    return strncmp(address, "http://", 7) == 0 ? address[7] != '\0'
                                               : strncmp(address, "https://", 8) == 0 && address[8];
}

/* "HOST:PORT", as berthd writes its address into a file. */
static bool is_host_and_port(const char *address) {
    const char *colon = strrchr(address, ':');
    return colon && colon != address && colon[1] &&
           strspn(colon + 1, "0123456789") == strlen(colon + 1) &&
           strcspn(address, "/ \t\r\n@?#") == strlen(address);
}

static int set_address(struct bth_client *c, const char *address, struct berth_error *err) {
    const char *key = getenv("BERTH_API_KEY");
    bool unix_socket = strncmp(address, "unix:", 5) == 0 && address[5];
    if (!unix_socket && !is_url(address) && !is_host_and_port(address)) {
        return bth_error(err, BERTH_EINVAL,
                         "server: http://HOST:PORT, unix:PATH or none is wanted, not '%.100s'",
                         address);
    }
    if (key && key[strcspn(key, "\r\n")]) {
        return bth_error(err, BERTH_EINVAL, "BERTH_API_KEY has more than one line");
    }
    c->address = bth_strdup(address);
    c->socket = unix_socket ? bth_strdup(address + 5) : NULL;
    c->base = unix_socket       ? bth_strdup("http://localhost")
              : is_url(address) ? bth_strdup(address)
                                : bth_printf("http://%s", address);
    c->bearer = key && *key ? bth_printf("Authorization: Bearer %s", key) : NULL;
    if (!c->address || !c->base || (unix_socket && !c->socket) || (key && *key && !c->bearer)) {
        return bth_error_nomem(err);
    }
    for (size_t n = strlen(c->base); n > 0 && c->base[n - 1] == '/'; n--) {
        c->base[n - 1] = '\0';
    }
    return 0;
}

static int create(const char *address, struct bth_client **out, struct berth_error *err) {
    struct bth_client *c = bth_calloc(1, sizeof(*c));
    int rc = c ? set_address(c, address, err) : bth_error_nomem(err);
    if (rc == 0 && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        rc = bth_error(err, BERTH_ENOMEM, "libcurl cannot be set up");
    } else if (rc == 0) {
        rc = bth_loop_init(&c->loop, err);
        if (rc < 0) {
            curl_global_cleanup();
        }
    }
    if (rc < 0) {
        if (c) {
            free_names(c);
        }
        return rc;
    }
    bth_mutex_init(&c->lock, BTH_RANK_core);
    bth_cond_init(&c->changed);
    bth_list_init(&c->jobs);
    bth_list_init(&c->leases);
    bth_list_init(&c->unreturned);
    client_lock(c);
    c->refs = 1;
    client_unlock(c);
    *out = c;
    return 0;
}

int bth_client_open(const char *address, int64_t timeout_ms, struct bth_client **out,
                    struct berth_error *err) {
    struct bth_client *c;
    struct berth_error why = {0};
    int rc = create(address, &c, err);
    if (rc < 0) {
        return rc;
    }
    rc = bth_client_ask(c, "/v1/models", NULL, timeout_ms, NULL, &why);
    if (rc < 0) {
        bth_client_close(c, 0, NULL);
        return rc == BERTH_ETIMEDOUT
                   ? bth_error(err, BERTH_ELOST, "%s: try again later", why.message)
                   : bth_error_copy(err, &why);
    }
    *out = c;
    return 0;
}

int bth_client_close(struct bth_client *c, int64_t deadline, struct berth_error *err) {
    bool in_time = true;
    client_lock(c);
    c->closing = true;
    while ((c->n_jobs || c->n_leases) && in_time) {
        in_time = bth_cond_wait(&c->changed, &c->lock, deadline);
    }
    bool cut_short = c->n_jobs || c->n_leases;
    client_unlock(c);
    bth_client_cancel(c, NULL);
    bth_loop_stop(&c->loop);
    bth_client_drop_unreturned(c);
    bth_client_unref(c);
    return cut_short
               ? bth_error(err, BERTH_ETIMEDOUT,
                           "closed before all had finished: leases or requests were cut short")
               : 0;
}

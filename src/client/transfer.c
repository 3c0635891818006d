/* One HTTP request of libcurl's, as every part of the client makes it. */
#include "base/error.h"
#include "client/client_private.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { CONNECT_MS = 5000 };

/* Programs that this process starts are not to hold its connections open. */
static int close_on_exec(void *arg, curl_socket_t fd, curlsocktype kind) {
    (void)arg, (void)kind;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return CURL_SOCKOPT_OK;
}

int bth_transfer_header(struct bth_transfer *t, const char *line, struct berth_error *err) {
    struct curl_slist *more = curl_slist_append(t->headers, line);
    if (!more) {
        return bth_error_nomem(err);
    }
    t->headers = more;
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, more);
    return 0;
}

static int set_url(const struct bth_client *c, CURL *easy, const char *path) {
    struct bth_str url = {0};
    bth_str_puts(&url, c->base);
    bth_str_puts(&url, path);
    CURLcode rc =
        url.failed ? CURLE_OUT_OF_MEMORY : curl_easy_setopt(easy, CURLOPT_URL, bth_str_text(&url));
    bth_str_finish(&url);
    if (rc == CURLE_OK && c->socket) {
        rc = curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, c->socket);
    }
    return rc == CURLE_OK ? 0 : BERTH_ENOMEM;
}

static int set_headers(const struct bth_client *c, const struct bth_upload *upload,
                       struct bth_transfer *t, struct berth_error *err) {
    int rc = c->bearer ? bth_transfer_header(t, c->bearer, err) : 0;
    if (rc == 0 && upload) {
        char type[96];
        snprintf(type, sizeof(type), "Content-Type: %s", upload->type);
        rc = bth_transfer_header(t, type, err);
    }
    return rc;
}

int bth_transfer_create(const struct bth_client *c, const char *path, struct bth_upload *upload,
                        struct bth_transfer *t, struct berth_error *err) {
    *t = (struct bth_transfer){.ops = t->ops, .easy = curl_easy_init()};
    bth_list_init(&t->inbox);
    bth_list_init(&t->active);
    if (!t->easy || set_url(c, t->easy, path) < 0) {
        bth_transfer_finish(t);
        return bth_error_nomem(err);
    }
    curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(t->easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(t->easy, CURLOPT_SOCKOPTFUNCTION, close_on_exec);
    if (upload) {
        bth_upload_attach(upload, t->easy);
    }
    int rc = set_headers(c, upload, t, err);
    if (rc < 0) {
        bth_transfer_finish(t);
    }
    return rc;
}

int bth_transfer_error(const struct bth_client *c, const struct bth_transfer *t, CURLcode rc,
                       struct berth_error *err) {
    const char *why = t->why[0] ? t->why : curl_easy_strerror(rc);
    long number = 0;
    if (rc == CURLE_COULDNT_CONNECT && t->easy &&
        curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &number) == CURLE_OK && number) {
        why = strerror((int)number);
    }
    switch (rc) {
    case CURLE_OUT_OF_MEMORY:
        return bth_error_nomem(err);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
        return bth_error(err, BERTH_ELOST, "no daemon answers at %.80s (%.100s): try again later",
                         c->address, why);
    case CURLE_ABORTED_BY_CALLBACK:
        return bth_error(err, BERTH_ECANCELLED, "the request was cancelled");
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_CONTENT_ENCODING:
        return bth_error(err, BERTH_EIO, "what answers at %.80s is not understood (%.100s)",
                         c->address, why);
    default:
        return bth_error(err, BERTH_ELOST, "the daemon at %.80s was lost (%.100s): try again",
                         c->address, why);
    }
}

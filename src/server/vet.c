#include "server/vet.h"

#include "base/error.h"
#include "server/conn.h"
#include "server/exchange.h"
#include "server/http.h"
#include "server/values.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* A refused body up to this is read before the answer, which keeps the connection usable. */
enum { SHORT_BODY = 65536 };

struct head {
    int n_host, n_length, n_encoding;
    const char *host, *length, *encoding, *origin, *authorization, *expect, *id, *caller;
    uint64_t bytes; /* Content-Length */
};

static enum MHD_Result note_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                   const char *value) {
    struct head *h = cls;
    (void)kind;
    const struct {
        const char *name;
        const char **to;
        int *n;
    } known[] = {{"Host", &h->host, &h->n_host},
                 {"Content-Length", &h->length, &h->n_length},
                 {"Transfer-Encoding", &h->encoding, &h->n_encoding},
                 {"Origin", &h->origin, NULL},
                 {"Authorization", &h->authorization, NULL},
                 {"Expect", &h->expect, NULL},
                 {"X-Request-Id", &h->id, NULL},
                 {"X-Berth-Caller", &h->caller, NULL}};
    for (size_t i = 0; i < BTH_COUNT(known); i++) {
        if (strcasecmp(name, known[i].name) == 0) {
            *known[i].to = value ? value : "";
            if (known[i].n) {
                ++*known[i].n;
            }
        }
    }
    return MHD_YES;
}

/* ---- names -----------------------------------------------------------------------------------*/

/* Text that may be sent back and logged as it is. */
static bool safe_text(const char *text, size_t most) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "._-:/=+@";
    size_t n = strlen(text);
    return n > 0 && n <= most && strspn(text, allowed) == n;
}

static void set_id(struct bth_exchange *x, const struct head *h) {
    if (h->id && safe_text(h->id, BTH_ID_BYTES - 1)) {
        snprintf(x->id, sizeof(x->id), "%s", h->id);
    } else {
        snprintf(x->id, sizeof(x->id), "%llx-%llx", (unsigned long long)x->server->started_unix,
                 (unsigned long long)x->number);
    }
}

/* Whose turn it is: a key's name, else the peer of a Unix socket, else the connection. */
static void set_caller(struct bth_exchange *x, const struct head *h, const char *key) {
    const struct bth_conn *c = x->conn;
    char who[80];
    if (key) {
        snprintf(who, sizeof(who), "%.79s", key);
    } else if (c->peer_known) {
        snprintf(who, sizeof(who), "uid %ld pid %ld", (long)c->uid, (long)c->pid);
    } else {
        snprintf(who, sizeof(who), "connection %llu", (unsigned long long)c->id);
    }
    bool named = h->caller && safe_text(h->caller, 64);
    snprintf(x->caller, sizeof(x->caller), "%s%s%s", who, named ? " " : "", named ? h->caller : "");
    x->trusted = key || (c->peer_known && c->uid == geteuid());
}

/* ---- the checks, in this order; each answers and returns false, or returns true ---------------*/

static bool refuse(struct bth_exchange *x, int status, const char *code, const char *message) {
    bth_answer_refusal(x, status, code, message);
    return false;
}

/* Two lengths, or a length and chunks, are how one server is made to see two requests where another
 * saw one. libmicrohttpd would choose; we do not. */
static bool framing(struct bth_exchange *x, struct head *h, const char *version) {
    bool digits = h->length && *h->length && strspn(h->length, "0123456789") == strlen(h->length);
    bool bad_length = h->n_length > 1 || (h->n_length && !digits);
    bool bad_encoding = h->n_encoding > 1 ||
                        (h->n_encoding && strcasecmp(h->encoding, "chunked") != 0) ||
                        (h->n_encoding && strcmp(version, "HTTP/1.1") != 0);
    errno = 0;
    h->bytes = digits ? strtoull(h->length, NULL, 10) : 0;
    if (bad_length || bad_encoding || (h->n_length && h->n_encoding) || errno) {
        x->close = true;
        return refuse(x, 400, "bad_framing", "the request's length is not clear");
    }
    return true;
}

static bool host(struct bth_exchange *x, const struct head *h) {
    struct bth_server *s = x->server;
    bool cross = false;
    if (x->conn->door->socket.local) {
        return true; /* no web page reaches a Unix socket */
    }
    if (h->n_host != 1) {
        x->close = true;
        return refuse(x, 400, "bad_host", "one Host header is wanted");
    }
    if (!bth_auth_host(&s->auth, h->host)) {
        bth_count(&s->metrics.refused_host);
        return refuse(x, 403, "bad_host",
                      "the Host is not a name of this server; --allow-host adds one");
    }
    if (h->origin && !bth_auth_origin(&s->auth, h->origin, h->host, &cross)) {
        bth_count(&s->metrics.refused_host);
        return refuse(x, 403, "bad_origin",
                      "web pages of this origin may not use this server; --allow-origin lets one");
    }
    for (size_t i = 0; cross && i < s->auth.n_origins; i++) {
        if (strcmp(s->auth.origins[i], h->origin) == 0) {
            x->origin = s->auth.origins[i];
        }
    }
    return true;
}

static bool key(struct bth_exchange *x, const struct head *h) {
    struct bth_server *s = x->server;
    const char *name = bth_auth_check(&s->auth, h->authorization);
    set_caller(x, h, name);
    if (s->auth.n_keys == 0 || name || x->conn->door->socket.local ||
        (x->route && (x->route->open || (x->route->libre && !h->authorization)))) {
        return true;
    }
    bth_count(&s->metrics.refused_key);
    return refuse(x, 401, "invalid_api_key",
                  h->authorization ? "the API key is not known"
                                   : "an API key is wanted: Authorization: Bearer KEY");
}

/* The question of a browser before it lets a page of another origin send. */
static bool preflight(struct bth_exchange *x) {
    if (x->origin && strcmp(x->method, "OPTIONS") == 0) {
        bth_answer(x, 204, NULL, NULL);
        return false;
    }
    return true;
}

static bool route(struct bth_exchange *x) {
    if (x->route) {
        return true;
    }
    return x->allow[0] ? refuse(x, 405, "method_not_allowed", "this path does not have that method")
                       : refuse(x, 404, "unknown_path", "there is no such path");
}

static enum MHD_Result any_argument(void *cls, enum MHD_ValueKind kind, const char *name,
                                    const char *value) {
    (void)kind, (void)name, (void)value;
    *(bool *)cls = true;
    return MHD_NO;
}

static bool body(struct bth_exchange *x, const struct head *h) {
    const struct bth_route *r = x->route;
    uint64_t most = r->body == BTH_BODY_JSON ? SHORT_BODY : x->server->limits.body_bytes;
    most = r->libre ? BTH_MIN(most, BTH_VALUES_BYTES) : most;
    bool query = false;
    struct berth_error err;
    if (r->body == BTH_BODY_NONE && (h->bytes > 0 || h->encoding)) {
        return refuse(x, 400, "unexpected_body", "this path takes no body");
    }
    if (h->bytes > most) {
        bth_error(&err, BERTH_ETOOLARGE, "the body is larger than %llu bytes",
                  (unsigned long long)most);
        bth_answer_error(x, &err, NULL);
        return false;
    }
    MHD_get_connection_values(x->mhd, MHD_GET_ARGUMENT_KIND, any_argument, &query);
    if (query && !r->query && r->body != BTH_BODY_NONE) {
        return refuse(x, 400, "unexpected_query", "this path takes its options in the body");
    }
    if (r->body == BTH_BODY_FORM) {
        struct bth_multipart_sink sink = bth_form_sink(&x->form);
        if (bth_multipart_create(bth_http_header(x, "Content-Type"), &sink, &x->multipart, &err) <
            0) {
            bth_answer_error(x, &err, NULL);
            return false;
        }
    }
    return true;
}

static bool room(struct bth_exchange *x) {
    struct bth_server *s = x->server;
    struct berth_error err;
    if (!x->route->queued) {
        return true;
    }
    if (s->draining) {
        bth_count(&s->metrics.refused_draining);
        bth_error(&err, BERTH_ESHUTDOWN, "the server is shutting down: try again later");
        bth_answer_error(x, &err, NULL);
        return false;
    }
    if (bth_exchange_enter(x, &err) < 0) {
        bth_count(&s->metrics.refused_queue);
        bth_answer_error(x, &err, NULL);
        return false;
    }
    return true;
}

bool bth_vet(struct bth_exchange *x, const char *url, const char *version) {
    struct head h = {0};
    MHD_get_connection_values(x->mhd, MHD_HEADER_KIND, note_header, &h);
    set_id(x, &h);
    set_caller(x, &h, NULL);
    x->chunked = h.encoding != NULL;
    x->route = bth_route_find(x->method, url, &x->rest, x->allow);
    if (x->route) {
        x->allow[0] = '\0';
    }
    bool good = framing(x, &h, version) && host(x, &h) && preflight(x) && key(x, &h) && route(x) &&
                body(x, &h) && room(x);
    if (good) {
        return true;
    }
    /* chunks say too late how long they are */
    x->close |= x->chunked;
    bool wait_for_body = !x->close && !h.expect && h.bytes <= SHORT_BODY;
    return wait_for_body;
}

void bth_vet_add_cors(const struct bth_exchange *x, struct MHD_Response *r) {
    if (x->server->auth.n_origins) {
        MHD_add_response_header(r, "Vary", "Origin");
    }
    if (!x->origin) {
        return;
    }
    MHD_add_response_header(r, "Access-Control-Allow-Origin", x->origin);
    MHD_add_response_header(r, "Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
    if (strcmp(x->method, "OPTIONS") == 0) {
        MHD_add_response_header(r, "Access-Control-Allow-Methods", "GET, POST");
        MHD_add_response_header(r, "Access-Control-Allow-Headers",
                                "Authorization, Content-Type, X-Request-Id");
        MHD_add_response_header(r, "Access-Control-Max-Age", "600");
    }
}

/*
 * server/http.h - libmicrohttpd's callbacks, and what routes may ask of a request's head.
 *
 * The only files that know libmicrohttpd are http.c, vet.c, exchange.c (resume) and server.c.
 */
#ifndef BTH_HTTP_H
#define BTH_HTTP_H

#include <berth/error.h>

struct bth_door;
struct bth_exchange;

/* Starts libmicrohttpd on a door's socket. EIO. */
int bth_http_start(struct bth_door *door, struct berth_error *err);

/* A header of the request, or NULL; lasts until the answer is sent. Connection's thread. */
const char *bth_http_header(const struct bth_exchange *x, const char *name);
/* The query's arguments as fields of x->form. EINVAL, ETOOLARGE, ENOMEM. */
int bth_http_query(struct bth_exchange *x, struct berth_error *err);

#endif

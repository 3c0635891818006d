/*
 * server/vet.h - what the head of a request alone decides: whether it is well formed, meant for us,
 * allowed, and whether there is room for it.
 */
#ifndef BTH_VET_H
#define BTH_VET_H

#include <stdbool.h>

struct bth_exchange;
struct MHD_Response;

/* Finds the route, the caller and the request's id. false: refused, and the answer is to be sent
 * without reading the body. true: go on; a refusal that waits for a short body is in the exchange.
 */
bool bth_vet(struct bth_exchange *x, const char *url, const char *version);
/* The headers that let a web page of an allowed origin read the answer. */
void bth_vet_add_cors(const struct bth_exchange *x, struct MHD_Response *r);

#endif

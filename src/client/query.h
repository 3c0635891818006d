/* client/query.h - a request as the path and headers of POST /v1/run. Pure. */
#ifndef BTH_QUERY_H
#define BTH_QUERY_H

#include <berth/error.h>
#include <berth/types.h>

enum { BTH_QUERY_BYTES = 16384, BTH_CALLER_TEXT = 65 };

/* "/v1/run?model=...&lease=...&option=value...", percent-encoded; bth_free. ETOOLARGE beyond
 * BTH_QUERY_BYTES, which the daemon has room for in a head; ENOMEM. */
int bth_query_run(const char *model, const char *lease, const struct berth_request *r, char **out,
                  struct berth_error *err);

/* A caller id as the daemon takes it: other bytes than letters, digits and ._-:/=+@ become '_', and
 * what is longer than 64 ends in a hash of all of it. */
void bth_query_caller(const char *caller, char out[BTH_CALLER_TEXT]);

#endif

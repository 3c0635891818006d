/* core/limits.h - the most of each that one manager knows. */
#ifndef BTH_CORE_LIMITS_H
#define BTH_CORE_LIMITS_H

#define BTH_MAX_DEVICES  16
#define BTH_MAX_MODELS   4096
#define BTH_MAX_FAMILIES 8
/* Loads may take long, so at most this many are under way at once and one loader thread more is
 * always left for what is short: frees, which others may wait for, and estimates. */
#define BTH_LOADS_AT_ONCE 2
#define BTH_LOADERS       (BTH_LOADS_AT_ONCE + 1)

/* An instance with so many requests is busy: the next may have a replica loaded. */
#define BTH_REPLICA_USES 4
/* One of several that has had no request for so long is unloaded, */
#define BTH_REPLICA_REST_NS INT64_C(60000000000)
/* and after a replica has failed to load no other is tried for so long. */
#define BTH_REPLICA_PAUSE_NS INT64_C(60000000000)

#endif

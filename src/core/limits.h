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

#endif

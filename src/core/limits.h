/* core/limits.h - the most of each that one manager knows. */
#ifndef BTH_CORE_LIMITS_H
#define BTH_CORE_LIMITS_H

#define BTH_MAX_DEVICES 16
#define BTH_MAX_MODELS  4096

#endif

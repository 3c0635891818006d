/*
 * client/stats_fields.h - the fields of berth_model_stats and berth_device_stats by name.
 *
 * GET /v1/stats carries each struct as an object with these keys: the server writes by the same
 * table that the client reads by, so neither knows a field that the other does not. A model's
 * `state` is a word and apart. Constant.
 */
#ifndef BTH_STATS_FIELDS_H
#define BTH_STATS_FIELDS_H

#include <stddef.h>

enum bth_stat_kind {
    BTH_STAT_TEXT,  /* char[size] */
    BTH_STAT_COUNT, /* uint64_t */
    BTH_STAT_SPAN   /* int64_t */
};

struct bth_stat_field {
    const char *name;
    enum bth_stat_kind kind;
    size_t offset, size;
};

struct bth_stat_fields {
    const struct bth_stat_field *fields;
    size_t n;
};

extern const struct bth_stat_fields bth_model_fields, bth_device_fields;

#endif

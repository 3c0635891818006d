/*
 * format/pickle.h - a Python pickle as a tree of values; nothing is called.
 *
 * Reads what torch.save writes of a state dict and no more: containers, numbers, strings,
 * persistent ids, and calls of a few named functions, which become CALL values for the reader to
 * make sense of. Any other global, and any other opcode, is EFORMAT. Values live in the caller's
 * arena; at most one is made per opcode, so memory is in proportion to the bytes.
 */
#ifndef BTH_PICKLE_H
#define BTH_PICKLE_H

#include "base/arena.h"
#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bth_pickle_kind {
    BTH_PICKLE_NONE,
    BTH_PICKLE_BOOL,       /* integer 0 or 1 */
    BTH_PICKLE_INT,        /* integer; of more than 64 bits: the bytes in text */
    BTH_PICKLE_FLOAT,      /* its value is of no use here */
    BTH_PICKLE_TEXT,       /* text [size], UTF-8 or bytes */
    BTH_PICKLE_LIST,       /* items */
    BTH_PICKLE_TUPLE,      /* items */
    BTH_PICKLE_DICT,       /* items: key, value, key, value, ... */
    BTH_PICKLE_GLOBAL,     /* text: "module.name" */
    BTH_PICKLE_PERSISTENT, /* items[0]: the id */
    BTH_PICKLE_CALL,       /* items: function, tuple of arguments, then what was set as in a DICT */
    BTH_PICKLE_MARK        /* never in a result */
};

struct bth_pickle {
    enum bth_pickle_kind kind;
    int64_t integer;
    const char *text; /* not terminated, but for GLOBAL */
    size_t size;
    struct bth_pickle **items; /* [n]; may hold itself, by a memo: go no deeper than you know */
    size_t n, capacity;
};

/* One pickle at *at of data[0, size); *at moves behind its STOP. `globals`: the names that may
 * occur, NULL at the end. EFORMAT, ENOMEM. */
int bth_pickle_read(const unsigned char *data, size_t size, size_t *at, const char *const *globals,
                    struct bth_arena *arena, struct bth_pickle **out, struct berth_error *err);

/* The value of a text key in a DICT or a CALL's part like one; NULL if there is none. */
const struct bth_pickle *bth_pickle_get(const struct bth_pickle *dict, const char *key);
bool bth_pickle_is_text(const struct bth_pickle *v, const char *text);

#endif

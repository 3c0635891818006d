#include "format/pickle.h"

#include "base/alloc.h"
#include "base/compiler.h"
#include "base/error.h"
#include <string.h>

struct reader {
    const unsigned char *data;
    size_t size, at;
    const char *const *globals;
    struct bth_arena *arena;
    struct bth_pickle **stack, **memo; /* values */
    size_t n_stack, stack_capacity, n_memo, memo_capacity;
    struct berth_error *err;
};

static int damaged(struct reader *r) {
    return bth_error(r->err, BERTH_EFORMAT, "the pickle is cut short or damaged at byte %zu",
                     r->at);
}

static bool take(struct reader *r, uint64_t n, const unsigned char **out) {
    if (n > r->size - r->at) {
        return false;
    }
    *out = r->data + r->at;
    r->at += (size_t)n;
    return true;
}

static uint64_t number(const unsigned char *p, int bytes) {
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

static int grow(struct reader *r, struct bth_pickle ***array, size_t n, size_t *capacity) {
    if (n < *capacity) {
        return 0;
    }
    size_t more = *capacity ? 2 * *capacity : 64;
    struct bth_pickle **p = bth_realloc_array(*array, more, sizeof(*p));
    if (!p) {
        return bth_error_nomem(r->err);
    }
    *array = p;
    *capacity = more;
    return 0;
}

static int push(struct reader *r, struct bth_pickle *v) {
    int rc = v ? grow(r, &r->stack, r->n_stack, &r->stack_capacity) : bth_error_nomem(r->err);
    if (rc == 0) {
        r->stack[r->n_stack++] = v;
    }
    return rc;
}

static struct bth_pickle *make(struct reader *r, enum bth_pickle_kind kind) {
    struct bth_pickle *v = bth_arena_alloc(r->arena, sizeof(*v));
    if (v) {
        v->kind = kind;
    }
    return v;
}

static int push_int(struct reader *r, enum bth_pickle_kind kind, int64_t integer) {
    struct bth_pickle *v = make(r, kind);
    if (v) {
        v->integer = integer;
    }
    return push(r, v);
}

static int push_text(struct reader *r, enum bth_pickle_kind kind, uint64_t n) {
    const unsigned char *p;
    if (!take(r, n, &p)) {
        return damaged(r);
    }
    struct bth_pickle *v = make(r, kind);
    if (v) {
        v->text = (const char *)p;
        v->size = (size_t)n;
    }
    return push(r, v);
}

/* LONG1: little-endian two's complement of n bytes. */
static int push_long(struct reader *r, uint64_t n) {
    int rc = push_text(r, BTH_PICKLE_INT, n);
    if (rc == 0 && n <= 8) {
        struct bth_pickle *v = r->stack[r->n_stack - 1];
        uint64_t bits = number((const unsigned char *)v->text, (int)n);
        if (n > 0 && n < 8 && ((unsigned char)v->text[n - 1] & 0x80)) {
            bits |= ~UINT64_C(0) << (8 * n);
        }
        v->integer = (int64_t)bits;
        v->text = NULL;
        v->size = 0;
    }
    return rc;
}

/* The value under the top, which may be no mark. */
static struct bth_pickle *top(struct reader *r, size_t below) {
    struct bth_pickle *v = below < r->n_stack ? r->stack[r->n_stack - 1 - below] : NULL;
    return v && v->kind != BTH_PICKLE_MARK ? v : NULL;
}

/* The number of values above the last mark; false if there is no mark. */
static bool above_mark(const struct reader *r, size_t *out) {
    for (size_t n = 0; n < r->n_stack; n++) {
        if (r->stack[r->n_stack - 1 - n]->kind == BTH_PICKLE_MARK) {
            *out = n;
            return true;
        }
    }
    return false;
}

/* Moves the top n values to the end of v's items. Lists grow by doubling in the arena. */
static int add_items(struct reader *r, struct bth_pickle *v, size_t n) {
    if (n > v->capacity - v->n) {
        size_t capacity = v->capacity * 2 > v->n + n ? v->capacity * 2 : v->n + n;
        struct bth_pickle **items = bth_arena_alloc(r->arena, capacity * sizeof(*v->items));
        if (!items) {
            return bth_error_nomem(r->err);
        }
        if (v->n) {
            memcpy(items, v->items, v->n * sizeof(*v->items));
        }
        v->items = items;
        v->capacity = capacity;
    }
    if (n) {
        memcpy(v->items + v->n, r->stack + r->n_stack - n, n * sizeof(*v->items));
    }
    v->n += n;
    r->n_stack -= n;
    return 0;
}

/* A tuple of the top n values, and `drop` of what is under them. */
static int tuple(struct reader *r, size_t n, size_t drop) {
    for (size_t i = 0; i < n; i++) {
        if (!top(r, i)) {
            return damaged(r);
        }
    }
    struct bth_pickle *v = make(r, BTH_PICKLE_TUPLE);
    int rc = v ? add_items(r, v, n) : bth_error_nomem(r->err);
    r->n_stack -= rc == 0 ? drop : 0;
    return rc < 0 ? rc : push(r, v);
}

static int tuple_of_mark(struct reader *r) {
    size_t n;
    return above_mark(r, &n) ? tuple(r, n, 1) : damaged(r);
}

/* APPENDS and SETITEMS: values above the mark into the container under it. */
static int fill(struct reader *r, bool dict) {
    size_t n;
    if (!above_mark(r, &n) || r->n_stack < n + 2 || (dict && n % 2 != 0)) {
        return damaged(r);
    }
    struct bth_pickle *v = r->stack[r->n_stack - n - 2];
    bool fits = dict ? v->kind == BTH_PICKLE_DICT || v->kind == BTH_PICKLE_CALL
                     : v->kind == BTH_PICKLE_LIST;
    int rc = fits ? add_items(r, v, n) : damaged(r);
    r->n_stack -= rc == 0; /* the mark */
    return rc;
}

/* APPEND and SETITEM: the same of one. */
static int fill_one(struct reader *r, size_t n) {
    struct bth_pickle *v = top(r, n);
    bool fits = v && top(r, 0) && top(r, n - 1) &&
                (n == 2 ? v->kind == BTH_PICKLE_DICT || v->kind == BTH_PICKLE_CALL
                        : v->kind == BTH_PICKLE_LIST);
    return fits ? add_items(r, v, n) : damaged(r);
}

/* A global by module and name, if it is allowed. */
static int push_global(struct reader *r, const char *module, size_t n_module, const char *name,
                       size_t n_name) {
    for (size_t i = 0; r->globals[i]; i++) {
        const char *known = r->globals[i];
        if (strlen(known) == n_module + 1 + n_name && memcmp(known, module, n_module) == 0 &&
            known[n_module] == '.' && memcmp(known + n_module + 1, name, n_name) == 0) {
            struct bth_pickle *v = make(r, BTH_PICKLE_GLOBAL);
            if (v) {
                v->text = known;
                v->size = strlen(known);
            }
            return push(r, v);
        }
    }
    return bth_error(r->err, BERTH_EFORMAT, "the pickle wants %.*s.%.*s, which no weights need",
                     (int)(n_module < 60 ? n_module : 60), module, (int)(n_name < 60 ? n_name : 60),
                     name);
}

/* GLOBAL: two lines. */
static int read_global(struct reader *r) {
    const char *module = (const char *)r->data + r->at;
    const char *end = memchr(module, '\n', r->size - r->at);
    size_t left = end ? r->size - r->at - (size_t)(end + 1 - module) : 0;
    const char *stop = end ? memchr(end + 1, '\n', left) : NULL;
    if (!stop) {
        return damaged(r);
    }
    r->at += (size_t)(stop + 1 - module);
    return push_global(r, module, (size_t)(end - module), end + 1, (size_t)(stop - end - 1));
}

static int stack_global(struct reader *r) {
    struct bth_pickle *name = top(r, 0), *module = top(r, 1);
    if (!name || !module || name->kind != BTH_PICKLE_TEXT || module->kind != BTH_PICKLE_TEXT) {
        return damaged(r);
    }
    r->n_stack -= 2;
    return push_global(r, module->text, module->size, name->text, name->size);
}

/* REDUCE: function, arguments -> CALL. */
static int reduce(struct reader *r) {
    struct bth_pickle *arguments = top(r, 0), *function = top(r, 1);
    if (!arguments || !function || function->kind != BTH_PICKLE_GLOBAL ||
        arguments->kind != BTH_PICKLE_TUPLE) {
        return damaged(r);
    }
    struct bth_pickle *v = make(r, BTH_PICKLE_CALL);
    int rc = v ? add_items(r, v, 2) : bth_error_nomem(r->err);
    return rc < 0 ? rc : push(r, v);
}

/* BUILD: attributes of an object (a state dict's _metadata), which nobody here asks for. */
static int build(struct reader *r) {
    struct bth_pickle *state = top(r, 0), *object = top(r, 1);
    if (!state || !object || object->kind != BTH_PICKLE_CALL) {
        return damaged(r);
    }
    r->n_stack--;
    return 0;
}

static int persistent(struct reader *r) {
    struct bth_pickle *v = top(r, 0) ? make(r, BTH_PICKLE_PERSISTENT) : NULL;
    if (!top(r, 0)) {
        return damaged(r);
    }
    int rc = v ? add_items(r, v, 1) : bth_error_nomem(r->err);
    return rc < 0 ? rc : push(r, v);
}

/* Python numbers its memo from 0 without gaps; so must a file, or its memo could be huge. */
static int memoize(struct reader *r, uint64_t index) {
    struct bth_pickle *v = top(r, 0);
    if (!v || index > r->n_memo) {
        return damaged(r);
    }
    int rc = grow(r, &r->memo, (size_t)index, &r->memo_capacity);
    if (rc == 0) {
        r->memo[index] = v;
        r->n_memo += index == r->n_memo;
    }
    return rc;
}

static int recall(struct reader *r, uint64_t index) {
    return index < r->n_memo ? push(r, r->memo[index]) : damaged(r);
}

/* LONG: one case per opcode. An opcode's own argument of `bytes` bytes is in `n`. */
static int execute(struct reader *r, unsigned char op, uint64_t n) {
    switch (op) {
    case 0x80: /* PROTO */
        return n >= 2 && n <= 5 ? 0 : damaged(r);
    case 0x95: /* FRAME: only a hint */
        return 0;
    case '}': /* EMPTY_DICT */
        return push(r, make(r, BTH_PICKLE_DICT));
    case ']': /* EMPTY_LIST */
        return push(r, make(r, BTH_PICKLE_LIST));
    case ')': /* EMPTY_TUPLE */
        return push(r, make(r, BTH_PICKLE_TUPLE));
    case '(':
        return push(r, make(r, BTH_PICKLE_MARK));
    case 'N':
        return push(r, make(r, BTH_PICKLE_NONE));
    case 0x88: /* NEWTRUE */
    case 0x89: /* NEWFALSE */
        return push_int(r, BTH_PICKLE_BOOL, op == 0x88);
    case 'K': /* BININT1 */
    case 'M': /* BININT2 */
        return push_int(r, BTH_PICKLE_INT, (int64_t)n);
    case 'J': /* BININT */
        return push_int(r, BTH_PICKLE_INT, (int32_t)(uint32_t)n);
    case 0x8a: /* LONG1 */
        return push_long(r, n);
    case 'G': /* BINFLOAT */
        return push(r, make(r, BTH_PICKLE_FLOAT));
    case 'X':  /* BINUNICODE */
    case 0x8c: /* SHORT_BINUNICODE */
    case 'U':  /* SHORT_BINSTRING */
    case 'T':  /* BINSTRING */
        return push_text(r, BTH_PICKLE_TEXT, n);
    case 'q':
    case 'r': /* BINPUT, LONG_BINPUT */
        return memoize(r, n);
    case 0x94: /* MEMOIZE */
        return memoize(r, r->n_memo);
    case 'h':
    case 'j': /* BINGET, LONG_BINGET */
        return recall(r, n);
    case 't':
        return tuple_of_mark(r);
    case 0x85:
    case 0x86:
    case 0x87: /* TUPLE1, 2, 3 */
        return tuple(r, op - 0x84U, 0);
    case 'a':
        return fill_one(r, 1);
    case 's':
        return fill_one(r, 2);
    case 'e':
        return fill(r, false);
    case 'u':
        return fill(r, true);
    case 'c':
        return read_global(r);
    case 0x93:
        return stack_global(r);
    case 'R':
        return reduce(r);
    case 'b':
        return build(r);
    case 'Q': /* BINPERSID */
        return persistent(r);
    default:
        return bth_error(r->err, BERTH_EFORMAT,
                         "the pickle uses opcode 0x%02x, which no weights need", op);
    }
}

/* The bytes of the number behind an opcode. */
static int argument_bytes(unsigned char op) {
    switch (op) {
    case 0x80:
    case 'K':
    case 0x8a:
    case 0x8c:
    case 'U':
    case 'q':
    case 'h':
        return 1;
    case 'M':
        return 2;
    case 'J':
    case 'X':
    case 'T':
    case 'r':
    case 'j':
        return 4;
    case 'G':
    case 0x95:
        return 8;
    default:
        return 0;
    }
}

static int run(struct reader *r) {
    for (;;) {
        const unsigned char *p, *argument;
        if (!take(r, 1, &p)) {
            return damaged(r);
        }
        if (*p == '.') {
            return r->n_stack == 1 && top(r, 0) ? 0 : damaged(r);
        }
        int bytes = argument_bytes(*p);
        if (!take(r, (uint64_t)bytes, &argument)) {
            return damaged(r);
        }
        int rc = execute(r, *p, number(argument, bytes));
        if (rc < 0) {
            return rc;
        }
    }
}

int bth_pickle_read(const unsigned char *data, size_t size, size_t *at, const char *const *globals,
                    struct bth_arena *arena, struct bth_pickle **out, struct berth_error *err) {
    struct reader r = {
        .data = data, .size = size, .at = *at, .globals = globals, .arena = arena, .err = err};
    int rc = run(&r);
    if (rc == 0) {
        *out = r.stack[0];
        *at = r.at;
    }
    bth_free(r.stack);
    bth_free(r.memo);
    return rc;
}

bool bth_pickle_is_text(const struct bth_pickle *v, const char *text) {
    return v && v->kind == BTH_PICKLE_TEXT && v->size == strlen(text) &&
           memcmp(v->text, text, v->size) == 0;
}

const struct bth_pickle *bth_pickle_get(const struct bth_pickle *dict, const char *key) {
    size_t first = dict->kind == BTH_PICKLE_CALL ? 2 : 0;
    for (size_t i = first; i + 1 < dict->n; i += 2) {
        if (bth_pickle_is_text(dict->items[i], key)) {
            return dict->items[i + 1];
        }
    }
    return NULL;
}

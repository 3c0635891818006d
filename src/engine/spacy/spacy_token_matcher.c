/*
 * DESIGN: a pattern is a run of positions, each a spec and how often, ended by one that holds the
 * key. A state is a position and where its match began; at every token each state is rejected,
 * moves on, stays, or tries the next position on the same token, exactly as spaCy's Matcher has it.
 * States that are the same have the same future, so one is kept: that bounds what repeated "*" can
 * do.
 */
#include "spacy/spacy_token_matcher.h"
#include "base/alloc.h"
#include "base/error.h"
#include "spacy/spacy_token_spec.h"
#include <stdlib.h>
#include <string.h>

/* From as many states on, equal ones are looked for. */
#define MANY_STATES 64
/* Steps of one document beyond those that every token takes: about ten seconds. */
#define SPARE_STEPS 500000000u

enum often { ONE, NOT_ONE, ZERO_ONE, ZERO_PLUS, FINAL };

struct position {
    enum often often;
    uint32_t spec; /* of FINAL: the key */
};

/* Where a pattern begins. Most begin with a token that must have some attribute: those are tried
 * only where it has, by a table of chains. */
struct pattern {
    uint32_t position;
    uint32_t next; /* of its chain: 1 + its index, 0 ends it */
    int attribute; /* 0: tried at every token */
    uint64_t value;
};

struct spacy_token_matcher {
    struct spacy_strings *strings;
    struct position *positions;
    size_t n_positions, room_positions;
    struct spacy_token_spec *specs;
    size_t n_specs, room_specs;
    struct pattern *patterns;
    size_t n_patterns, room_patterns;
    uint32_t *chains; /* [n_chains], a power of two: as pattern.next */
    size_t n_chains;
    uint32_t anywhere;  /* chain of patterns without attribute */
    int attributes[64]; /* that patterns begin with; there are fewer than that */
    size_t n_attributes;
    bool searches; /* some spec has a regular expression */
};

struct spacy_token_matcher *spacy_token_matcher_create(struct spacy_strings *strings) {
    struct spacy_token_matcher *m = bth_calloc(1, sizeof(*m));
    if (m) {
        m->strings = strings;
    }
    return m;
}

void spacy_token_matcher_destroy(struct spacy_token_matcher *m) {
    if (!m) {
        return;
    }
    for (size_t i = 0; i < m->n_specs; i++) {
        spacy_token_spec_finish(&m->specs[i]);
    }
    bth_free(m->specs);
    bth_free(m->positions);
    bth_free(m->patterns);
    bth_free(m->chains);
    bth_free(m);
}

/* ---- adding ---------------------------------------------------------------------------------*/

/* Room for one more item of `size` bytes; the array or NULL. */
static void *grow(void *items, size_t n, size_t *room, size_t size) {
    if (n < *room) {
        return items;
    }
    size_t more = BTH_MAX(16, *room + *room / 2);
    void *p = bth_realloc_array(items, more, size);
    if (p) {
        *room = more;
    }
    return p;
}

static int add_position(struct spacy_token_matcher *m, enum often often, uint32_t spec,
                        struct berth_error *err) {
    if (m->n_positions >= SPACY_MATCHER_LIMIT) {
        return bth_error(err, BERTH_ETOOLARGE, "token patterns of more than %d tokens in all",
                         SPACY_MATCHER_LIMIT);
    }
    struct position *p = grow(m->positions, m->n_positions, &m->room_positions, sizeof(*p));
    if (!p) {
        return bth_error_nomem(err);
    }
    m->positions = p;
    p[m->n_positions++] = (struct position){often, spec};
    return 0;
}

static int add_positions(struct spacy_token_matcher *m, enum often often, uint32_t spec, long n,
                         struct berth_error *err) {
    int rc = 0;
    for (long i = 0; rc == 0 && i < n; i++) {
        rc = add_position(m, often, spec, err);
    }
    return rc;
}

/* Digits up to `stop`; -1: there are none, -2: something else, or too many. */
static long read_count(const char **at, char stop) {
    long n = -1;
    while (**at >= '0' && **at <= '9') {
        n = BTH_MAX(n, 0) * 10 + (**at - '0');
        if (n > SPACY_MATCHER_LIMIT) {
            return -2;
        }
        (*at)++;
    }
    return **at == stop ? n : -2;
}

/* "{n}", "{n,m}", "{n,}", "{,m}". */
static int add_counted(struct spacy_token_matcher *m, uint32_t spec, const char *op,
                       struct berth_error *err) {
    const char *at = op + 1;
    long least = read_count(&at, strchr(op, ',') ? ',' : '}'), most = least;
    bool open = false;
    if (least >= -1 && *at == ',') {
        at++;
        most = read_count(&at, '}');
        open = most == -1;
    }
    bool bad = least < -1 || most < -1 || (least == -1 && most == -1) || *at != '}' || at[1];
    least = BTH_MAX(least, 0);
    if (bad || (!open && most < least)) {
        return bth_error(err, BERTH_EFORMAT, "OP \"%.40s\" of a token pattern", op);
    }
    int rc = add_positions(m, ONE, spec, least, err);
    if (rc == 0) {
        rc = open ? add_position(m, ZERO_PLUS, spec, err)
                  : add_positions(m, ZERO_ONE, spec, most - least, err);
    }
    return rc;
}

static int add_often(struct spacy_token_matcher *m, uint32_t spec, const char *op,
                     struct berth_error *err) {
    int rc;
    switch (op[0] && !op[1] ? op[0] : op[0] == '{' ? '{' : 0) {
    case '1':
        return add_position(m, ONE, spec, err);
    case '!':
        return add_position(m, NOT_ONE, spec, err);
    case '?':
        return add_position(m, ZERO_ONE, spec, err);
    case '+':
        rc = add_position(m, ONE, spec, err);
        return rc < 0 ? rc : add_position(m, ZERO_PLUS, spec, err);
    case '*':
        return add_position(m, ZERO_PLUS, spec, err);
    case '{':
        return add_counted(m, spec, op, err);
    default:
        return bth_error(err, BERTH_EFORMAT, "OP \"%.40s\" of a token pattern", op);
    }
}

static int add_token(struct spacy_token_matcher *m, const json_t *token, struct berth_error *err) {
    const char *name, *op = "1";
    json_t *value;
    json_object_foreach((json_t *)token, name, value) {
        if (strcmp(name, "OP") == 0 || strcmp(name, "op") == 0) {
            op = json_is_string(value) ? json_string_value(value) : "";
        }
    }
    struct spacy_token_spec *specs = grow(m->specs, m->n_specs, &m->room_specs, sizeof(*specs));
    if (!specs) {
        return bth_error_nomem(err);
    }
    m->specs = specs;
    int rc = spacy_token_spec_parse(m->strings, token, &specs[m->n_specs], err);
    if (rc < 0) {
        return rc;
    }
    m->searches |= spacy_token_spec_searches(&specs[m->n_specs]);
    m->n_specs++;
    return add_often(m, (uint32_t)m->n_specs - 1, op, err);
}

static uint32_t *chain_of(const struct spacy_token_matcher *m, int attribute, uint64_t value) {
    uint64_t h = (value + (uint64_t)attribute) * 0x9e3779b97f4a7c15u;
    return &m->chains[(h >> 32) & (m->n_chains - 1)];
}

static void link_pattern(struct spacy_token_matcher *m, size_t i) {
    struct pattern *p = &m->patterns[i];
    uint32_t *chain = p->attribute ? chain_of(m, p->attribute, p->value) : &m->anywhere;
    p->next = *chain;
    *chain = (uint32_t)i + 1;
}

/* As many chains as patterns, or more. */
static int grow_chains(struct spacy_token_matcher *m) {
    if (m->n_patterns < m->n_chains) {
        return 0;
    }
    size_t n = BTH_MAX(64, 2 * m->n_chains);
    uint32_t *chains = bth_calloc(n, sizeof(*chains));
    if (!chains) {
        return -1;
    }
    bth_free(m->chains);
    m->chains = chains;
    m->n_chains = n;
    m->anywhere = 0;
    for (size_t i = 0; i < m->n_patterns; i++) {
        link_pattern(m, i);
    }
    return 0;
}

/* Adds the pattern whose positions are the last ones. Room was made. */
static void add_pattern(struct spacy_token_matcher *m, size_t begin) {
    const struct position *first = &m->positions[begin];
    struct pattern p = {.position = (uint32_t)begin};
    if (first->often == ONE && m->specs[first->spec].n_equals > 0) {
        size_t k = 0;
        p.attribute = m->specs[first->spec].equals[0].attribute;
        p.value = m->specs[first->spec].equals[0].value;
        while (k < m->n_attributes && m->attributes[k] != p.attribute) {
            k++;
        }
        m->attributes[k] = p.attribute;
        m->n_attributes = BTH_MAX(m->n_attributes, k + 1);
    }
    m->patterns[m->n_patterns] = p;
    link_pattern(m, m->n_patterns++);
}

int spacy_token_matcher_add(struct spacy_token_matcher *m, uint32_t key, const json_t *pattern,
                            struct berth_error *err) {
    size_t begin = m->n_positions, i;
    json_t *token;
    int rc = json_is_array(pattern)
                 ? 0
                 : bth_error(err, BERTH_EFORMAT, "a token pattern is no list of tokens");
    json_array_foreach(pattern, i, token) {
        rc = rc == 0 ? add_token(m, token, err) : rc;
    }
    if (rc == 0 && m->n_positions == begin) {
        rc = bth_error(err, BERTH_EFORMAT, "a token pattern without tokens");
    }
    if (rc == 0) {
        rc = add_position(m, FINAL, key, err);
    }
    if (rc == 0) {
        struct pattern *patterns =
            grow(m->patterns, m->n_patterns, &m->room_patterns, sizeof(*patterns));
        m->patterns = patterns ? patterns : m->patterns;
        rc = patterns && grow_chains(m) == 0 ? 0 : bth_error_nomem(err);
    }
    if (rc < 0) {
        m->n_positions = begin; /* its specs stay, unused */
        return rc;
    }
    add_pattern(m, begin);
    return 0;
}

/* ---- running --------------------------------------------------------------------------------*/

struct state {
    uint32_t position, begin;
};
struct states {
    struct state *items;
    size_t n, room;
};

/* Where a run is; what it asked of the current token lies in `asked`. */
struct run {
    const struct spacy_token_matcher *m;
    const struct spacy_doc *doc;
    size_t token;
    struct states now, next;
    struct spacy_matches *out;
    uint32_t *asked; /* [n_specs] 2 * (token + 1) + answer */
    struct spacy_matcher *scratch;
    uint64_t steps; /* left */
    struct berth_error *err;
};

static int push_state(struct run *r, uint32_t position, uint32_t begin) {
    struct states *s = &r->next;
    if (s->n >= SPACY_MATCHER_STATES) {
        return bth_error(r->err, BERTH_ETOOLARGE, "token patterns match in more than %d ways",
                         SPACY_MATCHER_STATES);
    }
    struct state *items = grow(s->items, s->n, &s->room, sizeof(*items));
    if (!items) {
        return bth_error_nomem(r->err);
    }
    s->items = items;
    items[s->n++] = (struct state){position, begin};
    return 0;
}

/* Tokens [begin, end) match the pattern of a position; empty ones do not count. */
static int emit(struct run *r, uint32_t position, uint32_t begin, size_t end) {
    if (begin == end) {
        return 0;
    }
    struct spacy_matches *out = r->out;
    if (out->n >= SPACY_MATCHER_STATES) {
        return bth_error(r->err, BERTH_ETOOLARGE, "token patterns match more than %d times",
                         SPACY_MATCHER_STATES);
    }
    struct spacy_match *items = grow(out->items, out->n, &out->capacity, sizeof(*items));
    if (!items) {
        return bth_error_nomem(r->err);
    }
    out->items = items;
    while (r->m->positions[position].often != FINAL) {
        position++;
    }
    items[out->n++] = (struct spacy_match){r->m->positions[position].spec, begin, (uint32_t)end};
    return 0;
}

static int ask(struct run *r, uint32_t spec) {
    uint32_t stamp = 2 * ((uint32_t)r->token + 1);
    if (r->asked[spec] < stamp) {
        int rc = spacy_token_spec_test(&r->m->specs[spec], r->doc, r->token, r->scratch, r->err);
        if (rc < 0) {
            return rc;
        }
        r->asked[spec] = stamp + (uint32_t)rc;
    }
    return r->asked[spec] & 1;
}

/* One position that must match once. */
static int step_one(struct run *r, uint32_t position, uint32_t begin, bool matches) {
    if (!matches) {
        return 0;
    }
    if (r->m->positions[position + 1].often == FINAL) {
        return emit(r, position, begin, r->token + 1);
    }
    return push_state(r, position + 1, begin);
}

/* One that may: 1 when the next position is to be tried on the same token. */
static int step_optional(struct run *r, uint32_t position, uint32_t begin, bool matches) {
    bool final = r->m->positions[position + 1].often == FINAL;
    bool more = r->m->positions[position].often == ZERO_PLUS;
    int rc = final ? emit(r, position, begin, r->token) : 0;
    if (rc == 0 && matches) {
        if (final && !more) {
            rc = emit(r, position, begin, r->token + 1);
        } else {
            rc = push_state(r, more ? position : position + 1, begin);
        }
    }
    return rc < 0 ? rc : !final;
}

static int step(struct run *r, uint32_t position, uint32_t begin) {
    for (int again = 1; again > 0; position++) {
        if (r->steps-- == 0) {
            return bth_error(r->err, BERTH_ETOOLARGE, "token patterns take too long on this text");
        }
        const struct position *p = &r->m->positions[position];
        int matches = ask(r, p->spec);
        if (matches < 0) {
            return matches;
        }
        if (p->often == ONE || p->often == NOT_ONE) {
            return step_one(r, position, begin, matches == (p->often == ONE));
        }
        again = step_optional(r, position, begin, matches);
        if (again < 0) {
            return again;
        }
    }
    return 0;
}

static int by_state(const void *a, const void *b) {
    const struct state *x = a, *y = b;
    if (x->begin != y->begin) {
        return x->begin < y->begin ? -1 : 1;
    }
    return (x->position > y->position) - (x->position < y->position);
}

static void drop_equal_states(struct states *s) {
    if (s->n < MANY_STATES) {
        return;
    }
    qsort(s->items, s->n, sizeof(*s->items), by_state);
    size_t kept = 1;
    for (size_t i = 1; i < s->n; i++) {
        if (by_state(&s->items[i], &s->items[kept - 1]) != 0) {
            s->items[kept++] = s->items[i];
        }
    }
    s->n = kept;
}

static int begin_chain(struct run *r, uint32_t chain, int attribute, uint64_t value) {
    int rc = 0;
    while (rc == 0 && chain > 0) {
        const struct pattern *p = &r->m->patterns[chain - 1];
        if (p->attribute == attribute && p->value == value) {
            rc = step(r, p->position, (uint32_t)r->token);
        }
        chain = p->next;
    }
    return rc;
}

/* Every pattern that may begin at the token. */
static int begin_patterns(struct run *r) {
    const struct spacy_token_matcher *m = r->m;
    int rc = begin_chain(r, m->anywhere, 0, 0);
    for (size_t i = 0; rc == 0 && i < m->n_attributes; i++) {
        uint64_t value = spacy_token_attribute(r->doc, r->token, m->attributes[i]);
        rc = begin_chain(r, *chain_of(m, m->attributes[i], value), m->attributes[i], value);
    }
    return rc;
}

static int run_token(struct run *r) {
    int rc = 0;
    r->next.n = 0;
    for (size_t i = 0; rc == 0 && i < r->now.n; i++) {
        rc = step(r, r->now.items[i].position, r->now.items[i].begin);
    }
    if (rc == 0) {
        rc = begin_patterns(r);
    }
    drop_equal_states(&r->next);
    struct states now = r->now;
    r->now = r->next;
    r->next = now;
    return rc;
}

/* States whose remaining positions may all match nothing. */
static int finish_states(struct run *r) {
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < r->now.n; i++) {
        uint32_t at = r->now.items[i].position;
        while (r->m->positions[at].often == ZERO_ONE || r->m->positions[at].often == ZERO_PLUS) {
            at++;
        }
        if (r->m->positions[at].often == FINAL) {
            rc = emit(r, at, r->now.items[i].begin, r->doc->n);
        }
    }
    return rc;
}

static int by_match(const void *a, const void *b) {
    const struct spacy_match *x = a, *y = b;
    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    if (x->begin != y->begin) {
        return x->begin < y->begin ? -1 : 1;
    }
    return (x->end > y->end) - (x->end < y->end);
}

static void sort_matches(struct spacy_matches *m) {
    if (m->n < 2) {
        return;
    }
    qsort(m->items, m->n, sizeof(*m->items), by_match);
    size_t kept = 1;
    for (size_t i = 1; i < m->n; i++) {
        if (by_match(&m->items[i], &m->items[kept - 1]) != 0) {
            m->items[kept++] = m->items[i];
        }
    }
    m->n = kept;
}

int spacy_token_matcher_run(const struct spacy_token_matcher *m, const struct spacy_doc *doc,
                            struct spacy_matches *out, struct berth_error *err) {
    struct run r = {.m = m, .doc = doc, .out = out, .err = err};
    r.steps = SPARE_STEPS + (uint64_t)doc->n * m->n_patterns;
    int rc = 0;
    r.asked = bth_calloc(BTH_MAX(m->n_specs, 1), sizeof(*r.asked));
    r.scratch = m->searches ? spacy_matcher_create(spacy_matcher_budget(doc->bytes)) : NULL;
    if (!r.asked || (m->searches && !r.scratch)) {
        rc = bth_error_nomem(err);
    }
    for (; rc == 0 && r.token < doc->n; r.token++) {
        rc = run_token(&r);
    }
    if (rc == 0) {
        rc = finish_states(&r);
    }
    if (rc == 0) {
        sort_matches(out);
    }
    bth_free(r.asked);
    bth_free(r.now.items);
    bth_free(r.next.items);
    spacy_matcher_destroy(r.scratch);
    return rc;
}

void spacy_matches_finish(struct spacy_matches *m) {
    bth_free(m->items);
    *m = (struct spacy_matches){0};
}

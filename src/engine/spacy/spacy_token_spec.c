#include "spacy/spacy_token_spec.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include "spacy/spacy_morph.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Code points of a text that FUZZY compares with. */
#define FUZZY_LIMIT 1000

enum condition_kind {
    COND_REGEX,
    COND_FUZZY,
    COND_IN,
    COND_NOT_IN,
    COND_SUBSET,
    COND_SUPERSET,
    COND_INTERSECTS,
    COND_EQ,
    COND_NE,
    COND_GE,
    COND_LE,
    COND_GT,
    COND_LT
};

static const struct {
    const char *name;
    enum condition_kind kind;
} kinds[] = {
    {"IN", COND_IN},
    {"NOT_IN", COND_NOT_IN},
    {"IS_SUBSET", COND_SUBSET},
    {"IS_SUPERSET", COND_SUPERSET},
    {"INTERSECTS", COND_INTERSECTS},
    {"==", COND_EQ},
    {"!=", COND_NE},
    {">=", COND_GE},
    {"<=", COND_LE},
    {">", COND_GT},
    {"<", COND_LT},
};

/* How texts are compared: by id, or one of these inside FUZZY or REGEX. */
enum compare { BY_ID, BY_REGEX, BY_FUZZY };

struct word {
    uint32_t *points; /* [n] */
    size_t n;
};

struct spacy_condition {
    int attribute;
    enum condition_kind kind;
    enum compare compare;
    int edits;     /* of FUZZY; -1: by length */
    size_t n;      /* of what follows, one of the three */
    uint64_t *ids; /* ascending */
    struct spacy_pattern **patterns;
    struct word *words;
    bool comparable; /* a number was given */
    bool real;
    int64_t integer;
    double number;
};

/* ---- reading --------------------------------------------------------------------------------*/

static int by_id(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void finish_condition(struct spacy_condition *c) {
    for (size_t i = 0; i < c->n && c->patterns; i++) {
        spacy_pattern_free(c->patterns[i]);
    }
    for (size_t i = 0; i < c->n && c->words; i++) {
        bth_free(c->words[i].points);
    }
    bth_free(c->ids);
    bth_free(c->patterns);
    bth_free(c->words);
}

static int read_word(const json_t *text, struct word *out, struct berth_error *err) {
    const char *s = json_string_value(text);
    size_t n = json_string_length(text), at = 0;
    out->points = bth_calloc(n + 1, sizeof(*out->points));
    if (!out->points) {
        return bth_error_nomem(err);
    }
    while (at < n) {
        at += bth_utf8_decode(s + at, n - at, &out->points[out->n++]);
    }
    if (out->n > FUZZY_LIMIT) {
        return bth_error(err, BERTH_ETOOLARGE, "FUZZY with %zu characters, at most %d", out->n,
                         FUZZY_LIMIT);
    }
    return 0;
}

static int read_id(const struct spacy_condition *c, struct spacy_strings *strings,
                   const json_t *item, uint64_t *out, struct berth_error *err) {
    if (json_is_string(item) && c->attribute == SPACY_MORPH) {
        return spacy_morph_add(strings, json_string_value(item), json_string_length(item), out,
                               err);
    }
    if (json_is_string(item)) {
        *out = spacy_string_id(json_string_value(item), json_string_length(item));
    } else if (json_is_boolean(item)) {
        *out = json_is_true(item);
    } else if (json_is_integer(item) && json_integer_value(item) >= 0) {
        *out = (uint64_t)json_integer_value(item);
    } else {
        return bth_error(err, BERTH_EFORMAT,
                         "a set in a token pattern holds more than texts and "
                         "numbers");
    }
    return 0;
}

/* One value into place c->n. */
static int read_item(struct spacy_condition *c, struct spacy_strings *strings, const json_t *item,
                     struct berth_error *err) {
    int rc;
    if (c->compare == BY_ID) {
        rc = read_id(c, strings, item, &c->ids[c->n], err);
    } else if (!json_is_string(item)) {
        return bth_error(err, BERTH_EFORMAT, "REGEX or FUZZY of what is no text");
    } else if (c->compare == BY_FUZZY) {
        rc = read_word(item, &c->words[c->n], err);
    } else {
        rc = spacy_pattern_compile(json_string_value(item), json_string_length(item), false,
                                   &c->patterns[c->n], err);
    }
    /* a word's memory is its condition's even where it was too long */
    c->n += rc == 0 || c->compare == BY_FUZZY;
    return rc;
}

static int make_room(struct spacy_condition *c, size_t n, struct berth_error *err) {
    void *room;
    n += n == 0;
    switch (c->compare) {
    case BY_ID:
        room = c->ids = bth_calloc(n, sizeof(*c->ids));
        break;
    case BY_REGEX:
        room = c->patterns = bth_calloc(n, sizeof(*c->patterns));
        break;
    default:
        room = c->words = bth_calloc(n, sizeof(*c->words));
        break;
    }
    return room ? 0 : bth_error_nomem(err);
}

static int read_set(struct spacy_condition *c, struct spacy_strings *strings, const json_t *value,
                    struct berth_error *err) {
    if (!json_is_array(value)) {
        return bth_error(err, BERTH_EFORMAT, "a set in a token pattern is no list");
    }
    if (c->compare != BY_ID && c->kind != COND_IN && c->kind != COND_NOT_IN) {
        return bth_error(err, BERTH_EUNSUPPORTED, "REGEX and FUZZY hold IN and NOT_IN only");
    }
    int rc = make_room(c, json_array_size(value), err);
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item) {
        if (rc == 0) {
            rc = read_item(c, strings, item, err);
        }
    }
    if (rc == 0 && c->compare == BY_ID && c->n > 0) {
        qsort(c->ids, c->n, sizeof(*c->ids), by_id);
    }
    return rc;
}

static int read_number(struct spacy_condition *c, const json_t *value, struct berth_error *err) {
    c->comparable = json_is_number(value) || json_is_boolean(value);
    c->real = json_is_real(value);
    c->number = json_number_value(value);
    c->integer = json_is_boolean(value) ? json_is_true(value) : json_integer_value(value);
    if (!c->comparable && c->kind != COND_EQ && c->kind != COND_NE) {
        return bth_error(err, BERTH_EFORMAT, "a token pattern compares with what is no number");
    }
    return 0;
}

/* "FUZZY" or "FUZZY3". */
static bool is_fuzzy(const char *name, int *out_edits) {
    if (strncasecmp(name, "FUZZY", 5) != 0 || (name[5] && name[6])) {
        return false;
    }
    *out_edits = name[5] ? name[5] - '0' : -1;
    return name[5] == 0 || (name[5] >= '1' && name[5] <= '9');
}

static bool has_text(int attribute) {
    return (attribute >= SPACY_ORTH && attribute <= SPACY_SUFFIX) ||
           (attribute >= SPACY_LEMMA && attribute <= SPACY_DEP) || attribute == SPACY_ENT_TYPE ||
           attribute == SPACY_ENT_KB_ID || attribute == SPACY_MORPH || attribute == SPACY_ENT_ID;
}

/* What a condition's name says, but for REGEX and FUZZY. */
static int read_kind(struct spacy_condition *c, const char *name, struct berth_error *err) {
    for (size_t i = 0; i < BTH_COUNT(kinds); i++) {
        if (strcasecmp(kinds[i].name, name) == 0) {
            c->kind = kinds[i].kind;
            return 0;
        }
    }
    return bth_error(err, BERTH_EUNSUPPORTED, "condition \"%s\" of a token pattern", name);
}

static int read_condition(struct spacy_condition *c, struct spacy_strings *strings,
                          const char *name, const json_t *value, struct berth_error *err) {
    int edits = c->edits;
    bool text = strcasecmp(name, "REGEX") == 0 || is_fuzzy(name, &edits);
    if ((text || c->compare != BY_ID) && !has_text(c->attribute)) {
        return bth_error(err, BERTH_EUNSUPPORTED, "%s of an attribute without text", name);
    }
    if (text) {
        if (c->compare != BY_ID) {
            return bth_error(err, BERTH_EUNSUPPORTED, "%s inside REGEX or FUZZY", name);
        }
        c->kind = strcasecmp(name, "REGEX") == 0 ? COND_REGEX : COND_FUZZY;
        c->compare = c->kind == COND_REGEX ? BY_REGEX : BY_FUZZY;
        c->edits = edits;
        int rc = make_room(c, 1, err);
        return rc < 0 ? rc : read_item(c, strings, value, err);
    }
    int rc = read_kind(c, name, err);
    if (rc < 0) {
        return rc;
    }
    return c->kind >= COND_EQ ? read_number(c, value, err) : read_set(c, strings, value, err);
}

static int add_condition(struct spacy_token_spec *s, const struct spacy_condition *base,
                         struct spacy_strings *strings, const char *name, const json_t *value,
                         struct berth_error *err) {
    struct spacy_condition *more =
        bth_realloc_array(s->conditions, s->n_conditions + 1, sizeof(*more));
    if (!more) {
        return bth_error_nomem(err);
    }
    s->conditions = more;
    more[s->n_conditions] = *base;
    return read_condition(&more[s->n_conditions++], strings, name, value, err);
}

/* {IN: [...], REGEX: {IN: [...]}} of one attribute. */
static int add_conditions(struct spacy_token_spec *s, int attribute, struct spacy_strings *strings,
                          const json_t *object, struct berth_error *err) {
    const char *name, *inner;
    json_t *value, *item;
    int rc = 0;
    json_object_foreach((json_t *)object, name, value) {
        struct spacy_condition base = {.attribute = attribute, .edits = -1};
        bool regex = strcasecmp(name, "REGEX") == 0;
        if (json_is_object(value) && (regex || is_fuzzy(name, &base.edits))) {
            base.compare = regex ? BY_REGEX : BY_FUZZY;
            json_object_foreach(value, inner, item) {
                if (rc == 0) {
                    rc = add_condition(s, &base, strings, inner, item, err);
                }
            }
        } else if (rc == 0) {
            rc = add_condition(s, &base, strings, name, value, err);
        }
    }
    return rc;
}

static int read_value(int attribute, struct spacy_strings *strings, const json_t *value,
                      uint64_t *out, struct berth_error *err) {
    static const char *const iob[] = {"", "I", "O", "B"};
    if (json_is_string(value)) {
        for (size_t i = 0; attribute == SPACY_ENT_IOB && i < BTH_COUNT(iob); i++) {
            if (strcmp(json_string_value(value), iob[i]) == 0) {
                *out = i;
                return 0;
            }
        }
        int rc =
            spacy_strings_add(strings, json_string_value(value), json_string_length(value), out);
        return rc < 0 ? bth_error_nomem(err) : 0;
    }
    if (json_is_boolean(value)) {
        *out = json_is_true(value);
        return 0;
    }
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *out = (uint64_t)json_integer_value(value);
        return 0;
    }
    return bth_error(err, BERTH_EFORMAT, "a value in a token pattern is no text, truth or number");
}

static int add_equals(struct spacy_token_spec *s, int attribute, struct spacy_strings *strings,
                      const json_t *value, struct berth_error *err) {
    struct spacy_equals *more = bth_realloc_array(s->equals, s->n_equals + 1, sizeof(*more));
    if (!more) {
        return bth_error_nomem(err);
    }
    s->equals = more;
    more[s->n_equals].attribute = attribute;
    int rc = read_value(attribute, strings, value, &more[s->n_equals].value, err);
    s->n_equals += rc == 0;
    return rc;
}

int spacy_token_spec_parse(struct spacy_strings *strings, const json_t *object,
                           struct spacy_token_spec *out, struct berth_error *err) {
    if (!json_is_object(object)) {
        return bth_error(err, BERTH_EFORMAT, "a token of a pattern is no object");
    }
    struct spacy_token_spec s = {0};
    const char *name;
    json_t *value;
    int rc = 0;
    json_object_foreach((json_t *)object, name, value) {
        if (rc < 0 || strcasecmp(name, "OP") == 0) {
            continue;
        }
        int attribute = spacy_attribute_find(name);
        if (!attribute) {
            rc = bth_error(err, BERTH_EUNSUPPORTED, "attribute \"%s\" of a token pattern", name);
        } else if (json_is_object(value)) {
            rc = add_conditions(&s, attribute, strings, value, err);
        } else {
            rc = add_equals(&s, attribute, strings, value, err);
        }
    }
    if (rc < 0) {
        spacy_token_spec_finish(&s);
        return rc;
    }
    *out = s;
    return 0;
}

void spacy_token_spec_finish(struct spacy_token_spec *s) {
    for (size_t i = 0; i < s->n_conditions; i++) {
        finish_condition(&s->conditions[i]);
    }
    bth_free(s->conditions);
    bth_free(s->equals);
    *s = (struct spacy_token_spec){0};
}

bool spacy_token_spec_searches(const struct spacy_token_spec *s) {
    for (size_t i = 0; i < s->n_conditions; i++) {
        if (s->conditions[i].compare == BY_REGEX) {
            return true;
        }
    }
    return false;
}

/* ---- testing --------------------------------------------------------------------------------*/

/* Whether text can be made of word by at most `edits` insertions, deletions and substitutions. */
static bool is_near(const char *text, size_t n, const struct word *word, int edits) {
    uint32_t row[FUZZY_LIMIT + 1];
    /* Python rounds halves to even: 0.3 * n has none but by its own rounding, so as it does */
    size_t most = edits >= 0 ? (size_t)edits : (size_t)BTH_MAX(2, rint(0.3 * (double)word->n));
    for (size_t k = 0; k <= word->n; k++) {
        row[k] = (uint32_t)k;
    }
    size_t length = 0;
    for (size_t at = 0; at < n;) {
        uint32_t c, diagonal = row[0];
        at += bth_utf8_decode(text + at, n - at, &c);
        if (++length > word->n + most) {
            return false;
        }
        row[0]++;
        for (size_t k = 1; k <= word->n; k++) {
            uint32_t best = BTH_MIN(row[k], row[k - 1]) + 1;
            uint32_t replaced = diagonal + (word->points[k - 1] != c);
            diagonal = row[k];
            row[k] = BTH_MIN(best, replaced);
        }
    }
    return row[word->n] <= most;
}

static int test_text(const struct spacy_condition *c, const struct spacy_doc *doc, size_t i,
                     struct spacy_matcher *scratch, struct berth_error *err) {
    size_t n, begin, end;
    const char *text = spacy_token_attribute_text(doc, i, c->attribute, &n);
    for (size_t k = 0; k < c->n; k++) {
        int rc = c->compare == BY_FUZZY
                     ? is_near(text, n, &c->words[k], c->edits)
                     : spacy_pattern_search(c->patterns[k], scratch, text, n, &begin, &end, err);
        if (rc != 0) {
            return rc < 0 ? rc : c->kind != COND_NOT_IN;
        }
    }
    return c->kind == COND_NOT_IN;
}

static bool holds(const struct spacy_condition *c, uint64_t id) {
    return c->n > 0 && bsearch(&id, c->ids, c->n, sizeof(id), by_id) != NULL;
}

/* Set conditions over n ids of the token. */
static bool test_sets(const struct spacy_condition *c, const uint64_t *ids, size_t n) {
    size_t inside = 0;
    for (size_t i = 0; i < n; i++) {
        inside += holds(c, ids[i]);
    }
    if (c->kind == COND_SUBSET) {
        return inside == n;
    }
    if (c->kind == COND_INTERSECTS) {
        return inside > 0;
    }
    for (size_t k = 0; k < c->n; k++) {
        size_t i = 0;
        while (i < n && ids[i] != c->ids[k]) {
            i++;
        }
        if (i == n) {
            return false;
        }
    }
    return true;
}

/* The single features of a normal form: "A=x,y|B=z" is A=x, A=y, B=z. */
#define MAX_FEATURES 256
static size_t split_features(const char *feats, uint64_t *out) {
    size_t count = 0;
    for (const char *p = feats; *p && *p != '_' && count < MAX_FEATURES; p += *p == '|') {
        size_t n = strcspn(p, "|"), name = strcspn(p, "=");
        for (size_t at = name; at < n && count < MAX_FEATURES;) {
            char feature[256];
            size_t value = strcspn(p + at + 1, ",|");
            if (name + 1 + value < sizeof(feature)) {
                memcpy(feature, p, name + 1);
                memcpy(feature + name + 1, p + at + 1, value);
                out[count++] = spacy_string_id(feature, name + 1 + value);
            }
            at += 1 + value;
        }
        p += n;
    }
    return count;
}

static bool test_set(const struct spacy_condition *c, const struct spacy_doc *doc, size_t i) {
    uint64_t value = spacy_token_attribute(doc, i, c->attribute), ids[MAX_FEATURES];
    if (c->kind == COND_IN || c->kind == COND_NOT_IN) {
        return holds(c, value) == (c->kind == COND_IN);
    }
    if (c->attribute != SPACY_MORPH) {
        return test_sets(c, &value, 1);
    }
    const char *feats = spacy_strings_get(doc->strings, value);
    return test_sets(c, ids, split_features(feats ? feats : "", ids));
}

static int order(const struct spacy_condition *c, uint64_t value) {
    if (c->real) {
        double v = (double)value;
        return (v > c->number) - (v < c->number);
    }
    if (c->integer < 0) {
        return 1;
    }
    return (value > (uint64_t)c->integer) - (value < (uint64_t)c->integer);
}

static bool test_number(const struct spacy_condition *c, uint64_t value) {
    if (!c->comparable) {
        return c->kind == COND_NE; /* a number equals no text */
    }
    int o = order(c, value);
    switch (c->kind) {
    case COND_EQ:
        return o == 0;
    case COND_NE:
        return o != 0;
    case COND_GE:
        return o >= 0;
    case COND_LE:
        return o <= 0;
    case COND_GT:
        return o > 0;
    default:
        return o < 0;
    }
}

int spacy_token_spec_test(const struct spacy_token_spec *s, const struct spacy_doc *doc, size_t i,
                          struct spacy_matcher *scratch, struct berth_error *err) {
    for (size_t k = 0; k < s->n_equals; k++) {
        if (spacy_token_attribute(doc, i, s->equals[k].attribute) != s->equals[k].value) {
            return 0;
        }
    }
    for (size_t k = 0; k < s->n_conditions; k++) {
        const struct spacy_condition *c = &s->conditions[k];
        int rc;
        if (c->compare != BY_ID) {
            rc = test_text(c, doc, i, scratch, err);
        } else if (c->kind >= COND_EQ) {
            rc = test_number(c, spacy_token_attribute(doc, i, c->attribute));
        } else {
            rc = test_set(c, doc, i);
        }
        if (rc <= 0) {
            return rc;
        }
    }
    return 1;
}

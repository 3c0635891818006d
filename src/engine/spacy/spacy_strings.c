#include "spacy/spacy_strings.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/compiler.h"
#include <berth/error.h>
#include <stdbool.h>
#include <string.h>

/* spaCy's reserved names but for FLAGn and DEPRECATEDn, sorted by their bytes. */
struct reserved {
    char name[18];
    uint16_t id;
};
static const struct reserved reserved[] = {{"ADJ", 84},
                                           {"ADP", 85},
                                           {"ADV", 86},
                                           {"AUX", 87},
                                           {"CARDINAL", 397},
                                           {"CCONJ", 89},
                                           {"CLUSTER", 72},
                                           {"CONJ", 88},
                                           {"DATE", 391},
                                           {"DEP", 76},
                                           {"DET", 90},
                                           {"ENT_ID", 454},
                                           {"ENT_IOB", 77},
                                           {"ENT_KB_ID", 452},
                                           {"ENT_TYPE", 78},
                                           {"EOL", 102},
                                           {"EVENT", 387},
                                           {"FACILITY", 382},
                                           {"GPE", 384},
                                           {"HEAD", 79},
                                           {"ID", 64},
                                           {"IDX", 455},
                                           {"INTJ", 91},
                                           {"IS_ALPHA", 1},
                                           {"IS_ASCII", 2},
                                           {"IS_BRACKET", 14},
                                           {"IS_CURRENCY", 18},
                                           {"IS_DIGIT", 3},
                                           {"IS_LEFT_PUNCT", 16},
                                           {"IS_LOWER", 4},
                                           {"IS_OOV_DEPRECATED", 13},
                                           {"IS_PUNCT", 5},
                                           {"IS_QUOTE", 15},
                                           {"IS_RIGHT_PUNCT", 17},
                                           {"IS_SPACE", 6},
                                           {"IS_STOP", 12},
                                           {"IS_TITLE", 7},
                                           {"IS_UPPER", 8},
                                           {"LANG", 83},
                                           {"LANGUAGE", 389},
                                           {"LAW", 390},
                                           {"LEMMA", 73},
                                           {"LENGTH", 71},
                                           {"LIKE_EMAIL", 11},
                                           {"LIKE_NUM", 10},
                                           {"LIKE_URL", 9},
                                           {"LOC", 385},
                                           {"LOWER", 66},
                                           {"MONEY", 394},
                                           {"MORPH", 453},
                                           {"NORM", 67},
                                           {"NORP", 381},
                                           {"NOUN", 92},
                                           {"NUM", 93},
                                           {"ORDINAL", 396},
                                           {"ORG", 383},
                                           {"ORTH", 65},
                                           {"PART", 94},
                                           {"PERCENT", 393},
                                           {"PERSON", 380},
                                           {"POS", 74},
                                           {"PREFIX", 69},
                                           {"PROB", 82},
                                           {"PRODUCT", 386},
                                           {"PRON", 95},
                                           {"PROPN", 96},
                                           {"PUNCT", 97},
                                           {"QUANTITY", 395},
                                           {"SCONJ", 98},
                                           {"SENT_START", 80},
                                           {"SHAPE", 68},
                                           {"SPACE", 103},
                                           {"SPACY", 81},
                                           {"SUFFIX", 70},
                                           {"SYM", 99},
                                           {"TAG", 75},
                                           {"TIME", 392},
                                           {"VERB", 100},
                                           {"WORK_OF_ART", 388},
                                           {"X", 101},
                                           {"_", 456},
                                           {"acl", 451},
                                           {"acomp", 398},
                                           {"advcl", 399},
                                           {"advmod", 400},
                                           {"agent", 401},
                                           {"amod", 402},
                                           {"appos", 403},
                                           {"attr", 404},
                                           {"aux", 405},
                                           {"auxpass", 406},
                                           {"cc", 407},
                                           {"ccomp", 408},
                                           {"complm", 409},
                                           {"conj", 410},
                                           {"cop", 411},
                                           {"csubj", 412},
                                           {"csubjpass", 413},
                                           {"dep", 414},
                                           {"det", 415},
                                           {"dobj", 416},
                                           {"expl", 417},
                                           {"hmod", 418},
                                           {"hyph", 419},
                                           {"infmod", 420},
                                           {"intj", 421},
                                           {"iobj", 422},
                                           {"mark", 423},
                                           {"meta", 424},
                                           {"neg", 425},
                                           {"nmod", 426},
                                           {"nn", 427},
                                           {"npadvmod", 428},
                                           {"nsubj", 429},
                                           {"nsubjpass", 430},
                                           {"num", 431},
                                           {"number", 432},
                                           {"obj", 434},
                                           {"obl", 435},
                                           {"oprd", 433},
                                           {"parataxis", 436},
                                           {"partmod", 437},
                                           {"pcomp", 438},
                                           {"pobj", 439},
                                           {"poss", 440},
                                           {"possessive", 441},
                                           {"preconj", 442},
                                           {"prep", 443},
                                           {"prt", 444},
                                           {"punct", 445},
                                           {"quantmod", 446},
                                           {"rcmod", 448},
                                           {"relcl", 447},
                                           {"root", 449},
                                           {"xcomp", 450}};

enum { LAST_RESERVED = 456, MAX_RESERVED_NAME = 17, FIRST_FLAG = 19, FIRST_DEPRECATED = 104 };

struct slot {
    uint64_t id; /* 0: free */
    const char *text;
};

struct spacy_strings {
    const struct spacy_strings *base;
    struct bth_arena arena;
    struct slot *slots; /* [capacity], a power of two, or NULL */
    size_t n, capacity;
};

uint64_t spacy_string_hash(const char *s, size_t n) {
    const uint64_t m = UINT64_C(0xc6a4a7935bd1e995);
    uint64_t h = UINT64_C(1) ^ ((uint64_t)n * m), k;
    for (; n >= 8; s += 8, n -= 8) {
        memcpy(&k, s, 8);
        k *= m;
        k ^= k >> 47;
        k *= m;
        h = (h ^ k) * m;
    }
    if (n) {
        k = 0;
        for (size_t i = n; i-- > 0;) {
            k = k << 8 | (unsigned char)s[i];
        }
        h = (h ^ k) * m;
    }
    h ^= h >> 47;
    h *= m;
    return h ^ h >> 47;
}

/* The number behind a prefix, of exactly `digits` digits; -1: not so. */
static int number_behind(const char *prefix, size_t digits, const char *s, size_t n) {
    const size_t skip = strlen(prefix);
    if (n != skip + digits || memcmp(s, prefix, skip) != 0) {
        return -1;
    }
    int x = 0;
    for (size_t i = skip; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return -1;
        }
        x = 10 * x + (s[i] - '0');
    }
    return x;
}

static uint64_t find_reserved(const char *s, size_t n) {
    size_t low = 0, high = BTH_COUNT(reserved);
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = strncmp(s, reserved[mid].name, n);
        if (order == 0 && reserved[mid].name[n] == '\0') {
            return reserved[mid].id;
        }
        if (order > 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    int flag = number_behind("FLAG", 2, s, n);
    if (flag >= FIRST_FLAG && flag < 64) {
        return (uint64_t)flag;
    }
    int deprecated = number_behind("DEPRECATED", 3, s, n);
    return deprecated >= 1 && deprecated <= 276 ? (uint64_t)(deprecated + FIRST_DEPRECATED - 1) : 0;
}

uint64_t spacy_string_id(const char *s, size_t n) {
    if (n == 0) {
        return 0;
    }
    /* names are of letters, digits and underscores, and hold no NUL */
    if (n <= MAX_RESERVED_NAME && (unsigned char)s[0] - (unsigned)'A' < 58 && !memchr(s, 0, n)) {
        uint64_t id = find_reserved(s, n);
        if (id) {
            return id;
        }
    }
    return spacy_string_hash(s, n);
}

struct spacy_strings *spacy_strings_create(const struct spacy_strings *base) {
    struct spacy_strings *s = bth_calloc(1, sizeof(*s));
    if (s) {
        s->base = base;
    }
    return s;
}

void spacy_strings_destroy(struct spacy_strings *s) {
    if (s) {
        bth_arena_finish(&s->arena);
        bth_free(s->slots);
        bth_free(s);
    }
}

/* The slot of an id, or the free one where it belongs. There is always a free one. */
static struct slot *find_slot(const struct spacy_strings *s, uint64_t id) {
    size_t at = (size_t)id & (s->capacity - 1);
    while (s->slots[at].id && s->slots[at].id != id) {
        at = (at + 1) & (s->capacity - 1);
    }
    return &s->slots[at];
}

static int grow(struct spacy_strings *s) {
    struct spacy_strings larger = *s;
    larger.capacity = s->capacity ? 2 * s->capacity : 64;
    larger.slots = bth_calloc(larger.capacity, sizeof(*larger.slots));
    if (!larger.slots) {
        return BERTH_ENOMEM;
    }
    for (size_t i = 0; i < s->capacity; i++) {
        if (s->slots[i].id) {
            *find_slot(&larger, s->slots[i].id) = s->slots[i];
        }
    }
    bth_free(s->slots);
    *s = larger;
    return 0;
}

int spacy_strings_add(struct spacy_strings *s, const char *text, size_t n, uint64_t *out_id) {
    const uint64_t id = spacy_string_id(text, n);
    if (id == 0 || spacy_strings_get(s, id)) {
        *out_id = id;
        return 0;
    }
    if (4 * (s->n + 1) > 3 * s->capacity && grow(s) < 0) {
        return BERTH_ENOMEM;
    }
    char *copy = bth_arena_strndup(&s->arena, text, n);
    if (!copy) {
        return BERTH_ENOMEM;
    }
    *find_slot(s, id) = (struct slot){.id = id, .text = copy};
    s->n++;
    *out_id = id;
    return 0;
}

static const char *reserved_name(uint64_t id) {
    for (size_t i = 0; i < BTH_COUNT(reserved); i++) {
        if (reserved[i].id == id) {
            return reserved[i].name;
        }
    }
    return NULL;
}

const char *spacy_strings_get(const struct spacy_strings *s, uint64_t id) {
    if (id == 0) {
        return "";
    }
    for (const struct spacy_strings *at = s; at; at = at->base) {
        if (at->capacity) {
            const struct slot *slot = find_slot(at, id);
            if (slot->id) {
                return slot->text;
            }
        }
    }
    return id <= LAST_RESERVED ? reserved_name(id) : NULL;
}

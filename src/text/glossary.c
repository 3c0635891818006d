#include "text/glossary.h"

#include "base/alloc.h"
#include "base/error.h"
#include "text/sentences.h"
#include "text/units.h"
#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

struct entry {
    char *source, *target;
    size_t n, n_target;
};

struct bth_glossary {
    struct entry *all; /* [n] by source, so that those with a beginning lie together */
    size_t n;
};

/* ---- entries ---------------------------------------------------------------------------------*/

static int by_source(const void *a, const void *b) {
    return strcmp(((const struct entry *)a)->source, ((const struct entry *)b)->source);
}

static bool is_plain(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7F) {
            return false;
        }
    }
    return n <= BTH_GLOSSARY_TERM_BYTES;
}

static int add(struct bth_glossary *g, const char *source, const json_t *value, bool keep,
               struct berth_error *err) {
    const char *target = keep ? source : json_string_value(value);
    const size_t n = strlen(source), n_target = target ? strlen(target) : 0;
    if (!json_is_string(value) || n == 0 || n_target == 0 || source[0] == ' ' ||
        source[n - 1] == ' ' || !is_plain(source, n) || !is_plain(target, n_target)) {
        return bth_error(err, BERTH_EINVAL,
                         "glossary, '%.60s': a term and its translation are texts of at most %d "
                         "bytes in one line, without blanks around the term",
                         source, (int)BTH_GLOSSARY_TERM_BYTES);
    }
    struct entry *e = &g->all[g->n++];
    *e = (struct entry){bth_strdup(source), bth_strdup(target), n, n_target};
    return e->source && e->target ? 0 : bth_error_nomem(err);
}

int bth_glossary_open(const char *json, bool keep, struct bth_glossary **out,
                      struct berth_error *err) {
    json_error_t why;
    json_t *o = json_loads(json, JSON_REJECT_DUPLICATES, &why), *value;
    const char *source;
    struct bth_glossary *g = NULL;
    int rc = 0;
    if (!json_is_object(o)) {
        rc = bth_error(err, BERTH_EINVAL,
                       "the glossary is to be an object of terms and their "
                       "translations: {\"term\": \"translation\"}");
    } else if (json_object_size(o) > BTH_GLOSSARY_TERMS) {
        rc = bth_error(err, BERTH_EINVAL, "%zu terms in the glossary, at most %d",
                       json_object_size(o), (int)BTH_GLOSSARY_TERMS);
    }
    if (rc == 0) {
        g = bth_calloc(1, sizeof(*g));
        rc = g && (g->all = bth_calloc(json_object_size(o) + 1, sizeof(*g->all)))
                 ? 0
                 : bth_error_nomem(err);
    }
    if (rc == 0) {
        json_object_foreach(o, source, value) {
            rc = rc < 0 ? rc : add(g, source, value, keep, err);
        }
    }
    json_decref(o);
    if (rc < 0) {
        bth_glossary_free(g);
        return rc;
    }
    qsort(g->all, g->n, sizeof(*g->all), by_source);
    *out = g;
    return 0;
}

void bth_glossary_free(struct bth_glossary *g) {
    for (size_t i = 0; g && i < g->n; i++) {
        bth_free(g->all[i].source);
        bth_free(g->all[i].target);
    }
    if (g) {
        bth_free(g->all);
        bth_free(g);
    }
}

size_t bth_glossary_count(const struct bth_glossary *g) {
    return g->n;
}

const char *bth_glossary_source(const struct bth_glossary *g, size_t i) {
    return g->all[i].source;
}

const char *bth_glossary_target(const struct bth_glossary *g, size_t i) {
    return g->all[i].target;
}

/* ---- terms -----------------------------------------------------------------------------------*/

/* Entries [*low, *high) share their first `at` bytes; narrows them to those whose next is c. */
static void narrow(const struct bth_glossary *g, size_t at, unsigned char c, size_t *low,
                   size_t *high) {
    size_t ends[2];
    for (int i = 0; i < 2; i++) { /* the first that is not less, then the first that is more */
        size_t a = *low, b = *high;
        while (a < b) {
            const size_t middle = (a + b) / 2;
            const unsigned char have = (unsigned char)g->all[middle].source[at];
            if (have < c || (i == 1 && have == c)) {
                a = middle + 1;
            } else {
                b = middle;
            }
        }
        ends[i] = a;
    }
    *low = ends[0];
    *high = ends[1];
}

/* The longest entry that is a beginning of `head` and then text, in whole words. The head stands
 * for text's first `skip` bytes. SIZE_MAX: none. */
static size_t longest(const struct bth_glossary *g, const char *head, size_t n_head,
                      const char *text, size_t n, size_t skip) {
    size_t low = 0, high = g->n, found = SIZE_MAX;
    for (size_t i = 0; low < high && i < n_head + n - skip; i++) {
        narrow(g, i, (unsigned char)(i < n_head ? head[i] : text[skip + i - n_head]), &low, &high);
        if (low < high && g->all[low].n == i + 1 && i + 1 >= n_head &&
            !bth_units_inside_word(text, n, skip + i + 1 - n_head)) {
            found = low;
        }
    }
    return found;
}

/* Of an address: marks may follow, as in "(see berth.example)." */
static bool only_marks(const char *text, size_t begin, size_t end) {
    while (begin < end && ispunct((unsigned char)text[begin])) {
        begin++;
    }
    return begin == end;
}

bool bth_glossary_next(const struct bth_glossary *g, const char *text, size_t n, size_t *at,
                       struct bth_term *out) {
    uint32_t c;
    for (size_t size; *at < n; *at += size) {
        char head[4];
        const char *from = text + *at;
        size = bth_utf8_decode(from, n - *at, &c);
        if (c == ' ' || bth_units_inside_word(text, n, *at)) {
            continue;
        }
        const size_t address = bth_sentences_address(text, n, *at);
        const uint32_t small = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
        const size_t n_head = bth_utf8_encode(small, head);
        const size_t same = longest(g, from, 0, from, n - *at, 0);
        const size_t other = small != c ? longest(g, head, n_head, from, n - *at, size) : SIZE_MAX;
        const bool capital = other != SIZE_MAX &&
                             (same == SIZE_MAX || g->all[other].n + size > g->all[same].n + n_head);
        const size_t i = capital ? other : same;
        if (i != SIZE_MAX) {
            const size_t length = g->all[i].n + (capital ? size - n_head : 0);
            if (*at + length < address && !only_marks(text, *at + length, address)) {
                size = address - *at; /* a part of it */
                continue;
            }
            *out = (struct bth_term){*at, *at + length, (uint32_t)i, capital, false};
            *at += length;
            return true;
        }
        size = address > *at ? address - *at : size;
    }
    return false;
}

/* ---- exchange --------------------------------------------------------------------------------*/

/* Where a term goes: instead of units [low, high), before unit low if there are none. */
struct place {
    size_t low, high, term;
};

struct exchange {
    const struct bth_glossary *g;
    struct bth_glossary_sentence *s;
    struct bth_unit *units; /* [n]; owner 1: a term's */
    size_t n;
    struct place *places; /* [n_terms] */
};

/* Units [*low, *high) of the longest run that came from the term; one unit that did not does not
 * end a run. */
static bool find_run(const struct exchange *x, const struct bth_term *t, size_t *low,
                     size_t *high) {
    size_t best = 0;
    for (size_t i = 0, end; i < x->n; i = end) {
        end = i + 1;
        const struct bth_unit *u = x->units;
        if (u[i].owner || u[i].source < t->begin || u[i].source >= t->end) {
            continue;
        }
        for (size_t j = end; j < x->n && j <= end + 1 && !u[j].owner; j++) {
            if (u[j].source >= t->begin && u[j].source < t->end) {
                end = j + 1;
            }
        }
        if (end - i > best) {
            best = end - i;
            *low = i;
            *high = end;
        }
    }
    return best > 0;
}

/* Units that are the term's translation already. */
static bool find_same(const struct exchange *x, const struct bth_term *t, size_t *low,
                      size_t *high) {
    const struct entry *e = &x->g->all[t->index];
    for (size_t i = 0; i < x->n; i++) {
        const size_t begin = x->units[i].begin, end = begin + e->n_target;
        if (x->units[i].owner || end > x->s->n_target ||
            memcmp(x->s->target + begin, e->target, e->n_target) != 0) {
            continue;
        }
        size_t last = i;
        while (last < x->n && x->units[last].end < end && !x->units[last].owner) {
            last++;
        }
        if (last < x->n && x->units[last].end == end && !x->units[last].owner) {
            *low = i;
            *high = last + 1;
            return true;
        }
    }
    return false;
}

/* Behind the unit that came from the last place before the term. */
static size_t find_gap(const struct exchange *x, const struct bth_term *t) {
    size_t at = 0, source = 0;
    for (size_t i = 0; i < x->n; i++) {
        if (x->units[i].source < t->begin && x->units[i].source >= source) {
            source = x->units[i].source;
            at = i + 1;
        }
    }
    while (at < x->n && at > 0 && x->units[at].owner && x->units[at - 1].owner) {
        at++; /* not within another term */
    }
    return at;
}

static void find_places(struct exchange *x) {
    for (size_t i = 0; i < x->s->n_terms; i++) {
        struct bth_term *t = &x->s->terms[i];
        struct place *p = &x->places[i];
        p->term = i;
        t->placed = find_same(x, t, &p->low, &p->high) || find_run(x, t, &p->low, &p->high);
        if (!t->placed) {
            p->low = p->high = SIZE_MAX;
        }
        for (size_t u = t->placed ? p->low : 0; t->placed && u < p->high; u++) {
            x->units[u].owner = 1;
        }
    }
    for (size_t i = 0; i < x->s->n_terms; i++) {
        if (!x->s->terms[i].placed) {
            x->places[i].low = x->places[i].high = find_gap(x, &x->s->terms[i]);
        }
    }
}

static int by_place(const void *a, const void *b) {
    const struct place *p = a, *q = b;
    if (p->low != q->low) {
        return p->low < q->low ? -1 : 1;
    }
    if (p->high != q->high) { /* what is put in before what takes a place there */
        return p->high < q->high ? -1 : 1;
    }
    return p->term < q->term ? -1 : p->term > q->term;
}

static void put_term(const struct exchange *x, const struct bth_term *t, struct bth_str *out) {
    const struct entry *e = &x->g->all[t->index];
    uint32_t c;
    char head[4];
    if (!t->capital) {
        bth_str_append(out, e->target, e->n_target);
        return;
    }
    const size_t size = bth_utf8_decode(e->target, e->n_target, &c);
    const uint32_t large = (uint32_t)utf8proc_toupper((utf8proc_int32_t)c);
    bth_str_append(out, head, bth_utf8_encode(large, head));
    bth_str_append(out, e->target + size, e->n_target - size);
}

/* Marks up to byte `until` of the target move by what `out` is longer than it there. */
static size_t move_ends(const struct exchange *x, size_t next, size_t until, size_t from,
                        size_t to) {
    for (; next < x->s->n_ends && x->s->ends[next] <= until; next++) {
        x->s->ends[next] = (uint32_t)(x->s->ends[next] - from + to);
    }
    return next;
}

static void write_all(struct exchange *x, struct bth_str *out) {
    const struct bth_glossary_sentence *s = x->s;
    const size_t origin = out->size;
    size_t at = 0, next = 0;
    for (size_t i = 0; i < s->n_terms; i++) {
        const struct place *p = &x->places[i];
        const bool inside = p->high > p->low;
        const size_t begin = inside        ? x->units[p->low].begin
                             : p->low == 0 ? 0
                                           : x->units[p->low - 1].end;
        const size_t end = inside ? x->units[p->high - 1].end : begin;
        const size_t copied = begin > at ? begin : at;
        next = move_ends(x, next, copied, at, out->size - origin);
        bth_str_append(out, s->target + at, copied - at);
        if (!inside && p->low > 0) {
            bth_str_putc(out, ' ');
        }
        put_term(x, &s->terms[p->term], out);
        if (!inside && p->low == 0 && x->n > 0) {
            bth_str_putc(out, ' ');
        }
        for (at = end > copied ? end : copied; next < s->n_ends && s->ends[next] <= at; next++) {
            s->ends[next] = (uint32_t)(out->size - origin);
        }
    }
    move_ends(x, next, SIZE_MAX, at, out->size - origin);
    bth_str_append(out, s->target + at, s->n_target - at);
}

int bth_glossary_exchange(const struct bth_glossary *g, struct bth_glossary_sentence *s,
                          struct bth_str *out, struct berth_error *err) {
    const struct bth_units_of all = {.target = s->target,
                                     .source = s->source,
                                     .target_end = s->n_target,
                                     .source_end = s->n_source};
    const struct bth_html_sentence span = {.source_end = s->n_source,
                                           .target_end = s->n_target,
                                           .links = s->links,
                                           .n_links = s->n_links};
    struct exchange x = {.g = g, .s = s};
    x.units = bth_calloc(bth_units_count(s->target, s->n_target) + 1, sizeof(*x.units));
    x.places = bth_calloc(s->n_terms + 1, sizeof(*x.places));
    int rc = x.units && x.places ? 0 : bth_error_nomem(err);
    if (rc == 0) {
        x.n = bth_units_put(&all, x.units);
        bth_units_link(&span, s->source, 0, x.units, x.n);
        find_places(&x);
        qsort(x.places, s->n_terms, sizeof(*x.places), by_place);
        write_all(&x, out);
    }
    bth_free(x.units);
    bth_free(x.places);
    return rc;
}

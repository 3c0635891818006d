/* The moves of a transition model: how its file numbers them, and which is best. */
#include "spacy/spacy_transition.h"

#include "base/alloc.h"
#include "base/error.h"
#include "format/packed.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_CLASSES = 1 << 16 };

struct move {
    int kind;
    const char *label;    /* the JSON's */
    json_int_t frequency; /* negative: added after the training, all kinds of a label together */
};

struct list {
    struct move *moves;
    size_t n;
    const char *name;
    struct berth_error *err;
};

static int by_label(const struct move *a, const struct move *b) {
    if (a->frequency != b->frequency) {
        return a->frequency < b->frequency ? 1 : -1;
    }
    return -strcmp(a->label, b->label); /* bytes of UTF-8 are in the order of code points */
}

/* First those of the training, by kind; then those added later, by label. */
static int by_class(const void *x, const void *y) {
    const struct move *a = x, *b = y;
    const bool later = a->frequency < 0;
    if (later != (b->frequency < 0)) {
        return later ? 1 : -1;
    }
    if (!later && a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    const int order = by_label(a, b);
    return order ? order : a->kind < b->kind ? -1 : a->kind > b->kind;
}

static int by_text(const void *x, const void *y) {
    return strcmp(((const struct move *)x)->label, ((const struct move *)y)->label);
}

/* Labels that were added later count for all their kinds by their largest frequency. */
static void join_later(struct move *m, size_t n) {
    qsort(m, n, sizeof(*m), by_text);
    for (size_t i = 0, end; i < n; i = end) {
        json_int_t most = INT64_MIN;
        for (end = i; end < n && strcmp(m[i].label, m[end].label) == 0; end++) {
            if (m[end].frequency < 0 && m[end].frequency > most) {
                most = m[end].frequency;
            }
        }
        for (size_t k = i; k < end; k++) {
            m[k].frequency = m[k].frequency < 0 ? most : m[k].frequency;
        }
    }
}

static int collect(struct list *l, const json_t *kinds, bool entities) {
    for (int kind = 0; kind < SPACY_MAX_MOVES; kind++) {
        const char key[2] = {(char)('0' + kind), '\0'};
        json_t *labels = json_object_get(kinds, key), *frequency;
        const char *label;
        json_object_foreach(labels, label, frequency) {
            if (entities && (kind == 0 || (kind == 5 && label[0]))) {
                continue;
            }
            if (!json_is_integer(frequency) || l->n == MAX_CLASSES) {
                return bth_error(l->err, BERTH_EFORMAT, "%s/moves: label %.60s", l->name, label);
            }
            l->moves[l->n++] = (struct move){
                .kind = kind, .label = label, .frequency = json_integer_value(frequency)};
        }
    }
    join_later(l->moves, l->n);
    qsort(l->moves, l->n, sizeof(*l->moves), by_class);
    return 0;
}

static int add_label(struct spacy_strings *strings, const char *label, struct spacy_moves *m,
                     size_t i) {
    const char *bars = strstr(label, "||");
    const size_t n = strlen(label), plain = bars ? (size_t)(bars - label) : n;
    int rc = spacy_strings_add(strings, label, n, &m->labels[i]);
    if (rc == 0) {
        rc = spacy_strings_add(strings, label, plain, &m->plain[i]);
    }
    if (rc == 0 && bars) {
        m->above[i] = spacy_string_id(bars + 2, n - plain - 2);
    }
    return rc;
}

static int number(const struct list *l, bool entities, struct spacy_strings *strings,
                  struct spacy_moves *out) {
    struct spacy_moves m = {.kinds = bth_calloc(l->n + 1, sizeof(*m.kinds)),
                            .labels = bth_calloc(l->n + 1, sizeof(*m.labels)),
                            .plain = bth_calloc(l->n + 1, sizeof(*m.plain)),
                            .above = bth_calloc(l->n + 1, sizeof(*m.above)),
                            .n = (int64_t)l->n};
    int rc = m.kinds && m.labels && m.plain && m.above ? 0 : BERTH_ENOMEM;
    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        const struct move *move = &l->moves[i];
        m.kinds[i] = (uint8_t)(entities && move->kind == 4 && !move->label[0] ? 6 : move->kind);
        rc = add_label(strings, move->label, &m, i);
    }
    if (rc < 0) {
        spacy_moves_finish(&m);
        return bth_error_nomem(l->err);
    }
    *out = m;
    return 0;
}

/* The JSON inside the msgpack; NULL and an error in *out_rc. */
static json_t *parse(const struct spacy_file *file, const char *name, int *out_rc,
                     struct berth_error *err) {
    struct bth_packed packed = {0};
    json_t *kinds = NULL;
    size_t n = 0;
    int rc = bth_packed_open(&packed, file->data, file->size, err);
    if (rc == 0) {
        const char *text = bth_packed_text(bth_packed_get(&packed.root, "moves"), &n);
        kinds = text ? json_loadb(text, n, 0, NULL) : NULL;
        if (!json_is_object(kinds)) {
            json_decref(kinds);
            kinds = NULL;
            rc = bth_error(err, BERTH_EFORMAT, "%s/moves holds no moves", name);
        }
    }
    bth_packed_close(&packed);
    *out_rc = rc;
    return kinds;
}

int spacy_moves_load(struct spacy_package *p, const char *name, bool entities,
                     struct spacy_strings *strings, struct spacy_moves *out,
                     struct berth_error *err) {
    char path[256];
    struct spacy_file file = {0};
    snprintf(path, sizeof(path), "%s/moves", name);
    int rc = spacy_package_read(p, path, &file, err);
    if (rc < 0) {
        return rc;
    }
    struct list l = {.moves = NULL, .name = name, .err = err};
    json_t *kinds = parse(&file, name, &rc, err);
    l.moves = kinds ? bth_calloc(MAX_CLASSES, sizeof(*l.moves)) : NULL;
    if (kinds && !l.moves) {
        rc = bth_error_nomem(err);
    } else if (kinds) {
        rc = collect(&l, kinds, entities);
    }
    if (rc == 0) {
        rc = number(&l, entities, strings, out);
    }
    bth_free(l.moves);
    json_decref(kinds);
    spacy_file_close(&file);
    return rc;
}

void spacy_moves_finish(struct spacy_moves *m) {
    bth_free(m->kinds);
    bth_free(m->labels);
    bth_free(m->plain);
    bth_free(m->above);
    *m = (struct spacy_moves){0};
}

int64_t spacy_moves_best(const struct spacy_moves *m,
                         const struct spacy_valid valid[SPACY_MAX_MOVES], const float *scores) {
    int64_t best = -1;
    float most = 0;
    for (int64_t i = 0; i < m->n; i++) {
        const struct spacy_valid *v = &valid[m->kinds[i]];
        if (v->which == SPACY_NONE || (v->which == SPACY_ONLY && v->label != m->labels[i]) ||
            (v->which == SPACY_BUT && v->label == m->labels[i])) {
            continue;
        }
        if (best < 0 || scores[i] > most) {
            best = i;
            most = scores[i];
        }
    }
    return best;
}

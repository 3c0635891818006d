#include "spacy/spacy_morph.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include <stdlib.h>
#include <string.h>

#define FIRST_POS 84
/* Bytes of features: those of real words take about a hundred. */
#define FEATS_LIMIT 4096

static const char *const pos_names[] = {
    "ADJ",  "ADP",  "ADV",   "AUX",   "CONJ",  "CCONJ", "DET",  "INTJ", "NOUN", "NUM",
    "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM",   "VERB", "X",    "EOL",  "SPACE",
};

struct piece {
    const char *text;
    size_t n;
};

/* By bytes, which for UTF-8 is by code points. */
static int by_text(const void *a, const void *b) {
    const struct piece *x = a, *y = b;
    int c = memcmp(x->text, y->text, BTH_MIN(x->n, y->n));
    return c != 0 ? c : (x->n > y->n) - (x->n < y->n);
}

/* The parts of s[0, n) between separators; there is always one. */
static size_t split(const char *s, size_t n, char separator, struct piece *out) {
    size_t count = 0, begin = 0;
    for (size_t i = 0; i <= n; i++) {
        if (i == n || s[i] == separator) {
            out[count++] = (struct piece){s + begin, i - begin};
            begin = i + 1;
        }
    }
    return count;
}

/* Appends name=values of one feature, values sorted. `room` holds n + 1 pieces. */
static int write_feature(struct piece feature, struct piece *room, struct bth_str *out,
                         struct berth_error *err) {
    const char *equals = memchr(feature.text, '=', feature.n);
    size_t name = equals ? (size_t)(equals - feature.text) : 0;
    if (!equals || memchr(equals + 1, '=', feature.n - name - 1)) {
        return bth_error(err, BERTH_EFORMAT, "morphological feature \"%.*s\" is not name=value",
                         (int)BTH_MIN(feature.n, (size_t)60), feature.text);
    }
    size_t values = split(equals + 1, feature.n - name - 1, ',', room);
    qsort(room, values, sizeof(*room), by_text);
    bth_str_append(out, feature.text, name);
    for (size_t i = 0; i < values; i++) {
        bth_str_putc(out, i == 0 ? '=' : ',');
        bth_str_append(out, room[i].text, room[i].n);
    }
    return 0;
}

static size_t name_size(struct piece p) {
    return (size_t)((const char *)memchr(p.text, '=', p.n) - p.text);
}

/* What is written is sorted as a whole, a later feature of the same name replaces the earlier. */
static void join(struct piece *features, size_t n, struct bth_str *out) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        size_t size = name_size(features[i]), at = 0;
        while (at < kept && !(name_size(features[at]) == size &&
                              memcmp(features[at].text, features[i].text, size) == 0)) {
            at++;
        }
        features[at] = features[i];
        kept += at == kept;
    }
    qsort(features, kept, sizeof(*features), by_text);
    for (size_t i = 0; i < kept; i++) {
        if (i > 0) {
            bth_str_putc(out, '|');
        }
        bth_str_append(out, features[i].text, features[i].n);
    }
}

static int normalise(const char *feats, size_t n, struct bth_str *out, struct berth_error *err) {
    struct bth_str written = {0};
    struct piece *features = bth_calloc(n + 1, sizeof(*features));
    struct piece *room = bth_calloc(n + 1, sizeof(*room));
    int rc = features && room ? 0 : bth_error_nomem(err);
    size_t count = rc == 0 ? split(feats, n, '|', features) : 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (i > 0) {
            bth_str_putc(&written, '|');
        }
        rc = write_feature(features[i], room, &written, err);
    }
    if (rc == 0 && written.failed) {
        rc = bth_error_nomem(err);
    }
    if (rc == 0) {
        /* the same cuts again: sorting values moves no separator between features */
        count = split(written.data, written.size, '|', features);
        join(features, count, out);
        rc = out->failed ? bth_error_nomem(err) : 0;
    }
    bth_free(features);
    bth_free(room);
    bth_str_finish(&written);
    return rc;
}

int spacy_morph_add(struct spacy_strings *strings, const char *feats, size_t n, uint64_t *out_id,
                    struct berth_error *err) {
    if (n == 0 || (n == 1 && feats[0] == '_')) {
        return spacy_strings_add(strings, "_", 1, out_id) < 0 ? bth_error_nomem(err) : 0;
    }
    if (n > FEATS_LIMIT) {
        return bth_error(err, BERTH_EFORMAT, "morphological features of %zu bytes", n);
    }
    struct bth_str text = {0};
    int rc = normalise(feats, n, &text, err);
    if (rc == 0 && spacy_strings_add(strings, text.data, text.size, out_id) < 0) {
        rc = bth_error_nomem(err);
    }
    bth_str_finish(&text);
    return rc;
}

bool spacy_morph_find(const char *feats, const char *name, const char **out, size_t *out_n) {
    size_t size = strlen(name);
    for (const char *p = feats; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL) {
        if (strncmp(p, name, size) == 0 && p[size] == '=') {
            if (out) {
                *out = p + size + 1;
                *out_n = strcspn(p + size + 1, "|");
            }
            return true;
        }
    }
    return false;
}

unsigned spacy_pos_id(const char *name, size_t n) {
    for (unsigned i = 0; i < BTH_COUNT(pos_names); i++) {
        if (strlen(pos_names[i]) == n && memcmp(pos_names[i], name, n) == 0) {
            return FIRST_POS + i;
        }
    }
    return 0;
}

const char *spacy_pos_name(unsigned pos) {
    return pos >= FIRST_POS && pos - FIRST_POS < BTH_COUNT(pos_names) ? pos_names[pos - FIRST_POS]
                                                                      : "";
}

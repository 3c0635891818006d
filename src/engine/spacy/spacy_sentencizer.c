#include "spacy/spacy_sentencizer.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include <stdlib.h>

/* What ends a sentence unless a model says otherwise: spaCy's list (MIT licence). */
static const uint32_t default_marks[] = {
    0x0021,  0x002E,  0x003F,  0x0589,  0x061F,  0x06D4,  0x0700,  0x0701,  0x0702,  0x07F9,
    0x0964,  0x0965,  0x104A,  0x104B,  0x1362,  0x1367,  0x1368,  0x166E,  0x1735,  0x1736,
    0x1803,  0x1809,  0x1944,  0x1945,  0x1AA8,  0x1AA9,  0x1AAA,  0x1AAB,  0x1B5A,  0x1B5B,
    0x1B5E,  0x1B5F,  0x1C3B,  0x1C3C,  0x1C7E,  0x1C7F,  0x203C,  0x203D,  0x2047,  0x2048,
    0x2049,  0x2E2E,  0x2E3C,  0xA4FF,  0xA60E,  0xA60F,  0xA6F3,  0xA6F7,  0xA876,  0xA877,
    0xA8CE,  0xA8CF,  0xA92F,  0xA9C8,  0xA9C9,  0xAA5D,  0xAA5E,  0xAA5F,  0xAAF0,  0xAAF1,
    0xABEB,  0xFE52,  0xFE56,  0xFE57,  0xFF01,  0xFF0E,  0xFF1F,  0x10A56, 0x10A57, 0x11047,
    0x11048, 0x110BE, 0x110BF, 0x110C0, 0x110C1, 0x11141, 0x11142, 0x11143, 0x111C5, 0x111C6,
    0x111CD, 0x111DE, 0x111DF, 0x11238, 0x11239, 0x1123B, 0x1123C, 0x112A9, 0x1144B, 0x1144C,
    0x115C2, 0x115C3, 0x115C9, 0x115CA, 0x115CB, 0x115CC, 0x115CD, 0x115CE, 0x115CF, 0x115D0,
    0x115D1, 0x115D2, 0x115D3, 0x115D4, 0x115D5, 0x115D6, 0x115D7, 0x11641, 0x11642, 0x1173C,
    0x1173D, 0x1173E, 0x11A42, 0x11A43, 0x11A9B, 0x11A9C, 0x11C41, 0x11C42, 0x16A6E, 0x16A6F,
    0x16AF5, 0x16B37, 0x16B38, 0x16B44, 0x1BC9F, 0x1DA88, 0xFF61,  0x3002,
};

struct spacy_sentencizer {
    uint64_t *marks; /* [n] ids of texts, ascending */
    size_t n;
    bool overwrite;
};

static int by_id(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool is_mark(const struct spacy_sentencizer *s, uint64_t id) {
    return bsearch(&id, s->marks, s->n, sizeof(id), by_id) != NULL;
}

static void set_default_marks(struct spacy_sentencizer *s) {
    for (s->n = 0; s->n < BTH_COUNT(default_marks); s->n++) {
        char text[4];
        s->marks[s->n] = spacy_string_id(text, bth_utf8_encode(default_marks[s->n], text));
    }
}

static int set_marks(struct spacy_sentencizer *s, const json_t *marks, struct berth_error *err) {
    size_t i;
    json_t *mark;
    json_array_foreach(marks, i, mark) {
        if (!json_is_string(mark)) {
            return bth_error(err, BERTH_EFORMAT, "punct_chars[%zu] is no text", i);
        }
        s->marks[i] = spacy_string_id(json_string_value(mark), json_string_length(mark));
    }
    s->n = json_array_size(marks);
    return 0;
}

static int configure(struct spacy_sentencizer *s, const json_t *settings, struct berth_error *err) {
    const json_t *marks = json_object_get(settings, "punct_chars");
    const json_t *overwrite = json_object_get(settings, "overwrite");
    if ((settings && !json_is_object(settings)) ||
        (marks && !json_is_array(marks) && !json_is_null(marks)) ||
        (overwrite && !json_is_boolean(overwrite))) {
        return bth_error(err, BERTH_EFORMAT,
                         "punct_chars is no list, or overwrite neither true nor "
                         "false");
    }
    size_t n = BTH_MAX(json_array_size(marks), BTH_COUNT(default_marks));
    s->marks = bth_calloc(n, sizeof(*s->marks));
    if (!s->marks) {
        return bth_error_nomem(err);
    }
    s->overwrite = json_is_true(overwrite);
    int rc = 0;
    if (json_array_size(marks) > 0) {
        rc = set_marks(s, marks, err);
    } else {
        set_default_marks(s);
    }
    qsort(s->marks, s->n, sizeof(*s->marks), by_id);
    return rc;
}

/* The file if there is one, else the settings. */
static int load_settings(struct spacy_sentencizer *s, const struct spacy_rule_source *source,
                         struct berth_error *err) {
    char *name = bth_printf("%s.json", source->name);
    if (!name) {
        return bth_error_nomem(err);
    }
    json_t *file = NULL;
    int rc = 0;
    if (source->package && spacy_package_has(source->package, name)) {
        rc = spacy_package_read_json(source->package, name, &file, err);
    }
    if (rc == 0) {
        rc = configure(s, file ? file : source->config, err);
        if (rc < 0) {
            bth_error_prefix(err, "%s: ", name);
        }
    }
    json_decref(file);
    bth_free(name);
    return rc;
}

int spacy_sentencizer_load(const struct spacy_rule_source *source, struct spacy_sentencizer **out,
                           struct berth_error *err) {
    struct spacy_sentencizer *s = bth_calloc(1, sizeof(*s));
    if (!s) {
        return bth_error_nomem(err);
    }
    int rc = load_settings(s, source, err);
    if (rc < 0) {
        spacy_sentencizer_destroy(s);
        return rc;
    }
    *out = s;
    return 0;
}

void spacy_sentencizer_destroy(struct spacy_sentencizer *s) {
    if (s) {
        bth_free(s->marks);
        bth_free(s);
    }
}

int spacy_sentencizer_run(const struct spacy_sentencizer *s, struct spacy_doc *doc,
                          struct berth_error *err) {
    (void)err;
    bool ended = false;
    for (size_t i = 0; i < doc->n; i++) {
        struct spacy_token *t = &doc->tokens[i];
        bool mark = is_mark(s, t->lex->orth);
        bool begins = i == 0;
        if (ended && !mark && !(t->lex->flags & 1u << SPACY_IS_PUNCT)) {
            begins = true;
            ended = false;
        } else if (mark) {
            ended = true;
        }
        if (t->sent_start == 0 || s->overwrite) {
            t->sent_start = begins ? 1 : -1;
        }
    }
    return 0;
}

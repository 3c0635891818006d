#include "spacy/spacy_entity_ruler.h"
#include "base/alloc.h"
#include "base/error.h"
#include "spacy/spacy_phrases.h"
#include "spacy/spacy_token_spec.h"
#include <stdlib.h>
#include <string.h>

/* Which of what was there and what matches becomes an entity. Of overlapping matches the longest
 * wins, then the first. */
enum policy {
    EXCEPT_ON_ENTITIES, /* a match with an entity's token is none, before any is chosen */
    OVER_ENTITIES,      /* entities that overlap a match give way */
    AFTER_ENTITIES,     /* entities stay, matches take the room between them */
    AMONG_ENTITIES      /* entities compete like matches, and win ties */
};

struct entry {
    uint64_t label, id;
};

struct spacy_entity_ruler {
    struct spacy_token_matcher *matcher;
    struct spacy_phrases *phrases;
    struct entry *entries; /* a match's key is its entry */
    size_t n, room;
    enum policy policy;
    bool forget;   /* entities that were there do not count */
    bool by_label; /* equal spans are ordered by label and id, else by entry */
};

/* ---- loading --------------------------------------------------------------------------------*/

static int read_id(const json_t *v, struct spacy_strings *strings, uint64_t *out,
                   struct berth_error *err) {
    if (!v || json_is_null(v)) {
        *out = 0;
        return 0;
    }
    if (!json_is_string(v)) {
        return bth_error(err, BERTH_EFORMAT, "a label or id that is no text");
    }
    int rc = spacy_strings_add(strings, json_string_value(v), json_string_length(v), out);
    return rc < 0 ? bth_error_nomem(err) : 0;
}

static int add_phrase(struct spacy_entity_ruler *r, const struct spacy_rule_source *source,
                      uint32_t key, const json_t *text, struct berth_error *err) {
    struct spacy_doc doc = {0};
    if (!source->tokenizer) {
        return bth_error(err, BERTH_EUNSUPPORTED, "phrases without a tokenizer");
    }
    int rc =
        spacy_doc_init(&doc, source->vocab, json_string_value(text), json_string_length(text), err);
    if (rc == 0) {
        rc = spacy_tokenize(source->tokenizer, &doc, err);
    }
    if (rc == 0) {
        rc = spacy_phrases_add(r->phrases, key, &doc, err);
    }
    spacy_doc_finish(&doc);
    return rc;
}

static int add_entry(struct spacy_entity_ruler *r, const struct spacy_rule_source *source,
                     const json_t *o, struct berth_error *err) {
    const json_t *label = json_object_get(o, "label"), *pattern = json_object_get(o, "pattern");
    if (!json_is_string(label) || (!json_is_string(pattern) && !json_is_array(pattern))) {
        return bth_error(err, BERTH_EFORMAT,
                         "no label, or a pattern that is neither text nor list");
    }
    if (r->n == r->room) {
        size_t room = BTH_MAX(16, 2 * r->room);
        struct entry *entries = bth_realloc_array(r->entries, room, sizeof(*entries));
        if (!entries) {
            return bth_error_nomem(err);
        }
        r->entries = entries;
        r->room = room;
    }
    struct spacy_strings *strings = spacy_vocab_strings(source->vocab);
    struct entry *e = &r->entries[r->n];
    int rc = read_id(label, strings, &e->label, err);
    if (rc == 0) {
        rc = read_id(json_object_get(o, "id"), strings, &e->id, err);
    }
    if (rc == 0) {
        rc = json_is_string(pattern)
                 ? add_phrase(r, source, (uint32_t)r->n, pattern, err)
                 : spacy_token_matcher_add(r->matcher, (uint32_t)r->n, pattern, err);
    }
    r->n += rc == 0;
    return rc;
}

static int add_lines(struct spacy_entity_ruler *r, const struct spacy_rule_source *source,
                     const char *lines, size_t size, struct berth_error *err) {
    int rc = 0;
    size_t number = 0;
    for (size_t at = 0; rc == 0 && at < size;) {
        const char *end = memchr(lines + at, '\n', size - at);
        size_t n = end ? (size_t)(end - lines) - at : size - at;
        json_error_t why;
        size_t blank = 0;
        while (blank < n && strchr(" \t\r", lines[at + blank])) {
            blank++;
        }
        json_t *o = blank < n ? json_loadb(lines + at, n, JSON_ALLOW_NUL, &why) : NULL;
        number++;
        if (o) {
            rc = add_entry(r, source, o, err);
        } else if (blank < n) {
            rc = bth_error(err, BERTH_EFORMAT, "%s", why.text);
        }
        if (rc < 0) {
            bth_error_prefix(err, "line %zu: ", number);
        }
        json_decref(o);
        at += n + 1;
    }
    return rc;
}

static int choose_attribute(const json_t *settings, int *out, struct berth_error *err) {
    const json_t *v = json_object_get(settings, "phrase_matcher_attr");
    *out = SPACY_ORTH;
    if (v && !json_is_null(v)) {
        *out = json_is_string(v) ? spacy_attribute_find(json_string_value(v)) : 0;
        if (!spacy_attribute_lexical(*out)) {
            return bth_error(err, BERTH_EUNSUPPORTED,
                             "phrases by what is no attribute of words (\"%.40s\")",
                             json_is_string(v) ? json_string_value(v) : "");
        }
    }
    return 0;
}

static int create(const json_t *settings, struct spacy_strings *strings,
                  struct spacy_entity_ruler **out, struct berth_error *err) {
    int attribute, rc = choose_attribute(settings, &attribute, err);
    if (rc < 0) {
        return rc;
    }
    struct spacy_entity_ruler *r = bth_calloc(1, sizeof(*r));
    if (r) {
        r->matcher = spacy_token_matcher_create(strings);
        r->phrases = spacy_phrases_create(attribute);
    }
    if (!r || !r->matcher || !r->phrases) {
        spacy_entity_ruler_destroy(r);
        return bth_error_nomem(err);
    }
    *out = r;
    return 0;
}

int spacy_entity_ruler_parse(const struct spacy_rule_source *source, const char *lines, size_t size,
                             struct spacy_entity_ruler **out, struct berth_error *err) {
    struct spacy_entity_ruler *r = NULL;
    int rc = create(source->config, spacy_vocab_strings(source->vocab), &r, err);
    if (rc == 0) {
        const json_t *overwrite = json_object_get(source->config, "overwrite");
        r->policy =
            json_is_true(overwrite ? overwrite : json_object_get(source->config, "overwrite_ents"))
                ? OVER_ENTITIES
                : EXCEPT_ON_ENTITIES;
        rc = add_lines(r, source, lines, size, err);
    }
    if (rc < 0) {
        spacy_entity_ruler_destroy(r);
        return rc;
    }
    spacy_phrases_seal(r->phrases);
    *out = r;
    return 0;
}

/* ents_filter of span_ruler: by name. */
static int choose_filter(struct spacy_entity_ruler *r, const json_t *config,
                         struct berth_error *err) {
    static const struct {
        const char *name;
        enum policy policy;
    } filters[] = {
        {"spacy.first_longest_spans_filter.v1", AMONG_ENTITIES},
        {"spacy.prioritize_new_ents_filter.v1", OVER_ENTITIES},
        {"spacy.prioritize_existing_ents_filter.v1", AFTER_ENTITIES},
    };
    const json_t *block = json_object_get(config, "ents_filter");
    const char *name = json_string_value(json_object_get(block, "@misc"));
    name = name ? name : filters[0].name;
    for (size_t i = 0; i < BTH_COUNT(filters); i++) {
        if (strcmp(filters[i].name, name) == 0) {
            r->policy = filters[i].policy;
            return 0;
        }
    }
    return bth_error(err, BERTH_EUNSUPPORTED, "ents_filter \"%.60s\" of span_ruler", name);
}

int spacy_span_ruler_parse(const struct spacy_rule_source *source, const char *lines, size_t size,
                           struct spacy_entity_ruler **out, struct berth_error *err) {
    const json_t *overwrite = json_object_get(source->config, "overwrite");
    struct spacy_entity_ruler *r = NULL;
    if (!json_is_true(json_object_get(source->config, "annotate_ents"))) {
        return bth_error(err, BERTH_EUNSUPPORTED,
                         "span_ruler \"%.60s\" makes named spans: only annotate_ents is supported",
                         source->name);
    }
    int rc = create(source->config, spacy_vocab_strings(source->vocab), &r, err);
    if (rc == 0) {
        r->forget = !overwrite || json_is_true(overwrite);
        r->by_label = true;
        rc = choose_filter(r, source->config, err);
    }
    if (rc == 0) {
        rc = add_lines(r, source, lines, size, err);
    }
    if (rc < 0) {
        spacy_entity_ruler_destroy(r);
        return rc;
    }
    spacy_phrases_seal(r->phrases);
    *out = r;
    return 0;
}

typedef int parse_fn(const struct spacy_rule_source *source, const char *lines, size_t size,
                     struct spacy_entity_ruler **out, struct berth_error *err);

static int load(const struct spacy_rule_source *source, const char *name, parse_fn *parse,
                struct spacy_entity_ruler **out, struct berth_error *err) {
    struct spacy_file file = {0};
    int rc = spacy_package_read(source->package, name, &file, err);
    if (rc == 0) {
        rc = parse(source, (const char *)file.data, file.size, out, err);
        if (rc < 0) {
            bth_error_prefix(err, "%s: ", name);
        }
    }
    spacy_file_close(&file);
    return rc;
}

/* Settings lie in cfg beside the patterns; those of the older single file in the config. */
int spacy_entity_ruler_load(const struct spacy_rule_source *source, struct spacy_entity_ruler **out,
                            struct berth_error *err) {
    char *old = bth_printf("%s.jsonl", source->name);
    char *patterns = bth_printf("%s/patterns.jsonl", source->name);
    char *cfg = bth_printf("%s/cfg", source->name);
    int rc = old && patterns && cfg ? 0 : bth_error_nomem(err);
    if (rc == 0 && spacy_package_has(source->package, old)) {
        rc = load(source, old, spacy_entity_ruler_parse, out, err);
    } else if (rc == 0) {
        struct spacy_rule_source with = *source;
        json_t *settings = NULL;
        rc = spacy_package_read_json(source->package, cfg, &settings, err);
        with.config = settings;
        if (rc == 0) {
            rc = load(&with, patterns, spacy_entity_ruler_parse, out, err);
        }
        json_decref(settings);
    }
    bth_free(old);
    bth_free(patterns);
    bth_free(cfg);
    return rc;
}

int spacy_span_ruler_load(const struct spacy_rule_source *source, struct spacy_entity_ruler **out,
                          struct berth_error *err) {
    char *name = bth_printf("%s/patterns", source->name);
    if (!name) {
        return bth_error_nomem(err);
    }
    int rc = load(source, name, spacy_span_ruler_parse, out, err);
    bth_free(name);
    return rc;
}

void spacy_entity_ruler_destroy(struct spacy_entity_ruler *r) {
    if (r) {
        spacy_token_matcher_destroy(r->matcher);
        spacy_phrases_destroy(r->phrases);
        bth_free(r->entries);
        bth_free(r);
    }
}

/* ---- running --------------------------------------------------------------------------------*/

struct candidate {
    struct spacy_span span;
    uint64_t rank[2]; /* among spans of the same tokens, the least first */
    bool existing;
};

struct candidates {
    struct candidate *items;
    size_t n;
};

/* The longest first, then the first, then by rank. */
static int by_length(const void *a, const void *b) {
    const struct candidate *x = a, *y = b;
    uint32_t nx = x->span.end - x->span.begin, ny = y->span.end - y->span.begin;
    if (nx != ny) {
        return nx > ny ? -1 : 1;
    }
    if (x->span.begin != y->span.begin) {
        return x->span.begin < y->span.begin ? -1 : 1;
    }
    if (x->existing != y->existing) {
        return x->existing ? -1 : 1;
    }
    int r = (x->rank[0] > y->rank[0]) - (x->rank[0] < y->rank[0]);
    return r != 0 ? r : (x->rank[1] > y->rank[1]) - (x->rank[1] < y->rank[1]);
}

size_t spacy_entities(const struct spacy_doc *doc, struct spacy_span *out) {
    size_t n = 0;
    bool open = false;
    for (uint32_t i = 0; i < doc->n; i++) {
        const struct spacy_token *t = &doc->tokens[i];
        if (t->ent_iob == SPACY_IOB_B && t->ent_type != 0) {
            out[n++] = (struct spacy_span){i, i + 1, t->ent_type, t->ent_id, t->ent_kb_id};
            open = true;
        } else if (t->ent_iob == SPACY_IOB_I && open) {
            out[n - 1].end = i + 1;
        } else {
            open = false;
        }
    }
    return n;
}

/* How many tokens before each one no match may have, by policy. `before` is [n + 1] zeroes. */
static void count_blocked(const struct spacy_entity_ruler *r, const struct spacy_doc *doc,
                          const struct spacy_span *entities, size_t n, uint32_t *before) {
    for (size_t i = 0; r->policy == AFTER_ENTITIES && i < n; i++) {
        for (uint32_t k = entities[i].begin; k < entities[i].end; k++) {
            before[k + 1] = 1;
        }
    }
    for (size_t i = 0; i < doc->n; i++) {
        before[i + 1] |= r->policy == EXCEPT_ON_ENTITIES && doc->tokens[i].ent_type != 0;
        before[i + 1] += before[i];
    }
}

/* Keeps those spans, best first, whose tokens are free. */
static void choose(struct candidates *s, const uint32_t *before, bool *taken) {
    size_t kept = 0;
    qsort(s->items, s->n, sizeof(*s->items), by_length);
    for (size_t i = 0; i < s->n; i++) {
        const struct spacy_span *x = &s->items[i].span;
        /* those before are no shorter: where both ends are free, so is all between */
        if (!taken[x->begin] && !taken[x->end - 1] && before[x->begin] == before[x->end]) {
            memset(taken + x->begin, true, x->end - x->begin);
            s->items[kept++] = s->items[i];
        }
    }
    s->n = kept;
}

static void write_span(struct spacy_doc *doc, const struct spacy_span *s) {
    for (uint32_t i = s->begin; i < s->end; i++) {
        struct spacy_token *t = &doc->tokens[i];
        t->ent_iob = i == s->begin ? SPACY_IOB_B : SPACY_IOB_I;
        t->ent_type = s->label;
        t->ent_kb_id = s->kb_id;
        t->ent_id = s->id ? s->id : t->ent_id;
    }
}

/* Entities that no match overlaps, and the matches, become the document's; all else is outside. */
static void write_entities(struct spacy_doc *doc, const struct spacy_span *entities, size_t n,
                           const struct candidates *chosen, const bool *taken) {
    for (size_t i = 0; i < doc->n; i++) {
        doc->tokens[i].ent_iob = SPACY_IOB_O;
        doc->tokens[i].ent_type = 0;
    }
    for (size_t i = 0; i < n; i++) {
        const struct spacy_span *e = &entities[i];
        if (!memchr(taken + e->begin, true, e->end - e->begin)) {
            write_span(doc, e);
        }
    }
    for (size_t i = 0; i < chosen->n; i++) {
        write_span(doc, &chosen->items[i].span);
    }
}

/* What choosing works with: all [n] or more. */
struct scratch {
    struct spacy_span *entities;
    struct candidates spans;
    uint32_t *before;
    bool *taken;
};

static int make_scratch(struct scratch *s, size_t tokens, size_t matches, struct berth_error *err) {
    s->entities = bth_calloc(tokens, sizeof(*s->entities));
    s->spans.items = bth_calloc(matches + tokens, sizeof(*s->spans.items));
    s->before = bth_calloc(tokens + 1, sizeof(*s->before));
    s->taken = bth_calloc(tokens, sizeof(*s->taken));
    return s->entities && s->spans.items && s->before && s->taken ? 0 : bth_error_nomem(err);
}

static void finish_scratch(struct scratch *s) {
    bth_free(s->entities);
    bth_free(s->spans.items);
    bth_free(s->before);
    bth_free(s->taken);
}

static void list_matches(const struct spacy_entity_ruler *r, const struct spacy_matches *matches,
                         struct candidates *out) {
    for (size_t i = 0; i < matches->n; i++) {
        const struct spacy_match *m = &matches->items[i];
        const struct entry *e = &r->entries[m->key];
        out->items[out->n++] = (struct candidate){
            .span = {m->begin, m->end, e->label, e->id, 0},
            .rank = {r->by_label ? e->label : m->key, e->id},
        };
    }
}

static int apply(const struct spacy_entity_ruler *r, struct spacy_doc *doc,
                 const struct spacy_matches *matches, struct berth_error *err) {
    struct scratch s = {0};
    int rc = make_scratch(&s, doc->n, matches->n, err);
    if (rc == 0) {
        size_t n = r->forget ? 0 : spacy_entities(doc, s.entities);
        list_matches(r, matches, &s.spans);
        if (r->policy == AMONG_ENTITIES) {
            for (size_t i = 0; i < n; i++) {
                s.spans.items[s.spans.n++] =
                    (struct candidate){.span = s.entities[i], .existing = true};
            }
            n = 0;
        }
        count_blocked(r, doc, s.entities, n, s.before);
        choose(&s.spans, s.before, s.taken);
        write_entities(doc, s.entities, n, &s.spans, s.taken);
    }
    finish_scratch(&s);
    return rc;
}

int spacy_entity_ruler_run(const struct spacy_entity_ruler *r, struct spacy_doc *doc,
                           struct berth_error *err) {
    struct spacy_matches matches = {0};
    int rc = spacy_token_matcher_run(r->matcher, doc, &matches, err);
    if (rc == 0) {
        rc = spacy_phrases_run(r->phrases, doc, &matches, err);
    }
    if (rc == 0 && doc->n > 0) {
        rc = apply(r, doc, &matches, err);
    }
    spacy_matches_finish(&matches);
    return rc;
}

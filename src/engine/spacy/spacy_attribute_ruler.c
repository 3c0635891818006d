#include "spacy/spacy_attribute_ruler.h"
#include "base/alloc.h"
#include "base/error.h"
#include "format/packed.h"
#include "spacy/spacy_morph.h"
#include "spacy/spacy_token_matcher.h"
#include "spacy/spacy_token_spec.h"
#include <string.h>

struct setting {
    int attribute;
    uint64_t value;
};

struct entry {
    struct setting *settings;
    size_t n_settings;
    int64_t index; /* of the token within the match, from its end if negative */
};

struct spacy_attribute_ruler {
    struct spacy_token_matcher *matcher;
    struct entry *entries; /* a match's key is its entry */
    size_t n_entries;
};

/* ---- loading --------------------------------------------------------------------------------*/

static json_t *to_json(const msgpack_object *o);

static json_t *map_to_json(const msgpack_object_map *m) {
    json_t *out = json_object();
    for (uint32_t i = 0; out && i < m->size; i++) {
        size_t n;
        const char *key = bth_packed_text(&m->ptr[i].key, &n);
        json_t *value = key ? to_json(&m->ptr[i].val) : NULL;
        /* takes the value, also where it fails or is NULL */
        if (json_object_setn_new(out, key ? key : "", key ? n : 0, value) < 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static json_t *list_to_json(const msgpack_object_array *a) {
    json_t *out = json_array();
    for (uint32_t i = 0; out && i < a->size; i++) {
        if (json_array_append_new(out, to_json(&a->ptr[i])) < 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

/* NULL: out of memory, or what JSON cannot hold. Depth is limited by bth_packed_open. */
static json_t *to_json(const msgpack_object *o) {
    size_t n;
    int64_t number;
    const char *text = bth_packed_text(o, &n);
    if (text) {
        return json_stringn(text, n);
    }
    switch (o->type) {
    case MSGPACK_OBJECT_BOOLEAN:
        return json_boolean(o->via.boolean);
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return json_real(o->via.f64);
    case MSGPACK_OBJECT_ARRAY:
        return list_to_json(&o->via.array);
    case MSGPACK_OBJECT_MAP:
        return map_to_json(&o->via.map);
    case MSGPACK_OBJECT_NIL:
        return json_null();
    default:
        return bth_packed_int(o, &number) ? json_integer(number) : NULL;
    }
}

static int add_patterns(struct spacy_attribute_ruler *r, uint32_t entry,
                        const msgpack_object *patterns, struct berth_error *err) {
    if (!patterns || patterns->type != MSGPACK_OBJECT_ARRAY) {
        return bth_error(err, BERTH_EFORMAT, "an entry without a list of patterns");
    }
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < patterns->via.array.size; i++) {
        json_t *pattern = to_json(&patterns->via.array.ptr[i]);
        rc = pattern ? spacy_token_matcher_add(r->matcher, entry, pattern, err)
                     : bth_error(err, BERTH_EFORMAT, "a pattern that JSON cannot hold");
        json_decref(pattern);
    }
    return rc;
}

static bool is_settable(int attribute) {
    switch (attribute) {
    case SPACY_TAG:
    case SPACY_POS:
    case SPACY_MORPH:
    case SPACY_LEMMA:
    case SPACY_NORM:
    case SPACY_DEP:
    case SPACY_ENT_TYPE:
    case SPACY_ENT_ID:
    case SPACY_ENT_KB_ID:
        return true;
    default:
        return false;
    }
}

static int read_setting(struct spacy_strings *strings, const msgpack_object_kv *kv,
                        struct setting *out, struct berth_error *err) {
    size_t name_n, n;
    const char *name = bth_packed_text(&kv->key, &name_n), *text = bth_packed_text(&kv->val, &n);
    char *terminated = name ? bth_strndup(name, name_n) : NULL;
    if (!terminated || !text) {
        bth_free(terminated);
        return name && text ? bth_error_nomem(err)
                            : bth_error(err, BERTH_EFORMAT, "an attribute that is no text");
    }
    int rc = 0;
    out->attribute = spacy_attribute_find(terminated);
    if (!is_settable(out->attribute)) {
        rc = bth_error(err, BERTH_EUNSUPPORTED, "setting attribute \"%.40s\"", terminated);
    } else if (out->attribute == SPACY_MORPH) {
        rc = spacy_morph_add(strings, text, n, &out->value, err);
    } else if (out->attribute == SPACY_POS) {
        out->value = spacy_pos_id(text, n);
        if (out->value == 0 && n > 0) {
            rc = bth_error(err, BERTH_EFORMAT, "part of speech \"%.*s\"",
                           (int)BTH_MIN(n, (size_t)40), text);
        }
    } else if (spacy_strings_add(strings, text, n, &out->value) < 0) {
        rc = bth_error_nomem(err);
    }
    bth_free(terminated);
    return rc;
}

static int read_entry(struct spacy_attribute_ruler *r, struct spacy_strings *strings,
                      const msgpack_object *o, struct berth_error *err) {
    struct entry *e = &r->entries[r->n_entries++];
    const msgpack_object *attrs = bth_packed_get(o, "attrs"), *index = bth_packed_get(o, "index");
    if (!attrs || attrs->type != MSGPACK_OBJECT_MAP ||
        (index && !bth_packed_int(index, &e->index))) {
        return bth_error(err, BERTH_EFORMAT, "an entry without attributes, or its index is none");
    }
    const msgpack_object_map *map = &attrs->via.map;
    e->settings = bth_calloc(BTH_MAX(map->size, 1), sizeof(*e->settings));
    if (!e->settings) {
        return bth_error_nomem(err);
    }
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < map->size; i++) {
        rc = read_setting(strings, &map->ptr[i], &e->settings[e->n_settings++], err);
    }
    if (rc == 0) {
        rc = add_patterns(r, (uint32_t)r->n_entries - 1, bth_packed_get(o, "patterns"), err);
    }
    return rc;
}

static int read_entries(struct spacy_attribute_ruler *r, struct spacy_strings *strings,
                        const msgpack_object *root, struct berth_error *err) {
    if (root->type != MSGPACK_OBJECT_ARRAY) {
        return bth_error(err, BERTH_EFORMAT, "no list of entries");
    }
    const msgpack_object_array *list = &root->via.array;
    r->entries = bth_calloc(BTH_MAX(list->size, 1), sizeof(*r->entries));
    r->matcher = spacy_token_matcher_create(strings);
    if (!r->entries || !r->matcher) {
        return bth_error_nomem(err);
    }
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < list->size; i++) {
        rc = read_entry(r, strings, &list->ptr[i], err);
        if (rc < 0) {
            bth_error_prefix(err, "entry %u: ", (unsigned)i);
        }
    }
    return rc;
}

int spacy_attribute_ruler_parse(const void *bytes, size_t size, struct spacy_strings *strings,
                                struct spacy_attribute_ruler **out, struct berth_error *err) {
    struct bth_packed packed = {0};
    struct spacy_attribute_ruler *r = bth_calloc(1, sizeof(*r));
    int rc = r ? bth_packed_open(&packed, bytes, size, err) : bth_error_nomem(err);
    if (rc == 0) {
        rc = read_entries(r, strings, &packed.root, err);
    }
    bth_packed_close(&packed);
    if (rc < 0) {
        spacy_attribute_ruler_destroy(r);
        return rc;
    }
    *out = r;
    return 0;
}

int spacy_attribute_ruler_load(const struct spacy_rule_source *source,
                               struct spacy_attribute_ruler **out, struct berth_error *err) {
    char *name = bth_printf("%s/patterns", source->name);
    struct spacy_file file = {0};
    if (!name) {
        return bth_error_nomem(err);
    }
    int rc = spacy_package_read(source->package, name, &file, err);
    if (rc == 0) {
        rc = spacy_attribute_ruler_parse(file.data, file.size, spacy_vocab_strings(source->vocab),
                                         out, err);
        if (rc < 0) {
            bth_error_prefix(err, "%s: ", name);
        }
    }
    spacy_file_close(&file);
    bth_free(name);
    return rc;
}

void spacy_attribute_ruler_destroy(struct spacy_attribute_ruler *r) {
    if (!r) {
        return;
    }
    for (size_t i = 0; i < r->n_entries; i++) {
        bth_free(r->entries[i].settings);
    }
    bth_free(r->entries);
    spacy_token_matcher_destroy(r->matcher);
    bth_free(r);
}

/* ---- running --------------------------------------------------------------------------------*/

static void set(struct spacy_token *t, const struct setting *s) {
    switch (s->attribute) {
    case SPACY_TAG:
        t->tag = s->value;
        break;
    case SPACY_POS:
        t->pos = (uint8_t)s->value;
        break;
    case SPACY_MORPH:
        t->morph = s->value;
        break;
    case SPACY_LEMMA:
        t->lemma = s->value;
        break;
    case SPACY_NORM:
        t->norm = s->value;
        break;
    case SPACY_DEP:
        t->dep = s->value;
        break;
    case SPACY_ENT_TYPE:
        t->ent_type = s->value;
        break;
    case SPACY_ENT_ID:
        t->ent_id = s->value;
        break;
    default:
        t->ent_kb_id = s->value;
        break;
    }
}

static int apply(const struct spacy_attribute_ruler *r, const struct spacy_match *m,
                 struct spacy_doc *doc, struct berth_error *err) {
    const struct entry *e = &r->entries[m->key];
    int64_t at = (e->index < 0 ? m->end : m->begin) + e->index;
    if (at < m->begin || at >= m->end) {
        return bth_error(err, BERTH_EFORMAT,
                         "attribute ruler: entry %u sets a token outside of what it matches",
                         (unsigned)m->key);
    }
    for (size_t i = 0; i < e->n_settings; i++) {
        set(&doc->tokens[at], &e->settings[i]);
    }
    return 0;
}

int spacy_attribute_ruler_run(const struct spacy_attribute_ruler *r, struct spacy_doc *doc,
                              struct berth_error *err) {
    struct spacy_matches matches = {0};
    int rc = spacy_token_matcher_run(r->matcher, doc, &matches, err);
    for (size_t i = 0; rc == 0 && i < matches.n; i++) {
        rc = apply(r, &matches.items[i], doc, err);
    }
    spacy_matches_finish(&matches);
    return rc;
}

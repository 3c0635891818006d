#include "spacy/spacy_edit_tree.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include "format/packed.h"
#include "spacy/spacy_token_spec.h"
#include <string.h>

/* A child that is none: what it would get becomes empty. */
#define NO_TREE 4294967295u
/* Nodes of one tree, children counted as often as they occur: words have a dozen. */
#define MAX_NODES 1000
/* Each is a pass over all classes. */
#define MAX_TOP_K 1000

struct node {
    bool match;
    uint32_t prefix_n, suffix_n, prefix, suffix; /* match */
    const char *orig, *subst;                    /* else */
    size_t orig_n, subst_n;
    uint32_t nodes; /* of the whole tree */
};

struct spacy_edit_trees {
    struct node *nodes;
    size_t n_nodes;
    uint32_t *labels; /* [classes] the tree of each */
    size_t classes, top_k;
    int backoff; /* attribute, 0: leave it unset */
    bool overwrite;
};

/* ---- loading --------------------------------------------------------------------------------*/

static bool read_u32(const msgpack_object *o, uint32_t *out) {
    int64_t n;
    if (!bth_packed_int(o, &n) || n < 0 || n > NO_TREE) {
        return false;
    }
    *out = (uint32_t)n;
    return true;
}

static bool read_text(const msgpack_object *o, const struct spacy_strings *strings,
                      const char **out, size_t *out_n) {
    *out = o && o->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? spacy_strings_get(strings, o->via.u64)
                                                           : NULL;
    *out_n = *out ? strlen(*out) : 0;
    return *out != NULL;
}

/* Trees are made from their leaves: a child comes before its parent, so that there is no circle. */
static bool read_child(const struct spacy_edit_trees *t, const msgpack_object *o, size_t at,
                       uint32_t *out, uint32_t *nodes) {
    if (!read_u32(o, out) || (*out != NO_TREE && *out >= at)) {
        return false;
    }
    *nodes += *out == NO_TREE ? 0 : t->nodes[*out].nodes;
    return *nodes <= MAX_NODES;
}

static int read_node(struct spacy_edit_trees *t, const struct spacy_strings *strings,
                     const msgpack_object *o, struct berth_error *err) {
    struct node *n = &t->nodes[t->n_nodes];
    const msgpack_object *prefix_n = bth_packed_get(o, "prefix_len");
    n->nodes = 1;
    n->match = prefix_n != NULL;
    bool good;
    if (n->match) {
        good = read_u32(prefix_n, &n->prefix_n) &&
               read_u32(bth_packed_get(o, "suffix_len"), &n->suffix_n) &&
               read_child(t, bth_packed_get(o, "prefix_tree"), t->n_nodes, &n->prefix, &n->nodes) &&
               read_child(t, bth_packed_get(o, "suffix_tree"), t->n_nodes, &n->suffix, &n->nodes);
    } else {
        good = read_text(bth_packed_get(o, "orig"), strings, &n->orig, &n->orig_n) &&
               read_text(bth_packed_get(o, "subst"), strings, &n->subst, &n->subst_n);
    }
    if (!good) {
        return bth_error(err, BERTH_EFORMAT, "edit tree %zu is damaged, or its text is unknown",
                         t->n_nodes);
    }
    t->n_nodes++;
    return 0;
}

static int read_trees(struct spacy_edit_trees *t, const struct spacy_strings *strings,
                      const msgpack_object *root, struct berth_error *err) {
    const msgpack_object *list = bth_packed_get(root, "trees");
    if (!list || list->type != MSGPACK_OBJECT_ARRAY) {
        return bth_error(err, BERTH_EFORMAT, "no list of edit trees");
    }
    t->nodes = bth_calloc(BTH_MAX(list->via.array.size, 1), sizeof(*t->nodes));
    if (!t->nodes) {
        return bth_error_nomem(err);
    }
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < list->via.array.size; i++) {
        rc = read_node(t, strings, &list->via.array.ptr[i], err);
    }
    return rc;
}

static int read_labels(struct spacy_edit_trees *t, const json_t *labels, struct berth_error *err) {
    if (!json_is_array(labels) || json_array_size(labels) == 0) {
        return bth_error(err, BERTH_EFORMAT, "no labels of edit trees");
    }
    t->labels = bth_calloc(json_array_size(labels), sizeof(*t->labels));
    if (!t->labels) {
        return bth_error_nomem(err);
    }
    size_t i;
    json_t *label;
    json_array_foreach(labels, i, label) {
        json_int_t tree = json_integer_value(label);
        if (!json_is_integer(label) || tree < 0 || (uint64_t)tree >= t->n_nodes) {
            return bth_error(err, BERTH_EFORMAT, "label %zu is no edit tree", i);
        }
        t->labels[i] = (uint32_t)tree;
    }
    t->classes = json_array_size(labels);
    return 0;
}

static int configure(struct spacy_edit_trees *t, const json_t *config, struct berth_error *err) {
    const json_t *top_k = json_object_get(config, "top_k");
    const json_t *backoff = json_object_get(config, "backoff");
    const json_t *overwrite = json_object_get(config, "overwrite");
    t->top_k = 1;
    t->backoff = SPACY_ORTH;
    t->overwrite = json_is_true(overwrite);
    if (top_k) {
        if (!json_is_integer(top_k) || json_integer_value(top_k) < 1) {
            return bth_error(err, BERTH_EFORMAT, "top_k of a lemmatizer");
        }
        if (json_integer_value(top_k) > MAX_TOP_K) {
            return bth_error(err, BERTH_ETOOLARGE, "top_k of a lemmatizer beyond %d", MAX_TOP_K);
        }
        t->top_k = (size_t)json_integer_value(top_k);
    }
    if (backoff) {
        const char *name = json_string_value(backoff);
        t->backoff = name ? spacy_attribute_find(name) : 0;
        if (!json_is_null(backoff) && !(t->backoff >= SPACY_ORTH && t->backoff <= SPACY_SUFFIX)) {
            return bth_error(err, BERTH_EUNSUPPORTED, "backoff \"%.40s\" of a lemmatizer",
                             name ? name : "");
        }
    }
    return 0;
}

int spacy_edit_trees_parse(const void *bytes, size_t size, const struct spacy_strings *strings,
                           const json_t *labels, const json_t *config,
                           struct spacy_edit_trees **out, struct berth_error *err) {
    struct bth_packed packed = {0};
    struct spacy_edit_trees *t = bth_calloc(1, sizeof(*t));
    int rc = t ? configure(t, config, err) : bth_error_nomem(err);
    if (rc == 0) {
        rc = bth_packed_open(&packed, bytes, size, err);
    }
    if (rc == 0) {
        rc = read_trees(t, strings, &packed.root, err);
    }
    if (rc == 0) {
        rc = read_labels(t, labels, err);
    }
    bth_packed_close(&packed);
    if (rc < 0) {
        spacy_edit_trees_destroy(t);
        return rc;
    }
    *out = t;
    return 0;
}

int spacy_edit_trees_load(const struct spacy_rule_source *source, struct spacy_edit_trees **out,
                          struct berth_error *err) {
    struct spacy_file file = {0};
    json_t *cfg = NULL;
    char *trees = bth_printf("%s/trees", source->name);
    char *name = bth_printf("%s/cfg", source->name);
    int rc = trees && name ? 0 : bth_error_nomem(err);
    if (rc == 0) {
        rc = spacy_vocab_load_strings(source->vocab, source->package, err);
    }
    if (rc == 0) {
        rc = spacy_package_read_json(source->package, name, &cfg, err);
    }
    if (rc == 0) {
        rc = spacy_package_read(source->package, trees, &file, err);
    }
    if (rc == 0) {
        rc = spacy_edit_trees_parse(file.data, file.size, spacy_vocab_strings(source->vocab),
                                    json_object_get(cfg, "labels"), source->config, out, err);
        if (rc < 0) {
            bth_error_prefix(err, "%s: ", trees);
        }
    }
    spacy_file_close(&file);
    json_decref(cfg);
    bth_free(trees);
    bth_free(name);
    return rc;
}

void spacy_edit_trees_destroy(struct spacy_edit_trees *t) {
    if (t) {
        bth_free(t->nodes);
        bth_free(t->labels);
        bth_free(t);
    }
}

size_t spacy_edit_trees_classes(const struct spacy_edit_trees *t) {
    return t->classes;
}

/* ---- applying -------------------------------------------------------------------------------*/

/* The bytes of the first, or of the last, `count` code points; false: there are fewer. */
static bool head_bytes(const char *s, size_t n, uint32_t count, size_t *out) {
    size_t at = 0;
    for (; count > 0; count--) {
        if (at == n) {
            return false;
        }
        at = bth_utf8_after(s, n, at);
    }
    *out = at;
    return true;
}

static bool tail_bytes(const char *s, size_t n, uint32_t count, size_t *out) {
    size_t at = n;
    for (; count > 0; count--) {
        if (at == 0) {
            return false;
        }
        at = bth_utf8_before(s, at);
    }
    *out = n - at;
    return true;
}

/* Depth is that of a tree of at most MAX_NODES. */
static bool apply(const struct spacy_edit_trees *t, uint32_t tree, const char *s, size_t n,
                  struct bth_str *out) {
    const struct node *node = &t->nodes[tree];
    if (!node->match) {
        if (n != node->orig_n || memcmp(s, node->orig, n) != 0) {
            return false;
        }
        bth_str_append(out, node->subst, node->subst_n);
        return true;
    }
    size_t head, tail;
    if (!head_bytes(s, n, node->prefix_n, &head) || !tail_bytes(s, n, node->suffix_n, &tail) ||
        head + tail > n) {
        return false;
    }
    if (node->prefix != NO_TREE && !apply(t, node->prefix, s, head, out)) {
        return false;
    }
    bth_str_append(out, s + head, n - head - tail);
    return node->suffix == NO_TREE || apply(t, node->suffix, s + n - tail, tail, out);
}

int spacy_edit_trees_apply(const struct spacy_edit_trees *t, size_t class, const char *text,
                           size_t n, struct bth_str *out, struct berth_error *err) {
    bth_str_clear(out);
    bool applies = apply(t, t->labels[class], text, n, out);
    return out->failed ? bth_error_nomem(err) : applies;
}

struct choice {
    float score;
    size_t class;
};

/* Equal scores go by class. */
static bool is_better(struct choice a, struct choice b) {
    return a.score != b.score ? a.score > b.score : a.class < b.class;
}

/* The best class that is not as good as `before` (NULL: of all). */
static bool next_best(const float *scores, size_t n, const struct choice *before,
                      struct choice *out) {
    bool found = false;
    for (size_t i = 0; i < n; i++) {
        struct choice c = {scores[i], i};
        if ((!before || is_better(*before, c)) && (!found || is_better(c, *out))) {
            *out = c;
            found = true;
        }
    }
    return found;
}

static int set_lemma(struct spacy_token *token, struct spacy_strings *strings, const char *text,
                     size_t n, struct berth_error *err) {
    return spacy_strings_add(strings, text, n, &token->lemma) < 0 ? bth_error_nomem(err) : 0;
}

static int run_token(const struct spacy_edit_trees *t, struct spacy_doc *doc, size_t i,
                     const float *scores, struct bth_str *lemma, struct berth_error *err) {
    struct spacy_token *token = &doc->tokens[i];
    struct choice last, choice;
    size_t tries = BTH_MIN(t->top_k, t->classes);
    for (size_t k = 0; k < tries; k++) {
        if (!next_best(scores, t->classes, k > 0 ? &last : NULL, &choice)) {
            break;
        }
        int rc = spacy_edit_trees_apply(t, choice.class, token->lex->text, token->lex->bytes, lemma,
                                        err);
        if (rc != 0) {
            return rc < 0 ? rc
                          : set_lemma(token, doc->strings, bth_str_text(lemma), lemma->size, err);
        }
        last = choice;
    }
    if (!t->backoff) {
        return 0;
    }
    size_t n;
    const char *text = spacy_token_attribute_text(doc, i, t->backoff, &n);
    return set_lemma(token, doc->strings, text, n, err);
}

int spacy_edit_trees_run(const struct spacy_edit_trees *t, struct spacy_doc *doc,
                         const float *scores, struct berth_error *err) {
    struct bth_str lemma = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < doc->n; i++) {
        if (doc->tokens[i].lemma == 0 || t->overwrite) {
            rc = run_token(t, doc, i, scores + i * t->classes, &lemma, err);
        }
    }
    bth_str_finish(&lemma);
    return rc;
}

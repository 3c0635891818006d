#include "spacy/spacy_tagger.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include "compute/ops.h"
#include "compute/tensor.h"
#include "spacy/spacy_config.h"
#include "spacy/spacy_morph.h"
#include <string.h>

/* What a class means. */
struct label {
    uint64_t id;       /* a tag or a morph */
    const char *feats; /* of the morphologizer, in the model's strings */
    uint8_t pos;
    int8_t sent_start;
};

struct spacy_tagger {
    enum spacy_tagger_kind kind;
    struct spacy_scratch *scratch;
    struct spacy_linear output;
    struct label *labels; /* [output.n] */
    bool overwrite, extend;
    struct spacy_edit_trees *trees;
    struct berth_program *program;
};

/* ---- loading ---------------------------------------------------------------------------------*/

static int wrong_labels(const struct spacy_loader *l, size_t n, int64_t classes) {
    return bth_error(l->err, BERTH_EFORMAT, "%s/cfg has %zu labels, the model %lld classes",
                     l->name, n, (long long)classes);
}

static int load_tags(struct spacy_tagger *t, const struct spacy_loader *l,
                     struct spacy_strings *strings, const json_t *cfg) {
    const json_t *labels = json_object_get(cfg, "labels");
    int rc = 0;
    if ((int64_t)json_array_size(labels) != t->output.n) {
        return wrong_labels(l, json_array_size(labels), t->output.n);
    }
    for (size_t i = 0; rc == 0 && i < json_array_size(labels); i++) {
        const char *text = json_string_value(json_array_get(labels, i));
        rc = text ? spacy_strings_add(strings, text, strlen(text), &t->labels[i].id)
                  : bth_error(l->err, BERTH_EFORMAT, "%s/cfg: a label is no text", l->name);
    }
    return rc == BERTH_ENOMEM ? bth_error_nomem(l->err) : rc;
}

static int load_morphs(struct spacy_tagger *t, const struct spacy_loader *l,
                       struct spacy_strings *strings, json_t *cfg) {
    json_t *morphs = json_object_get(cfg, "labels_morph"), *morph;
    const json_t *parts = json_object_get(cfg, "labels_pos");
    const char *key;
    size_t i = 0;
    int rc = 0;
    if ((int64_t)json_object_size(morphs) != t->output.n) {
        return wrong_labels(l, json_object_size(morphs), t->output.n);
    }
    json_object_foreach(morphs, key, morph) { /* in the order of the file: class order */
        struct label *label = &t->labels[i++];
        const char *feats = json_string_value(morph);
        const json_int_t pos = json_integer_value(json_object_get(parts, key));
        if (!feats || pos < 0 || pos > 103) {
            return bth_error(l->err, BERTH_EFORMAT, "%s/cfg: label %.60s is not as expected",
                             l->name, key);
        }
        label->pos = (uint8_t)pos;
        rc = spacy_morph_add(strings, feats, strlen(feats), &label->id, l->err);
        if (rc < 0) {
            return rc;
        }
        label->feats = spacy_strings_get(strings, label->id);
    }
    return 0;
}

static int load_labels(struct spacy_tagger *t, const struct spacy_loader *l,
                       const struct spacy_rule_source *source, json_t *cfg) {
    struct spacy_strings *strings = spacy_vocab_strings(source->vocab);
    t->labels = bth_calloc((size_t)t->output.n, sizeof(*t->labels));
    if (!t->labels) {
        return bth_error_nomem(l->err);
    }
    switch (t->kind) {
    case SPACY_TAGGER:
        return load_tags(t, l, strings, cfg);
    case SPACY_MORPHOLOGIZER:
        return load_morphs(t, l, strings, cfg);
    case SPACY_SENTER: /* classes I and S */
        if (t->output.n != 2) {
            return wrong_labels(l, 2, t->output.n);
        }
        t->labels[0].sent_start = -1;
        t->labels[1].sent_start = 1;
        return 0;
    case SPACY_EDIT_LEMMATIZER:
        break;
    }
    int rc = spacy_edit_trees_load(source, &t->trees, l->err);
    if (rc == 0 && (int64_t)spacy_edit_trees_classes(t->trees) != t->output.n) {
        rc = wrong_labels(l, spacy_edit_trees_classes(t->trees), t->output.n);
    }
    return rc;
}

/* A setting of the component's cfg, which is newer than the pipeline's config. */
static bool setting(const json_t *cfg, const json_t *config, const char *name) {
    const json_t *own = json_object_get(cfg, name);
    return json_is_true(own ? own : json_object_get(config, name));
}

static int load_parts(struct spacy_tagger *t, const struct spacy_loader *l,
                      const struct spacy_rule_source *source) {
    size_t at = 0;
    const struct bth_thinc_node *softmax = spacy_layer_next(l, "softmax", &at);
    char name[256];
    if (!softmax) {
        return bth_error(l->err, BERTH_EFORMAT, "%s/model has no softmax layer", l->name);
    }
    int rc = spacy_linear_load(l, softmax, &t->output);
    if (rc < 0) {
        return rc;
    }
    json_t *cfg = NULL;
    snprintf(name, sizeof(name), "%s/cfg", l->name);
    rc = spacy_package_read_json(source->package, name, &cfg, l->err);
    if (rc < 0) {
        return rc;
    }
    t->overwrite = setting(cfg, source->config, "overwrite");
    t->extend = setting(cfg, source->config, "extend");
    rc = load_labels(t, l, source, cfg);
    json_decref(cfg);
    return rc;
}

int spacy_tagger_load(const struct spacy_loader *l, enum spacy_tagger_kind kind,
                      const struct spacy_rule_source *source, struct spacy_tagger **out) {
    struct spacy_tagger *t = bth_calloc(1, sizeof(*t));
    if (!t) {
        return bth_error_nomem(l->err);
    }
    t->kind = kind;
    int rc = load_parts(t, l, source);
    if (rc < 0) {
        spacy_tagger_destroy(t);
        return rc;
    }
    *out = t;
    return 0;
}

void spacy_tagger_destroy(struct spacy_tagger *t) {
    if (t) {
        if (t->program) {
            bth_program_destroy(t->scratch->device, t->program);
        }
        spacy_linear_finish(&t->output);
        spacy_edit_trees_destroy(t->trees);
        bth_free(t->labels);
        bth_free(t);
    }
}

int64_t spacy_tagger_width(const struct spacy_tagger *t) {
    return t->output.k;
}

void spacy_tagger_need(const struct spacy_tagger *t, struct spacy_scratch *s) {
    spacy_scratch_need(&s->score_floats, SPACY_ROWS, t->output.n);
    s->width = t->output.k > s->width ? t->output.k : s->width;
}

int spacy_tagger_build(struct spacy_tagger *t, struct spacy_scratch *s, struct berth_error *err) {
    const size_t guard = (size_t)(SPACY_GUARD * t->output.k);
    struct bth_builder b;
    t->scratch = s;
    bth_builder_init(&b, s->device);
    bth_op_linear(&b, 0,
                  &(struct berth_op_linear){
                      .x = bth_tensor(s->x, BERTH_F32, guard, SPACY_ROWS, t->output.k),
                      .bias = t->output.bias,
                      .w = t->output.w,
                      .y = bth_tensor(s->scores, BERTH_F32, 0, SPACY_ROWS, t->output.n)});
    return bth_builder_build(&b, s->workspace, &t->program, err);
}

/* ---- running ---------------------------------------------------------------------------------*/

int spacy_tagger_run(const struct spacy_tagger *t, uint32_t rows, struct berth_error *err) {
    const struct spacy_scratch *s = t->scratch;
    const uint32_t live[BERTH_MAX_LIVE] = {rows};
    int rc = s->device->ops->program_run(t->program, live, err);
    if (rc < 0) {
        return rc;
    }
    rc = s->device->ops->read(s->scores, 0, s->host_scores,
                              rows * (size_t)t->output.n * sizeof(*s->host_scores));
    return rc < 0 ? bth_error(err, rc, "%s: reading a turn's results failed", s->device->name) : 0;
}

static int64_t best_of(const float *scores, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++) {
        best = scores[i] > scores[best] ? i : best;
    }
    return best;
}

/* All features of `over`, and those of `under` that it does not have. */
static int join_morphs(struct spacy_doc *doc, const char *over, const char *under, uint64_t *out,
                       struct berth_error *err) {
    struct bth_str all = {0};
    bth_str_puts(&all, strcmp(over, "_") == 0 ? "" : over);
    while (*under) {
        const size_t n = strcspn(under, "|"), name = strcspn(under, "=");
        char *key = bth_strndup(under, name < n ? name : n);
        if (!key) {
            all.failed = true;
        } else if (name < n && !spacy_morph_find(over, key, NULL, NULL)) {
            bth_str_puts(&all, all.size ? "|" : "");
            bth_str_append(&all, under, n);
        }
        bth_free(key);
        under += n + (under[n] == '|');
    }
    int rc = all.failed ? bth_error_nomem(err)
                        : spacy_morph_add(doc->strings, bth_str_text(&all), all.size, out, err);
    bth_str_finish(&all);
    return rc;
}

static int set_morph(const struct spacy_tagger *t, struct spacy_doc *doc, struct spacy_token *token,
                     const struct label *label, struct berth_error *err) {
    if (token->pos == 0 || t->overwrite) {
        token->pos = label->pos;
    }
    if (token->morph == 0 || (t->overwrite && !t->extend)) {
        token->morph = label->id;
    } else if (t->extend) {
        const char *before = spacy_strings_get(doc->strings, token->morph);
        before = before ? before : "";
        return t->overwrite ? join_morphs(doc, label->feats, before, &token->morph, err)
                            : join_morphs(doc, before, label->feats, &token->morph, err);
    }
    return 0;
}

static int set_class(const struct spacy_tagger *t, struct spacy_doc *doc, struct spacy_token *token,
                     const struct label *label, struct berth_error *err) {
    switch (t->kind) {
    case SPACY_TAGGER:
        token->tag = token->tag == 0 || t->overwrite ? label->id : token->tag;
        return 0;
    case SPACY_SENTER:
        if (token->sent_start == 0 || t->overwrite) {
            token->sent_start = label->sent_start;
        }
        return 0;
    default:
        return set_morph(t, doc, token, label, err);
    }
}

/* Lemmas of some tokens: the document is made to look as if it had no others. */
static int set_lemmas(const struct spacy_tagger *t, struct spacy_doc *doc, uint32_t begin,
                      uint32_t end, const float *scores, struct berth_error *err) {
    struct spacy_token *tokens = doc->tokens;
    const size_t n = doc->n;
    doc->tokens = tokens + begin;
    doc->n = end - begin;
    int rc = spacy_edit_trees_run(t->trees, doc, scores, err);
    doc->tokens = tokens;
    doc->n = n;
    return rc;
}

int spacy_tagger_apply(const struct spacy_tagger *t, struct spacy_doc *doc, uint32_t begin,
                       uint32_t end, uint32_t row, struct berth_error *err) {
    const float *scores = t->scratch->host_scores + row * (size_t)t->output.n;
    if (t->kind == SPACY_EDIT_LEMMATIZER) {
        return set_lemmas(t, doc, begin, end, scores, err);
    }
    int rc = 0;
    for (uint32_t i = begin; rc == 0 && i < end; i++, scores += t->output.n) {
        const int64_t best = best_of(scores, t->output.n);
        rc = set_class(t, doc, &doc->tokens[i], &t->labels[best], err);
    }
    return rc;
}

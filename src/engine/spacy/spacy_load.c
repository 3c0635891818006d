/*
 * A pipeline from its package: the vocabulary, the tokenizer, then every component in the order of
 * the config. What cannot be run is refused by name; whoever does not need it excludes it.
 */
#include "spacy/spacy_model.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/reservation.h"
#include "spacy/spacy.h"
#include "spacy/spacy_config.h"
#include "spacy/spacy_ner.h"
#include "spacy/spacy_options.h"
#include "spacy/spacy_parser.h"
#include <stdio.h>
#include <string.h>

/* A load under way. */
struct loading {
    struct spacy_model *m;
    struct spacy_package *package;
    json_t *config;
    const char *exclude;
    const struct berth_load *load;
    struct berth_error *err;
};

/* ---- components ------------------------------------------------------------------------------*/

static const struct factory {
    const char *name;
    enum spacy_pipe_kind kind;
    int detail; /* enum spacy_tagger_kind; of entity rulers 1 for spans */
} factories[] = {
    {"tok2vec", SPACY_PIPE_TOK2VEC, 0},
    {"tagger", SPACY_PIPE_TAGGER, SPACY_TAGGER},
    {"morphologizer", SPACY_PIPE_TAGGER, SPACY_MORPHOLOGIZER},
    {"senter", SPACY_PIPE_TAGGER, SPACY_SENTER},
    {"trainable_lemmatizer", SPACY_PIPE_TAGGER, SPACY_EDIT_LEMMATIZER},
    {"parser", SPACY_PIPE_PARSER, 0},
    {"beam_parser", SPACY_PIPE_PARSER, 0},
    {"ner", SPACY_PIPE_NER, 0},
    {"beam_ner", SPACY_PIPE_NER, 0},
    {"attribute_ruler", SPACY_PIPE_ATTRIBUTE_RULER, 0},
    {"lemmatizer", SPACY_PIPE_LEMMATIZER, 0},
    {"entity_ruler", SPACY_PIPE_ENTITY_RULER, 0},
    {"span_ruler", SPACY_PIPE_ENTITY_RULER, 1},
    {"sentencizer", SPACY_PIPE_SENTENCIZER, 0},
};

static const struct factory *factory_of(const char *name) {
    static const struct factory retokenizer = {"", SPACY_PIPE_RETOKENIZER, 0};
    for (size_t i = 0; name && i < BTH_COUNT(factories); i++) {
        if (strcmp(factories[i].name, name) == 0) {
            return &factories[i];
        }
    }
    return name && spacy_retokenizer_is(name) ? &retokenizer : NULL;
}

int64_t spacy_pipe_width(const struct spacy_pipe *p) {
    return p->tagger       ? spacy_tagger_width(p->tagger)
           : p->transition ? spacy_transition_width(p->transition)
                           : 0;
}

/* The network inside a component's model file, if it has one. */
static int load_net(struct loading *w, const struct spacy_loader *l, const json_t *config,
                    struct spacy_pipe *p) {
    if (!spacy_tok2vec_in(l->file)) {
        return 0;
    }
    const char *at = p->kind == SPACY_PIPE_TOK2VEC ? "model.embed.@architectures"
                                                   : "model.tok2vec.embed.@architectures";
    const char *embed = spacy_config_text(config, at, "");
    const bool first_form = strcmp(embed, "spacy.MultiHashEmbed.v1") == 0 ||
                            strcmp(embed, "spacy.HashEmbedCNN.v1") == 0;
    return spacy_tok2vec_load(l, spacy_vocab_vectors(w->m->vocab), first_form, &p->net);
}

static int load_moves(struct loading *w, const struct spacy_loader *l, const json_t *config,
                      struct spacy_pipe *p) {
    const bool entities = p->kind == SPACY_PIPE_NER;
    int rc = 0;
    if (spacy_config_int(config, "beam_width", 1) > 1) {
        return bth_error(l->err, BERTH_EUNSUPPORTED, "%s searches with a beam", l->name);
    }
    rc = spacy_moves_load(w->package, l->name, entities, spacy_vocab_strings(w->m->vocab),
                          &p->moves, l->err);
    if (rc == 0) {
        rc = spacy_transition_load(l, &p->moves, &p->transition);
    }
    if (rc == 0) {
        const int n = spacy_transition_features(p->transition);
        if (!(entities ? spacy_ner_features(n) : spacy_parser_features(n))) {
            rc = bth_error(l->err, BERTH_EUNSUPPORTED, "%s looks at %d tokens of a state", l->name,
                           n);
        }
    }
    return rc;
}

static int load_network(struct loading *w, const struct spacy_rule_source *source,
                        const struct factory *factory, struct spacy_pipe *p) {
    char path[256];
    struct spacy_file file = {0};
    struct bth_thinc *thinc = NULL;
    snprintf(path, sizeof(path), "%s/model", p->name);
    int rc = spacy_package_read(w->package, path, &file, w->err);
    if (rc == 0) {
        rc = bth_thinc_parse(file.data, file.size, &thinc, w->err);
        if (rc < 0) {
            bth_error_prefix(w->err, "%s: ", path);
        }
    }
    const struct spacy_loader l = {.device = w->load->device,
                                   .weights = w->load->weights,
                                   .file = thinc,
                                   .name = p->name,
                                   .err = w->err};
    if (rc == 0) {
        rc = spacy_layers_check(&l);
    }
    if (rc == 0) {
        rc = load_net(w, &l, source->config, p);
    }
    if (rc == 0 && p->kind == SPACY_PIPE_TAGGER) {
        rc = spacy_tagger_load(&l, (enum spacy_tagger_kind)factory->detail, source, &p->tagger);
    } else if (rc == 0 && p->kind != SPACY_PIPE_TOK2VEC) {
        rc = load_moves(w, &l, source->config, p);
    } else if (rc == 0 && !p->net) {
        rc = bth_error(w->err, BERTH_EUNSUPPORTED, "%s holds no network that is known", path);
    }
    bth_thinc_close(thinc);
    spacy_file_close(&file);
    return rc;
}

static int load_rules(const struct spacy_rule_source *source, const struct factory *factory,
                      struct spacy_pipe *p, struct berth_error *err) {
    switch (p->kind) {
    case SPACY_PIPE_ATTRIBUTE_RULER:
        return spacy_attribute_ruler_load(source, &p->attribute_ruler, err);
    case SPACY_PIPE_LEMMATIZER:
        return spacy_lemmatizer_load(source, &p->lemmatizer, err);
    case SPACY_PIPE_ENTITY_RULER:
        return factory->detail ? spacy_span_ruler_load(source, &p->entity_ruler, err)
                               : spacy_entity_ruler_load(source, &p->entity_ruler, err);
    case SPACY_PIPE_RETOKENIZER:
        return spacy_retokenizer_load(source, &p->retokenizer, err);
    default:
        return spacy_sentencizer_load(source, &p->sentencizer, err);
    }
}

static bool named(const char *list, const char *name) {
    size_t n;
    for (const char *at = list ? spacy_names_next(&list, &n) : NULL; at;
         at = spacy_names_next(&list, &n)) {
        if (strlen(name) == n && memcmp(at, name, n) == 0) {
            return true;
        }
    }
    return false;
}

static bool listed(const json_t *names, const char *name) {
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *text = json_string_value(json_array_get(names, i));
        if (text && strcmp(text, name) == 0) {
            return true;
        }
    }
    return false;
}

static int load_pipe(struct loading *w, const char *name) {
    struct spacy_model *m = w->m;
    const json_t *config = json_object_get(json_object_get(w->config, "components"), name);
    const char *given = json_string_value(json_object_get(config, "factory"));
    const struct factory *factory = factory_of(given);
    if (m->n_pipes == SPACY_MAX_PIPES) {
        return bth_error(w->err, BERTH_ETOOLARGE, "more than %d components", SPACY_MAX_PIPES);
    }
    if (!factory) {
        return bth_error(w->err, BERTH_EUNSUPPORTED,
                         "component %.60s (%.60s) is not supported; load with exclude=%.60s to do "
                         "without it",
                         name, given ? given : "no factory", name);
    }
    struct spacy_pipe *p = &m->pipes[m->n_pipes++];
    p->name = bth_strdup(name);
    p->kind = factory->kind;
    p->enabled = !listed(spacy_config_at(w->config, "nlp.disabled"), name);
    if (!p->name) {
        return bth_error_nomem(w->err);
    }
    const struct spacy_rule_source source = {.package = w->package,
                                             .name = p->name,
                                             .config = config,
                                             .vocab = m->vocab,
                                             .tokenizer = m->tokenizer};
    return p->kind < SPACY_PIPE_ATTRIBUTE_RULER ? load_network(w, &source, factory, p)
                                                : load_rules(&source, factory, p, w->err);
}

/* Every name in the pipeline's order; one may not be there twice. */
static int load_pipes(struct loading *w) {
    const json_t *pipeline = spacy_config_at(w->config, "nlp.pipeline");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(pipeline); i++) {
        const char *name = json_string_value(json_array_get(pipeline, i));
        if (!name || strlen(name) > 100) {
            return bth_error(w->err, BERTH_EFORMAT, "config.cfg: nlp.pipeline is no list of names");
        }
        if (!named(w->exclude, name)) {
            rc = load_pipe(w, name);
        }
    }
    return rc;
}

/* ---- the whole -------------------------------------------------------------------------------*/

/* Word vectors lie on the heap, and count as weights all the same. */
static int draw_vectors(struct loading *w) {
    struct spacy_model *m = w->m;
    const struct spacy_vectors *v = spacy_vocab_vectors(m->vocab);
    const size_t bytes = v ? spacy_vectors_rows(v) * spacy_vectors_width(v) * sizeof(float) : 0;
    int rc = bytes ? bth_reservation_draw(w->load->weights, bytes, w->err) : 0;
    if (rc == 0) {
        m->weights = w->load->weights;
        m->vector_bytes = bytes;
    }
    return rc;
}

static int load_words(struct loading *w) {
    struct spacy_file file = {0};
    const char *kind = spacy_config_text(w->config, "nlp.tokenizer.@tokenizers", "");
    if (strcmp(kind, "spacy.Tokenizer.v1") != 0) {
        return bth_error(w->err, BERTH_EUNSUPPORTED, "tokenizer %.60s is not supported", kind);
    }
    int rc = spacy_vocab_load(w->package, spacy_config_text(w->config, "nlp.lang", "xx"),
                              &w->m->vocab, w->err);
    if (rc == 0) {
        rc = draw_vectors(w);
    }
    if (rc == 0) {
        rc = spacy_package_read(w->package, "tokenizer", &file, w->err);
    }
    if (rc == 0) {
        rc = spacy_tokenizer_load(w->m->vocab, file.data, file.size, &w->m->tokenizer, w->err);
    }
    spacy_file_close(&file);
    return rc;
}

/* Readers of the tensor must find what they read. */
static int check_widths(const struct spacy_model *m, struct berth_error *err) {
    int64_t width = 0;
    for (int i = 0; i < m->n_pipes; i++) {
        const struct spacy_pipe *p = &m->pipes[i];
        const int64_t reads = spacy_pipe_width(p);
        const int64_t finds = p->net ? spacy_tok2vec_width(p->net) : width;
        if (reads && finds && reads != finds) {
            return bth_error(err, BERTH_EFORMAT, "%s reads vectors of %lld columns, not %lld",
                             p->name, (long long)reads, (long long)finds);
        }
        width = p->kind == SPACY_PIPE_TOK2VEC ? finds : width;
    }
    return 0;
}

static int build_pipe(struct spacy_pipe *p, struct spacy_scratch *s, struct berth_error *err) {
    int rc = p->net ? spacy_tok2vec_build(p->net, s, err) : 0;
    if (rc == 0 && p->tagger) {
        rc = spacy_tagger_build(p->tagger, s, err);
    }
    if (rc == 0 && p->transition) {
        rc = spacy_transition_build(p->transition, s, err);
    }
    return rc;
}

/* Columns of the vectors that a session keeps of a token: those of all shared networks, once more
 * where tokens are split, and those of one walk. */
static int64_t kept_columns(const struct spacy_model *m) {
    int64_t kept = 0, shared = 0, own = 0;
    for (int i = 0; i < m->n_pipes; i++) {
        const struct spacy_pipe *p = &m->pipes[i];
        if (p->kind == SPACY_PIPE_TOK2VEC) {
            shared = spacy_tok2vec_width(p->net);
            kept += shared;
        } else if (p->kind == SPACY_PIPE_RETOKENIZER) {
            kept += shared;
        } else if (p->net && p->transition) {
            own = BTH_MAX(own, spacy_tok2vec_width(p->net));
        }
    }
    return kept + own;
}

static void add_needs(struct spacy_model *m) {
    for (int i = 0; i < m->n_pipes; i++) {
        const struct spacy_pipe *p = &m->pipes[i];
        if (p->net) {
            spacy_tok2vec_need(p->net, &m->scratch);
        }
        if (p->tagger) {
            spacy_tagger_need(p->tagger, &m->scratch);
        }
        if (p->transition) {
            spacy_transition_need(p->transition, &m->scratch);
        }
    }
    const size_t parse = spacy_parse_bytes(1), ner = spacy_ner_bytes(1);
    m->token_bytes =
        (size_t)kept_columns(m) * sizeof(float) + (parse > ner ? parse : ner) + sizeof(int32_t);
}

static int build(struct loading *w) {
    struct spacy_model *m = w->m;
    int rc = check_widths(m, w->err);
    if (rc < 0) {
        return rc;
    }
    m->scratch.device = w->load->device;
    m->scratch.workspace = w->load->workspace;
    add_needs(m);
    rc = spacy_scratch_create(&m->scratch, w->err);
    for (int i = 0; rc == 0 && i < m->n_pipes; i++) {
        rc = build_pipe(&m->pipes[i], &m->scratch, w->err);
    }
    return rc;
}

static int load_all(struct loading *w) {
    int rc = spacy_package_open(w->load->path, &w->package, w->err);
    if (rc == 0) {
        rc = spacy_package_config(w->package, &w->config, w->err);
    }
    if (rc == 0) {
        rc = load_words(w);
    }
    if (rc == 0) {
        rc = load_pipes(w);
    }
    return rc < 0 ? rc : build(w);
}

static void destroy_pipe(struct spacy_pipe *p) {
    spacy_tok2vec_destroy(p->net);
    spacy_tagger_destroy(p->tagger);
    spacy_transition_destroy(p->transition);
    spacy_moves_finish(&p->moves);
    spacy_attribute_ruler_destroy(p->attribute_ruler);
    spacy_lemmatizer_destroy(p->lemmatizer);
    spacy_entity_ruler_destroy(p->entity_ruler);
    spacy_retokenizer_destroy(p->retokenizer);
    spacy_sentencizer_destroy(p->sentencizer);
    bth_free(p->name);
}

void spacy_unload(struct berth_model *model) {
    struct spacy_model *m = (struct spacy_model *)model;
    for (int i = 0; i < m->n_pipes; i++) {
        destroy_pipe(&m->pipes[i]);
    }
    spacy_scratch_destroy(&m->scratch);
    spacy_tokenizer_destroy(m->tokenizer);
    spacy_vocab_destroy(m->vocab);
    if (m->vector_bytes) {
        bth_reservation_return(m->weights, m->vector_bytes);
    }
    bth_free(m);
}

int spacy_load(const struct berth_load *load, struct berth_model **out, struct berth_error *err) {
    struct berth_error own = {0}; /* loaders look at its code, so there must be one */
    struct loading w = {.load = load, .err = &own};
    int rc = 0;
    for (size_t i = 0; i < load->n_options; i++) {
        if (strcmp(load->options[i].name, "exclude") != 0) {
            return bth_error(err, BERTH_EINVAL, "spacy models have no option '%.60s'",
                             load->options[i].name);
        }
        w.exclude = load->options[i].value;
    }
    w.m = bth_calloc(1, sizeof(*w.m));
    if (!w.m) {
        return bth_error_nomem(err);
    }
    w.m->base = (struct berth_model){.ops = &bth_spacy_engine, .device = load->device};
    rc = load_all(&w);
    json_decref(w.config);
    spacy_package_close(w.package);
    if (rc < 0) {
        spacy_unload(&w.m->base);
        if (!strstr(own.message, load->path)) {
            bth_error_prefix(&own, "%s: ", load->path);
        }
        bth_error_copy(err, &own);
        return rc;
    }
    *out = &w.m->base;
    return 0;
}

#include "server/translate.h"

#include "base/alloc.h"
#include "base/error.h"
#include "server/exchange.h"
#include <stdio.h>
#include <string.h>

/* ---- life ------------------------------------------------------------------------------------*/

static void destroy(void *arg) {
    struct bth_translate *t = arg;
    for (size_t i = 0; t->between && i < t->n; i++) {
        bth_free(t->between[i]);
    }
    bth_free(t->between);
    bth_pairs_finish(&t->pairs);
    bth_str_finish(&t->texts);
    bth_str_finish(&t->more);
    free(t->glossary);
    json_decref(t->values);
    bth_free(t);
}

static int add_pairs(struct bth_pairs *p, const struct berth_model_stats *all, size_t n,
                     struct berth_error *err) {
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = bth_pairs_add(p, all[i].name, all[i].name, err);
        rc = rc < 0 ? rc : bth_pairs_add(p, all[i].alias, all[i].name, err);
    }
    return rc;
}

static int find_pairs(struct bth_manager *m, struct bth_pairs *p, struct berth_error *err) {
    size_t n = bth_manager_models(m, NULL, sizeof(struct berth_model_stats), 0);
    struct berth_model_stats *all = bth_calloc(n, sizeof(*all));
    if (!all) {
        return bth_error_nomem(err);
    }
    int rc = add_pairs(p, all, BTH_MIN(bth_manager_models(m, all, sizeof(*all), n), n), err);
    bth_free(all);
    return rc;
}

int bth_translate_open(struct bth_exchange *x, struct bth_translate **out,
                       struct berth_error *err) {
    struct bth_translate *t = bth_calloc(1, sizeof(*t));
    if (!t) {
        return bth_error_nomem(err);
    }
    x->work.held = t;
    x->work.release = destroy;
    int rc = find_pairs(x->server->berth->manager, &t->pairs, err);
    if (rc == 0) {
        *out = t;
    }
    return rc;
}

/* ---- texts -----------------------------------------------------------------------------------*/

const char *bth_translate_text(const struct bth_translate *t, size_t i, size_t *out_n) {
    const json_t *v = json_is_array(t->q) ? json_array_get(t->q, i) : t->q;
    *out_n = json_string_length(v);
    return json_string_value(v);
}

bool bth_translate_detect(struct bth_translate *t) {
    enum { ENOUGH = 2 * BTH_LANGUAGE_HTML }; /* what this cuts within a character does not count */
    struct bth_language_guess guesses[BTH_MAX_GUESSES];
    struct bth_str all = {0};
    for (size_t i = 0; i < t->n && all.size < ENOUGH; i++) {
        size_t n;
        const char *text = bth_translate_text(t, i, &n);
        bth_str_append(&all, text, BTH_MIN(n, ENOUGH - all.size));
        bth_str_putc(&all, '\n');
    }
    int n = bth_language_detect(bth_str_text(&all), all.size, t->html, guesses, NULL);
    bth_str_finish(&all);
    const struct bth_language_guess *best = n > 0 ? guesses : NULL;
    for (int g = n - 1; g >= 0; g--) {
        for (size_t i = 0; i < t->pairs.n; i++) {
            if (bth_same_language(t->pairs.all[i].source, guesses[g].code, true)) {
                best = &guesses[g];
            }
        }
    }
    t->detected = true;
    if (best) {
        snprintf(t->source, sizeof(t->source), "%s", best->code);
        t->confidence = best->confidence;
    }
    return best != NULL;
}

/* ---- legs ------------------------------------------------------------------------------------*/

static bool is_last(const struct bth_translate *t) {
    return t->leg + 1 == t->route.n;
}

static int take(struct bth_exchange *x, size_t i, const struct berth_item *item,
                struct berth_error *err) {
    struct bth_translate *t = x->work.held;
    const char *text = item->translation ? item->translation->text : item->text;
    text = text ? text : "";
    if (is_last(t)) {
        int rc = t->result(t, i, item, text, err);
        return rc < 0 || (!t->texts.failed && !t->more.failed) ? rc : bth_error_nomem(err);
    }
    t->between[i] = bth_strdup(text);
    return t->between[i] ? 0 : bth_error_nomem(err);
}

static void add_option(struct bth_work *w, const char *name, const char *value) {
    w->options[w->request.n_options++] = (struct berth_option){name, value};
}

/* The options that are a leg's own, behind the others: the first of two models keeps the terms of a
 * glossary, which the last finds then; other translations are the last one's. */
static void set_leg_options(struct bth_translate *t, struct bth_work *w) {
    w->request.n_options = t->n_options;
    if (!is_last(t) && t->glossary) {
        add_option(w, "glossary_keep", "true");
    }
    if (is_last(t) && t->alternatives > 0) {
        snprintf(t->number, sizeof(t->number), "%d", t->alternatives);
        add_option(w, "alternatives", t->number);
    }
}

static int finish(struct bth_exchange *x, struct bth_str *out, struct berth_error *err) {
    struct bth_translate *t = x->work.held;
    (void)err;
    if (is_last(t)) {
        t->answer(t, out);
        return 0;
    }
    for (size_t i = 0; i < t->n; i++) {
        x->work.many->texts[i].data = t->between[i];
        x->work.many->texts[i].size = strlen(t->between[i]);
    }
    t->leg++;
    set_leg_options(t, &x->work);
    snprintf(x->work.model, sizeof(x->work.model), "%s", t->route.legs[t->leg]->model);
    return 1;
}

static const struct bth_gather gather = {.take = take, .finish = finish};

/* ---- beginning -------------------------------------------------------------------------------*/

int bth_translate_prepare(struct bth_exchange *x, struct bth_translate *t,
                          struct berth_error *err) {
    struct bth_work *w = &x->work;
    const struct berth_engine_ops *engine;
    w->request.options = w->options;
    w->request.caller = x->caller;
    w->request.input = (struct berth_input){.kind = BERTH_INPUT_TEXT};
    w->request.input.data = bth_translate_text(t, 0, &w->request.input.size);
    if (t->html) {
        add_option(w, "html", "true");
    }
    if (t->glossary) {
        add_option(w, "glossary", t->glossary);
    }
    t->n_options = w->request.n_options;
    int rc = 0;
    for (size_t i = t->route.n; i-- > 0 && rc == 0;) {
        t->leg = i; /* it ends with the first */
        set_leg_options(t, w);
        rc = bth_work_model(x, t->route.legs[i]->model, &engine, err);
        rc = rc < 0 ? rc : engine->check(&w->request, err);
    }
    return rc;
}

int bth_translate_begin(struct bth_exchange *x, struct bth_translate *t, struct berth_error *err) {
    struct bth_many *m = x->work.many = bth_calloc(1, sizeof(*m));
    if (m) {
        m->texts = bth_calloc(t->n, sizeof(*m->texts));
    }
    t->between = bth_calloc(t->n, sizeof(*t->between));
    if (!m || !m->texts || !t->between) {
        return bth_error_nomem(err);
    }
    int rc = bth_translate_prepare(x, t, err);
    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; i < t->n; i++) {
        m->texts[i].kind = BERTH_INPUT_TEXT;
        m->texts[i].data = bth_translate_text(t, i, &m->texts[i].size);
    }
    m->n = t->n;
    m->gather = &gather;
    bth_work_begin(x);
    return 0;
}

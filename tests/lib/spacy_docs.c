#define _GNU_SOURCE /* getline, open_memstream */
#include "lib/spacy_docs.h"

#include "lib/drive.h"
#include "lib/test.h"
#include <jansson.h>

enum { GROUP = 64, SHOWN = 40 };

static const char *const names[] = {"text", "space", "tag", "pos", "morph", "lemma",
                                    "dep",  "head",  "iob", "ent", "start"};

/* Field i of a token as golden files have it, in `out`. */
static void field(const struct berth_token *t, int i, char *out, size_t size) {
    static const char *const iob[] = {"", "I", "O", "B"};
    const char *const texts[] = {
        t->text, t->space ? "true" : "false", t->tag,      t->pos, t->morph, t->lemma, t->dep,
        NULL,    iob[t->ent_iob & 3],         t->ent_type, NULL};
    if (texts[i]) {
        snprintf(out, size, "%s", texts[i]);
    } else {
        snprintf(out, size, "%d", i == 7 ? t->head : t->sent_start == 1);
    }
}

static void wanted(json_t *v, char *out, size_t size) {
    if (json_is_boolean(v)) {
        snprintf(out, size, "%s", json_is_true(v) ? "true" : "false");
    } else if (json_is_integer(v)) {
        snprintf(out, size, "%lld", (long long)json_integer_value(v));
    } else {
        snprintf(out, size, "%s", json_string_value(v));
    }
}

static void differ(struct spacy_docs_count *c, json_t *doc, const char *what, size_t i,
                   const char *have, const char *want) {
    if (c->bad++ < SHOWN) {
        fprintf(stderr, "%.60s...: %s %zu is \"%s\", expected \"%s\"\n",
                json_string_value(json_object_get(doc, "text")), what, i, have, want);
    }
}

static void compare_tokens(struct spacy_docs_count *c, json_t *want, const struct berth_doc *doc) {
    json_t *tokens = json_object_get(want, "tokens");
    char have[4096], expected[4096];
    if (json_array_size(tokens) != doc->n_tokens) {
        snprintf(have, sizeof(have), "%zu", doc->n_tokens);
        snprintf(expected, sizeof(expected), "%zu", json_array_size(tokens));
        differ(c, want, "number of tokens", 0, have, expected);
        return;
    }
    for (size_t i = 0; i < doc->n_tokens; i++) {
        for (int f = 0; f < 11; f++) {
            field(&doc->tokens[i], f, have, sizeof(have));
            wanted(json_array_get(json_array_get(tokens, i), (size_t)f), expected,
                   sizeof(expected));
            if (strcmp(have, expected) != 0) {
                differ(c, want, names[f], i, have, expected);
            }
        }
    }
    c->tokens += doc->n_tokens;
}

static void compare_chunks(struct spacy_docs_count *c, json_t *want, const struct berth_doc *doc) {
    json_t *chunks = json_object_get(want, "chunks");
    bool same = json_array_size(chunks) == doc->n_noun_chunks;
    for (size_t i = 0; same && i < doc->n_noun_chunks; i++) {
        json_t *chunk = json_array_get(chunks, i);
        same = json_integer_value(json_array_get(chunk, 0)) == doc->noun_chunks[i].begin &&
               json_integer_value(json_array_get(chunk, 1)) == doc->noun_chunks[i].end;
    }
    if (!same) {
        differ(c, want, "noun chunks", 0, "other", "those of spaCy");
    }
}

/* The first row, number by number; of all of it the largest and the mean. */
static void compare_tensor(struct spacy_docs_count *c, json_t *want, const struct berth_doc *doc) {
    json_t *row = json_object_get(want, "row");
    const size_t n = doc->n_tokens * doc->tensor_width;
    double largest = 0, sum = 0;
    if (!row) {
        return;
    }
    CHECK(doc->tensor);
    CHECK_INT(doc->tensor_width, json_array_size(row));
    for (size_t i = 0; i < n; i++) {
        const double v = (double)doc->tensor[i];
        largest = fabs(v) > largest ? fabs(v) : largest;
        sum += v;
        if (i < doc->tensor_width) {
            const double d = fabs(v - json_number_value(json_array_get(row, i)));
            c->tensor = d > c->tensor ? d : c->tensor;
        }
    }
    const double d = fabs(largest - json_number_value(json_object_get(want, "max")));
    const double mean = fabs(sum - json_number_value(json_object_get(want, "sum"))) / (double)n;
    c->tensor = fmax(c->tensor, fmax(d, mean));
}

static void compare(struct spacy_docs_count *c, json_t *want, const struct drive_one *one) {
    const char *text = json_string_value(json_object_get(want, "text"));
    if (strlen(text) < json_string_length(json_object_get(want, "text"))) {
        CHECK_INT(one->rc, BERTH_EINVAL); /* spaCy takes NUL characters */
        return;
    }
    if (one->rc < 0) {
        TEST_FAIL("%.60s...: %s", text, one->err.message);
    }
    CHECK(one->final && one->final->doc);
    compare_tokens(c, want, one->final->doc);
    compare_chunks(c, want, one->final->doc);
    compare_tensor(c, want, one->final->doc);
    c->docs++;
}

/* The options that go along with a document, after those of all. */
static size_t options_of(json_t *doc, struct berth_option *out, size_t most) {
    const char *name;
    json_t *value;
    size_t n = 0;
    out[n++] = (struct berth_option){"tensor", "true"};
    json_object_foreach(json_object_get(doc, "options"), name, value) {
        CHECK(n < most);
        out[n++] = (struct berth_option){name, json_string_value(value)};
    }
    return n;
}

static void run_group(struct berth_model *model, json_t **docs, size_t n,
                      struct spacy_docs_count *c) {
    struct drive_one all[GROUP] = {0};
    struct berth_option options[GROUP][8];
    for (size_t i = 0; i < n; i++) {
        json_t *text = json_object_get(docs[i], "text");
        all[i].cancel_after = -1;
        all[i].request = (struct berth_request)BERTH_REQUEST_INIT;
        all[i].request.input = (struct berth_input){.kind = BERTH_INPUT_TEXT,
                                                    .data = json_string_value(text),
                                                    .size = json_string_length(text)};
        all[i].request.options = options[i];
        all[i].request.n_options = options_of(docs[i], options[i], 8);
    }
    CHECK_INT(drive(model, all, n, GROUP, c->docs, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        compare(c, docs[i], &all[i]);
        berth_item_free(all[i].final);
        json_decref(docs[i]);
    }
}

void spacy_docs_compare(struct berth_model *model, const char *path, size_t most,
                        struct spacy_docs_count *count) {
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t size = 0, n = 0, read = 0;
    json_t *docs[GROUP];
    if (!f) {
        TEST_FAIL("%s cannot be read", path);
    }
    CHECK(getline(&line, &size, f) > 0); /* what made it */
    while ((most == 0 || read < most) && getline(&line, &size, f) > 0) {
        json_error_t why;
        docs[n] = json_loads(line, JSON_ALLOW_NUL, &why);
        if (!docs[n]) {
            TEST_FAIL("%s: %s", path, why.text);
        }
        read++;
        if (++n == GROUP) {
            run_group(model, docs, n, count);
            n = 0;
        }
    }
    run_group(model, docs, n, count);
    free(line);
    fclose(f);
}

char *spacy_docs_print(const struct berth_item *item) {
    char *text = NULL, buffer[4096];
    size_t size;
    FILE *f = open_memstream(&text, &size);
    CHECK(f && item && item->doc);
    const struct berth_doc *d = item->doc;
    fprintf(f, "%s [%s] %zu tokens, %zu ents, %zu sents, %zu chunks\n", d->components, d->language,
            d->n_tokens, d->n_ents, d->n_sents, d->n_noun_chunks);
    for (size_t i = 0; i < d->n_tokens; i++) {
        const struct berth_token *t = &d->tokens[i];
        for (int k = 0; k < 11; k++) {
            field(t, k, buffer, sizeof(buffer));
            fprintf(f, "%s|", buffer);
        }
        fprintf(f, "%s|%s|%s|%u|%u|%x\n", t->norm, t->lower, t->shape, t->begin, t->idx, t->flags);
    }
    for (size_t i = 0; i < d->n_ents; i++) {
        fprintf(f, "ent %u %u %s\n", d->ents[i].begin, d->ents[i].end, d->ents[i].label);
    }
    for (size_t i = 0; i < d->n_tokens * d->tensor_width; i++) {
        fprintf(f, "%a\n", (double)d->tensor[i]);
    }
    CHECK(fclose(f) == 0);
    return text;
}

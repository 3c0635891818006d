/* The glossary of a request: its terms take the place of the words that came from them. */
#include "marian/marian_session.h"

#include "base/alloc.h"
#include "base/error.h"
#include <string.h>

enum { MOST_JSON = 1 << 20 };

int marian_terms_open(struct marian_session *s, struct berth_error *err) {
    const char *json = s->options.glossary;
    if (!json) {
        return 0;
    }
    if (strlen(json) > MOST_JSON) {
        return bth_error(err, BERTH_ETOOLARGE, "a glossary of more than %d bytes", (int)MOST_JSON);
    }
    int rc = bth_glossary_open(json, s->options.glossary_keep, &s->glossary, err);
    if (rc < 0) {
        return rc;
    }
    const size_t n = bth_glossary_count(s->glossary);
    s->terms = bth_calloc(n + 1, sizeof(*s->terms));
    if (!s->terms) {
        return bth_error_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        s->terms[i].source = bth_glossary_source(s->glossary, i);
        s->terms[i].target = bth_glossary_target(s->glossary, i);
    }
    return 0;
}

void marian_terms_close(struct marian_session *s) {
    bth_glossary_free(s->glossary);
    bth_free(s->terms);
}

bool marian_has_terms(const struct marian_session *s, size_t begin, size_t end) {
    struct bth_term t;
    size_t at = 0;
    return s->glossary && bth_glossary_next(s->glossary, s->plain + begin, end - begin, &at, &t);
}

/* The terms of a sentence, in order. ENOMEM. */
static int find_terms(struct marian_session *s, struct bth_glossary_sentence *of) {
    struct bth_term t;
    size_t n = 0;
    for (size_t at = 0; bth_glossary_next(s->glossary, of->source, of->n_source, &at, &t);) {
        n++;
    }
    of->terms = bth_calloc(n + 1, sizeof(*of->terms));
    for (size_t at = 0; of->terms && of->n_terms < n; of->n_terms++) {
        bth_glossary_next(s->glossary, of->source, of->n_source, &at, &of->terms[of->n_terms]);
    }
    return of->terms ? 0 : bth_error_nomem(&s->err);
}

/* Links as the glossary wants them, within the sentence. */
static int find_links(struct marian_session *s, const struct marian_sentence *of,
                      struct bth_glossary_sentence *to, struct bth_html_link **out) {
    struct bth_html_sentence span = {.target_end = to->n_target};
    if (marian_link_sentence(of, &span, out) < 0) {
        return bth_error_nomem(&s->err);
    }
    for (size_t i = 0; i < span.n_links; i++) {
        (*out)[i].source -= of->begin;
    }
    to->links = *out;
    to->n_links = span.n_links;
    return 0;
}

static int exchange(struct marian_session *s, struct bth_glossary_sentence *one, char **text) {
    struct bth_str out = {0};
    int rc = bth_glossary_exchange(s->glossary, one, &out, &s->err);
    rc = rc == 0 && out.failed ? bth_error_nomem(&s->err) : rc;
    if (rc == 0 && out.size > one->n_target) { /* here, in the whole text, and in what is sent */
        rc = marian_draw(s, 3 * (out.size - one->n_target));
    }
    if (rc == 0) {
        bth_free(*text);
        *text = out.data;
        return 0;
    }
    bth_str_finish(&out);
    return rc;
}

int marian_put_terms(struct marian_session *s, struct marian_sentence *of, int i) {
    struct marian_hypothesis *h = &of->found.hypotheses[i];
    struct bth_html_link *links = NULL;
    const bool best = i == 0;
    struct bth_glossary_sentence one = {.source = s->plain + of->begin,
                                        .n_source = of->end - of->begin,
                                        .target = h->text,
                                        .n_target = strlen(h->text)};
    int rc = find_terms(s, &one);
    if (rc == 0 && one.n_terms > 0 && best) {
        rc = find_links(s, of, &one, &links);
        one.ends = of->found.ends;
        one.n_ends = one.ends ? (size_t)h->n : 0;
    }
    if (rc == 0 && one.n_terms > 0) {
        rc = exchange(s, &one, &h->text);
    }
    for (size_t k = 0; rc == 0 && best && k < one.n_terms; k++) {
        s->terms[one.terms[k].index].found++;
        s->terms[one.terms[k].index].placed += one.terms[k].placed;
    }
    bth_free(one.terms);
    bth_free(links);
    return rc;
}

/* Dependencies: words in a row, arcs above them. */
#include "base/alloc.h"
#include "base/pystr.h"
#include "render/displacy_internal.h"
#include <stdlib.h>
#include <string.h>

enum {
    WORD_SPACING = 45,
    ARROW_SPACING = 20,
    ARROW_WIDTH = 10,
    ARROW_STROKE = 2,
    DISTANCE = 175,
    OFFSET_X = 50,
    IS_PUNCT = 5,
    IS_SPACE = 6
};

/* Tokens [begin, end): a word with the punctuation behind it. */
struct word {
    size_t begin, end;
    size_t root; /* the token that speaks for it */
    size_t head; /* a word */
};

struct arc {
    size_t start, end; /* words */
    const char *label;
    bool left;
    int level;
    size_t order;
};

struct drawing {
    struct bth_str *out;
    const struct berth_doc *doc;
    const char *id;
    bool *has_children; /* [n_tokens] */
    struct word *words;
    struct arc *arcs;
    size_t n_words, n_arcs;
    int highest;
    double y; /* of the arcs' feet */
    int width;
    bool rtl;
};

/* ---- words -----------------------------------------------------------------------------------*/

static bool is_punct(const struct berth_token *t) {
    return t->flags >> IS_PUNCT & 1;
}

/* From a token to its sentence's root. Punctuation and white space speak for a word only if they
 * must. */
static size_t steps_to_root(const struct drawing *w, size_t i) {
    const struct berth_doc *d = w->doc;
    size_t n = 0;
    if (!w->has_children[i] &&
        (d->tokens[i].flags >> IS_PUNCT | d->tokens[i].flags >> IS_SPACE) & 1) {
        return d->n_tokens - 1;
    }
    for (; (size_t)d->tokens[i].head != i && n < d->n_tokens; n++) {
        i = (size_t)d->tokens[i].head;
    }
    return n;
}

/* The root of a span of tokens: the one nearest to its sentence's. */
static size_t root_of(const struct drawing *w, size_t begin, size_t end) {
    const struct berth_doc *d = w->doc;
    size_t best = begin, steps = d->n_tokens;
    for (size_t i = begin; i < end; i++) {
        if ((size_t)d->tokens[i].head == i) {
            return i;
        }
    }
    for (size_t i = begin; i < end && end - begin > 1; i++) {
        size_t head = (size_t)d->tokens[i].head;
        size_t n = head >= begin && head < end ? steps : steps_to_root(w, i);
        if (n < steps) {
            steps = n;
            best = i;
        }
    }
    return best;
}

static void find_words(struct drawing *w, size_t *word_of) {
    const struct berth_doc *d = w->doc;
    for (size_t i = 0; i < d->n_tokens; i++) {
        w->has_children[d->tokens[i].head] |= (size_t)d->tokens[i].head != i;
    }
    for (size_t i = 0; i < d->n_tokens;) {
        size_t begin = i++;
        while (!is_punct(&d->tokens[begin]) && i < d->n_tokens && is_punct(&d->tokens[i])) {
            i++;
        }
        for (size_t t = begin; t < i; t++) {
            word_of[t] = w->n_words;
        }
        w->words[w->n_words++] = (struct word){begin, i, root_of(w, begin, i), 0};
    }
    for (size_t i = 0; i < w->n_words; i++) {
        w->words[i].head = word_of[d->tokens[w->words[i].root].head];
    }
}

/* ---- arcs ------------------------------------------------------------------------------------*/

static int shorter(const void *a, const void *b) {
    const struct arc *x = a, *y = b;
    size_t n = x->end - x->start, m = y->end - y->start;
    if (n != m) {
        return n < m ? -1 : 1;
    }
    return x->order < y->order ? -1 : x->order > y->order;
}

static int in_order(const void *a, const void *b) {
    const struct arc *x = a, *y = b;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Each arc lies over all shorter ones below it. */
static void find_levels(struct drawing *w, int *heights) {
    qsort(w->arcs, w->n_arcs, sizeof(*w->arcs), shorter);
    for (size_t i = 0; i < w->n_arcs; i++) {
        struct arc *a = &w->arcs[i];
        for (size_t k = a->start; k < a->end; k++) {
            a->level = heights[k] > a->level ? heights[k] : a->level;
        }
        a->level++;
        for (size_t k = a->start; k < a->end; k++) {
            heights[k] = a->level;
        }
        w->highest = a->level > w->highest ? a->level : w->highest;
    }
    qsort(w->arcs, w->n_arcs, sizeof(*w->arcs), in_order);
}

static void find_arcs(struct drawing *w) {
    for (size_t i = 0; i < w->n_words; i++) {
        const struct word *word = &w->words[i];
        if (word->head == i) {
            continue;
        }
        bool left = i < word->head;
        w->arcs[w->n_arcs] = (struct arc){.start = left ? i : word->head,
                                          .end = left ? word->head : i,
                                          .label = w->doc->tokens[word->root].dep,
                                          .left = left,
                                          .order = w->n_arcs};
        w->n_arcs++;
    }
}

/* ---- writing ---------------------------------------------------------------------------------*/

/* Integers and reals look different, as they do in Python. */
static void put_x(struct drawing *w, double x, bool real) {
    if (real) {
        bth_py_repr_float(w->out, x);
    } else {
        bth_str_printf(w->out, "%d", (int)x);
    }
}

static void put_text(struct bth_str *out, const char *text) {
    bth_displacy_escape(out, text, strlen(text));
}

static void put_word(struct drawing *w, size_t i) {
    const struct word *word = &w->words[i];
    const struct berth_token *first = &w->doc->tokens[word->begin];
    int x = OFFSET_X + (int)i * DISTANCE;
    x = w->rtl ? w->width - x : x;
    bth_str_puts(w->out, "\n<text class=\"displacy-token\" fill=\"currentColor\" "
                         "text-anchor=\"middle\" y=\"");
    bth_py_repr_float(w->out, w->y + WORD_SPACING);
    bth_str_printf(w->out,
                   "\">\n    <tspan class=\"displacy-word\" fill=\"currentColor\" x=\"%d\">", x);
    bth_displacy_escape(w->out, w->doc->text + first->begin,
                        w->doc->tokens[word->end - 1].end - first->begin);
    bth_str_printf(w->out,
                   "</tspan>\n    <tspan class=\"displacy-tag\" dy=\"2em\" fill=\"currentColor\" "
                   "x=\"%d\">",
                   x);
    put_text(w->out, w->doc->tokens[word->root].pos);
    bth_str_puts(w->out, "</tspan>\n</text>\n");
}

/* "x,y" */
static void put_point(struct drawing *w, double x, bool real, double y) {
    put_x(w, x, real);
    bth_str_putc(w->out, ',');
    bth_py_repr_float(w->out, y);
}

static void put_arc(struct drawing *w, size_t i) {
    const struct arc *a = &w->arcs[i];
    struct bth_str *out = w->out;
    double start = OFFSET_X + (double)a->start * DISTANCE + ARROW_SPACING;
    double end = OFFSET_X + (double)a->end * DISTANCE -
                 (double)(ARROW_SPACING * (w->highest - a->level)) / 4;
    double curve = w->y - (double)(a->level * DISTANCE) / 2;
    if (w->rtl) {
        start = w->width - start;
        end = w->width - end;
    }
    bth_str_printf(out,
                   "\n<g class=\"displacy-arrow\">\n    <path class=\"displacy-arc\" "
                   "id=\"arrow-%s-%zu\" stroke-width=\"%dpx\" d=\"M",
                   w->id, i, ARROW_STROKE);
    put_point(w, start, false, w->y);
    bth_str_puts(out, " C");
    put_point(w, start, false, curve);
    bth_str_putc(out, ' ');
    put_point(w, end, true, curve);
    bth_str_putc(out, ' ');
    put_point(w, end, true, w->y);
    bth_str_printf(out,
                   "\" fill=\"none\" stroke=\"currentColor\"/>\n    <text dy=\"1.25em\" "
                   "style=\"font-size: 0.8em; letter-spacing: 1px\">\n        <textPath "
                   "xlink:href=\"#arrow-%s-%zu\" class=\"displacy-label\" startOffset=\"50%%\" "
                   "side=\"%s\" fill=\"currentColor\" text-anchor=\"middle\">",
                   w->id, i, w->rtl ? "right" : "left");
    put_text(out, a->label);
    bth_str_puts(out, "</textPath>\n    </text>\n    <path class=\"displacy-arrowhead\" d=\"M");
    int flare = a->left ? -(ARROW_WIDTH - 2) : ARROW_WIDTH - 2;
    double tip = a->left ? start : end;
    put_point(w, tip, !a->left, w->y + 2);
    bth_str_puts(out, " L");
    put_point(w, tip + flare, !a->left, w->y - ARROW_WIDTH);
    bth_str_putc(out, ' ');
    put_point(w, tip - flare, !a->left, w->y - ARROW_WIDTH);
    bth_str_puts(out, "\" fill=\"currentColor\"/>\n</g>\n");
}

static void put_drawing(struct drawing *w) {
    struct bth_str *out = w->out;
    const char *direction = w->rtl ? "rtl" : "ltr";
    w->y = DISTANCE / 2.0 * w->highest + ARROW_STROKE;
    w->width = OFFSET_X + (int)w->n_words * DISTANCE;
    bth_str_puts(out, "\n<svg xmlns=\"http://www.w3.org/2000/svg\" "
                      "xmlns:xlink=\"http://www.w3.org/1999/xlink\" xml:lang=\"");
    put_text(out, w->doc->language);
    bth_str_printf(out, "\" id=\"%s\" class=\"displacy\" width=\"%d\" height=\"", w->id, w->width);
    bth_py_repr_float(out, w->y + 3 * WORD_SPACING);
    bth_str_printf(out, "\" direction=\"%s\" style=\"max-width: none; height: ", direction);
    bth_py_repr_float(out, w->y + 3 * WORD_SPACING);
    bth_str_printf(out,
                   "px; color: #000000; background: #ffffff; font-family: Arial; direction: %s\">",
                   direction);
    for (size_t i = 0; i < w->n_words; i++) {
        put_word(w, i);
    }
    for (size_t i = 0; i < w->n_arcs; i++) {
        put_arc(w, i);
    }
    bth_str_puts(out, "</svg>\n");
}

void bth_displacy_arcs(struct bth_str *out, const struct berth_doc *doc, const char *id) {
    struct drawing w = {.out = out, .doc = doc, .id = id, .rtl = bth_displacy_rtl(doc)};
    size_t *word_of = bth_calloc(doc->n_tokens, sizeof(*word_of));
    int *heights = bth_calloc(doc->n_tokens, sizeof(*heights));
    w.has_children = bth_calloc(doc->n_tokens, sizeof(*w.has_children));
    w.words = bth_calloc(doc->n_tokens, sizeof(*w.words));
    w.arcs = bth_calloc(doc->n_tokens, sizeof(*w.arcs));
    if (word_of && heights && w.has_children && w.words && w.arcs) {
        find_words(&w, word_of);
        find_arcs(&w);
        find_levels(&w, heights);
        put_drawing(&w);
    } else {
        out->failed = true;
    }
    bth_free(w.has_children);
    bth_free(w.words);
    bth_free(w.arcs);
    bth_free(heights);
    bth_free(word_of);
}

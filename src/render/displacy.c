/* The parts that all drawings share, entities and pages. */
#include "render/displacy.h"

#include "base/compiler.h"
#include "render/displacy_internal.h"
#include <ctype.h>
#include <string.h>

bool bth_displacy_parse(const char *name, enum bth_displacy_style *out) {
    bool dep = strcmp(name, "dep") == 0;
    if (dep || strcmp(name, "ent") == 0) {
        *out = dep ? BTH_DISPLACY_DEP : BTH_DISPLACY_ENT;
        return true;
    }
    return false;
}

bool bth_displacy_rtl(const struct berth_doc *doc) {
    static const char *const languages[] = {"ar", "fa", "he", "ur"};
    for (size_t i = 0; i < BTH_COUNT(languages); i++) {
        if (strcmp(doc->language, languages[i]) == 0) {
            return true;
        }
    }
    return false;
}

void bth_displacy_escape(struct bth_str *out, const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        switch (text[i]) {
        case '&':
            bth_str_puts(out, "&amp;");
            break;
        case '<':
            bth_str_puts(out, "&lt;");
            break;
        case '>':
            bth_str_puts(out, "&gt;");
            break;
        case '"':
            bth_str_puts(out, "&quot;");
            break;
        default:
            bth_str_putc(out, text[i]);
        }
    }
}

/* ---- entities --------------------------------------------------------------------------------*/

static const char *color(const char *label) {
    static const struct {
        const char *label, *color;
    } known[] = {
        {"ORG", "#7aecec"},      {"PRODUCT", "#bfeeb7"},     {"GPE", "#feca74"},
        {"LOC", "#ff9561"},      {"PERSON", "#aa9cfc"},      {"NORP", "#c887fb"},
        {"FAC", "#9cc9cc"},      {"EVENT", "#ffeb80"},       {"LAW", "#ff8197"},
        {"LANGUAGE", "#ff8197"}, {"WORK_OF_ART", "#f0d0ff"}, {"DATE", "#bfe1d9"},
        {"TIME", "#bfe1d9"},     {"MONEY", "#e4e7d2"},       {"QUANTITY", "#e4e7d2"},
        {"ORDINAL", "#e4e7d2"},  {"CARDINAL", "#e4e7d2"},    {"PERCENT", "#e4e7d2"},
    };
    for (size_t i = 0; i < BTH_COUNT(known); i++) {
        const char *a = known[i].label, *b = label;
        while (*a && *a == toupper((unsigned char)*b)) {
            a++, b++;
        }
        if (!*a && !*b) {
            return known[i].color;
        }
    }
    return "#ddd";
}

/* Text between entities; its line ends are to be seen. */
static void put_between(struct bth_str *out, const char *text, size_t n) {
    for (size_t i = 0; i < n;) {
        const char *end = memchr(text + i, '\n', n - i);
        size_t part = end ? (size_t)(end - text) - i : n - i;
        bth_displacy_escape(out, text + i, part);
        bth_str_puts(out, end ? "<br>" : "");
        i += part + (end != NULL);
    }
}

static void put_entity(struct bth_str *out, const struct berth_doc *doc,
                       const struct berth_span *s) {
    size_t begin = doc->tokens[s->begin].begin, end = doc->tokens[s->end - 1].end;
    bth_str_printf(
        out,
        "\n<mark class=\"entity\" style=\"background: %s; padding: 0.45em 0.6em; margin: "
        "0 0.25em; line-height: 1; border-radius: 0.35em;\">\n    ",
        color(s->label));
    bth_displacy_escape(out, doc->text + begin, end - begin);
    bth_str_puts(out, "\n    <span style=\"font-size: 0.8em; font-weight: bold; line-height: 1; "
                      "border-radius: 0.35em; vertical-align: middle; margin-left: 0.5rem\">");
    bth_displacy_escape(out, s->label, strlen(s->label));
    if (*s->kb_id) {
        bth_str_puts(out, "\n <a style=\"text-decoration: none; color: inherit; font-weight: "
                          "normal\" href=\"#\">");
        bth_displacy_escape(out, s->kb_id, strlen(s->kb_id));
        bth_str_puts(out, "</a>\n");
    }
    bth_str_puts(out, "</span>\n</mark>\n");
}

static void put_entities(struct bth_str *out, const struct berth_doc *doc) {
    size_t at = 0;
    bth_str_printf(out, "\n<div class=\"entities\" style=\"line-height: 2.5; direction: %s\">",
                   bth_displacy_rtl(doc) ? "rtl" : "ltr");
    for (size_t i = 0; i < doc->n_ents; i++) {
        const struct berth_span *s = &doc->ents[i];
        if (s->end > s->begin && doc->tokens[s->begin].begin >= at) {
            put_between(out, doc->text + at, doc->tokens[s->begin].begin - at);
            put_entity(out, doc, s);
            at = doc->tokens[s->end - 1].end;
        }
    }
    put_between(out, doc->text + at, strlen(doc->text + at));
    bth_str_puts(out, "</div>\n");
}

/* ---- drawings and pages ----------------------------------------------------------------------*/

/* As displaCy has them inside a page: a line end before and after. */
static void put_drawing(struct bth_str *out, const struct berth_doc *doc,
                        enum bth_displacy_style style, const char *id) {
    if (style == BTH_DISPLACY_ENT) {
        put_entities(out, doc);
    } else {
        bth_displacy_arcs(out, doc, id);
    }
}

void bth_displacy_write(struct bth_str *out, const struct berth_doc *doc,
                        enum bth_displacy_style style, const char *id) {
    struct bth_str drawing = {0};
    put_drawing(&drawing, doc, style, id);
    if (drawing.size > 2 && !drawing.failed) {
        bth_str_append(out, drawing.data + 1, drawing.size - 2);
    }
    out->failed |= drawing.failed;
    bth_str_finish(&drawing);
}

void bth_displacy_page_begin(struct bth_str *out, const struct berth_doc *doc) {
    bth_str_puts(out, "<!DOCTYPE html>\n<html lang=\"");
    bth_displacy_escape(out, doc->language, strlen(doc->language));
    bth_str_printf(
        out,
        "\">\n    <head>\n        <title>displaCy</title>\n    </head>\n\n"
        "    <body style=\"font-size: 16px; font-family: -apple-system, BlinkMacSystemFont, 'Segoe "
        "UI', Helvetica, Arial, sans-serif, 'Apple Color Emoji', 'Segoe UI Emoji', 'Segoe UI "
        "Symbol'; padding: 4rem 2rem; direction: %s\">",
        bth_displacy_rtl(doc) ? "rtl" : "ltr");
}

void bth_displacy_page_figure(struct bth_str *out, const struct berth_doc *doc,
                              enum bth_displacy_style style, const char *id) {
    bth_str_puts(out, "\n<figure style=\"margin-bottom: 6rem\">");
    put_drawing(out, doc, style, id);
    bth_str_puts(out, "</figure>\n");
}

void bth_displacy_page_end(struct bth_str *out) {
    bth_str_puts(out, "</body>\n</html>");
}

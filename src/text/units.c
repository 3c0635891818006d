#include "text/units.h"

#include "base/str.h"
#include <utf8proc.h>

enum character { SPACE, WORD, ALONE };

static bool is_mark(uint32_t c) {
    const utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_ME;
}

static enum character character(uint32_t c) {
    if (c < 0x80) {
        bool word = ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9');
        return c <= ' ' ? SPACE : word ? WORD : ALONE;
    }
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    if (k >= UTF8PROC_CATEGORY_ZS && k <= UTF8PROC_CATEGORY_ZP) {
        return SPACE;
    }
    bool dense = c >= 0x2E80 && !(c >= 0xAC00 && c <= 0xD7AF); /* written without blanks */
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NO && !dense ? WORD : ALONE;
}

/* The next unit of text[*p, n): *p is its end afterwards, its beginning is the answer; n: none. */
static size_t next_unit(const char *text, size_t n, size_t *p) {
    size_t begin = n, size;
    uint32_t c;
    for (; *p < n; *p += size) {
        size = bth_utf8_decode(text + *p, n - *p, &c);
        enum character k = character(c);
        if (begin < n && k != WORD && !is_mark(c)) { /* marks on a letter belong to it */
            return begin;
        }
        if (begin == n && k != SPACE) {
            begin = *p;
            if (k == ALONE) {
                *p += size;
                return begin;
            }
        }
    }
    return begin;
}

size_t bth_units_count(const char *text, size_t n) {
    size_t count = 0;
    for (size_t p = 0; next_unit(text, n, &p) < n;) {
        count++;
    }
    return count;
}

bool bth_units_inside_word(const char *text, size_t n, size_t at) {
    uint32_t before, after;
    if (at == 0 || at >= n) {
        return false;
    }
    const size_t from = bth_utf8_before(text, at);
    bth_utf8_decode(text + from, at - from, &before);
    bth_utf8_decode(text + at, n - at, &after);
    return (character(before) == WORD || is_mark(before)) &&
           (character(after) == WORD || is_mark(after));
}

size_t bth_units_put(const struct bth_units_of *all, struct bth_unit *out) {
    const char *target = all->target + all->target_begin;
    const char *source = all->source + all->source_begin;
    const size_t n_target = all->target_end - all->target_begin;
    const size_t n_source = all->source_end - all->source_begin;
    const size_t first = all->target_begin - all->origin;
    size_t n = 0;
    for (size_t p = 0, begin; (begin = next_unit(target, n_target, &p)) < n_target;) {
        out[n++] =
            (struct bth_unit){.begin = (uint32_t)(first + begin), .end = (uint32_t)(first + p)};
    }
    const size_t units = bth_units_count(source, n_source);
    size_t at = 0, index = 0, p = 0;
    for (size_t i = 0; i < n; i++) { /* the units of the source pass by */
        size_t wanted = units ? (2 * i + 1) * units / (2 * n) : 0;
        while (index <= wanted && units > 0) {
            at = next_unit(source, n_source, &p);
            index++;
        }
        out[i].source = (uint32_t)(all->source_begin + (at < n_source ? at : 0));
    }
    return n;
}

void bth_units_link(const struct bth_html_sentence *s, const char *source, size_t origin,
                    struct bth_unit *units, size_t n) {
    for (size_t i = 0, k = 0; i < n && s->n_links > 0; i++) {
        const size_t at = units[i].begin + origin, end = units[i].end + origin;
        while (k + 1 < s->n_links && s->links[k].target_end <= at) {
            k++;
        }
        const struct bth_html_link *l = &s->links[k];
        if (l->target_begin >= end || l->target_end <= at) {
            continue;
        }
        size_t from = l->source < s->source_begin ? s->source_begin : l->source;
        while (from < s->source_end && source[from] == ' ') {
            from++;
        }
        if (from < s->source_end) {
            units[i].source = (uint32_t)from;
        }
    }
}

/*
 * A translated paragraph gets its tags back.
 *
 * The translation is cut into units (words, marks), each with the place of the plain text it came
 * from. An element goes around the longest run of units that came from inside it, within the run of
 * the element around it; so elements stay nested and none is lost. One without any unit goes
 * behind the unit that came from the text before it.
 */
#include "text/html_internal.h"

#include "base/alloc.h"
#include "base/error.h"
#include "text/units.h"
#include <stdlib.h>
#include <string.h>

/* The paragraph (node 0), an element, or a point. In order of the source, so that what lies inside
 * node i are the nodes (i, last]. */
struct node {
    uint32_t open, close; /* tokens; close UINT32_MAX: a point */
    uint32_t parent, last;
    uint32_t begin;             /* byte of the plain text */
    uint32_t low, high;         /* units */
    uint32_t child, n_children; /* of `order`, once they are placed */
    bool space_before, space_after;
};

/* From byte `at` of the plain text on, the innermost node. */
struct change {
    uint32_t at, node;
};

struct weave {
    const struct bth_html_woven *w;
    struct bth_unit *units; /* [n_units] */
    size_t n_units;
    uint32_t *by_source; /* [n_units] */
    struct node *nodes;  /* [n_nodes] */
    size_t n_nodes;
    struct change *changes; /* [n_changes] */
    size_t n_changes;
    uint32_t *order; /* [n_nodes - 1]: children of each node, where they go */
    struct bth_str *out;
    size_t gap;      /* the unit before which white space is still to be written */
    bool space_due;  /* a point had white space on both sides */
    size_t sentence; /* spans are known up to here: the next to begin, to end */
    size_t ending;
};

/* ---- units -----------------------------------------------------------------------------------*/

/* [target, end) of the translation comes from [source, source_end); how many units it has. */
static size_t add_units(struct weave *v, size_t target, size_t end, size_t source,
                        size_t source_end) {
    size_t plain_n;
    const char *plain = bth_html_plain(v->w->h, &plain_n);
    const struct bth_units_of all = {.target = v->w->text,
                                     .origin = v->w->target,
                                     .target_begin = target,
                                     .target_end = end,
                                     .source = plain,
                                     .source_begin = source,
                                     .source_end = source_end};
    size_t n = bth_units_put(&all, &v->units[v->n_units]);
    v->n_units += n;
    return n;
}

static void make_units(struct weave *v) {
    const struct bth_html_woven *w = v->w;
    size_t target = w->target, source = w->paragraph->plain;
    for (size_t i = 0; i <= w->n; i++) {
        const struct bth_html_sentence *s = &w->sentences[i];
        size_t end = i < w->n ? s->target_begin : w->target_end;
        size_t source_end = i < w->n ? s->source_begin : w->paragraph->plain_end;
        add_units(v, target, end, source, source_end);
        if (i < w->n) {
            size_t first = v->n_units;
            size_t plain_n;
            size_t n = add_units(v, s->target_begin, s->target_end, s->source_begin, s->source_end);
            bth_units_link(s, bth_html_plain(w->h, &plain_n), w->target, &v->units[first], n);
            target = s->target_end;
            source = s->source_end;
        }
    }
}

/* ---- nodes -----------------------------------------------------------------------------------*/

static void make_nodes(struct weave *v) {
    const struct bth_html *h = v->w->h;
    const struct bth_html_paragraph *p = v->w->paragraph;
    uint32_t now = 0;
    v->nodes[0] = (struct node){.high = (uint32_t)v->n_units};
    v->n_nodes = 1;
    v->changes[v->n_changes++] = (struct change){0, 0};
    for (size_t i = p->mark; i < (size_t)p->mark + p->n_marks; i++) {
        const struct bth_html_mark *m = &h->marks[i];
        const struct bth_html_token *t = &h->tokens.all[m->token];
        if (t->kind == BTH_HTML_CLOSE) {
            v->nodes[now].last = (uint32_t)v->n_nodes - 1;
            v->nodes[now].space_after = m->space_after;
            now = v->nodes[now].parent;
        } else {
            bool element = t->kind == BTH_HTML_OPEN;
            v->nodes[v->n_nodes] = (struct node){.open = m->token,
                                                 .close = element ? t->partner : UINT32_MAX,
                                                 .parent = now,
                                                 .last = (uint32_t)v->n_nodes,
                                                 .begin = m->at,
                                                 .space_before = m->space_before,
                                                 .space_after = !element && m->space_after};
            now = element ? (uint32_t)v->n_nodes : now;
            v->n_nodes++;
        }
        if (t->kind != BTH_HTML_POINT) {
            v->changes[v->n_changes++] = (struct change){m->at, now};
        }
    }
    v->nodes[0].last = (uint32_t)v->n_nodes - 1;
}

static uint32_t owner_of(const struct weave *v, uint32_t source) {
    size_t low = 0, high = v->n_changes; /* the last change at or before it */
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (v->changes[middle].at <= source) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return v->changes[low].node;
}

static int compare_keys(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Units by their source, earlier ones of the translation first. ENOMEM. */
static int sort_units(struct weave *v, struct berth_error *err) {
    uint64_t *keys = bth_alloc(v->n_units * sizeof(*keys));
    if (!keys) {
        return bth_error_nomem(err);
    }
    for (size_t i = 0; i < v->n_units; i++) {
        v->units[i].owner = owner_of(v, v->units[i].source);
        keys[i] = (uint64_t)v->units[i].source << 32 | i;
    }
    qsort(keys, v->n_units, sizeof(*keys), compare_keys);
    for (size_t i = 0; i < v->n_units; i++) {
        v->by_source[i] = (uint32_t)keys[i];
    }
    bth_free(keys);
    return 0;
}

/* ---- places ----------------------------------------------------------------------------------*/

/* The child of `parent` that node is in; 0: none. */
static uint32_t child_towards(const struct weave *v, uint32_t parent, uint32_t node) {
    while (node > parent && v->nodes[node].parent != parent) {
        node = v->nodes[node].parent;
    }
    return node > parent ? node : 0;
}

/* Gives each child the longest run of the parent's units that came from it. A single unit that came
 * from no child does not end a run. */
static void place_runs(struct weave *v, uint32_t parent) {
    struct node *p = &v->nodes[parent];
    for (uint32_t i = p->low; i < p->high;) {
        uint32_t child = child_towards(v, parent, v->units[i].owner), end = i + 1;
        while (child && end < p->high) {
            if (child_towards(v, parent, v->units[end].owner) == child) {
                end++;
            } else if (end + 1 < p->high && v->units[end].owner == parent &&
                       child_towards(v, parent, v->units[end + 1].owner) == child) {
                end += 2;
            } else {
                break;
            }
        }
        if (child && end - i > v->nodes[child].high - v->nodes[child].low) {
            v->nodes[child].low = i;
            v->nodes[child].high = end;
        }
        i = end;
    }
}

/* Where a child without units goes: behind the unit that came from the text before it. */
static uint32_t place_of(const struct weave *v, const struct node *p, const struct node *child) {
    size_t low = 0, high = v->n_units;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (v->units[v->by_source[middle]].source < child->begin) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0) {
        return p->low;
    }
    uint32_t at = v->by_source[low - 1] + 1;
    return at < p->low ? p->low : at > p->high ? p->high : at;
}

/* Children by their place, those without units before the one that begins there. */
static uint64_t key(uint32_t at, bool has_units, uint32_t node) {
    return (uint64_t)at << 33 | (uint64_t)has_units << 32 | node;
}

/* The children of `parent` in the order they are written: `order` from `from` on. */
static void place_children(struct weave *v, uint32_t parent, uint32_t from, uint64_t *keys) {
    struct node *p = &v->nodes[parent];
    uint32_t n = 0, n_runs = 0;
    for (uint32_t i = parent + 1; i <= p->last; i = v->nodes[i].last + 1) {
        if (v->nodes[i].high > v->nodes[i].low) {
            keys[n_runs++] = key(v->nodes[i].low, true, i);
        }
    }
    qsort(keys, n_runs, sizeof(*keys), compare_keys);
    n = n_runs;
    for (uint32_t i = parent + 1; i <= p->last; i = v->nodes[i].last + 1) {
        struct node *c = &v->nodes[i];
        if (c->high > c->low) {
            continue;
        }
        uint32_t at = place_of(v, p, c), low = 0, high = n_runs;
        while (low < high) { /* the last run that begins before it: not inside */
            uint32_t middle = (low + high) / 2;
            if (keys[middle] >> 33 < at) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if (low > 0 && v->nodes[(uint32_t)keys[low - 1]].high > at) {
            at = v->nodes[(uint32_t)keys[low - 1]].high;
        }
        c->low = c->high = at;
        keys[n++] = key(at, false, i);
    }
    qsort(keys, n, sizeof(*keys), compare_keys);
    for (uint32_t i = 0; i < n; i++) {
        v->order[from + i] = (uint32_t)keys[i];
    }
    p->child = from;
    p->n_children = n;
}

static int place(struct weave *v, struct berth_error *err) {
    uint64_t *keys = bth_alloc(v->n_nodes * sizeof(*keys));
    if (!keys) {
        return bth_error_nomem(err);
    }
    uint32_t from = 0;
    for (uint32_t i = 0; i < v->n_nodes; i++) { /* parents come before their children */
        if (v->nodes[i].last > i) {
            place_runs(v, i);
            place_children(v, i, from, keys);
            from += v->nodes[i].n_children;
        }
    }
    bth_free(keys);
    return 0;
}

/* ---- writing ---------------------------------------------------------------------------------*/

static uint32_t gap_begin(const struct weave *v, size_t unit) {
    return unit > 0 ? v->units[unit - 1].end : 0;
}

static uint32_t gap_end(const struct weave *v, size_t unit) {
    return unit < v->n_units ? v->units[unit].begin : (uint32_t)(v->w->target_end - v->w->target);
}

static void write_text(struct weave *v, size_t begin, size_t end) {
    const struct bth_html_woven *w = v->w;
    bth_html_escape(w->h, w->text + w->target + begin, end - begin, w->target_end - w->target - end,
                    v->out);
}

/* The white space before `unit`, unless it is written. */
static void write_gap(struct weave *v, size_t unit) {
    if (v->gap == unit) {
        uint32_t begin = gap_begin(v, unit), end = gap_end(v, unit);
        write_text(v, begin, end);
        v->gap = unit + 1;
    }
}

static void write_token(struct weave *v, uint32_t token) {
    const struct bth_html_token *t = &v->w->h->tokens.all[token];
    bth_str_append(v->out, v->w->h->html + t->begin, t->end - t->begin);
}

static void write_unit(struct weave *v, size_t i) {
    const struct bth_html_woven *w = v->w;
    const struct bth_unit *u = &v->units[i];
    write_gap(v, i);
    if (v->space_due) {
        bth_str_putc(v->out, ' ');
        v->space_due = false;
    }
    for (; v->sentence < w->n && w->sentences[v->sentence].target_begin < u->end + w->target;
         v->sentence++) {
        w->begins[v->sentence] = v->out->size;
    }
    write_text(v, u->begin, u->end);
    for (; v->ending < w->n && w->sentences[v->ending].target_end <= u->end + w->target;
         v->ending++) {
        w->ends[v->ending] = v->out->size;
    }
}

static void write_node(struct weave *v, uint32_t index);

static void write_inside(struct weave *v, const struct node *p) {
    uint32_t at = p->low;
    for (uint32_t i = 0; i < p->n_children; i++) {
        uint32_t child = v->order[p->child + i];
        for (; at < v->nodes[child].low; at++) {
            write_unit(v, at);
        }
        write_node(v, child);
        at = v->nodes[child].high;
    }
    for (; at < p->high; at++) {
        write_unit(v, at);
    }
}

static void write_node(struct weave *v, uint32_t index) {
    const struct node *p = &v->nodes[index];
    bool empty = p->low == p->high;
    if (!empty || p->space_before) {
        bool written = v->gap > p->low || gap_begin(v, p->low) == gap_end(v, p->low);
        write_gap(v, p->low);
        if (empty && written && v->out->size > 0 && v->out->data[v->out->size - 1] != ' ' &&
            p->low > 0) {
            bth_str_putc(v->out, ' ');
        }
        v->space_due = empty && p->space_after && p->low < v->n_units;
    }
    write_token(v, p->open);
    write_inside(v, p);
    if (p->close != UINT32_MAX) {
        write_token(v, p->close);
    }
}

static void write_all(struct weave *v) {
    write_inside(v, &v->nodes[0]);
    write_gap(v, v->n_units);
    for (; v->sentence < v->w->n; v->sentence++) {
        v->w->begins[v->sentence] = v->out->size;
    }
    for (; v->ending < v->w->n; v->ending++) {
        v->w->ends[v->ending] = v->out->size;
    }
}

int bth_html_weave(const struct bth_html_woven *w, struct bth_str *out, struct berth_error *err) {
    struct weave v = {.w = w, .out = out};
    size_t n_marks = w->paragraph->n_marks;
    /* an upper bound: sentences may be cut within a word */
    size_t most = bth_units_count(w->text + w->target, w->target_end - w->target) + 2 * w->n + 1;
    v.units = bth_alloc(most * sizeof(*v.units));
    v.by_source = bth_alloc(most * sizeof(*v.by_source));
    v.nodes = bth_alloc((n_marks + 1) * sizeof(*v.nodes));
    v.changes = bth_alloc((n_marks + 1) * sizeof(*v.changes));
    v.order = bth_alloc((n_marks + 1) * sizeof(*v.order));
    int rc = 0;
    if (!v.units || !v.by_source || !v.nodes || !v.changes || !v.order) {
        rc = bth_error_nomem(err);
    } else {
        make_units(&v);
        make_nodes(&v);
        rc = sort_units(&v, err);
        rc = rc < 0 ? rc : place(&v, err);
    }
    if (rc == 0) {
        write_all(&v);
        rc = out->failed ? bth_error_nomem(err) : 0;
    }
    bth_free(v.units);
    bth_free(v.by_source);
    bth_free(v.nodes);
    bth_free(v.changes);
    bth_free(v.order);
    return rc;
}

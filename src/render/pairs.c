#include "render/pairs.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include <string.h>
#include <strings.h>

static const char family[] = "marian/";

/* ---- languages -------------------------------------------------------------------------------*/

static char folded(char c) {
    return c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
}

bool bth_same_language(const char *a, const char *b, bool loose) {
    while (*a && folded(*a) == folded(*b)) {
        if (loose && folded(*a) == '-') {
            return true;
        }
        a++, b++;
    }
    bool a_ends = !*a || (loose && folded(*a) == '-'), b_ends = !*b || (loose && folded(*b) == '-');
    return a_ends && b_ends;
}

const char *bth_language_name(const char *code) {
    static const char *const names[][2] = {
        {"af", "Afrikaans"},
        {"ar", "Arabic"},
        {"az", "Azerbaijani"},
        {"be", "Belarusian"},
        {"bg", "Bulgarian"},
        {"bn", "Bengali"},
        {"bs", "Bosnian"},
        {"ca", "Catalan"},
        {"cs", "Czech"},
        {"cy", "Welsh"},
        {"da", "Danish"},
        {"de", "German"},
        {"el", "Greek"},
        {"en", "English"},
        {"eo", "Esperanto"},
        {"es", "Spanish"},
        {"et", "Estonian"},
        {"eu", "Basque"},
        {"fa", "Persian"},
        {"fi", "Finnish"},
        {"fr", "French"},
        {"ga", "Irish"},
        {"gl", "Galician"},
        {"gu", "Gujarati"},
        {"he", "Hebrew"},
        {"hi", "Hindi"},
        {"hr", "Croatian"},
        {"hu", "Hungarian"},
        {"hy", "Armenian"},
        {"id", "Indonesian"},
        {"is", "Icelandic"},
        {"it", "Italian"},
        {"ja", "Japanese"},
        {"ka", "Georgian"},
        {"kk", "Kazakh"},
        {"kn", "Kannada"},
        {"ko", "Korean"},
        {"lt", "Lithuanian"},
        {"lv", "Latvian"},
        {"mk", "Macedonian"},
        {"ml", "Malayalam"},
        {"mr", "Marathi"},
        {"ms", "Malay"},
        {"mt", "Maltese"},
        {"nb", "Norwegian Bokm\xC3\xA5l"},
        {"nl", "Dutch"},
        {"nn", "Norwegian Nynorsk"},
        {"no", "Norwegian"},
        {"pl", "Polish"},
        {"pt", "Portuguese"},
        {"ro", "Romanian"},
        {"ru", "Russian"},
        {"sk", "Slovak"},
        {"sl", "Slovenian"},
        {"sq", "Albanian"},
        {"sr", "Serbian"},
        {"sv", "Swedish"},
        {"sw", "Swahili"},
        {"ta", "Tamil"},
        {"te", "Telugu"},
        {"th", "Thai"},
        {"tl", "Tagalog"},
        {"tr", "Turkish"},
        {"uk", "Ukrainian"},
        {"ur", "Urdu"},
        {"uz", "Uzbek"},
        {"vi", "Vietnamese"},
        {"zh", "Chinese"},
        {"pt-BR", "Portuguese (Brazil)"},
        {"zh-Hans", "Chinese"},
        {"zh-Hant", "Chinese (traditional)"},
    };
    for (size_t i = 0; i < BTH_COUNT(names); i++) {
        if (bth_same_language(names[i][0], code, false)) {
            return names[i][1];
        }
    }
    return code;
}

/* ---- the list --------------------------------------------------------------------------------*/

/* Where the second language of "zh-Hant-en" begins: behind the first "-" that two or three small
 * letters follow. NULL: this is no pair. */
static const char *second_language(const char *pair) {
    for (const char *p = pair; (p = strchr(p, '-'));) {
        p++;
        size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz");
        if (p > pair + 1 && n >= 2 && n <= 3 && (!p[n] || p[n] == '-' || p[n] == '_')) {
            return p;
        }
    }
    return NULL;
}

int bth_pairs_add(struct bth_pairs *p, const char *name, const char *model,
                  struct berth_error *err) {
    size_t n = sizeof(family) - 1;
    const char *pair = name + n;
    const char *second = strncmp(name, family, n) == 0 ? second_language(pair) : NULL;
    if (!second || strlen(second) >= BTH_LANGUAGE_BYTES ||
        (size_t)(second - pair) > BTH_LANGUAGE_BYTES || strlen(model) >= sizeof(p->all->model)) {
        return 0;
    }
    struct bth_pair one = {0};
    memcpy(one.source, pair, (size_t)(second - pair) - 1);
    memcpy(one.target, second, strlen(second));
    memcpy(one.model, model, strlen(model));
    for (size_t i = 0; i < p->n; i++) {
        if (bth_same_language(p->all[i].source, one.source, false) &&
            bth_same_language(p->all[i].target, one.target, false)) {
            return 0;
        }
    }
    if (p->n == p->capacity) {
        size_t more = p->capacity ? p->capacity * 2 : 8;
        struct bth_pair *all = bth_realloc_array(p->all, more, sizeof(*all));
        if (!all) {
            return bth_error_nomem(err);
        }
        p->all = all;
        p->capacity = more;
    }
    p->all[p->n++] = one;
    return 0;
}

void bth_pairs_finish(struct bth_pairs *p) {
    bth_free(p->all);
    *p = (struct bth_pairs){0};
}

/* ---- routes ----------------------------------------------------------------------------------*/

static const struct bth_pair *find(const struct bth_pairs *p, const char *source,
                                   const char *target) {
    for (int loose = 0; loose < 3; loose++) { /* exactly; but for one region; but for both */
        for (size_t i = 0; i < p->n; i++) {
            if (bth_same_language(p->all[i].source, source, loose > 0) &&
                bth_same_language(p->all[i].target, target, loose > 1)) {
                return &p->all[i];
            }
        }
    }
    return NULL;
}

static bool by_way_of(const struct bth_pairs *p, const char *source, const char *target,
                      const char *pivot, struct bth_pair_route *out) {
    struct bth_pair_route r = {.legs = {find(p, source, pivot), find(p, pivot, target)}, .n = 2};
    if (!r.legs[0] || !r.legs[1] || bth_same_language(source, pivot, true) ||
        bth_same_language(target, pivot, true)) {
        return false;
    }
    *out = r;
    return true;
}

static int none(const struct bth_pairs *p, const char *source, const char *target,
                const char *pivot, struct berth_error *err) {
    struct bth_str list = {0};
    for (size_t i = 0; i < p->n && list.size < 120; i++) {
        bth_str_printf(&list, "%s%s-%s", i ? ", " : "", p->all[i].source, p->all[i].target);
    }
    int rc = bth_error(err, BERTH_ENOTFOUND,
                       "no model translates from %.16s to %.16s%s%.16s; "
                       "there are: %.100s",
                       source, target, pivot ? " by way of " : "", pivot ? pivot : "",
                       p->n ? bth_str_text(&list) : "none");
    bth_str_finish(&list);
    return rc;
}

int bth_pairs_route(const struct bth_pairs *p, const char *source, const char *target,
                    const char *pivot, struct bth_pair_route *out, struct berth_error *err) {
    const struct bth_pair *direct = find(p, source, target);
    if (direct) {
        *out = (struct bth_pair_route){.legs = {direct}, .n = 1};
        return 0;
    }
    bool any = pivot && strcasecmp(pivot, "auto") == 0;
    if (bth_same_language(source, target, true)) {
        return none(p, source, target, NULL, err);
    }
    if (pivot && by_way_of(p, source, target, any ? "en" : pivot, out)) {
        return 0;
    }
    for (size_t i = 0; i < p->n && any; i++) {
        if (bth_same_language(p->all[i].source, source, true) &&
            by_way_of(p, source, target, p->all[i].target, out)) {
            return 0;
        }
    }
    return none(p, source, target, any ? "another" : pivot, err);
}

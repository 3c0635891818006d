/* Models by the languages in their names: direct, by way of another, regions, and what there is. */
#include "render/pairs.h"

#include "base/alloc.h"
#include "lib/test.h"

static struct bth_pairs pairs(const char *const *names) {
    struct bth_pairs p = {0};
    struct berth_error err;
    for (; *names; names++) {
        CHECK_OK(bth_pairs_add(&p, *names, *names, &err), err);
    }
    return p;
}

static void goes(const struct bth_pairs *p, const char *source, const char *target,
                 const char *pivot, const char *first, const char *second) {
    struct bth_pair_route r;
    struct berth_error err;
    int rc = bth_pairs_route(p, source, target, pivot, &r, &err);
    if (!first) {
        CHECK_INT(rc, BERTH_ENOTFOUND);
        CHECK(strstr(err.message, "there are: "));
        return;
    }
    CHECK_OK(rc, err);
    CHECK_STR(r.legs[0]->model, first);
    CHECK_INT(r.n, second ? 2 : 1);
    if (second) {
        CHECK_STR(r.legs[1]->model, second);
    }
}

int main(void) {
    static const char *const names[] = {
        "marian/en-pt",      "marian/pt-en",      "marian/de-en", "whisper/base", "marian/base",
        "marian/",           "marian/-en",        "marian/en-",   "toy/en-fr",    "marian/EN-PT",
        "marian/en-zh-Hant", "marian/zh-Hant-en", "marian/fr-es", "marian/es-it", NULL};
    struct bth_pairs p = pairs(names);
    CHECK_INT(p.n, 7);
    CHECK_STR(p.all[3].target, "zh-Hant");
    CHECK_STR(p.all[4].source, "zh-Hant");
    goes(&p, "en", "pt", NULL, "marian/en-pt", NULL);
    goes(&p, "EN_us", "pt-BR", "auto", "marian/en-pt", NULL);
    goes(&p, "zh-hant", "en", NULL, "marian/zh-Hant-en", NULL);
    goes(&p, "de", "pt", NULL, NULL, NULL);
    goes(&p, "de", "pt", "en", "marian/de-en", "marian/en-pt");
    goes(&p, "de", "pt", "fr", NULL, NULL);
    goes(&p, "de", "pt", "auto", "marian/de-en", "marian/en-pt");
    goes(&p, "fr", "it", "auto", "marian/fr-es", "marian/es-it");
    goes(&p, "en", "en", "auto", NULL, NULL);
    goes(&p, "x", "", "auto", NULL, NULL);
    bth_pairs_finish(&p);
    goes(&p, "en", "pt", NULL, NULL, NULL);
    CHECK(!bth_same_language("en", "eng", true) && !bth_same_language("en", "", true));
    CHECK_STR(bth_language_name("PT"), "Portuguese");
    CHECK_STR(bth_language_name("tlh"), "tlh");

    struct berth_error err;
    bth_alloc_fail_at(1);
    CHECK_INT(bth_pairs_add(&p, "marian/en-pt", "m", &err), BERTH_ENOMEM);
    bth_alloc_fail_at(0);
    bth_pairs_finish(&p);
    return 0;
}

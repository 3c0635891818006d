/* Ids of strings: spaCy's published values, reserved names, stores above each other. */
#include "base/alloc.h"
#include "lib/test.h"
#include "spacy/spacy_cache.h"
#include "spacy/spacy_strings.h"
#include <berth/error.h>

static uint64_t id(const char *s) {
    return spacy_string_id(s, strlen(s));
}

static void test_ids(void) {
    CHECK(id("a") == UINT64_C(11901859001352538922));
    CHECK(id("hello") == UINT64_C(5983625672228268878));
    CHECK(id("the") == UINT64_C(7425985699627899538));
    CHECK(id("ünïcødé") == UINT64_C(1287214212516472143));
    CHECK(id("aaaaaaaaaaaaaaaa") == UINT64_C(17247622914660140996));
    CHECK(id("") == 0 && id("PERSON") == 380 && id("IS_ALPHA") == 1 && id("_") == 456);
    CHECK(id("X") == 101 && id("det") == 415 && id("punct") == 445 && id("FLAG19") == 19);
    CHECK(id("FLAG63") == 63 && id("DEPRECATED001") == 104 && id("DEPRECATED276") == 379);
    CHECK(id("FLAG18") > 1000 && id("FLAG64") > 1000 && id("DEPRECATED277") > 1000);
    CHECK(id("noun") > 1000 && id("PERSO") > 1000 && id("PERSONS") > 1000);
    CHECK(spacy_string_id("X\0", 2) > 1000);
    CHECK(spacy_string_hash("X", 1) != 101);
}

static void test_stores(void) {
    struct spacy_strings *model = spacy_strings_create(NULL);
    struct spacy_strings *doc = spacy_strings_create(model);
    CHECK(model && doc);
    uint64_t x, y;
    CHECK(spacy_strings_add(model, "below", 5, &x) == 0 && x == id("below"));
    CHECK(spacy_strings_add(doc, "above", 5, &y) == 0);
    CHECK_STR(spacy_strings_get(doc, x), "below");
    CHECK_STR(spacy_strings_get(doc, y), "above");
    CHECK(!spacy_strings_get(model, y) && !spacy_strings_get(doc, 12345));
    CHECK_STR(spacy_strings_get(doc, 0), "");
    CHECK_STR(spacy_strings_get(doc, 96), "PROPN");
    CHECK(spacy_strings_add(doc, "", 0, &y) == 0 && y == 0);
    CHECK(spacy_strings_add(doc, "FLAG20", 6, &y) == 0 && y == 20);
    CHECK_STR(spacy_strings_get(doc, 20), "FLAG20");
    char text[16];
    for (int i = 0; i < 5000; i++) {
        int n = snprintf(text, sizeof(text), "s%d", i);
        CHECK(spacy_strings_add(doc, text, (size_t)n, &y) == 0);
        CHECK_STR(spacy_strings_get(doc, y), text);
    }
    CHECK_STR(spacy_strings_get(doc, id("s17")), "s17");
    spacy_strings_destroy(doc);
    spacy_strings_destroy(model);
    spacy_strings_destroy(NULL);
}

static void test_memory(void) {
    struct spacy_strings *s = spacy_strings_create(NULL);
    uint64_t x = 7;
    for (int n = 1; n <= 2; n++) {
        bth_alloc_fail_at(n);
        CHECK_INT(spacy_strings_add(s, "text", 4, &x), BERTH_ENOMEM);
        CHECK(x == 7 && !spacy_strings_get(s, id("text")));
    }
    bth_alloc_fail_at(0);
    CHECK_INT(spacy_strings_add(s, "text", 4, &x), 0);
    spacy_strings_destroy(s);
    bth_alloc_fail_at(1);
    CHECK(!spacy_strings_create(NULL));
    bth_alloc_fail_at(0);
}

/* Texts made to meet in one place of a cache take little of it, and all that is there is found. */
static void test_cache(void) {
    struct spacy_cache *c = spacy_cache_create(1000);
    size_t kept = 0;
    CHECK(c);
    for (uint64_t i = 0; i < 600; i++) {
        struct spacy_cache_entry *e = bth_alloc(sizeof(*e) + 8);
        CHECK(e);
        memcpy(e + 1, &i, 8);
        const uint64_t hash = i < 500 ? 7 | i << 32 : 1000 + 5 * i;
        *e = (struct spacy_cache_entry){.text = (char *)(e + 1), .bytes = 8, .hash = hash};
        if (spacy_cache_add(c, e)) {
            kept++;
            CHECK(spacy_cache_find(c, (const char *)&i, 8, hash));
        } else {
            CHECK(i < 500 && !spacy_cache_find(c, (const char *)&i, 8, hash));
        }
    }
    CHECK(kept >= 110 && kept < 200);
    CHECK_INT(spacy_cache_count(c), kept);
    spacy_cache_destroy(c);
}

int main(void) {
    test_cache();
    test_ids();
    test_stores();
    test_memory();
    return 0;
}

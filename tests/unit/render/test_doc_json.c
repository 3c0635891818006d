/* The documents in tests/golden/docs (tools/golden_spacy_docs.py), as a daemon sends them, written
 * again: what comes out must be spaCy's bytes. */
#include "base/alloc.h"
#include "base/fs.h"
#include "client/event.h"
#include "lib/test.h"
#include "render/displacy.h"
#include "render/doc_json.h"
#include "render/doc_text.h"
#include <jansson.h>

static json_t *golden(const char *name) {
    struct berth_error err = {0};
    char *path = bth_printf("%s/golden/docs/%s.json", BTH_TEST_DATA, name), *text;
    size_t n;
    CHECK_OK(bth_read_file(path, 1 << 20, &text, &n, &err), err);
    json_t *v = json_loadb(text, n, 0, NULL);
    CHECK(v);
    bth_free(text);
    bth_free(path);
    return v;
}

static struct berth_item *item_of(const json_t *v) {
    char *line = json_dumps(json_object_get(v, "line"), JSON_COMPACT);
    struct bth_event e;
    struct berth_error err = {0};
    CHECK_OK(bth_event_parse(line, strlen(line), &e, &err), err);
    free(line);
    return e.item;
}

static void same(const json_t *v, const char *key, struct bth_str *out) {
    const char *expected = json_string_value(json_object_get(v, key));
    CHECK(!out->failed);
    CHECK_STR(bth_str_text(out), expected);
    bth_str_finish(out);
}

static void json_same(const json_t *v, const char *key, const struct berth_doc *doc,
                      const char *offsets, const char *attributes) {
    struct bth_doc_json how = {0};
    struct berth_error err = {0};
    struct bth_str out = {0};
    CHECK_OK(bth_doc_json_offsets(offsets, &how.offsets, &err), err);
    if (attributes) {
        CHECK_OK(bth_doc_json_attributes(attributes, &how.attributes, &err), err);
    }
    bth_doc_json_write(&out, doc, &how);
    same(v, key, &out);
}

static void drawn_same(const json_t *v, const struct berth_doc *doc) {
    static const char *const keys[] = {"dep", "ent"}, *const pages[] = {"dep_page", "ent_page"};
    for (size_t i = 0; i < 2; i++) {
        enum bth_displacy_style style;
        struct bth_str out = {0};
        CHECK(bth_displacy_parse(keys[i], &style));
        bth_displacy_write(&out, doc, style, "berth-0");
        same(v, keys[i], &out);
        bth_displacy_page_begin(&out, doc);
        bth_displacy_page_figure(&out, doc, style, "berth-0");
        bth_displacy_page_end(&out);
        same(v, pages[i], &out);
    }
}

static void check(const char *name) {
    json_t *v = golden(name);
    struct berth_item *item = item_of(v);
    struct bth_str names = {0};
    char all[512], *to = all;
    json_same(v, "to_json", item->doc, "codepoint", NULL);
    json_same(v, "utf8", item->doc, "utf8", NULL);
    json_same(v, "utf16", item->doc, "utf16", NULL);
    bth_doc_json_names(&names);
    for (const char *p = bth_str_text(&names); *p; p++) {
        *to = *p;
        to += *p != ' ';
    }
    *to = '\0';
    json_same(v, "everything", item->doc, "codepoint", all);
    drawn_same(v, item->doc);
    bth_str_finish(&names);
    berth_item_free(item);
    json_decref(v);
}

static void test_names(void) {
    enum bth_doc_offsets offsets = BTH_OFFSETS_UTF8;
    uint64_t set = 1;
    struct berth_error err;
    CHECK_INT(bth_doc_json_offsets("bytes", &offsets, &err), BERTH_EINVAL);
    CHECK_INT(offsets, BTH_OFFSETS_UTF8);
    CHECK_INT(bth_doc_json_attributes("lemma,,pos", &set, &err), BERTH_EINVAL);
    CHECK_INT(bth_doc_json_attributes("", &set, &err), BERTH_EINVAL);
    CHECK_INT(bth_doc_json_attributes("lemma,pose", &set, &err), BERTH_EINVAL);
    CHECK_INT(set, 1);
    uint64_t plain = 0, spelt = 0;
    CHECK_OK(bth_doc_json_attributes("lemma,pos", &plain, &err), err);
    CHECK_OK(bth_doc_json_attributes("pos_,lemma_", &spelt, &err), err);
    CHECK(plain == spelt && plain != 0);
    enum bth_displacy_style style = BTH_DISPLACY_ENT;
    CHECK(!bth_displacy_parse("span", &style));
}

static void test_chosen(void) {
    json_t *v = golden("entities");
    struct berth_item *item = item_of(v);
    struct bth_doc_json how = {0};
    struct berth_error err;
    struct bth_str out = {0};
    CHECK_OK(bth_doc_json_attributes("ents", &how.attributes, &err), err);
    bth_doc_json_write(&out, item->doc, &how);
    CHECK_STR(
        bth_str_text(&out),
        "{\"text\": \"Angela Merkel lives in Berlin.\", \"ents\": [{\"start\": 0, \"end\": 13, "
        "\"label\": \"PERSON\"}, {\"start\": 23, \"end\": 29, \"label\": \"GPE\"}]}");
    bth_str_finish(&out);
    how.attributes = 0;
    CHECK_OK(bth_doc_json_attributes("shape", &how.attributes, &err), err);
    bth_doc_json_write(&out, item->doc, &how);
    CHECK(strstr(bth_str_text(&out),
                 "\"tokens\": [{\"id\": 0, \"start\": 0, \"end\": 6, \"shape\": "
                 "\"Xxxxx\"}, "));
    bth_str_finish(&out);
    berth_item_free(item);
    json_decref(v);
}

static void test_conllu(void) {
    json_t *v = golden("two");
    struct berth_item *item = item_of(v);
    struct bth_str out = {0};
    bth_doc_conllu_write(&out, item->doc, "a\nb");
    const char *text = bth_str_text(&out);
    CHECK(strncmp(text, "# newdoc id = a b\n# sent_id = 1\n# text = Mr. O'Neill said:", 58) == 0);
    CHECK(strstr(text, "\n1\tMr.\tMr.\tPROPN\tNNP\tNumber=Sing\t2\tcompound\t_\t_\n"));
    CHECK(strstr(text,
                 "\n2\tO'Neill\tO'Neill\tPROPN\tNNP\tNumber=Sing\t3\tnsubj\t_\tNER=B-PERSON\n"));
    CHECK(strstr(text, "\tSpacesAfter=\\n\\n\n"));
    CHECK(strstr(text, "\t0\troot\t_\t"));
    CHECK(strstr(text, "SpaceAfter=No\n"));
    CHECK(!strstr(text, "SPACE"));
    for (const char *p = text; (p = strchr(p, '\n')) && p[1]; p++) {
        if (p[1] != '#' && p[1] != '\n') {
            size_t tabs = 0;
            for (const char *q = p + 1; *q != '\n'; q++) {
                tabs += *q == '\t';
            }
            CHECK_INT(tabs, 9);
        }
    }
    bth_str_finish(&out);
    berth_item_free(item);
    json_decref(v);
    v = golden("words");
    item = item_of(v);
    bth_doc_conllu_write(&out, item->doc, NULL);
    CHECK_STR(
        bth_str_text(&out),
        "# newdoc\n# sent_id = 1\n# text = Who only wants words?\n1\tWho\t_\t_\t_\t_\t_\t_\t_\t_\n"
        "2\tonly\t_\t_\t_\t_\t_\t_\t_\t_\n3\twants\t_\t_\t_\t_\t_\t_\t_\t_\n"
        "4\twords\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No\n5\t?\t_\t_\t_\t_\t_\t_\t_\t_\n\n");
    bth_str_finish(&out);
    berth_item_free(item);
    json_decref(v);
}

static void test_table(void) {
    json_t *v = golden("entities");
    struct berth_item *item = item_of(v);
    struct bth_str out = {0};
    bth_doc_table_write(&out, item->doc);
    CHECK_STR(bth_str_text(&out), "I  TEXT    ENTITY\n"
                                  "0  Angela  B-PERSON\n"
                                  "1  Merkel  I-PERSON\n"
                                  "2  lives\n"
                                  "3  in\n"
                                  "4  Berlin  B-GPE\n"
                                  "5  .\n");
    bth_str_finish(&out);
    berth_item_free(item);
    json_decref(v);
}

/* Every allocation fails once: the string says so, and nothing is left behind. */
static void test_no_memory(void) {
    json_t *v = golden("two");
    struct berth_item *item = item_of(v);
    int64_t live = bth_alloc_live();
    bool again = true;
    for (int64_t n = 1; again; n++) {
        struct bth_str out = {0};
        struct bth_doc_json how = {0};
        bth_alloc_fail_at(n);
        bth_doc_json_write(&out, item->doc, &how);
        bth_doc_conllu_write(&out, item->doc, NULL);
        bth_displacy_write(&out, item->doc, BTH_DISPLACY_DEP, "x");
        bth_displacy_write(&out, item->doc, BTH_DISPLACY_ENT, "x");
        again = bth_alloc_failed();
        CHECK(out.failed == again);
        bth_alloc_fail_at(0);
        bth_str_finish(&out);
        CHECK_INT(bth_alloc_live(), live);
    }
    berth_item_free(item);
    json_decref(v);
}

int main(void) {
    static const char *const names[] = {"plain", "two",     "mixed",   "one",
                                        "blank", "nothing", "long",    "sentences",
                                        "words", "tagged",  "entities"};
    for (size_t i = 0; i < BTH_COUNT(names); i++) {
        check(names[i]);
    }
    test_names();
    test_chosen();
    test_conllu();
    test_table();
    test_no_memory();
    return 0;
}

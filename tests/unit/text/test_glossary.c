/* Terms: where they are found, and how they get into a translation. */
#include "base/alloc.h"
#include "lib/test.h"
#include "text/glossary.h"

static struct bth_glossary *open_one(const char *json) {
    struct bth_glossary *g;
    struct berth_error err;
    CHECK_OK(bth_glossary_open(json, false, &g, &err), err);
    return g;
}

static void refused(const char *json, const char *part) {
    struct bth_glossary *g = NULL;
    struct berth_error err;
    CHECK_INT(bth_glossary_open(json, false, &g, &err), BERTH_EINVAL);
    CHECK(!g && strstr(err.message, part));
}

/* All terms of a text, each in brackets; ^ where it has a capital of its own. */
static void found(const char *json, const char *text, const char *expected) {
    struct bth_glossary *g = open_one(json);
    struct bth_term t;
    char out[512] = "";
    for (size_t at = 0; bth_glossary_next(g, text, strlen(text), &at, &t);) {
        char one[128];
        snprintf(one, sizeof(one), "[%.*s%s]", (int)(t.end - t.begin), text + t.begin,
                 t.capital ? "^" : "");
        strcat(out, one);
        CHECK(at == t.end);
    }
    if (strcmp(out, expected) != 0) {
        TEST_FAIL("%s in %s: %s", json, text, out);
    }
    bth_glossary_free(g);
}

/* The sentence's words are linked one to one, as `order` says: word i of the target comes from word
 * order[i] of the source; '-': of none that is known. */
static void exchanged(const char *json, const char *source, const char *target, const char *order,
                      const char *expected, const char *placed) {
    struct bth_glossary *g = open_one(json);
    struct bth_term terms[8];
    struct bth_html_link links[16];
    uint32_t ends[16];
    struct berth_error err;
    struct bth_str out = {0};
    struct bth_glossary_sentence s = {.source = source,
                                      .target = target,
                                      .n_source = strlen(source),
                                      .n_target = strlen(target),
                                      .terms = terms,
                                      .links = links,
                                      .ends = ends};
    for (size_t at = 0; bth_glossary_next(g, source, s.n_source, &at, &terms[s.n_terms]);) {
        s.n_terms++;
    }
    for (size_t at = 0, i = 0; order[i]; i++) {
        const size_t n = strcspn(target + at, " ");
        size_t from = 0;
        for (int word = order[i] - '0'; order[i] != '-' && word > 0; word--) {
            from += strcspn(source + from, " ") + 1;
        }
        links[s.n_links++] = (struct bth_html_link){at, at + n, from};
        ends[s.n_ends++] = (uint32_t)(at + n);
        at += n + 1;
    }
    CHECK_OK(bth_glossary_exchange(g, &s, &out, &err), err);
    if (strcmp(bth_str_text(&out), expected) != 0) {
        TEST_FAIL("%s", bth_str_text(&out));
    }
    for (size_t i = 0; i < s.n_terms; i++) {
        CHECK(terms[i].placed == (placed[i] == 'y'));
    }
    for (size_t i = 0; i < s.n_ends; i++) {
        CHECK(ends[i] <= out.size && (i == 0 || ends[i] >= ends[i - 1]));
    }
    CHECK(s.n_ends == 0 || ends[s.n_ends - 1] == out.size);
    bth_str_finish(&out);
    bth_glossary_free(g);
}

int main(void) {
    static const char trains[] = "{\"train\": \"comboio\", \"train station\": \"gare\", "
                                 "\"Berth\": \"Berth\", \"a\": \"um\"}";
    refused("[]", "object");
    refused("{\"a\": 1}", "'a'");
    refused("{\"\": \"x\"}", "blanks");
    refused("{\" a\": \"x\"}", "blanks");
    refused("{\"a\": \"x\\ny\"}", "one line");
    refused("{\"a\": \"\"}", "'a'");
    refused("{\"a\": \"x\", \"a\": \"y\"}", "object");
    refused("", "object");

    found(trains, "A train at the train station, a trainer", "[A^][train][train station][a]");
    found(trains, "Train, berth, Berth, (train)", "[Train^][Berth][train]");
    found(trains, "", "");
    found("{\"\xc3\xa9t\xc3\xa9\": \"summer\"}",
          "L'\xc3\xa9t\xc3\xa9, \xc3\x89t\xc3\xa9s, "
          "\xc3\x89t\xc3\xa9",
          "[\xc3\xa9t\xc3\xa9][\xc3\x89t\xc3\xa9^]");
    found("{\"C++\": \"C++\", \"C\": \"ce\"}", "C++ and C, C#", "[C++][C][C]");
    found("{}", "text", "");
    static const char address[] = "{\"berth\": \"x\", \"www.berth.org\": \"y\", \"a@b.c\": \"z\"}";
    found(address, "https://berth.org/berth berth (see http://berth), me@berth.org", "[berth]");
    found(address, "www.berth.org. www.berth.org/berth a@b.c) a@b.cd berth",
          "[www.berth.org][a@b.c][berth]");
    found(address,
          "berth:\nwww.berth\xc2\xa0"
          "berth",
          "[berth][berth]");

    /* moved with its words, and only they are exchanged */
    exchanged(trains, "the train station is here",
              "a esta\xc3\xa7\xc3\xa3o ferrovi\xc3\xa1ria fica aqui", "02134", "a gare fica aqui",
              "y");
    exchanged(trains, "here is the train", "o trem aqui est\xc3\xa1", "2301",
              "o comboio aqui est\xc3\xa1", "y");
    /* one unit of others between the words does not part them */
    exchanged(trains, "my train station now", "esta\xc3\xa7\xc3\xa3o de trem minha agora", "20103",
              "gare minha agora", "y");
    /* already there: nothing changes, wherever it is */
    exchanged(trains, "Berth is a harbour", "um porto \xc3\xa9 Berth", "0310",
              "um porto \xc3\xa9 Berth", "yy");
    /* no word came from it: behind what came from the text before it */
    exchanged(trains, "go with Berth now", "vai agora", "03", "vai Berth agora", "n");
    exchanged(trains, "Berth goes", "vai", "1", "Berth vai", "n");
    exchanged(trains, "Train goes", "o trem vai", "001", "Comboio vai", "y");
    exchanged(trains, "Berth", "", "", "Berth", "n");
    exchanged("{\"one\": \"1\", \"two\": \"2\"}", "one two", "dois um", "10", "2 1", "yy");
    exchanged("{\"one\": \"1\", \"two\": \"2\"}", "one two three", "x", "2", "1 2 x", "nn");

    for (int i = 1;; i++) { /* memory that is short */
        struct bth_glossary *g = NULL;
        struct berth_error err;
        bth_alloc_fail_at(i);
        int rc = bth_glossary_open(trains, false, &g, &err);
        bth_alloc_fail_at(0);
        bth_glossary_free(g);
        if (rc == 0) {
            break;
        }
        CHECK_INT(rc, BERTH_ENOMEM);
    }
    return 0;
}

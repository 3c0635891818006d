/* config.cfg: the dialect, references, and what is refused. */
#include "base/alloc.h"
#include "base/compiler.h"
#include "lib/test.h"
#include "spacy/spacy_config.h"

static json_t *parse(const char *text) {
    struct berth_error err;
    json_t *config;
    CHECK_OK(spacy_config_parse(text, strlen(text), &config, &err), err);
    return config;
}

static void test_reads(void) {
    json_t *c = parse("[paths]\ntrain = null\nbase = \"/data\"\nfull = \"${paths.base}/x\"\n\n"
                      "# a comment\n; another\n"
                      "[nlp]\nlang = \"en\"\npipeline = [\"tok2vec\",\n  \"tagger\"]\n"
                      "batch: 1000\nplain = some text\ncost = $$5 $\n"
                      "[nlp.tokenizer]\n@tokenizers = \"spacy.Tokenizer.v1\"\n\n"
                      "[components]\n[components.tagger]\nrate = 0.1\nkeep = true\n"
                      "width = ${components.tok2vec.width}\nsame = ${nlp:pipeline}\n"
                      "block = ${nlp.tokenizer}\n[components.tok2vec]\nwidth = 96\n");
    CHECK_STR(spacy_config_text(c, "nlp.lang", ""), "en");
    CHECK_INT(json_array_size(spacy_config_at(c, "nlp.pipeline")), 2);
    CHECK_INT(spacy_config_int(c, "nlp.batch", 0), 1000);
    CHECK_STR(spacy_config_text(c, "nlp.plain", ""), "some text");
    CHECK_STR(spacy_config_text(c, "nlp.cost", ""), "$5 $");
    CHECK_STR(spacy_config_text(c, "paths.full", ""), "/data/x");
    CHECK(json_is_null(spacy_config_at(c, "paths.train")));
    CHECK_STR(spacy_config_text(c, "nlp.tokenizer.@tokenizers", ""), "spacy.Tokenizer.v1");
    CHECK_INT(spacy_config_int(c, "components.tagger.width", 0), 96);
    CHECK_INT(json_array_size(spacy_config_at(c, "components.tagger.same")), 2);
    CHECK_STR(spacy_config_text(c, "components.tagger.block.@tokenizers", ""),
              "spacy.Tokenizer.v1");
    CHECK(json_is_true(spacy_config_at(c, "components.tagger.keep")));
    CHECK_INT(spacy_config_int(c, "components.none", 7), 7);
    CHECK(!spacy_config_at(c, "components.tagger.rate.deep"));
    json_decref(c);
}

static void test_refuses(void) {
    static const char *const bad[] = {
        "key = 1\n",                        /* no section */
        "[a]\nno sign\n",                   /* */
        "[a]\nx = 1\nx = 2\n",              /* twice */
        "[a]\nx = ${a.x}\n",                /* itself */
        "[a]\nx = ${a.y}\ny = ${a.x}\n",    /* in a ring */
        "[a]\nx = ${a}\n",                  /* its own section */
        "[a]\nx = ${b.y}\n",                /* nothing */
        "[a]\nx = 1\n[b]\ny = text ${a}\n", /* a section in a text */
        "[a]\nx = \xff\n",                  /* no UTF-8 */
    };
    struct berth_error err;
    json_t *c = NULL;
    for (size_t i = 0; i < BTH_COUNT(bad); i++) {
        CHECK_INT(spacy_config_parse(bad[i], strlen(bad[i]), &c, &err), BERTH_EFORMAT);
        CHECK(!c);
    }
    /* ten times ten times ten ... of a text */
    char text[4096];
    int n = snprintf(text, sizeof(text), "[a]\nx0 = 0123456789\n");
    for (int i = 1; i <= 9; i++) {
        n += snprintf(text + n, sizeof(text) - (size_t)n, "x%d = ", i);
        for (int k = 0; k < 10; k++) {
            n += snprintf(text + n, sizeof(text) - (size_t)n, "a${a.x%d}", i - 1);
        }
        n += snprintf(text + n, sizeof(text) - (size_t)n, "\n");
    }
    CHECK_INT(spacy_config_parse(text, (size_t)n, &c, &err), BERTH_EFORMAT);
}

static void test_memory(void) {
    const char text[] = "[a]\nx = 1\ny = \"${a.x} of\"\n[a.b]\nz = [1]\n";
    const int64_t before = bth_alloc_live();
    for (int64_t n = 1;; n++) {
        struct berth_error err;
        json_t *c = NULL;
        bth_alloc_fail_at(n);
        int rc = spacy_config_parse(text, strlen(text), &c, &err);
        const bool failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        json_decref(c);
        CHECK_INT(bth_alloc_live(), before);
        if (!failed) {
            CHECK_INT(rc, 0);
            break;
        }
        CHECK_INT(rc, BERTH_ENOMEM);
    }
}

int main(void) {
    test_reads();
    test_refuses();
    test_memory();
    return 0;
}

/*
 * What a text comes back as: spaces kept, what has no letters untouched, spans that fit, tasks,
 * alternatives, scores, the cache and the guard; and requests that are refused.
 */
#include "compute/compute.h"
#include "lib/drive.h"
#include "lib/test.h"
#include "lib/tiny_marian.h"
#include "marian/marian.h"
#include "marian/marian_session.h"
#include "marian/marian_vocab_internal.h"
#include <math.h>
#include <time.h>

/* What vocabularies take for a blank, and the engine does not. */
#define NOTHING "\xe2\x96\x81"

static struct drive_model m;

/* Options as "name=value name=value". */
static struct drive_one ask(const char *text, const char *options) {
    static struct berth_option all[8];
    static char copy[256];
    struct drive_one one = {.request = BERTH_REQUEST_INIT, .cancel_after = -1};
    snprintf(copy, sizeof(copy), "%s", options);
    for (char *save = NULL, *p = strtok_r(copy, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
        char *value = strchr(p, '=');
        *value = '\0';
        all[one.request.n_options++] = (struct berth_option){p, value + 1};
    }
    one.request.options = all;
    one.request.input =
        (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = text, .size = strlen(text)};
    return one;
}

static const struct berth_translation *run(struct drive_one *one) {
    CHECK_INT(drive(m.model, one, 1, 1, 1, NULL), 0);
    CHECK_OK(one->rc, one->err);
    return one->final->translation;
}

static void refused(const char *text, const char *options, int code, const char *words) {
    struct drive_one one = ask(text, options);
    struct berth_error err = {0};
    int rc = bth_marian_engine.check(&one.request, &err);
    if (rc == 0) {
        CHECK_INT(drive(m.model, &one, 1, 1, 1, NULL), 0);
        rc = one.rc;
        err = one.err;
    }
    if (rc != code || !strstr(err.message, words)) {
        TEST_FAIL("'%s' with %s: %d (%s), expected %d (%s)", text, options, rc, err.message, code,
                  words);
    }
}

/* Between the sentences both texts have the same bytes. */
static void check_spans(const char *text, const struct berth_translation *t) {
    size_t source = 0, target = 0;
    for (size_t i = 0; i <= t->n_sentences; i++) {
        const bool last = i == t->n_sentences;
        const size_t s = last ? strlen(text) : t->sentences[i].source_begin;
        const size_t e = last ? strlen(t->text) : t->sentences[i].target_begin;
        CHECK(s >= source && s - source == e - target);
        CHECK(memcmp(text + source, t->text + target, s - source) == 0);
        if (!last) {
            source = t->sentences[i].source_end;
            target = t->sentences[i].target_end;
        }
    }
}

static void spaces(void) {
    static const char *const texts[] = {"",
                                        " ",
                                        "\n\n",
                                        "42",
                                        " 42\t\r\n17.5 %",
                                        "one",
                                        "  one\n\n\ttwo three \r\n12\n four\n",
                                        "http://example.org/ one two",
                                        "\xc2\xa0one\xc2\xa0"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct drive_one one = ask(texts[i], "beams=2");
        const struct berth_translation *t = run(&one);
        check_spans(texts[i], t);
        for (size_t j = 0; j < t->n_sentences; j++) {
            const struct berth_sentence *s = &t->sentences[j];
            const size_t n = s->target_end - s->target_begin;
            if (s->n_hypotheses == 0) {
                CHECK(n == s->source_end - s->source_begin &&
                      memcmp(t->text + s->target_begin, texts[i] + s->source_begin, n) == 0);
            } else {
                CHECK(strlen(s->hypotheses[0].text) == n &&
                      memcmp(t->text + s->target_begin, s->hypotheses[0].text, n) == 0);
            }
        }
        berth_item_free(one.final);
    }
}

static void numbers_pass(void) {
    struct drive_one one = ask(" 42\t\r\n17.5 %", "");
    CHECK_STR(run(&one)->text, " 42\t\r\n17.5 %");
    berth_item_free(one.final);
}

static void details(void) {
    struct drive_one one =
        ask("one two three", "alternatives=2 token_scores=true alignment=true length_penalty=0.7");
    const struct berth_translation *t = run(&one);
    const struct berth_sentence *s = t->sentences;
    CHECK_INT(t->n_alternatives, 2);
    CHECK_INT(s->n_hypotheses, 3);
    for (size_t h = 0; h < 3; h++) {
        const struct berth_hypothesis *y = &s->hypotheses[h];
        double sum = 0;
        for (size_t i = 0; i < y->n_tokens; i++) {
            sum += (double)y->logprobs[i];
        }
        CHECK_NEAR(y->score, sum / pow((double)y->n_tokens, 0.7), 1e-4);
        CHECK(h == 0 || y->score <= s->hypotheses[h - 1].score);
        CHECK_INT(y->tokens[y->n_tokens - 1], 0);
        CHECK_STR(h ? t->alternatives[h - 1] : t->text, y->text);
    }
    for (size_t i = 0; i < s->hypotheses[0].n_tokens; i++) {
        double sum = 0;
        for (size_t j = 0; j < s->n_tokens; j++) {
            sum += (double)s->alignment[i * s->n_tokens + j];
        }
        CHECK_NEAR(sum, 1, 1e-5);
    }
    berth_item_free(one.final);
}

/* The attention that is kept while a sentence is in flight is drawn too. */
static void alignment_is_drawn(void) {
    struct drive_one with = ask("one two three", "beams=4 max_length=400 alignment=true");
    const size_t n = run(&with)->sentences[0].n_tokens;
    struct drive_one without = ask("one two three", "beams=4 max_length=400");
    run(&without);
    CHECK(with.high_bytes >= without.high_bytes + 4 * 400 * n * sizeof(float));
    berth_item_free(with.final);
    berth_item_free(without.final);
}

/* Tokenising, generating and detokenising apart say what translating says. */
static void tasks(void) {
    const char *text = "one two three four";
    char want[512];
    struct drive_one whole = ask(text, "split=false");
    run(&whole);
    struct drive_one ids = ask(text, "task=tokenize");
    run(&ids);
    struct drive_one rows = ask(ids.final->translation->text, "task=generate");
    struct drive_one back = ask(run(&rows)->text, "task=detokenize");
    snprintf(want, sizeof(want), "[\"%s\"]", whole.final->translation->text);
    CHECK_STR(run(&back)->text, want);
    berth_item_free(whole.final);
    berth_item_free(ids.final);
    berth_item_free(rows.final);
    berth_item_free(back.final);
    struct drive_one several = ask("[[5,6,0],[7,0],[8,9,10,0]]", "task=generate beams=3");
    CHECK_INT(run(&several)->n_sentences, 3);
    berth_item_free(several.final);
    struct drive_one none = ask("[]", "task=generate");
    CHECK_STR(run(&none)->text, "[]");
    berth_item_free(none.final);
}

static void markup(void) {
    struct drive_one one = ask("<p>one <b>two</b> three</p><!-- x --><p>four</p>", "html=true");
    const struct berth_translation *t = run(&one);
    static const char *const tags[] = {"<p>", "<b>", "</b>", "</p>", "<!-- x -->"};
    for (size_t i = 0; i < sizeof(tags) / sizeof(*tags); i++) {
        CHECK(strstr(t->text, tags[i]));
    }
    CHECK_INT(t->n_sentences, 2);
    berth_item_free(one.final);
}

/* Every term of the text is in the result, in markup too and in what has no letters. */
static void glossary(void) {
    static const char *const options[] = {"beams=1",    "beams=4 alternatives=2",
                                          "html=true",  "cache=true",
                                          "cache=true", "split=false"};
    for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
        char all[256];
        snprintf(all, sizeof(all), "glossary={\"two\":\"ZWEI\",\"4-2\":\"X\"} %s", options[i]);
        struct drive_one one = ask("one <b>two</b> three, Two. 4-2\n\ttwo", all);
        const struct berth_translation *t = run(&one);
        const char *first = strstr(t->text, "ZWEI"),
                   *second = first ? strstr(first + 1, "ZWEI") : NULL;
        CHECK(second && strstr(second + 1, "ZWEI") && strchr(t->text, 'X'));
        for (size_t j = 0; j < t->n_alternatives; j++) {
            CHECK(strstr(t->alternatives[j], "ZWEI"));
        }
        CHECK_INT(t->n_terms, 2);
        CHECK_STR(t->terms[1].source, "two");
        CHECK_STR(t->terms[1].target, "ZWEI");
        CHECK(t->terms[1].found == 3 && t->terms[1].placed <= 3 && t->terms[0].found == 1);
        berth_item_free(one.final);
    }
    /* a term that would be all that there is to translate, within an address */
    struct drive_one address = ask("https://two.org/two\n42", "glossary={\"two\":\"ZWEI\"}");
    CHECK_STR(run(&address)->text, "https://two.org/two\n42");
    berth_item_free(address.final);
    struct drive_one kept = ask("one two", "glossary={\"two\":\"ZWEI\"} glossary_keep=true");
    const struct berth_translation *t = run(&kept);
    CHECK(strstr(t->text, "two") && !strstr(t->text, "ZWEI"));
    berth_item_free(kept.final);
    struct drive_one none = ask("one two", "glossary={}");
    CHECK_INT(run(&none)->n_terms, 0);
    berth_item_free(none.final);
    refused("one", "glossary=[]", BERTH_EINVAL, "object");
    refused("one", "glossary={} task=tokenize", BERTH_EINVAL, "leave task out");
}

/* A limit by the source is the same as one in ids. */
static void length_factor(void) {
    static const struct {
        const char *factor;
        double by;
    } cases[] = {{"0.1", 0.1}, {"0.5", 0.5}, {"1", 1}, {"2.5", 2.5}};
    static const char text[] = "one two three four five";
    struct drive_one first = ask(text, "max_length=3");
    const size_t n = run(&first)->sentences[0].n_tokens;
    berth_item_free(first.final);
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(*cases); i++) {
        const char *factor = cases[i / 2].factor;
        const int beams = i % 2 ? 4 : 1, ids = (int)ceil(cases[i / 2].by * (double)n) + 1;
        char by_factor[64], by_ids[64];
        snprintf(by_factor, sizeof(by_factor), "beams=%d max_length_factor=%s", beams, factor);
        snprintf(by_ids, sizeof(by_ids), "beams=%d max_length=%d", beams, ids);
        struct drive_one a = ask(text, by_factor);
        CHECK(run(&a)->sentences[0].hypotheses[0].n_tokens < (size_t)ids);
        struct drive_one b = ask(text, by_ids);
        run(&b);
        char *got = drive_print(a.final), *want = drive_print(b.final);
        drive_same(by_factor, want, got);
        free(got);
        free(want);
        berth_item_free(a.final);
        berth_item_free(b.final);
    }
    struct drive_one both = ask(text, "beams=1 max_length=3 max_length_factor=100");
    CHECK(run(&both)->sentences[0].hypotheses[0].n_tokens <= 2);
    berth_item_free(both.final);
    refused("x", "max_length_factor=0", BERTH_EINVAL, "from 0.1 to 100");
    refused("x", "max_length_factor=nan", BERTH_EINVAL, "from 0.1 to 100");
}

/* Of the attention of a long text in HTML only what its markup needs is kept. */
static void much_markup(void) {
    enum { LINES = 30, WORDS = 60 };
    char *text = calloc(LINES, 8 * WORDS + 32);
    for (int i = 0; i < LINES; i++) {
        strcat(text, "<p>");
        for (int j = 0; j < WORDS; j++) {
            strcat(text, j % 9 ? "one " : "<b>t</b> ");
        }
        strcat(text, "</p>");
    }
    size_t high[2], alignment = 0;
    for (int asked = 0; asked < 2; asked++) {
        struct drive_one one = ask(text, asked ? "html=true beams=1 max_length=150 alignment=true"
                                               : "html=true beams=1 max_length=150");
        const struct berth_translation *t = run(&one);
        CHECK(t->n_sentences >= LINES && strstr(t->text, "<b>"));
        for (size_t i = 0; i < t->n_sentences; i++) {
            CHECK_INT(t->sentences[i].alignment != NULL, asked);
            alignment += t->sentences[i].n_tokens * t->sentences[i].hypotheses[0].n_tokens;
        }
        high[asked] = one.high_bytes;
        berth_item_free(one.final);
    }
    /* where all is kept, flights wait for memory, so that not all of it shows */
    CHECK(high[0] + alignment / 2 * sizeof(float) / 5 < high[1]);
    free(text);
}

static void remembered(void) {
    for (int i = 0; i < 3; i++) {
        struct drive_one one = ask("five six seven", "cache=true");
        CHECK_INT(run(&one)->sentences[0].cached, i > 0);
        berth_item_free(one.final);
    }
    struct drive_one other = ask("five six seven", "cache=true beams=3");
    CHECK(!run(&other)->sentences[0].cached);
    berth_item_free(other.final);
    struct drive_one twice = ask("eight nine\neight nine", "cache=true beams=1");
    const struct berth_translation *t = run(&twice);
    CHECK_STR(t->sentences[0].hypotheses[0].text, t->sentences[1].hypotheses[0].text);
    berth_item_free(twice.final);
    /* what is known already is drawn as what has just been found */
    enum { TIMES = 20000 };
    char *text = calloc(TIMES, 4);
    for (int i = 0; i < TIMES; i++) {
        memcpy(text + 4 * i, "ten\n", i + 1 < TIMES ? 4 : 3);
    }
    struct drive_one often = ask(text, "cache=true beams=1");
    const struct berth_sentence *s = run(&often)->sentences;
    size_t bytes = 0;
    for (int i = 0; i < TIMES; i++) {
        bytes += s[i].n_tokens * sizeof(struct marian_token);
        bytes += s[i].hypotheses[0].n_tokens * sizeof(struct marian_choice);
    }
    CHECK(s[TIMES - 1].cached && s[TIMES - 1].hypotheses[0].n_tokens > 1);
    CHECK(often.high_bytes >= bytes + TIMES * sizeof(struct marian_sentence));
    berth_item_free(often.final);
    free(text);
}

static void loops(void) {
    static const struct {
        int ids[24], n, want;
    } cases[] = {
        {{5, 6, 7, 0}, 4, 4},
        {{5, 5, 5, 5, 5, 0}, 6, 6}, /* may be meant */
        {{9, 5, 5, 5, 5, 5, 5, 5, 5, 5, 8, 0}, 12, 4},
        {{1, 2, 1, 2, 1, 2, 1, 2, 0}, 9, 3},
        {{3, 1, 2, 4, 1, 2, 4, 1, 2, 4, 1, 2, 4, 1, 7, 0}, 16, 7},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct marian_choice choices[24];
        struct marian_hypothesis h = {.choices = choices, .n = cases[i].n};
        for (int j = 0; j < h.n; j++) {
            choices[j] = (struct marian_choice){.id = cases[i].ids[j]};
        }
        CHECK_INT(marian_cut_loops(&h), cases[i].want != cases[i].n);
        CHECK_INT(h.n, cases[i].want);
        CHECK_INT(choices[h.n - 1].id, 0);
    }
}

static void refusals(void) {
    char many[2048] = "[[";
    refused("x", "beam=2", BERTH_EINVAL, "no option 'beam'");
    refused("x", "beams=0", BERTH_EINVAL, "from 1 to 16");
    refused("x", "beams=2 alternatives=2", BERTH_EINVAL, "need 3 beams");
    refused("x", "early_stopping=maybe", BERTH_EINVAL, "never");
    refused("x", "task=sing", BERTH_EINVAL, "generate");
    refused("x", "html=true split=false", BERTH_EINVAL, "sentence by sentence");
    refused("x", "target_lang=fr", BERTH_EINVAL, "one language");
    refused("\xff\xfe", "", BERTH_EINVAL, "UTF-8");
    struct drive_one nul = ask("", "");
    nul.request.input.data = "12 \0 34 one two";
    nul.request.input.size = 15;
    CHECK_INT(drive(m.model, &nul, 1, 1, 1, NULL), 0);
    CHECK_INT(nul.rc, BERTH_EINVAL);
    CHECK(strstr(nul.err.message, "a NUL character"));
    refused("[[1,2", "task=generate", BERTH_EINVAL, "JSON");
    refused("{}", "task=generate", BERTH_EINVAL, "JSON");
    refused("[1,2]", "task=generate", BERTH_EINVAL, "JSON");
    refused("[[1.5]]", "task=generate", BERTH_EINVAL, "JSON");
    refused("[[]]", "task=generate", BERTH_EINVAL, "a row of 0 ids");
    refused("[[-1]]", "task=generate", BERTH_EINVAL, "token id -1");
    refused("[[400]]", "task=detokenize", BERTH_EINVAL, "token id 400");
    for (int i = 0; i < 600; i++) {
        strcat(many, "1,");
    }
    strcat(many, "1]]");
    refused(many, "task=generate", BERTH_EINVAL, "a row of 601 ids");
    struct drive_one sound = ask("", "");
    struct berth_error err;
    sound.request.input.kind = BERTH_INPUT_PCM_F32;
    CHECK_INT(bth_marian_engine.check(&sound.request, &err), BERTH_EINVAL);
}

static void languages(void) {
    static const struct {
        const char *path, *source, *target;
    } cases[] = {{"/m/opus-mt-en-de", "en", "de"},           {"opus-mt-tc-big-en-pt/", "en", "pt"},
                 {"/m/enpt-1693087644", "en", "pt"},         {"/m/enpt", "en", "pt"},
                 {"/m/opus-mt-en-zh_Hans", "en", "zh_Hans"}, {"/m/model", "", ""},
                 {"/m/opus-mt-mul-en", "mul", "en"},         {"", "", ""}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char source[32], target[32];
        marian_languages_of(cases[i].path, source, target);
        CHECK_STR(source, cases[i].source);
        CHECK_STR(target, cases[i].target);
    }
}

/* A long line without an end, and a text of many lines: bounded memory, nothing lost. */
static void long_texts(void) {
    enum { LETTERS = 3000 };
    char *text = malloc(LETTERS + 1);
    memset(text, 'x', LETTERS);
    for (int i = 7; i < LETTERS; i += 11) {
        text[i] = i % 5 ? ' ' : '\n';
    }
    text[LETTERS] = '\0';
    struct drive_one one = ask(text, "beams=1 max_length=8");
    const struct berth_translation *t = run(&one);
    check_spans(text, t);
    berth_item_free(one.final);
    memset(text, 'x', LETTERS);
    struct drive_one line = ask(text, "beams=1 max_length=8");
    t = run(&line);
    CHECK(t->n_sentences > 1);
    check_spans(text, t);
    berth_item_free(line.final);
    refused(text, "split=false", BERTH_ETOOLARGE, "at once");
    free(text);
}

/* Very many equal words in one line: all of it comes back, within what the request may take. */
static void one_line(void) {
    enum { SIZE = 1 << 18 };
    char *text = malloc(SIZE + 1);
    for (size_t i = 0; i < SIZE; i++) {
        text[i] = "word "[i % 5];
    }
    text[SIZE] = '\0';
    struct drive_one one = ask(text, "beams=1 max_length_factor=0.1 cache=true");
    const struct berth_translation *t = run(&one);
    check_spans(text, t);
    CHECK(t->n_sentences > 50);
    for (size_t i = 0; i < t->n_sentences; i++) {
        const struct berth_sentence *s = &t->sentences[i];
        CHECK(s->hypotheses[0].n_tokens <= (s->n_tokens + 9) / 10);
    }
    berth_item_free(one.final);
    free(text);
}

/* What is no letter and nothing to see: it stays, or the vocabulary drops it. */
static void odd_characters(void) {
    static const char *const texts[] = {"one\x01 two\x1b[1m\x7f three\n\x02\x03\n4\x08",
                                        "\xe2\x80\xa8"
                                        "one\xe2\x80\xa9two\xef\xbf\xbf\xef\xbb\xbf\xc2\x85",
                                        "\xf4\x8f\xbf\xbf\xf0\x9f\x98\x80 \xcc\x81\xcc\x81\xcc\x81",
                                        "\r\r\n\v\f one \xe2\x80\xae"
                                        "two\xe2\x80\xad"};
    for (size_t i = 0; i < 2 * sizeof(texts) / sizeof(*texts); i++) {
        struct drive_one one = ask(texts[i / 2], i % 2 ? "html=true max_length=9" : "max_length=9");
        const struct berth_translation *t = run(&one);
        if (i % 2 == 0) {
            check_spans(texts[i / 2], t);
        }
        berth_item_free(one.final);
    }
}

/* Very many sentences without a word, behind one that has some: turns that looked
 * over all of them would take minutes. */
static void many_without_words(void) {
    enum { LINES = 600000 };
    char *text = malloc(2 * LINES + 5);
    memcpy(text, "one\n", 4);
    for (int i = 0; i < LINES; i++) {
        memcpy(text + 4 + 2 * i, "1\n", 2);
    }
    text[4 + 2 * LINES] = '\0';
    struct drive_one one = ask(text, "beams=1 max_length=8");
    const clock_t begin = clock();
    const struct berth_translation *t = run(&one);
    CHECK((clock() - begin) / CLOCKS_PER_SEC < 10);
    CHECK_INT(t->n_sentences, LINES + 1);
    CHECK_STR(t->text + t->sentences[1].target_begin, text + 4);
    berth_item_free(one.final);
    free(text);
}

/* Nothing is left of a text for a model without an end mark: it stays as it is. */
static void no_ids(void) {
    struct marian_vocab *v = ((struct marian_model *)m.model)->vocab;
    const int32_t eos = v->source_eos;
    static const char *const options[] = {"split=false", "split=false alignment=true",
                                          "split=false task=tokenize"};
    v->source_eos = -1;
    for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
        struct drive_one one = ask(NOTHING, options[i]);
        CHECK_STR(run(&one)->text, i < 2 ? NOTHING : "[[]]");
        berth_item_free(one.final);
    }
    v->source_eos = eos;
}

/* Turns of the host look at a part of a text, so that a cancel is prompt and others get their turn;
 * a text that cannot be cut is short. */
static void host_turns(void) {
    enum { SIZE = 1 << 20, PART = 16 << 10 };
    static const char *const fill[] = {"x", "word ", "One two. ", "1\n"};
    char *text = malloc(SIZE + 1);
    for (size_t f = 0; f < sizeof(fill) / sizeof(*fill); f++) {
        for (size_t i = 0; i < SIZE; i++) {
            text[i] = fill[f][i % strlen(fill[f])];
        }
        text[SIZE] = '\0';
        for (int64_t after = 1; after < 60; after += 19) {
            struct drive_one one = ask(text, "beams=1");
            one.cancel_after = after;
            CHECK_INT(drive(m.model, &one, 1, 1, 1, NULL), 0);
            CHECK_INT(one.rc, BERTH_ECANCELLED);
            CHECK(one.turns == after && one.n_progress == 0);
            /* a sentence of each two bytes at most */
            CHECK(one.high_bytes <= (size_t)after * PART / 2 * sizeof(struct marian_sentence));
        }
    }
    memset(text, 'x', SIZE);
    text[100000] = '\0';
    refused(text, "task=tokenize", BERTH_ETOOLARGE, "in one piece");
    refused(text, "split=false", BERTH_ETOOLARGE, "in one piece");
    free(text);
}

int main(void) {
    const struct bth_cpu_config config = {.threads = 2, .cap = BTH_CPU_AVX512};
    struct berth_device *device;
    struct berth_error err;
    char *dir = tiny_marian_dir();
    tiny_marian_hf(tiny_marian_shape(0), dir);
    CHECK_OK(bth_cpu_open(&config, &device, &err), err);
    CHECK_OK(drive_load(&bth_marian_engine, dir, device, &m, &err), err);
    spaces();
    numbers_pass();
    details();
    alignment_is_drawn();
    tasks();
    markup();
    much_markup();
    glossary();
    length_factor();
    remembered();
    loops();
    refusals();
    languages();
    long_texts();
    one_line();
    odd_characters();
    many_without_words();
    host_turns();
    no_ids();
    drive_unload(&m);
    device->ops->close(device);
    tiny_marian_remove(dir);
    return 0;
}

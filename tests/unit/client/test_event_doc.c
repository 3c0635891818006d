/* A document from the server's writer through the client's reader: the same to the last bit; and
 * what no daemon should send. */
#include "base/error.h"
#include "base/item.h"
#include "lib/ndjson.h"

/* A parse of a text with characters of one to four bytes, made up. */
static const char text[] = "A \xc3\xa9\xe2\x82\xac \xf0\x9f\x98\x80<b>";
static const struct berth_token tokens[] = {
    {"A", 0,     1, 0, 1, true, 7,  "a", "a", "X", "A", "A", "DT", "DET", "Definite=Ind",
     "a", "det", 1, 1, 2, "",   "", ""},
    {"\xc3\xa9\xe2\x82\xac",
     2,
     7,
     2,
     4,
     true,
     0xFFFFFFFF,
     "x",
     "",
     "x",
     "",
     "",
     "NN",
     "NOUN",
     "",
     "x",
     "ROOT",
     1,
     -1,
     3,
     "ORG",
     "id",
     "Q1"},
    {"\xf0\x9f\x98\x80<b>",
     8,
     15,
     5,
     9,
     false,
     0,
     "\"\\\n\t\x01",
     "a",
     "a",
     "a",
     "a",
     "a",
     "a",
     "a",
     "a",
     "dep",
     0,
     0,
     1,
     "ORG",
     "id",
     "Q1"},
};
static const struct berth_span ents[] = {{1, 3, "ORG", "id", "Q1"}}, sents[] = {{0, 3, "", "", ""}};
static const float tensor[] = {0.1f, -0.0f, INFINITY, 1e-45f, 3, -3};
static const struct berth_doc doc = {.text = text,
                                     .language = "en",
                                     .tokens = tokens,
                                     .n_tokens = 3,
                                     .ents = ents,
                                     .n_ents = 1,
                                     .sents = sents,
                                     .n_sents = 1,
                                     .components = "tok2vec,ner",
                                     .tensor = tensor,
                                     .tensor_width = 2};

static void same_strings(const char *const *a, const char *const *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        CHECK_STR(a[i], b[i]);
    }
}

static void same_token(const struct berth_token *a, const struct berth_token *b) {
    CHECK_STR(a->text, b->text);
    CHECK(a->begin == b->begin && a->end == b->end && a->idx == b->idx && a->idx_end == b->idx_end);
    CHECK(a->space == b->space && a->flags == b->flags && a->head == b->head);
    CHECK(a->sent_start == b->sent_start && a->ent_iob == b->ent_iob);
    same_strings(&a->norm, &b->norm, 10);
    same_strings(&a->ent_type, &b->ent_type, 3);
}

static void same_spans(const struct berth_span *a, const struct berth_span *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        CHECK(a[i].begin == b[i].begin && a[i].end == b[i].end);
        same_strings(&a[i].label, &b[i].label, 3);
    }
}

static void same_doc(const struct berth_doc *a, const struct berth_doc *b) {
    CHECK_STR(a->text, b->text);
    CHECK_STR(a->language, b->language);
    CHECK_STR(a->components, b->components);
    CHECK_INT(a->n_tokens, b->n_tokens);
    for (size_t i = 0; i < a->n_tokens; i++) {
        same_token(&a->tokens[i], &b->tokens[i]);
    }
    CHECK(a->n_ents == b->n_ents && a->n_sents == b->n_sents);
    CHECK_INT(a->n_noun_chunks, b->n_noun_chunks);
    same_spans(a->ents, b->ents, a->n_ents);
    same_spans(a->sents, b->sents, a->n_sents);
    CHECK_INT(a->tensor_width, b->tensor_width);
    CHECK(!a->tensor == !b->tensor && !a->vectors == !b->vectors);
    CHECK(!a->tensor || memcmp(a->tensor, b->tensor, a->n_tokens * a->tensor_width * 4) == 0);
}

static void test_round_trip(const struct berth_doc *d) {
    struct berth_item item = {.kind = BERTH_ITEM_FINAL, .done = 1, .total = 1, .doc = d};
    char *line = ndjson_line(&item);
    struct bth_event e;
    struct berth_error err;
    CHECK_OK(bth_event_parse(line, strlen(line), &e, &err), err);
    CHECK(e.item->doc);
    same_doc(e.item->doc, d);
    berth_item_free(e.item);
    bth_free(line);
}

/* Enough different strings to fill the table more than once. */
static void test_many(void) {
    enum { N = 3000 };
    static struct berth_token many[N];
    static char words[N][8];
    struct bth_str all = {0};
    for (uint32_t i = 0; i < N; i++) {
        snprintf(words[i], sizeof(words[i]), "w%u", (unsigned)i);
        uint32_t begin = (uint32_t)all.size;
        bth_str_printf(&all, "%s ", words[i]);
        const char *w = words[i], *old = words[i / 2];
        many[i] = (struct berth_token){w,
                                       begin,
                                       (uint32_t)all.size - 1,
                                       begin,
                                       (uint32_t)all.size - 1,
                                       true,
                                       i,
                                       w,
                                       w,
                                       old,
                                       old,
                                       old,
                                       old,
                                       old,
                                       old,
                                       old,
                                       old,
                                       (int32_t)(N - 1 - i),
                                       0,
                                       0,
                                       old,
                                       "",
                                       ""};
    }
    test_round_trip(&(struct berth_doc){.text = bth_str_text(&all),
                                        .language = "xx",
                                        .tokens = many,
                                        .n_tokens = N,
                                        .components = ""});
    bth_str_finish(&all);
}

static int parse_with(const char *line, const char *from, const char *to) {
    const char *at = strstr(line, from);
    struct bth_event e = {0};
    struct berth_error err;
    CHECK(at);
    char *changed = bth_printf("%.*s%s%s", (int)(at - line), line, to, at + strlen(from));
    int rc = bth_event_parse(changed, strlen(changed), &e, &err);
    if (rc == 0) {
        berth_item_free(e.item);
    }
    bth_free(changed);
    return rc;
}

static void test_damaged(void) {
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"\"doc\":{", "\"doc\":7,\"x\":{"},
        {"\"text\":\"A", "\"text\":7,\"x\":\"A"},
        {"\"language\":\"en\"", "\"language\":null"},
        {"\"tokens\":{", "\"tokens\":[],\"x\":{"},
        {"\"end\":\"1 5 7\"", "\"end\":[1,5,7]"},
        {"\"end\":\"1 5 7\"", "\"end\":\"1 5 8\""},
        {"\"end\":\"1 5 7\"", "\"end\":\"1 5\""},
        {"\"end\":\"1 5 7\"", "\"end\":\"1 5 7 0\""},
        {"\"end\":\"1 5 7\"", "\"end\":\"1 5  7\""},
        {"\"end\":\"1 5 7\"", "\"end\":\"1 -5 7\""},
        {"\"end\":\"1 5 7\"", "\"end\":\"1 5 x\""},
        {"\"end\":\"1 5 7\"", "\"end\":\"1 5 99999999999999999999\""},
        {"\"head\":\"1 0 -2\"", "\"head\":\"3 0 -2\""},
        {"\"head\":\"1 0 -2\"", "\"head\":\"1 0 -3\""},
        {"\"head\":\"1 0 -2\"", "\"head\":true"},
        {"\"flags\":\"7 4294967295 0\"", "\"flags\":\"7 4294967296 0\""},
        {"\"ent_iob\":\"2 3 1\"", "\"ent_iob\":\"2 4 1\""},
        {"\"sent_start\":\"1 -1 0\"", "\"sent_start\":\"1 -2 0\""},
        {"\"space\":\"1 1 0\"", "\"space\":\"1 2 0\""},
        {"\"begin\":\"1\"", "\"begin\":\"4\""},
        {"\"ents\":{\"end\":\"3\"", "\"ents\":{\"end\":\"4\""},
        {"\"noun_chunks\":{", "\"noun\":{"},
        {"\"strings\":[\"\",", "\"strings\":[\"x\","},
        {"\"strings\":[\"\",", "\"strings\":[\"\"],\"x\":[\"\","},
        {"\"strings\":[\"\",", "\"strings\":[\"\",7,"},
        {"\"tensor_width\":2", "\"tensor_width\":3"},
        {"\"tensor_width\":2", "\"tensor_width\":0"},
        {"\"tensor_width\":2", "\"tensor_width\":1e300"},
        {"\"tensor\":\"", "\"tensor\":\"="},
    };
    struct berth_item item = {.kind = BERTH_ITEM_FINAL, .doc = &doc};
    char *line = ndjson_line(&item);
    for (size_t i = 0; i < BTH_COUNT(cases); i++) {
        int rc = parse_with(line, cases[i].from, cases[i].to);
        if (rc != BERTH_EIO) {
            TEST_FAIL("%s as %s gave %d", cases[i].from, cases[i].to, rc);
        }
    }
    CHECK_INT(parse_with(line, "\"doc\":{", "\"doc\":{\"newer\":1,"), 0);
    bth_free(line);
}

int main(void) {
    test_round_trip(&doc);
    test_round_trip(&(struct berth_doc){.text = "", .language = "en", .components = ""});
    test_many();
    test_damaged();
    ndjson_no_memory(&(struct berth_item){.kind = BERTH_ITEM_FINAL, .doc = &doc});
    return 0;
}

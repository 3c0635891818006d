/* A translation from the server's writer through the client's reader: the same to the last bit; and
 * what no daemon should send. */
#include "base/error.h"
#include "lib/items.h"
#include "lib/ndjson.h"

static const int32_t source_ids[] = {71, 1114, 0}, target_ids[] = {683, 0};
static const float logprobs[] = {-0.1f, -INFINITY};
static const float alignment[] = {0.25f, 0.5f, 0.25f, 1e-45f, NAN, INFINITY};
static const struct berth_hypothesis hypotheses[] = {
    {"Ol\xC3\xA1 <b>", -0.1, target_ids, logprobs, 2},
    {"Oi", -INFINITY, target_ids, NULL, 1},
    {"", 0x1p-1074, NULL, NULL, 0}};
static const struct berth_sentence sentences[] = {
    {0, 5, 0, 9, source_ids, 3, hypotheses, 3, alignment, true, true},
    {6, 9, 10, 13, NULL, 0, NULL, 0, NULL, false, false}};
static const char *const alternatives[] = {"Oi 123", ""};
static const struct berth_translation whole = {
    .source = "en",
    .target = "pt",
    .text = "Ol\xC3\xA1 <b>\n\t123",
    .alternatives = alternatives,
    .n_alternatives = 2,
    .sentences = sentences,
    .n_sentences = 2,
};

static void test_round_trip(const struct berth_translation *t) {
    struct berth_item item = {.kind = BERTH_ITEM_FINAL, .done = 9, .total = 9, .translation = t};
    struct bth_str want = {0}, got = {0};
    struct bth_event e;
    struct berth_error err;
    char *line = ndjson_line(&item);
    CHECK_OK(bth_event_parse(line, strlen(line), &e, &err), err);
    items_append(&want, &item);
    items_append(&got, e.item);
    CHECK_STR(bth_str_text(&got), bth_str_text(&want));
    berth_item_free(e.item);
    bth_str_finish(&want);
    bth_str_finish(&got);
    bth_free(line);
}

/* The line with the first `from` in it replaced. */
static int parse_with(const char *line, const char *from, const char *to) {
    const char *at = strstr(line, from);
    struct bth_event e = {0};
    struct berth_error err;
    if (!at) {
        TEST_FAIL("%s has no %s", line, from);
    }
    char *changed = bth_printf("%.*s%s%s", (int)(at - line), line, to, at + strlen(from));
    int rc = bth_event_parse(changed, strlen(changed), &e, &err);
    berth_item_free(e.item);
    bth_free(changed);
    return rc;
}

static void test_damaged(void) {
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"\"translation\":{", "\"translation\":7,\"x\":{"},
        {"\"source\":\"en\"", "\"source\":7"},
        {"\"span\":[0,5,0,9]", "\"span\":[0,5,0]"},
        {"\"span\":[0,5,0,9]", "\"span\":[6,5,0,9]"},
        {"\"span\":[0,5,0,9]", "\"span\":[0,5,9,0]"},
        {"\"span\":[0,5,0,9]", "\"span\":[0,5,0,99]"},
        {"\"span\":[0,5,0,9]", "\"span\":[0,5,0,-9]"},
        {"\"tokens\":[71,", "\"tokens\":[7.5,"},
        {"\"tokens\":[71,", "\"tokens\":[4294967296,"},
        {"\"tokens\":[71,", "\"tokens\":[71,71,"},
        {"\"hypotheses\":[", "\"hypotheses\":7,\"x\":["},
        {"\"score\":-0.1", "\"score\":\"x\""},
        {"\"logprobs\":[", "\"logprobs\":[0,"},
        {"\"logprobs\":[", "\"logprob\":["},
        {"\"alignment\":[", "\"alignment\":[0,"},
        {"\"cached\":true", "\"cached\":1"},
        {"\"alternatives\":[", "\"alternatives\":[7,"},
        {"\"sentences\":[", "\"sentences\":[7,"},
    };
    struct berth_item item = {.kind = BERTH_ITEM_FINAL, .translation = &whole};
    char *line = ndjson_line(&item);
    for (size_t i = 0; i < BTH_COUNT(cases); i++) {
        int rc = parse_with(line, cases[i].from, cases[i].to);
        if (rc != BERTH_EIO) {
            TEST_FAIL("%s as %s gave %d", cases[i].from, cases[i].to, rc);
        }
    }
    CHECK_INT(parse_with(line, "\"translation\":{", "\"translation\":{\"newer\":1,"), 0);
    bth_free(line);
}

int main(void) {
    test_round_trip(&whole);
    test_round_trip(&(struct berth_translation){.sentences = sentences, .n_sentences = 1});
    test_round_trip(&(struct berth_translation){.source = "a", .target = "b", .text = ""});
    test_damaged();
    ndjson_no_memory(&(struct berth_item){.kind = BERTH_ITEM_FINAL, .translation = &whole});
    return 0;
}

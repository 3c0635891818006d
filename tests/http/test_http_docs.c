/* Documents of a tiny pipeline in process, through a daemon's client, and by POST /v1/nlp: the
 * same, alone and in company. */
#include "base/alloc.h"
#include "base/fs.h"
#include "lib/http.h"
#include "lib/items.h"
#include "lib/remote.h"
#include "render/doc_json.h"
#include <jansson.h>

enum { MOST_TEXTS = 200, SHOWN = 20 };

static struct test_server t;
static json_t *texts; /* an array */

/* The texts of the golden documents. */
static void read_texts(void) {
    char *data, *save = NULL;
    size_t size;
    struct berth_error err;
    texts = json_array();
    CHECK_OK(
        bth_read_file(BTH_TEST_DATA "/data/spacy/tiny_en.docs.jsonl", 1 << 24, &data, &size, &err),
        err);
    for (char *line = strtok_r(data, "\n", &save); line && json_array_size(texts) < MOST_TEXTS;
         line = strtok_r(NULL, "\n", &save)) {
        json_t *v = json_loads(line, 0, NULL), *text = json_object_get(v, "text");
        if (text) {
            json_array_append(texts, text);
        }
        json_decref(v);
    }
    bth_free(data);
    CHECK(json_array_size(texts) > SHOWN);
}

static struct berth_item *run(struct berth_lease *lease, size_t i,
                              const struct berth_option *options, size_t n) {
    const json_t *text = json_array_get(texts, i);
    struct berth_request r = BERTH_REQUEST_INIT;
    struct berth_item *item;
    struct berth_error err;
    r.input = (struct berth_input){.kind = BERTH_INPUT_TEXT,
                                   .data = json_string_value(text),
                                   .size = json_string_length(text)};
    r.options = options;
    r.n_options = n;
    CHECK_OK(berth_run(lease, &r, &item, &err), err);
    CHECK(item->doc);
    return item;
}

static void test_to_the_last_bit(void) {
    static const struct berth_option all[] = {{"tensor", "true"}, {"vectors", "true"}},
                                     some[] = {{"components", "tagger,ner"}};
    struct berth *remote = remote_open(t.socket);
    struct berth_lease *here = remote_acquire(t.berth, "spacy/tiny"),
                       *there = remote_acquire(remote, "spacy/tiny");
    for (size_t i = 0; i < SHOWN; i++) {
        const struct berth_option *options = i % 2 ? all : some;
        struct bth_str a = {0}, b = {0};
        struct berth_item *x = run(here, i, options, i % 2 ? 2 : 1),
                          *y = run(there, i, options, i % 2 ? 2 : 1);
        items_append(&a, x);
        items_append(&b, y);
        CHECK_STR(bth_str_text(&b), bth_str_text(&a));
        berth_item_free(x);
        berth_item_free(y);
        bth_str_finish(&a);
        bth_str_finish(&b);
    }
    berth_release(here);
    berth_release(there);
    berth_close(remote, 1000, NULL);
}

/* What /v1/nlp is to say. */
static struct bth_str expected(const struct bth_doc_json *how, const char *open,
                               const char *between, const char *close) {
    struct berth_lease *lease = remote_acquire(t.berth, "spacy/tiny");
    struct bth_str out = {0};
    bth_str_puts(&out, open);
    for (size_t i = 0; i < json_array_size(texts); i++) {
        struct berth_item *item = run(lease, i, NULL, 0);
        bth_str_puts(&out, i ? between : "");
        bth_doc_json_write(&out, item->doc, how);
        berth_item_free(item);
    }
    bth_str_puts(&out, close);
    berth_release(lease);
    return out;
}

static void ask(const char *members, const struct bth_str *answer) {
    json_t *body = json_loads(members, 0, NULL);
    CHECK(body);
    json_object_set(body, "texts", texts);
    char *sent = json_dumps(body, JSON_COMPACT);
    struct http_reply r = http_ask(t.address, "POST", "/v1/nlp", NULL, sent);
    CHECK_INT(r.status, 200);
    CHECK_STR(r.body, bth_str_text(answer));
    http_free(&r);
    free(sent);
    json_decref(body);
}

static void test_many(void) {
    struct bth_doc_json how = {0};
    struct berth_error err;
    struct bth_str answer = expected(&how, "[", ",\n", "]\n");
    ask("{\"model\":\"spacy/tiny\"}", &answer);
    bth_str_finish(&answer);
    how.offsets = BTH_OFFSETS_UTF16;
    CHECK_OK(bth_doc_json_attributes("lemma,sents", &how.attributes, &err), err);
    answer = expected(&how, "", "\n", "\n");
    ask("{\"model\":\"spacy/tiny\",\"stream\":true,\"offsets\":\"utf16\",\"attributes\":[\"sents\","
        "\"lemma_\"]}",
        &answer);
    bth_str_finish(&answer);
}

static void test_refused(void) {
    struct http_reply r = http_ask(t.address, "POST", "/v1/nlp", NULL,
                                   "{\"model\":\"spacy/tiny\",\"text\":\"a\",\"components\":"
                                   "[\"nonsense\"]}");
    CHECK_INT(r.status, 400);
    CHECK(strstr(r.body, "nonsense"));
    http_free(&r);
}

int main(void) {
    read_texts();
    http_prepare(&t);
    t.spacy = BTH_TEST_DATA "/data/spacy/tiny_en";
    http_start(&t, NULL);
    test_to_the_last_bit();
    test_many();
    test_refused();
    http_stop(&t);
    json_decref(texts);
    return 0;
}

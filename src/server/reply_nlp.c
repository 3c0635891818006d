/* Documents in spaCy's form. */
#include "server/reply_nlp.h"

#include "base/error.h"
#include "server/exchange.h"
#include "server/reply.h"

enum { OFFSETS_SHIFT = 62 };

uint64_t bth_nlp_at(const struct bth_doc_json *how) {
    return (uint64_t)how->offsets << OFFSETS_SHIFT | how->attributes;
}

static void put_doc(struct bth_str *out, const struct berth_item *item, uint64_t at) {
    const struct bth_doc_json how = {
        .offsets = (enum bth_doc_offsets)(at >> OFFSETS_SHIFT),
        .attributes = at & ((UINT64_C(1) << OFFSETS_SHIFT) - 1),
    };
    /* a toy has a text, and no tokens */
    const struct berth_doc plain = {.text = item->text ? item->text : "", .components = ""};
    bth_doc_json_write(out, item->doc ? item->doc : &plain, &how);
}

static void final_line(struct bth_str *out, const struct berth_item *item, uint64_t at) {
    put_doc(out, item, at);
    bth_str_putc(out, '\n');
}

/* In the place of a document, or of all that were to come. */
static void failed(struct bth_str *out, const struct berth_error *err) {
    bth_error_json(out, err, berth_error_name(err->code), NULL);
}

static void failed_line(struct bth_str *out, const struct berth_error *err) {
    failed(out, err);
    bth_str_putc(out, '\n');
}

static void beat(struct bth_str *out, double done, double total) {
    (void)done, (void)total;
    bth_str_putc(out, '\n'); /* nothing to any reader of JSON */
}

#define STREAM .streams = true, .beat_ms = 10000, .beat = beat

const struct bth_reply_ops bth_reply_nlp = {.type = "application/json", .final = final_line};
const struct bth_reply_ops bth_reply_nlp_lines = {STREAM, .type = "application/x-ndjson",
                                                  .final = final_line, .failed = failed_line};
const struct bth_reply_ops bth_reply_nlp_array = {STREAM, .type = "application/json",
                                                  .final = put_doc, .failed = failed};

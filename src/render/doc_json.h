/*
 * render/doc_json.h - a document as spaCy's Doc.to_json() has it (3.8), in the bytes of Python's
 * json.dumps().
 *
 *     {"text": ..., "ents": [{"start", "end", "label"}], "sents": [{"start", "end"}],
 *      "tokens": [{"id", "start", "end", "tag", "pos", "morph", "lemma", "dep", "head"}]}
 *
 * A member is there if anything has set it. Who wants other attributes names them: then the
 * document has these and no others. Any thread.
 */
#ifndef BTH_DOC_JSON_H
#define BTH_DOC_JSON_H

#include "base/str.h"
#include <berth/error.h>
#include <berth/types.h>

/* What "start" and "end" count. */
enum bth_doc_offsets { BTH_OFFSETS_CODEPOINT, BTH_OFFSETS_UTF8, BTH_OFFSETS_UTF16 };

struct bth_doc_json {
    enum bth_doc_offsets offsets;
    uint64_t attributes; /* a set of bth_doc_json_attribute; 0: what Doc.to_json() has */
};

/* "codepoint", "utf8" or "utf16". EINVAL. */
int bth_doc_json_offsets(const char *name, enum bth_doc_offsets *out, struct berth_error *err);
/* Adds the attributes of a list like "ents,lemma,is_stop" to a set; "lemma_" is "lemma" too.
 * EINVAL (an unknown one, or none); the set is then unchanged. */
int bth_doc_json_attributes(const char *list, uint64_t *set, struct berth_error *err);
/* All names, with commas between them: for help. */
void bth_doc_json_names(struct bth_str *out);

/* Appends the object, without an end of line; out->failed says that memory was short. */
void bth_doc_json_write(struct bth_str *out, const struct berth_doc *doc,
                        const struct bth_doc_json *how);

#endif

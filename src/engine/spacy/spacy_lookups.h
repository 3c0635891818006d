/*
 * spacy_lookups.h - tables by spaCy id: lookups.bin of the vocabulary and of lemmatizers.
 *
 * On disk: msgpack {table: {id: value}} with ids as uint64 (spacy_string_id of the key) or, in
 * inner maps, plain text. Values stay msgpack objects: text, a list, a map. Immutable after
 * opening: any thread. Everything points into bytes that the lookups own.
 */
#ifndef SPACY_LOOKUPS_H
#define SPACY_LOOKUPS_H

#include "format/packed.h"
#include "spacy/spacy_package.h"
#include "spacy/spacy_strings.h"

struct spacy_lookups;
struct spacy_table;

/* Takes the file (also on failure: it is closed then). EFORMAT, ENOMEM. */
int spacy_lookups_open(struct spacy_file *file, struct spacy_lookups **out,
                       struct berth_error *err);
void spacy_lookups_close(struct spacy_lookups *l); /* NULL is allowed */

/* NULL: no such table. */
const struct spacy_table *spacy_lookups_table(const struct spacy_lookups *l, const char *name);
/* The value under an id; NULL: none. t may be NULL. */
const msgpack_object *spacy_table_get(const struct spacy_table *t, uint64_t id);

#endif

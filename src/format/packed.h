/*
 * format/packed.h - msgpack documents from untrusted files: checked, then as msgpack-c's objects.
 *
 * msgpack-c believes counts and allocates for them, so a walk over the bytes comes first: every
 * value must be there, and nesting is limited. What is allocated is then in proportion to the
 * bytes.
 *
 * Strings and binaries point into the caller's bytes, which must outlive the document. Immutable
 * after parsing: any thread.
 */
#ifndef BTH_PACKED_H
#define BTH_PACKED_H

#include "base/compiler.h"
#include <berth/error.h>
#include <msgpack.h>
#include <stdbool.h>

#define BTH_PACKED_MAX_DEPTH 16

struct bth_packed {
    msgpack_zone zone;
    msgpack_object root;
};

/* The whole of bytes[0, size) must be one value. EFORMAT, ENOMEM. */
int bth_packed_open(struct bth_packed *p, const void *bytes, size_t size, struct berth_error *err);
void bth_packed_close(struct bth_packed *p); /* a zeroed one is allowed */

/* The value of a text key (str or bin) in a map; NULL: not there, or no map. */
const msgpack_object *bth_packed_get(const msgpack_object *map, const char *key);
/* Text of a str or bin: its bytes (not NUL-terminated), or NULL. `o` may be NULL. */
const char *bth_packed_text(const msgpack_object *o, size_t *out_size);
/* Whether o is an integer of int64_t. `o` may be NULL. */
bool bth_packed_int(const msgpack_object *o, int64_t *out);

#endif

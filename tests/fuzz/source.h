/* fuzz/source.h - what must hold of a source of tensors, whichever parser read it. */
#ifndef BTH_FUZZ_SOURCE_H
#define BTH_FUZZ_SOURCE_H

#include "format/source_internal.h"
#include <stdlib.h>

/* data NULL: a reader that unpacks, whose tensors may lie elsewhere; the sanitizer knows where. */
static inline void fuzz_look(const struct bth_source *s, const uint8_t *data, size_t size) {
    for (size_t i = 0; i < bth_source_count(s); i++) {
        const struct bth_source_tensor *t = bth_source_at(s, i);
        const uint8_t *begin = t->data;
        bool outside = data && (begin < data || begin > data + size ||
                                t->bytes > (size_t)(data + size - begin));
        if (bth_source_find(s, t->name) != t || outside) {
            abort();
        }
        float *out = malloc(4 * t->bytes + 1);
        if (out) {
            bth_source_to_f32(t, out, NULL);
        }
        free(out);
    }
}

static inline int fuzz_source(int (*parse)(struct bth_source *s, const unsigned char *data,
                                           size_t size, struct berth_error *err),
                              const uint8_t *data, size_t size) {
    struct berth_error err;
    struct bth_source *s = bth_source_create();
    if (s && parse(s, data, size, &err) == 0 && bth_source_seal(s, &err) == 0) {
        bool unpacks = parse == bth_npz_parse || parse == bth_torch_parse;
        fuzz_look(s, unpacks ? NULL : data, size);
    }
    bth_source_close(s);
    return 0;
}

#endif

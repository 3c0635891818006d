/* Any bytes as a model of thinc: refused, or every reference names a node and every parameter lies
 * inside. */
#include "format/thinc.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_node(const struct bth_thinc_node *n, size_t n_nodes, const uint8_t *data,
                       size_t size) {
    for (size_t i = 0; i < n->n_refs; i++) {
        if (n->refs[i].value < 0 || (uint64_t)n->refs[i].value >= n_nodes) {
            abort();
        }
    }
    for (size_t i = 0; i < n->n_params; i++) {
        const struct bth_source_tensor *t = &n->params[i];
        const uint8_t *begin = t->data;
        if (t->bytes && (begin < data || begin + t->bytes > data + size)) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bth_thinc *m;
    if (bth_thinc_parse(data, size, &m, NULL) == 0) {
        for (size_t i = 0; i < bth_thinc_count(m); i++) {
            check_node(bth_thinc_at(m, i), bth_thinc_count(m), data, size);
        }
        bth_thinc_close(m);
    }
    return 0;
}

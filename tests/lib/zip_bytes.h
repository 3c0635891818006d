/* tests/lib/zip_bytes.h - zip archives and NumPy arrays, written byte by byte. */
#ifndef BTH_TEST_ZIP_BYTES_H
#define BTH_TEST_ZIP_BYTES_H

#include "lib/bytes.h"

struct zip {
    struct bth_str out, directory;
    int n;
};

/* A member of `packed` bytes that are `size` bytes unpacked. */
static inline void zip_member(struct zip *z, const char *name, int method, const void *data,
                              size_t packed, uint64_t size) {
    uint64_t local = z->out.size, name_size = strlen(name);
    for (int central = 0; central < 2; central++) {
        struct bth_str *s = central ? &z->directory : &z->out;
        bth_str_append(s, central ? "PK\1\2" : "PK\3\4", 4);
        put_int(s, 20, central ? 4 : 2);
        put_int(s, 0, 2);
        put_int(s, (uint64_t)method, 2);
        put_int(s, 0, 8); /* time and checksum */
        put_int(s, packed, 4);
        put_int(s, size, 4);
        put_int(s, name_size, 2);
        put_int(s, 0, 2);
        if (central) {
            put_int(s, 0, 10);
            put_int(s, local, 4);
        }
        bth_str_append(s, name, name_size);
    }
    bth_str_append(&z->out, data, packed);
    z->n++;
}

/* The finished archive is z->out. */
static inline void zip_finish(struct zip *z) {
    uint64_t at = z->out.size;
    bth_str_append(&z->out, bth_str_text(&z->directory), z->directory.size);
    bth_str_append(&z->out, "PK\5\6", 4);
    put_int(&z->out, 0, 4);
    put_int(&z->out, (uint64_t)z->n, 2);
    put_int(&z->out, (uint64_t)z->n, 2);
    put_int(&z->out, z->directory.size, 4);
    put_int(&z->out, at, 4);
    put_int(&z->out, 0, 2);
    bth_str_finish(&z->directory);
    CHECK(!z->out.failed);
}

/* NAME.npy, stored. */
static inline void zip_array(struct zip *z, const char *name, const char *descr, const char *shape,
                             const void *data, size_t bytes) {
    char head[128], member[128];
    int n = snprintf(head, sizeof(head), "{'descr': '%s', 'fortran_order': False, 'shape': %s, }\n",
                     descr, shape);
    struct bth_str array = {0};
    bth_str_append(&array, "\x93NUMPY\1\0", 8);
    put_int(&array, (uint64_t)n, 2);
    bth_str_append(&array, head, (size_t)n);
    bth_str_append(&array, data, bytes);
    snprintf(member, sizeof(member), "%s.npy", name);
    zip_member(z, member, 0, array.data, array.size, array.size);
    bth_str_finish(&array);
}

#endif

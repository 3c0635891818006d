/*
 * base/sized.h - public structs that grow from version to version.
 *
 * Fields are only ever appended, and a caller says how large the struct is that he was compiled
 * with. He gets what fits; what he knows and this library does not is zero. Pure.
 */
#ifndef BTH_SIZED_H
#define BTH_SIZED_H

#include <stddef.h>
#include <string.h>

static inline void bth_sized_copy(void *to, size_t to_size, const void *from, size_t from_size) {
    const size_t both = to_size < from_size ? to_size : from_size;
    memcpy(to, from, both);
    memset((char *)to + both, 0, to_size - both);
}

#endif

#define _GNU_SOURCE /* madvise, MAP_ANONYMOUS, MAP_NORESERVE */
#include "compute/hostmem.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/reservation.h"
#include <assert.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE_BYTES ((size_t)65536)   /* of regions */
#define HUGE_BYTES ((size_t)2 << 20) /* from here on buffers are mapped */

struct host_buffer {
    struct berth_buffer base;
    void *block;        /* what bth_alloc or mmap gave */
    size_t block_bytes; /* mapped; 0: block is from bth_alloc */
};

static void *map(size_t bytes, int prot) {
    void *p = mmap(NULL, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void *align_up(void *p, size_t to) {
    const uintptr_t at = (uintptr_t)p;
    return (char *)p + ((to - at % to) % to);
}

/* Fills block, block_bytes and host of a buffer of base.bytes. */
static int buffer_memory(struct host_buffer *b, struct berth_error *err) {
    const size_t bytes = b->base.bytes;
    const size_t align = bytes >= HUGE_BYTES ? HUGE_BYTES : 64;
    size_t total;
    if (!bth_add(bytes, align, &total)) {
        return bth_error_nomem(err);
    }
    if (align == HUGE_BYTES) {
        b->block = map(total, PROT_READ | PROT_WRITE);
        b->block_bytes = total;
    } else {
        b->block = bth_calloc(1, total);
    }
    if (!b->block) {
        return bth_error_nomem(err);
    }
    b->base.host = align_up(b->block, align);
    if (align == HUGE_BYTES) {
        madvise(b->base.host, bytes, MADV_HUGEPAGE); /* only a wish */
    }
    return 0;
}

int bth_hostmem_create(struct berth_device *device, struct berth_reservation *r, size_t bytes,
                       struct berth_buffer **out, struct berth_error *err) {
    struct host_buffer *b = bth_calloc(1, sizeof(*b));
    if (!b) {
        return bth_error_nomem(err);
    }
    b->base = (struct berth_buffer){.device = device, .bytes = bytes, .reservation = r};
    int rc = bth_reservation_draw(r, bytes, err);
    if (rc < 0) {
        goto err_free;
    }
    rc = buffer_memory(b, err);
    if (rc < 0) {
        goto err_return;
    }
    *out = &b->base;
    return 0;
err_return:
    bth_reservation_return(r, bytes);
err_free:
    bth_free(b);
    return rc;
}

void bth_hostmem_destroy(struct berth_buffer *base) {
    struct host_buffer *b = (struct host_buffer *)base;
    if (!b) {
        return;
    }
    if (b->base.reservation) {
        bth_reservation_return(b->base.reservation, b->base.bytes);
    }
    if (b->block_bytes) {
        munmap(b->block, b->block_bytes);
    } else {
        bth_free(b->block);
    }
    bth_free(b);
}

int bth_hostmem_region_create(struct berth_device *device, size_t max_bytes,
                              struct berth_buffer **out, struct berth_error *err) {
    struct host_buffer *b = bth_calloc(1, sizeof(*b));
    if (!b) {
        return bth_error_nomem(err);
    }
    b->block = map(max_bytes, PROT_NONE);
    if (!b->block) {
        bth_free(b);
        return bth_error(err, BERTH_ENOMEM, "no address space for a region of %zu bytes",
                         max_bytes);
    }
    b->block_bytes = max_bytes;
    b->base = (struct berth_buffer){.device = device, .host = b->block, .bytes = max_bytes};
    *out = &b->base;
    return 0;
}

static bool inside(const struct berth_buffer *b, size_t offset, size_t bytes) {
    return offset <= b->bytes && bytes <= b->bytes - offset;
}

int bth_hostmem_commit(struct berth_buffer *b, struct berth_reservation *r, size_t offset,
                       size_t bytes, struct berth_error *err) {
    assert(offset % PAGE_BYTES == 0 && bytes % PAGE_BYTES == 0);
    if (!inside(b, offset, bytes)) {
        return bth_error(err, BERTH_EINTERNAL, "commit of %zu bytes at %zu of a region of %zu",
                         bytes, offset, b->bytes);
    }
    const int rc = bth_reservation_draw(r, bytes, err);
    if (rc < 0) {
        return rc;
    }
    if (mprotect((char *)b->host + offset, bytes, PROT_READ | PROT_WRITE) != 0) {
        bth_reservation_return(r, bytes);
        return bth_error_nomem(err);
    }
    return 0;
}

void bth_hostmem_decommit(struct berth_buffer *b, struct berth_reservation *r, size_t offset,
                          size_t bytes) {
    assert(inside(b, offset, bytes));
    madvise((char *)b->host + offset, bytes, MADV_DONTNEED); /* fresh pages will be zero */
    mprotect((char *)b->host + offset, bytes, PROT_NONE);
    bth_reservation_return(r, bytes);
}

int bth_hostmem_write(struct berth_buffer *b, size_t offset, const void *from, size_t bytes) {
    if (!inside(b, offset, bytes)) {
        return BERTH_EINTERNAL;
    }
    memcpy((char *)b->host + offset, from, bytes);
    return 0;
}

int bth_hostmem_read(struct berth_buffer *b, size_t offset, void *to, size_t bytes) {
    if (!inside(b, offset, bytes)) {
        return BERTH_EINTERNAL;
    }
    memcpy(to, (const char *)b->host + offset, bytes);
    return 0;
}

size_t bth_hostmem_total(void) {
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (size_t)pages * (size_t)size : 0;
}

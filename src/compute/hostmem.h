/*
 * compute/hostmem.h - the memory half of a backend whose device memory is the host's: buffers,
 * regions and copies, as berth/backend.h describes them. The functions fit its vtable.
 *
 * Buffers are zeroed and aligned to 64 bytes, large ones to 2 MiB on huge pages where the system
 * gives them. Thread rule: that of berth/backend.h.
 */
#ifndef BTH_HOSTMEM_H
#define BTH_HOSTMEM_H

#include <berth/backend.h>

int bth_hostmem_create(struct berth_device *device, struct berth_reservation *r, size_t bytes,
                       struct berth_buffer **out, struct berth_error *err);
void bth_hostmem_destroy(struct berth_buffer *b); /* buffers and regions; NULL is allowed */

int bth_hostmem_region_create(struct berth_device *device, size_t max_bytes,
                              struct berth_buffer **out, struct berth_error *err);
int bth_hostmem_commit(struct berth_buffer *b, struct berth_reservation *r, size_t offset,
                       size_t bytes, struct berth_error *err);
void bth_hostmem_decommit(struct berth_buffer *b, struct berth_reservation *r, size_t offset,
                          size_t bytes);

int bth_hostmem_write(struct berth_buffer *b, size_t offset, const void *from, size_t bytes);
int bth_hostmem_read(struct berth_buffer *b, size_t offset, void *to, size_t bytes);

/* Bytes of memory in this machine. */
size_t bth_hostmem_total(void);

#endif

/*
 * format/source.h - a file of named tensors, checked once, then read-only.
 *
 * Layer format: untrusted bytes -> names, shapes and byte ranges. It executes nothing, allocates in
 * proportion to what the file really holds, and knows no model. Readers: ct2.c, safetensors.c.
 *
 * Every tensor returned has shape x dtype == bytes, lies inside the mapping, and has dims >= 0 of
 * at most 2^40 elements. Data may be unaligned. A source is immutable after open: any thread.
 */
#ifndef BTH_SOURCE_H
#define BTH_SOURCE_H

#include <berth/backend.h>
#include <berth/error.h>
#include <stddef.h>
#include <stdint.h>

#define BTH_SOURCE_MAX_DIMS 4

struct bth_source_tensor {
    const char *name; /* lives as long as the source */
    enum berth_dtype dtype;
    int rank;
    int64_t dims[BTH_SOURCE_MAX_DIMS];
    const void *data; /* in the mapping; any alignment */
    size_t bytes;
};

struct bth_source;

/* Opens a CTranslate2 model.bin (versions 1 to 6). On disk, little-endian: u32 version; string
 * spec; u32 revision; u32 n; n x {string name, u8 rank, u32 dims[rank], u8 dtype, u32 bytes, data};
 * u32 n_aliases x {string alias, string name}; string = u16 length with its NUL, bytes, NUL.
 * EFORMAT, ENOTFOUND, EIO, ENOMEM. */
int bth_ct2_open(const char *path, struct bth_source **out, struct berth_error *err);
/* The spec name and revision of a CTranslate2 source ("WhisperSpec", 3). */
const char *bth_ct2_spec(const struct bth_source *s, uint32_t *out_revision);

/* Opens one safetensors file, or a directory with model.safetensors or
 * model.safetensors.index.json and its shards. On disk: u64 n; n bytes of JSON {name: {dtype,
 * shape, data_offsets [begin, end)}}; data. Overlaps, gaps beyond the file and unknown dtypes are
 * errors. */
int bth_safetensors_open(const char *path, struct bth_source **out, struct berth_error *err);

void bth_source_close(struct bth_source *s);

size_t bth_source_count(const struct bth_source *s);
const struct bth_source_tensor *bth_source_at(const struct bth_source *s, size_t i);
/* By name or alias; NULL if there is none. */
const struct bth_source_tensor *bth_source_find(const struct bth_source *s, const char *name);

/* All elements as f32: [n elements] into out. f32, f16, bf16 exactly; EFORMAT for others. */
int bth_source_to_f32(const struct bth_source_tensor *t, float *out, struct berth_error *err);

#endif

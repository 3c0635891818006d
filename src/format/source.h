/*
 * format/source.h - a file of named tensors, checked once, then read-only.
 *
 * Layer format: untrusted bytes -> names, shapes and byte ranges. It executes nothing, allocates in
 * proportion to what the file really holds, and knows no model. Readers: ct2.c, safetensors.c,
 * marian_bin.c, npz.c, torch.c.
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

/* Opens Marian's .bin. On disk, little-endian: u64 version 1; u64 n; n x {u64 name bytes, u64 type,
 * u64 rank, u64 data bytes}; names, each with its NUL; shapes, i32; u64 pad, pad bytes; data, each
 * padded within its bytes. An intgemm matrix (type 0x4101, 0x4102) is i8 or i16 here, its dims
 * swapped to those of its bytes, [n, k] (but not names holding "Wemb", which are so already), and
 * its scale is a tensor of rank 0, NAME BTH_MARIAN_SCALE: value = q / scale. */
int bth_marian_bin_open(const char *path, struct bth_source **out, struct berth_error *err);
#define BTH_MARIAN_SCALE "#scale"

/* Opens a .npz: a zip of NAME.npy, each "\x93NUMPY", u8 major, u8 minor, u16 or u32 header size, a
 * Python literal {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, data in C order.
 * Stored members are mapped, deflated ones unpacked into memory. */
int bth_npz_open(const char *path, struct bth_source **out, struct berth_error *err);

/* Opens a PyTorch state dict (torch.save of {name: tensor}): a zip of data.pkl and data/KEY, or the
 * older form, pickles one behind the other and then the storages. The pickle is read, not run:
 * containers, numbers and strings, and of callables those that make tensors and ordered dicts;
 * everything else is EFORMAT. Tensors must be contiguous; those of types that no weight has (i64,
 * bool) are left out. */
int bth_torch_open(const char *path, struct bth_source **out, struct berth_error *err);

void bth_source_close(struct bth_source *s);

size_t bth_source_count(const struct bth_source *s);
const struct bth_source_tensor *bth_source_at(const struct bth_source *s, size_t i);
/* By name or alias; NULL if there is none. */
const struct bth_source_tensor *bth_source_find(const struct bth_source *s, const char *name);

/* All elements as f32: [n elements] into out. f32, f16, bf16 exactly; EFORMAT for others. */
int bth_source_to_f32(const struct bth_source_tensor *t, float *out, struct berth_error *err);

#endif

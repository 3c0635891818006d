/*
 * format/npy.h - one NumPy array in memory (.npy, versions 1 to 3), as a view.
 *
 * On disk: 6 bytes "\x93NUMPY"; u8 major, minor; u16 (version 1) or u32 header length,
 * little-endian; the header, a Python dict {'descr': '<f4', 'fortran_order': False, 'shape': (2,
 * 3)}; the data. Nothing is executed, copied or allocated. Pure; any thread.
 */
#ifndef BTH_NPY_H
#define BTH_NPY_H

#include <berth/backend.h>
#include <berth/error.h>

#define BTH_NPY_MAX_DIMS 4

struct bth_npy {
    enum berth_dtype dtype;
    int rank;
    int64_t dims[BTH_NPY_MAX_DIMS];
    const void *data; /* [dims] dtype, rows dense; any alignment; in the caller's bytes */
    size_t bytes;     /* product of dims x dtype */
};

/* Little-endian f4, f2, i1, i2, i4 and u4, in C order (or of one dimension at most). EFORMAT, also
 * when the bytes do not hold the shape. Bytes behind the array are an error too. */
int bth_npy_parse(const void *bytes, size_t size, struct bth_npy *out, struct berth_error *err);

#endif

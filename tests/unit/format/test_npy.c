/* NumPy arrays: what is read, and what is refused. */
#include "base/compiler.h"
#include "format/npy.h"
#include "lib/test.h"

static unsigned char file[512];

/* A version 1 file of a header and n bytes of data. */
static size_t write_npy(const char *header, size_t n) {
    const size_t h = strlen(header);
    memcpy(file, "\x93NUMPY\x01\x00", 8);
    file[8] = (unsigned char)h;
    file[9] = (unsigned char)(h >> 8);
    memcpy(file + 10, header, h);
    for (size_t i = 0; i < n; i++) {
        file[10 + h + i] = (unsigned char)i;
    }
    return 10 + h + n;
}

static void test_reads(void) {
    struct berth_error err;
    struct bth_npy a;
    size_t n = write_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }  \n", 24);
    CHECK_OK(bth_npy_parse(file, n, &a, &err), err);
    CHECK(a.dtype == BERTH_F32 && a.rank == 2 && a.dims[0] == 2 && a.dims[1] == 3);
    CHECK(a.bytes == 24 && (const unsigned char *)a.data == file + n - 24);

    n = write_npy("{'shape':(5,),'fortran_order':True,'descr':'|i1'}", 5);
    CHECK_OK(bth_npy_parse(file, n, &a, &err), err);
    CHECK(a.dtype == BERTH_I8 && a.rank == 1 && a.dims[0] == 5);

    n = write_npy("{'descr': '<i2', 'fortran_order': False, 'shape': ()}", 2);
    CHECK_OK(bth_npy_parse(file, n, &a, &err), err);
    CHECK(a.dtype == BERTH_I16 && a.rank == 0);

    n = write_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 0)}", 0);
    CHECK_OK(bth_npy_parse(file, n, &a, &err), err);
    CHECK(a.bytes == 0);
}

static void test_refuses(void) {
    static const struct {
        const char *header;
        size_t data;
    } bad[] = {{"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", 23},
               {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", 25},
               {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}", 24},
               {"{'descr': '|O', 'fortran_order': False, 'shape': (3,)}", 24},
               {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}", 12},
               {"{'descr': '>f4', 'fortran_order': False, 'shape': (3,)}", 12},
               {"{'descr': '<f4', 'shape': (-1,)}", 4},
               {"{'descr': '<f4', 'shape': (99999999999999999999999,)}", 4},
               {"{'descr': '<f4', 'shape': (1099511627776, 1099511627776)}", 4},
               {"{'descr': '<f4', 'shape': (1, 1, 1, 1, 1)}", 4},
               {"{'descr': '<f4', 'shape': (1", 4},
               {"{'descr': '<f4'}", 4},
               {"{'descr': '<f4", 4},
               {"{", 4},
               {"", 4}};
    struct berth_error err;
    struct bth_npy a = {.rank = 77};
    for (size_t i = 0; i < BTH_COUNT(bad); i++) {
        size_t n = write_npy(bad[i].header, bad[i].data);
        CHECK_INT(bth_npy_parse(file, n, &a, &err), BERTH_EFORMAT);
        CHECK_INT(a.rank, 77);
    }
    size_t n = write_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", 24);
    for (size_t cut = 0; cut < n; cut++) {
        CHECK_INT(bth_npy_parse(file, cut, &a, &err), BERTH_EFORMAT);
    }
    file[9] = 0xFF;
    CHECK_INT(bth_npy_parse(file, n, &a, &err), BERTH_EFORMAT);
}

int main(void) {
    test_reads();
    test_refuses();
    return 0;
}

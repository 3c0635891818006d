/*
 * compute/cpu/kernels.h - the ops of berth/backend.h, once per instruction set.
 *
 * An op function does one member's share of one op. It splits the work by (member, n_members,
 * apart) alone and the split never changes a bit: each result value is one fixed chain of
 * roundings. The caller puts a barrier behind each op; some ops have one inside as well. Where
 * members go `apart` (cpu_program.c says which ops can) there are none, and all is split by rows.
 *
 * The functions live in template headers (linear_kernels.h ...) that are compiled by each of
 * kernels_avx512.c, kernels_avx2.c and kernels_scalar.c.
 */
#ifndef BTH_KERNELS_H
#define BTH_KERNELS_H

#include "base/compiler.h"
#include "compute/cpu/team.h"
#include <berth/backend.h>

enum {
    BTH_PANEL = 32,       /* columns of a weight panel: weights lie as [n / 32][k][32] */
    BTH_GROUP_ROWS = 252, /* rows of activations packed at a time, a multiple of every V_ROWS */
    BTH_CHUNK = 256,      /* positions of attend_paged that are summed as one */
    BTH_QUERIES = 32,     /* queries of attend_full that are computed together */
    BTH_PICK_RESULT_BYTES = 192, /* of one row and panel, an upper bound */
    BTH_PICK_PANEL = 1024,       /* ids of pick that are summed as one */
    BTH_MAX_HEAD_DIM = 256,
    BTH_MAX_SHARED_ROWS = 16 /* rows of attend_paged that share one read */
};

/* A weight of this backend: panels of 32 columns, k-major, in the precision of the file. Columns
 * beyond n are 0. */
struct bth_cpu_weight {
    struct berth_weight base;
    struct berth_buffer *buffer; /* [n / 32 rounded up][k][32] dtype; i8: [n / 32][k / 4][32][4],
                                    both rounded up, then the sums of rows [n / 32][32] i32 */
};

BTH_UNUSED static inline int64_t eights_k(const struct bth_cpu_weight *w) {
    return (w->base.k + 3) / 4 * 4;
}
/* Element (n, k) of a weight of i8. */
BTH_UNUSED static inline int8_t *eight_at(const struct bth_cpu_weight *w, int64_t n, int64_t k) {
    return (int8_t *)w->buffer->host + n / BTH_PANEL * BTH_PANEL * eights_k(w) +
           k / 4 * 4 * BTH_PANEL + n % BTH_PANEL * 4 + k % 4;
}
BTH_UNUSED static inline int32_t *eight_sums(const struct bth_cpu_weight *w) {
    return (int32_t *)(void *)((int8_t *)w->buffer->host +
                               (w->base.n + BTH_PANEL - 1) / BTH_PANEL * BTH_PANEL * eights_k(w));
}

/* One member's view of one op of a run. */
struct bth_cpu_turn {
    const struct berth_op *op;
    int member, n_members;
    bool apart;   /* each member has the same part of the rows in every op, and nobody waits */
    int64_t rows; /* live rows, or groups, of this run */
    void *own;    /* this member's scratch, [bth_cpu_own_bytes], aligned to 64 */
    void *shared; /* scratch of all members, [bth_cpu_shared_bytes], aligned to 64 */
    struct bth_team *team;
};

/* The barrier inside an op; nobody waits for where a run is one thread's, or in parts. */
BTH_UNUSED static inline void wait_for_all(const struct bth_cpu_turn *t) {
    if (t->n_members > 1 && !t->apart) {
        bth_team_barrier(t->team);
    }
}

/* Upper bounds over the instruction sets; SIZE_MAX when a size overflows. */
size_t bth_cpu_own_bytes(const struct berth_op *op);
size_t bth_cpu_shared_bytes(const struct berth_op *op);

struct bth_kernels {
    const char *name; /* "AVX-512" */
    void (*op[BERTH_N_OPS])(const struct bth_cpu_turn *t);
    /* For tests: y[i] = f(x[i]), i < n. */
    void (*exp)(const float *x, float *y, size_t n);
    void (*gelu)(const float *x, float *y, size_t n);
};

/* NULL where the compiler had no such instruction set. */
const struct bth_kernels *bth_kernels_avx512(void);
const struct bth_kernels *bth_kernels_avx2(void);
const struct bth_kernels *bth_kernels_scalar(void);

#endif

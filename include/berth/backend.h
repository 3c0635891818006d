/*
 * berth/backend.h - for authors of devices: what an engine may ask of one.
 *
 * A backend owns device memory and runs programs. A program is an array of ops built once per
 * (model, stage, row bucket); running it again costs no decision. So a GPU can capture it as a
 * graph and a CPU can walk it with a team of threads. Whatever changes from turn to turn (token
 * ids, positions, page tables, lengths, the number of live rows) lies in device tensors that the
 * engine writes before the run, never in an op.
 *
 * Not here: what a model is, who may use it, when. Engines call through src/compute/ops.h, which
 * checks every shape before a backend sees it.
 *
 * Thread rule: one thread at a time drives a device's programs ("the device's thread"); allocation,
 * packing and release of weights, and making and ending programs, may come from other threads at
 * the same time (loaders), each for a model and reservations of its own.
 */
#ifndef BERTH_BACKEND_H
#define BERTH_BACKEND_H

#include <berth/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifndef __cplusplus
#include <stdatomic.h>
#endif

#define BERTH_BACKEND_API 1

/* A counter that other threads may look at. C++ (CUDA files) has no _Atomic: there it is only a
 * place of the same size, touched through base/reservation.h alone. */
#ifdef __cplusplus
#define BERTH_COUNTER size_t
extern "C" {
#else
#define BERTH_COUNTER _Atomic size_t
#endif

/* ---- memory ---------------------------------------------------------------------------------*/

enum berth_bytes_kind { BERTH_BYTES_WEIGHTS, BERTH_BYTES_SESSION, BERTH_BYTES_WORKSPACE };
#define BERTH_N_BYTES_KINDS 3

/* A promise of bytes on one device, made by core before anyone allocates. Whoever allocates draws
 * from it; a draw beyond `limit_bytes` asks `grow` and fails with BERTH_EBUDGET when that says no
 * or is NULL. One owner at a time; the counters may be read from any thread. */
struct berth_reservation {
    enum berth_bytes_kind kind;
    BERTH_COUNTER limit_bytes;
    BERTH_COUNTER used_bytes;
    BERTH_COUNTER high_bytes; /* the most that was ever drawn */
    /* Raise limit_bytes by at least `more`; 0 or an error code. May be NULL. */
    int (*grow)(struct berth_reservation *r, size_t more, struct berth_error *err);
    void *owner; /* core's */
};

enum berth_dtype { BERTH_F32, BERTH_F16, BERTH_BF16, BERTH_I8, BERTH_I16, BERTH_I32, BERTH_U32 };

/* Device memory. `host` is its address where the host can reach it (CPU), else NULL: engines never
 * look, they use `write` and `read`. */
struct berth_buffer {
    const struct berth_device *device;
    void *host;
    size_t bytes;
    struct berth_reservation *reservation; /* gets the bytes back on free */
};

/*
 * A view of a buffer: [rows, cols] dtype, row r at offset + r * row_stride, columns dense.
 *
 * Two refinements place rows where the data lives, so that no copy is needed:
 *  - groups: with `index`, rows come in groups of `group_rows`, and group g lies
 *    index[g] * group_stride further on:
 *    base + index[g] * group_stride + (r % group_rows) * row_stride.
 *    `index` is [>= rows / group_rows] i32 on the device, written before the run.
 *  - heads: with `head_cols` > 0 column c lies at head (c / head_cols):
 *    + (c / head_cols) * head_stride + (c % head_cols); row_stride then steps within a head.
 * All strides and the offset count elements of `dtype`. Groups may place the f32 rows of x, y and
 * their like, heads only those of linear, of attention's q, k, v and y, and of conv3's y and add;
 * the builder refuses them elsewhere.
 */
struct berth_tensor {
    struct berth_buffer *buffer;
    enum berth_dtype dtype;
    size_t offset;
    int64_t rows, cols;
    int64_t row_stride;
    struct berth_buffer *index; /* NULL: one group of all rows */
    size_t index_offset;        /* of element 0, in i32 */
    int64_t group_rows, group_stride;
    int64_t head_cols, head_stride;
};

/* A matrix prepared once for `linear`: y = x W^T. Opaque; the layout is the backend's. */
struct berth_weight {
    const struct berth_device *device;
    int64_t n, k; /* outputs, inputs */
    enum berth_dtype dtype;
    size_t bytes;
    struct berth_reservation *reservation;
};

/* ---- ops ------------------------------------------------------------------------------------*/
/* Rows beyond the live count of a program are not computed and their outputs undefined. f32
 * unless said otherwise; "narrow" is f32 or the device's `narrow`, as the engine likes. Outputs may
 * not overlap inputs except where said. A result row depends on its own inputs alone: the same bits
 * at every position, in every company, with every team size. */

enum berth_activation {
    BERTH_ACT_NONE,
    BERTH_ACT_GELU /* exact, erf */,
    BERTH_ACT_RELU,
    BERTH_ACT_SWISH
};

/* y[r, :] = table[ids[r], :] * scale + positions[pos[r], :]
 * ids, pos: [rows] i32 as [1, rows] tensors, an id < 0 is a row of zeros; table: a weight [*, d],
 * the same that makes the logits where both are one, or NULL: then `rows`, the same as a dense
 * tensor f32, f16, bf16 or i8, which select takes too; positions: f32, f16 or bf16 [*, d].
 * A table of i8 is first multiplied by `unit`, rounded, as if it had been stored as f32. */
struct berth_op_embed {
    struct berth_tensor ids, pos, positions, y, rows;
    const struct berth_weight *table;
    float scale, unit;
};

/* How f32 rows meet a weight of i8. Each row is quantised, i = nearest even of x * alpha, within
 * [-127, 127], and sums of products are exact integers:
 *     alpha > 0:  acc = sum (i + 127) w      y = float(acc) * unit[n] + bias[n]
 *     alpha = 0:  a row's own alpha = 127 / max |x| (0 for zeros), acc = sum i w
 *                                            y = float(acc) * (unit[n] / alpha) + bias[n]
 * with float(acc) to nearest, the product and the sum rounded apart. The 127 lets a device take
 * unsigned bytes; who uses it has put what it adds into the bias. */
struct berth_eights {
    float alpha;
    struct berth_tensor unit; /* [1, n] f32; buffer NULL: the weight is not i8 */
};

/* y = (x - mean) / sqrt(var + eps) * gamma + beta over the columns; gamma, beta: [1, d].
 * y: narrow. */
struct berth_op_layer_norm {
    struct berth_tensor x, gamma, beta, y;
    float eps;
};

/* y = act(x W^T + bias) * scale(+ residual). x: [rows, k]; y, residual: [rows, n] (residual may be
 * y itself); bias: [1, n] or buffer NULL; residual buffer NULL: none.
 * `scale` multiplies columns [0, scale_cols) after bias and act (Whisper's query scale); 0: none.
 * With `many` x and y are narrow (y only without a residual). */
struct berth_op_linear {
    struct berth_tensor x, bias, residual, y;
    const struct berth_weight *w;
    enum berth_activation act;
    int64_t scale_cols;
    float scale;
    bool many; /* the stage works on whole windows, rows in the hundreds: where bits would depend on
                  the kernel it is chosen by this, so a stage must always say the same */
    struct berth_eights eights; /* for a weight of i8: x W^T + bias is as said there */
};

/* Products with chosen rows of a matrix: y[r, i] = x[r] . w[id] + bias[id], id = ids[list[r], i],
 * for i < count[r]; other columns of y are undefined. w: dense [*, k] f32 or i8; ids: [*, most]
 * i32; list, count: [1, rows] i32; bias: [1, *]; y: [rows, most]. A product of f32 is 16 lanes
 * (columns l, l + 16 ...), summed as a tree: l with l + 8, then + 4, + 2, + 1. */
struct berth_op_select {
    struct berth_tensor x, w, ids, list, count, bias, y;
    struct berth_eights eights; /* for w of i8 */
};

/* A step of the simple recurrent unit: with f = 1 / (1 + exp(-gate)) and c = state[from[r]],
 *     state[to[r]] = f c + (1 - f) x      y = max(state[to[r]], 0) + residual
 * State s is d floats at offset + s * stride of the buffer; from < 0: zeros; nobody's `to` is
 * another's `from` or `to`. from, to: [1, rows] i32; the others [rows, d]. */
struct berth_op_ssru {
    struct berth_tensor x, gate, residual, from, to, y;
    struct berth_buffer *state;
    int64_t stride, offset;
};

/* Convolution of width 3, padding 1, over time, then activation, then + add:
 * y[g, t, :] = act(sum_j x[g, t*stride + j - 1, :] Wj^T + bias) + add[t, :]
 * x: `groups` groups of t_in rows [t_in, c_in] (zero outside); w: packed [n, 3 * c_in], column
 * j * c_in + c; y: groups of t_out rows; add: [t_out, n] or none. x, y: narrow (y only without
 * add). */
struct berth_op_conv3 {
    struct berth_tensor x, bias, add, y;
    const struct berth_weight *w;
    int64_t groups, t_in, t_out, stride;
    enum berth_activation act;
};

/* Full attention inside a group (encoder): for each group g, head h and query row i in
 * [q0, q0 + nq): y[g, i - q0, h*dh..] = softmax(q_i . K_h) V_h over the group's t rows. Queries are
 * already scaled. q, k, v: groups of t rows in head layout (head_cols = dh), narrow, of one dtype;
 * y: [groups * nq, h*dh], narrow. */
struct berth_op_attend_full {
    struct berth_tensor q, k, v, y;
    int64_t groups, t, heads, head_dim, q0, nq;
};

/* A paged store of keys and values. Page p of layer l holds, for each head, `page_rows` rows of
 * head_dim: element (p, head, row, c) at p*page_stride + offset + head*page_rows*head_dim +
 * row*head_dim + c, keys at key_offset, values at value_offset. The buffer is one region.
 * dtype: f32 or the device's `narrow`; strides and offsets count its elements. */
struct berth_kv {
    struct berth_buffer *buffer;
    enum berth_dtype dtype;
    int64_t page_stride, page_rows, heads, head_dim;
    int64_t key_offset, value_offset;
};

/* Store: row r's key and value (x columns [0, d) and [d, 2d)) at position pos[r] of its pages.
 * table: [rows, max_pages] i32 page numbers; pos: [1, rows] i32. */
struct berth_op_kv_store {
    struct berth_tensor x, table, pos;
    struct berth_kv kv;
};

/* Attention of single rows over their own pages: y[r, h*dh..] = softmax(q_r . K) V over the first
 * len[r] positions. q, y: [rows, heads*dh] (q scaled already); len: [1, rows] i32. With page_rows
 * = 1500 and one page a row this is Whisper's cross attention. Rows that name the same pages may
 * share the reads. `scores` [rows * heads, pages * page_rows] or none: the products before the
 * softmax (for alignment). */
struct berth_op_attend_paged {
    struct berth_tensor q, table, len, y, scores;
    struct berth_kv kv;
};

/* Copies page from[i] to page to[i], i < live[slot]. from, to: [1, n] i32. */
struct berth_op_kv_copy {
    struct berth_tensor from, to;
    struct berth_kv kv;
};

/* Gathers rows: y[i, :] = x[rows[i], :]. rows: [1, n] i32. */
struct berth_op_gather {
    struct berth_tensor x, rows, y;
};

/* What `pick` is told about one row; [rows] of these bytes in a device tensor. */
struct berth_pick_in {
    int32_t mask;              /* row of the mask table whose set bits are forbidden; -1: none */
    int32_t forbid[4][2];      /* up to four forbidden ranges [begin, end); empty: begin == end */
    int32_t group_begin;       /* the group rule's range [group_begin, V); -1: no rule */
    int32_t probe;             /* id whose probability in the unfiltered row is wanted; -1: none */
    float temperature;         /* 0: the best id, smallest on ties; > 0: a draw */
    uint32_t seed_lo, seed_hi; /* key and counter of the draw, see below */
    uint32_t window, attempt, row, step;
};

/* And what it answers. */
struct berth_pick_out {
    int32_t id;        /* the choice */
    float logprob;     /* of it: log-softmax of the filtered, undivided row */
    int32_t top_id[2]; /* the best two of the filtered row; -1 where fewer are left */
    float top_logit[2];
    float probe_prob;   /* softmax of the unfiltered row at `probe` */
    float group_margin; /* logsumexp(range) - max(rest), of the filtered row; NaN: no rule */
};

/*
 * Chooses one id per row of logits. In this order:
 *  1. probe_prob from the row as it is.
 *  2. masked and forbidden ids become -inf.
 *  3. group rule: if logsumexp(z[group_begin, V)) > max(z[0, group_begin)), ids below are -inf too.
 *     (A logsumexp or max over nothing is -inf; -inf > -inf is false.)
 *  4. temperature 0: arg max, first on ties. Else an exponential race: arg max over the ids left
 *     of z/T - ln(-ln u) in f64, u = (w + 0.5) / 2^32 where w is word (id % 4) of Philox4x32-10
 *     with key {seed_lo, seed_hi} and counter {id / 4, step | row << 16, window, attempt}.
 *  5. logprob = z[id] - logsumexp(z) of the filtered row.
 * NaN logits count as -inf. If nothing is left id = -1 and logprob = -inf.
 * Sums over the vocabulary run in fixed panels of 1,024 ids, in 16 lanes, combined in panel order.
 * logits: [rows, V] (changed by the op); in: [rows] berth_pick_in as a u32 tensor
 * [rows, sizeof / 4]; out likewise; mask: [n_masks, ceil(V / 32)] u32 or none.
 * all_probs: [rows, V] or none: softmax of the filtered row at T = 1 (language detection).
 */
struct berth_op_pick {
    struct berth_tensor logits, in, out, mask, all_probs;
};

/* The most likely ids of a row, for searches. */
enum { BERTH_TOP = 32, BERTH_TOP_FORBID = 8 };

/* What `top` is told about one row; [rows] of these bytes in a device tensor. */
struct berth_top_in {
    int32_t n;                        /* columns of the row that count */
    int32_t k;                        /* how many ids are wanted, at most BERTH_TOP */
    int32_t forbid[BERTH_TOP_FORBID]; /* ids that are out, -1: none */
    int32_t all; /* log-probabilities are over all ids, not over those that are left */
};

/* And what it answers: k ids, most likely first, smaller ids first on ties; -1 where fewer are
 * left. */
struct berth_top_out {
    int32_t id[BERTH_TOP];
    float logprob[BERTH_TOP];
};

/* logprob = z - logsumexp(z), in f64 from f32 sums in fixed panels of 1,024 ids. NaN counts as
 * -inf. logits: [rows, V], in: [rows, sizeof / 4] u32, out likewise. */
struct berth_op_top {
    struct berth_tensor logits, in, out;
};

/* Sums of rows of a table, in the order of their ids, starting from 0:
 * y[r, p*d + c] = table[ids[r, p*terms], c] + table[ids[r, p*terms + 1], c] + ...
 * ids: [rows, parts * terms] i32; table: [n, d]; y: [rows, parts * d]. */
struct berth_op_embed_sum {
    struct berth_tensor ids, table, y;
    int64_t terms;
};

/* The largest of `pieces` columns, then, with gamma, a layer norm, then + residual:
 * y[r, c] = norm(max over p of x[r, p*n + c]) (+ residual[r, c])
 * x: [rows, pieces * n]; gamma, beta: [1, n] or both none; residual: [rows, n], may be y, or none;
 * y: [rows, n]. max(a, b) is a > b ? a : b, pieces in ascending order. */
struct berth_op_maxout {
    struct berth_tensor x, gamma, beta, residual, y;
    int64_t pieces;
    float eps;
};

/* A state made of parts of several rows: sums, in the order of the ids, starting from 0, + bias,
 * then the largest of `pieces` columns as in maxout:
 * y[r, c] = max over p of (x[ids[r, 0], p*n + c] + x[ids[r, 1], w + p*n + c] + ... + bias[p*n + c])
 * with w = pieces * n. ids: [rows, parts] i32; x: [*, parts * w]; bias: [1, w]; y: [rows, n]. */
struct berth_op_gather_max {
    struct berth_tensor ids, x, bias, y;
    int64_t pieces;
};

enum berth_op_kind {
    BERTH_OP_EMBED,
    BERTH_OP_LAYER_NORM,
    BERTH_OP_LINEAR,
    BERTH_OP_CONV3,
    BERTH_OP_ATTEND_FULL,
    BERTH_OP_KV_STORE,
    BERTH_OP_ATTEND_PAGED,
    BERTH_OP_KV_COPY,
    BERTH_OP_GATHER,
    BERTH_OP_PICK,
    BERTH_OP_SELECT,
    BERTH_OP_SSRU,
    BERTH_OP_TOP,
    BERTH_OP_EMBED_SUM,
    BERTH_OP_MAXOUT,
    BERTH_OP_GATHER_MAX
};
#define BERTH_N_OPS 16

/* An op and which of the program's live counts bounds its rows (rows of `y`; for grouped ops the
 * number of groups).
 *
 * `apart` is a promise: what row r reads was there before the run, or row r of ops before wrote it,
 * or a barrier lies between; barriers are before and after each op that is not apart. So a device
 * may give each of its threads some rows and let it run on without waiting for the others. */
struct berth_op {
    enum berth_op_kind kind;
    int live;   /* index into `live`, -1: all rows always */
    bool apart; /* false is always right */
    union {
        struct berth_op_embed embed;
        struct berth_op_layer_norm layer_norm;
        struct berth_op_linear linear;
        struct berth_op_conv3 conv3;
        struct berth_op_attend_full attend_full;
        struct berth_op_kv_store kv_store;
        struct berth_op_attend_paged attend_paged;
        struct berth_op_kv_copy kv_copy;
        struct berth_op_gather gather;
        struct berth_op_pick pick;
        struct berth_op_select select;
        struct berth_op_ssru ssru;
        struct berth_op_top top;
        struct berth_op_embed_sum embed_sum;
        struct berth_op_maxout maxout;
        struct berth_op_gather_max gather_max;
    } u;
};

#define BERTH_MAX_LIVE 4

/* ---- devices --------------------------------------------------------------------------------*/

struct berth_backend_ops;
struct berth_program; /* opaque, the backend's */

struct berth_device {
    const struct berth_backend_ops *ops;
    char name[32];        /* "cpu", "cuda:0" */
    char description[96]; /* "AVX-512, 2 threads" */
    size_t total_bytes;   /* of memory; the budget is core's */
    size_t free_bytes;    /* of them when it was opened; 0: not known */
    int max_windows;      /* encoder windows worth batching in one turn (CPU: 1) */
    bool fast;            /* it has products of i8, and precision fast lets engines use them */
    double turn_flops;    /* operations of one window that make a turn of about 20 ms: engines cut
                             what is longer, so that others get their turn */
    enum berth_dtype narrow; /* what engines may keep between the ops of whole windows, and keys and
                                values, in: f16 where products take 16 bits anyway, else f32 */
};

/* Every member is required. `device` is the one that the objects were made on. */
struct berth_backend_ops {
    uint32_t api_version; /* BERTH_BACKEND_API */
    uint32_t struct_size;
    const char *name; /* "ref", "cpu", "cuda" */

    void (*close)(struct berth_device *device);

    /* Zeroed memory from `r`. ENOMEM, EBUDGET. */
    int (*buffer_create)(struct berth_device *device, struct berth_reservation *r, size_t bytes,
                         struct berth_buffer **out, struct berth_error *err);
    void (*buffer_destroy)(struct berth_buffer *b);

    /* A region: address space for `max_bytes` at a fixed place, memory only where committed.
     * Offsets and lengths are multiples of 64 KiB. commit draws `bytes` from `r`, decommit gives
     * them back to the same `r`; fresh pages are zero. */
    int (*region_create)(struct berth_device *device, size_t max_bytes, struct berth_buffer **out,
                         struct berth_error *err);
    int (*region_commit)(struct berth_buffer *b, struct berth_reservation *r, size_t offset,
                         size_t bytes, struct berth_error *err);
    void (*region_decommit)(struct berth_buffer *b, struct berth_reservation *r, size_t offset,
                            size_t bytes);

    /* Copies between host and device in the order of programs on this device. `write` may return
     * before the copy is done only if `from` has been taken over; `read` waits. */
    int (*write)(struct berth_buffer *b, size_t offset, const void *from, size_t bytes);
    int (*read)(struct berth_buffer *b, size_t offset, void *to, size_t bytes);

    /* Packs rows of [n, k] f32, f16, bf16 or i8 (host, row-major, dense, any alignment) for linear
     * and embed. EUNSUPPORTED: this device has no products of such. */
    int (*weight_create)(struct berth_device *device, struct berth_reservation *r,
                         enum berth_dtype dtype, int64_t n, int64_t k, const void *rows,
                         struct berth_weight **out, struct berth_error *err);
    void (*weight_destroy)(struct berth_weight *w);
    /* The bytes that weight_create will draw, for estimates. */
    size_t (*weight_bytes)(struct berth_device *device, enum berth_dtype dtype, int64_t n,
                           int64_t k);

    /* Takes a copy of the checked ops. `scratch` bytes are drawn from `r`. */
    int (*program_create)(struct berth_device *device, struct berth_reservation *r,
                          const struct berth_op *ops, size_t n_ops, struct berth_program **out,
                          struct berth_error *err);
    void (*program_destroy)(struct berth_program *p);
    /* Queues one run with these live counts (CPU: runs it). EDEVICE when the device has failed. */
    int (*program_run)(struct berth_program *p, const uint32_t live[BERTH_MAX_LIVE],
                       struct berth_error *err);
    /* Waits for all that was queued. */
    int (*sync)(struct berth_device *device, struct berth_error *err);
    /* Whether programs may have ops of this kind: engines ask when they estimate, so that a model
     * goes to a device that can run it. Any thread. */
    bool (*runs)(const struct berth_device *device, enum berth_op_kind kind);
};

#ifdef __cplusplus
}
#endif
#endif

/*
 * op_cases.h - randomised cases of every op, to run on any device whole or in part.
 *
 * A case has `rows` rows (groups, for ops with groups). op_case_run makes the inputs of all of them
 * from the case's seed, gives `n` from `first` on to the device, and writes op_case_row_bytes(c) a
 * row. So runs on different devices, and of different parts, are comparable byte by byte.
 *
 * Every buffer is filled with NaN before its tensors are written, and the program has more rows
 * than are live: whoever reads what is not his shows it in his result. What lies around the rows of
 * an output must be unchanged after the run.
 */
#ifndef OP_CASES_H
#define OP_CASES_H

#include <berth/backend.h>

enum op_placing { OP_DENSE, OP_STRIDED, OP_HEADS, OP_GROUPS, OP_BOTH };

struct op_case {
    enum berth_op_kind kind;
    int64_t rows;
    int64_t n, k;  /* linear, conv3: outputs, inputs; others: n columns */
    int64_t t, q0; /* conv3, attend_full: rows of a group; attend_full: the first query */
    int64_t heads; /* attention and pages, each with n / heads columns */
    int64_t page_rows, pages; /* of a row */
    int64_t stride;           /* conv3 */
    int64_t spare;            /* rows of the program beyond the live ones */
    enum op_placing placing;  /* of what the op allows to be placed */
    enum berth_dtype dtype;   /* of weights and tables */
    enum berth_activation act;
    bool bias, residual; /* also: add, scores, all_probs */
    bool many;           /* linear: whole windows */
    int64_t tall;        /* linear: groups have so many times three rows; 0: three */
    bool near;           /* results are compared within a tolerance, not by their bytes */
    double tolerance;    /* of near ones, relative to 1 + |value| */
    unsigned long long seed;
};

/* Fills at most `max` cases; returns how many there are. */
int op_cases_make(struct op_case *out, int max);

size_t op_case_row_bytes(const struct op_case *c);
void op_case_run(const struct op_case *c, struct berth_device *device, int64_t first, int64_t n,
                 void *out);

/* Aborts, naming the case, unless `got` of n rows is what `want` is. `exact`: byte by byte whatever
 * the case says. */
void op_case_compare(const struct op_case *c, const void *got, const void *want, int64_t n,
                     bool exact, const char *who);

#endif

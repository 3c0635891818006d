/* pick, as berth/backend.h numbers its steps, and top. */
#include "compute/philox.h"
#include "compute/ref/ref_ops.h"

#include <math.h>
#include <string.h>

struct row {
    float *z; /* [v] */
    int64_t v;
};

/* log(sum(exp)) over [begin, end); -inf over nothing. */
static double log_sum(const struct row *r, int64_t begin, int64_t end) {
    double most = -INFINITY, sum = 0;
    for (int64_t i = begin; i < end; i++) {
        most = fmax(most, (double)r->z[i]);
    }
    for (int64_t i = begin; i < end && isfinite(most); i++) {
        sum += exp((double)r->z[i] - most);
    }
    return isfinite(most) ? most + log(sum) : most;
}

/* 0 of a row with nothing left. */
static float prob(float z, double total) {
    return z == -INFINITY ? 0 : (float)exp((double)z - total);
}

static void forbid(struct row *r, int64_t begin, int64_t end) {
    for (int64_t i = begin < 0 ? 0 : begin; i < end && i < r->v; i++) {
        r->z[i] = -INFINITY;
    }
}

static void filter(struct row *r, const struct berth_pick_in *in, const struct berth_op_pick *op,
                   struct berth_pick_out *out) {
    if (in->mask >= 0 && op->mask.buffer) {
        const uint32_t *mask = (const uint32_t *)op->mask.buffer->host + op->mask.offset +
                               in->mask * op->mask.row_stride;
        for (int64_t i = 0; i < r->v; i++) {
            if (mask[i / 32] >> (i % 32) & 1) {
                r->z[i] = -INFINITY;
            }
        }
    }
    for (int i = 0; i < 4; i++) {
        forbid(r, in->forbid[i][0], in->forbid[i][1]);
    }
    out->group_margin = NAN;
    if (in->group_begin >= 0) {
        double group = log_sum(r, in->group_begin, r->v), rest = -INFINITY;
        for (int64_t i = 0; i < in->group_begin && i < r->v; i++) {
            rest = fmax(rest, (double)r->z[i]);
        }
        out->group_margin = (float)(group - rest);
        if (group > rest) {
            forbid(r, 0, in->group_begin);
        }
    }
}

/* The id with the largest key, smallest on ties; -1 if all are -inf. */
static int32_t best(const struct row *r, const struct berth_pick_in *in, int32_t except) {
    int32_t id = -1;
    double most = 0;
    for (int64_t i = 0; i < r->v; i++) {
        double key = (double)r->z[i];
        if (i == except || key == -INFINITY) {
            continue;
        }
        if (in) {
            const uint32_t counter[4] = {(uint32_t)i / 4, in->step | in->row << 16, in->window,
                                         in->attempt};
            const uint32_t seed[2] = {in->seed_lo, in->seed_hi};
            uint32_t words[4];
            bth_philox4x32(counter, seed, words);
            double u = ((double)words[i % 4] + 0.5) / 4294967296.0;
            key = key / (double)in->temperature - log(-log(u));
        }
        if (id < 0 || key > most) {
            id = (int32_t)i;
            most = key;
        }
    }
    return id;
}

static struct berth_pick_out pick(struct row *r, const struct berth_pick_in *in,
                                  const struct berth_op_pick *op) {
    struct berth_pick_out out = {.top_logit = {-INFINITY, -INFINITY}, .logprob = -INFINITY};
    for (int64_t i = 0; i < r->v; i++) {
        r->z[i] = isnan(r->z[i]) ? -INFINITY : r->z[i];
    }
    if (in->probe >= 0) {
        out.probe_prob = prob(r->z[in->probe], log_sum(r, 0, r->v));
    }
    filter(r, in, op, &out);
    out.top_id[0] = best(r, NULL, -1);
    out.top_id[1] = out.top_id[0] < 0 ? -1 : best(r, NULL, out.top_id[0]);
    for (int i = 0; i < 2; i++) {
        if (out.top_id[i] >= 0) {
            out.top_logit[i] = r->z[out.top_id[i]];
        }
    }
    out.id = in->temperature > 0 ? best(r, in, -1) : out.top_id[0];
    if (out.id >= 0) {
        out.logprob = (float)((double)r->z[out.id] - log_sum(r, 0, r->v));
    }
    return out;
}

void bth_ref_pick(const struct berth_op_pick *op, int64_t rows) {
    for (int64_t i = 0; i < rows; i++) {
        struct berth_pick_in in;
        struct row r = {bth_ref_f32(&op->logits, i, 0), op->logits.cols};
        memcpy(&in, (const uint32_t *)op->in.buffer->host + op->in.offset + i * op->in.row_stride,
               sizeof(in));
        struct berth_pick_out out = pick(&r, &in, op);
        memcpy((uint32_t *)op->out.buffer->host + op->out.offset + i * op->out.row_stride, &out,
               sizeof(out));
        if (op->all_probs.buffer) {
            double total = log_sum(&r, 0, r.v);
            for (int64_t j = 0; j < r.v; j++) {
                *bth_ref_f32(&op->all_probs, i, j) = prob(r.z[j], total);
            }
        }
    }
}

void bth_ref_top(const struct berth_op_top *op, int64_t rows) {
    for (int64_t i = 0; i < rows; i++) {
        struct berth_top_in in;
        struct berth_top_out out;
        struct row r = {bth_ref_f32(&op->logits, i, 0), op->logits.cols};
        memcpy(&in, (const uint32_t *)op->in.buffer->host + op->in.offset + i * op->in.row_stride,
               sizeof(in));
        r.v = in.n < r.v ? in.n : r.v;
        for (int64_t j = 0; j < r.v; j++) {
            r.z[j] = isnan(r.z[j]) ? -INFINITY : r.z[j];
        }
        double total = log_sum(&r, 0, r.v);
        for (int j = 0; j < BERTH_TOP_FORBID; j++) {
            if (in.forbid[j] >= 0) {
                forbid(&r, in.forbid[j], in.forbid[j] + 1);
            }
        }
        total = in.all ? total : log_sum(&r, 0, r.v);
        for (int j = 0; j < BERTH_TOP; j++) {
            out.id[j] = j < in.k ? best(&r, NULL, -1) : -1;
            out.logprob[j] = -INFINITY;
            if (out.id[j] >= 0) {
                out.logprob[j] = (float)((double)r.z[out.id[j]] - total);
                r.z[out.id[j]] = -INFINITY;
            }
        }
        memcpy((uint32_t *)op->out.buffer->host + op->out.offset + i * op->out.row_stride, &out,
               sizeof(out));
    }
}

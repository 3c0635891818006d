/*
 * compute/cpu/op_kernels.h - all template headers and the table of their ops, for one kernels_*.c.
 */
#ifndef BTH_OP_KERNELS_H
#define BTH_OP_KERNELS_H

#include "attend_kernels.h"
#include "eights_kernels.h"
#include "linear_kernels.h"
#include "maxout_kernels.h"
#include "paged_kernels.h"
#include "pick_kernels.h"
#include "row_kernels.h"
#include "select_kernels.h"
#include "top_kernels.h"

static const struct bth_kernels table = {
    .name = V_ISA,
    .op =
        {
            [BERTH_OP_EMBED] = op_embed,
            [BERTH_OP_LAYER_NORM] = op_layer_norm,
            [BERTH_OP_LINEAR] = op_linear_any,
            [BERTH_OP_CONV3] = op_conv3,
            [BERTH_OP_ATTEND_FULL] = op_attend_full,
            [BERTH_OP_KV_STORE] = op_kv_store,
            [BERTH_OP_ATTEND_PAGED] = op_attend_paged,
            [BERTH_OP_KV_COPY] = op_kv_copy,
            [BERTH_OP_GATHER] = op_gather,
            [BERTH_OP_PICK] = op_pick,
            [BERTH_OP_SELECT] = op_select,
            [BERTH_OP_SSRU] = op_ssru,
            [BERTH_OP_TOP] = op_top,
            [BERTH_OP_EMBED_SUM] = op_embed_sum,
            [BERTH_OP_MAXOUT] = op_maxout,
            [BERTH_OP_GATHER_MAX] = op_gather_max,
        },
    .exp = kernel_exp,
    .gelu = kernel_gelu,
};

#endif

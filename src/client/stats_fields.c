#include "client/stats_fields.h"

#include "base/compiler.h"
#include <berth/berth.h>

#define FIELD(type, kind, name)                                                                    \
    { #name, BTH_STAT_##kind, offsetof(struct type, name), sizeof(((struct type *)0)->name) }
#define MODEL(kind, name)  FIELD(berth_model_stats, kind, name)
#define DEVICE(kind, name) FIELD(berth_device_stats, kind, name)

static const struct bth_stat_field model_fields[] = {
    MODEL(TEXT, name),           MODEL(TEXT, alias),
    MODEL(TEXT, family),         MODEL(TEXT, engine),
    MODEL(TEXT, path),           MODEL(TEXT, device),
    MODEL(COUNT, leases),        MODEL(COUNT, waiting),
    MODEL(COUNT, running),       MODEL(COUNT, served),
    MODEL(COUNT, failed),        MODEL(COUNT, loads),
    MODEL(COUNT, weights_bytes), MODEL(COUNT, workspace_bytes),
    MODEL(COUNT, session_bytes), MODEL(SPAN, load_ms),
    MODEL(SPAN, idle_ms),        MODEL(COUNT, instances),
    MODEL(TEXT, devices),
};
const struct bth_stat_fields bth_model_fields = {model_fields, BTH_COUNT(model_fields)};

static const struct bth_stat_field device_fields[] = {
    DEVICE(TEXT, name),
    DEVICE(TEXT, description),
    DEVICE(COUNT, budget_bytes),
    DEVICE(COUNT, reserved_bytes),
    DEVICE(COUNT, committed_bytes),
    DEVICE(COUNT, freeing_bytes),
    DEVICE(COUNT, turns),
    DEVICE(COUNT, rows),
    DEVICE(SPAN, longest_turn_us),
    DEVICE(COUNT, residual_bytes),
    DEVICE(COUNT, lost),
};
const struct bth_stat_fields bth_device_fields = {device_fields, BTH_COUNT(device_fields)};

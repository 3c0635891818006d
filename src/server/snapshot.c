#include "server/snapshot.h"

#include "base/alloc.h"
#include "base/compiler.h"
#include "base/error.h"

int bth_snapshot_take(struct berth *b, struct bth_snapshot *out, struct berth_error *err) {
    struct bth_snapshot s = {0};
    size_t models = berth_models(b, NULL, sizeof(*s.models), 0);
    size_t devices = berth_devices(b, NULL, sizeof(*s.devices), 0);
    s.models = bth_calloc(models, sizeof(*s.models));
    s.devices = bth_calloc(devices, sizeof(*s.devices));
    if (!s.models || !s.devices) {
        bth_snapshot_finish(&s);
        return bth_error_nomem(err);
    }
    s.n_models = BTH_MIN(berth_models(b, s.models, sizeof(*s.models), models), models);
    s.n_devices = BTH_MIN(berth_devices(b, s.devices, sizeof(*s.devices), devices), devices);
    *out = s;
    return 0;
}

void bth_snapshot_finish(struct bth_snapshot *s) {
    bth_free(s->models);
    bth_free(s->devices);
    *s = (struct bth_snapshot){0};
}

const char *bth_state_text(enum berth_model_state state) {
    switch (state) {
    case BERTH_MODEL_ABSENT:
        return "absent";
    case BERTH_MODEL_LOADING:
        return "loading";
    case BERTH_MODEL_READY:
        return "ready";
    case BERTH_MODEL_DISABLED:
        return "disabled";
    case BERTH_MODEL_DRAINING:
        break;
    }
    return "draining";
}

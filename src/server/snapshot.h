/* server/snapshot.h - all models and devices at one time, on the heap. */
#ifndef BTH_SNAPSHOT_H
#define BTH_SNAPSHOT_H

#include <berth/berth.h>

struct bth_snapshot {
    struct berth_model_stats *models;
    size_t n_models;
    struct berth_device_stats *devices;
    size_t n_devices;
};

/* ENOMEM. Does not wait for work. */
int bth_snapshot_take(struct berth *b, struct bth_snapshot *out, struct berth_error *err);
void bth_snapshot_finish(struct bth_snapshot *s);
const char *bth_state_text(enum berth_model_state state);

#endif

/* On which of several devices a model is loaded: where there is most room, where it can run, and on
 * a spare one only where no other will do. */
#include "base/clock.h"
#include "base/compiler.h"
#include "base/error.h"
#include "core/manager.h"
#include "lib/fake_device.h"
#include "lib/lease.h"
#include "lib/test.h"
#include "toy/toy.h"
#include <sys/stat.h>
#include <unistd.h>

#define MB UINT64_C(1000000)

enum { DEVICES = 3 };
static const char *const names[DEVICES] = {"one", "two", "spare"};
static char folder[] = "/tmp/berth-test-XXXXXX";

/* The toy engine, whose models named ...picky run on the last device only, ...none on none. */
static struct berth_engine_ops engine;
static const struct berth_engine_ops *const engines[] = {&engine};

static int estimate(const char *path, struct berth_device *device, struct berth_estimate *out,
                    struct berth_error *err) {
    const bool last = strcmp(device->name, "spare") == 0;
    if (strstr(path, "none") || (strstr(path, "picky") && !last)) {
        return bth_error(err, BERTH_EUNSUPPORTED, "%s cannot run this", device->name);
    }
    return bth_toy_engine.estimate(path, device, out, err);
}

struct places {
    struct fake_device devices[DEVICES];
    struct bth_manager *m;
};

static void open_places(struct places *p, const uint64_t budgets[DEVICES], size_t spare) {
    static const char *const models[] = {"a", "b", "picky", "none"};
    struct berth_model_spec specs[BTH_COUNT(models)];
    char name[BTH_COUNT(models)][32], path[BTH_COUNT(models)][128];
    for (size_t i = 0; i < BTH_COUNT(models); i++) {
        snprintf(name[i], sizeof(name[i]), "toy/%s", models[i]);
        snprintf(path[i], sizeof(path[i]), "%s/%s", folder, models[i]);
        specs[i] = (struct berth_model_spec){.name = name[i], .path = path[i]};
    }
    struct berth_device *devices[DEVICES];
    for (int i = 0; i < DEVICES; i++) {
        fake_device_init(&p->devices[i], names[i]);
        devices[i] = &p->devices[i].base;
    }
    const struct bth_manager_config config = {.devices = devices,
                                              .budgets = budgets,
                                              .n_devices = DEVICES,
                                              .n_spare = spare,
                                              .engines = engines,
                                              .n_engines = 1,
                                              .models = specs,
                                              .n_models = BTH_COUNT(specs)};
    struct berth_error err;
    CHECK_OK(bth_manager_create(&config, &p->m, &err), err);
}

static int take(struct places *p, const char *model, struct bth_lease **out,
                struct berth_error *err) {
    return test_acquire(p->m, model, "test", BTH_FOREVER, out, err);
}

/* The device that a lease on the model is on; the model stays loaded. */
static const char *place_of(struct places *p, const char *model) {
    struct bth_lease *lease;
    struct berth_error err;
    CHECK_OK(take(p, model, &lease, &err), err);
    const char *name = names[bth_lease_device(lease)];
    bth_lease_release(lease);
    return name;
}

static void check_room(void) {
    struct places p;
    open_places(&p, (const uint64_t[]){40 * MB, 60 * MB, 100 * MB}, 1);
    CHECK_STR(place_of(&p, "toy/a"), "two");
    CHECK_STR(place_of(&p, "toy/b"), "one"); /* 30 MB of two are taken */
    CHECK_STR(place_of(&p, "toy/a"), "two"); /* where it is */
    bth_manager_destroy(p.m);
    for (int i = 0; i < DEVICES; i++) {
        CHECK_INT(p.devices[i].live, 0);
        CHECK_INT(p.devices[i].closed, 1);
    }
}

static void check_kinds(void) {
    struct places p;
    struct bth_lease *lease;
    struct berth_error err;
    open_places(&p, (const uint64_t[]){40 * MB, 60 * MB, 100 * MB}, 1);
    CHECK_STR(place_of(&p, "toy/picky"), "spare");
    CHECK_INT(take(&p, "toy/none", &lease, &err), BERTH_EUNSUPPORTED);
    CHECK(strstr(err.message, "cannot run this"));
    CHECK_STR(place_of(&p, "toy/a"), "two");
    bth_manager_destroy(p.m);
}

/* A spare device takes nothing that the others could run, even where they have no room. */
static void check_spare(void) {
    struct places p;
    struct bth_lease *lease;
    struct berth_error err;
    open_places(&p, (const uint64_t[]){10 * MB, 12 * MB, 100 * MB}, 1);
    CHECK_INT(take(&p, "toy/a", &lease, &err), BERTH_EBUDGET);
    CHECK(strstr(err.message, "the budget of two is 12.0 MB"));
    CHECK_STR(place_of(&p, "toy/picky"), "spare");
    bth_manager_destroy(p.m);
    open_places(&p, (const uint64_t[]){10 * MB, 12 * MB, 100 * MB}, 0);
    CHECK_STR(place_of(&p, "toy/a"), "spare"); /* one like the others, but for its name */
    bth_manager_destroy(p.m);
}

/* A spare device does what the lost ones would have done, and says so when it is lost too. */
static void check_lost(void) {
    const struct berth_error why = {BERTH_EDEVICE, "unplugged"};
    struct places p;
    struct bth_lease *lease;
    struct berth_error err;
    open_places(&p, (const uint64_t[]){40 * MB, 60 * MB, 100 * MB}, 1);
    CHECK_STR(place_of(&p, "toy/a"), "two");
    bth_manager_lose(p.m, 1, &why);
    CHECK_STR(place_of(&p, "toy/a"), "one");
    bth_manager_lose(p.m, 0, &why);
    CHECK_STR(place_of(&p, "toy/a"), "spare");
    bth_manager_lose(p.m, 2, &why);
    CHECK_INT(take(&p, "toy/a", &lease, &err), BERTH_EDEVICE);
    CHECK(berth_error_retryable(err.code));
    struct bth_plan_info plan;
    CHECK_OK(bth_manager_plan(p.m, "toy/a", &plan, &err), err);
    CHECK_STR(plan.kind, "failed");
    CHECK(strstr(plan.cause, "start the program anew"));
    bth_manager_destroy(p.m);
    for (int i = 0; i < DEVICES; i++) { /* the bytes were charged to the end, and are given back */
        CHECK_INT(p.devices[i].live, 0);
        CHECK_INT(p.devices[i].closed, 1);
    }
}

int main(void) {
    CHECK(mkdtemp(folder));
    for (const char *const *m = (const char *const[]){"a", "b", "picky", "none", NULL}; *m; m++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", folder, *m);
        FILE *f = fopen(path, "w");
        CHECK(f);
        fprintf(f, "berth-toy 1\nweights_bytes=30000000\n");
        fclose(f);
    }
    engine = bth_toy_engine;
    engine.estimate = estimate;
    check_room();
    check_kinds();
    check_spare();
    check_lost();
    return 0;
}

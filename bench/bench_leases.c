/*
 * What a lease costs, beside a pthread mutex in the same run.
 *
 *     bench_leases [milliseconds for each line]
 *
 * Acquire + release of a loaded model (toy engine): one thread; 16 threads on one model and on 16
 * models, against lock + unlock of one mutex and of 16. Then single steps of core with 1,000 models
 * and 10,000 waiters, half of the models loaded and held: see crowd(). And of 10,000 waiters for
 * one model: newcomers before all of them, and some who hold another model, so that the step has to
 * see that they would not wait for ever.
 */
#include "base/clock.h"
#include "core/step.h"
#include <berth/berth.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 16, MODELS = 1000, WAITERS = 10000 };

static struct berth *berth;
static pthread_mutex_t mutexes[THREADS];
static char names[THREADS][16];
static int64_t budget_ns = 300 * BTH_NS_PER_MS;
static _Atomic bool stop;

static void need(bool good, const char *what) {
    if (!good) {
        fprintf(stderr, "bench_leases: %s\n", what);
        exit(1);
    }
}

/* ---- acquire and release --------------------------------------------------------------------*/

struct work {
    int model;
    bool mutex;
    uint64_t pairs;
};

static void one_pair(const struct work *w) {
    if (w->mutex) {
        pthread_mutex_lock(&mutexes[w->model]);
        pthread_mutex_unlock(&mutexes[w->model]);
        return;
    }
    struct berth_lease *lease;
    need(berth_acquire(berth, names[w->model], NULL, &lease, NULL) == 0, "cannot acquire");
    berth_release(lease);
}

static void *pairs(void *arg) {
    struct work *w = arg;
    while (!stop) {
        for (int i = 0; i < 16; i++) {
            one_pair(w);
        }
        w->pairs += 16;
    }
    return NULL;
}

/* Nanoseconds a pair, all threads together. */
static double measure(int n, int models, bool mutex) {
    pthread_t threads[THREADS];
    struct work work[THREADS];
    stop = false;
    int64_t began = bth_now();
    for (int i = 0; i < n; i++) {
        work[i] = (struct work){.model = i % models, .mutex = mutex};
        need(pthread_create(&threads[i], NULL, pairs, &work[i]) == 0, "cannot start a thread");
    }
    nanosleep(
        &(struct timespec){.tv_sec = budget_ns / BTH_NS_PER_S, .tv_nsec = budget_ns % BTH_NS_PER_S},
        NULL);
    stop = true;
    uint64_t sum = 0;
    for (int i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
        sum += work[i].pairs;
    }
    return (double)(bth_now() - began) / (double)sum;
}

static void compare(const char *what, int n, int models) {
    double mutex = measure(n, models, true), lease = measure(n, models, false);
    printf("%-32s %8.0f ns a pair, %9.0f pairs/s; mutex %6.0f ns; ratio %.1f\n", what, lease,
           1e9 / lease, mutex, lease / mutex);
}

/* ---- a step in a crowd ----------------------------------------------------------------------*/

static struct bth_state state;
static struct bth_actions out;
static int64_t samples[4 * WAITERS];
static size_t n_samples;

static void step(struct bth_event e) {
    int64_t began = bth_now();
    bth_step(&state, &e, BTH_NS_PER_S, &out);
    need(n_samples < sizeof(samples) / sizeof(*samples), "too many samples");
    samples[n_samples++] = bth_now() - began;
}

static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void report(const char *what) {
    qsort(samples, n_samples, sizeof(*samples), by_size);
    printf("%-32s p50 %6.2f us, p99 %6.2f us, most %7.2f us (%zu steps)\n", what,
           (double)samples[n_samples / 2] / 1e3, (double)samples[n_samples * 99 / 100] / 1e3,
           (double)samples[n_samples - 1] / 1e3, n_samples);
    n_samples = 0;
}

static void load_all(void) {
    struct bth_op op;
    while ((op = bth_state_next_op(&state)).kind != BTH_OP_NONE) {
        struct bth_estimate est[BTH_MAX_DEVICES] = {{.weights = 10}};
        bth_step(&state, &(struct bth_event){.kind = BTH_EV_OP_BEGIN, .op = op.id}, 0, &out);
        const struct bth_event done = {.kind = op.kind == BTH_OP_ESTIMATE ? BTH_EV_ESTIMATED
                                               : op.kind == BTH_OP_LOAD   ? BTH_EV_LOAD_DONE
                                                                          : BTH_EV_FREE_DONE,
                                       .op = op.id,
                                       .bytes = op.kind == BTH_OP_LOAD ? 10 : 0,
                                       .estimates = est};
        bth_step(&state, &done, 0, &out);
    }
}

/* Half of the models fit and are held; each model has an exclusive waiting and 9 shared ones behind
 * it. Each release grants the exclusive, then its release the shared ones. */
static void crowd(void) {
    static uint64_t held[MODELS / 2];
    const uint64_t budget = 10 * (MODELS / 2);
    bth_state_init(&state, &budget, 1);
    for (uint32_t i = 0, index; i < MODELS; i++) {
        need(bth_state_add_model(&state, NULL, i % 4, &index) == 0, "out of memory");
    }
    for (uint32_t i = 0; i < MODELS / 2; i++) {
        const struct bth_event ask = {.kind = BTH_EV_ACQUIRE, .scope = i, .expires = BTH_FOREVER};
        bth_step(&state, &ask, 0, &out);
        load_all();
        need(out.n > 0 && out.items[0].kind == BTH_ACT_GRANT, "a model did not load");
        held[i] = out.items[0].id;
    }
    for (uint32_t i = 0; i < WAITERS; i++) {
        step((struct bth_event){.kind = BTH_EV_ACQUIRE,
                                .scope = i % MODELS,
                                .exclusive = i < MODELS,
                                .owner = 1 + i,
                                .expires = BTH_FOREVER});
    }
    report("10,000 acquires, 1,000 models");
    for (uint32_t i = 0; i < MODELS / 2; i++) {
        step((struct bth_event){.kind = BTH_EV_RELEASE, .id = held[i]});
        need(out.n > 0 && out.items[0].kind == BTH_ACT_GRANT, "a release granted nothing");
        held[i] = out.items[0].id;
    }
    report("releases, an exclusive each");
    for (uint32_t i = 0; i < MODELS / 2; i++) {
        step((struct bth_event){.kind = BTH_EV_RELEASE, .id = held[i]});
        need(out.n == 9, "a release granted not all");
    }
    report("releases, 9 shared each");
    bth_state_finish(&state);
    bth_actions_finish(&out);
}

static uint64_t ask(uint32_t model, uint64_t owner, int priority) {
    step((struct bth_event){.kind = BTH_EV_ACQUIRE,
                            .scope = model,
                            .exclusive = true,
                            .owner = owner,
                            .priority = priority,
                            .expires = BTH_FOREVER});
    need(out.n == 1, "no answer");
    return out.items[0].id;
}

static void queue(void) {
    enum { NEWCOMERS = 200 };
    const uint64_t budget = 100;
    bth_state_init(&state, &budget, 1);
    for (uint32_t i = 0, index; i <= NEWCOMERS; i++) {
        need(bth_state_add_model(&state, NULL, 0, &index) == 0, "out of memory");
    }
    for (uint32_t i = 0; i <= WAITERS; i++) {
        ask(0, 1 + i, 0);
    }
    report("10,000 waiters for one model");
    for (uint32_t i = 0; i < NEWCOMERS; i++) {
        const uint64_t id = ask(0, 20000 + i, 4);
        n_samples--;
        step((struct bth_event){.kind = BTH_EV_CANCEL, .id = id});
        n_samples--;
        ask(0, 20000 + i, 4);
    }
    report("before all of them");
    for (uint32_t i = 1; i <= NEWCOMERS; i++) {
        ask(i, 30000 + i, 0); /* granted */
        n_samples--;
        ask(0, 30000 + i, 0);
    }
    report("last, with another model in hand");
    bth_state_finish(&state);
    bth_actions_finish(&out);
}

int main(int argc, char **argv) {
    struct berth_model_spec specs[THREADS];
    char folder[] = "/tmp/berth-bench-XXXXXX", path[64];
    if (argc > 1) {
        budget_ns = atoll(argv[1]) * BTH_NS_PER_MS;
    }
    need(mkdtemp(folder) != NULL, "no folder");
    snprintf(path, sizeof(path), "%s/toy", folder);
    FILE *f = fopen(path, "w");
    need(f != NULL, "no file");
    fputs("berth-toy 1\n", f);
    fclose(f);
    struct berth_config config = BERTH_CONFIG_INIT;
    for (int i = 0; i < THREADS; i++) {
        pthread_mutex_init(&mutexes[i], NULL);
        snprintf(names[i], sizeof(names[i]), "toy/%d", i);
        specs[i] = (struct berth_model_spec){.name = names[i], .path = path};
    }
    config.file = "";
    config.models = specs;
    config.n_models = THREADS;
    config.threads = 1;
    need(berth_open(&config, &berth, NULL) == 0, "cannot open");
    for (int i = 0; i < THREADS; i++) {
        one_pair(&(struct work){.model = i});
    }
    compare("one thread", 1, 1);
    compare("16 threads, one model", THREADS, 1);
    compare("16 threads, 16 models", THREADS, THREADS);
    berth_close(berth, 1000, NULL);
    unlink(path);
    rmdir(folder);
    crowd();
    queue();
    return 0;
}

/*
 * Decides again what a berthd has decided, from what `berthd --trace FILE` has written, by the same
 * step: every action must be the same.
 *
 *     replay_core FILE
 */
#include "base/compiler.h"
#include "core/trace.h"
#include "lib/test.h"
#include <jansson.h>

enum { N_FIELDS = 11 }; /* of an action */

static struct bth_state state;
static struct bth_actions actions;
static uint64_t events[BTH_N_EVENTS], lines, n_actions;

static uint64_t field(const json_t *line, const char *name) {
    const json_t *v = json_object_get(line, name);
    return (uint64_t)json_integer_value(v);
}

static uint64_t item(const json_t *array, size_t i) {
    return (uint64_t)json_integer_value(json_array_get(array, i));
}

static void begin(const json_t *line) {
    const json_t *devices = json_object_get(line, "devices");
    uint64_t budgets[BTH_MAX_DEVICES];
    const size_t n = json_array_size(devices);
    CHECK(lines == 1 && field(line, "trace") == 1 && n >= 1 && n <= BTH_MAX_DEVICES);
    for (size_t i = 0; i < n; i++) {
        budgets[i] = item(json_array_get(devices, i), 0);
    }
    bth_state_init(&state, budgets, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        state.devices[i].kind = (uint32_t)item(json_array_get(devices, i), 1);
    }
}

static enum bth_event_kind kind_of(const char *name) {
    for (int i = 0; i < BTH_N_EVENTS; i++) {
        if (strcmp(bth_trace_name((enum bth_event_kind)i), name) == 0) {
            return (enum bth_event_kind)i;
        }
    }
    TEST_FAIL("line %llu: there is no event %s", (unsigned long long)lines, name);
}

static void compare(const json_t *wanted) {
    CHECK(json_is_array(wanted));
    if (json_array_size(wanted) != actions.n) {
        TEST_FAIL("line %llu: %zu actions, the trace has %zu", (unsigned long long)lines, actions.n,
                  json_array_size(wanted));
    }
    for (size_t i = 0; i < actions.n; i++) {
        const struct bth_action *a = &actions.items[i];
        const uint64_t got[N_FIELDS] = {a->kind,
                                        a->reason,
                                        a->why,
                                        (uint64_t)(int64_t)a->code,
                                        a->scope,
                                        a->id,
                                        a->gen,
                                        a->op,
                                        a->bytes,
                                        (uintptr_t)a->arg,
                                        (uintptr_t)a->handle};
        for (size_t k = 0; k < N_FIELDS; k++) {
            const uint64_t was = item(json_array_get(wanted, i), k);
            if (got[k] != was) {
                TEST_FAIL("line %llu, action %zu, field %zu: %llu, the trace has %llu",
                          (unsigned long long)lines, i, k, (unsigned long long)got[k],
                          (unsigned long long)was);
            }
        }
        n_actions++;
    }
}

static void step(const json_t *line) {
    struct bth_estimate estimates[BTH_MAX_DEVICES] = {{0}};
    const json_t *given = json_object_get(line, "estimates");
    struct berth_error error = {.code = (int)(int64_t)field(line, "error")};
    const struct bth_event e = {.kind = kind_of(json_string_value(json_object_get(line, "event"))),
                                .id = field(line, "id"),
                                .op = field(line, "op"),
                                .scope = (uint32_t)field(line, "scope"),
                                .max_concurrent = (uint32_t)field(line, "max_concurrent"),
                                .device = (uint32_t)field(line, "device"),
                                .exclusive = field(line, "exclusive"),
                                .removed = field(line, "removed"),
                                .priority = (int)(int64_t)field(line, "priority"),
                                .owner = field(line, "owner"),
                                .arg = (void *)(uintptr_t)field(line, "arg"),
                                .expires = (int64_t)field(line, "expires"),
                                .bytes = field(line, "bytes"),
                                .spare = field(line, "spare"),
                                .use = field(line, "use"),
                                .failed = field(line, "failed"),
                                .handle = (void *)(uintptr_t)field(line, "handle"),
                                .error = error.code ? &error : NULL,
                                .estimates = estimates};
    for (size_t i = 0; i < json_array_size(given); i++) {
        const json_t *one = json_array_get(given, i);
        CHECK(i < BTH_MAX_DEVICES);
        estimates[i] = (struct bth_estimate){item(one, 0), item(one, 1), item(one, 2)};
    }
    events[e.kind]++;
    bth_step(&state, &e, (int64_t)field(line, "at"), &actions);
    compare(json_object_get(line, "actions"));
}

static void take(const json_t *line) {
    uint32_t index;
    if (field(line, "n") != ++lines) {
        TEST_FAIL("after line %llu some are missing", (unsigned long long)lines - 1);
    }
    if (json_object_get(line, "event")) {
        step(line);
    } else if (json_object_get(line, "devices")) {
        begin(line);
    } else if (json_object_get(line, "pin")) {
        bth_state_pin(&state, (uint32_t)field(line, "pin"),
                      json_is_true(json_object_get(line, "more")));
    } else if (json_object_get(line, "keep")) {
        const uint32_t model = (uint32_t)field(line, "keep");
        CHECK(model < state.n_models);
        bth_state_keep(&state, model, (int64_t)field(line, "keep_alive"),
                       json_is_true(json_object_get(line, "pinned")));
        state.models[model].most = (uint32_t)field(line, "most");
    } else {
        CHECK_INT(bth_state_add_model(&state, NULL, (uint32_t)field(line, "family"), &index), 0);
        CHECK_INT(index, field(line, "model"));
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        TEST_FAIL("usage: replay_core FILE");
    }
    FILE *f = fopen(argv[1], "r");
    char *text = NULL;
    size_t capacity = 0;
    CHECK(f);
    while (getline(&text, &capacity, f) > 0) {
        json_t *line = json_loads(text, 0, NULL);
        if (!json_is_object(line)) {
            TEST_FAIL("line %llu is damaged", (unsigned long long)lines + 1);
        }
        take(line);
        json_decref(line);
    }
    fclose(f);
    free(text);
    printf("measure 10: replayed %llu lines: the same %llu actions;", (unsigned long long)lines,
           (unsigned long long)n_actions);
    for (int i = 0; i < BTH_N_EVENTS; i++) {
        printf(" %s %llu", bth_trace_name((enum bth_event_kind)i), (unsigned long long)events[i]);
    }
    puts("");
    CHECK(lines > 1);
    bth_state_finish(&state);
    bth_actions_finish(&actions);
    return 0;
}

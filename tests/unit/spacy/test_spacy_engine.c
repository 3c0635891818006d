/*
 * The engine on small pipelines with random weights: what spaCy gave for them, the same bytes alone
 * and in company and on every instruction set, options, bad input, memory that runs out.
 *
 * BERTH_SPACY_TINY names the folder of the pipelines, else tests/data/spacy.
 */
#include "base/alloc.h"
#include "base/reservation.h"
#include "compute/compute.h"
#include "lib/drive.h"
#include "lib/spacy_docs.h"
#include "lib/test.h"
#include "spacy/spacy.h"
#include <sys/stat.h>
#include <unistd.h>

static const char *folder;
static struct berth_device *device;

/* The pipeline of a folder gives the documents <name>.docs.jsonl. */
static void check_docs(const char *pipeline, const char *name) {
    struct spacy_docs_count c = {0};
    struct drive_model model;
    struct berth_error err;
    char path[1024];
    CHECK_OK(drive_load(&bth_spacy_engine, pipeline, device, &model, &err), err);
    snprintf(path, sizeof(path), "%s/%s.docs.jsonl", folder, name);
    spacy_docs_compare(model.model, path, 0, &c);
    printf("%s: %zu documents, %zu tokens, %zu differences, tensors within %g\n", name, c.docs,
           c.tokens, c.bad, c.tensor);
    CHECK_INT(c.bad, 0);
    CHECK(c.tensor < 6e-5); /* values above 10 are there with six digits */
    drive_unload(&model);
}

static void check_golden(const char *name) {
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    check_docs(path, name);
}

static void run(const char *command) {
    CHECK_INT(system(command), 0);
}

/* tiny_en with components that merge and split tokens, so that later ones find other tokens. */
static void check_merging(void) {
    char copy[64], command[2400];
    snprintf(copy, sizeof(copy), "/tmp/test_spacy_engine.%ld", (long)getpid());
    snprintf(command, sizeof(command),
             "cp -r '%s/tiny_en' %s && cp '%s/tiny_merge.cfg' %s/config.cfg", folder, copy, folder,
             copy);
    run(command);
    check_docs(copy, "tiny_merge");
    snprintf(command, sizeof(command), "rm -r %s", copy);
    run(command);
}

/* ---- alone and in company --------------------------------------------------------------------*/

enum { TEXTS = 12 };

/* Texts of all lengths: words by chance, and one that takes several turns. */
static char *make_text(int i) {
    static const char *const words[] = {
        "Apple",   "is", "looking", "at",    "buying",  "a",  "U.K.",  "firm", "for",  "$1",
        "billion", ".",  "London",  "don't", "(maybe)", "  ", "Peter", "said", "\n\n", "quickly"};
    unsigned long long seed = 77 + (unsigned long long)i;
    const int n = i == 0 ? 700 : 1 + i * 7 % 90;
    char *text = calloc(1, (size_t)n * 16 + 1);
    for (int k = 0; k < n; k++) {
        strcat(text, words[(test_rand(&seed) >> 20) % (sizeof(words) / sizeof(*words))]);
        strcat(text, " ");
    }
    return text;
}

static struct berth_request request_of(const char *text, const struct berth_option *options,
                                       size_t n) {
    struct berth_request r = BERTH_REQUEST_INIT;
    r.input = (struct berth_input){.kind = BERTH_INPUT_TEXT, .data = text, .size = strlen(text)};
    r.options = options;
    r.n_options = n;
    return r;
}

static void load(const char *name, struct berth_device *on, struct drive_model *out) {
    struct berth_error err;
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    CHECK_OK(drive_load(&bth_spacy_engine, path, on, out, &err), err);
}

/* Every document on every device, with `company`, in other order: what it was alone. */
static void check_company(const char *name, char **texts, char **alone, struct berth_device *on,
                          size_t company) {
    static const struct berth_option tensor = {"tensor", "true"};
    static const struct berth_option some[] = {{"tensor", "true"}, {"exclude", "tok2vec"}};
    struct drive_one all[2 * TEXTS] = {0};
    struct drive_model model;
    load(name, on, &model);
    for (int i = 0; i < 2 * TEXTS; i++) { /* others who want something else are there too */
        all[i].cancel_after = -1;
        all[i].request =
            i % 2 ? request_of(texts[i / 2], some, 2) : request_of(texts[i / 2], &tensor, 1);
        all[i].start_after = i % 5;
    }
    const size_t n = company == 1 ? 2 * TEXTS - 1 : 2 * TEXTS;
    CHECK_INT(drive(model.model, all, n, company, company, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        CHECK_OK(all[i].rc, all[i].err);
        CHECK(all[i].high_bytes <= all[i].need_bytes);
        if (i % 2 == 0) {
            char *text = spacy_docs_print(all[i].final);
            if (alone[i / 2]) {
                drive_same(on->description, text, alone[i / 2]);
                free(text);
            } else {
                alone[i / 2] = text;
            }
        }
        berth_item_free(all[i].final);
    }
    drive_unload(&model);
}

static void check_same_bytes(const char *name) {
    static const char *const isas[] = {"avx512", "scalar", "avx2"};
    char *texts[TEXTS], *alone[TEXTS] = {NULL};
    for (int i = 0; i < TEXTS; i++) {
        texts[i] = make_text(i);
    }
    check_company(name, texts, alone, device, 1);
    check_company(name, texts, alone, device, 2 * TEXTS);
    for (int i = 0; i < 3; i++) {
        const struct bth_cpu_config config = {.threads = 1 + i, .cap = BTH_CPU_AVX512};
        struct berth_device *other;
        struct berth_error err;
        setenv("BERTH_CPU", isas[i], 1);
        CHECK_OK(bth_cpu_open(&config, &other, &err), err);
        if (i == 1) {
            bth_cpu_together(other);
        }
        check_company(name, texts, alone, other, (size_t)(3 + 9 * i));
        other->ops->close(other);
    }
    unsetenv("BERTH_CPU");
    for (int i = 0; i < TEXTS; i++) {
        free(texts[i]);
        free(alone[i]);
    }
}

/* ---- requests --------------------------------------------------------------------------------*/

/* Runs one request; the final item, or NULL and *rc. */
static struct berth_item *ask(struct drive_model *m, struct berth_request r, int *rc) {
    struct drive_one one = {.request = r, .cancel_after = -1};
    CHECK_INT(drive(m->model, &one, 1, 1, 1, NULL), 0);
    *rc = one.rc;
    return one.final;
}

static void check_refused(struct drive_model *m, const char *name, const char *value, int want) {
    const struct berth_option o = {name, value};
    const struct berth_request r = request_of("One two three.", &o, 1);
    int rc;
    struct berth_item *item = ask(m, r, &rc);
    CHECK_INT(rc, want);
    CHECK(!item);
}

static void check_components(struct drive_model *m, const char *name, const char *value,
                             const char *want) {
    const struct berth_option o = {name, value};
    int rc;
    struct berth_item *item = ask(m, request_of("One two three.", &o, 1), &rc);
    CHECK_INT(rc, 0);
    CHECK_STR(item->doc->components, want);
    berth_item_free(item);
}

static void check_options(void) {
    struct drive_model m;
    load("tiny_en", device, &m);
    check_components(&m, "components", "ner", "ner");
    check_components(&m, "components", "tagger, lemmatizer", "tok2vec,tagger,lemmatizer");
    check_components(&m, "exclude", "parser,ner", "tok2vec,tagger,attribute_ruler,lemmatizer");
    check_components(&m, "disable", "tok2vec,parser,attribute_ruler,lemmatizer", "tagger,ner");
    check_components(&m, "enable", "senter",
                     "tok2vec,tagger,parser,senter,attribute_ruler,lemmatizer,ner");
    check_refused(&m, "components", "tagger,nothing", BERTH_EINVAL);
    check_refused(&m, "tensor", "perhaps", BERTH_EINVAL);
    check_refused(&m, "max_length", "0", BERTH_EINVAL);
    check_refused(&m, "max_length", "1000001", BERTH_EINVAL);
    check_refused(&m, "max_length", "13", BERTH_ETOOLARGE);
    check_refused(&m, "max_length", "3", BERTH_ETOOLARGE);
    check_refused(&m, "beam", "4", BERTH_EINVAL);
    drive_unload(&m);
}

/* Two shared networks of different widths: without the second its listener would find vectors of
 * the first. */
static void check_widths(void) {
    char copy[64], command[2400];
    struct drive_model m;
    struct berth_error err;
    snprintf(copy, sizeof(copy), "/tmp/test_spacy_engine.%ld", (long)getpid());
    snprintf(
        command, sizeof(command),
        "cp -r '%s/tiny_en' %s && cd %s && cp -r senter other && "
        "sed -i 's/^pipeline = .*/pipeline = [\"other\",\"tok2vec\",\"tagger\"]/' config.cfg && "
        "printf '\n[components.other]\nfactory = \"tok2vec\"\n' >> config.cfg",
        folder, copy, copy);
    run(command);
    CHECK_OK(drive_load(&bth_spacy_engine, copy, device, &m, &err), err);
    check_components(&m, "components", "tagger", "tok2vec,tagger");
    check_components(&m, "enable", "other", "other,tok2vec,tagger");
    check_components(&m, "disable", "other,tok2vec", "tagger");
    check_refused(&m, "disable", "tok2vec", BERTH_EINVAL);
    drive_unload(&m);
    snprintf(command, sizeof(command), "rm -r %s", copy);
    run(command);
}

static void check_inputs(void) {
    struct drive_model m;
    int rc;
    struct berth_request r = request_of("", NULL, 0);
    load("tiny_en", device, &m);
    struct berth_item *item = ask(&m, r, &rc);
    CHECK_INT(rc, 0);
    CHECK_INT(item->doc->n_tokens, 0);
    CHECK_STR(item->doc->components, "");
    berth_item_free(item);
    r.input.data = "bad \xff\xfe";
    r.input.size = 6;
    item = ask(&m, r, &rc);
    CHECK_INT(rc, BERTH_EINVAL);
    r.input.data = "a\0b c";
    r.input.size = 5;
    item = ask(&m, r, &rc);
    CHECK_INT(rc, BERTH_EINVAL);
    r.input.kind = BERTH_INPUT_PCM_F32;
    CHECK_INT(bth_spacy_engine.check(&r, NULL), BERTH_EINVAL);
    r.input = (struct berth_input){.kind = BERTH_INPUT_FILE, .path = "/nowhere/at/all"};
    CHECK_INT(bth_spacy_engine.check(&r, NULL), BERTH_ENOTFOUND);
    r.input.path = BTH_TEST_DATA "/data/README.md";
    item = ask(&m, r, &rc);
    CHECK_INT(rc, 0);
    CHECK(item->doc->n_tokens > 100);
    berth_item_free(item);
    drive_unload(&m);
}

/* ---- what fails ------------------------------------------------------------------------------*/

static void check_load_fails(void) {
    struct berth_reservation weights, workspace;
    struct berth_error err;
    struct berth_model *model;
    struct berth_model_info info;
    char path[1024];
    snprintf(path, sizeof(path), "%s/tiny_en", folder);
    CHECK_OK(bth_spacy_engine.probe(path, &info, &err), err);
    CHECK_STR(info.family, "spacy");
    CHECK_INT(bth_spacy_engine.probe(BTH_TEST_DATA, &info, &err), BERTH_ENOTFOUND);
    const struct berth_option o[] = {{"exclude", "ner,parser"}, {"other", "1"}};
    struct berth_load l = {.path = path,
                           .device = device,
                           .weights = &weights,
                           .workspace = &workspace,
                           .options = o,
                           .n_options = 2};
    bth_reservation_init(&weights, BERTH_BYTES_WEIGHTS, SIZE_MAX / 2);
    bth_reservation_init(&workspace, BERTH_BYTES_WORKSPACE, SIZE_MAX / 2);
    CHECK_INT(bth_spacy_engine.load(&l, &model, &err), BERTH_EINVAL);
    l.n_options = 0;
    struct berth_estimate estimate;
    CHECK_OK(bth_spacy_engine.estimate(path, device, &estimate, &err), err);
    CHECK_OK(bth_spacy_engine.load(&l, &model, &err), err);
    CHECK(bth_reservation_used(&weights) <= estimate.weights_bytes);
    CHECK(bth_reservation_used(&workspace) <= estimate.workspace_bytes);
    bth_spacy_engine.unload(model);
    l.n_options = 1;
    for (size_t limit = 1000; limit < 2000000; limit *= 3) { /* of a device that is full */
        bth_reservation_init(&weights, BERTH_BYTES_WEIGHTS, limit);
        if (bth_spacy_engine.load(&l, &model, &err) == 0) {
            bth_spacy_engine.unload(model);
        }
        CHECK_INT(bth_reservation_used(&weights), 0);
        CHECK_INT(bth_reservation_used(&workspace), 0);
    }
}

/* Word vectors are weights, whoever reads them. */
static void check_vector_bytes(void) {
    struct berth_reservation weights, workspace;
    const struct berth_option none = {"exclude", "tok2vec,morphologizer,lemmatizer"};
    struct berth_estimate estimate;
    struct berth_model *model;
    struct berth_error err;
    char path[1024];
    snprintf(path, sizeof(path), "%s/tiny_de", folder);
    const struct berth_load l = {.path = path,
                                 .device = device,
                                 .weights = &weights,
                                 .workspace = &workspace,
                                 .options = &none,
                                 .n_options = 1};
    bth_reservation_init(&weights, BERTH_BYTES_WEIGHTS, SIZE_MAX / 2);
    bth_reservation_init(&workspace, BERTH_BYTES_WORKSPACE, SIZE_MAX / 2);
    CHECK_OK(bth_spacy_engine.load(&l, &model, &err), err);
    CHECK(bth_reservation_used(&weights) > 50000);
    bth_spacy_engine.unload(model);
    CHECK_INT(bth_reservation_used(&weights), 0);
    bth_reservation_init(&weights, BERTH_BYTES_WEIGHTS, 50000);
    CHECK_INT(bth_spacy_engine.load(&l, &model, &err), BERTH_EBUDGET);
    CHECK_INT(bth_reservation_used(&weights), 0);
    CHECK_OK(bth_spacy_engine.estimate(path, device, &estimate, &err), err);
    struct drive_model m;
    load("tiny_de", device, &m);
    CHECK(bth_reservation_used(&m.weights) <= estimate.weights_bytes);
    drive_unload(&m);
}

static void write_file(const char *folder_name, const char *name, const void *bytes, size_t n) {
    char path[1200];
    snprintf(path, sizeof(path), "%s/%s", folder_name, name);
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
}

/* A network that claims to take more than there is counts as that, not as what is left of it. */
static void check_claims(void) {
#define NODE(index)                                                                                \
    "\x84\xa5"                                                                                     \
    "index" index "\xa4"                                                                           \
    "name\xa6"                                                                                     \
    "maxout\xa4"                                                                                   \
    "dims\x80\xa4"                                                                                 \
    "refs\x80"
#define HUGE_DIM "\xcf\x20\x00\x00\x00\x00\x00\x00\x00"
#define PARAMS                                                                                     \
    "\x81\xa1W\x85\xc4\x02nd\xc3\xc4\x04type\xa3<f4\xc4\x04kind\xc4\x00\xc4\x05"                   \
    "shape\x93\x00" HUGE_DIM HUGE_DIM "\xc4\x04"                                                   \
    "data\xc4\x00"
    static const char file[] = "\x84\xa5nodes\x92" NODE("\x00")
        NODE("\x01") "\xa5"
                     "attrs\x92\x80\x80\xa6params\x92" PARAMS PARAMS "\xa5shims\x92\x90\x90";
    static const char config[] = "[nlp]\nlang = \"en\"\npipeline = [\"net\"]\n";
    struct berth_estimate estimate;
    struct berth_error err;
    char root[256], net[300], command[300];
    snprintf(root, sizeof(root), "%s", "/tmp/berth_spacy_XXXXXX");
    CHECK(mkdtemp(root));
    snprintf(net, sizeof(net), "%s/net", root);
    CHECK(mkdir(net, 0700) == 0);
    write_file(root, "config.cfg", config, strlen(config));
    write_file(net, "model", file, sizeof(file) - 1);
    CHECK_OK(bth_spacy_engine.estimate(root, device, &estimate, &err), err);
    CHECK(estimate.workspace_bytes == SIZE_MAX);
    snprintf(command, sizeof(command), "rm -r %s", root);
    run(command);
}

/* A token is a character at least, not a byte, and the worst text stays within what it asked for.
 */
static void check_needs(void) {
    static const char *const pairs[2] = {". . . . ",
                                         "\xE3\x80\x82\xE3\x80\x82\xE3\x80\x82\xE3\x80\x82"
                                         "\xE3\x80\x82\xE3\x80\x82\xE3\x80\x82\xE3\x80\x82"};
    struct drive_model m;
    struct drive_one two[2] = {0};
    load("tiny_en", device, &m);
    for (int i = 0; i < 2; i++) {
        two[i].request = request_of(pairs[i], NULL, 0);
        two[i].cancel_after = -1;
    }
    CHECK_INT(drive(m.model, two, 2, 2, 1, NULL), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(two[i].rc, two[i].err);
        CHECK(two[i].high_bytes <= two[i].need_bytes);
        berth_item_free(two[i].final);
    }
    CHECK_INT(two[0].need_bytes, two[1].need_bytes);
    drive_unload(&m);
}

/* The n-th allocation fails, for many n: everything comes back. */
static void check_memory(void) {
    struct drive_model m;
    char path[1024];
    struct berth_error err;
    snprintf(path, sizeof(path), "%s/tiny_de", folder);
    bool failed = true;
    for (int64_t n = 1; failed; n += 1 + n / 7) {
        const int64_t live = bth_alloc_live();
        bth_alloc_fail_at(n);
        const int rc = drive_load(&bth_spacy_engine, path, device, &m, &err);
        failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        if (rc == 0) {
            drive_unload(&m);
        } else if (rc != BERTH_ENOMEM) {
            TEST_FAIL("allocation %lld: %s", (long long)n, err.message);
        }
        CHECK_INT(bth_alloc_live(), live);
    }
    load("tiny_en", device, &m);
    static const struct berth_option tensor = {"tensor", "true"};
    failed = true;
    for (int64_t n = 1; failed; n += 1 + n / 20) {
        struct drive_one one = {.request =
                                    request_of("Peter lives in New York, maybe.", &tensor, 1),
                                .cancel_after = -1};
        bth_alloc_fail_at(n);
        const int rc = drive(m.model, &one, 1, 1, 1, NULL);
        failed = bth_alloc_failed();
        bth_alloc_fail_at(0);
        CHECK_INT(rc, 0);
        CHECK(one.rc == 0 || one.rc == BERTH_ENOMEM);
        berth_item_free(one.final);
    }
    drive_unload(&m);
}

/* Cancelled anywhere, or short of bytes: it alone ends, the others give what they always give. */
static void check_others(void) {
    char *text = make_text(0), *want = NULL;
    struct drive_model m;
    load("tiny_en", device, &m);
    for (int64_t after = 0; after < 9; after++) {
        struct drive_one all[3] = {0};
        for (int i = 0; i < 3; i++) {
            all[i].request = request_of(text, NULL, 0);
            all[i].cancel_after = i == 1 ? after + 1 : -1;
        }
        all[2].limit_bytes = 5000;
        CHECK_INT(drive(m.model, all, 3, 3, (uint64_t)after, NULL), 0);
        CHECK_OK(all[0].rc, all[0].err);
        CHECK_INT(all[1].rc, BERTH_ECANCELLED);
        CHECK_INT(all[2].rc, BERTH_EBUDGET);
        char *have = spacy_docs_print(all[0].final);
        if (want) {
            drive_same("with others that end", have, want);
            free(have);
        } else {
            want = have;
        }
        for (int i = 0; i < 3; i++) {
            berth_item_free(all[i].final);
        }
    }
    free(want);
    free(text);
    drive_unload(&m);
}

/* ---- a device whose chosen write fails ---- */

enum { FIRST, ANY }; /* the first write after other calls; any write */

static struct berth_backend_ops faulty;
static const struct berth_backend_ops *real;
static int64_t writes, fail_at;
static int which;
static bool writing;

static int faulty_write(struct berth_buffer *b, size_t offset, const void *from, size_t bytes) {
    const bool counts = which == ANY || (!writing && offset > 0);
    writing = true;
    writes += counts;
    return counts && writes == fail_at ? BERTH_EDEVICE : real->write(b, offset, from, bytes);
}

static int faulty_read(struct berth_buffer *b, size_t offset, void *to, size_t bytes) {
    writing = false;
    return real->read(b, offset, to, bytes);
}

static int faulty_run(struct berth_program *p, const uint32_t live[BERTH_MAX_LIVE],
                      struct berth_error *err) {
    writing = false;
    return real->program_run(p, live, err);
}

/* Whichever write fails, somebody is told, and the next document gives the same as ever. FIRST
 * are those of the tokens that a long document's state looks back to: the next one goes well. */
static void check_faults(const char *text) {
    static const struct berth_option without = {"exclude", "tok2vec"};
    struct drive_model m;
    char *want = NULL;
    load("tiny_en", device, &m);
    real = device->ops;
    faulty = *real;
    faulty.write = faulty_write;
    faulty.read = faulty_read;
    faulty.program_run = faulty_run;
    device->ops = &faulty;
    bool over = false;
    for (int64_t at = 0; !over; at += which == ANY ? 1 + at / 20 : 1) {
        struct drive_one one = {.request = request_of(text, &without, which == FIRST),
                                .cancel_after = -1};
        writes = 0;
        fail_at = at;
        int rc = drive(m.model, &one, 1, 1, 5, NULL);
        over = at > writes;
        if (at == 0 || over) {
            CHECK_OK(one.rc, one.err);
            char *have = spacy_docs_print(one.final);
            drive_same("after a device's failures", have, want ? want : have);
            free(want);
            want = have;
        } else if (rc != BERTH_EDEVICE && one.rc != BERTH_EDEVICE) {
            TEST_FAIL("write %lld failed, and nobody was told", (long long)at);
        }
        berth_item_free(one.final);
    }
    CHECK(writes > 0);
    device->ops = real;
    free(want);
    drive_unload(&m);
}

static void check_all_faults(void) {
    char *text = make_text(0), *brief = make_text(5);
    which = FIRST;
    check_faults(text);
    which = ANY;
    check_faults(brief);
    free(text);
    free(brief);
}

int main(void) {
    const struct bth_cpu_config config = {.threads = 2, .cap = BTH_CPU_AVX512};
    struct berth_error err;
    folder = getenv("BERTH_SPACY_TINY");
    folder = folder ? folder : BTH_TEST_DATA "/data/spacy";
    CHECK_OK(bth_cpu_open(&config, &device, &err), err);
    check_golden("tiny_en");
    check_golden("tiny_de");
    check_merging();
    check_same_bytes("tiny_en");
    check_same_bytes("tiny_de");
    check_options();
    check_widths();
    check_inputs();
    check_load_fails();
    check_vector_bytes();
    check_claims();
    check_needs();
    check_memory();
    check_others();
    check_all_faults();
    device->ops->close(device);
    return 0;
}

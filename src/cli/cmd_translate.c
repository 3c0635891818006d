/*
 * berth translate: texts, standard input or files into another language, line breaks and spacing
 * kept.
 *
 * Texts run side by side, through one model or, one leg after the other, through two. Options after
 * `own` in the table are the engine's.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "base/fs.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/translate.h"
#include "server/json_text.h"
#include "server/reply_translate.h"
#include "text/language.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum own_option {
    FROM,
    TO,
    PIVOT,
    MODEL,
    HTML,
    GLOSSARY,
    JSON,
    FILES,
    OUTPUT_DIR,
    CONFIG,
    SERVER,
    LOCAL,
    THREADS,
    DEVICE,
    PRECISION,
    N_OWN
};

static const struct bth_arg table[] = {
    [FROM] = {"from", 'f', "LANG", "of the text, such as en (default: detected)"},
    [TO] = {"to", 't', "LANG", "of the result, such as pt"},
    [PIVOT] = {"pivot", 'p', "LANG|auto",
               "by way of this language where no model does it alone;\nsaid on standard error"},
    [MODEL] = {"model", 'm', "NAME|PATH", "a model in place of --from and --to"},
    [HTML] = {"html", 0, NULL, "the text is HTML: its tags stay"},
    [GLOSSARY] =
        {"glossary", 0, "FILE",
         "terms and how to translate them: on each line a term, a tab and\nits translation"},
    [JSON] = {"json", 'j', NULL, "an object a text, with sentences, scores and tokens"},
    [FILES] = {"file", 'F', "FILE", "translate this file; may be repeated"},
    [OUTPUT_DIR] = {"output_dir", 'o', "DIR",
                    "write files to DIR under their names; without it their\ntranslations go to "
                    "standard output"},
    [CONFIG] = {"config", 0, "FILE", "the YAML file that names the models"},
    [SERVER] = {"server", 's', "ADDRESS",
                "by the daemon at unix:PATH or http://HOST:PORT (default\nBERTH_SERVER, else the "
                "usual socket, else in process)"},
    [LOCAL] = {"local", 0, NULL, "in this process, even if there is a daemon"},
    [THREADS] = {"threads", 0, "N", "compute threads (default: every core allowed)"},
    [DEVICE] = {"device", 0, "NAME",
                "cpu, cuda, cuda:N, a GPU's UUID, auto, or several with commas\n(default cpu)"},
    [PRECISION] = {"precision", 0, "exact|fast", "f32, or 8-bit products (see berth.yaml(5))"},
    {"beams", 'b', "N", "candidates kept in the search (default: the model's)"},
    {"alternatives", 'a', "N", "other translations, indented below the first (default 0)"},
    {"max_length", 0, "N", "most tokens of a sentence's translation"},
    {"max_length_factor", 0, "X", "as many for each token of the sentence"},
    {"length_penalty", 0, "X", "above 1 for longer, below for shorter ones"},
    {"early_stopping", 0, "true|false|never", "when the search may end (default: the model's)"},
    {"target_lang", 0, "CODE", "for a model of several targets"},
    {"alignment", 0, "BOOL", "with --json: which token comes from which"},
    {"token_scores", 0, "BOOL", "with --json: of every token"},
    {"repetition_guard", 0, "BOOL", "cut what repeats itself without end"},
    {"cache", 0, "BOOL", "keep and use translations of the same sentences"},
};

static const char *const usage_text =
    "Usage: berth translate --to LANG [OPTION]... [TEXT]...\n\n"
    "Each TEXT, or the files given, or standard input, from one language into another. What is\n"
    "between sentences (blanks, line ends, empty lines) stays byte for byte. The model is the one\n"
    "called marian/FROM-TO; 'berth models' lists those there are.\n";

/* ---- inputs ----------------------------------------------------------------------------------*/

enum { MAX_BYTES = 64 << 20 };

static int read_stdin(char **out, size_t *out_n, struct berth_error *err) {
    struct bth_str text = {0};
    char block[16384];
    size_t n;
    while ((n = fread(block, 1, sizeof(block), stdin)) > 0 && text.size <= MAX_BYTES) {
        bth_str_append(&text, block, n);
    }
    int rc = 0;
    if (ferror(stdin)) {
        rc = bth_error(err, BERTH_EIO, "standard input: %s", strerror(errno));
    } else if (text.size > MAX_BYTES) {
        rc = bth_error(err, BERTH_ETOOLARGE, "standard input: more than %d bytes", MAX_BYTES);
    } else if (text.failed) {
        rc = bth_error_nomem(err);
    }
    if (rc < 0) {
        bth_str_finish(&text);
        return rc;
    }
    *out = text.data;
    *out_n = text.size;
    return 0;
}

static int add_text(struct bth_translate_run *r, const char *name, struct berth_error *err) {
    struct bth_translate_text *t = &r->texts[r->n];
    int rc = 0;
    t->name = name;
    if (!name) {
        rc = read_stdin(&t->data, &t->size, err);
    } else {
        rc = bth_read_file(name, MAX_BYTES, &t->data, &t->size, err);
    }
    r->n += rc == 0;
    return rc;
}

static int take_inputs(struct bth_translate_run *r, const struct bth_args *args,
                       struct berth_error *err) {
    size_t n_files = bth_args_all(args, FILES, NULL, 0), n = n_files + (size_t)args->n_rest;
    r->texts = bth_calloc(n + 1, sizeof(*r->texts));
    const char **files = bth_calloc(n_files, sizeof(*files));
    int rc = r->texts && files ? 0 : bth_error_nomem(err);
    if (rc == 0) {
        bth_args_all(args, FILES, files, n_files);
    }
    for (size_t i = 0; i < n_files && rc == 0; i++) {
        rc = add_text(r, files[i], err);
    }
    for (int i = 0; i < args->n_rest && rc == 0; i++) {
        struct bth_translate_text *t = &r->texts[r->n++];
        t->operand = true;
        t->size = strlen(args->rest[i]);
        t->data = bth_strdup(args->rest[i]);
        rc = t->data ? 0 : bth_error_nomem(err);
    }
    if (rc == 0 && n == 0) {
        rc = add_text(r, NULL, err);
    }
    bth_free(files);
    return rc;
}

/* ---- models ----------------------------------------------------------------------------------*/

static int detect(struct bth_translate_run *r, char out[BTH_LANGUAGE_BYTES],
                  struct berth_error *err) {
    struct bth_language_guess guesses[BTH_MAX_GUESSES];
    struct bth_str all = {0};
    for (size_t i = 0; i < r->n && all.size < 1 << 16; i++) {
        bth_str_append(&all, r->texts[i].data, r->texts[i].size);
        bth_str_putc(&all, '\n');
    }
    int n = bth_language_detect(bth_str_text(&all), all.size, r->html, guesses, err);
    bth_str_finish(&all);
    if (n <= 0) {
        return n < 0 ? n
                     : bth_error(err, BERTH_EINVAL,
                                 "the language of the text is not clear: say --from LANG");
    }
    snprintf(out, BTH_LANGUAGE_BYTES, "%s", guesses[0].code);
    return 0;
}

static int find_pairs(struct bth_translate_run *r, struct berth_error *err) {
    size_t n = berth_models(r->berth, NULL, sizeof(struct berth_model_stats), 0);
    struct berth_model_stats *all = bth_calloc(n, sizeof(*all));
    int rc = all ? 0 : bth_error_nomem(err);
    size_t have = all ? BTH_MIN(berth_models(r->berth, all, sizeof(*all), n), n) : 0;
    for (size_t i = 0; i < have && rc == 0; i++) {
        rc = bth_pairs_add(&r->pairs, all[i].name, all[i].name, err);
        rc = rc < 0 ? rc : bth_pairs_add(&r->pairs, all[i].alias, all[i].name, err);
    }
    bth_free(all);
    return rc;
}

static int choose_models(struct bth_translate_run *r, const struct bth_args *args,
                         struct berth_error *err) {
    const char *const *v = args->values;
    struct bth_pair_route route;
    if (v[MODEL]) {
        r->models[r->n_models++] = v[MODEL];
        return 0;
    }
    snprintf(r->source, sizeof(r->source), "%s", v[FROM] ? v[FROM] : "auto");
    snprintf(r->target, sizeof(r->target), "%s", v[TO]);
    int rc = strcmp(r->source, "auto") == 0 ? detect(r, r->source, err) : 0;
    rc = rc < 0 ? rc : find_pairs(r, err);
    rc = rc < 0 ? rc : bth_pairs_route(&r->pairs, r->source, r->target, v[PIVOT], &route, err);
    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; i < route.n; i++) {
        r->models[r->n_models++] = route.legs[i]->model;
    }
    if (route.n > 1) {
        r->pivot = route.legs[0]->target;
        fprintf(stderr, "berth: translate: from %s to %s by way of %s\n", r->source, r->target,
                bth_language_name(r->pivot));
    }
    return 0;
}

/* ---- results ---------------------------------------------------------------------------------*/

static void put_json(const struct bth_translate_run *r, const struct bth_translate_text *t,
                     struct bth_str *out) {
    bth_str_putc(out, '{');
    if (t->name) {
        bth_json_put_string(out, "file", t->name);
    }
    if (*r->target) {
        bth_json_put_string(out, "source", r->source);
        bth_json_put_string(out, "target", r->target);
    }
    if (r->pivot) {
        bth_json_put_string(out, "pivot", r->pivot);
    }
    bth_json_key(out, "translation");
    bth_put_translation(out, t->item);
    bth_str_puts(out, "}\n");
}

static void put_text(const struct bth_translate_text *t, struct bth_str *out) {
    const struct berth_translation *r = t->item->translation;
    const char *text = r ? r->text : t->item->text;
    bth_str_puts(out, text ? text : "");
    size_t n = r ? r->n_alternatives : 0;
    if (t->operand || n > 0) {
        bth_str_putc(out, '\n');
    }
    for (size_t i = 0; i < n; i++) {
        bth_str_printf(out, "    %s\n", r->alternatives[i]);
    }
}

static int write_to(FILE *f, const struct bth_str *text, const char *name, bool close,
                    struct berth_error *err) {
    bool ok = f && fwrite(bth_str_text(text), 1, text->size, f) == text->size && fflush(f) == 0;
    if (f && close) {
        ok = fclose(f) == 0 && ok;
    }
    return ok ? 0 : bth_error(err, BERTH_EIO, "%s: %s", name, strerror(errno));
}

static int write_result(struct bth_translate_run *r, struct bth_translate_text *t,
                        struct berth_error *err) {
    struct bth_str text = {0};
    int rc;
    if (r->json) {
        put_json(r, t, &text);
    } else {
        put_text(t, &text);
    }
    if (text.failed) {
        rc = bth_error_nomem(err);
    } else if (t->name && r->output_dir) {
        const char *slash = strrchr(t->name, '/');
        char *path = bth_printf("%s/%s", r->output_dir, slash ? slash + 1 : t->name);
        rc = path ? write_to(fopen(path, "wb"), &text, path, true, err) : bth_error_nomem(err);
        bth_free(path);
    } else {
        bth_progress_clear(&r->progress);
        rc = write_to(stdout, &text, "standard output", false, err);
    }
    bth_str_finish(&text);
    return rc;
}

/* ---- the verb --------------------------------------------------------------------------------*/

static int check_usage(const struct bth_args *args, struct berth_error *err) {
    const char *const *v = args->values;
    if (!v[MODEL] && !v[TO]) {
        return bth_error(err, BERTH_EINVAL, "into which language? say --to LANG");
    }
    if (v[MODEL] && (v[FROM] || v[TO] || v[PIVOT])) {
        return bth_error(err, BERTH_EINVAL, "--model takes no --from, --to or --pivot");
    }
    if (v[OUTPUT_DIR] && mkdir(v[OUTPUT_DIR], 0777) < 0 && errno != EEXIST) {
        return bth_error(err, BERTH_EINVAL, "--output_dir %s: %s", v[OUTPUT_DIR], strerror(errno));
    }
    return 0;
}

static int open_berth(struct bth_translate_run *r, const struct bth_args *args,
                      struct berth_error *err) {
    const char *const *v = args->values;
    struct berth_config config = BERTH_CONFIG_INIT;
    int rc = bth_args_count(table, args, THREADS, 1024, &config.threads, err);
    if (rc < 0) {
        return rc;
    }
    config.file = v[CONFIG];
    config.device = v[DEVICE];
    config.precision = v[PRECISION];
    config.server = bth_cli_server(v[SERVER], v[LOCAL], v[MODEL]);
    return berth_open(&config, &r->berth, err);
}

static int translate(struct bth_translate_run *r, const struct bth_args *args) {
    struct berth_error err = {0};
    int rc = check_usage(args, &err);
    if (rc < 0) {
        bth_cli_fail("translate", &err);
        return CLI_USAGE;
    }
    struct berth_option options[BTH_COUNT(table)];
    r->options = options;
    for (size_t i = N_OWN; i < BTH_COUNT(table); i++) {
        if (args->values[i]) {
            options[r->n_options++] = (struct berth_option){table[i].name, args->values[i]};
        }
    }
    if (args->values[HTML]) {
        options[r->n_options++] = (struct berth_option){"html", "true"};
    }
    if (args->values[GLOSSARY]) {
        rc = bth_cli_glossary(args->values[GLOSSARY], &r->glossary, &err);
        options[r->n_options++] = (struct berth_option){"glossary", r->glossary};
    }
    r->html = args->values[HTML] != NULL;
    r->json = args->values[JSON] != NULL;
    r->output_dir = args->values[OUTPUT_DIR];
    r->write = write_result;
    bth_progress_init(&r->progress);
    r->progress.unit = "bytes";
    rc = rc < 0 ? rc : take_inputs(r, args, &err);
    rc = rc < 0 ? rc : open_berth(r, args, &err);
    rc = rc < 0 ? rc : choose_models(r, args, &err);
    rc = rc < 0 ? rc : bth_translate_all(r, &err);
    bth_progress_clear(&r->progress);
    if (rc < 0) {
        bth_cli_fail("translate", &err);
    }
    berth_close(r->berth, 0, NULL);
    return rc < 0 || r->n_failed ? CLI_FAILED : CLI_OK;
}

int bth_cmd_translate(int argc, char **argv) {
    struct bth_args args;
    int rc = bth_args_parse(table, BTH_COUNT(table), argc, argv, &args);
    if (rc != 0) {
        return rc;
    }
    if (args.help) {
        puts(usage_text);
        bth_args_help(table, BTH_COUNT(table));
    } else {
        struct bth_translate_run r = {0};
        rc = translate(&r, &args);
        bth_translate_run_finish(&r);
    }
    bth_args_finish(&args);
    return rc;
}

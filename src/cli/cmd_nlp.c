/*
 * berth nlp: texts to words, tags, syntax and entities, several side by side.
 *
 * Options after `own` in the table are the engine's: they pass through by name.
 */
#include "base/alloc.h"
#include "base/compiler.h"
#include "base/error.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/texts.h"
#include "render/displacy.h"
#include "render/doc_json.h"
#include "render/doc_text.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum own_option {
    MODEL,
    CONFIG,
    SERVER,
    LOCAL,
    FORMAT,
    STYLE,
    PAGE,
    ATTRIBUTES,
    OFFSETS,
    FILES,
    LINES,
    JOBS,
    THREADS,
    DEVICE,
    N_OWN
};

static const struct bth_arg table[] = {
    [MODEL] = {"model", 'm', "NAME|PATH", "the pipeline (default spacy/en_core_web_sm)"},
    [CONFIG] = {"config", 0, "FILE", "the YAML file that names the models"},
    [SERVER] = {"server", 's', "ADDRESS",
                "by the daemon at unix:PATH or http://HOST:PORT (default\nBERTH_SERVER, else the "
                "usual socket, else in process)"},
    [LOCAL] = {"local", 0, NULL, "in this process, even if there is a daemon"},
    [FORMAT] = {"format", 'f', "table|json|conllu|displacy", "(default table)"},
    [STYLE] = {"style", 0, "dep|ent",
               "what displacy draws: dependencies as SVG, or entities as\nHTML (default dep)"},
    [PAGE] = {"page", 0, NULL, "displacy: all drawings as one page of HTML"},
    [ATTRIBUTES] = {"attributes", 'a', "NAME,...",
                    "json: these, not those of Doc.to_json(); 'list' lists them"},
    [OFFSETS] = {"offsets", 0, "codepoint|utf8|utf16",
                 "json: what start and end count (default codepoint)"},
    [FILES] = {"file", 'i', "FILE", "a text from a file; may be repeated"},
    [LINES] = {"lines", 0, NULL, "each line of a file or of standard input is a text"},
    [JOBS] = {"jobs", 'j', "N", "texts at work side by side (default 64)"},
    [THREADS] = {"threads", 0, "N", "compute threads (default: every core allowed)"},
    [DEVICE] = {"device", 0, "NAME",
                "cpu, cuda, cuda:N, a GPU's UUID, auto, or several with commas\n(default cpu)"},
    {"components", 'c', "NAME,...", "only these run, and what they need"},
    {"disable", 0, "NAME,...", "these do not run"},
    {"enable", 0, "NAME,...", "these run too: they are there, but off in the pipeline"},
    {"max_length", 0, "N", "most characters of a text (default 1000000)"},
};

static const char *const usage_text =
    "Usage: berth nlp [OPTION]... [TEXT]...\n\n"
    "What a spaCy pipeline finds in texts: words, tags, lemmas, syntax, entities. Each TEXT is a\n"
    "document, and so is each --file; without either, standard input is one. JSON is a line a\n"
    "document, in the form of spaCy's Doc.to_json().\n";

enum format { TABLE, JSON, CONLLU, DISPLACY };

struct task {
    const struct bth_text *text;
    struct berth_job *job;
    struct berth_error err;
    bool done;
};

struct run {
    const struct bth_args *args;
    struct berth *berth;
    struct berth_option options[BTH_COUNT(table)];
    size_t n_options;
    enum format format;
    struct bth_doc_json how;
    enum bth_displacy_style style;
    struct bth_texts texts;
    struct task *tasks; /* [texts.n] */
    size_t n_failed, n_written;
    int jobs, threads;
};

/* ---- the command line ------------------------------------------------------------------------*/

static int parse_format(struct run *r, struct berth_error *err) {
    static const char *const names[] = {
        [TABLE] = "table", [JSON] = "json", [CONLLU] = "conllu", [DISPLACY] = "displacy"};
    const char *name = r->args->values[FORMAT];
    for (size_t i = 0; name && i < BTH_COUNT(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            r->format = (enum format)i;
            return 0;
        }
    }
    return name ? bth_error(err, BERTH_EINVAL,
                            "--format is table, json, conllu or displacy, not '%.40s'", name)
                : 0;
}

static int parse_own(struct run *r, struct berth_error *err) {
    const char *const *v = r->args->values;
    int rc = parse_format(r, err);
    if (rc == 0 && v[STYLE] && !bth_displacy_parse(v[STYLE], &r->style)) {
        rc = bth_error(err, BERTH_EINVAL, "--style is dep or ent, not '%.40s'", v[STYLE]);
    }
    if (rc == 0 && (v[STYLE] || v[PAGE]) && r->format != DISPLACY) {
        rc = bth_error(err, BERTH_EINVAL, "--style and --page go with --format displacy");
    }
    if (rc == 0 && (v[ATTRIBUTES] || v[OFFSETS]) && r->format != JSON) {
        rc = bth_error(err, BERTH_EINVAL, "--attributes and --offsets go with --format json");
    }
    if (rc == 0 && v[ATTRIBUTES]) {
        rc = bth_doc_json_attributes(v[ATTRIBUTES], &r->how.attributes, err);
    }
    if (rc == 0 && v[OFFSETS]) {
        rc = bth_doc_json_offsets(v[OFFSETS], &r->how.offsets, err);
    }
    rc = rc < 0 ? rc : bth_args_count(table, r->args, JOBS, 256, &r->jobs, err);
    rc = rc < 0 ? rc : bth_args_count(table, r->args, THREADS, 1024, &r->threads, err);
    for (size_t i = N_OWN; i < BTH_COUNT(table); i++) {
        if (v[i]) {
            r->options[r->n_options++] = (struct berth_option){table[i].name, v[i]};
        }
    }
    return rc;
}

static const char *model_name(const struct run *r) {
    const char *name = r->args->values[MODEL];
    if (!name) {
        name = getenv("BERTH_SPACY_MODEL");
    }
    return name && *name ? name : "spacy/en_core_web_sm";
}

/* ---- results ---------------------------------------------------------------------------------*/

static void put_drawing(struct run *r, struct bth_str *out, const struct berth_doc *doc) {
    char id[32];
    snprintf(id, sizeof(id), "berth-%zu", r->n_written);
    if (!r->args->values[PAGE]) {
        bth_displacy_write(out, doc, r->style, id);
        bth_str_putc(out, '\n');
        return;
    }
    if (r->n_written == 0) {
        bth_displacy_page_begin(out, doc);
    }
    bth_displacy_page_figure(out, doc, r->style, id);
}

static void put_doc(struct run *r, struct bth_str *out, const struct bth_text *text,
                    const struct berth_doc *doc) {
    switch (r->format) {
    case TABLE:
        if (r->texts.n > 1) {
            bth_str_printf(out, "%s%s:\n", r->n_written ? "\n" : "", text->name);
        }
        bth_doc_table_write(out, doc);
        break;
    case JSON:
        bth_doc_json_write(out, doc, &r->how);
        bth_str_putc(out, '\n');
        break;
    case CONLLU:
        bth_doc_conllu_write(out, doc, text->name);
        break;
    case DISPLACY:
        put_drawing(r, out, doc);
        break;
    }
}

static int print(struct bth_str *text, struct berth_error *err) {
    int rc = 0;
    if (text->failed) {
        rc = bth_error_nomem(err);
    } else if (fwrite(bth_str_text(text), 1, text->size, stdout) != text->size ||
               fflush(stdout) != 0) {
        rc = bth_error(err, BERTH_EIO, "standard output: %s", strerror(errno));
    }
    bth_str_finish(text);
    return rc;
}

static int write_result(struct run *r, struct task *t, const struct berth_item *item) {
    struct bth_str out = {0};
    if (!item->doc) {
        return bth_error(&t->err, BERTH_EINVAL, "%s is no spaCy pipeline", model_name(r));
    }
    if (r->format == DISPLACY && r->style == BTH_DISPLACY_DEP &&
        item->doc->n_tokens > BTH_DISPLACY_TOKENS) {
        return bth_error(&t->err, BERTH_ETOOLARGE,
                         "%zu tokens are too many for a drawing: the most is %d",
                         item->doc->n_tokens, BTH_DISPLACY_TOKENS);
    }
    put_doc(r, &out, t->text, item->doc);
    int rc = print(&out, &t->err);
    r->n_written += rc == 0;
    return rc;
}

/* ---- work ------------------------------------------------------------------------------------*/

static void fail_task(struct run *r, struct task *t) {
    t->done = true;
    r->n_failed++;
    bth_cli_fail(t->text->name, &t->err);
}

static struct berth_request request_of(const struct run *r, const struct task *t) {
    struct berth_request request = BERTH_REQUEST_INIT;
    request.input = (struct berth_input){
        .kind = BERTH_INPUT_TEXT, .data = t->text->data, .size = t->text->size};
    request.options = r->options;
    request.n_options = r->n_options;
    return request;
}

/* Those that fail are said and done. Nothing is loaded yet. */
static size_t check_all(struct run *r) {
    size_t good = 0;
    for (size_t i = 0; i < r->texts.n; i++) {
        struct task *t = &r->tasks[i];
        t->text = &r->texts.list[i];
        struct berth_request request = request_of(r, t);
        if (berth_check(r->berth, model_name(r), &request, &t->err) < 0) {
            fail_task(r, t);
        } else {
            good++;
        }
    }
    return good;
}

static void finish(struct run *r, struct task *t) {
    struct berth_item *item = NULL;
    int rc = berth_job_wait(t->job, -1, &item, &t->err);
    berth_job_free(t->job);
    t->job = NULL;
    if (rc < 0 || write_result(r, t, item) < 0) {
        fail_task(r, t);
    }
    berth_item_free(item);
}

/* Results in the texts' order. */
static void work(struct run *r, struct berth_lease *lease) {
    size_t next = 0;
    for (size_t oldest = 0; oldest < r->texts.n; oldest++) {
        for (; next < r->texts.n && next < oldest + (size_t)r->jobs; next++) {
            struct task *t = &r->tasks[next];
            struct berth_request request = request_of(r, t);
            if (!t->done && berth_submit(lease, &request, &t->job, &t->err) < 0) {
                fail_task(r, t);
            }
        }
        if (r->tasks[oldest].job) {
            finish(r, &r->tasks[oldest]);
        }
    }
}

static int end_page(struct run *r, struct berth_error *err) {
    struct bth_str out = {0};
    if (r->args->values[PAGE] && r->n_written) {
        bth_displacy_page_end(&out);
        bth_str_putc(&out, '\n');
    }
    return print(&out, err);
}

static int analyse(struct run *r, struct berth_error *err) {
    struct berth_config config = BERTH_CONFIG_INIT;
    struct berth_lease *lease = NULL;
    config.file = r->args->values[CONFIG];
    config.threads = r->threads;
    config.device = r->args->values[DEVICE];
    config.server = bth_cli_server(r->args->values[SERVER], r->args->values[LOCAL], model_name(r));
    int rc = berth_open(&config, &r->berth, err);
    if (rc < 0) {
        return rc;
    }
    if (check_all(r) > 0) {
        rc = berth_acquire(r->berth, model_name(r), NULL, &lease, err);
    }
    if (lease) {
        work(r, lease);
        rc = end_page(r, err);
        berth_release(lease);
    }
    berth_close(r->berth, 0, NULL);
    return rc;
}

static int run_all(struct run *r) {
    struct berth_error err = {0};
    const struct bth_args *args = r->args;
    if (parse_own(r, &err) < 0) {
        bth_cli_fail("nlp", &err);
        return CLI_USAGE;
    }
    int rc = bth_texts_read(&r->texts, args, FILES, args->values[LINES] != NULL, &err);
    if (rc == 0) {
        r->tasks = bth_calloc(r->texts.n, sizeof(*r->tasks));
        rc = r->tasks ? analyse(r, &err) : bth_error_nomem(&err);
    }
    if (rc < 0) {
        bth_cli_fail("nlp", &err);
    }
    bth_free(r->tasks);
    bth_texts_finish(&r->texts);
    return rc < 0 || r->n_failed ? CLI_FAILED : CLI_OK;
}

static int list_attributes(void) {
    struct bth_str names = {0};
    struct berth_error err;
    bth_doc_json_names(&names);
    bth_str_putc(&names, '\n');
    return print(&names, &err) < 0 ? bth_cli_fail("nlp", &err) : CLI_OK;
}

int bth_cmd_nlp(int argc, char **argv) {
    struct bth_args args;
    int rc = bth_args_parse(table, BTH_COUNT(table), argc, argv, &args);
    if (rc != 0) {
        return rc;
    }
    const char *attributes = args.values[ATTRIBUTES];
    if (args.help) {
        puts(usage_text);
        bth_args_help(table, BTH_COUNT(table));
    } else if (attributes && strcmp(attributes, "list") == 0) {
        rc = list_attributes();
    } else {
        struct run r = {.args = &args, .jobs = 64};
        rc = run_all(&r);
    }
    bth_args_finish(&args);
    return rc;
}

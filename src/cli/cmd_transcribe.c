/*
 * berth transcribe: files to text, several side by side.
 *
 * Options after `own` in the table are the engine's: they pass through by name, and the engine says
 * what is wrong with them, before any model is loaded.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/error.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/input.h"
#include "cli/progress.h"
#include "render/output.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum own_option {
    MODEL,
    CONFIG,
    SERVER,
    LOCAL,
    OUTPUT_FORMAT,
    OUTPUT_DIR,
    JOBS,
    THREADS,
    DEVICE,
    PRECISION,
    INPUT_FORMAT,
    RATE,
    CHANNELS,
    N_OWN
};

static const struct bth_arg table[] = {
    [MODEL] = {"model", 'm', "NAME|PATH", "the model (default whisper/base)"},
    [CONFIG] = {"config", 0, "FILE", "the YAML file that names the models"},
    [SERVER] = {"server", 's', "ADDRESS",
                "by the daemon at unix:PATH or http://HOST:PORT (default\nBERTH_SERVER, else the "
                "usual socket, else in process)"},
    [LOCAL] = {"local", 0, NULL, "in this process, even if there is a daemon"},
    [OUTPUT_FORMAT] = {"output_format", 'f', "txt|vtt|srt|tsv|json|all", "(default txt)"},
    [OUTPUT_DIR] = {"output_dir", 'o', "DIR",
                    "write DIR/<name>.<format>; without it the text goes\nto standard output"},
    [JOBS] = {"jobs", 'j', "N", "files at work side by side (default 8)"},
    [THREADS] = {"threads", 0, "N", "compute threads (default: every core allowed)"},
    [DEVICE] = {"device", 0, "NAME",
                "cpu, cuda, cuda:N, a GPU's UUID, auto, or several with commas\n(default cpu); "
                "'berth devices' lists them"},
    [PRECISION] = {"precision", 0, "exact|fast",
                   "exact f32, or faster products where there are such: of\n16 bits on a GPU, of 8 "
                   "bits for marian on a CPU (default\nexact on a CPU, fast on a GPU)"},
    [INPUT_FORMAT] = {"input_format", 0, "s16|f32", "the files hold raw samples of this kind"},
    [RATE] = {"rate", 0, "HZ", "of raw samples (default 16000)"},
    [CHANNELS] = {"channels", 0, "N", "of raw samples (default 1)"},
    {"language", 'l', "LANG", "code or name; default: detected in the first 30 s"},
    {"task", 0, "transcribe|translate", "translate: to English (default transcribe)"},
    {"initial_prompt", 0, "TEXT", "what the first window is told came before"},
    {"carry_initial_prompt", 0, "BOOL", "tell it to every window (default False)"},
    {"condition_on_previous_text", 0, "BOOL", "the text so far prompts each window (default True)"},
    {"temperature", 0, "T", "of sampling; 0 is greedy (default 0)"},
    {"temperature_increment_on_fallback", 0, "T|None",
     "added, up to 1, when a window fails the thresholds\n(default 0.2; None: never try again)"},
    {"best_of", 0, "N", "candidates when sampling (default 5)"},
    {"compression_ratio_threshold", 0, "X|None", "above it a window has failed (default 2.4)"},
    {"logprob_threshold", 0, "X|None", "below it a window has failed (default -1)"},
    {"no_speech_threshold", 0, "X|None", "above it a failed window is silence (default 0.6)"},
    {"suppress_tokens", 0, "IDS", "never produced; -1: most symbols (default -1)"},
    {"clip_timestamps", 0, "S,S,...", "start,end,... in seconds of the parts to process"},
    {"length_penalty", 0, "X", "0 to 1; ranks candidates (default: by length alone)"},
    {"sample_len", 0, "N", "most tokens of a window (default 224)"},
    {"without_timestamps", 0, "BOOL", "text tokens only (default False)"},
    {"max_initial_timestamp", 0, "S", "a window's first text begins before (default 1)"},
    {"seed", 0, "N", "of sampling; the same seed gives the same text (default 0)"},
    {"beam_size", 0, "None", "not built yet"},
    {"patience", 0, "None", "not built yet"},
    {"word_timestamps", 0, "False", "not built yet"},
};

static const char *const usage_text = "Usage: berth transcribe [OPTION]... FILE...\n\n"
                                      "Speech in sound files (wav, flac, ogg, opus, mp3; any rate) "
                                      "to text. The options are those of\n"
                                      "the whisper command (dashes or underscores alike) but for "
                                      "these differences: decoding is greedy\n"
                                      "by default, not by beam search; without -o the text goes to "
                                      "standard output; several files run\n"
                                      "side by side.\n";

struct task {
    const char *path;
    char *memory; /* raw samples */
    struct berth_request request;
    struct berth_job *job;
    struct berth_item *item;
    struct berth_error err;
    bool done;
};

struct run {
    const struct bth_args *args;
    struct berth *berth;
    struct berth_option options[BTH_COUNT(table) + 2];
    size_t n_options;
    enum bth_output_format format;
    bool all_formats;
    struct task *tasks;
    int n_tasks, n_done, n_failed;
    int jobs, threads;
    struct bth_progress progress;
};

static int parse_own(struct run *r, struct berth_error *err) {
    const char *format = r->args->values[OUTPUT_FORMAT];
    r->all_formats = format && strcmp(format, "all") == 0;
    r->format = BTH_OUTPUT_TXT;
    if (format && !r->all_formats && !bth_output_parse(format, &r->format)) {
        return bth_error(err, BERTH_EINVAL,
                         "--output_format is txt, vtt, srt, tsv, json or all, not '%s'", format);
    }
    if (r->all_formats && !r->args->values[OUTPUT_DIR]) {
        return bth_error(err, BERTH_EINVAL, "--output_format all needs --output_dir");
    }
    const char *dir = r->args->values[OUTPUT_DIR];
    if (dir && mkdir(dir, 0777) < 0 && errno != EEXIST) {
        return bth_error(err, BERTH_EINVAL, "--output_dir %s: %s", dir, strerror(errno));
    }
    int rc = bth_args_count(table, r->args, JOBS, 256, &r->jobs, err);
    return rc < 0 ? rc : bth_args_count(table, r->args, THREADS, 1024, &r->threads, err);
}

/* The engine's options as given; the whisper command's defaults where they are not the library's.
 */
static void collect_options(struct run *r) {
    bool best_of = false, ladder = false, temperatures = false;
    for (size_t i = N_OWN; i < BTH_COUNT(table); i++) {
        if (r->args->values[i]) {
            r->options[r->n_options++] = (struct berth_option){table[i].name, r->args->values[i]};
            best_of |= strcmp(table[i].name, "best_of") == 0;
            ladder |= strcmp(table[i].name, "temperature_increment_on_fallback") == 0;
            temperatures |=
                strcmp(table[i].name, "temperature") == 0 && strchr(r->args->values[i], ',');
        }
    }
    if (!best_of) {
        r->options[r->n_options++] = (struct berth_option){"best_of", "5"};
    }
    if (!ladder && !temperatures) {
        r->options[r->n_options++] =
            (struct berth_option){"temperature_increment_on_fallback", "0.2"};
    }
}

static const char *model_name(const struct run *r) {
    const char *name = r->args->values[MODEL];
    if (!name) {
        name = getenv("BERTH_WHISPER_MODEL");
    }
    return name && *name ? name : "whisper/base";
}

static void fail_task(struct run *r, struct task *t) {
    t->done = true;
    r->n_done++;
    r->n_failed++;
    bth_progress_clear(&r->progress);
    bth_cli_fail(t->path, &t->err);
}

/* Opens and checks every file; those that fail are said and done. Nothing is loaded yet. */
static void prepare(struct run *r) {
    for (int i = 0; i < r->n_tasks; i++) {
        struct task *t = &r->tasks[i];
        const char *const *v = r->args->values;
        t->path = r->args->rest[i];
        t->request = (struct berth_request)BERTH_REQUEST_INIT;
        t->request.options = r->options;
        t->request.n_options = r->n_options;
        if (bth_input_open(t->path, v[INPUT_FORMAT], v[RATE], v[CHANNELS], &t->request.input,
                           &t->memory, &t->err) < 0 ||
            berth_check(r->berth, model_name(r), &t->request, &t->err) < 0) {
            fail_task(r, t);
        }
    }
}

static int write_file(struct run *r, const struct task *t, enum bth_output_format format,
                      struct berth_error *err) {
    const char *slash = strrchr(t->path, '/');
    const char *base = slash ? slash + 1 : t->path;
    const char *dot = strrchr(base, '.');
    size_t stem = dot && dot != base ? (size_t)(dot - base) : strlen(base);
    char *path = bth_printf("%s/%.*s.%s", r->args->values[OUTPUT_DIR], (int)stem, base,
                            bth_output_name(format));
    struct bth_str text = {0};
    int rc = 0;
    bth_output_write(&text, t->item->transcript, format);
    if (!path || text.failed) {
        rc = bth_error_nomem(err);
    } else {
        FILE *f = fopen(path, "wb");
        bool ok = f && fwrite(bth_str_text(&text), 1, text.size, f) == text.size;
        ok = f && fclose(f) == 0 && ok;
        rc = ok ? 0 : bth_error(err, BERTH_EIO, "%s: %s", path, strerror(errno));
    }
    bth_str_finish(&text);
    bth_free(path);
    return rc;
}

static int write_stdout(struct run *r, const struct task *t, struct berth_error *err) {
    struct bth_str text = {0};
    if (r->n_tasks > 1 && r->format == BTH_OUTPUT_TXT) {
        bth_str_printf(&text, "%s:\n", t->path);
    }
    int rc = 0;
    bth_output_write(&text, t->item->transcript, r->format);
    if (text.failed) {
        rc = bth_error_nomem(err);
    } else if (fwrite(bth_str_text(&text), 1, text.size, stdout) != text.size ||
               fflush(stdout) != 0) {
        rc = bth_error(err, BERTH_EIO, "standard output: %s", strerror(errno));
    }
    bth_str_finish(&text);
    return rc;
}

static int write_result(struct run *r, struct task *t) {
    if (!r->args->values[OUTPUT_DIR]) {
        bth_progress_clear(&r->progress);
        return write_stdout(r, t, &t->err);
    }
    int rc = 0;
    for (int f = 0; rc == 0 && f < BTH_N_OUTPUT_FORMATS; f++) {
        if (r->all_formats || f == (int)r->format) {
            rc = write_file(r, t, (enum bth_output_format)f, &t->err);
        }
    }
    return rc;
}

static void draw(struct run *r) {
    double done = 0, total = 0;
    for (int i = 0; i < r->n_tasks; i++) {
        const struct task *t = &r->tasks[i];
        double d = 0, all = 0;
        if (t->job) {
            berth_job_progress(t->job, &d, &all);
        } else if (t->item) {
            d = all = t->item->transcript->duration_s;
        }
        done += d;
        total += all;
    }
    bth_progress_draw(&r->progress, done, total, r->n_done, r->n_tasks);
}

/* Waits for task i (the oldest at work) and writes its result, so that output keeps the files'
 * order. */
static void finish(struct run *r, int i) {
    struct task *t = &r->tasks[i];
    int rc;
    do {
        draw(r);
        rc = berth_job_wait(t->job, r->progress.shown ? 100 : -1, &t->item, &t->err);
    } while (rc == BERTH_ETIMEDOUT && berth_job_state(t->job) != BERTH_JOB_FAILED);
    berth_job_free(t->job);
    t->job = NULL;
    if (rc < 0 || write_result(r, t) < 0) {
        fail_task(r, t);
    } else {
        t->done = true;
        r->n_done++;
    }
    berth_item_free(t->item);
    t->item = NULL;
}

static void work(struct run *r, struct berth_lease *lease) {
    int next = 0;
    for (int oldest = 0; oldest < r->n_tasks; oldest++) {
        for (; next < r->n_tasks && next < oldest + r->jobs; next++) {
            struct task *t = &r->tasks[next];
            if (!t->done && berth_submit(lease, &t->request, &t->job, &t->err) < 0) {
                fail_task(r, t);
            }
        }
        if (r->tasks[oldest].job) {
            finish(r, oldest);
        }
    }
    bth_progress_clear(&r->progress);
}

static int transcribe(struct run *r, struct berth_error *err) {
    struct berth_config config = BERTH_CONFIG_INIT;
    config.file = r->args->values[CONFIG];
    config.threads = r->threads;
    config.device = r->args->values[DEVICE];
    config.precision = r->args->values[PRECISION];
    config.server = bth_cli_server(r->args->values[SERVER], r->args->values[LOCAL], model_name(r));
    int rc = berth_open(&config, &r->berth, err);
    if (rc < 0) {
        return rc;
    }
    prepare(r);
    struct berth_lease *lease = NULL;
    if (r->n_done < r->n_tasks) {
        rc = berth_acquire(r->berth, model_name(r), NULL, &lease, err);
    }
    if (lease) {
        work(r, lease);
        berth_release(lease);
    }
    berth_close(r->berth, 0, NULL);
    return rc;
}

static int run_all(struct run *r) {
    struct berth_error err = {0};
    int rc = parse_own(r, &err);
    if (rc < 0) {
        bth_cli_fail("transcribe", &err);
        return CLI_USAGE;
    }
    collect_options(r);
    bth_progress_init(&r->progress);
    r->n_tasks = r->args->n_rest;
    r->tasks = bth_calloc((size_t)r->n_tasks, sizeof(*r->tasks));
    rc = r->tasks ? transcribe(r, &err) : bth_error_nomem(&err);
    if (rc < 0) {
        bth_cli_fail("transcribe", &err);
    }
    for (int i = 0; r->tasks && i < r->n_tasks; i++) {
        bth_free(r->tasks[i].memory);
    }
    bth_free(r->tasks);
    return rc < 0 || r->n_failed ? CLI_FAILED : CLI_OK;
}

int bth_cmd_transcribe(int argc, char **argv) {
    struct bth_args args;
    int rc = bth_args_parse(table, BTH_COUNT(table), argc, argv, &args);
    if (rc != 0) {
        return rc;
    }
    if (args.help) {
        puts(usage_text);
        bth_args_help(table, BTH_COUNT(table));
    } else if (args.n_rest == 0) {
        fputs("berth transcribe: no FILE given\nTry 'berth transcribe --help'.\n", stderr);
        rc = CLI_USAGE;
    } else {
        struct run r = {.args = &args, .jobs = 8};
        rc = run_all(&r);
    }
    bth_args_finish(&args);
    return rc;
}

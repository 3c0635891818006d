#include "cli/translate.h"

#include "base/alloc.h"
#include "base/error.h"
#include "cli/args.h"
#include "cli/cli.h"
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 32 };

static void fail(struct bth_translate_run *r, struct bth_translate_text *t,
                 const struct berth_error *err) {
    bth_progress_clear(&r->progress);
    bth_cli_fail(t->name ? t->name : "translate", err);
    t->failed = true;
    r->n_failed++;
}

static void draw(struct bth_translate_run *r, size_t first, size_t last) {
    double done = 0, total = 0;
    for (size_t i = first; i < last; i++) {
        double d = 0, all = 0;
        if (r->texts[i].job) {
            berth_job_progress(r->texts[i].job, &d, &all);
        }
        done += d;
        total += all;
    }
    bth_progress_draw(&r->progress, done, total, (int)r->n_done, (int)r->n);
}

/* What only the last model need do is no option of the first, which keeps terms as they are. */
static size_t options_of(const struct bth_translate_run *r, bool final, struct berth_option *out) {
    size_t n = 0;
    for (size_t i = 0; i < r->n_options; i++) {
        if (final || strcmp(r->options[i].name, "alternatives") != 0) {
            out[n++] = r->options[i];
        }
    }
    if (!final && r->glossary) {
        out[n++] = (struct berth_option){"glossary_keep", "true"};
    }
    return n;
}

static void submit(struct bth_translate_run *r, struct berth_lease *lease,
                   struct bth_translate_text *t, bool final) {
    struct berth_request request = BERTH_REQUEST_INIT;
    struct berth_option options[BTH_MAX_ARGS];
    struct berth_error err;
    request.input = (struct berth_input){
        .kind = BERTH_INPUT_TEXT, .data = t->data ? t->data : "", .size = t->size};
    request.options = options;
    request.n_options = options_of(r, final, options);
    if (berth_submit(lease, &request, &t->job, &err) < 0) {
        fail(r, t, &err);
    }
}

/* The result of the first model is the text for the second. */
static int pass_on(struct bth_translate_text *t, struct berth_error *err) {
    const char *text = t->item->translation ? t->item->translation->text : t->item->text;
    char *copy = bth_strdup(text ? text : "");
    if (!copy) {
        return bth_error_nomem(err);
    }
    bth_free(t->data);
    t->data = copy;
    t->size = strlen(copy);
    return 0;
}

static void finish(struct bth_translate_run *r, size_t i, size_t last, bool final) {
    struct bth_translate_text *t = &r->texts[i];
    struct berth_error err;
    int rc;
    do {
        draw(r, i, last);
        rc = berth_job_wait(t->job, r->progress.shown ? 100 : -1, &t->item, &err);
    } while (rc == BERTH_ETIMEDOUT && berth_job_state(t->job) != BERTH_JOB_FAILED);
    berth_job_free(t->job);
    t->job = NULL;
    rc = rc < 0 ? rc : final ? r->write(r, t, &err) : pass_on(t, &err);
    berth_item_free(t->item);
    t->item = NULL;
    if (rc < 0) {
        fail(r, t, &err);
    }
    r->n_done += final;
}

static void run_leg(struct bth_translate_run *r, struct berth_lease *lease, bool final) {
    size_t next = 0;
    for (size_t i = 0; i < r->n; i++) {
        for (; next < r->n && next < i + AT_ONCE; next++) {
            if (!r->texts[next].failed) {
                submit(r, lease, &r->texts[next], final);
            }
        }
        if (r->texts[i].job) {
            finish(r, i, next, final);
        }
    }
}

int bth_translate_all(struct bth_translate_run *r, struct berth_error *err) {
    int rc = 0;
    for (size_t leg = 0; leg < r->n_models && rc == 0; leg++) {
        struct berth_lease *lease;
        rc = berth_acquire(r->berth, r->models[leg], NULL, &lease, err);
        if (rc == 0) {
            run_leg(r, lease, leg + 1 == r->n_models);
            berth_release(lease);
        }
    }
    return rc;
}

void bth_translate_run_finish(struct bth_translate_run *r) {
    for (size_t i = 0; r->texts && i < r->n; i++) {
        bth_free(r->texts[i].data);
    }
    bth_free(r->texts);
    free(r->glossary);
    bth_pairs_finish(&r->pairs);
}

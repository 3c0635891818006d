/* The configuration's file once more, while all goes on. */
#include "api/config.h"
#include "api/handle.h"
#include "base/alloc.h"
#include "base/error.h"
#include <stdio.h>
#include <string.h>

void bth_reload_remember(struct berth *b, char *path, const struct bth_config *c) {
    b->config_file = path;
    b->file.cpu_memory_bytes = c->cpu_memory_bytes;
    b->file.gpu_memory_bytes = c->gpu_memory_bytes;
    b->file.threads = c->threads;
    snprintf(b->file.device, sizeof(b->file.device), "%s", c->device ? c->device : "");
    snprintf(b->file.precision, sizeof(b->file.precision), "%s", c->precision ? c->precision : "");
}

void bth_reload_finish(struct bth_reload *r) {
    bth_str_finish(&r->added);
    bth_str_finish(&r->changed);
    bth_str_finish(&r->removed);
    bth_str_finish(&r->restart);
}

static int add_model(struct berth *b, const struct berth_model_spec *spec, bool dry,
                     struct bth_reload *out, struct berth_error *err) {
    enum bth_news news;
    int rc = bth_manager_configure(b->manager, spec, dry, &news, err);
    if (rc < 0) {
        return rc;
    }
    if (news == BTH_NEWS_ADDED) {
        bth_str_printf(&out->added, "%s\n", spec->name);
    } else if (news == BTH_NEWS_KEPT_OTHERWISE) {
        bth_str_printf(&out->changed, "%s\n", spec->name);
    } else if (news == BTH_NEWS_DIFFERS) {
        bth_str_printf(&out->restart, "%s: its path, alias or engine\n", spec->name);
    }
    return 0;
}

static void note_rest(const struct berth *b, const struct bth_config *c, struct bth_reload *out) {
    if (strcmp(b->file.device, c->device ? c->device : "") != 0) {
        bth_str_puts(&out->restart, "device\n");
    }
    if (strcmp(b->file.precision, c->precision ? c->precision : "") != 0) {
        bth_str_puts(&out->restart, "precision\n");
    }
    if (b->file.cpu_memory_bytes != c->cpu_memory_bytes || b->file.threads != c->threads ||
        b->file.gpu_memory_bytes != c->gpu_memory_bytes) {
        bth_str_puts(&out->restart, "devices: memory or threads\n");
    }
}

int bth_local_reload(struct berth *b, bool dry, struct bth_reload *out, struct berth_error *err) {
    struct bth_config c;
    *out = (struct bth_reload){0};
    if (!b->config_file || !*b->config_file) {
        return bth_error(err, BERTH_ENOTFOUND, "it was started without a configuration file");
    }
    int rc = bth_config_load(b->config_file, &c, err);
    if (rc < 0) {
        return rc;
    }
    bth_manager_forget(b->manager, c.models, c.n_models, dry, &out->removed);
    for (size_t i = 0; rc == 0 && i < c.n_models; i++) {
        rc = add_model(b, &c.models[i], dry, out, err);
    }
    note_rest(b, &c, out);
    bth_config_finish(&c);
    if (rc == 0 &&
        (out->added.failed || out->changed.failed || out->removed.failed || out->restart.failed)) {
        rc = bth_error_nomem(err);
    }
    if (rc < 0) {
        bth_reload_finish(out);
    }
    return rc;
}

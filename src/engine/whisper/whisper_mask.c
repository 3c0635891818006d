/* Suppress lists as bits: a row of the mask table for each list in use. */
#include "whisper/whisper_model.h"

#include "base/alloc.h"
#include "base/error.h"
#include <stdlib.h>
#include <string.h>

size_t whisper_mask_words(const struct whisper_dims *d) {
    return ((size_t)d->vocab + 31) / 32;
}

static void forbid(uint32_t *mask, int32_t id) {
    mask[id / 32] |= 1U << (id % 32);
}

/* The ids of a list, and those that are never text. */
static int fill(const struct whisper_vocab *v, const char *list, uint32_t *mask,
                struct berth_error *err) {
    const int32_t never[] = {v->transcribe,  v->translate, v->sot,
                             v->startofprev, v->startoflm, v->nospeech};
    int rc = 0;
    for (size_t i = 0; i < BTH_COUNT(never); i++) {
        forbid(mask, never[i]);
    }
    for (const char *p = list; rc == 0 && *p;) {
        char *end;
        long id = strtol(p, &end, 10); /* well formed: the options were checked */
        p = *end ? end + 1 : end;
        if (id == -1) {
            rc = whisper_vocab_suppress_symbols(v, mask, err);
        } else if (id < 0 || id >= v->size) {
            rc = bth_error(err, BERTH_EINVAL, "option suppress_tokens: this model has ids 0 to %d",
                           v->size - 1);
        } else {
            forbid(mask, (int32_t)id);
        }
    }
    return rc;
}

static int write_row(struct whisper_model *m, int32_t row, const char *list,
                     struct berth_error *err) {
    const size_t words = whisper_mask_words(&m->dims), bytes = words * sizeof(uint32_t);
    uint32_t *mask = bth_calloc(words, sizeof(*mask));
    if (!mask) {
        return bth_error_nomem(err);
    }
    int rc = fill(&m->vocab, list, mask, err);
    if (rc == 0) {
        rc = m->base.device->ops->write(m->masks, (size_t)row * bytes, mask, bytes);
        rc = rc < 0 ? bth_error(err, rc, "%s: writing a suppress list failed", m->base.device->name)
                    : 0;
    }
    bth_free(mask);
    return rc;
}

int whisper_masks_create(struct whisper_model *m, struct berth_error *err) {
    return write_row(m, 0, "-1", err);
}

int whisper_mask_take(struct whisper_model *m, const char *list, int32_t *out,
                      struct berth_error *err) {
    int32_t unused = 0;
    if (!*list || strcmp(list, "-1") == 0) {
        *out = *list ? 0 : -1;
        return 0;
    }
    for (int32_t i = WHISPER_MASKS - 1; i > 0; i--) {
        struct whisper_mask *r = &m->mask_rows[i];
        if (r->users && strcmp(r->list, list) == 0) {
            r->users++;
            *out = i;
            return 0;
        }
        unused = r->users ? unused : i;
    }
    if (!unused) {
        return bth_error(err, BERTH_EOVERLOADED,
                         "%d different suppress_tokens lists are in use on this model, no more are "
                         "possible at once: try again later",
                         WHISPER_MASKS - 1);
    }
    char *copy = bth_strdup(list);
    int rc = copy ? write_row(m, unused, list, err) : bth_error_nomem(err);
    if (rc < 0) {
        bth_free(copy);
        return rc;
    }
    m->mask_rows[unused] = (struct whisper_mask){.list = copy, .users = 1};
    *out = unused;
    return 0;
}

void whisper_mask_drop(struct whisper_model *m, int32_t row) {
    if (row > 0 && --m->mask_rows[row].users == 0) {
        bth_free(m->mask_rows[row].list);
        m->mask_rows[row].list = NULL;
    }
}

#include "spacy/spacy_options.h"

#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"
#include "spacy/spacy_tokenizer.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *spacy_names_next(const char **list, size_t *out_n) {
    const char *at = *list + strspn(*list, ", ");
    *out_n = strcspn(at, ", ");
    *list = at + *out_n;
    return *out_n ? at : NULL;
}

static int parse_bool(const struct berth_option *o, bool *out, struct berth_error *err) {
    if (strcasecmp(o->value, "true") == 0 || strcmp(o->value, "1") == 0) {
        *out = true;
    } else if (strcasecmp(o->value, "false") == 0 || strcmp(o->value, "0") == 0) {
        *out = false;
    } else {
        return bth_error(err, BERTH_EINVAL, "option %s is \"%.40s\": use true or false", o->name,
                         o->value);
    }
    return 0;
}

static int parse_length(const struct berth_option *o, size_t *out, struct berth_error *err) {
    char *end;
    const long v = strtol(o->value, &end, 10);
    if (end == o->value || *end || v < 1 || v > SPACY_MAX_LENGTH) {
        return bth_error(err, BERTH_EINVAL, "option %s is \"%.40s\": use 1 to %d", o->name,
                         o->value, SPACY_MAX_LENGTH);
    }
    *out = (size_t)v;
    return 0;
}

static int set(struct spacy_options *s, const struct berth_option *o, struct berth_error *err) {
    const struct {
        const char *name;
        const char **text;
    } texts[] = {{"components", &s->components},
                 {"exclude", &s->exclude},
                 {"disable", &s->exclude},
                 {"enable", &s->enable}};
    for (size_t i = 0; i < BTH_COUNT(texts); i++) {
        if (strcmp(o->name, texts[i].name) == 0) {
            if (!bth_utf8_valid(o->value, strlen(o->value))) {
                return bth_error(err, BERTH_EINVAL, "option %s is not UTF-8", o->name);
            }
            *texts[i].text = o->value;
            return 0;
        }
    }
    if (strcmp(o->name, "tensor") == 0) {
        return parse_bool(o, &s->tensor, err);
    }
    if (strcmp(o->name, "vectors") == 0) {
        return parse_bool(o, &s->vectors, err);
    }
    if (strcmp(o->name, "max_length") == 0) {
        return parse_length(o, &s->max_length, err);
    }
    return bth_error(err, BERTH_EINVAL, "spacy does not know the option %.60s", o->name);
}

int spacy_options_parse(const struct berth_request *request, struct spacy_options *out,
                        struct berth_error *err) {
    struct spacy_options s = {.max_length = SPACY_MAX_LENGTH};
    for (size_t i = 0; i < request->n_options; i++) {
        int rc = set(&s, &request->options[i], err);
        if (rc < 0) {
            return rc;
        }
    }
    *out = s;
    return 0;
}

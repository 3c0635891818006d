/*
 * spacy_options.h - the options of a request, see MODEL.md. Pure.
 */
#ifndef SPACY_OPTIONS_H
#define SPACY_OPTIONS_H

#include <berth/error.h>
#include <berth/types.h>

/* Texts are the request's. */
struct spacy_options {
    const char *components; /* "tagger,ner": only these; NULL: the pipeline's own choice */
    const char *exclude;    /* not these; NULL: none */
    const char *enable;     /* these too; NULL: none */
    bool tensor, vectors;   /* results carry them */
    size_t max_length;      /* code points */
};

/* EINVAL with the name of the option. */
int spacy_options_parse(const struct berth_request *request, struct spacy_options *out,
                        struct berth_error *err);

/* The next of a list of names, which moves on: text[0, *out_n); NULL: no more. */
const char *spacy_names_next(const char **list, size_t *out_n);

#endif

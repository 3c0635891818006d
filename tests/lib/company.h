/*
 * tests/lib/company.h - alone or in company, the same bytes: an engine's requests of several kinds
 * against themselves. One model at a time; nothing here starts a thread.
 */
#ifndef BTH_COMPANY_H
#define BTH_COMPANY_H

#include "lib/drive.h"

enum { COMPANY_MOST = 33 };

struct company {
    struct drive_one (*kind)(size_t k); /* a request of kind k */
    size_t n_kinds;
    int step; /* the stage in which they are to be seen together */
};

/* Each kind alone, as text, into out [n_kinds]; what was there is freed. */
void company_alone(struct berth_model *m, const struct company *c, char **out);

/* n of them (at most COMPANY_MOST), some of which join late, give what is `expected` [n_kinds] of
 * them; says on standard output how many stepped together. */
void company_together(struct berth_model *m, const struct company *c, size_t n,
                      char *const *expected, const char *what);

#endif

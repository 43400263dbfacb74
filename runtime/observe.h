/* What goes into a model's matrices: for each product of a plan, the squares of its inputs summed over all
 * tokens, column by column. An observer is given to plan_compile, which puts stages between the
 * others that do the summing (stage_observe.c); a plan without one has no such stages and costs nothing.
 *
 * Inputs are taken as floats, after their norm and before they are quantized, and summed in double, each
 * column by one worker and in the order of the tokens: the sums are the same, bit for bit, for any number of
 * threads. Used by imatrix_collect.c. */
#ifndef LEAT_RUNTIME_OBSERVE_H
#define LEAT_RUNTIME_OBSERVE_H

#include "arch.h"

/* One input that is multiplied with; several matrices may share it. */
typedef struct observe_site {
    size_t n_mat, n_cols;
    bool experts;    /* each matrix sees tokens of its own and has a count of its own */
    double *sums;    /* (n_mat, n_cols) of squares */
    uint64_t *count; /* (n_mat) rows that were summed */
} observe_site;

/* A tensor of the model and the input that it is multiplied with. */
typedef struct observe_use {
    size_t tensor; /* index in gguf.tensors */
    const observe_site *site;
} observe_use;

typedef struct observer {
    const gguf *g; /* of the model; outlives the observer */
    observe_site **sites;
    observe_use *uses;
    size_t n_sites, cap_sites, n_uses, cap_uses;
} observer;

void observer_open(observer *o, const gguf *g);
void observer_close(observer *o);
/* All sums are 0 again. */
void observer_clear(observer *o);

/* A new site; NULL without memory. It stays where it is until the observer is closed. */
observe_site *observer_add(observer *o, size_t n_mat, size_t n_cols, bool experts);
/* Notes that a weight is multiplied with a site's input; parts of one tensor count once. False without
 * memory. A weight that lies in no tensor of the model is passed over. */
bool observer_use(observer *o, const observe_site *site, const weight *w);

#endif

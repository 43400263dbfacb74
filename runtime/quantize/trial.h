/* Quantizing one tensor in memory: the bytes it would have in a file, and how far they are off. Used by
 * search.c. */
#ifndef LEAT_RUNTIME_QUANTIZE_TRIAL_H
#define LEAT_RUNTIME_QUANTIZE_TRIAL_H

#include "kernels/kernels.h"
#include "loader/gguf.h"
#include "runtime/pool.h"

typedef struct trial {
    const kernels *k;
    pool *pool;
    const gguf_tensor *t;
    uint32_t to;
    const float *importance; /* (ne[2], ne[0]) or NULL */
    uint8_t *out;            /* all rows as `to`, or NULL */
    size_t step;             /* every step-th row is looked at; 1 where there is `out` */
    double *error;           /* the sum over all rows of importance * (difference)^2, or NULL */
    double *energy;          /* the same of the tensor itself, or NULL */
} trial;

/* Rows that take no more than `values` values: the step for that. */
size_t trial_step(const gguf_tensor *t, size_t values);
/* The same bytes and sums for any number of workers. */
leat_status trial_run(const trial *r, leat_error *e);

#endif

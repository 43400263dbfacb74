/* Mixed precision by search: a type for each tensor so that the file keeps to a size and the model changes as
 * little as it can. What a type does to a tensor is its weighted error, brought to a common scale by measured
 * divergences (search_measure.c); the best combination is a knapsack (knapsack.h), which is then improved by
 * exchanges that are measured as a whole (search_refine.c). Between quantize_plan.c, which says what may be
 * chosen, and quantize.c, which carries it out. */
#ifndef LEAT_RUNTIME_QUANTIZE_SEARCH_H
#define LEAT_RUNTIME_QUANTIZE_SEARCH_H

#include "divergence.h"
#include "quantize_plan.h"
#include "runtime/model.h"
#include "runtime/pool.h"

enum { SEARCH_TYPES_MAX = 32 };

/* A tensor whose type is to be found. */
typedef struct candidate {
    size_t tensor; /* in gguf.tensors */
    size_t group;  /* those of a group are measured together */
    float *importance;
    double energy;
    size_t n; /* types that suit it, in ascending order of bytes */
    uint32_t type[SEARCH_TYPES_MAX];
    uint64_t bytes[SEARCH_TYPES_MAX];
    double error[SEARCH_TYPES_MAX]; /* weighted */
    double cost[SEARCH_TYPES_MAX];  /* divergence that it is thought to add, in nats */
    uint32_t choice;
} candidate;

typedef struct search {
    quantize_plan *plan;
    const leat_quantize_params *params;
    const kernels *k;
    pool *pool;
    candidate *c;
    size_t n, n_groups;
    uint64_t budget;   /* bytes of the candidates */
    leat_model *model; /* the original; NULL without a calibration text */
    divergence *divergence;
    gguf variant; /* the original's description with other tensors in it */
    gguf_tensor *tensors;
    uint32_t *index;    /* of their names */
    uint8_t **blocks;   /* (n) of candidates in the variant; NULL: as in the original */
    size_t done, steps; /* progress */
} search;

/* Fills in plan->formats, and the summary's bytes. */
leat_status search_types(quantize_plan *plan, const leat_quantize_params *params, const kernels *k, pool *p,
                         leat_error *e);

/* ---- inside ---- */

/* One step further; LEAT_E_CANCELLED when the caller wants out. */
leat_status search_report(search *s, leat_error *e);

/* search_measure.c: puts candidate i into the variant as its type `choice`; SIZE_MAX: as in the original. */
leat_status search_put(search *s, size_t i, size_t choice, leat_error *e);
/* Mean divergence of the variant as it is. */
leat_status search_divergence(search *s, double *mean, leat_error *e);
/* How many measurements search_costs makes. */
size_t search_measurements(const search *s);
/* Fills in cost of every candidate and type. */
leat_status search_costs(search *s, leat_error *e);

/* search_refine.c: measured exchanges; candidates' choices are within the budget before and after. */
leat_status search_refine(search *s, size_t trials, leat_error *e);

#endif

/* Sums over the counted tokens of a text and what is told of them: perplexity, and how far one model is from
 * another. Definitions and errors are llama.cpp's: an error is the standard deviation of a mean. */
#ifndef LEAT_TOOLS_STATS_H
#define LEAT_TOOLS_STATS_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/leat.h"

#include "json.h"

typedef struct estimate {
    double value, error;
} estimate;

typedef struct mean { /* of numbers that are added one by one */
    double sum, squares;
    size_t n;
} mean;
void mean_add(mean *m, double x);
estimate mean_of(const mean *m);

/* exp of the mean of minus log probabilities. */
estimate perplexity_of(const mean *surprise);
/* A share of n that is `hits`. */
estimate share_of(size_t hits, size_t n);

typedef struct divergence {
    mean surprise, base_surprise; /* minus the log probability of the token that comes */
    double both;                  /* sum of products of the two */
    mean kl;                      /* nats */
    mean dp, dp_squared;          /* probability of the token that comes, less the base's */
    size_t n, same_top, capacity;
    float *kls, *dps; /* (n) */
} divergence;

bool divergence_add(divergence *d, const leat_difference *x); /* false: no memory */
void divergence_free(divergence *d);
/* Of values that are sorted ascending; fraction 0 .. 1, between two values in proportion. */
double percentile(const float *sorted, size_t n, double fraction);
void divergence_sort(divergence *d); /* before percentiles are asked for */
/* Of ln(perplexity / base's): errors of the two are taken together, as they come from the same tokens. */
estimate divergence_log_ratio(const divergence *d);
estimate divergence_dp_rms(const divergence *d);

/* Everything, for people and for programs (members of the object that is open). Sorts. */
void divergence_print(divergence *d, const char *base);
void divergence_json(divergence *d, json *j);
void json_estimate(json *j, const char *name, estimate e); /* NAME and NAME_error */

#endif

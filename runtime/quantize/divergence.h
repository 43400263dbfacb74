/* How far a changed model is from the original: the mean Kullback-Leibler divergence of its next-token
 * probabilities on a text, KL(original || changed) in nats. Used by search.c. */
#ifndef LEAT_RUNTIME_QUANTIZE_DIVERGENCE_H
#define LEAT_RUNTIME_QUANTIZE_DIVERGENCE_H

#include "runtime/leat.h"

typedef struct divergence divergence;

typedef struct divergence_params {
    const leat_token *tokens; /* (n_tokens); the parts of it that are used are copied */
    size_t n_tokens;
    uint32_t n_ctx;    /* tokens of a chunk */
    size_t max_chunks; /* spread evenly over the text */
    uint32_t n_threads;
} divergence_params;

/* Runs the original. Memory is a float for each token used and word of the vocabulary, at most half a GiB:
 * fewer chunks are used where the vocabulary is large. */
leat_status divergence_open(leat_model *original, const divergence_params *p, divergence **out,
                            leat_error *e);
void divergence_close(divergence *d);
/* Tokens of one measurement. */
size_t divergence_tokens(const divergence *d);
/* The same to the last bit for any number of threads. */
leat_status divergence_measure(divergence *d, leat_model *changed, double *mean, leat_error *e);

#endif

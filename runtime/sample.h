/* Picking the next token from logits: repeat penalty, top-k, top-p, min-p, temperature, a draw. Behind
 * leat_sampler_* (api_sample.c). A sampler belongs to one thread at a time; after sampler_open nothing is
 * allocated. Total: any bit pattern may stand in the logits. NaN counts as -Inf, and a token at -Inf is never
 * picked; a token at +Inf has all the probability, shared evenly if there are several. The same seed,
 * parameters and logits give the same tokens. */
#ifndef LEAT_RUNTIME_SAMPLE_H
#define LEAT_RUNTIME_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "leat.h"

/* One token that is still in the running. Its probability is weight / total. */
typedef struct sampler_candidate {
    uint32_t id;
    union {
        uint32_t key; /* while sorting: ascending keys are descending logits */
        float weight;
    };
} sampler_candidate;

extern const leat_sampler_params sampler_defaults; /* llama.cpp's */

/* Checks the parameters; params may be NULL for the defaults. */
leat_status sampler_open(uint32_t n_vocab, const leat_sampler_params *params, leat_sampler **out,
                         leat_error *e);
void sampler_close(leat_sampler *s); /* NULL is fine */

uint32_t sampler_n_vocab(const leat_sampler *s);
uint32_t sampler_seed(const leat_sampler *s);

/* Remembers a token for the repeat penalty; one out of range is ignored. O(1). */
void sampler_accept(leat_sampler *s, int32_t token);

/* What a draw chooses from: *out has *n >= 1 candidates, valid until the next call, whose weights add up to
 * *total > 0. logits: (n_vocab); n_ctx: how far back a repeat_last_n of -1 looks. LEAT_E_NUMERIC if every
 * logit is NaN or -Inf. */
leat_status sampler_distribution(leat_sampler *s, const float *logits, uint32_t n_ctx,
                                 const sampler_candidate **out, size_t *n, double *total, leat_error *e);

/* Draws a token; does not accept it. */
leat_status sampler_pick(leat_sampler *s, const float *logits, uint32_t n_ctx, int32_t *out, leat_error *e);

#endif

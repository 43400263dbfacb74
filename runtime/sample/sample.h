/* Picking the next token from logits: the chain of steps that leat_sampler_params describes, then a draw.
 * Behind leat_sampler_* (api_sample.c). A sampler belongs to one thread at a time; after sampler_open nothing
 * is allocated but by a context longer than the model's own, once, and by a grammar. Total: any bit pattern
 * may stand in the logits. NaN counts as -Inf, and a token at -Inf is never picked; a token at +Inf has all
 * the probability, shared evenly if there are several. The same seed, parameters and logits give the same
 * tokens. */
#ifndef LEAT_RUNTIME_SAMPLE_SAMPLE_H
#define LEAT_RUNTIME_SAMPLE_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/leat.h"
#include "runtime/text/vocab.h"

/* One token that is still in the running. Its probability is weight / total. */
typedef struct sampler_candidate {
    uint32_t id;
    union {
        float logit; /* while the chain runs */
        float weight;
    };
} sampler_candidate;

extern const leat_sampler_params sampler_defaults; /* llama.cpp's */

/* Checks the parameters; params may be NULL for the defaults. v tells of sequence breakers and of tokens that
 * end a generation: NULL where no parameter asks for them. n_ctx: how much of the past to have room for where
 * a window is the context. */
leat_status sampler_open(uint32_t n_vocab, const vocab *v, uint32_t n_ctx, const leat_sampler_params *params,
                         leat_sampler **out, leat_error *e);
void sampler_close(leat_sampler *s); /* NULL is fine */
void sampler_reset(leat_sampler *s);

uint32_t sampler_n_vocab(const leat_sampler *s);
uint32_t sampler_seed(const leat_sampler *s);

/* Remembers a token for the penalties; one out of range is ignored. O(1). */
void sampler_accept(leat_sampler *s, int32_t token);

/* What a draw chooses from: *out has *n >= 1 candidates, valid until the next call, whose weights add up to
 * *total > 0. logits: (n_vocab); n_ctx: how far back a window of -1 looks. Advances the random numbers of xtc
 * only. LEAT_E_NUMERIC if every logit is NaN or -Inf. */
leat_status sampler_distribution(leat_sampler *s, const float *logits, uint32_t n_ctx,
                                 const sampler_candidate **out, size_t *n, double *total, leat_error *e);

/* Draws a token; does not accept it. */
leat_status sampler_pick(leat_sampler *s, const float *logits, uint32_t n_ctx, int32_t *out, leat_error *e);

/* Tells the grammar of a token just picked; LEAT_E_LIMIT if it becomes too ambiguous. */
leat_status sampler_grammar_accept(leat_sampler *s, int32_t token, leat_error *e);

/* ---- order.c ---- */

/* The step of that name (n bytes; llama.cpp's other spellings too) or letter, LEAT_STEP_END if none. */
leat_sampler_step sampler_step_of_name(const char *name, size_t n);
leat_sampler_step sampler_step_of_letter(char letter);

#endif

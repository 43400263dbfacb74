/* Runs a plan: the memory that passes need, and the walk of all workers through the stages. Owned by a
 * session, used by one thread at a time. After runner_open, nothing here allocates, locks, or calls the
 * system (but to wake sleeping workers). */
#ifndef LEAT_RUNTIME_RUN_H
#define LEAT_RUNTIME_RUN_H

#include "pool.h"
#include "stage.h"

typedef struct runner runner;

/* For passes of up to n_batch tokens that keep up to n_out_max rows of logits. plan, kernels, rope
 * (ROPE_SETS) and kv stay the caller's and must outlive the runner. */
leat_status runner_open(const plan *p, const kernels *k, const rope_table *rope, const kv_cache *kv,
                        size_t n_batch, size_t n_out_max, uint32_t n_threads, runner **out, leat_error *e);
void runner_close(runner *r); /* NULL is fine */

/* One pass over n_tokens <= n_batch tokens at position pos, keeping logits of the last n_out.
 * LEAT_E_CANCELLED when *cancel became true on the way, LEAT_E_NUMERIC when a wanted logit is not finite;
 * either way the cache beyond pos holds nothing of use. */
leat_status runner_pass(runner *r, const int32_t *tokens, size_t n_tokens, size_t pos, size_t n_out,
                        const atomic_bool *cancel, leat_error *e);
/* The tokens of the next pass are n texts that do not see each other, the longest of `longest` tokens; NULL,
 * as at first: they go on with the one that the cache holds. positions: of each token in its text. */
void runner_set_spans(runner *r, const span *spans, size_t n, size_t longest, const uint32_t *positions);
/* Where recurrent layers find what they remember, and where they put it, in the passes from now on. */
void runner_set_state(runner *r, const float *state, float *next);

/* (n_embd) of a token of the last pass of a plan for embeddings. */
const float *runner_hidden(const runner *r, size_t token);
/* (n_out, n_vocab) of the last pass that asked for any. */
const float *runner_logits(const runner *r);
uint32_t runner_threads(const runner *r);
size_t runner_bytes(const runner *r);

/* What runner_open would allocate, for a look before the leap; SIZE_MAX if it does not fit a size_t. */
size_t runner_size(const plan *p, const kernels *k, size_t n_batch, size_t n_out_max, uint32_t n_threads);

#endif

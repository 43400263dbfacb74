/* Runs a plan: the memory that passes need, and the walk of all workers through the stages. Owned by a
 * session, used by one thread at a time. After runner_open, nothing here allocates, locks, or calls the
 * system (but to sleep, to wake sleeping workers and to look at the clock). */
#ifndef LEAT_RUNTIME_RUN_H
#define LEAT_RUNTIME_RUN_H

#include "pool.h"
#include "stage.h"

typedef struct runner runner;

/* Workers for passes of one token and of many; 0: as many as prove best (tune.h). */
typedef struct run_threads {
    uint32_t one, many;
} run_threads;
/* How many there are at most. */
uint32_t run_threads_most(run_threads t);

/* For passes of up to n_batch tokens that keep up to n_out_max rows of logits. plan, kernels, rope
 * (ROPE_SETS) and kv stay the caller's and must outlive the runner. */
leat_status runner_open(const plan *p, const kernels *k, const rope_table *rope, const kv_cache *kv,
                        size_t n_batch, size_t n_out_max, run_threads threads, runner **out, leat_error *e);
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
/* Workers that passes have at present, be it of many tokens or of one. */
uint32_t runner_threads(const runner *r, bool many);
size_t runner_bytes(const runner *r);

/* What runner_open would allocate, for a look before the leap; SIZE_MAX if it does not fit a size_t. */
size_t runner_size(const plan *p, const kernels *k, size_t n_batch, size_t n_out_max, uint32_t n_threads);

/* False in a child that fork made, where it can only be closed. */
bool runner_here(const runner *r);
/* As if a pass had left this one row of logits, (n_vocab). */
void runner_put_logits(runner *r, const void *row);

#endif

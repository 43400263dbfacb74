/* An independent forward pass: plain loops in double precision over weights decoded through the public file
 * API, sharing no code with the engine. What the engine computes is compared with this. */
#ifndef LEAT_TESTS_REFERENCE_H
#define LEAT_TESTS_REFERENCE_H

#include "runtime/leat.h"
#include "tests/harness/arch_spec.h"

/* Logits (n, n_vocab) of n tokens from position 0 for a model of the described architecture (NULL: llama), in
 * a session with a context of n_ctx; NULL on any error. The caller frees. */
double *reference_logits_of(const char *path, const arch_spec *spec, const leat_token *tokens, size_t n,
                            size_t n_ctx, size_t *n_vocab);
/* Hidden states (n, width) behind the last norm: what embeddings are pooled from. */
double *reference_hidden_of(const char *path, const arch_spec *spec, const leat_token *tokens, size_t n,
                            size_t *width);
double *reference_logits(const char *path, const leat_token *tokens, size_t n, size_t *n_vocab);

/* What the runs from now on multiply tensors with, NULL: nothing is kept. Squares of the inputs, summed for
 * each column of each matrix of a tensor; parts of a tensor count each for itself, which leaves means alone.
 */
typedef struct reference_input {
    char name[64];
    size_t n_mat, cols;
    double *sums, *counts; /* (n_mat, cols), (n_mat) */
} reference_input;
enum { REFERENCE_INPUTS_MAX = 1024 };
typedef struct reference_inputs {
    reference_input of[REFERENCE_INPUTS_MAX];
    size_t n;
} reference_inputs;
void reference_watch(reference_inputs *to);
void reference_inputs_free(reference_inputs *r);

#endif

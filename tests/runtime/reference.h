/* An independent forward pass: plain loops in double precision over weights decoded through the public file
 * API, sharing no code with the engine. What the engine computes is compared with this. */
#ifndef LEAT_TESTS_REFERENCE_H
#define LEAT_TESTS_REFERENCE_H

#include "runtime/leat.h"

/* Logits (n, n_vocab) of n tokens from position 0 for a llama-like model without rope scaling; NULL on any
 * error. The caller frees. */
double *reference_logits(const char *path, const leat_token *tokens, size_t n, size_t *n_vocab);

#endif

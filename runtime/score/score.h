/* What logits say of a next token, and how far two sets of logits are from each other: the arithmetic of
 * perplexity and of measuring what a smaller model lost. Pure functions of their arguments, called by
 * api_score.c and by whatever chooses types by what they cost. Probabilities are the softmax of logits, which
 * need not be normalized, so that logarithms of probabilities serve as well; logarithms are natural.
 * -INFINITY is a token that can't come. The results are the same bits on every machine. */
#ifndef LEAT_RUNTIME_SCORE_H
#define LEAT_RUNTIME_SCORE_H

#include <stddef.h>

#include "runtime/leat.h"

/* log(sum of exp(x)), n > 0: x[i] minus this is the logarithm of i's probability. NaN if no x is finite. */
double score_log_sum(const float *x, size_t n);

/* Kullback-Leibler divergence of the distribution of `logits` from that of `base`, n > 0 values each:
 * sum of p_base * log(p_base / p). Never negative. */
double score_kl(const float *base, const float *logits, size_t n);

/* All of leat_difference. token < n. With log_probs, base holds logarithms of probabilities that are taken as
 * they are, though they need not add up to 1: -INFINITY is one that is not known, and left out. */
void score_compare(const float *base, bool log_probs, const float *logits, size_t n, size_t token,
                   leat_difference *out);

#endif

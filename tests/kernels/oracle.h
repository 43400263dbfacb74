/* What the kernels ought to compute, in long double, written from the drawings of the formats and sharing no
 * code with the reference: values and magnitudes of weights and activations, and products of the two. */
#ifndef LEAT_TESTS_KERNELS_ORACLE_H
#define LEAT_TESTS_KERNELS_ORACLE_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* A number, and two sums of the magnitudes of the terms it is made of, which rounding errors are relative to.
 * magnitude: |d sc q| + |dmin mn| for a weight with a minimum, else the number's own. lanes: the same with q
 * as an unsigned code whose zero point is a term of its own, |d sc| (q + zero) + |d sc| zero. */
typedef struct exact {
    long double value, magnitude, lanes;
} exact;

long double oracle_half(uint16_t h); /* of a finite half */
exact oracle_weight(uint32_t format, const void *row, size_t i);
long double oracle_activation(act_kind kind, const void *row, size_t k, size_t i);

/* The k weights of a row, and their product with an activation row. */
void oracle_row(uint32_t format, const void *row, size_t k, exact *w);
exact oracle_dot(const exact *w, act_kind kind, const void *act, size_t k);

/* How far a float kernel may be from oracle_dot: derived in oracle.c. The magnitude to give is that of the
 * product for panels, where panel.h promises exact integer sums of a fold; matvec may also spread the codes
 * and their zero point over lanes that become floats each by itself, and is measured against `lanes`. */
double oracle_dot_bound(act_kind kind, size_t k, double magnitude);

#endif

/* What the kernels ought to compute, in long double, written from the drawings of the formats and sharing no
 * code with the reference: values and magnitudes of weights and activations, and products of the two. */
#ifndef LEAT_TESTS_KERNELS_ORACLE_H
#define LEAT_TESTS_KERNELS_ORACLE_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* A number and the sum of the magnitudes of the terms it is made of (|d sc q| + |dmin mn| for a weight with a
 * minimum): what rounding errors are relative to. */
typedef struct exact {
    long double value, magnitude;
} exact;

long double oracle_half(uint16_t h); /* of a finite half */
exact oracle_weight(uint32_t format, const void *row, size_t i);
long double oracle_activation(act_kind kind, const void *row, size_t k, size_t i);

/* Row w (k weights) times activation row. */
exact oracle_dot(uint32_t format, const void *w, act_kind kind, const void *act, size_t k);

/* How far a float kernel may be from oracle_dot: derived in oracle.c. */
double oracle_dot_bound(act_kind kind, size_t k, double magnitude);

#endif

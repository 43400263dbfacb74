/* The one sum every integer kernel of the reference is made of. */
#ifndef LEAT_KERNELS_C_DOT_H
#define LEAT_KERNELS_C_DOT_H

#include <stdint.h>

/* Exact: at most 32 * 128 * 127 for the int8 codes of a sub-block. */
static inline int32_t dot_i8(const int8_t *a, const int8_t *b, int n) {
    int32_t sum = 0;
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

#endif

/* How a scale enters a panel. Included by the files of this folder that unpack. */
#ifndef LEAT_KERNELS_X86_AVXVNNI_SCALE_H
#define LEAT_KERNELS_X86_AVXVNNI_SCALE_H

#include "kernels/x86/avx2/avx2.h"

/* Scale s of a fold, and what takes the magic number away from its sum: exact, as s has no more than the 11
 * bits of a half float times the 8 bits of a sub-block's scale and the factor has two. So
 * fma(12582912 + n, s, it) rounds once, as n * s does. */
INLINE void store_scale(panel *p, size_t fold, int v, __m256 s) {
    const size_t at = ROWS * fold + 8 * (size_t)v;
    _mm256_store_ps(p->scale + at, s);
    _mm256_store_ps((float *)(void *)(p->aux + at), _mm256_mul_ps(s, _mm256_set1_ps(-12582912.0f)));
}

#endif

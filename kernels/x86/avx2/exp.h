/* exp() of eight floats, for ops.c and attend.c. Included by these only. */
#ifndef LEAT_KERNELS_X86_AVX2_EXP_H
#define LEAT_KERNELS_X86_AVX2_EXP_H

#include "avx2.h"

/* x = n ln 2 + r, |r| <= ln 2 / 2: returns e^r and n. ln 2 is split so that n times its high part is exact.
 * The polynomial is the minimax one for the relative error with its first two terms fixed at 1 + r (Remez
 * exchange; 3.1e-9). */
INLINE __m256 exp_reduced(__m256 x, __m256 *n) {
    *n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p+0f)),
                         _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(*n, _mm256_set1_ps(0x1.62e4p-1f), x);
    r = _mm256_fnmadd_ps(*n, _mm256_set1_ps(0x1.7f7d1cp-20f), r);
    __m256 p = _mm256_set1_ps(0x1.6a2352p-10f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.123a6cp-7f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.5558f4p-5f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.55549p-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.fffffcp-2f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1));
    return _mm256_fmadd_ps(p, r, _mm256_set1_ps(1));
}

/* 2^n, n in -127 .. 127; 2^-127 is given as 0. */
INLINE __m256 power_of_two(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

/* e^x for any x: denormal results, 0, Inf and NaN where they belong. */
INLINE __m256 exp_any(__m256 x) {
    __m256 n;
    /* beyond +-110 nothing changes any more; the order of operands keeps NaN */
    x = _mm256_min_ps(_mm256_set1_ps(110), _mm256_max_ps(_mm256_set1_ps(-110), x));
    __m256 p = exp_reduced(x, &n);
    __m256i all = _mm256_cvtps_epi32(n), some = _mm256_srai_epi32(all, 1);
    return _mm256_mul_ps(_mm256_mul_ps(p, power_of_two(some)), power_of_two(_mm256_sub_epi32(all, some)));
}

/* e^x for x <= 0; 0 instead of anything below 2^-126. */
INLINE __m256 exp_not_positive(__m256 x) {
    __m256 n;
    __m256 p = exp_reduced(_mm256_max_ps(_mm256_set1_ps(-88), x), &n);
    return _mm256_mul_ps(p, power_of_two(_mm256_cvtps_epi32(n)));
}

#endif

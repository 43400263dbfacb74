/* The products of matvec, with AVX2's instructions or with AVX-VNNI's: which, the flags say that a file is
 * compiled with. Included by matvec_q.h and matvec_k.h. */
#ifndef LEAT_KERNELS_X86_AVX2_DOT_H
#define LEAT_KERNELS_X86_AVX2_DOT_H

#include "avx2.h"

#ifdef __AVXVNNI__

/* Sums of four products u * q + v * p, for each dword. */
INLINE __m256i dot_codes(__m256i u, __m256i q, __m256i v, __m256i p) {
    return _mm256_dpbusd_avx_epi32(_mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), u, q), v, p);
}

/* Sums of four products w * q with a signed w, plus Q8_ZERO_POINT times the sum of q. */
INLINE __m256i dot_q8(__m256i w, __m256i q) {
    return _mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), _mm256_xor_si256(w, _mm256_set1_epi8((char)0x80)),
                                   q);
}
#    define Q8_ZERO_POINT 128.0f

/* sum + codes * q * scale; pairs of products are below 2^15 and have one scale, a word. */
INLINE __m256i add_scaled(__m256i sum, __m256i codes, __m256i q, __m256i scale) {
    return _mm256_dpwssd_avx_epi32(sum, _mm256_maddubs_epi16(codes, q), scale);
}

#else

/* Codes of up to 5 bits: at most 2 * 2 * 31 * 127 in an int16. */
INLINE __m256i dot_codes(__m256i u, __m256i q, __m256i v, __m256i p) {
    __m256i sum = _mm256_add_epi16(_mm256_maddubs_epi16(u, q), _mm256_maddubs_epi16(v, p));
    return _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
}

/* vpmaddubsw wants one side unsigned, so the sign of w moves to the activation: 2 * 128 * 127 fits in an
 * int16. */
INLINE __m256i dot_q8(__m256i w, __m256i q) {
    __m256i sum = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
    return _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
}
#    define Q8_ZERO_POINT 0.0f

INLINE __m256i add_scaled(__m256i sum, __m256i codes, __m256i q, __m256i scale) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(codes, q), scale));
}

#endif
#endif

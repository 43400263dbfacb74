/* The multiplier roof of AVX-512: fused multiply-adds on 512 bits, and nothing else. Bytes have that of AVX2.
 */
#include <immintrin.h>

#include "avx512.h"

#define KEEP(v)   __asm__ volatile("" : "+v"(v))
#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

uint64_t peak_f32_avx512(uint64_t rounds) {
    __m512 x = _mm512_set1_ps(0.5f), w = _mm512_set1_ps(0.25f);
#define ZERO(i) __m512 s##i = _mm512_setzero_ps();
#define STEP(i)                                                                                              \
    s##i = _mm512_fmadd_ps(w, x, s##i);                                                                      \
    KEEP(s##i);
    TWELVE(ZERO)
    for (uint64_t r = 0; r < rounds; r++) {
        TWELVE(STEP)
    }
#undef ZERO
#undef STEP
    return rounds * 12 * 16 * 2;
}

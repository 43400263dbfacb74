/* The multiplier roof of AVX-VNNI: vpdpbusd on 256 bits, and nothing else. */
#include <immintrin.h>

#include "avxvnni.h"

#define KEEP(v)   __asm__ volatile("" : "+x"(v))
#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

uint64_t peak_q8_avxvnni(uint64_t rounds) {
    __m256i x = _mm256_set1_epi8(1), w = _mm256_set1_epi8(2);
#define ZERO(i) __m256i s##i = _mm256_setzero_si256();
#define STEP(i)                                                                                              \
    s##i = _mm256_dpbusd_avx_epi32(s##i, w, x);                                                              \
    KEEP(s##i);
    TWELVE(ZERO)
    for (uint64_t r = 0; r < rounds; r++) {
        TWELVE(STEP)
    }
#undef ZERO
#undef STEP
    return rounds * 12 * 32 * 2;
}

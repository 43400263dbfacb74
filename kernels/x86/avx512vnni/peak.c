/* The multiplier roof of AVX-512 VNNI: vpdpbusd on 512 bits, and nothing else. */
#include <immintrin.h>

#include "avx512vnni.h"

#define KEEP(v)   __asm__ volatile("" : "+v"(v))
#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

uint64_t peak_q8_avx512vnni(uint64_t rounds) {
    __m512i x = _mm512_set1_epi8(1), w = _mm512_set1_epi8(2);
#define ZERO(i) __m512i s##i = _mm512_setzero_si512();
#define STEP(i)                                                                                              \
    s##i = _mm512_dpbusd_epi32(s##i, w, x);                                                                  \
    KEEP(s##i);
    TWELVE(ZERO)
    for (uint64_t r = 0; r < rounds; r++) {
        TWELVE(STEP)
    }
#undef ZERO
#undef STEP
    return rounds * 12 * 64 * 2;
}

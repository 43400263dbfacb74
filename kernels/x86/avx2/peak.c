/* The multiplier roof of AVX2: fused multiply-adds, and for bytes vpmaddubsw with an addition of words, which
 * panel_mul.c can't do without. Nothing but registers: enough of them that no result is waited for. */
#include "avx2.h"

/* Keeps a register's value from being known, or the work on it from being moved. */
#define KEEP(v)   __asm__ volatile("" : "+x"(v))
#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

uint64_t peak_f32_avx2(uint64_t rounds) {
    __m256 x = _mm256_set1_ps(0.5f), w = _mm256_set1_ps(0.25f);
#define ZERO(i) __m256 s##i = _mm256_setzero_ps();
#define STEP(i)                                                                                              \
    s##i = _mm256_fmadd_ps(w, x, s##i);                                                                      \
    KEEP(s##i);
    TWELVE(ZERO)
    for (uint64_t r = 0; r < rounds; r++) {
        TWELVE(STEP)
    }
#undef ZERO
#undef STEP
    return rounds * 12 * 8 * 2;
}

uint64_t peak_q8_avx2(uint64_t rounds) {
    __m256i x = _mm256_set1_epi8(1), w = _mm256_set1_epi8(2);
#define ZERO(i) __m256i s##i = _mm256_setzero_si256();
#define STEP(i)                                                                                              \
    {                                                                                                        \
        KEEP(w); /* the product is not one that is known already */                                          \
        s##i = _mm256_add_epi16(s##i, _mm256_maddubs_epi16(w, x));                                           \
        KEEP(s##i);                                                                                          \
    }
    TWELVE(ZERO)
    for (uint64_t r = 0; r < rounds; r++) {
        TWELVE(STEP)
    }
#undef ZERO
#undef STEP
    return rounds * 12 * 32 * 2;
}

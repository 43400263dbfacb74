/* What the multipliers of this machine can do with the instructions of a set, for bench_kernels: independent
 * sums in registers and nothing else. Products of int8 are counted as the set's kernels make them: vpmaddubsw
 * and the addition that must follow it with AVX2, vpdpbusd with the sets that have it. */
#ifndef LEAT_TESTS_BENCH_PEAKS_H
#define LEAT_TESTS_BENCH_PEAKS_H

#include <string.h>
#include <time.h>

/* GOP/s, a multiplication and an addition being two; 0: not known for this set. */
typedef struct peaks {
    double int8, f32;
} peaks;

#ifdef __x86_64__
#    include <immintrin.h>

/* Ten sums hide the latency of any of these. */
#    define PEAK_EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9)
#    define PEAK_KEEP(i) __asm__ volatile("" : "+v"(s##i));
#    define PEAK_ROUNDS  400000
/* Best of some runs of PEAK_ROUNDS times ten steps of so many operations. */
#    define PEAK(name, sets, type, zero, step, operations)                                                   \
        __attribute__((target(sets))) static double name(void) {                                             \
            double best = 0;                                                                                 \
            for (int run = 0; run < 5; run++) {                                                              \
                type x = zero, w = zero;                                                                     \
                __asm__ volatile("" : "+v"(x), "+v"(w));                                                     \
                PEAK_EACH(PEAK_SUM_##step)                                                                   \
                struct timespec a, b;                                                                        \
                clock_gettime(CLOCK_MONOTONIC, &a);                                                          \
                for (int i = 0; i < PEAK_ROUNDS; i++) {                                                      \
                    PEAK_EACH(PEAK_##step)                                                                   \
                }                                                                                            \
                clock_gettime(CLOCK_MONOTONIC, &b);                                                          \
                PEAK_EACH(PEAK_KEEP)                                                                         \
                double ns = (double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec);           \
                double rate = 10.0 * PEAK_ROUNDS * (operations) / ns;                                        \
                if (rate > best) best = rate;                                                                \
            }                                                                                                \
            return best;                                                                                     \
        }
#    define PEAK_SUM_MADD(i)  __m256i s##i = x;
#    define PEAK_SUM_DOT(i)   __m256i s##i = x;
#    define PEAK_SUM_FMA(i)   __m256 s##i = x;
#    define PEAK_SUM_DOT_Z(i) __m512i s##i = x;
#    define PEAK_SUM_FMA_Z(i) __m512 s##i = x;
/* each product is one of its own: x is said to change */
#    define PEAK_MADD(i)                                                                                     \
        __asm__ volatile("" : "+v"(x));                                                                      \
        s##i = _mm256_add_epi16(s##i, _mm256_maddubs_epi16(w, x));                                           \
        PEAK_KEEP(i)
#    define PEAK_DOT(i)                                                                                      \
        s##i = _mm256_dpbusd_avx_epi32(s##i, w, x);                                                          \
        PEAK_KEEP(i)
#    define PEAK_FMA(i)                                                                                      \
        s##i = _mm256_fmadd_ps(w, x, s##i);                                                                  \
        PEAK_KEEP(i)
#    define PEAK_DOT_Z(i)                                                                                    \
        s##i = _mm512_dpbusd_epi32(s##i, w, x);                                                              \
        PEAK_KEEP(i)
#    define PEAK_FMA_Z(i)                                                                                    \
        s##i = _mm512_fmadd_ps(w, x, s##i);                                                                  \
        PEAK_KEEP(i)
PEAK(peak_madd, "avx2,fma", __m256i, _mm256_setzero_si256(), MADD, 64)
PEAK(peak_dot, "avx2,fma,avxvnni", __m256i, _mm256_setzero_si256(), DOT, 64)
PEAK(peak_fma, "avx2,fma", __m256, _mm256_setzero_ps(), FMA, 16)
PEAK(peak_dot_zmm, "avx512f,avx512vnni", __m512i, _mm512_setzero_si512(), DOT_Z, 128)
PEAK(peak_fma_zmm, "avx512f", __m512, _mm512_setzero_ps(), FMA_Z, 32)

/* isa: the set of a kernel table that this machine can run. */
static inline peaks peaks_of(const char *isa) {
    if (!strcmp(isa, "avx2")) return (peaks){peak_madd(), peak_fma()};
    if (!strcmp(isa, "avxvnni")) return (peaks){peak_dot(), peak_fma()};
    if (!strcmp(isa, "avx512")) return (peaks){0, peak_fma_zmm()};
    if (!strcmp(isa, "avx512vnni")) return (peaks){peak_dot_zmm(), peak_fma_zmm()};
    if (!strcmp(isa, "amx")) return (peaks){0, peak_fma_zmm()};
    return (peaks){0, 0};
}
#else
static inline peaks peaks_of(const char *isa) {
    (void)isa;
    return (peaks){0, 0};
}
#endif

#endif

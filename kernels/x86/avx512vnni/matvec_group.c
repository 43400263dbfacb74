/* Matrix times vector for types of three bits and less, straight from mapped rows: the path of one token. Two
 * shapes: Q1_0 and Q2_0, whose scales are floats and meet those of ACT_Q8_32, and superblocks of 256, which
 * have integer sums and one float each, with ACT_Q8_256. Bound by arithmetic more than by memory. */
#include "avx512vnni.h"
#include "codes.h"
#include "rows.h"

/* ---- Q1_0, Q2_0 ---- */

/* 128 columns, their codes one too large. The blocks that are not there multiply nothing. */
VEC_INLINE void step_groups(sums *s, const uint8_t *p, const acts *a, size_t i, size_t left, codes_fn *codes,
                            scales_fn *scales) {
    const __mmask8 there = left ? 0x3 : 0xF;
    const __m512i first = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const __m512i second = _mm512_setr_epi32(2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m128 w = _mm_maskz_mov_ps(there, scales(p, 0));
    const __m512 scale = _mm512_castps128_ps512(_mm_mul_ps(w, _mm_maskz_loadu_ps(there, a->d + 4 * i)));
    const __m512i none = _mm512_setzero_si512();
    const int8_t *q = a->q + 128 * i;
    const __m512i x = _mm512_dpbusd_epi32(none, codes(p, 0, 1), _mm512_loadu_si512(q));
    const __m512i y = _mm512_dpbusd_epi32(none, codes(p, 1, 1), _mm512_loadu_si512(q + 64));
    s->dot = _mm512_fmadd_ps(_mm512_cvtepi32_ps(x), _mm512_permutexvar_ps(first, scale), s->dot);
    s->more = _mm512_fmadd_ps(_mm512_cvtepi32_ps(y), _mm512_permutexvar_ps(second, scale), s->more);
    add_rest4(s, w, _mm_maskz_loadu_ps(there, a->ds + 4 * i));
}

VEC_INLINE void step_q1_0(sums *s, const uint8_t *p, const acts *a, size_t i, size_t left) {
    step_groups(s, p, a, i, left, codes_q1_0, scales_q1_0);
}

VEC_INLINE void step_q2_0(sums *s, const uint8_t *p, const acts *a, size_t i, size_t left) {
    step_groups(s, p, a, i, left, codes_q2_0, scales_q2_0);
}

VEC_INLINE float finish_groups(const sums *s) {
    return vec_sum16(_mm512_add_ps(s->dot, s->more)) - vec_sum4(_mm256_castps256_ps128(s->rest));
}

MATVEC(q1_0, step_q1_0, finish_groups, 1, sizeof(block_q1_0), 128)
MATVEC(q2_0, step_q2_0, finish_groups, 2, sizeof(block_q2_0), 64)

/* ---- superblocks ---- */

/* What a superblock adds up to, before its d (and dmin). */
typedef struct block_sums {
    __m512i dot;
    __m256i min;
} block_sums;
typedef block_sums block_fn(const uint8_t *b, const int8_t *q, const int16_t *s16, const int16_t *s32);

#define EACH_64(X) X(0) X(1) X(2) X(3)

/* words: 16 scales of 16 columns. Codes are small enough for pairs of products to be words. */
VEC_INLINE __m512i dot_scaled(__m512i sum, const uint8_t *b, const int8_t *q, __m256i words, codes_fn *codes,
                              const int zero) {
    const __m512i index = _mm512_setr_epi64(0, 0, 0x0001000100010001, 0x0001000100010001, 0x0002000200020002,
                                            0x0002000200020002, 0x0003000300030003, 0x0003000300030003);
#define ADD(j)                                                                                               \
    sum =                                                                                                    \
        _mm512_dpwssd_epi32(sum, _mm512_maddubs_epi16(codes(b, j, zero), _mm512_loadu_si512(q + 64 * (j))),  \
                            _mm512_permutexvar_epi16(_mm512_add_epi16(index, _mm512_set1_epi16(4 * (j))),    \
                                                     _mm512_castsi256_si512(words)));
    EACH_64(ADD)
#undef ADD
    return sum;
}

VEC_INLINE __m256i load_words(const int16_t *p) {
    return _mm256_loadu_si256((const void *)p);
}

VEC_INLINE block_sums block_q2_k_sums(const uint8_t *b, const int8_t *q, const int16_t *s16,
                                      const int16_t *s32) {
    (void)s32;
    const __m256i both = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)b));
    const __m256i scales = _mm256_and_si256(both, _mm256_set1_epi16(15)), mins = _mm256_srli_epi16(both, 4);
    return (block_sums){dot_scaled(_mm512_setzero_si512(), b, q, scales, codes_q2_k, 0),
                        _mm256_madd_epi16(mins, load_words(s16))};
}

/* The zero point's share is -4 times the sums of 16 times their scales. */
VEC_INLINE block_sums block_q3_k_sums(const uint8_t *b, const int8_t *q, const int16_t *s16,
                                      const int16_t *s32) {
    (void)s32;
    const __m256i scales = _mm256_cvtepi8_epi16(scales_q3_k(b));
    const __m256i zero = _mm256_madd_epi16(_mm256_slli_epi16(scales, 2), load_words(s16));
    const __m512i start = _mm512_zextsi256_si512(_mm256_sub_epi32(_mm256_setzero_si256(), zero));
    return (block_sums){dot_scaled(start, b, q, scales, codes_q3_k, 4), _mm256_setzero_si256()};
}

VEC_INLINE block_sums ternary_sums(const uint8_t *b, const int8_t *q, const int16_t *s32, codes_fn *codes) {
    const __m128i zero = _mm_madd_epi16(_mm_loadu_si128((const void *)s32), _mm_set1_epi16(-1));
    __m512i sum = _mm512_zextsi128_si512(zero);
#define ADD(j) sum = _mm512_dpbusd_epi32(sum, codes(b, j, 1), _mm512_loadu_si512(q + 64 * (j)));
    EACH_64(ADD)
#undef ADD
    return (block_sums){sum, _mm256_setzero_si256()};
}

VEC_INLINE block_sums block_tq1_0_sums(const uint8_t *b, const int8_t *q, const int16_t *s16,
                                       const int16_t *s32) {
    (void)s16;
    return ternary_sums(b, q, s32, codes_tq1_0);
}

VEC_INLINE block_sums block_tq2_0_sums(const uint8_t *b, const int8_t *q, const int16_t *s16,
                                       const int16_t *s32) {
    (void)s16;
    return ternary_sums(b, q, s32, codes_tq2_0);
}

/* d_at: where d is, and after it dmin where there are minima. */
VEC_INLINE void step_superblock(sums *s, const uint8_t *p, const acts *a, size_t i, const size_t d_at,
                                const int has_min, block_fn *block) {
    const block_sums x = block(p, a->q + 256 * i, a->s16 + 16 * i, a->s32 + 8 * i);
    const int half = has_min ? vec_load_i32(p + d_at) : vec_load_u16(p + d_at);
    const __m128 scale = _mm_mul_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(half)), _mm_set1_ps(a->d[i]));
    s->dot = _mm512_fmadd_ps(_mm512_cvtepi32_ps(x.dot), _mm512_broadcastss_ps(scale), s->dot);
    if (has_min)
        s->rest = _mm256_fmadd_ps(_mm256_cvtepi32_ps(x.min), _mm256_broadcastss_ps(_mm_movehdup_ps(scale)),
                                  s->rest);
}

VEC_INLINE float finish_superblocks(const sums *s) {
    return vec_sum16(s->dot) -
           vec_sum4(_mm_add_ps(_mm256_castps256_ps128(s->rest), _mm256_extractf128_ps(s->rest, 1)));
}

#define MATVEC_SUPERBLOCKS(name, has_min)                                                                    \
    VEC_INLINE void step_##name(sums *s, const uint8_t *p, const acts *a, size_t i, size_t left) {           \
        (void)left;                                                                                          \
        step_superblock(s, p, a, i, offsetof(block_##name, d), has_min, block_##name##_sums);                \
    }                                                                                                        \
    MATVEC(name, step_##name, finish_superblocks, 1, sizeof(block_##name), 256)
MATVEC_SUPERBLOCKS(q2_k, 1)
MATVEC_SUPERBLOCKS(q3_k, 0)
MATVEC_SUPERBLOCKS(tq1_0, 0)
MATVEC_SUPERBLOCKS(tq2_0, 0)

/* matvec for Q4_K, Q5_K and Q6_K times ACT_Q8_256. One row at a time, front to back, straight from where the
 * file is mapped. Codes are unsigned and at most 6 bits, so vpmaddubsw can't saturate; the integer scale of
 * each sub-block is multiplied in by the vpmaddwd that widens, and only the sum over all 256 values becomes a
 * float. Called through the kernel table only; reads no byte beyond the last block of a row. */
#include "avx2.h"

#include "kernels/blocks.h"

/* For vpshufb: byte j (zero-extended), or word j, of each half to all eight words of that half. */
#define SIXTEEN_TIMES(lo, hi)                                                                                \
    lo, hi, lo, hi, lo, hi, lo, hi, lo, hi, lo, hi, lo, hi, lo, hi, lo, hi, lo, hi, lo, hi, lo, hi, lo, hi,  \
        lo, hi, lo, hi, lo, hi
static const _Alignas(32) int8_t byte_to_words[8][32] = {
    {SIXTEEN_TIMES(0, -1)}, {SIXTEEN_TIMES(1, -1)}, {SIXTEEN_TIMES(2, -1)}, {SIXTEEN_TIMES(3, -1)},
    {SIXTEEN_TIMES(4, -1)}, {SIXTEEN_TIMES(5, -1)}, {SIXTEEN_TIMES(6, -1)}, {SIXTEEN_TIMES(7, -1)}};
static const _Alignas(32) int8_t word_to_words[8][32] = {
    {SIXTEEN_TIMES(0, 1)}, {SIXTEEN_TIMES(2, 3)},   {SIXTEEN_TIMES(4, 5)},   {SIXTEEN_TIMES(6, 7)},
    {SIXTEEN_TIMES(8, 9)}, {SIXTEEN_TIMES(10, 11)}, {SIXTEEN_TIMES(12, 13)}, {SIXTEEN_TIMES(14, 15)}};

/* The eight 6-bit scales and minima as bytes of a 64-bit number each; the drawing is at block_q4_k. */
INLINE void unpack_scales(const uint8_t *bytes, uint64_t *sc, uint64_t *mn) {
    uint32_t a = load_u32(bytes), b = load_u32(bytes + 4), c = load_u32(bytes + 8);
    *sc = (a & 0x3f3f3f3f) | (uint64_t)((c & 0x0f0f0f0f) | (a >> 2 & 0x30303030)) << 32;
    *mn = (b & 0x3f3f3f3f) | (uint64_t)((c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030)) << 32;
}

/* code * activation * scale of 32 values, summed to eight int32. */
INLINE __m256i dot_scaled(__m256i codes, const int8_t *q, __m256i scales, const int8_t *spread) {
    return _mm256_madd_epi16(_mm256_maddubs_epi16(codes, load256(q)),
                             _mm256_shuffle_epi8(scales, load256(spread)));
}

/* 64 values, sub-blocks 2 * pair and 2 * pair + 1; high holds the fifth bits, of these two in bits 0 and 1.
 */
INLINE __m256i dot_pair(__m256i raw, __m256i high, bool five, int pair, const int8_t *q, __m256i scales) {
    const __m256i low4 = _mm256_set1_epi8(15), bit4 = _mm256_set1_epi8(16);
    __m256i first = _mm256_and_si256(raw, low4), second = _mm256_and_si256(_mm256_srli_epi16(raw, 4), low4);
    if (five) {
        first = _mm256_or_si256(first, _mm256_and_si256(_mm256_slli_epi16(high, 4), bit4));
        second = _mm256_or_si256(second, _mm256_and_si256(_mm256_slli_epi16(high, 3), bit4));
    }
    return _mm256_add_epi32(dot_scaled(first, q, scales, byte_to_words[2 * pair]),
                            dot_scaled(second, q + 32, scales, byte_to_words[2 * pair + 1]));
}

/* Q4_K and Q5_K. Largest int32: 8 * 2 * 2 * 31 * 127 * 63 < 2^23, exact as a float. */
INLINE void matvec_k(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act, float *y,
                     bool five) {
    const size_t bytes = five ? sizeof(block_q5_k) : sizeof(block_q4_k);
    const size_t qs_at = five ? offsetof(block_q5_k, qs) : offsetof(block_q4_k, qs);
    const float *d = act_d(act, k);
    const char *ahead = w;
    for (size_t r = 0; r < n_rows; r++) {
        const uint8_t *b = (const uint8_t *)w + r * row_bytes;
        const int8_t *q = act_q(act);
        const int16_t *s32 = act_s32(act, k);
        if (ahead < (const char *)b) ahead = (const char *)b;
        __m256 dots = _mm256_setzero_ps();
        __m128 mins = _mm_setzero_ps();
        for (size_t i = 0; i < k / 256; i++, b += bytes, q += 256, s32 += 8) {
            ahead = prefetch_step(ahead, (const char *)b + bytes, bytes);
            uint64_t sc, mn;
            unpack_scales(b + offsetof(block_q4_k, scales), &sc, &mn);
            const __m256i scales = _mm256_set1_epi64x((long long)sc);
            __m256i high = five ? load256(b + offsetof(block_q5_k, qh)) : _mm256_setzero_si256();
            __m256i dot = dot_pair(load256(b + qs_at), high, five, 0, q, scales);
            if (five) high = _mm256_srli_epi16(high, 2);
            dot = _mm256_add_epi32(dot, dot_pair(load256(b + qs_at + 32), high, five, 1, q + 64, scales));
            if (five) high = _mm256_srli_epi16(high, 2);
            dot = _mm256_add_epi32(dot, dot_pair(load256(b + qs_at + 64), high, five, 2, q + 128, scales));
            if (five) high = _mm256_srli_epi16(high, 2);
            dot = _mm256_add_epi32(dot, dot_pair(load256(b + qs_at + 96), high, five, 3, q + 192, scales));

            __m128 d_dmin = _mm_mul_ps(_mm_cvtph_ps(_mm_cvtsi32_si128((int)load_u32(b))), _mm_set1_ps(d[i]));
            __m128i min = _mm_madd_epi16(_mm_cvtepu8_epi16(_mm_cvtsi64_si128((long long)mn)), load128(s32));
            dots = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_broadcastss_ps(d_dmin), dots);
            mins = _mm_fmadd_ps(_mm_cvtepi32_ps(min), _mm_shuffle_ps(d_dmin, d_dmin, 0x55), mins);
        }
        y[r] = sum8(dots) - sum4(mins);
    }
}

void matvec_q4_k_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act, float *y) {
    matvec_k(w, row_bytes, n_rows, k, act, y, false);
}

void matvec_q5_k_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act, float *y) {
    matvec_k(w, row_bytes, n_rows, k, act, y, true);
}

/* 128 values, the half whose scales are words first .. first + 3 of each half of `scales`. */
INLINE __m256i dot_half_q6(const uint8_t *ql, const uint8_t *qh, const int8_t *q, __m256i scales, int first) {
    const __m256i low4 = _mm256_set1_epi8(15), high2 = _mm256_set1_epi8(0x30);
    __m256i a = load256(ql), b = load256(ql + 32), h = load256(qh);
    __m256i v0 = _mm256_or_si256(_mm256_and_si256(a, low4), _mm256_and_si256(_mm256_slli_epi16(h, 4), high2));
    __m256i v1 = _mm256_or_si256(_mm256_and_si256(b, low4), _mm256_and_si256(_mm256_slli_epi16(h, 2), high2));
    __m256i v2 = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(a, 4), low4), _mm256_and_si256(h, high2));
    __m256i v3 = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(b, 4), low4),
                                 _mm256_and_si256(_mm256_srli_epi16(h, 2), high2));
    __m256i s01 = _mm256_add_epi32(dot_scaled(v0, q, scales, word_to_words[first]),
                                   dot_scaled(v1, q + 32, scales, word_to_words[first + 1]));
    __m256i s23 = _mm256_add_epi32(dot_scaled(v2, q + 64, scales, word_to_words[first + 2]),
                                   dot_scaled(v3, q + 96, scales, word_to_words[first + 3]));
    return _mm256_add_epi32(s01, s23);
}

/* The zero point of 32 is 32 * sum(scale * sum of 16 activations), an int32 like the rest: together less than
 * 2^26. */
void matvec_q6_k_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act, float *y) {
    /* even scales, then odd ones: 32 values have an even scale for their first 16 and an odd one for the
     * others */
    const __m128i even_odd = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    const size_t bytes = sizeof(block_q6_k);
    const float *d = act_d(act, k);
    const char *ahead = w;
    for (size_t r = 0; r < n_rows; r++) {
        const uint8_t *b = (const uint8_t *)w + r * row_bytes;
        const int8_t *q = act_q(act);
        const int16_t *s16 = act_s16(act, k);
        if (ahead < (const char *)b) ahead = (const char *)b;
        __m256 dots = _mm256_setzero_ps();
        for (size_t i = 0; i < k / 256; i++, b += bytes, q += 256, s16 += 16) {
            ahead = prefetch_step(ahead, (const char *)b + bytes, bytes);
            __m128i in_order = load128(b + offsetof(block_q6_k, scales));
            __m256i scales = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(in_order, even_odd));
            __m256i zero = _mm256_madd_epi16(_mm256_cvtepi8_epi16(in_order), load256(s16));
            const uint8_t *ql = b + offsetof(block_q6_k, ql), *qh = b + offsetof(block_q6_k, qh);
            __m256i dot = _mm256_add_epi32(dot_half_q6(ql, qh, q, scales, 0),
                                           dot_half_q6(ql + 64, qh + 32, q + 128, scales, 4));
            dot = _mm256_sub_epi32(dot, _mm256_slli_epi32(zero, 5));
            __m128 scale = _mm_cvtph_ps(_mm_cvtsi32_si128(load_u16(b + offsetof(block_q6_k, d))));
            scale = _mm_mul_ss(scale, _mm_load_ss(d + i));
            dots = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_broadcastss_ps(scale), dots);
        }
        y[r] = sum8(dots);
    }
}

/* Matrix times vector for k-quants (superblocks of 256), straight from mapped rows: the path of one token.
 * The scales of the sub-blocks are integers, so they are multiplied in as integers: pairs of products
 * (vpmaddubsw), times the scale as a word (vpdpwssd), and only one conversion to float per superblock. Bound
 * by memory, see kernels/x86/streams.h. */
#include "kernels/blocks.h"
#include "avx512vnni.h"
#include "rows.h"

/* The 8 scales and 8 minima of 6 bits (drawn in blocks.h), a byte each. */
VEC_INLINE void scales_and_minima(const uint8_t *packed, uint64_t *scales, uint64_t *minima) {
    uint32_t a = (uint32_t)vec_load_i32(packed), b = (uint32_t)vec_load_i32(packed + 4);
    uint32_t c = (uint32_t)vec_load_i32(packed + 8);
    *scales = (a & 0x3f3f3f3f) | (uint64_t)((c & 0x0f0f0f0f) | (a >> 2 & 0x30303030)) << 32;
    *minima = (b & 0x3f3f3f3f) | (uint64_t)((c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030)) << 32;
}

/* Scale bytes i and j as words, over the lower and the upper half of a vector. */
VEC_INLINE __m512i scale_words(__m512i scales, const int i, const int j) {
    const __mmask64 low_bytes = 0x5555555555555555;
    const __m512i index = _mm512_inserti64x4(_mm512_set1_epi8((char)i), _mm256_set1_epi8((char)j), 1);
    return _mm512_maskz_permutexvar_epi8(low_bytes, index, scales);
}

/* 32 activations at q, and the 32 that are two sub-blocks further on. */
VEC_INLINE __m512i two_subblocks(const int8_t *q) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const void *)q)),
                              _mm256_loadu_si256((const void *)(q + 64)), 1);
}

/* sum + scale * ((w - zero) . q), the pairs of products staying below 2^15: w is at most 6 bits. The zero
 * point is taken back from the very element that has its products: what cancels does so in integers, not
 * later between float lanes. */
VEC_INLINE __m512i dot_scaled(__m512i sum, __m512i w, __m512i q, __m512i scale, const int zero) {
    __m512i pairs = _mm512_maddubs_epi16(w, q);
    if (zero) pairs = _mm512_sub_epi16(pairs, _mm512_maddubs_epi16(_mm512_set1_epi8((char)zero), q));
    return _mm512_dpwssd_epi32(sum, pairs, scale);
}

/* Bits i and i + 1 of each byte of qh moved to bits 4 and 5 in the lower half of the vector, bits i + 2 and i
 * + 3 in the upper half: a multishift takes eight bits of a quadword from any position on. Q5_K, where bit j
 * belongs to sub-block j, uses the first of the two. */
VEC_INLINE __m512i top_bits(__m512i qh, const int i) {
    const __m512i bytes = _mm512_set1_epi64(0x3830282018100800);
    const __m512i at =
        _mm512_inserti64x4(_mm512_set1_epi8((char)(64 + i - 4)), _mm256_set1_epi8((char)(64 + i - 2)), 1);
    return _mm512_multishift_epi64_epi8(_mm512_add_epi8(bytes, at), qh);
}

/* Half h of a superblock of Q4_K or Q5_K: sub-blocks 4h .. 4h + 3. */
VEC_INLINE __m512i half_q45_k(__m512i sum, const uint8_t *qs, __m512i qh, const int8_t *q, __m512i scales,
                              const int h, const int five) {
    const __m512i low4 = _mm512_set1_epi8(0x0F), bit4 = _mm512_set1_epi8(0x10);
    __m512i v = _mm512_loadu_si512(qs + 64 * h);
    __m512i low = _mm512_and_si512(v, low4), high = _mm512_and_si512(_mm512_srli_epi16(v, 4), low4);
    if (five) {
        low = vec_or_masked(low, top_bits(qh, 4 * h), bit4);
        high = vec_or_masked(high, top_bits(qh, 4 * h + 1), bit4);
    }
    sum = dot_scaled(sum, low, two_subblocks(q + 128 * h), scale_words(scales, 4 * h, 4 * h + 2), 0);
    return dot_scaled(sum, high, two_subblocks(q + 128 * h + 32), scale_words(scales, 4 * h + 1, 4 * h + 3),
                      0);
}

/* A superblock; Q4_K and Q5_K differ by the fifth bits and by where qs begins. */
VEC_INLINE void step_q45_k(sums *s, const uint8_t *p, const acts *a, size_t i, const int five) {
    const size_t qs_at = five ? offsetof(block_q5_k, qs) : offsetof(block_q4_k, qs);
    const int8_t *q = a->q + 256 * i;
    uint64_t scales, minima;
    scales_and_minima(p + offsetof(block_q4_k, scales), &scales, &minima);
    __m512i words = _mm512_castsi128_si512(_mm_cvtsi64_si128((long long)scales)), qh = words;
    if (five) qh = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)(p + offsetof(block_q5_k, qh))));
    __m512i dot = half_q45_k(_mm512_setzero_si512(), p + qs_at, qh, q, words, 0, five);
    dot = half_q45_k(dot, p + qs_at, qh, q, words, 1, five);

    /* d and dmin are adjacent halves */
    __m128 scale = _mm_mul_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(vec_load_i32(p))), _mm_set1_ps(a->d[i]));
    s->dot = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_broadcastss_ps(scale), s->dot);
    __m128i m = _mm_cvtepu8_epi16(_mm_cvtsi64_si128((long long)minima));
    m = _mm_madd_epi16(m, _mm_loadu_si128((const void *)(a->s32 + 8 * i)));
    add_rest4(s, _mm_cvtepi32_ps(m), _mm_shuffle_ps(scale, scale, 0x55));
}

VEC_INLINE void step_q4_k(sums *s, const uint8_t *p, const acts *a, size_t i, size_t left) {
    (void)left;
    step_q45_k(s, p, a, i, 0);
}

VEC_INLINE void step_q5_k(sums *s, const uint8_t *p, const acts *a, size_t i, size_t left) {
    (void)left;
    step_q45_k(s, p, a, i, 1);
}

VEC_INLINE float finish_q45_k(const sums *s) {
    return vec_sum16(s->dot) - vec_sum4(_mm256_castps256_ps128(s->rest));
}

/* Half h of a superblock of Q6_K; words: its 16 scales as words, of which four apply to each vector. */
VEC_INLINE __m512i half_q6_k(__m512i sum, const uint8_t *p, const int8_t *q, __m512i words, const int h) {
    const __m512i low4 = _mm512_set1_epi8(0x0F), top2 = _mm512_set1_epi8(0x30);
    const __m512i index = _mm512_setr_epi64(0, 0, 0x0001000100010001, 0x0001000100010001, 0x0002000200020002,
                                            0x0002000200020002, 0x0003000300030003, 0x0003000300030003);
    const __m512i low_index = _mm512_add_epi16(index, _mm512_set1_epi16((short)(8 * h)));
    const __m512i high_index = _mm512_add_epi16(index, _mm512_set1_epi16((short)(8 * h + 4)));
    __m512i ql = _mm512_loadu_si512(p + 64 * h);
    __m512i qh =
        _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)(p + offsetof(block_q6_k, qh) + 32 * h)));
    __m512i low = _mm512_and_si512(ql, low4), high = _mm512_and_si512(_mm512_srli_epi16(ql, 4), low4);
    low = vec_or_masked(low, top_bits(qh, 0), top2);
    high = vec_or_masked(high, top_bits(qh, 4), top2);
    q += 128 * h;
    sum = dot_scaled(sum, low, _mm512_loadu_si512(q), _mm512_permutexvar_epi16(low_index, words), 32);
    return dot_scaled(sum, high, _mm512_loadu_si512(q + 64), _mm512_permutexvar_epi16(high_index, words), 32);
}

VEC_INLINE void step_q6_k(sums *s, const uint8_t *p, const acts *a, size_t i, size_t left) {
    (void)left;
    const int8_t *q = a->q + 256 * i;
    __m256i scales = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(p + offsetof(block_q6_k, scales))));
    __m512i words = _mm512_castsi256_si512(scales);
    __m512i dot = half_q6_k(_mm512_setzero_si512(), p, q, words, 0);
    dot = half_q6_k(dot, p, q, words, 1);

    int half = vec_load_u16(p + offsetof(block_q6_k, d));
    __m128 scale = _mm_mul_ss(_mm_cvtph_ps(_mm_cvtsi32_si128(half)), _mm_load_ss(a->d + i));
    s->dot = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_broadcastss_ps(scale), s->dot);
}

VEC_INLINE float finish_q6_k(const sums *s) {
    return vec_sum16(s->dot);
}

MATVEC(q4_k, step_q4_k, finish_q45_k, 1, sizeof(block_q4_k), 256)
MATVEC(q5_k, step_q5_k, finish_q45_k, 1, sizeof(block_q5_k), 256)
MATVEC(q6_k, step_q6_k, finish_q6_k, 1, sizeof(block_q6_k), 256)

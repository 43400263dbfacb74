/* matvec for Q4_K, Q5_K and Q6_K times ACT_Q8_256: the template that matvec_k.c of this folder and of avxvnni
 * compile. Straight from where the file is mapped, four rows side by side. Codes are unsigned and
 * at most 6 bits, so vpmaddubsw can't saturate; the integer scale of each sub-block is multiplied in by the
 * instruction that widens, and only the sum over all 256 values becomes a float. No byte beyond the last
 * block of a row is read. */
#ifndef LEAT_KERNELS_X86_AVX2_MATVEC_K_H
#define LEAT_KERNELS_X86_AVX2_MATVEC_K_H

#include "dot.h"
#include "kernels/x86/streams.h"

#include "kernels/blocks.h"

/* For vpshufb: word j of each half to all eight words of that half. */
#define WORD(lo, hi) lo, hi, lo, hi, lo, hi, lo, hi, lo, hi, lo, hi, lo, hi, lo, hi
#define BOTH(lo, hi)                                                                                         \
    { WORD(lo, hi), WORD(lo, hi) }
static const _Alignas(32) int8_t word_to_words[8][32] = {
    BOTH(0, 1), BOTH(2, 3), BOTH(4, 5), BOTH(6, 7), BOTH(8, 9), BOTH(10, 11), BOTH(12, 13), BOTH(14, 15)};

/* The eight 6-bit scales as bytes 0..7 and the minima as bytes 8..15, out of the first 16 bytes of a block,
 * whose last three dwords a, b, c hold them; the drawing is at block_q4_k. */
INLINE __m128i unpack_scales(__m128i head) {
    __m128i low =
        _mm_srlv_epi32(_mm_shuffle_epi32(head, _MM_SHUFFLE(3, 2, 3, 1)), _mm_setr_epi32(0, 0, 0, 4));
    __m128i high = _mm_srli_epi32(_mm_shuffle_epi32(head, _MM_SHUFFLE(2, 2, 1, 1)), 2);
    low = _mm_and_si128(low, _mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f));
    return _mm_or_si128(low, _mm_and_si128(high, _mm_setr_epi32(0, 0x30303030, 0, 0x30303030)));
}

/* Four scales from byte i on to as many dwords, twice each. */
INLINE void store_pairs(uint32_t *to, __m128i scales, int i) {
    const __m128i pairs = _mm_setr_epi8(0, -1, 0, -1, 1, -1, 1, -1, 2, -1, 2, -1, 3, -1, 3, -1);
    const __m128i at = _mm_add_epi8(pairs, _mm_setr_epi16((short)i, (short)i, (short)i, (short)i, (short)i,
                                                          (short)i, (short)i, (short)i));
    _mm_store_si128((__m128i *)(void *)to, _mm_shuffle_epi8(scales, at));
}

/* Weights straddle cache lines, and a compiler may read them again for each use: kept in a register. */
INLINE __m256i load_once(const void *p) {
    __m256i x = load256(p);
    __asm__("" : "+x"(x));
    return x;
}

/* Sub-blocks 2 * pair and 2 * pair + 1, 64 values. qh: of Q5_K the fifth bits, bit j for sub-block j; words:
 * the scales, twice each, in memory, from where they spread to all words of a vector without occupying an
 * arithmetic port. */
INLINE __m256i dot_pair(__m256i sum, const uint8_t *qs, const __m256i *qh, int pair, const int8_t *q,
                        const uint32_t *words) {
    const __m256i low4 = _mm256_set1_epi8(15), bit4 = _mm256_set1_epi8(16);
    __m256i raw = load_once(qs + 32 * pair);
    __m256i first = _mm256_and_si256(raw, low4), second = _mm256_and_si256(_mm256_srli_epi16(raw, 4), low4);
    if (qh) {
        const int j = 2 * pair;
        __m256i even = j < 4 ? _mm256_slli_epi16(*qh, 4 - j) : _mm256_srli_epi16(*qh, j - 4);
        __m256i odd = j < 4 ? _mm256_slli_epi16(*qh, 3 - j) : _mm256_srli_epi16(*qh, j - 3);
        first = _mm256_or_si256(first, _mm256_and_si256(even, bit4));
        second = _mm256_or_si256(second, _mm256_and_si256(odd, bit4));
    }
    sum = add_scaled(sum, first, load256(q + 64 * pair), broadcast32(words + 2 * pair));
    return add_scaled(sum, second, load256(q + 64 * pair + 32), broadcast32(words + 2 * pair + 1));
}

/* The activations of a superblock. */
typedef struct act_256 {
    const int8_t *q;
    const int16_t *s16, *s32;
    float d;
} act_256;

/* What a row adds up. */
typedef struct sums_k {
    __m256 dot, min;
} sums_k;
typedef void superblock_fn(sums_k *s, const uint8_t *b, const act_256 *a);

/* Q4_K and Q5_K. Largest int32: 8 * 2 * 2 * 31 * 127 * 63 < 2^23, exact as a float. */
INLINE void superblock_q45_k(sums_k *s, const uint8_t *b, const act_256 *a, const bool five) {
    const uint8_t *qs = b + (five ? offsetof(block_q5_k, qs) : offsetof(block_q4_k, qs));
    const __m128i head = load128(b), scales = unpack_scales(head);
    _Alignas(16) uint32_t words[8];
    store_pairs(words, scales, 0);
    store_pairs(words + 4, scales, 4);
    __asm__("" : "+m"(words)); /* they are to come back from memory, not by shuffles */
    const __m256i high = five ? load256(b + offsetof(block_q5_k, qh)) : _mm256_setzero_si256();
    const __m256i *qh = five ? &high : NULL;
    const __m256i zero = _mm256_setzero_si256();
    __m256i dot01 =
        _mm256_add_epi32(dot_pair(zero, qs, qh, 0, a->q, words), dot_pair(zero, qs, qh, 1, a->q, words));
    __m256i dot23 =
        _mm256_add_epi32(dot_pair(zero, qs, qh, 2, a->q, words), dot_pair(zero, qs, qh, 3, a->q, words));
    __m256i dot = _mm256_add_epi32(dot01, dot23);

    __m128 d_dmin = _mm_mul_ps(_mm_cvtph_ps(head), _mm_set1_ps(a->d)), mins = _mm256_castps256_ps128(s->min);
    __m128i min = _mm_madd_epi16(_mm_unpackhi_epi8(scales, _mm_setzero_si128()), load128(a->s32));
    s->dot = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_broadcastss_ps(d_dmin), s->dot);
    mins = _mm_fmadd_ps(_mm_cvtepi32_ps(min), _mm_shuffle_ps(d_dmin, d_dmin, 0x55), mins);
    s->min = _mm256_zextps128_ps256(mins); /* all eight are summed in the end */
}

INLINE void superblock_q4_k(sums_k *s, const uint8_t *b, const act_256 *a) {
    superblock_q45_k(s, b, a, false);
}

INLINE void superblock_q5_k(sums_k *s, const uint8_t *b, const act_256 *a) {
    superblock_q45_k(s, b, a, true);
}

/* 128 values, the half whose scales are words first .. first + 3 of each half of `scales`. */
INLINE __m256i dot_half_q6(__m256i sum, const uint8_t *ql, const uint8_t *qh, const int8_t *q, __m256i scales,
                           int first) {
    const __m256i low4 = _mm256_set1_epi8(15), high2 = _mm256_set1_epi8(0x30);
    __m256i a = load256(ql), b = load256(ql + 32), h = load256(qh);
    __m256i v0 = _mm256_or_si256(_mm256_and_si256(a, low4), _mm256_and_si256(_mm256_slli_epi16(h, 4), high2));
    __m256i v1 = _mm256_or_si256(_mm256_and_si256(b, low4), _mm256_and_si256(_mm256_slli_epi16(h, 2), high2));
    __m256i v2 = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(a, 4), low4), _mm256_and_si256(h, high2));
    __m256i v3 = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(b, 4), low4),
                                 _mm256_and_si256(_mm256_srli_epi16(h, 2), high2));
#define SCALE(i) _mm256_shuffle_epi8(scales, load256(word_to_words[first + (i)]))
    sum = add_scaled(sum, v0, load256(q), SCALE(0));
    sum = add_scaled(sum, v1, load256(q + 32), SCALE(1));
    sum = add_scaled(sum, v2, load256(q + 64), SCALE(2));
    return add_scaled(sum, v3, load256(q + 96), SCALE(3));
#undef SCALE
}

/* The zero point of 32 is 32 * sum(scale * sum of 16 activations), an int32 like the rest: together less than
 * 2^26. */
INLINE void superblock_q6_k(sums_k *s, const uint8_t *b, const act_256 *a) {
    /* even scales, then odd ones: 32 values have an even scale for their first 16 and an odd one for the
     * others */
    const __m128i even_odd = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    __m128i in_order = load128(b + offsetof(block_q6_k, scales));
    __m256i scales = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(in_order, even_odd));
    __m256i zero = _mm256_madd_epi16(_mm256_cvtepi8_epi16(in_order), load256(a->s16));
    const uint8_t *ql = b + offsetof(block_q6_k, ql), *qh = b + offsetof(block_q6_k, qh);
    __m256i dot = dot_half_q6(_mm256_setzero_si256(), ql, qh, a->q, scales, 0);
    __m256i dot2 = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(zero, 5));
    dot = _mm256_add_epi32(dot, dot_half_q6(dot2, ql + 64, qh + 32, a->q + 128, scales, 4));
    __m128 scale = _mm_cvtph_ps(_mm_cvtsi32_si128(load_u16(b + offsetof(block_q6_k, d))));
    scale = _mm_mul_ss(scale, _mm_set_ss(a->d));
    s->dot = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_broadcastss_ps(scale), s->dot);
}

/* ---- rows of superblocks ---- */

/* n (STREAMS or 1) times `per` rows. */
INLINE void superblock_rows(const char *w, size_t row_bytes, size_t per, const int n, size_t k,
                            const void *act, float *y, const size_t bytes, const bool has_min,
                            superblock_fn *add) {
    const float *d = act_d(act, k);
    const int16_t *s16 = act_s16(act, k), *s32 = act_s32(act, k);
    streams ahead = streams_open(w, row_bytes, per, n);
    for (size_t r = 0; r < per; r++) {
        const char *b = streams_row(&ahead, w, r);
#define START(t) sums_k s##t = {_mm256_setzero_ps(), _mm256_setzero_ps()};
        EACH_STREAM(START)
        for (size_t i = 0; i < k / 256; i++, b += bytes) {
            const act_256 a = {act_q(act) + 256 * i, s16 + 16 * i, s32 + 8 * i, d[i]};
            streams_ask(&ahead, b + bytes, bytes, n);
#define ADD(t)                                                                                               \
    if (t < n) add(&s##t, (const uint8_t *)b + t * ahead.apart, &a);
            EACH_STREAM(ADD)
        }
#define FINISH(t)                                                                                            \
    if (t < n) y[r + t * per] = has_min ? sum8(s##t.dot) - sum8(s##t.min) : sum8(s##t.dot);
        EACH_STREAM(FINISH)
    }
#undef START
#undef ADD
#undef FINISH
}

INLINE void matvec_256(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act, float *y,
                       const size_t bytes, const bool has_min, superblock_fn *add) {
    const size_t per = n_rows / STREAMS, done = STREAMS * per;
    superblock_rows(w, row_bytes, per, STREAMS, k, act, y, bytes, has_min, add);
    superblock_rows((const char *)w + done * row_bytes, row_bytes, n_rows - done, 1, k, act, y + done, bytes,
                    has_min, add);
}

#define MATVEC_256(name, isa, has_min)                                                                       \
    void matvec_##name##_##isa(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act,    \
                               float *y) {                                                                   \
        matvec_256(w, row_bytes, n_rows, k, act, y, sizeof(block_##name), has_min, superblock_##name);       \
    }
#define MATVEC_K(isa)                                                                                        \
    MATVEC_256(q4_k, isa, true)                                                                              \
    MATVEC_256(q5_k, isa, true)                                                                              \
    MATVEC_256(q6_k, isa, false)

#endif

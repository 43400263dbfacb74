/* Matrix times vector for weights in blocks of 32, straight from mapped rows: the path of one token. Four
 * blocks at a time become one or two vectors of bytes, meet the activations in their natural order, and end
 * in one fp32 accumulator per row. Bound by memory, see kernels/x86/streams.h. */
#include "kernels/blocks.h"
#include "avx512vnni.h"
#include "rows.h"

enum { GROUP = 4, GROUP_K = 32 * GROUP };

/* The activations of one group. */
typedef struct group {
    const int8_t *q;
    __m128 d, ds;
    __mmask8 blocks; /* bit i: block i is there */
} group;

VEC_INLINE group group_at(const acts *a, size_t i, size_t left) {
    const __mmask8 blocks = left ? (__mmask8)((1u << left) - 1) : 0xF;
    return (group){a->q + GROUP_K * i, _mm_maskz_loadu_ps(blocks, a->d + GROUP * i),
                   _mm_maskz_loadu_ps(blocks, a->ds + GROUP * i), blocks};
}

/* One f16 out of each of four blocks, as float32. */
VEC_INLINE __m128 four_halves(const uint8_t *p, const size_t block) {
    uint64_t h = vec_load_u16(p) | (uint64_t)vec_load_u16(p + block) << 16 |
                 (uint64_t)vec_load_u16(p + 2 * block) << 32 | (uint64_t)vec_load_u16(p + 3 * block) << 48;
    return _mm_cvtph_ps(_mm_cvtsi64_si128((long long)h));
}

/* 16 bytes out of each of four blocks, block i in 128-bit lane i. */
VEC_INLINE __m512i four_lanes(const uint8_t *p, const size_t block) {
    __m512i v = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)p));
    v = _mm512_mask_broadcast_i32x4(v, 0x00F0, _mm_loadu_si128((const void *)(p + block)));
    v = _mm512_mask_broadcast_i32x4(v, 0x0F00, _mm_loadu_si128((const void *)(p + 2 * block)));
    return _mm512_mask_broadcast_i32x4(v, 0xF000, _mm_loadu_si128((const void *)(p + 3 * block)));
}

/* 4 bytes out of each of four blocks, those of block i everywhere in lane i. */
VEC_INLINE __m512i four_dwords(const uint8_t *p, const size_t block) {
    __m512i v = _mm512_broadcastd_epi32(_mm_cvtsi32_si128(vec_load_i32(p)));
    v = _mm512_mask_broadcastd_epi32(v, 0x00F0, _mm_cvtsi32_si128(vec_load_i32(p + block)));
    v = _mm512_mask_broadcastd_epi32(v, 0x0F00, _mm_cvtsi32_si128(vec_load_i32(p + 2 * block)));
    return _mm512_mask_broadcastd_epi32(v, 0xF000, _mm_cvtsi32_si128(vec_load_i32(p + 3 * block)));
}

/* Lane i of 128 bits filled with element i. */
VEC_INLINE __m512 spread_lanes(__m128 v) {
    const __m512i lanes = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return _mm512_permutexvar_ps(lanes, _mm512_castps128_ps512(v));
}

/* Low nibbles meet the first half of each block of activations, high nibbles the second: of two vectors
 * (blocks 0, 1 and 2, 3) the even and the odd 128-bit lanes. */
VEC_INLINE __m512i dot_halves(__m512i low, __m512i high, const int8_t *q) {
    __m512i a = _mm512_loadu_si512(q), b = _mm512_loadu_si512(q + 64);
    __m512i first = _mm512_shuffle_i64x2(a, b, 0x88), second = _mm512_shuffle_i64x2(a, b, 0xDD);
    __m512i dot = _mm512_dpbusd_epi32(_mm512_setzero_si512(), low, first);
    return _mm512_dpbusd_epi32(dot, high, second);
}

VEC_INLINE __m128 scales_of(const group *g, __m128 d) {
    return _mm_maskz_mul_ps(g->blocks, d, g->d);
}

VEC_INLINE void add_dot(sums *s, __m512i dot, __m128 scale) {
    s->dot = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), spread_lanes(scale), s->dot);
}

/* One lane per block: what multiplies the sum of its activations: its minimum, or the scale where there is a
 * zero point to take back at the end of the row. */
VEC_INLINE void add_rest(sums *s, const group *g, __m128 factor) {
    add_rest4(s, _mm_maskz_mov_ps(g->blocks, factor), g->ds);
}

/* Bits first .. first + 15 of the 32-bit number that fills each lane, at bit 4 of the lane's bytes. A
 * multishift takes eight bits of a quadword from any position on; the number being there twice, a position
 * may wrap. */
VEC_INLINE __m512i fifth_bits(__m512i qh, const int first) {
    const __m128i byte = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i at = _mm512_broadcast_i32x4(_mm_add_epi8(byte, _mm_set1_epi8((char)(64 + first - 4))));
    return _mm512_multishift_epi64_epi8(at, qh);
}

/* One permutation of the first 64 bytes brings the nibbles of blocks 0 .. 2 into their lanes (the last comes
 * with a load of its own), another the scales together, and, where blocks have them, the minima after the
 * scales. */
VEC_INLINE void step_q4(const uint8_t *p, const group *g, sums *s, const size_t block, const size_t qs,
                        const int minima) {
    const __m128i byte = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i lanes = _mm512_mullo_epi16(_mm512_setr_epi64(0, 0, 0x0001000100010001, 0x0001000100010001,
                                                               0x0002000200020002, 0x0002000200020002, 0, 0),
                                             _mm512_set1_epi16((short)(0x0101 * block)));
    const __m512i nibbles =
        _mm512_add_epi8(lanes, _mm512_broadcast_i32x4(_mm_add_epi8(byte, _mm_set1_epi8((char)qs))));
    const __m128i halves = _mm_add_epi16(
        _mm_mullo_epi16(_mm_setr_epi16(0, 1, 2, 3, 0, 1, 2, 3), _mm_set1_epi16((short)(0x0101 * block))),
        _mm_setr_epi8(0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3));
    const __m512i low4 = _mm512_set1_epi8(0x0F);

    __m512i raw = _mm512_loadu_si512(p), v = _mm512_permutexvar_epi8(nibbles, raw);
    v = _mm512_mask_broadcast_i32x4(v, 0xF000, _mm_loadu_si128((const void *)(p + 3 * block + qs)));
    __m512i low = _mm512_and_si512(v, low4), high = _mm512_and_si512(_mm512_srli_epi16(v, 4), low4);
    __m256 d =
        _mm256_cvtph_ps(_mm512_castsi512_si128(_mm512_permutexvar_epi8(_mm512_castsi128_si512(halves), raw)));
    add_dot(s, dot_halves(low, high, g->q), scales_of(g, _mm256_castps256_ps128(d)));
    add_rest(s, g, minima ? _mm256_extractf128_ps(d, 1) : _mm256_castps256_ps128(d));
}

VEC_INLINE void step_q5(const uint8_t *p, const group *g, sums *s, const size_t block, const size_t qs,
                        const size_t qh, const int minima) {
    const __m512i low4 = _mm512_set1_epi8(0x0F), bit4 = _mm512_set1_epi8(0x10);
    __m512i v = four_lanes(p + qs, block), bits = four_dwords(p + qh, block);
    __m512i low = vec_or_masked(_mm512_and_si512(v, low4), fifth_bits(bits, 0), bit4);
    __m512i high = vec_or_masked(_mm512_and_si512(_mm512_srli_epi16(v, 4), low4), fifth_bits(bits, 16), bit4);
    __m128 d = four_halves(p, block);
    add_dot(s, dot_halves(low, high, g->q), scales_of(g, d));
    add_rest(s, g, minima ? four_halves(p + sizeof(uint16_t), block) : d);
}

VEC_INLINE void step_q4_0(sums *s, const uint8_t *p, const acts *a, size_t i, size_t left) {
    const group g = group_at(a, i, left);
    step_q4(p, &g, s, sizeof(block_q4_0), offsetof(block_q4_0, qs), 0);
}

VEC_INLINE void step_q4_1(sums *s, const uint8_t *p, const acts *a, size_t i, size_t left) {
    const group g = group_at(a, i, left);
    step_q4(p, &g, s, sizeof(block_q4_1), offsetof(block_q4_1, qs), 1);
}

VEC_INLINE void step_q5_0(sums *s, const uint8_t *p, const acts *a, size_t i, size_t left) {
    const group g = group_at(a, i, left);
    step_q5(p, &g, s, sizeof(block_q5_0), offsetof(block_q5_0, qs), offsetof(block_q5_0, qh), 0);
}

VEC_INLINE void step_q5_1(sums *s, const uint8_t *p, const acts *a, size_t i, size_t left) {
    const group g = group_at(a, i, left);
    step_q5(p, &g, s, sizeof(block_q5_1), offsetof(block_q5_1, qs), offsetof(block_q5_1, qh), 1);
}

/* Two blocks, u and u + 1 of the group. The unsigned operand is w + 128. */
VEC_INLINE void pair_q8_0(const uint8_t *p, const int8_t *q, __m512 scale, sums *s) {
    enum { B = sizeof(block_q8_0), QS = offsetof(block_q8_0, qs) };
    __m512i w = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const void *)(p + QS))),
                                   _mm256_loadu_si256((const void *)(p + B + QS)), 1);
    w = _mm512_xor_si512(w, _mm512_set1_epi8((char)0x80));
    __m512i dot = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w, _mm512_loadu_si512(q));
    s->dot = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, s->dot);
}

VEC_INLINE void step_q8_0(sums *s, const uint8_t *p, const acts *a, size_t i, size_t left) {
    const group g = group_at(a, i, left);
    enum { B = sizeof(block_q8_0) };
    const __m512i first = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const __m512i second = _mm512_setr_epi32(2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m128 d = four_halves(p, B);
    const __m512 scale = _mm512_castps128_ps512(scales_of(&g, d));
    add_rest(s, &g, d);
    pair_q8_0(p, g.q, _mm512_permutexvar_ps(first, scale), s);
    pair_q8_0(p + 2 * B, g.q + 64, _mm512_permutexvar_ps(second, scale), s);
}

/* What the sums of activations count for: minus the zero point, or one for minima. */
#define FINISH_Q(name, factor)                                                                               \
    VEC_INLINE float finish_##name(const sums *s) {                                                          \
        return vec_sum16(s->dot) + factor * vec_sum4(_mm256_castps256_ps128(s->rest));                       \
    }
FINISH_Q(q4_0, -8.0f)
FINISH_Q(q4_1, 1.0f)
FINISH_Q(q5_0, -16.0f)
FINISH_Q(q5_1, 1.0f)
FINISH_Q(q8_0, -128.0f)

#define MATVEC_Q(name) MATVEC(name, step_##name, finish_##name, GROUP, sizeof(block_##name), 32)
MATVEC_Q(q4_0)
MATVEC_Q(q4_1)
MATVEC_Q(q5_0)
MATVEC_Q(q5_1)
MATVEC_Q(q8_0)

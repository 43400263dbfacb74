/* Matrix times vector for types of four bits that stand for a number (IQ4_NL, IQ4_XS, MXFP4, NVFP4), straight
 * from mapped rows. codes.h has their layouts; here 64 bytes of codes are looked up as they lie, the low
 * halves of bytes and the high ones, and the activations are brought into that order, so that 128 columns end
 * in one vector of sums. Bound by memory, see kernels/x86/streams.h. */
#include "avx512vnni.h"
#include "codes.h"
#include "rows.h"

/* Of the sums, `dot` has the products, and `rest` or `more` what takes back the zero point: scale times the
 * sum of activations. */

/* 64 bytes of codes times 128 activations: `first` those of low nibbles, `second` of high ones. */
VEC_INLINE __m512i dot_codes(__m512i v, __m512i first, __m512i second, __m128i book, const int zero) {
    const __m512i low = look_up(book, v, zero), high = look_up(book, _mm512_srli_epi16(v, 4), zero);
    return _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(_mm512_setzero_si512(), low, first), high, second);
}

/* Four groups of 32, 16 bytes each: low nibbles are the first half of each. */
VEC_INLINE __m512i dot_four_groups(__m512i v, const int8_t *q, __m128i book, const int zero) {
    const __m512i a = _mm512_loadu_si512(q), b = _mm512_loadu_si512(q + 64);
    return dot_codes(v, _mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xDD), book, zero);
}

/* Lane i of 128 bits filled with element first + i. */
VEC_INLINE __m512 spread_four(__m512 scale, const int first) {
    const __m512i lanes = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return _mm512_permutexvar_ps(_mm512_add_epi32(lanes, _mm512_set1_epi32(first)), scale);
}

/* ---- IQ4_NL, MXFP4: blocks of 32 ---- */

/* Four blocks; `there` has a bit for each that is in the row. One permutation of the first 64 bytes brings
 * the codes of blocks 0 .. 2 into their lanes, another the scales together. A half is converted; an exponent
 * goes to bits 30..23, and the least of them is denormal: 2^(e - 127), twice what the codes, which are twice
 * the values, want. */
VEC_INLINE void step_blocks(sums *s, const uint8_t *p, const acts *a, size_t i, size_t left,
                            const size_t block, const size_t qs, __m128i book, const int zero) {
    const int half = qs == 2;
    const __mmask8 there = left ? (__mmask8)((1u << left) - 1) : 0xF;
    const __m128i byte = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i lanes = _mm512_mullo_epi16(_mm512_setr_epi64(0, 0, 0x0001000100010001, 0x0001000100010001,
                                                               0x0002000200020002, 0x0002000200020002, 0, 0),
                                             _mm512_set1_epi16((short)(0x0101 * block)));
    const __m512i codes =
        _mm512_add_epi8(lanes, _mm512_broadcast_i32x4(_mm_add_epi8(byte, _mm_set1_epi8((char)qs))));
    const short b = (short)block;
    const __m128i scales =
        half ? _mm_add_epi8(_mm_setr_epi16(0, b, (short)(2 * b), (short)(3 * b), 0, 0, 0, 0),
                            _mm_setr_epi16((short)0x0100, (short)(0x0100 + (b << 8)),
                                           (short)(0x0100 + (2 * b << 8)), (short)(0x0100 + (3 * b << 8)), 0,
                                           0, 0, 0))
             : _mm_setr_epi32(0, b << 24, (2 * b) << 24, (3 * b) << 24);
    const __m512i raw = _mm512_loadu_si512(p);
    __m512i v = _mm512_permutexvar_epi8(codes, raw);
    v = _mm512_mask_broadcast_i32x4(v, 0xF000, _mm_loadu_si128((const void *)(p + 3 * block + qs)));
    __m128i x = _mm512_castsi512_si128(_mm512_permutexvar_epi8(_mm512_castsi128_si512(scales), raw));
    if (!half)
        x = _mm_max_epu32(_mm_srli_epi32(_mm_and_si128(x, _mm_set1_epi32((int)0xFF000000)), 1),
                          _mm_set1_epi32(0x00400000));
    const __m128 w = half ? _mm_cvtph_ps(x) : _mm_castsi128_ps(x);
    const __m128 scale = _mm_maskz_mul_ps(there, w, _mm_maskz_loadu_ps(there, a->d + 4 * i));
    const __m512i dot = dot_four_groups(v, a->q + 128 * i, book, zero);
    s->dot = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), spread_four(_mm512_castps128_ps512(scale), 0), s->dot);
    add_rest4(s, _mm_maskz_mov_ps(there, w), _mm_maskz_loadu_ps(there, a->ds + 4 * i));
}

VEC_INLINE void step_iq4_nl(sums *s, const uint8_t *p, const acts *a, size_t i, size_t left) {
    step_blocks(s, p, a, i, left, sizeof(block_iq4_nl), offsetof(block_iq4_nl, qs),
                _mm_setr_epi8(IQ4_NL_CODEBOOK), 128);
}

VEC_INLINE float finish_iq4_nl(const sums *s) {
    return vec_sum16(s->dot) - 128.0f * vec_sum4(_mm256_castps256_ps128(s->rest));
}

VEC_INLINE void step_mxfp4(sums *s, const uint8_t *p, const acts *a, size_t i, size_t left) {
    step_blocks(s, p, a, i, left, sizeof(block_mxfp4), offsetof(block_mxfp4, qs), _mm_setr_epi8(FP4_CODEBOOK),
                12);
}

VEC_INLINE float finish_mxfp4(const sums *s) {
    return 0.5f * (vec_sum16(s->dot) - 12.0f * vec_sum4(_mm256_castps256_ps128(s->rest)));
}

/* ---- IQ4_XS ---- */

/* All eight scales of a superblock, before d: four bits each in scales_l, two in scales_h, which is the upper
 * half of the dword that begins with d. */
VEC_INLINE __m256 superblock_scales(const uint8_t *p) {
    const __m256i low = _mm256_set1_epi32(vec_load_i32(p + offsetof(block_iq4_xs, scales_l)));
    const __m256i high = _mm256_set1_epi32(vec_load_i32(p));
    __m256i s = _mm256_srlv_epi32(low, _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
    s = _mm256_and_si256(s, _mm256_set1_epi32(15));
    s = _mm256_ternarylogic_epi32(s,
                                  _mm256_srlv_epi32(high, _mm256_setr_epi32(12, 14, 16, 18, 20, 22, 24, 26)),
                                  _mm256_set1_epi32(0x30), 0xF8);
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(s, _mm256_set1_epi32(32)));
}

VEC_INLINE void step_iq4_xs(sums *s, const uint8_t *p, const acts *a, size_t i, size_t left) {
    enum { QS = offsetof(block_iq4_xs, qs), ZERO = 128 };
    (void)left;
    const __m128i book = _mm_setr_epi8(IQ4_NL_CODEBOOK);
    const int8_t *q = a->q + 256 * i;
    const __m256 half = _mm256_cvtph_ps(_mm_set1_epi16((short)vec_load_u16(p)));
    const __m256 scale = _mm256_mul_ps(superblock_scales(p), half);
    const __m512 both = _mm512_castps256_ps512(_mm256_mul_ps(scale, _mm256_loadu_ps(a->d + 8 * i)));
    const __m512i first = dot_four_groups(_mm512_loadu_si512(p + QS), q, book, ZERO);
    const __m512i second = dot_four_groups(_mm512_loadu_si512(p + QS + 64), q + 128, book, ZERO);
    s->dot = _mm512_fmadd_ps(_mm512_cvtepi32_ps(first), spread_four(both, 0), s->dot);
    s->more = _mm512_fmadd_ps(_mm512_cvtepi32_ps(second), spread_four(both, 4), s->more);
    s->rest = _mm256_fmadd_ps(scale, _mm256_loadu_ps(a->ds + 8 * i), s->rest);
}

VEC_INLINE float finish_iq4_xs(const sums *s) {
    const __m128 rest = _mm_add_ps(_mm256_castps256_ps128(s->rest), _mm256_extractf128_ps(s->rest, 1));
    return vec_sum16(_mm512_add_ps(s->dot, s->more)) - 128.0f * vec_sum4(rest);
}

/* ---- NVFP4: blocks of four groups of 16 ---- */

/* The scales of four blocks, over 2^7: see scales_nvfp4. */
VEC_INLINE __m512 sixteen_scales(const uint8_t *p) {
    enum { B = sizeof(block_nvfp4) };
    __m128i e = _mm_setr_epi32(vec_load_i32(p), vec_load_i32(p + B), vec_load_i32(p + 2 * B),
                               vec_load_i32(p + 3 * B));
    e = _mm_andnot_si128(_mm_cmpeq_epi8(e, _mm_set1_epi8(0x7f)), e);
    e = _mm_and_si128(e, _mm_set1_epi8(0x7f));
    return _mm512_cvtph_ps(_mm256_slli_epi16(_mm256_cvtepu8_epi16(e), 7));
}

/* Two blocks, a quadword of codes for each group: low nibbles are its first eight values. */
VEC_INLINE __m512i dot_two_blocks(const uint8_t *p, const int8_t *q) {
    enum { B = sizeof(block_nvfp4), QS = offsetof(block_nvfp4, qs), ZERO = 128 };
    const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14),
                  odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
    const __m512i v = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const void *)(p + QS))),
                                         _mm256_loadu_si256((const void *)(p + B + QS)), 1);
    const __m512i a = _mm512_loadu_si512(q), b = _mm512_loadu_si512(q + 64);
    return dot_codes(v, _mm512_permutex2var_epi64(a, even, b), _mm512_permutex2var_epi64(a, odd, b),
                     _mm_setr_epi8(FP4_CODEBOOK), ZERO);
}

/* Four blocks. Of d (a scale for each 32) and z (the zero point's share of each 16) only those that are there
 * are looked at; whatever a block holds its scales are finite. */
VEC_INLINE void step_nvfp4(sums *s, const uint8_t *p, const acts *a, size_t i, size_t left) {
    const __mmask16 groups = left ? (__mmask16)((1u << 4 * left) - 1) : 0xFFFF;
    const __mmask8 scales = left ? (__mmask8)((1u << 2 * left) - 1) : 0xFF;
    const __m512i pairs = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    const __m512 da = _mm512_castps256_ps512(_mm256_maskz_loadu_ps(scales, a->d + 8 * i));
    const __m512 scale = _mm512_mul_ps(sixteen_scales(p), _mm512_permutexvar_ps(pairs, da));
    const __m512i first = dot_two_blocks(p, a->q + 256 * i);
    const __m512i second = dot_two_blocks(p + 2 * sizeof(block_nvfp4), a->q + 256 * i + 128);
    const __m512i upper = _mm512_add_epi32(pairs, _mm512_set1_epi32(8));
    s->dot = _mm512_fmadd_ps(_mm512_cvtepi32_ps(first), _mm512_permutexvar_ps(pairs, scale), s->dot);
    s->dot = _mm512_fmadd_ps(_mm512_cvtepi32_ps(second), _mm512_permutexvar_ps(upper, scale), s->dot);
    const __m512 zeros = _mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(groups, a->z16 + 16 * i));
    s->more = _mm512_fmadd_ps(scale, zeros, s->more);
}

VEC_INLINE float finish_nvfp4(const sums *s) {
    return 128.0f * vec_sum16(_mm512_add_ps(s->dot, s->more));
}

MATVEC(iq4_nl, step_iq4_nl, finish_iq4_nl, 4, sizeof(block_iq4_nl), 32)
MATVEC(mxfp4, step_mxfp4, finish_mxfp4, 4, sizeof(block_mxfp4), 32)
MATVEC(iq4_xs, step_iq4_xs, finish_iq4_xs, 1, sizeof(block_iq4_xs), 256)
MATVEC(nvfp4, step_nvfp4, finish_nvfp4, 4, sizeof(block_nvfp4), 64)

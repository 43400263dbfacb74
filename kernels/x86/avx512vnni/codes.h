/* 64 columns of a block as bytes, in the order of the columns, for the types that matvec_group.c and
 * unpack_group.c multiply: one function per type, so that its bit layout is written down once. `zero` (a
 * constant) is added to each value so that all are unsigned. j counts the 64s from the block on; a type with
 * smaller blocks is asked for those of the following blocks. No byte beyond the blocks is read.
 *
 * vpermb looks at six bits of an index, so a table that repeats itself needs no mask before it. */
#ifndef LEAT_KERNELS_X86_AVX512VNNI_CODES_H
#define LEAT_KERNELS_X86_AVX512VNNI_CODES_H

#include "kernels/blocks.h"
#include "kernels/codebooks.h"
#include "kernels/x86/avx512/vec.h"

typedef __m512i codes_fn(const uint8_t *b, size_t j, const int zero);

/* ---- four bits that stand for a number ---- */

/* 32 nibbles at a and 32 at b, of each the low ones first, in the low bits of a byte. */
VEC_INLINE __m512i two_by_16(const uint8_t *a, const uint8_t *b) {
    const __m512i down = _mm512_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4, 0, 0, 0, 0, 4, 4, 4, 4);
    __m512i v = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)a));
    v = _mm512_mask_broadcast_i32x4(v, 0xFF00, _mm_loadu_si128((const void *)b));
    return _mm512_srlv_epi32(v, down);
}

VEC_INLINE __m512i look_up(__m128i book, __m512i index, const int zero) {
    const __m128i table = _mm_add_epi8(book, _mm_set1_epi8((char)zero));
    return _mm512_permutexvar_epi8(index, _mm512_broadcast_i32x4(table));
}

VEC_INLINE __m512i codes_iq4_nl(const uint8_t *b, size_t j, const int zero) {
    enum { B = sizeof(block_iq4_nl) };
    b += 2 * j * B + offsetof(block_iq4_nl, qs);
    return look_up(_mm_setr_epi8(IQ4_NL_CODEBOOK), two_by_16(b, b + B), zero);
}

VEC_INLINE __m512i codes_iq4_xs(const uint8_t *b, size_t j, const int zero) {
    b += offsetof(block_iq4_xs, qs) + 32 * j;
    return look_up(_mm_setr_epi8(IQ4_NL_CODEBOOK), two_by_16(b, b + 16), zero);
}

VEC_INLINE __m512i codes_mxfp4(const uint8_t *b, size_t j, const int zero) {
    enum { B = sizeof(block_mxfp4) };
    b += 2 * j * B + offsetof(block_mxfp4, qs);
    return look_up(_mm_setr_epi8(FP4_CODEBOOK), two_by_16(b, b + B), zero);
}

/* Groups of 16 in eight bytes each. */
VEC_INLINE __m512i codes_nvfp4(const uint8_t *b, size_t j, const int zero) {
    const __m512i twice = _mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3);
    const __m512i down = _mm512_setr_epi64(0, 4, 0, 4, 0, 4, 0, 4);
    b += j * sizeof(block_nvfp4) + offsetof(block_nvfp4, qs);
    __m512i v = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)b));
    v = _mm512_srlv_epi64(_mm512_permutexvar_epi64(twice, v), down);
    return look_up(_mm_setr_epi8(FP4_CODEBOOK), v, zero);
}

/* ---- one and two bits ---- */

/* +1 and -1 */
VEC_INLINE __m512i codes_q1_0(const uint8_t *b, size_t j, const int zero) {
    uint64_t bits;
    memcpy(&bits, b + j / 2 * sizeof(block_q1_0) + offsetof(block_q1_0, qs) + j % 2 * 8, sizeof bits);
    return _mm512_mask_blend_epi8((__mmask64)bits, _mm512_set1_epi8((char)(zero - 1)),
                                  _mm512_set1_epi8((char)(zero + 1)));
}

/* A byte to a dword, then its four codes to its four bytes. */
VEC_INLINE __m512i codes_q2_0(const uint8_t *b, size_t j, const int zero) {
    const __m512i at = _mm512_set1_epi64(0x2624222006040200);
    b += j * sizeof(block_q2_0) + offsetof(block_q2_0, qs);
    __m512i v = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)b));
    return look_up(_mm_set1_epi32(0x020100ff), _mm512_multishift_epi64_epi8(at, v), zero);
}

/* Values 64 * j .. of a superblock of two-bit codes, in the low bits of a byte: two shifts of the 32 bytes of
 * its half. */
VEC_INLINE __m512i two_bits(const uint8_t *qs, size_t j) {
    const short shift = (short)(j % 2 * 4);
    const __m512i down =
        _mm512_inserti64x4(_mm512_set1_epi16(shift), _mm256_set1_epi16((short)(shift + 2)), 1);
    return _mm512_srlv_epi16(_mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)(qs + j / 2 * 32))),
                             down);
}

VEC_INLINE __m512i low_bits(__m512i v, const int mask) {
    return _mm512_and_si512(v, _mm512_set1_epi8((char)mask));
}

VEC_INLINE __m512i codes_q2_k(const uint8_t *b, size_t j, const int zero) {
    (void)zero; /* they have a minimum */
    return low_bits(two_bits(b + offsetof(block_q2_k, qs), j), 3);
}

VEC_INLINE __m512i codes_tq2_0(const uint8_t *b, size_t j, const int zero) {
    const __m512i q = two_bits(b + offsetof(block_tq2_0, qs), j);
    return zero == 1 ? low_bits(q, 3) : look_up(_mm_set1_epi32(0x020100ff), q, zero);
}

/* Bits 2j and 2j + 1 of hmask to bit 2, in the lower and the upper half. */
VEC_INLINE __m512i codes_q3_k(const uint8_t *b, size_t j, const int zero) {
    const __m512i bytes = _mm512_set1_epi64(0x3830282018100800), bit2 = _mm512_set1_epi8(4);
    const int from = 64 + 2 * (int)j - 2;
    const __m512i at =
        _mm512_inserti64x4(_mm512_set1_epi8((char)from), _mm256_set1_epi8((char)(from + 1)), 1);
    __m512i top = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)(b + offsetof(block_q3_k, hmask))));
    top = _mm512_multishift_epi64_epi8(_mm512_add_epi8(bytes, at), top);
    const __m512i low = two_bits(b + offsetof(block_q3_k, qs), j);
    if (zero == 4) return vec_or_masked(low_bits(low, 3), top, bit2);
    /* bit 2 of top, all others of low */
    const __m512i index = _mm512_ternarylogic_epi64(bit2, top, low, 0xCA);
    return look_up(_mm_set1_epi64x(0x03020100fffefdfc), index, zero);
}

/* ---- digits in base 3 ---- */

/* Modulo 256, to which the format scales its numbers: a byte is a fraction, and times 3 one digit of it is
 * gone. */
VEC_INLINE __m512i times_3(__m512i x) {
    return _mm512_add_epi8(_mm512_add_epi8(x, x), x);
}

/* The highest digit, 3 * x / 256. Averages round up; of the complements they round down. */
VEC_INLINE __m512i highest_digit(__m512i x) {
    const __m512i ones = _mm512_set1_epi8(-1);
    __m512i y = _mm512_xor_si512(x, ones);
    y = _mm512_avg_epu8(y, _mm512_avg_epu8(y, ones));
    return _mm512_andnot_si512(_mm512_srli_epi16(y, 6), _mm512_set1_epi8(3));
}

/* Digit n of all 52 bytes: 32 for columns 32 * n .., 16 for columns 160 + 16 * n .., 4 for 240 + 4 * n .. */
VEC_INLINE __m512i tq1_0_digit(const uint8_t *b, const int n) {
    __m512i x = _mm512_maskz_loadu_epi8(vec_mask64(offsetof(block_tq1_0, d)), b);
    for (int i = 0; i < n; i++) x = times_3(x);
    return highest_digit(x);
}

/* The callers unroll over j, and a compiler works the digits out once for all. */
VEC_INLINE __m512i codes_tq1_0(const uint8_t *b, size_t j, const int zero) {
    const __m512i d0 = tq1_0_digit(b, 0), d1 = tq1_0_digit(b, 1), d2 = tq1_0_digit(b, 2);
    const __m512i d3 = tq1_0_digit(b, 3), d4 = tq1_0_digit(b, 4);
    /* dwords 8..11 (the 16 bytes) of both to lanes 2 and 3 or 0 and 1, dword 12 (the 4 bytes) to where there
     * is room */
    const __m512i to_23 = _mm512_setr_epi32(12, 28, 0, 0, 0, 0, 0, 0, 8, 9, 10, 11, 24, 25, 26, 27);
    const __m512i to_01 = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 28, 0, 0, 0, 0, 0, 0);
    const __m512i last = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 24, 25);
    const __m512i mid01 = _mm512_permutex2var_epi32(d0, to_23, d1),
                  mid23 = _mm512_permutex2var_epi32(d2, to_01, d3);
    __m512i q;
    if (j == 0) {
        q = _mm512_inserti64x4(d0, _mm512_castsi512_si256(d1), 1);
    } else if (j == 1) {
        q = _mm512_inserti64x4(d2, _mm512_castsi512_si256(d3), 1);
    } else if (j == 2) {
        q = _mm512_mask_blend_epi32(0x00FF, mid01, d4);
    } else {
        q = _mm512_mask_blend_epi32(0x0F00, mid23, d4);
        q = _mm512_mask_blend_epi32(0xF000, q, _mm512_permutex2var_epi32(mid01, last, mid23));
    }
    return zero == 1 ? q : _mm512_add_epi8(q, _mm512_set1_epi8((char)(zero - 1)));
}

/* ---- scales ---- */

/* The scales of columns 32 * i .. 32 * i + 127 of a row: i % 4 == 0. */
typedef __m128 scales_fn(const uint8_t *row, size_t i);

VEC_INLINE __m128 halves_as_floats(uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
    return _mm_cvtph_ps(_mm_cvtsi64_si128((long long)(a | b << 16 | c << 32 | d << 48)));
}

VEC_INLINE __m128 half_everywhere(const uint8_t *b) {
    return _mm_cvtph_ps(_mm_set1_epi16((short)vec_load_u16(b)));
}

VEC_INLINE __m128 scales_iq4_nl(const uint8_t *row, size_t i) {
    enum { B = sizeof(block_iq4_nl) };
    row += i * B;
    return halves_as_floats(vec_load_u16(row), vec_load_u16(row + B), vec_load_u16(row + 2 * B),
                            vec_load_u16(row + 3 * B));
}

/* 2^(e - 128), the two smallest of which are denormal. */
VEC_INLINE __m128 scales_mxfp4(const uint8_t *row, size_t i) {
    enum { B = sizeof(block_mxfp4) };
    row += i * B;
    const uint32_t bytes =
        row[0] | (uint32_t)row[B] << 8 | (uint32_t)row[2 * B] << 16 | (uint32_t)row[3 * B] << 24;
    const __m128i e = _mm_cvtepu8_epi32(_mm_cvtsi32_si128((int)bytes));
    const __m128i normal = _mm_slli_epi32(_mm_sub_epi32(e, _mm_set1_epi32(1)), 23);
    const __mmask8 denormal = _mm_cmplt_epu32_mask(e, _mm_set1_epi32(2));
    return _mm_castsi128_ps(_mm_mask_sllv_epi32(normal, denormal, _mm_set1_epi32(0x00200000), e));
}

/* Four bits of each scale in scales_l, two in scales_h. */
VEC_INLINE __m128 scales_iq4_xs(const uint8_t *row, size_t i) {
    const __m128i down_low = _mm_setr_epi32(0, 4, 8, 12), down_high = _mm_setr_epi32(0, 2, 4, 6);
    row += i / 8 * sizeof(block_iq4_xs);
    const int high = vec_load_u16(row + offsetof(block_iq4_xs, scales_h)) >> (i % 8 * 2) << 4;
    const int low = vec_load_u16(row + offsetof(block_iq4_xs, scales_l) + i % 8 / 2);
    __m128i s = _mm_and_si128(_mm_srlv_epi32(_mm_set1_epi32(low), down_low), _mm_set1_epi32(15));
    const __m128i t = _mm_srlv_epi32(_mm_set1_epi32(high), down_high);
    s = _mm_ternarylogic_epi32(s, t, _mm_set1_epi32(0x30), 0xF8);
    return _mm_mul_ps(half_everywhere(row), _mm_cvtepi32_ps(_mm_sub_epi32(s, _mm_set1_epi32(32))));
}

VEC_INLINE __m128 scales_q1_0(const uint8_t *row, size_t i) {
    return half_everywhere(row + i / 4 * sizeof(block_q1_0));
}

VEC_INLINE __m128 scales_q2_0(const uint8_t *row, size_t i) {
    enum { B = sizeof(block_q2_0) };
    row += i / 2 * B;
    const uint64_t a = vec_load_u16(row), b = vec_load_u16(row + B);
    return halves_as_floats(a, a, b, b);
}

/* Half of unsigned E4M3s. As half floats they have the same mantissa and, but for 2^8, the same exponent;
 * 0x7f stands for 0. */
VEC_INLINE __m128 scales_nvfp4(const uint8_t *d) {
    __m128i e = _mm_cvtsi32_si128(vec_load_i32(d));
    e = _mm_andnot_si128(_mm_cmpeq_epi8(e, _mm_set1_epi8(0x7f)), e);
    e = _mm_slli_epi16(_mm_cvtepu8_epi16(_mm_and_si128(e, _mm_set1_epi8(0x7f))), 7);
    return _mm_mul_ps(_mm_cvtph_ps(e), _mm_set1_ps(128.0f));
}

/* The 16 scales of six bits less 32; the drawing is at block_q3_k. */
VEC_INLINE __m128i scales_q3_k(const uint8_t *b) {
    const uint64_t low4 = 0x0f0f0f0f0f0f0f0f;
    const uint8_t *s = b + offsetof(block_q3_k, scales);
    const uint32_t h = (uint32_t)vec_load_i32(s + 8);
    uint64_t low;
    memcpy(&low, s, sizeof low);
    const __m128i bits = _mm_set_epi64x((long long)(low >> 4 & low4), (long long)(low & low4));
    const __m128i high = _mm_rolv_epi32(_mm_set1_epi32((int)h), _mm_setr_epi32(4, 2, 0, 30));
    return _mm_sub_epi8(_mm_ternarylogic_epi32(bits, high, _mm_set1_epi8(0x30), 0xF8), _mm_set1_epi8(32));
}

#endif

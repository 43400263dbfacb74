/* 32 columns of a block as bytes, in the order of the columns, for the types that matvec_group.h and
 * unpack_group.h multiply: one function per type, so that its bit layout is written down once. `zero` (a
 * constant) is added to each value: 0 for int8, or what makes all of them unsigned. j counts the 32s from the
 * block on; a type with blocks of less than 256 may be asked for those of the following blocks. */
#ifndef LEAT_KERNELS_X86_AVX2_CODES_H
#define LEAT_KERNELS_X86_AVX2_CODES_H

#include "avx2.h"

#include "kernels/blocks.h"
#include "kernels/codebooks.h"

typedef __m256i codes_fn(const uint8_t *b, size_t j, const int zero);

/* ---- four bits that stand for a number ---- */

INLINE __m256i both_halves(__m128i x) {
    return _mm256_broadcastsi128_si256(x);
}

/* 16 bytes to 32 nibbles, the low ones first. */
INLINE __m256i nibbles_in_order(const uint8_t *qs) {
    const __m256i down = _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4);
    return _mm256_and_si256(_mm256_srlv_epi32(both_halves(load128(qs)), down), _mm256_set1_epi8(15));
}

INLINE __m256i look_up(__m128i book, __m256i index, const int zero) {
    return _mm256_shuffle_epi8(both_halves(_mm_add_epi8(book, _mm_set1_epi8((char)zero))), index);
}

INLINE __m256i codes_iq4_nl(const uint8_t *b, size_t j, const int zero) {
    b += j * sizeof(block_iq4_nl) + offsetof(block_iq4_nl, qs);
    return look_up(_mm_setr_epi8(IQ4_NL_CODEBOOK), nibbles_in_order(b), zero);
}

INLINE __m256i codes_iq4_xs(const uint8_t *b, size_t j, const int zero) {
    b += offsetof(block_iq4_xs, qs) + 16 * j;
    return look_up(_mm_setr_epi8(IQ4_NL_CODEBOOK), nibbles_in_order(b), zero);
}

INLINE __m256i codes_mxfp4(const uint8_t *b, size_t j, const int zero) {
    b += j * sizeof(block_mxfp4) + offsetof(block_mxfp4, qs);
    return look_up(_mm_setr_epi8(FP4_CODEBOOK), nibbles_in_order(b), zero);
}

/* Groups of 16 in eight bytes each. */
INLINE __m256i codes_nvfp4(const uint8_t *b, size_t j, const int zero) {
    const __m256i twice = _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
                                           13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
    b += j / 2 * sizeof(block_nvfp4) + offsetof(block_nvfp4, qs) + j % 2 * 16;
    __m256i x = _mm256_shuffle_epi8(both_halves(load128(b)), twice);
    x = _mm256_srlv_epi64(x, _mm256_setr_epi64x(0, 4, 0, 4));
    return look_up(_mm_setr_epi8(FP4_CODEBOOK), _mm256_and_si256(x, _mm256_set1_epi8(15)), zero);
}

/* ---- one and two bits ---- */

INLINE __m256i add_bytes(__m256i x, const int n) {
    return n ? _mm256_add_epi8(x, _mm256_set1_epi8((char)n)) : x;
}

/* +1 and -1 */
INLINE __m256i codes_q1_0(const uint8_t *b, size_t j, const int zero) {
    const __m256i byte_of = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit_of = _mm256_set1_epi64x((long long)0x8040201008040201);
    b += j / 4 * sizeof(block_q1_0) + offsetof(block_q1_0, qs) + j % 4 * 4;
    __m256i bits = _mm256_and_si256(_mm256_shuffle_epi8(broadcast32(b), byte_of), bit_of);
    __m256i clear = _mm256_cmpeq_epi8(bits, _mm256_setzero_si256());
    /* zero + 1, and two less where the bit is clear */
    return _mm256_add_epi8(_mm256_add_epi8(clear, clear), _mm256_set1_epi8((char)(zero + 1)));
}

/* Four codes of two bits to a byte: the byte four times, shifted by four for the upper two of them; of these
 * four bits, those of the other code are cleared and a table undoes what shift is left. */
INLINE __m256i codes_q2_0(const uint8_t *b, size_t j, const int zero) {
    const __m256i four_times =
        _mm256_setr_epi64x(0x0101010100000000, 0x0303030302020202, 0x0505050504040404, 0x0707070706060606);
    const __m128i table = _mm_setr_epi8(-1, 0, 1, 2, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0);
    long long raw;
    memcpy(&raw, b + j / 2 * sizeof(block_q2_0) + offsetof(block_q2_0, qs) + j % 2 * 8, sizeof raw);
    __m256i x = _mm256_shuffle_epi8(_mm256_set1_epi64x(raw), four_times);
    x = _mm256_blend_epi16(x, _mm256_srli_epi16(x, 4), 0xaa);
    return look_up(table, _mm256_and_si256(x, _mm256_set1_epi32(0x0c030c03)), zero);
}

/* Values 32 * j .. of a superblock: two bits of the 32 bytes of its half. */
INLINE __m256i two_bits(const uint8_t *qs, size_t j) {
    return _mm256_and_si256(_mm256_srli_epi16(load256(qs + j / 4 * 32), (int)(j % 4 * 2)),
                            _mm256_set1_epi8(3));
}

INLINE __m256i codes_tq2_0(const uint8_t *b, size_t j, const int zero) {
    return add_bytes(two_bits(b + offsetof(block_tq2_0, qs), j), zero - 1);
}

INLINE __m256i codes_q2_k(const uint8_t *b, size_t j, const int zero) {
    return add_bytes(two_bits(b + offsetof(block_q2_k, qs), j), zero);
}

INLINE __m256i codes_q3_k(const uint8_t *b, size_t j, const int zero) {
    __m256i top = load256(b + offsetof(block_q3_k, hmask));
    top = j < 2 ? _mm256_slli_epi16(top, 2 - (int)j) : _mm256_srli_epi16(top, (int)j - 2);
    top = _mm256_and_si256(top, _mm256_set1_epi8(4));
    return add_bytes(_mm256_or_si256(two_bits(b + offsetof(block_q3_k, qs), j), top), zero - 4);
}

/* ---- digits in base 3 ---- */

/* Modulo 256, to which the format scales its numbers: a byte is a fraction, and times 3 one digit of it is
 * gone. */
INLINE __m256i times_3(__m256i x) {
    return _mm256_add_epi8(_mm256_add_epi8(x, x), x);
}

/* The highest digit, 3 * x / 256, plus `offset`. Averages round up; of the complements they round down. */
INLINE __m256i digits(__m256i x, const int offset) {
    const __m256i ones = _mm256_set1_epi8(-1);
    __m256i y = _mm256_xor_si256(x, ones);
    y = _mm256_avg_epu8(y, _mm256_avg_epu8(y, ones));
    return add_bytes(_mm256_andnot_si256(_mm256_srli_epi16(y, 6), _mm256_set1_epi8(3)), offset);
}

/* The 16 bytes from qs[32] on times 3^n, and times 3^(n + 1) in the upper half. */
INLINE __m256i tq1_0_two_digits(const uint8_t *b, const int n) {
    __m256i x = both_halves(load128(b + 32));
    if (n > 0) x = times_3(times_3(x));
    if (n > 2) x = times_3(times_3(x));
    return _mm256_blend_epi32(x, times_3(x), 0xf0);
}

/* Bytes qh[0..3] times 1, 3, 9, 27. */
INLINE __m128i tq1_0_last_digits(const uint8_t *b) {
    const __m256i power = _mm256_setr_epi16(1, 1, 1, 1, 3, 3, 3, 3, 9, 9, 9, 9, 27, 27, 27, 27);
    __m128i qh = _mm_set1_epi32((int)load_u32(b + offsetof(block_tq1_0, qh)));
    __m256i x = _mm256_mullo_epi16(_mm256_cvtepu8_epi16(qh), power);
    x = _mm256_and_si256(x, _mm256_set1_epi16(255));
    return _mm_packus_epi16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}

INLINE __m256i codes_tq1_0(const uint8_t *b, size_t j, const int zero) {
    __m256i x;
    if (j < 5) {
        x = load256(b);
        for (size_t n = 0; n < j; n++) x = times_3(x);
    } else {
        x = tq1_0_two_digits(b, 2 * ((int)j - 5));
        if (j == 7) x = _mm256_inserti128_si256(x, tq1_0_last_digits(b), 1);
    }
    return digits(x, zero - 1);
}

#endif

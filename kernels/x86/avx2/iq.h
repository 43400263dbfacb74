/* The codebook types IQ1_*, IQ2_* and IQ3_* with 32-byte vectors: what iq.c of this folder, of avxvnni and of
 * avx512vnni share. Everything a matvec or an unpack needs of a superblock: magnitudes out of the codebooks,
 * sign bits and odd integer scales,
 *
 *     value = d * unit * scale * q        q: IQ1 8 * (-1, 0, 1) +- 1, IQ2 +-43, IQ3_XXS +-31, IQ3_S +-15
 *
 * as c/iq.c has it. Codebooks (at most 8 KB each) stay in the first-level cache; entries are loaded one by
 * one, broadcast, and blended together: gathers are slow on many machines, and inserts all want the same
 * port. */
#ifndef LEAT_KERNELS_X86_AVX2_IQ_H
#define LEAT_KERNELS_X86_AVX2_IQ_H

#include "avx2.h"

#include "kernels/blocks.h"
#include "kernels/iq_tables.h"

typedef enum iq_type { IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S } iq_type;

INLINE size_t iq_bytes(const iq_type t) {
    return t == IQ1_S     ? sizeof(block_iq1_s)
           : t == IQ1_M   ? sizeof(block_iq1_m)
           : t == IQ2_XXS ? sizeof(block_iq2_xxs)
           : t == IQ2_XS  ? sizeof(block_iq2_xs)
           : t == IQ2_S   ? sizeof(block_iq2_s)
           : t == IQ3_XXS ? sizeof(block_iq3_xxs)
                          : sizeof(block_iq3_s);
}

/* Columns that share a scale. */
INLINE size_t iq_fold(const iq_type t) {
    return t == IQ1_M || t == IQ2_XS || t == IQ2_S ? 16 : 32;
}

INLINE float iq_unit(const iq_type t) {
    return t == IQ3_S ? 1.0f : t == IQ3_XXS ? 0.5f : 0.125f;
}

/* Zero points of panels with minima: code = q + zero, but for IQ1_S, whose minima know delta, and IQ3_S,
 * whose values are odd: q = 2 * code - 15. */
INLINE int iq_zero(const iq_type t) {
    return t == IQ2_XXS ? 43 : t == IQ3_XXS ? 31 : 15;
}
/* What the d of the codes is, in terms of d, and that of the minima. */
INLINE float iq_code_unit(const iq_type t) {
    return t == IQ1_S ? 1.0f : t == IQ3_S ? 2.0f : iq_unit(t);
}

/* d as a half: IQ1_M has a quarter of it at the top of each word of scales. */
INLINE uint16_t iq_d(const uint8_t *b, const iq_type t) {
    if (t != IQ1_M) return load_u16(b);
    b += offsetof(block_iq1_m, scales);
    return (uint16_t)(load_u16(b) >> 12 | (load_u16(b + 2) >> 8 & 0xf0) | (load_u16(b + 4) >> 4 & 0xf00) |
                      (load_u16(b + 6) & 0xf000));
}

/* ---- magnitudes
 * ----------------------------------------------------------------------------------------------- */

INLINE __m256i entry_8(const uint64_t *grid, size_t i) {
    long long x;
    memcpy(&x, grid + i, sizeof x);
    return _mm256_set1_epi64x(x);
}

INLINE __m256i entries_4x8(const uint64_t *grid, size_t i0, size_t i1, size_t i2, size_t i3) {
    __m256i a = _mm256_blend_epi32(entry_8(grid, i0), entry_8(grid, i1), 0x0c);
    __m256i b = _mm256_blend_epi32(entry_8(grid, i2), entry_8(grid, i3), 0xc0);
    return _mm256_blend_epi32(a, b, 0xf0);
}

/* Eight entries of four values; `high`, bit i the ninth of index i. */
INLINE __m256i entries_8x4(const uint32_t *grid, const uint8_t *low, uint32_t high) {
#define ENTRY(i) broadcast32(grid + (low[i] | (high << (8 - (i)) & 256)))
    __m256i a = _mm256_blend_epi32(ENTRY(0), ENTRY(1), 0x02),
            b = _mm256_blend_epi32(ENTRY(2), ENTRY(3), 0x08);
    __m256i c = _mm256_blend_epi32(ENTRY(4), ENTRY(5), 0x20),
            d = _mm256_blend_epi32(ENTRY(6), ENTRY(7), 0x80);
#undef ENTRY
    return _mm256_blend_epi32(_mm256_blend_epi32(a, b, 0x0c), _mm256_blend_epi32(c, d, 0xc0), 0xf0);
}

/* Four entries of IQ1, value + 1. `high`: the three top bits of index i in bits 4 * i .. 4 * i + 2. */
INLINE __m256i entries_iq1(const uint8_t *low, uint32_t high) {
#define ENTRY(i) broadcast32(iq1_grid + (low[i] | (high >> 4 * (i)&7) << 8))
    __m256i a = _mm256_blend_epi32(ENTRY(0), ENTRY(1), 0x0c),
            b = _mm256_blend_epi32(ENTRY(2), ENTRY(3), 0xc0);
#undef ENTRY
    a = _mm256_srlv_epi32(_mm256_blend_epi32(a, b, 0xf0), _mm256_setr_epi32(0, 4, 0, 4, 0, 4, 0, 4));
    return _mm256_and_si256(a, _mm256_set1_epi8(15));
}

/* Values 32 * part .. 32 * part + 31 without their signs. IQ1_S: value + 1, that is 0, 1 or 2, without delta;
 * IQ1_M: q + 9. */
INLINE __m256i iq_magnitudes(const uint8_t *b, int part, const iq_type t) {
    const uint8_t *p;
    uint32_t h;
    uint64_t x;
    switch (t) {
    case IQ2_XXS:
        p = b + offsetof(block_iq2_xxs, qs) + 8 * part;
        return entries_4x8(iq2_xxs_grid, p[0], p[1], p[2], p[3]);
    case IQ2_XS:
        memcpy(&x, b + offsetof(block_iq2_xs, qs) + 8 * part, sizeof x);
        return entries_4x8(iq2_xs_grid, x & 511, x >> 16 & 511, x >> 32 & 511, x >> 48 & 511);
    case IQ2_S:
        p = b + offsetof(block_iq2_s, qs) + 4 * part;
        h = b[offsetof(block_iq2_s, qh) + (size_t)part];
        return entries_4x8(iq2_s_grid, p[0] | (h << 8 & 0x300), p[1] | (h << 6 & 0x300),
                           p[2] | (h << 4 & 0x300), p[3] | (h << 2 & 0x300));
    case IQ3_XXS: return entries_8x4(iq3_xxs_grid, b + offsetof(block_iq3_xxs, qs) + 8 * part, 0);
    case IQ3_S:
        return entries_8x4(iq3_s_grid, b + offsetof(block_iq3_s, qs) + 8 * part,
                           b[offsetof(block_iq3_s, qh) + (size_t)part]);
    case IQ1_S:
        h = load_u16(b + offsetof(block_iq1_s, qh) + 2 * part);
        h = (h & 7) | (h << 1 & 0x70) | (h << 2 & 0x700) | (h << 3 & 0x7000);
        return entries_iq1(b + offsetof(block_iq1_s, qs) + 4 * part, h);
    default: {
        h = load_u16(b + offsetof(block_iq1_m, qh) + 2 * part);
        const __m256i bit = _mm256_setr_epi64x(0x8, 0x80, 0x800, 0x8000), two = _mm256_set1_epi8(2);
        __m256i q = _mm256_slli_epi16(entries_iq1(b + offsetof(block_iq1_m, qs) + 4 * part, h), 3);
        __m256i more = _mm256_and_si256(_mm256_set1_epi64x((long long)h), bit);
        more = _mm256_and_si256(_mm256_cmpeq_epi64(more, _mm256_setzero_si256()), two);
        return _mm256_or_si256(q, more);
    }
    }
}

/* ---- signs
 * ---------------------------------------------------------------------------------------------------- */

/* Seven sign bits are kept of eight: the eighth makes the number of minus signs even. */
INLINE __m256i even_signs(__m256i codes) {
    const __m256i parity =
        _mm256_setr_epi8(0, -128, -128, 0, -128, 0, 0, -128, -128, 0, 0, -128, 0, -128, -128, 0, 0, -128,
                         -128, 0, -128, 0, 0, -128, -128, 0, 0, -128, 0, -128, -128, 0);
    __m256i x = _mm256_xor_si256(codes, _mm256_srli_epi16(codes, 4));
    return _mm256_or_si256(codes, _mm256_shuffle_epi8(parity, _mm256_and_si256(x, _mm256_set1_epi8(15))));
}

/* The eight dwords of IQ2_XXS or IQ3_XXS with four sign codes and a scale each. */
INLINE __m256i iq_xxs_words(const uint8_t *b, const iq_type t) {
    if (t == IQ3_XXS) return load256(b + offsetof(block_iq3_xxs, qs) + 64);
    b += offsetof(block_iq2_xxs, qs); /* indices and these alternate */
    __m256 x = _mm256_shuffle_ps(_mm256_castsi256_ps(load256(b)), _mm256_castsi256_ps(load256(b + 32)), 0xdd);
    return _mm256_permute4x64_epi64(_mm256_castps_si256(x), 0xd8);
}

/* Sign bits of the 256 values, of types that have them. */
INLINE __m256i iq_signs(const uint8_t *b, const iq_type t) {
    if (t == IQ2_S) return load256(b + offsetof(block_iq2_s, qs) + 32);
    if (t == IQ3_S) return load256(b + offsetof(block_iq3_s, signs));
    if (t == IQ2_XS) {
        __m256i lo = _mm256_srli_epi16(load256(b + offsetof(block_iq2_xs, qs)), 9);
        __m256i hi = _mm256_srli_epi16(load256(b + offsetof(block_iq2_xs, qs) + 32), 9);
        return even_signs(_mm256_permute4x64_epi64(_mm256_packus_epi16(lo, hi), 0xd8));
    }
    const __m256i x = iq_xxs_words(b, t), seven = _mm256_set1_epi32(127);
    __m256i a = _mm256_and_si256(x, seven);
    a = _mm256_or_si256(a, _mm256_and_si256(_mm256_slli_epi32(x, 1), _mm256_slli_epi32(seven, 8)));
    a = _mm256_or_si256(a, _mm256_and_si256(_mm256_slli_epi32(x, 2), _mm256_slli_epi32(seven, 16)));
    a = _mm256_or_si256(a, _mm256_and_si256(_mm256_slli_epi32(x, 3), _mm256_slli_epi32(seven, 24)));
    return even_signs(a);
}

/* x, negated where a bit of the 32 at `signs` is set. */
INLINE __m256i with_signs(__m256i x, const uint8_t *signs) {
    const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i s = _mm256_and_si256(_mm256_shuffle_epi8(broadcast32(signs), spread), bit);
    s = _mm256_cmpeq_epi8(s, bit);
    return _mm256_sub_epi8(_mm256_xor_si256(x, s), s);
}

/* ---- scales
 * --------------------------------------------------------------------------------------------------- */

/* Scales as words: of 16 values each, or of 32 and then only the low half counts. */
INLINE __m256i iq_scales(const uint8_t *b, const iq_type t) {
    __m256i s;
    if (t == IQ2_XXS || t == IQ3_XXS) {
        s = _mm256_srli_epi32(iq_xxs_words(b, t), 28);
        s = _mm256_permute4x64_epi64(_mm256_packus_epi32(s, s), 0x08);
    } else if (t == IQ1_S) {
        __m128i x = _mm_srli_epi16(load128(b + offsetof(block_iq1_s, qh)), 12);
        s = _mm256_castsi128_si256(_mm_and_si128(x, _mm_set1_epi16(7)));
    } else if (t == IQ1_M) { /* each word to four, of which the wanted three bits go to the top */
        const __m256i word = _mm256_setr_epi8(0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3, 4, 5, 4, 5, 4,
                                              5, 4, 5, 6, 7, 6, 7, 6, 7, 6, 7);
        __m128i x = _mm_loadl_epi64((const __m128i *)(const void *)(b + offsetof(block_iq1_m, scales)));
        s = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(x), word);
        s = _mm256_mullo_epi16(s, _mm256_set1_epi64x(0x0010008004002000));
        s = _mm256_srli_epi16(s, 13);
    } else {
        __m128i x;
        if (t == IQ3_S)
            x = _mm_cvtsi32_si128((int)load_u32(b + offsetof(block_iq3_s, scales)));
        else
            x = _mm_loadl_epi64(
                (const __m128i *)(const void *)(b + (t == IQ2_XS ? offsetof(block_iq2_xs, scales)
                                                                 : offsetof(block_iq2_s, scales))));
        x = _mm_and_si128(_mm_unpacklo_epi8(x, _mm_srli_epi16(x, 4)), _mm_set1_epi8(15));
        s = _mm256_cvtepu8_epi16(x);
    }
    return _mm256_add_epi16(_mm256_add_epi16(s, s), _mm256_set1_epi16(1));
}

/* IQ1_S: what delta and the one that is added to each value come to, in eighths: 7 or 9 times the scale. */
INLINE __m128i iq1_s_minima(const uint8_t *b, __m256i scales) {
    __m128i less = _mm_srli_epi16(load128(b + offsetof(block_iq1_s, qh)), 15);
    __m128i n = _mm_add_epi16(_mm_add_epi16(less, less), _mm_set1_epi16(7));
    return _mm_mullo_epi16(n, _mm256_castsi256_si128(scales));
}

#endif

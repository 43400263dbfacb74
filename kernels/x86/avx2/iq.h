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

INLINE uint64_t load_u64(const void *p) {
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

INLINE __m256i broadcast64(const void *p) {
    return _mm256_set1_epi64x((long long)load_u64(p));
}

/* Indices 16 * i .. 16 * i + 15 of a superblock as words: eight bits from one place and up to three more from
 * another; the byte (IQ1_S: word) that has these is spread to all its indices, and a product moves them into
 * place. The others' indices are whole numbers already. */
INLINE __m256i iq_indices_16(const uint8_t *b, const size_t i, const iq_type t) {
    __m256i high, spread, shift, bits;
    const uint8_t *low = b + offsetof(block_iq2_s, qs);
    if (t == IQ2_S) {
        high = broadcast32(b + offsetof(block_iq2_s, qh) + 4 * i);
        spread = _mm256_setr_epi8(0, -1, 0, -1, 0, -1, 0, -1, 1, -1, 1, -1, 1, -1, 1, -1, 2, -1, 2, -1, 2, -1,
                                  2, -1, 3, -1, 3, -1, 3, -1, 3, -1);
        shift = _mm256_set1_epi64x(0x0004001000400100);
        bits = _mm256_set1_epi16(0x300);
    } else if (t == IQ3_S) {
        high = _mm256_set1_epi16((short)load_u16(b + offsetof(block_iq3_s, qh) + 2 * i));
        spread = _mm256_setr_epi64x((long long)0xff00ff00ff00ff00, (long long)0xff00ff00ff00ff00,
                                    (long long)0xff01ff01ff01ff01, (long long)0xff01ff01ff01ff01);
        shift = _mm256_setr_epi16(256, 128, 64, 32, 16, 8, 4, 2, 256, 128, 64, 32, 16, 8, 4, 2);
        bits = _mm256_set1_epi16(0x100);
    } else if (t == IQ1_M) {
        low = b + offsetof(block_iq1_m, qs);
        high = broadcast64(b + offsetof(block_iq1_m, qh) + 8 * i);
        spread = _mm256_setr_epi8(0, -1, 0, -1, 1, -1, 1, -1, 2, -1, 2, -1, 3, -1, 3, -1, 4, -1, 4, -1, 5, -1,
                                  5, -1, 6, -1, 6, -1, 7, -1, 7, -1);
        shift = _mm256_set1_epi32(0x00100100);
        bits = _mm256_set1_epi16(0x700);
    } else {
        high = broadcast64(b + offsetof(block_iq1_s, qh) + 8 * i);
        spread = _mm256_setr_epi64x(0x0100010001000100, 0x0302030203020302, 0x0504050405040504,
                                    0x0706070607060706);
        shift = _mm256_set1_epi64x(0x0001000800400200);
        bits = _mm256_set1_epi16(0x700);
    }
    high = _mm256_mullo_epi16(_mm256_shuffle_epi8(high, spread), shift);
    if (t == IQ1_S) high = _mm256_srli_epi16(high, 1);
    return _mm256_or_si256(_mm256_cvtepu8_epi16(load128(low + 16 * i)), _mm256_and_si256(high, bits));
}

/* To memory, from where scalar loads take them one by one. */
INLINE void iq_indices(const uint8_t *b, uint16_t to[64], const iq_type t) {
    if (t == IQ2_XXS || t == IQ2_XS || t == IQ3_XXS) return;
#define STORE(i) _mm256_store_si256((__m256i *)(void *)(to + 16 * (i)), iq_indices_16(b, i, t));
    STORE(0)
    STORE(1)
    if (t == IQ3_S) {
        STORE(2)
        STORE(3)
    }
#undef STORE
    /* and not by shuffles */
    __asm__("" : "+m"(*(uint16_t(*)[64])to));
}

/* Entries of eight values; i: their indices, of any width. */
#define ENTRIES_4X8(grid, i)                                                                                 \
    _mm256_blend_epi32(_mm256_blend_epi32(broadcast64((grid) + (i)[0]), broadcast64((grid) + (i)[1]), 0x0c), \
                       _mm256_blend_epi32(broadcast64((grid) + (i)[2]), broadcast64((grid) + (i)[3]), 0xc0), \
                       0xf0)

/* Entries of four values. */
#define ENTRIES_8X4(grid, i)                                                                                 \
    _mm256_blend_epi32(                                                                                      \
        _mm256_blend_epi32(                                                                                  \
            _mm256_blend_epi32(broadcast32((grid) + (i)[0]), broadcast32((grid) + (i)[1]), 0x02),            \
            _mm256_blend_epi32(broadcast32((grid) + (i)[2]), broadcast32((grid) + (i)[3]), 0x08), 0x0c),     \
        _mm256_blend_epi32(                                                                                  \
            _mm256_blend_epi32(broadcast32((grid) + (i)[4]), broadcast32((grid) + (i)[5]), 0x20),            \
            _mm256_blend_epi32(broadcast32((grid) + (i)[6]), broadcast32((grid) + (i)[7]), 0x80), 0xc0),     \
        0xf0)

/* Entries of IQ1, whose values, plus one, are nibbles: a dword's low ones, then its high ones. */
INLINE __m256i entries_iq1(const uint16_t i[4]) {
    __m256i a = _mm256_blend_epi32(
        _mm256_blend_epi32(broadcast32(iq1_grid + i[0]), broadcast32(iq1_grid + i[1]), 0x0c),
        _mm256_blend_epi32(broadcast32(iq1_grid + i[2]), broadcast32(iq1_grid + i[3]), 0xc0), 0xf0);
    a = _mm256_srlv_epi32(a, _mm256_setr_epi32(0, 4, 0, 4, 0, 4, 0, 4));
    return _mm256_and_si256(a, _mm256_set1_epi8(15));
}

/* Values 32 * part .. 32 * part + 31 without their signs. IQ1_S: value + 1, that is 0, 1 or 2, without delta;
 * IQ1_M: q + 9. */
INLINE __m256i iq_magnitudes(const uint8_t *b, const uint16_t *indices, const int part, const iq_type t) {
    const uint8_t *bytes = b + 2 + 8 * part;
    switch (t) {
    case IQ2_XXS: return ENTRIES_4X8(iq2_xxs_grid, bytes);
    case IQ2_XS: {
        const uint64_t x = load_u64(bytes);
        const size_t i[4] = {x & 511, x >> 16 & 511, x >> 32 & 511, x >> 48 & 511};
        return ENTRIES_4X8(iq2_xs_grid, i);
    }
    case IQ2_S: return ENTRIES_4X8(iq2_s_grid, indices + 4 * part);
    case IQ3_XXS: return ENTRIES_8X4(iq3_xxs_grid, bytes);
    case IQ3_S: return ENTRIES_8X4(iq3_s_grid, indices + 8 * part);
    case IQ1_S: return entries_iq1(indices + 4 * part);
    default: { /* bit 3 of each nibble of qh tells the sign of delta: two more where it is not set */
        const __m256i bit = _mm256_setr_epi64x(0x8, 0x80, 0x800, 0x8000), two = _mm256_set1_epi8(2);
        __m256i more =
            broadcast32(b + offsetof(block_iq1_m, qh) + 2 * part); /* or the first scales, unused */
        more = _mm256_cmpeq_epi64(_mm256_and_si256(more, bit), _mm256_setzero_si256());
        return _mm256_or_si256(_mm256_slli_epi16(entries_iq1(indices + 4 * part), 3),
                               _mm256_and_si256(more, two));
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
#ifdef __AVX512BW__
    return _mm256_mask_sub_epi8(x, load_u32(signs), _mm256_setzero_si256(), x);
#else
    const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i s = _mm256_and_si256(_mm256_shuffle_epi8(broadcast32(signs), spread), bit);
    s = _mm256_cmpeq_epi8(s, bit);
    return _mm256_sub_epi8(_mm256_xor_si256(x, s), s);
#endif
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

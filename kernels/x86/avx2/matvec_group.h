/* matvec for types of three bits and less: the templates that matvec_group.c of this folder and of avxvnni
 * compile. Straight from where the file is mapped, four rows side by side; no byte beyond the last block of a
 * row is read. Two shapes: Q1_0 and Q2_0, whose scales are floats and meet those of ACT_Q8_32, and
 * superblocks of 256, which have integer sums and one float each, with ACT_Q8_256. The scales of all types of
 * codes.h are here too, for matvec_fp4.h and unpack_group.h. */
#ifndef LEAT_KERNELS_X86_AVX2_MATVEC_GROUP_H
#define LEAT_KERNELS_X86_AVX2_MATVEC_GROUP_H

#include "codes.h"
#include "matvec_k.h"

/* ---- scales ---- */

/* The scales of columns 32 * i .. 32 * i + 127 of a row: i % 4 == 0. */
typedef __m128 scales_fn(const uint8_t *row, size_t i);

INLINE __m128 four_halves(const uint8_t *b, const size_t stride) {
    return _mm_cvtph_ps(_mm_setr_epi16((short)load_u16(b), (short)load_u16(b + stride),
                                       (short)load_u16(b + 2 * stride), (short)load_u16(b + 3 * stride), 0, 0,
                                       0, 0));
}

INLINE __m128 half_everywhere(const uint8_t *b) {
    return _mm_cvtph_ps(_mm_set1_epi16((short)load_u16(b)));
}

INLINE __m128 scales_iq4_nl(const uint8_t *row, size_t i) {
    return four_halves(row + i * sizeof(block_iq4_nl), sizeof(block_iq4_nl));
}

/* 2^(e - 127), of which the least is denormal: over MXFP4_FACTOR, as the codes are twice the values. */
#define MXFP4_FACTOR 0.5f
INLINE __m128 scales_mxfp4(const uint8_t *row, size_t i) {
    enum { B = sizeof(block_mxfp4) };
    row += i * B;
    const uint32_t bytes =
        row[0] | (uint32_t)row[B] << 8 | (uint32_t)row[2 * B] << 16 | (uint32_t)row[3 * B] << 24;
    const __m128i e = _mm_slli_epi32(_mm_cvtepu8_epi32(_mm_cvtsi32_si128((int)bytes)), 23);
    return _mm_castsi128_ps(_mm_max_epu32(e, _mm_set1_epi32(0x00400000)));
}

/* Bits of the scales are in a byte of scales_l and of scales_h: 4 or 2 to be shifted from where they are. */
INLINE __m128 scales_iq4_xs(const uint8_t *row, size_t i) {
    const __m128i down_low = _mm_setr_epi32(0, 4, 8, 12), down_high = _mm_setr_epi32(0, 2, 4, 6);
    row += i / 8 * sizeof(block_iq4_xs);
    const int high = load_u16(row + offsetof(block_iq4_xs, scales_h)) >> (i % 8 * 2);
    const int low = load_u16(row + offsetof(block_iq4_xs, scales_l) + i % 8 / 2);
    __m128i s = _mm_and_si128(_mm_srlv_epi32(_mm_set1_epi32(low), down_low), _mm_set1_epi32(15));
    __m128i t = _mm_and_si128(_mm_srlv_epi32(_mm_set1_epi32(high), down_high), _mm_set1_epi32(3));
    s = _mm_sub_epi32(_mm_or_si128(s, _mm_slli_epi32(t, 4)), _mm_set1_epi32(32));
    return _mm_mul_ps(half_everywhere(row), _mm_cvtepi32_ps(s));
}

INLINE __m128 scales_q1_0(const uint8_t *row, size_t i) {
    return half_everywhere(row + i / 4 * sizeof(block_q1_0));
}

INLINE __m128 scales_q2_0(const uint8_t *row, size_t i) {
    enum { B = sizeof(block_q2_0) };
    const uint8_t *b = row + i / 2 * B;
    return _mm_cvtph_ps(_mm_setr_epi16((short)load_u16(b), (short)load_u16(b), (short)load_u16(b + B),
                                       (short)load_u16(b + B), 0, 0, 0, 0));
}

/* NVFP4: the scales of two blocks, over NVFP4_FACTOR, which is the rest of 2^8, halved as the codes are twice
 * the values. As half floats unsigned E4M3s have the same mantissa and, but for 2^8, the same exponent; 0x7f
 * stands for 0. */
#define NVFP4_FACTOR 128.0f
INLINE __m256 eight_scales_nvfp4(const uint8_t *b) {
    __m128i e = _mm_unpacklo_epi32(_mm_cvtsi32_si128((int)load_u32(b)),
                                   _mm_cvtsi32_si128((int)load_u32(b + sizeof(block_nvfp4))));
    e = _mm_andnot_si128(_mm_cmpeq_epi8(e, _mm_set1_epi8(0x7f)), e);
    e = _mm_cvtepu8_epi16(_mm_and_si128(e, _mm_set1_epi8(0x7f)));
    return _mm256_cvtph_ps(_mm_slli_epi16(e, 7));
}

/* ---- Q1_0, Q2_0 ---- */

typedef struct group_sums {
    __m256 dot;
    __m128 offset; /* scale times the sum of activations, for the zero point */
} group_sums;

INLINE __m256 lane_of(__m128 x, const int i) {
    __m256i lane = _mm256_set1_epi32(i);
    __asm__("" : "+x"(lane)); /* one shuffle; a compiler that sees the constant may think two others better */
    return _mm256_permutevar8x32_ps(_mm256_castps128_ps256(x), lane);
}

/* Sums of four products. */
INLINE __m256i dot_small(__m256i w, __m256i q) {
#ifdef __AVXVNNI__
    return _mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), w, q);
#else
    return _mm256_madd_epi16(_mm256_maddubs_epi16(w, q), _mm256_set1_epi16(1));
#endif
}

/* Values over two, plus a half. */
INLINE __m256i bits_q1_0(const uint8_t *b, size_t j, const int zero) {
    const __m256i byte_of = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit_of = _mm256_set1_epi64x((long long)0x8040201008040201);
    const __m256i x = broadcast32(b + offsetof(block_q1_0, qs) + 4 * j);
    return _mm256_min_epu8(_mm256_and_si256(_mm256_shuffle_epi8(x, byte_of), bit_of),
                           _mm256_set1_epi8(zero != 0));
}

/* Columns 32 * j .. 32 * j + 63 with the scales of their activations from memory, from where a broadcast
 * takes no arithmetic port. */
INLINE __m256 add_64_columns(__m256 sum, const uint8_t *b, const size_t j, const int8_t *q, const float *d,
                             codes_fn *codes) {
    const __m256i even = dot_small(codes(b, j, 1), load256(q + 32 * j));
    const __m256i odd = dot_small(codes(b, j + 1, 1), load256(q + 32 * (j + 1)));
    sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(even), broadcast_float(d + j), sum);
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(odd), broadcast_float(d + j + 1), sum);
}

/* 128 columns, their codes one (Q2_0) or a half too large. */
INLINE void step_groups(group_sums *s, const uint8_t *b, const int8_t *q, const float *d, __m128 ds,
                        codes_fn *codes, scales_fn *scales, const bool one_scale) {
    const __m128 w = scales(b, 0);
    __m256 x = add_64_columns(_mm256_setzero_ps(), b, 0, q, d, codes);
    if (!one_scale) {
        s->dot = _mm256_fmadd_ps(x, _mm256_broadcastss_ps(w), s->dot);
        x = _mm256_setzero_ps();
    }
    x = add_64_columns(x, b, 2, q, d, codes);
    s->dot = _mm256_fmadd_ps(x, one_scale ? _mm256_broadcastss_ps(w) : lane_of(w, 2), s->dot);
    s->offset = _mm_fmadd_ps(w, ds, s->offset);
}

/* n (STREAMS or 1) times `per` rows. bytes: of 128 columns. Half of that may be left over at the end of a
 * row: it is copied before zeros. */
INLINE void group_rows(const char *w, size_t row_bytes, size_t per, const int n, size_t k, const void *act,
                       float *y, const size_t bytes, const float unit, codes_fn *codes, scales_fn *scales) {
    const bool one_scale = bytes == sizeof(block_q1_0);
    const float *d = act_d(act, k), *ds = act_ds(act, k);
    const int8_t *q = act_q(act);
    const size_t whole = k / 128 * 4;
    streams ahead = streams_open(w, row_bytes, per, n);
    for (size_t r = 0; r < per; r++) {
        const char *b = streams_row(&ahead, w, r);
#define START(t) group_sums s##t = {_mm256_setzero_ps(), _mm_setzero_ps()};
        EACH_STREAM(START)
        for (size_t i = 0; i < whole; i += 4, b += bytes) {
            streams_ask(&ahead, b + bytes, bytes, n);
#define ADD(t)                                                                                               \
    if (t < n)                                                                                               \
        step_groups(&s##t, (const uint8_t *)b + t * ahead.apart, q + 32 * i, d + i, _mm_loadu_ps(ds + i),    \
                    codes, scales, one_scale);
            EACH_STREAM(ADD)
        }
        if (whole < k / 32) {
            const __m128i valid = _mm256_castsi256_si128(lanes_below(2));
            const float left[4] = {d[whole], d[whole + 1]};
            uint8_t copy[2 * sizeof(block_q2_0)] = {0};
#define LEFT(t)                                                                                              \
    if (t < n) {                                                                                             \
        memcpy(copy, b + t * ahead.apart, sizeof(block_q2_0));                                               \
        step_groups(&s##t, copy, q + 32 * whole, left, _mm_maskload_ps(ds + whole, valid), codes, scales,    \
                    one_scale);                                                                              \
    }
            EACH_STREAM(LEFT)
        }
#define FINISH(t)                                                                                            \
    if (t < n) y[r + t * per] = unit * sum8(s##t.dot) - sum4(s##t.offset);
        EACH_STREAM(FINISH)
    }
#undef START
#undef ADD
#undef LEFT
#undef FINISH
}

/* unit: the values' step. */
INLINE void matvec_groups(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act, float *y,
                          const size_t bytes, const float unit, codes_fn *codes, scales_fn *scales) {
    const size_t per = n_rows / STREAMS, done = STREAMS * per;
    group_rows(w, row_bytes, per, STREAMS, k, act, y, bytes, unit, codes, scales);
    group_rows((const char *)w + done * row_bytes, row_bytes, n_rows - done, 1, k, act, y + done, bytes, unit,
               codes, scales);
}

/* ---- superblocks ---- */

/* What a superblock adds up to, before its d (and dmin). */
typedef struct block_sums {
    __m256i dot, min;
} block_sums;

/* d_at: where d is, and after it dmin where there are minima. */
INLINE void add_superblock(sums_k *s, const uint8_t *b, float act_d, block_sums x, const size_t d_at,
                           const bool has_min) {
    const __m128 both =
        _mm_cvtph_ps(_mm_cvtsi32_si128(has_min ? (int)load_u32(b + d_at) : (int)load_u16(b + d_at)));
    const __m128 scale = _mm_mul_ps(both, _mm_set1_ps(act_d));
    s->dot = _mm256_fmadd_ps(_mm256_cvtepi32_ps(x.dot), _mm256_broadcastss_ps(scale), s->dot);
    if (has_min)
        s->min =
            _mm256_fmadd_ps(_mm256_cvtepi32_ps(x.min), _mm256_broadcastss_ps(_mm_movehdup_ps(scale)), s->min);
}

/* Scales of 16 groups of 16 as words: even ones in the lower half, odd ones in the upper, as 32 columns have
 * them. */
INLINE __m256i even_odd_words(__m128i bytes) {
    const __m128i even_odd = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    return _mm256_cvtepi8_epi16(_mm_shuffle_epi8(bytes, even_odd));
}

INLINE __m256i dot_scaled_groups(const uint8_t *b, const int8_t *q, __m128i scales, codes_fn *codes,
                                 const int zero) {
    const __m256i words = even_odd_words(scales);
    __m256i sum = _mm256_setzero_si256();
#define ADD(j)                                                                                               \
    sum = add_scaled(sum, codes(b, j, zero), load256(q + 32 * (j)),                                          \
                     _mm256_shuffle_epi8(words, load256(word_to_words[j])));
    ADD(0)
    ADD(1)
    ADD(2)
    ADD(3)
    ADD(4)
    ADD(5)
    ADD(6)
    ADD(7)
#undef ADD
    return sum;
}

INLINE void superblock_q2_k(sums_k *s, const uint8_t *b, const act_256 *a) {
    const __m128i low4 = _mm_set1_epi8(15), both = load128(b);
    const __m256i min = _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(both, 4), low4));
    const block_sums x = {dot_scaled_groups(b, a->q, _mm_and_si128(both, low4), codes_q2_k, 0),
                          _mm256_madd_epi16(min, load256(a->s16))};
    add_superblock(s, b, a->d, x, offsetof(block_q2_k, d), true);
}

/* The 16 scales of six bits less 32; the drawing is at block_q3_k. */
INLINE __m128i scales_q3_k(const uint8_t *b) {
    const __m128i low4 = _mm_set1_epi8(15), top2 = _mm_set1_epi8(0x30);
    const uint8_t *s = b + offsetof(block_q3_k, scales);
    const __m128i low = _mm_loadl_epi64((const __m128i *)(const void *)s);
    const uint32_t h = load_u32(s + 8);
    const __m128i high = _mm_setr_epi32((int)(h << 4), (int)(h << 2), (int)h, (int)(h >> 2));
    __m128i x = _mm_and_si128(_mm_unpacklo_epi64(low, _mm_srli_epi16(low, 4)), low4);
    return _mm_sub_epi8(_mm_or_si128(x, _mm_and_si128(high, top2)), _mm_set1_epi8(32));
}

INLINE void superblock_q3_k(sums_k *s, const uint8_t *b, const act_256 *a) {
    const __m128i scales = scales_q3_k(b);
    const __m256i zero = _mm256_madd_epi16(_mm256_cvtepi8_epi16(scales), load256(a->s16));
    const block_sums x = {
        _mm256_sub_epi32(dot_scaled_groups(b, a->q, scales, codes_q3_k, 4), _mm256_slli_epi32(zero, 2)),
        _mm256_setzero_si256()};
    add_superblock(s, b, a->d, x, offsetof(block_q3_k, d), false);
}

/* Ternary: products are so small that pairs of all 256 fit an int16. */
INLINE block_sums ternary_sums(const uint8_t *b, const int8_t *q, const int16_t *s32, codes_fn *codes) {
    const __m256i zero = _mm256_castsi128_si256(_mm_madd_epi16(load128(s32), _mm_set1_epi16(-1)));
    const __m256i start = _mm256_inserti128_si256(zero, _mm_setzero_si128(), 1);
#ifdef __AVXVNNI__
    __m256i even = start, odd = _mm256_setzero_si256();
#    define ADD(sum, j) sum = _mm256_dpbusd_avx_epi32(sum, codes(b, j, 1), load256(q + 32 * (j)));
#else
    __m256i even = _mm256_setzero_si256(), odd = even;
#    define ADD(sum, j)                                                                                      \
        sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(codes(b, j, 1), load256(q + 32 * (j))));
#endif
    ADD(even, 0)
    ADD(odd, 1)
    ADD(even, 2)
    ADD(odd, 3)
    ADD(even, 4)
    ADD(odd, 5)
    ADD(even, 6)
    ADD(odd, 7)
#undef ADD
#ifdef __AVXVNNI__
    return (block_sums){_mm256_add_epi32(even, odd), _mm256_setzero_si256()};
#else
    const __m256i sum = _mm256_madd_epi16(_mm256_add_epi16(even, odd), _mm256_set1_epi16(1));
    return (block_sums){_mm256_add_epi32(start, sum), _mm256_setzero_si256()};
#endif
}

INLINE void superblock_tq1_0(sums_k *s, const uint8_t *b, const act_256 *a) {
    add_superblock(s, b, a->d, ternary_sums(b, a->q, a->s32, codes_tq1_0), offsetof(block_tq1_0, d), false);
}

INLINE void superblock_tq2_0(sums_k *s, const uint8_t *b, const act_256 *a) {
    add_superblock(s, b, a->d, ternary_sums(b, a->q, a->s32, codes_tq2_0), offsetof(block_tq2_0, d), false);
}

/* ---- all kernels of an instruction set ---- */

#define MATVEC_OF(name, isa, call)                                                                           \
    void matvec_##name##_##isa(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act,    \
                               float *y) {                                                                   \
        call;                                                                                                \
    }
#define MATVEC_32S(name, isa, bytes, unit, codes)                                                            \
    MATVEC_OF(name, isa, matvec_groups(w, row_bytes, n_rows, k, act, y, bytes, unit, codes, scales_##name))
#define MATVEC_GROUP(isa)                                                                                    \
    MATVEC_32S(q1_0, isa, sizeof(block_q1_0), 2, bits_q1_0)                                                  \
    MATVEC_32S(q2_0, isa, 2 * sizeof(block_q2_0), 1, codes_q2_0)                                             \
    MATVEC_256(q2_k, isa, true)                                                                              \
    MATVEC_256(q3_k, isa, false)                                                                             \
    MATVEC_256(tq1_0, isa, false)                                                                            \
    MATVEC_256(tq2_0, isa, false)

#endif

/* matvec for types of four bits that stand for a number, IQ4_NL, IQ4_XS, MXFP4 and NVFP4, times ACT_Q8_32:
 * the templates that matvec_fp4.c of this folder and of avxvnni compile. codes.h has their layouts; here 32
 * bytes of codes are looked up as they lie, the low halves of bytes and the high ones, and the activations
 * are brought into that order once for all rows, so that 64 columns end in one vector of sums. No byte beyond
 * the last block of a row is read. */
#ifndef LEAT_KERNELS_X86_AVX2_MATVEC_FP4_H
#define LEAT_KERNELS_X86_AVX2_MATVEC_FP4_H

#include "matvec_group.h"
#include "matvec_q.h"

/* 32 bytes of codes times 64 activations, those of low nibbles first. */
INLINE __m256i dot_nibbles(__m256i v, const int8_t *q, __m128i book, const int zero) {
    const __m256i low4 = _mm256_set1_epi8(15);
    const __m256i low = look_up(book, _mm256_and_si256(v, low4), zero);
    const __m256i high = look_up(book, _mm256_and_si256(_mm256_srli_epi16(v, 4), low4), zero);
    if (zero) return dot_codes(low, load256(q), high, load256(q + 32));
    return _mm256_add_epi32(dot_q8(low, load256(q)), dot_q8(high, load256(q + 32)));
}

/* A row's columns, and the activations that meet them. */
typedef struct part {
    const uint8_t *w;
    size_t n;        /* columns / 32 */
    const int8_t *q; /* in the order of the type */
    const float *d, *ds;
    const int32_t *z16;
} part;
typedef float part_fn(const part *x, const char **ahead);
typedef void pair_fn(paired *to, const int8_t *q, size_t n);

INLINE __m128i first_lanes(size_t n) {
    return _mm256_castsi256_si128(lanes_below((int)n));
}

/* ---- IQ4_NL, MXFP4: blocks of 32 ---- */

INLINE void step_blocks(group_sums *s, const uint8_t *b, const int8_t *q, __m128 d, __m128 ds,
                        const size_t bytes, const size_t qs, scales_fn *scales, __m128i book,
                        const int zero) {
    const __m128 w = scales(b, 0);
    const __m256 scale = _mm256_castps128_ps256(_mm_mul_ps(w, d));
    const __m256i v0 = load2x128(b + qs, b + bytes + qs);
    const __m256i v1 = load2x128(b + 2 * bytes + qs, b + 3 * bytes + qs);
    s->dot0 =
        _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot_nibbles(v0, q, book, zero)), lanes_of(scale, 0, 1), s->dot0);
    s->dot1 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot_nibbles(v1, q + 64, book, zero)), lanes_of(scale, 2, 3),
                              s->dot1);
    if (zero) s->offset = _mm_fmadd_ps(w, ds, s->offset);
}

INLINE float dot_blocks(const part *x, const char **ahead, const size_t bytes, const size_t qs,
                        scales_fn *scales, __m128i book, const int zero) {
    const uint8_t *b = x->w;
    const size_t n_whole = x->n / 4 * 4;
    group_sums s = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm_setzero_ps()};
    for (size_t i = 0; i < n_whole; i += 4, b += 4 * bytes) {
        *ahead = prefetch_step(*ahead, (const char *)b + 4 * bytes, 4 * bytes);
        step_blocks(&s, b, x->q + 32 * i, _mm_loadu_ps(x->d + i), _mm_loadu_ps(x->ds + i), bytes, qs, scales,
                    book, zero);
    }
    if (n_whole < x->n) {
        uint8_t copy[4 * sizeof(block_iq4_nl)] = {0};
        const __m128i valid = first_lanes(x->n - n_whole);
        memcpy(copy, b, (x->n - n_whole) * bytes);
        step_blocks(&s, copy, x->q + 32 * n_whole, _mm_maskload_ps(x->d + n_whole, valid),
                    _mm_maskload_ps(x->ds + n_whole, valid), bytes, qs, scales, book, zero);
    }
    return sum8(_mm256_add_ps(s.dot0, s.dot1)) - (float)zero * sum4(s.offset);
}

INLINE float dot_iq4_nl(const part *x, const char **ahead) {
    return dot_blocks(x, ahead, sizeof(block_iq4_nl), offsetof(block_iq4_nl, qs), scales_iq4_nl,
                      _mm_setr_epi8(IQ4_NL_CODEBOOK), WIDE_ZERO);
}

INLINE float dot_mxfp4(const part *x, const char **ahead) {
    return MXFP4_FACTOR * dot_blocks(x, ahead, sizeof(block_mxfp4), offsetof(block_mxfp4, qs), scales_mxfp4,
                                     _mm_setr_epi8(FP4_CODEBOOK), 12);
}

/* ---- IQ4_XS ---- */

/* All eight scales of a superblock, before d: four bits each in scales_l, two in scales_h, which is the upper
 * half of the dword that begins with d. */
INLINE __m256 superblock_scales(const uint8_t *b) {
    const __m256i low = broadcast32(b + offsetof(block_iq4_xs, scales_l)), high = broadcast32(b);
    __m256i s = _mm256_srlv_epi32(low, _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
    __m256i t = _mm256_srlv_epi32(high, _mm256_setr_epi32(12, 14, 16, 18, 20, 22, 24, 26));
    s = _mm256_or_si256(_mm256_and_si256(s, _mm256_set1_epi32(15)),
                        _mm256_and_si256(t, _mm256_set1_epi32(0x30)));
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(s, _mm256_set1_epi32(32)));
}

INLINE float dot_iq4_xs(const part *x, const char **ahead) {
    enum { B = sizeof(block_iq4_xs) };
    const __m128i book = _mm_setr_epi8(IQ4_NL_CODEBOOK);
    const uint8_t *b = x->w;
    __m256 dot0 = _mm256_setzero_ps(), dot1 = dot0, offset = dot0;
    for (size_t i = 0; i < x->n; i += 8, b += B) {
        *ahead = prefetch_step(*ahead, (const char *)b + B, B);
        const __m256 half = _mm256_cvtph_ps(_mm_set1_epi16((short)load_u16(b)));
        const __m256 w = _mm256_mul_ps(superblock_scales(b), half);
        const __m256 scale = _mm256_mul_ps(w, _mm256_loadu_ps(x->d + i));
#define ADD(sum, j)                                                                                          \
    {                                                                                                        \
        const __m256i v = load256(b + offsetof(block_iq4_xs, qs) + 32 * (j));                                \
        const __m256i dot = dot_nibbles(v, x->q + 32 * i + 64 * (j), book, WIDE_ZERO);                       \
        sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), lanes_of(scale, 2 * (j), 2 * (j) + 1), sum);          \
    }
        ADD(dot0, 0)
        ADD(dot1, 1)
        ADD(dot0, 2)
        ADD(dot1, 3)
#undef ADD
        if (WIDE_ZERO) offset = _mm256_fmadd_ps(w, _mm256_loadu_ps(x->ds + i), offset);
    }
    return sum8(_mm256_add_ps(dot0, dot1)) - (float)WIDE_ZERO * sum8(offset);
}

/* ---- NVFP4: blocks of four groups of 16 ---- */

/* A quadword of codes is a group, its low nibbles the first eight values: those of four groups, then the
 * second eight. */
INLINE void pair_groups(paired *to, const int8_t *q, size_t n) {
    for (size_t i = 0; i < n; i += 2, q += 64) {
        const __m256i a = load256(q), b = load256(q + 32);
        const __m256i first = _mm256_permute4x64_epi64(_mm256_unpacklo_epi64(a, b), 0xd8);
        const __m256i second = _mm256_permute4x64_epi64(_mm256_unpackhi_epi64(a, b), 0xd8);
        _mm256_store_si256((__m256i *)(void *)(to->q + 32 * i), first);
        _mm256_store_si256((__m256i *)(void *)(to->q + 32 * i + 32), second);
    }
}

typedef struct nvfp4_sums {
    __m256 dot0, dot1, offset;
} nvfp4_sums;

INLINE __m256 pairs_of(__m256 x, const int first) {
    const __m256i lanes = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    return _mm256_permutevar8x32_ps(x, _mm256_add_epi32(lanes, _mm256_set1_epi32(first)));
}

/* Two blocks. What the zero point has too much is a part of -128 times the sum of activations. */
INLINE void step_nvfp4(nvfp4_sums *s, const uint8_t *b, const int8_t *q, __m128 d, __m256i z16) {
    enum { B = sizeof(block_nvfp4), QS = offsetof(block_nvfp4, qs), ZERO = 12 };
    const __m128i book = _mm_setr_epi8(FP4_CODEBOOK);
    const __m256 scale = _mm256_mul_ps(eight_scales_nvfp4(b), pairs_of(_mm256_castps128_ps256(d), 0));
    const __m256i a = dot_nibbles(load256(b + QS), q, book, ZERO);
    const __m256i c = dot_nibbles(load256(b + B + QS), q + 64, book, ZERO);
    s->dot0 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(a), pairs_of(scale, 0), s->dot0);
    s->dot1 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(c), pairs_of(scale, 4), s->dot1);
    s->offset = _mm256_fmadd_ps(_mm256_cvtepi32_ps(z16), scale, s->offset);
}

INLINE float dot_nvfp4(const part *x, const char **ahead) {
    enum { B = sizeof(block_nvfp4) };
    const uint8_t *b = x->w;
    const size_t n_whole = x->n / 4 * 4;
    nvfp4_sums s = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    for (size_t i = 0; i < n_whole; i += 4, b += 2 * B) {
        *ahead = prefetch_step(*ahead, (const char *)b + 2 * B, 2 * B);
        step_nvfp4(&s, b, x->q + 32 * i, _mm_loadu_ps(x->d + i), load256(x->z16 + 2 * i));
    }
    if (n_whole < x->n) { /* half a step: one block */
        uint8_t copy[2 * B] = {0};
        memcpy(copy, b, B);
        step_nvfp4(&s, copy, x->q + 32 * n_whole, _mm_maskload_ps(x->d + n_whole, first_lanes(2)),
                   _mm256_maskload_epi32(x->z16 + 2 * n_whole, lanes_below(4)));
    }
    const float offset = sum8(s.offset) * (12.0f / 128.0f);
    return NVFP4_FACTOR * (sum8(_mm256_add_ps(s.dot0, s.dot1)) + offset);
}

/* ---- all rows ---- */

/* bytes, values: of a block. */
INLINE void matvec_parts(const uint8_t *w, size_t row_bytes, size_t n_rows, size_t k, const void *act,
                         float *y, const size_t bytes, const size_t values, pair_fn *pair, part_fn *dot) {
    paired p;
    size_t done = 0;
    do {
        const size_t n = k / 32 - done < PAIRED_MAX / 32 ? k / 32 - done : PAIRED_MAX / 32;
        const uint8_t *first = w + done * 32 / values * bytes;
        const char *ahead = (const char *)first;
        pair(&p, act_q(act) + 32 * done, (n + 3) / 4 * 4);
        part x = {first, n, p.q, act_d(act, k) + done, act_ds(act, k) + done, act_z16(act, k) + 2 * done};
        for (size_t r = 0; r < n_rows; r++, x.w += row_bytes) {
            if (ahead < (const char *)x.w) ahead = (const char *)x.w;
            const float sum = dot(&x, &ahead);
            y[r] = done ? y[r] + sum : sum;
        }
        done += n;
    } while (done < k / 32);
}

#define MATVEC_PART(name, isa, values, pair)                                                                 \
    MATVEC_OF(name, isa,                                                                                     \
              matvec_parts(w, row_bytes, n_rows, k, act, y, sizeof(block_##name), values, pair, dot_##name))
#define MATVEC_FP4(isa)                                                                                      \
    MATVEC_PART(iq4_nl, isa, 32, pair_blocks)                                                                \
    MATVEC_PART(iq4_xs, isa, 256, pair_blocks)                                                               \
    MATVEC_PART(mxfp4, isa, 32, pair_blocks)                                                                 \
    MATVEC_PART(nvfp4, isa, 64, pair_groups)

#endif

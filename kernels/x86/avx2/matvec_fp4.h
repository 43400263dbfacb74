/* matvec for types of four bits that stand for a number, IQ4_NL, IQ4_XS, MXFP4 and NVFP4, times ACT_Q8_32:
 * the templates that matvec_fp4.c of this folder and of avxvnni compile. codes.h has their layouts; here 32
 * bytes of codes are looked up as they lie, the low halves of bytes and the high ones, and the activations
 * are brought into that order once for all rows, so that 64 columns end in one vector of sums. No byte beyond
 * the last block of a row is read. */
#ifndef LEAT_KERNELS_X86_AVX2_MATVEC_FP4_H
#define LEAT_KERNELS_X86_AVX2_MATVEC_FP4_H

#include "matvec_group.h"
#include "matvec_q.h"

/* A codebook may need all of int8. That is a code plus 128 for the instruction that wants one side unsigned,
 * or, where sums of two such products saturate, the int8 itself. */
#ifdef __AVXVNNI__
enum { WIDE_ZERO = 128 };
#else
enum { WIDE_ZERO = 0 };
#endif

/* 32 bytes of codes times 64 activations, those of low nibbles first. */
INLINE __m256i dot_nibbles(__m256i v, const int8_t *q, __m128i book, const int zero) {
    const __m256i low4 = _mm256_set1_epi8(15);
    const __m256i low = look_up(book, _mm256_and_si256(v, low4), zero);
    const __m256i high = look_up(book, _mm256_and_si256(_mm256_srli_epi16(v, 4), low4), zero);
    if (zero) return dot_codes(low, load256(q), high, load256(q + 32));
    return _mm256_add_epi32(dot_q8(low, load256(q)), dot_q8(high, load256(q + 32)));
}

/* The activations that columns of a row meet. */
typedef struct part {
    size_t n;        /* columns / 32 */
    const int8_t *q; /* in the order of the type */
    const float *d, *ds;
    const int32_t *z16;
} part;
typedef void pair_fn(paired *to, const int8_t *q, size_t n);

/* What a row adds up; offset: for zero points. */
typedef struct part_sums {
    __m256 dot0, dot1, offset;
} part_sums;
typedef void part_step_fn(part_sums *s, const uint8_t *b, const part *x, size_t i);
typedef float part_end_fn(const part_sums *s);

/* ---- IQ4_NL, MXFP4: blocks of 32 ---- */

INLINE void step_blocks(part_sums *s, const uint8_t *b, const part *x, size_t i, const size_t bytes,
                        const size_t qs, scales_fn *scales, __m128i book, const int zero) {
    const __m128 w = scales(b, 0);
    const __m256 scale = _mm256_castps128_ps256(_mm_mul_ps(w, _mm_loadu_ps(x->d + i)));
    const __m256i v0 = load2x128(b + qs, b + bytes + qs);
    const __m256i v1 = load2x128(b + 2 * bytes + qs, b + 3 * bytes + qs);
    const __m256i dot0 = dot_nibbles(v0, x->q + 32 * i, book, zero);
    const __m256i dot1 = dot_nibbles(v1, x->q + 32 * i + 64, book, zero);
    s->dot0 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot0), lanes_of(scale, 0, 1), s->dot0);
    s->dot1 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot1), lanes_of(scale, 2, 3), s->dot1);
    if (zero)
        s->offset = _mm256_castps128_ps256(
            _mm_fmadd_ps(w, _mm_loadu_ps(x->ds + i), _mm256_castps256_ps128(s->offset)));
}

INLINE float end_blocks(const part_sums *s, const int zero) {
    const float dot = sum8(_mm256_add_ps(s->dot0, s->dot1));
    return zero ? dot - (float)zero * sum4(_mm256_castps256_ps128(s->offset)) : dot;
}

INLINE void step_iq4_nl(part_sums *s, const uint8_t *b, const part *x, size_t i) {
    step_blocks(s, b, x, i, sizeof(block_iq4_nl), offsetof(block_iq4_nl, qs), scales_iq4_nl,
                _mm_setr_epi8(IQ4_NL_CODEBOOK), WIDE_ZERO);
}

INLINE float end_iq4_nl(const part_sums *s) {
    return end_blocks(s, WIDE_ZERO);
}

INLINE void step_mxfp4(part_sums *s, const uint8_t *b, const part *x, size_t i) {
    step_blocks(s, b, x, i, sizeof(block_mxfp4), offsetof(block_mxfp4, qs), scales_mxfp4,
                _mm_setr_epi8(FP4_CODEBOOK), 12);
}

INLINE float end_mxfp4(const part_sums *s) {
    return MXFP4_FACTOR * end_blocks(s, 12);
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

INLINE void step_iq4_xs(part_sums *s, const uint8_t *b, const part *x, size_t i) {
    const __m128i book = _mm_setr_epi8(IQ4_NL_CODEBOOK);
    const __m256 half = _mm256_cvtph_ps(_mm_set1_epi16((short)load_u16(b)));
    const __m256 w = _mm256_mul_ps(superblock_scales(b), half);
    const __m256 scale = _mm256_mul_ps(w, _mm256_loadu_ps(x->d + i));
#define ADD(sum, j)                                                                                          \
    {                                                                                                        \
        const __m256i v = load256(b + offsetof(block_iq4_xs, qs) + 32 * (j));                                \
        const __m256i dot = dot_nibbles(v, x->q + 32 * i + 64 * (j), book, WIDE_ZERO);                       \
        sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), lanes_of(scale, 2 * (j), 2 * (j) + 1), sum);          \
    }
    ADD(s->dot0, 0)
    ADD(s->dot1, 1)
    ADD(s->dot0, 2)
    ADD(s->dot1, 3)
#undef ADD
    if (WIDE_ZERO) s->offset = _mm256_fmadd_ps(w, _mm256_loadu_ps(x->ds + i), s->offset);
}

INLINE float end_iq4_xs(const part_sums *s) {
    const float dot = sum8(_mm256_add_ps(s->dot0, s->dot1));
    return WIDE_ZERO ? dot - (float)WIDE_ZERO * sum8(s->offset) : dot;
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

INLINE __m256 pairs_of(__m256 x, const int first) {
    const __m256i lanes = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    return _mm256_permutevar8x32_ps(x, _mm256_add_epi32(lanes, _mm256_set1_epi32(first)));
}

/* Two blocks. What the zero point has too much is a part of -128 times the sum of activations. */
INLINE void step_nvfp4(part_sums *s, const uint8_t *b, const part *x, size_t i) {
    enum { B = sizeof(block_nvfp4), QS = offsetof(block_nvfp4, qs), ZERO = 12 };
    const __m128i book = _mm_setr_epi8(FP4_CODEBOOK);
    const int8_t *q = x->q + 32 * i;
    const __m256 d = _mm256_castps128_ps256(_mm_loadu_ps(x->d + i));
    const __m256 scale = _mm256_mul_ps(eight_scales_nvfp4(b), pairs_of(d, 0));
    const __m256i a = dot_nibbles(load256(b + QS), q, book, ZERO);
    const __m256i c = dot_nibbles(load256(b + B + QS), q + 64, book, ZERO);
    s->dot0 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(a), pairs_of(scale, 0), s->dot0);
    s->dot1 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(c), pairs_of(scale, 4), s->dot1);
    s->offset = _mm256_fmadd_ps(_mm256_cvtepi32_ps(load256(x->z16 + 2 * i)), scale, s->offset);
}

INLINE float end_nvfp4(const part_sums *s) {
    const float offset = sum8(s->offset) * (12.0f / 128.0f);
    return NVFP4_FACTOR * (sum8(_mm256_add_ps(s->dot0, s->dot1)) + offset);
}

/* ---- all rows ---- */

/* What a step takes, when it is more than a row has left: the rest, and zeros. */
INLINE void last_part_step(part_sums *s, const uint8_t *b, const part *x, size_t i, const size_t bytes,
                           const size_t values, part_step_fn *add) {
    uint8_t blocks[4 * sizeof(block_iq4_nl)] = {0};
    float d[4] = {0}, ds[4] = {0};
    int32_t z16[8] = {0};
    const size_t n = x->n - i;
    memcpy(blocks, b, n * 32 / values * bytes);
    memcpy(d, x->d + i, n * sizeof *d);
    memcpy(ds, x->ds + i, n * sizeof *ds);
    memcpy(z16, x->z16 + 2 * i, 2 * n * sizeof *z16);
    const part rest = {n, x->q + 32 * i, d, ds, z16};
    add(s, blocks, &rest, 0);
}

/* n (STREAMS or 1) times `per` rows. bytes, values: of a block; a step takes 128 columns, or a block that is
 * larger. */
INLINE void part_rows(const part *x, const char *w, size_t row_bytes, size_t per, const int n, float *y,
                      bool to_y, const size_t bytes, const size_t values, part_step_fn *add,
                      part_end_fn *end) {
    const size_t columns = values > 128 ? values : 128, step = columns / values * bytes;
    const size_t n_whole = x->n / (columns / 32) * (columns / 32);
    streams ahead = streams_open(w, row_bytes, per, n);
    for (size_t r = 0; r < per; r++) {
        const char *b = streams_row(&ahead, w, r);
#define START(t) part_sums s##t = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
        EACH_STREAM(START)
        for (size_t i = 0; i < n_whole; i += columns / 32, b += step) {
            streams_ask(&ahead, b + step, step, n);
#define ADD(t)                                                                                               \
    if (t < n) add(&s##t, (const uint8_t *)b + t * ahead.apart, x, i);
            EACH_STREAM(ADD)
        }
#define FINISH(t)                                                                                            \
    if (t < n) {                                                                                             \
        float *to = y + r + t * per;                                                                         \
        if (values <= 128 && n_whole < x->n)                                                                 \
            last_part_step(&s##t, (const uint8_t *)b + t * ahead.apart, x, n_whole, bytes, values, add);     \
        *to = to_y ? *to + end(&s##t) : end(&s##t);                                                          \
    }
        EACH_STREAM(FINISH)
    }
#undef START
#undef ADD
#undef FINISH
}

INLINE void matvec_parts(const char *w, size_t row_bytes, size_t n_rows, size_t k, const void *act, float *y,
                         const size_t bytes, const size_t values, pair_fn *pair, part_step_fn *add,
                         part_end_fn *end) {
    const size_t per = n_rows / STREAMS, quarters = STREAMS * per;
    paired p;
    size_t done = 0;
    do {
        const size_t n = k / 32 - done < PAIRED_MAX / 32 ? k / 32 - done : PAIRED_MAX / 32;
        const char *first = w + done * 32 / values * bytes;
        pair(&p, act_q(act) + 32 * done, (n + 3) / 4 * 4);
        const part x = {n, p.q, act_d(act, k) + done, act_ds(act, k) + done, act_z16(act, k) + 2 * done};
        part_rows(&x, first, row_bytes, per, STREAMS, y, done > 0, bytes, values, add, end);
        part_rows(&x, first + quarters * row_bytes, row_bytes, n_rows - quarters, 1, y + quarters, done > 0,
                  bytes, values, add, end);
        done += n;
    } while (done < k / 32);
}

#define MATVEC_PART(name, isa, values, pair)                                                                 \
    MATVEC_OF(name, isa,                                                                                     \
              matvec_parts(w, row_bytes, n_rows, k, act, y, sizeof(block_##name), values, pair, step_##name, \
                           end_##name))
#define MATVEC_FP4(isa)                                                                                      \
    MATVEC_PART(iq4_nl, isa, 32, pair_blocks)                                                                \
    MATVEC_PART(iq4_xs, isa, 256, pair_blocks)                                                               \
    MATVEC_PART(mxfp4, isa, 32, pair_blocks)                                                                 \
    MATVEC_PART(nvfp4, isa, 64, pair_groups)

#endif

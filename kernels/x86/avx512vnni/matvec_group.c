/* Matrix times vector for the types of codes.h, straight from mapped rows: the path of one token. Two shapes:
 * scales of 32 (or 16) columns are floats and meet those of ACT_Q8_32, four at a time; superblocks of 256
 * have integer sums and one float each, with ACT_Q8_256. Bound by memory where a value has four bits, see
 * stream.h. No byte beyond the last row is read; of the activations whole vectors are, inside the row. */
#include "avx512vnni.h"
#include "codes.h"
#include "stream.h"

/* ---- groups of 32 ---- */

typedef struct group_sums {
    __m512 dot0, dot1;
    __m128 offset; /* scale times the sum of activations, for the zero point */
} group_sums;

/* 128 columns of a row, from number 32 * i on. */
VEC_INLINE void step_groups(group_sums *s, const uint8_t *row, size_t i, const int8_t *q, __m128 d, __m128 ds,
                            codes_fn *codes, scales_fn *scales, const int zero) {
    const __m512i first = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const __m512i second = _mm512_setr_epi32(2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m128 w = scales(row, i);
    const __m512 scale = _mm512_castps128_ps512(_mm_mul_ps(w, d));
    const __m512i none = _mm512_setzero_si512();
    const __m512i a = _mm512_dpbusd_epi32(none, codes(row, i / 2, zero), _mm512_loadu_si512(q));
    const __m512i b = _mm512_dpbusd_epi32(none, codes(row, i / 2 + 1, zero), _mm512_loadu_si512(q + 64));
    s->dot0 = _mm512_fmadd_ps(_mm512_cvtepi32_ps(a), _mm512_permutexvar_ps(first, scale), s->dot0);
    s->dot1 = _mm512_fmadd_ps(_mm512_cvtepi32_ps(b), _mm512_permutexvar_ps(second, scale), s->dot1);
    s->offset = _mm_fmadd_ps(w, ds, s->offset);
}

/* bytes, values: of a block. What is left over after whole steps is less than a superblock, so it is copied
 * between zeros. */
VEC_INLINE void matvec_groups(const uint8_t *w, size_t row_bytes, size_t n_rows, size_t k, const void *act,
                              float *y, const size_t bytes, const size_t values, codes_fn *codes,
                              scales_fn *scales, const int zero) {
    const size_t n = k / 32, n_whole = n / 4 * 4,
                 in_block = values == 256 ? 2 : 1; /* steps of a superblock */
    const float *d = act_d(act, k), *ds = act_ds(act, k);
    const int8_t *q = act_q(act);
    stream ahead = (uintptr_t)w;
    for (size_t r = 0; r < n_rows; r++) {
        const uint8_t *p = w + r * row_bytes;
        group_sums s = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm_setzero_ps()};
        stream_row(&ahead, p);
        for (size_t i = 0; i < n_whole; i += 4 * in_block, p += bytes * (128 * in_block / values)) {
            stream_bytes(&ahead, p, bytes * (128 * in_block / values));
            for (size_t j = 0; j < in_block; j++)
                step_groups(&s, p, 4 * j, q + 32 * (i + 4 * j), _mm_loadu_ps(d + i + 4 * j),
                            _mm_loadu_ps(ds + i + 4 * j), codes, scales, zero);
        }
        if (n_whole < n && values < 128) {
            uint8_t copy[4 * sizeof(block_q2_0)] = {0};
            const __mmask8 valid = (__mmask8)((1u << (n - n_whole)) - 1);
            memcpy(copy, p, (n - n_whole) * 32 / values * bytes);
            step_groups(&s, copy, 0, q + 32 * n_whole, _mm_maskz_loadu_ps(valid, d + n_whole),
                        _mm_maskz_loadu_ps(valid, ds + n_whole), codes, scales, zero);
        }
        y[r] = vec_sum16(_mm512_add_ps(s.dot0, s.dot1)) - (float)zero * vec_sum4(s.offset);
    }
}

#define MATVEC_GROUPS(name, values, zero)                                                                    \
    void matvec_##name##_avx512vnni(const void *w, size_t row_bytes, size_t n_rows, size_t k,                \
                                    const void *act, float *y) {                                             \
        matvec_groups(w, row_bytes, n_rows, k, act, y, sizeof(block_##name), values, codes_##name,           \
                      scales_##name, zero);                                                                  \
    }
MATVEC_GROUPS(q1_0, 128, 1)
MATVEC_GROUPS(q2_0, 64, 1)

/* ---- superblocks ---- */

/* What a superblock adds up to, before its d (and dmin). */
typedef struct block_sums {
    __m512i dot;
    __m256i min;
} block_sums;
typedef block_sums block_fn(const uint8_t *b, const int8_t *q, const int16_t *s16, const int16_t *s32);

#define EACH_64(X) X(0) X(1) X(2) X(3)

/* words: 16 scales of 16 columns. Codes are small enough for pairs of products to be words. */
VEC_INLINE __m512i dot_scaled(__m512i sum, const uint8_t *b, const int8_t *q, __m256i words, codes_fn *codes,
                              const int zero) {
    const __m512i index = _mm512_setr_epi64(0, 0, 0x0001000100010001, 0x0001000100010001, 0x0002000200020002,
                                            0x0002000200020002, 0x0003000300030003, 0x0003000300030003);
#define ADD(j)                                                                                               \
    sum =                                                                                                    \
        _mm512_dpwssd_epi32(sum, _mm512_maddubs_epi16(codes(b, j, zero), _mm512_loadu_si512(q + 64 * (j))),  \
                            _mm512_permutexvar_epi16(_mm512_add_epi16(index, _mm512_set1_epi16(4 * (j))),    \
                                                     _mm512_castsi256_si512(words)));
    EACH_64(ADD)
#undef ADD
    return sum;
}

VEC_INLINE __m256i load_words(const int16_t *p) {
    return _mm256_loadu_si256((const void *)p);
}

VEC_INLINE block_sums block_q2_k_sums(const uint8_t *b, const int8_t *q, const int16_t *s16,
                                      const int16_t *s32) {
    (void)s32;
    const __m256i both = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)b));
    const __m256i scales = _mm256_and_si256(both, _mm256_set1_epi16(15)), mins = _mm256_srli_epi16(both, 4);
    return (block_sums){dot_scaled(_mm512_setzero_si512(), b, q, scales, codes_q2_k, 0),
                        _mm256_madd_epi16(mins, load_words(s16))};
}

/* The zero point's share is -4 times the sums of 16 times their scales. */
VEC_INLINE block_sums block_q3_k_sums(const uint8_t *b, const int8_t *q, const int16_t *s16,
                                      const int16_t *s32) {
    (void)s32;
    const __m256i scales = _mm256_cvtepi8_epi16(scales_q3_k(b));
    const __m256i zero = _mm256_madd_epi16(_mm256_slli_epi16(scales, 2), load_words(s16));
    const __m512i start = _mm512_zextsi256_si512(_mm256_sub_epi32(_mm256_setzero_si256(), zero));
    return (block_sums){dot_scaled(start, b, q, scales, codes_q3_k, 4), _mm256_setzero_si256()};
}

VEC_INLINE block_sums ternary_sums(const uint8_t *b, const int8_t *q, const int16_t *s32, codes_fn *codes) {
    const __m128i zero = _mm_madd_epi16(_mm_loadu_si128((const void *)s32), _mm_set1_epi16(-1));
    __m512i sum = _mm512_zextsi128_si512(zero);
#define ADD(j) sum = _mm512_dpbusd_epi32(sum, codes(b, j, 1), _mm512_loadu_si512(q + 64 * (j)));
    EACH_64(ADD)
#undef ADD
    return (block_sums){sum, _mm256_setzero_si256()};
}

VEC_INLINE block_sums block_tq1_0_sums(const uint8_t *b, const int8_t *q, const int16_t *s16,
                                       const int16_t *s32) {
    (void)s16;
    return ternary_sums(b, q, s32, codes_tq1_0);
}

VEC_INLINE block_sums block_tq2_0_sums(const uint8_t *b, const int8_t *q, const int16_t *s16,
                                       const int16_t *s32) {
    (void)s16;
    return ternary_sums(b, q, s32, codes_tq2_0);
}

/* d_at: where d is, and after it dmin where there are minima. */
VEC_INLINE void matvec_superblocks(const uint8_t *w, size_t row_bytes, size_t n_rows, size_t k,
                                   const void *act, float *y, const size_t bytes, const size_t d_at,
                                   const int has_min, block_fn *sums) {
    const float *d = act_d(act, k);
    stream ahead = (uintptr_t)w;
    for (size_t r = 0; r < n_rows; r++) {
        const uint8_t *p = w + r * row_bytes;
        const int8_t *q = act_q(act);
        const int16_t *s16 = act_s16(act, k), *s32 = act_s32(act, k);
        __m512 dots = _mm512_setzero_ps();
        __m256 mins = _mm256_setzero_ps();
        stream_row(&ahead, p);
        for (size_t i = 0; i < k / 256; i++, p += bytes, q += 256, s16 += 16, s32 += 8) {
            stream_bytes(&ahead, p, bytes);
            const block_sums s = sums(p, q, s16, s32);
            const int half = has_min ? vec_load_i32(p + d_at) : vec_load_u16(p + d_at);
            const __m128 scale = _mm_mul_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(half)), _mm_set1_ps(d[i]));
            dots = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s.dot), _mm512_broadcastss_ps(scale), dots);
            if (has_min)
                mins = _mm256_fmadd_ps(_mm256_cvtepi32_ps(s.min),
                                       _mm256_broadcastss_ps(_mm_movehdup_ps(scale)), mins);
        }
        y[r] = vec_sum16(dots);
        if (has_min)
            y[r] -= vec_sum4(_mm_add_ps(_mm256_castps256_ps128(mins), _mm256_extractf128_ps(mins, 1)));
    }
}

#define MATVEC_SUPERBLOCKS(name, has_min)                                                                    \
    void matvec_##name##_avx512vnni(const void *w, size_t row_bytes, size_t n_rows, size_t k,                \
                                    const void *act, float *y) {                                             \
        matvec_superblocks(w, row_bytes, n_rows, k, act, y, sizeof(block_##name), offsetof(block_##name, d), \
                           has_min, block_##name##_sums);                                                    \
    }
MATVEC_SUPERBLOCKS(q2_k, 1)
MATVEC_SUPERBLOCKS(q3_k, 0)
MATVEC_SUPERBLOCKS(tq1_0, 0)
MATVEC_SUPERBLOCKS(tq2_0, 0)

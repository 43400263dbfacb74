/* matvec for the types with blocks of 32: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 times ACT_Q8_32. One row at a time,
 * front to back, straight from where the file is mapped. A step takes four blocks: their scales are converted
 * and multiplied with those of the activations as one vector, and the floats of a row are summed only at its
 * end. Called through the kernel table only; reads no byte beyond the last block of a row. */
#include "avx2.h"

#include "kernels/blocks.h"

enum { STEP = 4 }; /* blocks per step */

/* Where the fields of a block with 4 or 5 bits lie. */
typedef struct layout {
    size_t bytes, qs, qh; /* block size, offset of the low four bits, of the fifth bits or 0 */
    bool has_min;         /* m after d; else a zero point */
} layout;

static const int8_t fifth_bit_bytes[32] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,
                                           0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};

/* 16 in each byte whose bit is set: bits holds 16 bits per half, spread by `bytes` to the bytes of the half.
 */
INLINE __m256i fifth_bits(__m256i bits, __m256i bytes) {
    const __m256i bit_of_byte = _mm256_set1_epi64x((long long)0x8040201008040201u);
    __m256i spread = _mm256_and_si256(_mm256_shuffle_epi8(bits, bytes), bit_of_byte);
    return _mm256_and_si256(_mm256_cmpeq_epi8(spread, bit_of_byte), _mm256_set1_epi8(16));
}

/* Integer dot products of two blocks with 64 activations: four partial sums of the first in the low half, of
 * the second in the high half. */
INLINE __m256i dot_two_blocks(const char *b, const int8_t *q, layout l) {
    const __m256i low4 = _mm256_set1_epi8(15);
    __m256i raw = load2x128(b + l.qs, b + l.bytes + l.qs);
    __m256i first = _mm256_and_si256(raw, low4), second = _mm256_and_si256(_mm256_srli_epi16(raw, 4), low4);
    if (l.qh) {
        __m256i bits = _mm256_blend_epi32(broadcast32(b + l.qh), broadcast32(b + l.bytes + l.qh), 0xf0);
        __m256i bytes = load256(fifth_bit_bytes);
        first = _mm256_or_si256(first, fifth_bits(bits, bytes));
        second = _mm256_or_si256(second, fifth_bits(bits, _mm256_add_epi8(bytes, _mm256_set1_epi8(2))));
    }
    /* at most 2 * 2 * 31 * 127 in an int16 */
    __m256i sum = _mm256_add_epi16(_mm256_maddubs_epi16(first, load2x128(q, q + 32)),
                                   _mm256_maddubs_epi16(second, load2x128(q + 16, q + 48)));
    return _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
}

/* The scales of four blocks in the low half, their minima in the high half (the scales again where there are
 * none). */
INLINE __m256 scales_and_mins(const char *b, layout l) {
    if (!l.has_min) {
        uint64_t d = load_u16(b) | (uint64_t)load_u16(b + l.bytes) << 16 |
                     (uint64_t)load_u16(b + 2 * l.bytes) << 32 | (uint64_t)load_u16(b + 3 * l.bytes) << 48;
        __m128 x = _mm_cvtph_ps(_mm_cvtsi64_si128((long long)d));
        return _mm256_insertf128_ps(_mm256_castps128_ps256(x), x, 1);
    }
    __m128i dm = _mm_setr_epi32((int)load_u32(b), (int)load_u32(b + l.bytes), (int)load_u32(b + 2 * l.bytes),
                                (int)load_u32(b + 3 * l.bytes));
    const __m128i apart = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    return _mm256_cvtph_ps(_mm_shuffle_epi8(dm, apart));
}

typedef struct sums {
    __m256 dot0, dot1;
    /* scale or minimum times the sum of activations: a float term, so rows of codes at the zero point come
     * out as rounding errors of it, not as 0 */
    __m128 offset;
} sums;

/* Four blocks at b; d and ds are the scales and scaled sums of their activations. */
INLINE void step_low_bits(sums *s, const char *b, const int8_t *q, __m128 d, __m128 ds, layout l) {
    __m256 dm = scales_and_mins(b, l);
    __m256 scale = _mm256_castps128_ps256(_mm_mul_ps(_mm256_castps256_ps128(dm), d));
    __m256 scale01 = _mm256_permutevar8x32_ps(scale, _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1));
    __m256 scale23 = _mm256_permutevar8x32_ps(scale, _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3));
    s->dot0 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot_two_blocks(b, q, l)), scale01, s->dot0);
    s->dot1 =
        _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot_two_blocks(b + 2 * l.bytes, q + 64, l)), scale23, s->dot1);
    __m128 m = l.has_min ? _mm256_extractf128_ps(dm, 1) : _mm256_castps256_ps128(dm);
    s->offset = _mm_fmadd_ps(m, ds, s->offset);
}

/* Q8_0: vpmaddubsw wants one side unsigned, so the sign of w moves to the activation: 2 * 128 * 127 fits in
 * an int16. */
INLINE __m256 dot_q8(const char *b, const int8_t *q) {
    __m256i w = load256(b + offsetof(block_q8_0, qs));
    __m256i sum = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(load256(q), w));
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(sum, _mm256_set1_epi16(1)));
}

INLINE void step_q8(sums *s, const char *b, const int8_t *q, __m128 d, layout l) {
    __m256 dm = scales_and_mins(b, l);
    __m256 scale = _mm256_castps128_ps256(_mm_mul_ps(_mm256_castps256_ps128(dm), d));
    s->dot0 = _mm256_fmadd_ps(dot_q8(b, q), _mm256_broadcastss_ps(_mm256_castps256_ps128(scale)), s->dot0);
    s->dot1 = _mm256_fmadd_ps(dot_q8(b + l.bytes, q + 32),
                              _mm256_permutevar8x32_ps(scale, _mm256_set1_epi32(1)), s->dot1);
    s->dot0 = _mm256_fmadd_ps(dot_q8(b + 2 * l.bytes, q + 64),
                              _mm256_permutevar8x32_ps(scale, _mm256_set1_epi32(2)), s->dot0);
    s->dot1 = _mm256_fmadd_ps(dot_q8(b + 3 * l.bytes, q + 96),
                              _mm256_permutevar8x32_ps(scale, _mm256_set1_epi32(3)), s->dot1);
}

/* zero_point is 8 or 16 where there are no minima, 0 for Q8_0. */
INLINE void matvec_q8_32(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act, float *y,
                         layout l, float zero_point) {
    const bool is_q8 = l.bytes == sizeof(block_q8_0);
    const size_t n_steps = k / 32 / STEP, n_left = k / 32 % STEP;
    const int8_t *q = act_q(act);
    const float *d = act_d(act, k), *ds = act_ds(act, k);
    const char *ahead = w;
    for (size_t r = 0; r < n_rows; r++) {
        const char *b = (const char *)w + r * row_bytes;
        if (ahead < b) ahead = b;
        sums s = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm_setzero_ps()};
        for (size_t i = 0; i < n_steps; i++, b += STEP * l.bytes) {
            ahead = prefetch_step(ahead, b + STEP * l.bytes, STEP * l.bytes);
            if (is_q8)
                step_q8(&s, b, q + 128 * i, _mm_loadu_ps(d + 4 * i), l);
            else
                step_low_bits(&s, b, q + 128 * i, _mm_loadu_ps(d + 4 * i), _mm_loadu_ps(ds + 4 * i), l);
        }
        if (n_left) {
            /* blocks of zeros make the step whole; what follows the activations may be anything, even NaN */
            char blocks[STEP * sizeof(block_q8_0)] = {0};
            memcpy(blocks, b, n_left * l.bytes);
            __m128i valid = _mm256_castsi256_si128(lanes_below((int)n_left));
            __m128 d_left = _mm_maskload_ps(d + 4 * n_steps, valid),
                   ds_left = _mm_maskload_ps(ds + 4 * n_steps, valid);
            if (is_q8)
                step_q8(&s, blocks, q + 128 * n_steps, d_left, l);
            else
                step_low_bits(&s, blocks, q + 128 * n_steps, d_left, ds_left, l);
        }
        float sum = sum8(_mm256_add_ps(s.dot0, s.dot1));
        y[r] = is_q8 ? sum : l.has_min ? sum + sum4(s.offset) : sum - zero_point * sum4(s.offset);
    }
}

#define MATVEC(name, zero_point, ...)                                                                        \
    void matvec_##name##_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act,     \
                              float *y) {                                                                    \
        matvec_q8_32(w, row_bytes, n_rows, k, act, y, (layout){sizeof(block_##name), __VA_ARGS__},           \
                     zero_point);                                                                            \
    }
MATVEC(q4_0, 8, offsetof(block_q4_0, qs), 0, false)
MATVEC(q4_1, 0, offsetof(block_q4_1, qs), 0, true)
MATVEC(q5_0, 16, offsetof(block_q5_0, qs), offsetof(block_q5_0, qh), false)
MATVEC(q5_1, 0, offsetof(block_q5_1, qs), offsetof(block_q5_1, qh), true)
MATVEC(q8_0, 0, offsetof(block_q8_0, qs), 0, false)

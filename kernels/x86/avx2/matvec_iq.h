/* matvec for the codebook types times ACT_Q8_256: the template that iq.c of this folder and of avxvnni
 * compile. One row at a time, front to back. Signs move to the activations, so that magnitudes are unsigned
 * and no zero point is needed; the integer scale is multiplied in by the instruction that widens, and only
 * the sum over all 256 values becomes a float. No byte beyond the last block of a row is read. */
#ifndef LEAT_KERNELS_X86_AVX2_MATVEC_IQ_H
#define LEAT_KERNELS_X86_AVX2_MATVEC_IQ_H

#include "dot.h"
#include "iq.h"

/* sum + codes * q * scale, see dot.h. */
INLINE __m256i add_scaled_iq(__m256i sum, __m256i codes, __m256i q, __m256i scale) {
#ifdef __AVX512VNNI__
    return _mm256_dpwssd_epi32(sum, _mm256_maddubs_epi16(codes, q), scale);
#else
    return add_scaled(sum, codes, q, scale);
#endif
}

/* Each scale twice, as a dword: from memory a broadcast takes no arithmetic port. */
INLINE void store_scale_pairs(uint32_t *to, __m256i scales, const iq_type t) {
    const __m128i lo = _mm256_castsi256_si128(scales), hi = _mm256_extracti128_si256(scales, 1);
    _mm_store_si128((__m128i *)(void *)to, _mm_unpacklo_epi16(lo, lo));
    _mm_store_si128((__m128i *)(void *)(to + 4), _mm_unpackhi_epi16(lo, lo));
    if (iq_fold(t) == 32) return;
    _mm_store_si128((__m128i *)(void *)(to + 8), _mm_unpacklo_epi16(hi, hi));
    _mm_store_si128((__m128i *)(void *)(to + 12), _mm_unpackhi_epi16(hi, hi));
}

INLINE __m256i scales_of_part(const uint32_t *pairs, int part, const iq_type t) {
    if (iq_fold(t) == 32) return broadcast32(pairs + part);
    return _mm256_blend_epi32(broadcast32(pairs + 2 * part), broadcast32(pairs + 2 * part + 1), 0xf0);
}

/* Largest int32: 256 * 43 * 127 * 31 < 2^26. */
INLINE __m256i dot_iq(const uint8_t *b, const int8_t *q, const int16_t *s16, const int16_t *s32,
                      const iq_type t) {
    const bool has_signs = t != IQ1_S && t != IQ1_M;
    _Alignas(32) uint32_t pairs[16];
    _Alignas(32) uint8_t signs[32];
    _Alignas(32) uint16_t indices[64];
    iq_indices(b, indices, t);
    const __m256i scales = iq_scales(b, t);
    store_scale_pairs(pairs, scales, t);
    if (has_signs) _mm256_store_si256((__m256i *)(void *)signs, iq_signs(b, t));
    __asm__("" : "+m"(pairs), "+m"(signs)); /* they are to come back from memory, not by shuffles */
    __m256i sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
#define PART(i)                                                                                              \
    {                                                                                                        \
        __m256i x = load256(q + 32 * (i));                                                                   \
        if (has_signs) x = with_signs(x, signs + 4 * (i));                                                   \
        sum[(i) % 2] =                                                                                       \
            add_scaled_iq(sum[(i) % 2], iq_magnitudes(b, indices, i, t), x, scales_of_part(pairs, i, t));    \
    }
    PART(0)
    PART(1)
    PART(2)
    PART(3)
    PART(4)
    PART(5)
    PART(6)
    PART(7)
#undef PART
    __m256i dot = _mm256_add_epi32(sum[0], sum[1]);
    if (t == IQ1_M) { /* less nine times the scaled sums of activations */
        __m256i one = _mm256_madd_epi16(scales, load256(s16));
        dot = _mm256_sub_epi32(dot, _mm256_add_epi32(one, _mm256_slli_epi32(one, 3)));
    }
    if (t == IQ1_S) {
        __m128i less = _mm_madd_epi16(iq1_s_minima(b, scales), load128(s32));
        dot = _mm256_sub_epi32(_mm256_slli_epi32(dot, 3),
                               _mm256_inserti128_si256(_mm256_setzero_si256(), less, 0));
    }
    return dot;
}

INLINE void matvec_iq(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act, float *y,
                      const iq_type t) {
    const size_t bytes = iq_bytes(t);
    const float *d = act_d(act, k);
    const char *ahead = w;
    for (size_t r = 0; r < n_rows; r++) {
        const uint8_t *b = (const uint8_t *)w + r * row_bytes;
        const int8_t *q = act_q(act);
        const int16_t *s16 = act_s16(act, k), *s32 = act_s32(act, k);
        if (ahead < (const char *)b) ahead = (const char *)b;
        __m256 dots = _mm256_setzero_ps();
        for (size_t i = 0; i < k / 256; i++, b += bytes, q += 256, s16 += 16, s32 += 8) {
            ahead = prefetch_step(ahead, (const char *)b + bytes, bytes);
            __m128 scale = _mm_cvtph_ps(_mm_cvtsi32_si128(iq_d(b, t)));
            scale = _mm_mul_ss(_mm_mul_ss(scale, _mm_set_ss(iq_unit(t))), _mm_load_ss(d + i));
            __m256i dot = dot_iq(b, q, s16, s32, t);
            dots = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_broadcastss_ps(scale), dots);
        }
        y[r] = sum8(dots);
    }
}

#define MATVEC_IQ(name, NAME, isa)                                                                           \
    void matvec_##name##_##isa(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act,    \
                               float *y) {                                                                   \
        matvec_iq(w, row_bytes, n_rows, k, act, y, NAME);                                                    \
    }

#endif

/* The elementwise work of a layer: norms, activation functions, rotary embedding, conversion to int8. Loads
 * and stores at a remainder are masked; nothing beyond n is read or written. */
#include "avx512.h"
#include "vec.h"

void rms_norm_avx512(float *y, const float *x, const float *w, size_t n, float eps) {
    __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __m512 a = _mm512_loadu_ps(x + i), b = _mm512_loadu_ps(x + i + 16);
        __m512 c = _mm512_loadu_ps(x + i + 32), d = _mm512_loadu_ps(x + i + 48);
        s0 = _mm512_fmadd_ps(a, a, s0);
        s1 = _mm512_fmadd_ps(b, b, s1);
        s2 = _mm512_fmadd_ps(c, c, s2);
        s3 = _mm512_fmadd_ps(d, d, s3);
    }
    for (; i < n; i += 16) {
        __m512 a = _mm512_maskz_loadu_ps(vec_mask16(n - i), x + i);
        s0 = _mm512_fmadd_ps(a, a, s0);
    }
    float mean = vec_sum16(_mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3))) / (float)n;
    __m512 scale = _mm512_set1_ps(1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean + eps))));
    for (i = 0; i < n; i += 16) {
        __mmask16 m = vec_mask16(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), scale);
        _mm512_mask_storeu_ps(y + i, m, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(m, w + i)));
    }
}

/* The mean first, then squares of what differs from it. */
void layer_norm_avx512(float *y, const float *x, const float *w, const float *b, size_t n, float eps) {
    __m512 s0 = _mm512_setzero_ps(), s1 = s0;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        s0 = _mm512_add_ps(s0, _mm512_loadu_ps(x + i));
        s1 = _mm512_add_ps(s1, _mm512_loadu_ps(x + i + 16));
    }
    for (; i < n; i += 16) s0 = _mm512_add_ps(s0, _mm512_maskz_loadu_ps(vec_mask16(n - i), x + i));
    const __m512 mean = _mm512_set1_ps(vec_sum16(_mm512_add_ps(s0, s1)) / (float)n);
    s0 = s1 = _mm512_setzero_ps();
    for (i = 0; i + 32 <= n; i += 32) {
        __m512 u = _mm512_sub_ps(_mm512_loadu_ps(x + i), mean);
        __m512 v = _mm512_sub_ps(_mm512_loadu_ps(x + i + 16), mean);
        s0 = _mm512_fmadd_ps(u, u, s0);
        s1 = _mm512_fmadd_ps(v, v, s1);
    }
    for (; i < n; i += 16) {
        __mmask16 m = vec_mask16(n - i);
        __m512 u = _mm512_maskz_sub_ps(m, _mm512_maskz_loadu_ps(m, x + i), mean);
        s0 = _mm512_fmadd_ps(u, u, s0);
    }
    float variance = vec_sum16(_mm512_add_ps(s0, s1)) / (float)n;
    const __m512 scale = _mm512_set1_ps(1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(variance + eps))));
    for (i = 0; i < n; i += 16) {
        __mmask16 m = vec_mask16(n - i);
        __m512 v = _mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(m, x + i), mean), scale);
        v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(m, w + i));
        if (b) v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(m, b + i));
        _mm512_mask_storeu_ps(y + i, m, v);
    }
}

/* x / (1 + e^-z) */
VEC_INLINE __m512 over_one_plus_exp(__m512 x, __m512 z) {
    const __m512 one = _mm512_set1_ps(1.0f);
    return _mm512_div_ps(x, _mm512_add_ps(one, vec_exp(_mm512_sub_ps(_mm512_setzero_ps(), z))));
}

VEC_INLINE __m512 gelu(__m512 x) {
    const __m512 a = _mm512_set1_ps(1.5957691216f), b = _mm512_set1_ps(1.5957691216f * 0.044715f);
    return over_one_plus_exp(x, _mm512_mul_ps(x, _mm512_fmadd_ps(_mm512_mul_ps(x, x), b, a)));
}

void silu_avx512(float *x, size_t n) {
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = vec_mask16(n - i);
        __m512 v = _mm512_maskz_loadu_ps(m, x + i);
        _mm512_mask_storeu_ps(x + i, m, over_one_plus_exp(v, v));
    }
}

void gelu_avx512(float *x, size_t n) {
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = vec_mask16(n - i);
        _mm512_mask_storeu_ps(x + i, m, gelu(_mm512_maskz_loadu_ps(m, x + i)));
    }
}

void gelu_mul_avx512(float *g, const float *u, size_t n) {
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = vec_mask16(n - i);
        __m512 x = gelu(_mm512_maskz_loadu_ps(m, g + i));
        _mm512_mask_storeu_ps(g + i, m, _mm512_mul_ps(x, _mm512_maskz_loadu_ps(m, u + i)));
    }
}

/* tanh(z) = 1 - 2 / (1 + e^2z) */
void softcap_avx512(float *x, size_t n, float cap) {
    const __m512 one = _mm512_set1_ps(1), caps = _mm512_set1_ps(cap), twice = _mm512_set1_ps(2 / cap);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = vec_mask16(n - i);
        __m512 e = vec_exp(_mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), twice));
        __m512 t = _mm512_sub_ps(one, _mm512_div_ps(_mm512_set1_ps(2), _mm512_add_ps(one, e)));
        _mm512_mask_storeu_ps(x + i, m, _mm512_mul_ps(caps, t));
    }
}

void silu_mul_avx512(float *g, const float *u, size_t n) {
    const __m512 one = _mm512_set1_ps(1.0f), zero = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = vec_mask16(n - i);
        __m512 x = _mm512_maskz_loadu_ps(m, g + i);
        __m512 s = _mm512_div_ps(x, _mm512_add_ps(one, vec_exp(_mm512_sub_ps(zero, x))));
        _mm512_mask_storeu_ps(g + i, m, _mm512_mul_ps(s, _mm512_maskz_loadu_ps(m, u + i)));
    }
}

void rope_pairs_avx512(float *x, const float *cs, size_t n_dims) {
    for (size_t i = 0; i < n_dims; i += 16) {
        __mmask16 m = vec_mask16(n_dims - i);
        __m512 v = _mm512_maskz_loadu_ps(m, x + i), r = _mm512_maskz_loadu_ps(m, cs + i);
        __m512 swapped = _mm512_mul_ps(_mm512_permute_ps(v, 0xB1), _mm512_movehdup_ps(r));
        _mm512_mask_storeu_ps(x + i, m, _mm512_fmaddsub_ps(v, _mm512_moveldup_ps(r), swapped));
    }
}

void rope_halves_avx512(float *x, const float *cs, size_t n_dims) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    size_t half = n_dims / 2;
    for (size_t i = 0; i < half; i += 16) {
        __mmask16 m = vec_mask16(half - i);
        __mmask16 m0 = vec_mask16(2 * (half - i)), m1 = half - i > 8 ? vec_mask16(2 * (half - i) - 16) : 0;
        __m512 r0 = _mm512_maskz_loadu_ps(m0, cs + 2 * i), r1 = _mm512_maskz_loadu_ps(m1, cs + 2 * i + 16);
        __m512 c = _mm512_permutex2var_ps(r0, even, r1), s = _mm512_permutex2var_ps(r0, odd, r1);
        __m512 a = _mm512_maskz_loadu_ps(m, x + i), b = _mm512_maskz_loadu_ps(m, x + half + i);
        _mm512_mask_storeu_ps(x + i, m, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(x + half + i, m, _mm512_fmadd_ps(b, c, _mm512_mul_ps(a, s)));
    }
}

/* The largest |x| of 16 * n_vectors values, by its bits: they order like the numbers, with Inf and then NaN
 * on top. */
VEC_INLINE uint32_t largest_magnitude(const float *x, size_t n_vectors) {
    const __m512i abs = _mm512_set1_epi32(0x7fffffff);
    __m512i m = _mm512_setzero_si512();
    for (size_t i = 0; i < n_vectors; i++)
        m = _mm512_max_epi32(m, _mm512_and_si512(abs, _mm512_loadu_si512(x + 16 * i)));
    __m256i h = _mm256_max_epi32(_mm512_castsi512_si256(m), _mm512_extracti64x4_epi64(m, 1));
    __m128i q = _mm_max_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
    q = _mm_max_epi32(q, _mm_shuffle_epi32(q, 0x4E));
    q = _mm_max_epi32(q, _mm_shuffle_epi32(q, 0xB1));
    return (uint32_t)_mm_cvtsi128_si32(q);
}

/* Codes of one group, and its scale as result: the definition is in act.h, and each bit of it is kept. */
VEC_INLINE float quantize_group(const float *x, size_t n_vectors, int8_t *q) {
    uint32_t bits = largest_magnitude(x, n_vectors);
    float largest = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((int)bits)));
    const int finite = bits < 0x7f800000;
    if (!finite || largest < ACT_TINY) {
        for (size_t i = 0; i < n_vectors; i++) _mm_storeu_si128((void *)(q + 16 * i), _mm_setzero_si128());
        return finite ? 0 : _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(0x7fc00000)));
    }
    const __m512 inverse = _mm512_set1_ps(127.0f / largest);
    for (size_t i = 0; i < n_vectors; i++) {
        __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 16 * i), inverse));
        _mm_storeu_si128((void *)(q + 16 * i), _mm512_cvtepi32_epi8(v));
    }
    return largest / 127.0f;
}

/* The sections made of the sums, for 64 values at a time; sums of four, then of a 128-bit lane, are exact. */
static void write_sums(void *row, size_t k, size_t group) {
    const __m512i ones8 = _mm512_set1_epi8(1), ones16 = _mm512_set1_epi16(1);
    const __m512i lanes = _mm512_setr_epi32(0, 4, 8, 12, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    const int8_t *q = act_q(row);
    const float *d = act_d(row, k);
    char *base = row;
    for (size_t i = 0; i < k; i += 64) {
        /* past k lie other sections of the same row; their lanes are not stored */
        __m512i v = _mm512_madd_epi16(_mm512_maddubs_epi16(ones8, _mm512_loadu_si512(q + i)), ones16);
        v = _mm512_add_epi32(v, _mm512_shuffle_epi32(v, _MM_PERM_CDAB));
        v = _mm512_add_epi32(v, _mm512_shuffle_epi32(v, _MM_PERM_BADC));
        __m128i s16 = _mm512_castsi512_si128(_mm512_permutexvar_epi32(lanes, v));
        __m128i s32 = _mm_add_epi32(s16, _mm_shuffle_epi32(s16, 0xB1)); /* lanes 0 and 2 */
        s32 = _mm_shuffle_epi32(s32, 0x08);
        __mmask8 m32 = k - i >= 64 ? 3 : 1, m16 = k - i >= 64 ? 15 : 3;
        float d0 = d[i / group], d1 = k - i >= 64 ? d[(i + 32) / group] : 0;
        __m128 ds = _mm_mul_ps(_mm_setr_ps(d0, d1, 0, 0), _mm_cvtepi32_ps(s32));
        const __m128i zero = _mm_setzero_si128();
        _mm_mask_storeu_ps(base + act_ds_at(k) + i / 8, m32, ds);
        const __m128i z32 = _mm_sub_epi32(zero, _mm_slli_epi32(s32, 7));
        _mm_mask_storeu_epi32(base + act_z32_at(k) + i / 8, m32, z32);
        _mm_mask_storeu_epi32(base + act_m32_at(k) + i / 8, m32,
                              _mm_add_epi32(z32, _mm_set1_epi32(ACT_MAGIC)));
        _mm_mask_storeu_epi32(base + act_z16_at(k) + i / 4, m16, _mm_sub_epi32(zero, _mm_slli_epi32(s16, 7)));
        _mm_mask_storeu_epi16(base + act_s16_at(k) + i / 8, m16, _mm_packs_epi32(s16, zero));
        _mm_mask_storeu_epi16(base + act_s32_at(k) + i / 16, m32, _mm_packs_epi32(s32, zero));
    }
}

void quantize_q8_32_avx512(const float *x, size_t k, void *row) {
    int8_t *q = row;
    float *d = (float *)(void *)((char *)row + act_d_at(k));
    for (size_t g = 0; g < k / 32; g++) d[g] = quantize_group(x + 32 * g, 2, q + 32 * g);
    write_sums(row, k, 32);
}

void quantize_q8_256_avx512(const float *x, size_t k, void *row) {
    int8_t *q = row;
    float *d = (float *)(void *)((char *)row + act_d_at(k));
    for (size_t g = 0; g < k / 256; g++) d[g] = quantize_group(x + 256 * g, 16, q + 256 * g);
    write_sums(row, k, 256);
}

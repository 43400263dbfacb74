/* What a layer needs beside products and attention: activation rows, normalisation, SiLU, rotary embedding.
 * Called through the kernel table only. Vectors of any length; their last values are done one
 * by one or with a mask, so that nothing is read or written beyond them. */
#include "exp.h"

#include <math.h>

/* ---- activation rows
 * ------------------------------------------------------------------------------------------ */

/* The largest |x| as bits. Without the sign bit floats order like integers, Inf and then NaN above every
 * number. */
INLINE uint32_t largest_magnitude(const float *x, size_t n) {
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i m0 = _mm256_setzero_si256(), m1 = m0, m2 = m0, m3 = m0;
    for (size_t i = 0; i < n; i += 32) {
        m0 = _mm256_max_epi32(m0, _mm256_and_si256(load256(x + i), magnitude));
        m1 = _mm256_max_epi32(m1, _mm256_and_si256(load256(x + i + 8), magnitude));
        m2 = _mm256_max_epi32(m2, _mm256_and_si256(load256(x + i + 16), magnitude));
        m3 = _mm256_max_epi32(m3, _mm256_and_si256(load256(x + i + 24), magnitude));
    }
    m0 = _mm256_max_epi32(_mm256_max_epi32(m0, m1), _mm256_max_epi32(m2, m3));
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(m0), _mm256_extracti128_si256(m0, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(m);
}

/* d of a group, and what its values are multiplied with before rounding (0 where all q are 0; see act.h). */
INLINE float group_scale(const float *x, size_t n, float *inverse) {
    const uint32_t inf = 0x7f800000, quiet_nan = 0x7fc00000;
    uint32_t bits = largest_magnitude(x, n);
    float largest, d;
    memcpy(&largest, &bits, sizeof largest);
    *inverse = 0;
    if (bits >= inf) {
        memcpy(&d, &quiet_nan, sizeof d);
        return d;
    }
    if (largest < ACT_TINY) return 0;
    *inverse = 127.0f / largest;
    return largest / 127.0f;
}

INLINE __m256i scaled_to_int(const float *x, __m256 inverse) {
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), inverse));
}

/* 32 values to q; the sums of its halves to sum[2]. */
INLINE void quantize_32(const float *x, float inverse, int8_t *q, int sum[2]) {
    __m256i codes = _mm256_setzero_si256();
    if (inverse != 0) { /* else x may be Inf or NaN */
        __m256 f = _mm256_set1_ps(inverse);
        __m256i a = _mm256_packs_epi32(scaled_to_int(x, f), scaled_to_int(x + 8, f));
        __m256i b = _mm256_packs_epi32(scaled_to_int(x + 16, f), scaled_to_int(x + 24, f));
        /* packing works within halves: groups of four values are in the order 0 2 4 6 | 1 3 5 7 */
        codes =
            _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    }
    _mm256_storeu_si256((__m256i *)(void *)q, codes);
    __m256i biased = _mm256_xor_si256(codes, _mm256_set1_epi8((char)0x80)); /* q + 128 */
    __m256i sums = _mm256_sad_epu8(biased, _mm256_setzero_si256());         /* of eight bytes each */
    sums = _mm256_add_epi64(sums, _mm256_shuffle_epi32(sums, 0x4e));
    sum[0] = _mm_cvtsi128_si32(_mm256_castsi256_si128(sums)) - 16 * 128;
    sum[1] = _mm_cvtsi128_si32(_mm256_extracti128_si256(sums, 1)) - 16 * 128;
}

INLINE void quantize(const float *x, size_t k, void *row, size_t group) {
    char *at = row;
    int8_t *q = row;
    float *d = (float *)(void *)(at + act_d_at(k)), *ds = (float *)(void *)(at + act_ds_at(k));
    int32_t *z32 = (int32_t *)(void *)(at + act_z32_at(k)), *z16 = (int32_t *)(void *)(at + act_z16_at(k));
    int32_t *m32 = (int32_t *)(void *)(at + act_m32_at(k));
    int16_t *s16 = (int16_t *)(void *)(at + act_s16_at(k)), *s32 = (int16_t *)(void *)(at + act_s32_at(k));
    for (size_t g = 0; g < k / group; g++) {
        float inverse;
        d[g] = group_scale(x + g * group, group, &inverse);
        for (size_t i = g * group / 32; i < (g + 1) * group / 32; i++) {
            int sum[2];
            quantize_32(x + 32 * i, inverse, q + 32 * i, sum);
            s16[2 * i] = (int16_t)sum[0];
            s16[2 * i + 1] = (int16_t)sum[1];
            s32[i] = (int16_t)(sum[0] + sum[1]);
            z16[2 * i] = -128 * sum[0];
            z16[2 * i + 1] = -128 * sum[1];
            z32[i] = -128 * (sum[0] + sum[1]);
            m32[i] = ACT_MAGIC + z32[i];
            ds[i] = d[g] * (float)(sum[0] + sum[1]);
        }
    }
}

void quantize_q8_32_avx2(const float *x, size_t k, void *row) {
    quantize(x, k, row, 32);
}

void quantize_q8_256_avx2(const float *x, size_t k, void *row) {
    quantize(x, k, row, 256);
}

/* ---- norm and activation functions
 * ---------------------------------------------------------------------------- */

INLINE double sum4_pd(__m256d v) {
    __m128d s = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(s) + _mm_cvtsd_f64(_mm_unpackhi_pd(s, s));
}

/* Squares are summed in double, where they can't overflow. */
void rms_norm_avx2(float *y, const float *x, const float *w, size_t n, float eps) {
    __m256d s0 = _mm256_setzero_pd(), s1 = s0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256d a = _mm256_cvtps_pd(_mm_loadu_ps(x + i)), b = _mm256_cvtps_pd(_mm_loadu_ps(x + i + 4));
        s0 = _mm256_fmadd_pd(a, a, s0);
        s1 = _mm256_fmadd_pd(b, b, s1);
    }
    double sum = sum4_pd(_mm256_add_pd(s0, s1));
    for (; i < n; i++) sum += (double)x[i] * x[i];

    const float scale = (float)(1 / sqrt(sum / (double)n + (double)eps));
    const __m256 scales = _mm256_set1_ps(scale);
    for (i = 0; i + 8 <= n; i += 8)
        _mm256_storeu_ps(
            y + i, _mm256_mul_ps(_mm256_mul_ps(_mm256_loadu_ps(x + i), scales), _mm256_loadu_ps(w + i)));
    for (; i < n; i++) y[i] = x[i] * scale * w[i];
}

/* The mean first, then squares of what differs from it; both sums in double. */
void layer_norm_avx2(float *y, const float *x, const float *w, const float *b, size_t n, float eps) {
    __m256d s = _mm256_setzero_pd();
    size_t i = 0;
    for (; i + 4 <= n; i += 4) s = _mm256_add_pd(s, _mm256_cvtps_pd(_mm_loadu_ps(x + i)));
    double sum = sum4_pd(s);
    for (; i < n; i++) sum += (double)x[i];
    const double mean = sum / (double)n;
    const __m256d means = _mm256_set1_pd(mean);
    s = _mm256_setzero_pd();
    for (i = 0; i + 4 <= n; i += 4) {
        __m256d v = _mm256_sub_pd(_mm256_cvtps_pd(_mm_loadu_ps(x + i)), means);
        s = _mm256_fmadd_pd(v, v, s);
    }
    sum = sum4_pd(s);
    for (; i < n; i++) sum += ((double)x[i] - mean) * ((double)x[i] - mean);
    const double scale = 1 / sqrt(sum / (double)n + (double)eps);
    const __m256d scales = _mm256_set1_pd(scale);
    for (i = 0; i + 4 <= n; i += 4) {
        __m256d v = _mm256_mul_pd(_mm256_sub_pd(_mm256_cvtps_pd(_mm_loadu_ps(x + i)), means), scales);
        __m128 f = _mm_mul_ps(_mm256_cvtpd_ps(v), _mm_loadu_ps(w + i));
        _mm_storeu_ps(y + i, b ? _mm_add_ps(f, _mm_loadu_ps(b + i)) : f);
    }
    for (; i < n; i++) y[i] = (float)(((double)x[i] - mean) * scale) * w[i] + (b ? b[i] : 0);
}

/* x / (1 + e^-z) */
INLINE __m256 over_one_plus_exp(__m256 x, __m256 z) {
    __m256 e = exp_any(_mm256_sub_ps(_mm256_setzero_ps(), z));
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1), e));
}

INLINE __m256 silu_8(__m256 x) {
    return over_one_plus_exp(x, x);
}

INLINE __m256 gelu_8(__m256 x) {
    const __m256 a = _mm256_set1_ps(1.5957691216f), b = _mm256_set1_ps(1.5957691216f * 0.044715f);
    return over_one_plus_exp(x, _mm256_mul_ps(x, _mm256_fmadd_ps(_mm256_mul_ps(x, x), b, a)));
}

/* tanh(z) = 1 - 2 / (1 + e^2z) */
INLINE __m256 softcap_8(__m256 x, float cap) {
    const __m256 one = _mm256_set1_ps(1);
    __m256 e = exp_any(_mm256_mul_ps(x, _mm256_set1_ps(2 / cap)));
    __m256 t = _mm256_sub_ps(one, _mm256_div_ps(_mm256_set1_ps(2), _mm256_add_ps(one, e)));
    return _mm256_mul_ps(_mm256_set1_ps(cap), t);
}

/* x[0 .. n) = f(x[0 .. n)), f of eight values v */
#define EACH_VALUE(x, n, f)                                                                                  \
    size_t i = 0;                                                                                            \
    for (; i + 8 <= (n); i += 8) {                                                                           \
        __m256 v = _mm256_loadu_ps((x) + i);                                                                 \
        _mm256_storeu_ps((x) + i, f);                                                                        \
    }                                                                                                        \
    if (i < (n)) {                                                                                           \
        __m256i lanes = lanes_below((int)((n)-i));                                                           \
        __m256 v = _mm256_maskload_ps((x) + i, lanes);                                                       \
        _mm256_maskstore_ps((x) + i, lanes, f);                                                              \
    }

void silu_avx2(float *x, size_t n) {
    EACH_VALUE(x, n, silu_8(v))
}

void gelu_avx2(float *x, size_t n) {
    EACH_VALUE(x, n, gelu_8(v))
}

void softcap_avx2(float *x, size_t n, float cap) {
    EACH_VALUE(x, n, softcap_8(v, cap))
}

void gelu_mul_avx2(float *g, const float *u, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(g + i, _mm256_mul_ps(gelu_8(_mm256_loadu_ps(g + i)), _mm256_loadu_ps(u + i)));
    if (i < n) {
        __m256i lanes = lanes_below((int)(n - i));
        __m256 x = _mm256_mul_ps(gelu_8(_mm256_maskload_ps(g + i, lanes)), _mm256_maskload_ps(u + i, lanes));
        _mm256_maskstore_ps(g + i, lanes, x);
    }
}

INLINE __m256 silu_mul_8(__m256 g, __m256 u) {
    return _mm256_mul_ps(silu_8(g), u);
}

void silu_mul_avx2(float *g, const float *u, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(g + i, silu_mul_8(_mm256_loadu_ps(g + i), _mm256_loadu_ps(u + i)));
    if (i < n) {
        __m256i lanes = lanes_below((int)(n - i));
        __m256 x = silu_mul_8(_mm256_maskload_ps(g + i, lanes), _mm256_maskload_ps(u + i, lanes));
        _mm256_maskstore_ps(g + i, lanes, x);
    }
}

/* ---- rotary embedding
 * ----------------------------------------------------------------------------------------- */

static void rotate(float *a, float *b, const float *cs) {
    float x = *a, y = *b;
    *a = x * cs[0] - y * cs[1];
    *b = x * cs[1] + y * cs[0];
}

void rope_pairs_avx2(float *x, const float *cs, size_t n_dims) {
    size_t i = 0;
    for (; i + 8 <= n_dims; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i), both = _mm256_loadu_ps(cs + i);
        __m256 cosines = _mm256_moveldup_ps(both), sines = _mm256_movehdup_ps(both);
        __m256 swapped = _mm256_permute_ps(v, 0xb1);
        _mm256_storeu_ps(x + i, _mm256_fmaddsub_ps(v, cosines, _mm256_mul_ps(swapped, sines)));
    }
    for (; i + 2 <= n_dims; i += 2) rotate(&x[i], &x[i + 1], &cs[i]);
}

/* Every second float of 16, from the first (which 0x88) or second (0xdd) on. */
#define EVERY_SECOND(a, b, which)                                                                            \
    _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(a, b, which)), 0xd8))

void rope_halves_avx2(float *x, const float *cs, size_t n_dims) {
    const size_t half = n_dims / 2;
    size_t i = 0;
    for (; i + 8 <= half; i += 8) {
        __m256 both0 = _mm256_loadu_ps(cs + 2 * i), both1 = _mm256_loadu_ps(cs + 2 * i + 8);
        __m256 cosines = EVERY_SECOND(both0, both1, 0x88), sines = EVERY_SECOND(both0, both1, 0xdd);
        __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + half + i);
        _mm256_storeu_ps(x + i, _mm256_fmsub_ps(a, cosines, _mm256_mul_ps(b, sines)));
        _mm256_storeu_ps(x + half + i, _mm256_fmadd_ps(a, sines, _mm256_mul_ps(b, cosines)));
    }
    for (; i < half; i++) rotate(&x[i], &x[half + i], &cs[2 * i]);
}

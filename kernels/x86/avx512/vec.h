/* Small vector helpers shared by the AVX-512 kernels (both folders): masks, sums, transposes, exp2. Static
 * and inlined, no state. Everything here needs AVX512F/BW/VL/DQ and nothing more. */
#ifndef LEAT_KERNELS_X86_AVX512_VEC_H
#define LEAT_KERNELS_X86_AVX512_VEC_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/formats.h"

#define VEC_INLINE static inline __attribute__((always_inline))

/* Makes a value live in a register: without it a compiler folds one broadcast into each of its uses, and the
 * load ports become the limit of a micro-kernel. */
#define VEC_KEEP(v) __asm__("" : "+v"(v))

#define VEC_EACH4(X) X(0) X(1) X(2) X(3)
#define VEC_EACH6(X) X(0) X(1) X(2) X(3) X(4) X(5)

VEC_INLINE uint16_t vec_load_u16(const void *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

VEC_INLINE int32_t vec_load_i32(const void *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* The lowest n lanes; all of them when n is larger. */
VEC_INLINE __mmask16 vec_mask16(size_t n) {
    return (__mmask16)(n >= 16 ? 0xFFFFu : (1u << n) - 1);
}
VEC_INLINE __mmask64 vec_mask64(size_t n) {
    return n >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1;
}

/* a | (b & mask), bit by bit */
VEC_INLINE __m512i vec_or_masked(__m512i a, __m512i b, __m512i mask) {
    return _mm512_ternarylogic_epi64(a, b, mask, 0xF8);
}

VEC_INLINE __m512 vec_join(__m256 low, __m256 high) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}

/* 16 values of a float format, from element i on, as float32. */
VEC_INLINE __m512 vec_load_float(const void *p, size_t i, uint32_t format) {
    if (format == FORMAT_F32) return _mm512_loadu_ps((const float *)p + i);
    if (format == FORMAT_F64)
        return vec_join(_mm512_cvtpd_ps(_mm512_loadu_pd((const double *)p + i)),
                        _mm512_cvtpd_ps(_mm512_loadu_pd((const double *)p + i + 8)));
    __m256i h = _mm256_loadu_si256((const void *)((const uint16_t *)p + i));
    if (format == FORMAT_F16) return _mm512_cvtph_ps(h);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

/* The same for the lanes of m only; the others are zero and their memory is not touched. */
VEC_INLINE __m512 vec_load_float_part(const void *p, size_t i, __mmask16 m, uint32_t format) {
    if (format == FORMAT_F32) return _mm512_maskz_loadu_ps(m, (const float *)p + i);
    if (format == FORMAT_F64)
        return vec_join(
            _mm512_cvtpd_ps(_mm512_maskz_loadu_pd((__mmask8)m, (const double *)p + i)),
            _mm512_cvtpd_ps(_mm512_maskz_loadu_pd((__mmask8)(m >> 8), (const double *)p + i + 8)));
    __m256i h = _mm256_maskz_loadu_epi16(m, (const uint16_t *)p + i);
    if (format == FORMAT_F16) return _mm512_cvtph_ps(h);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

VEC_INLINE float vec_sum4(__m128 v) {
    v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)));
}

VEC_INLINE float vec_sum16(__m512 v) {
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    return vec_sum4(_mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1)));
}

VEC_INLINE float vec_max16(__m512 v) {
    __m256 h = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}

/* 2^f * 2^n for |f| <= 1/2 and integral n: the polynomial interpolates 2^f at Chebyshev nodes, error below
 * 2^-26. */
VEC_INLINE __m512 vec_exp2_parts(__m512 f, __m512 n) {
    __m512 p = _mm512_set1_ps(0x1.44138ap-13f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.5f0890p-10f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.3b2a54p-7f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.c6af6cp-5f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.ebfbe0p-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.62e430p-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* 2^x. The clamp keeps the infinities out of the polynomial; its operand order lets a NaN through. */
VEC_INLINE __m512 vec_exp2(__m512 x) {
    x = _mm512_max_ps(_mm512_set1_ps(-160.0f), _mm512_min_ps(_mm512_set1_ps(130.0f), x));
    __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return vec_exp2_parts(_mm512_sub_ps(x, n), n);
}

/* e^x; log2(e) in two pieces, because the product with a single one would lose the last bits of large x. */
VEC_INLINE __m512 vec_exp(__m512 x) {
    const __m512 hi = _mm512_set1_ps(0x1.715476p+0f), lo = _mm512_set1_ps(0x1.4ae0c0p-26f);
    x = _mm512_max_ps(_mm512_set1_ps(-110.0f), _mm512_min_ps(_mm512_set1_ps(90.0f), x));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, hi), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return vec_exp2_parts(_mm512_fmadd_ps(x, lo, _mm512_fmsub_ps(x, hi, n)), n);
}

/* Pairs of rows interleaved, then pairs of pairs: lane L of the four results holds columns 4L .. 4L+3 of rows
 * a .. d. */
VEC_INLINE void vec_transpose_4x4(__m512 a, __m512 b, __m512 c, __m512 d, __m512 out[4]) {
    __m512d p = _mm512_castps_pd(_mm512_unpacklo_ps(a, b)), q = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
    __m512d r = _mm512_castps_pd(_mm512_unpacklo_ps(c, d)), s = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
    out[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(p, r));
    out[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(p, r));
    out[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(q, s));
    out[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(q, s));
}

/* out[column * stride + row] = in[row], 16 rows of 16; out + column * stride is 64-byte aligned. */
VEC_INLINE void vec_transpose_16x16(const __m512 in[16], float *out, size_t stride) {
    __m512 t0[4], t1[4], t2[4], t3[4];
    vec_transpose_4x4(in[0], in[1], in[2], in[3], t0);
    vec_transpose_4x4(in[4], in[5], in[6], in[7], t1);
    vec_transpose_4x4(in[8], in[9], in[10], in[11], t2);
    vec_transpose_4x4(in[12], in[13], in[14], in[15], t3);
#define VEC_COLUMNS(j)                                                                                       \
    {                                                                                                        \
        __m512 a = _mm512_shuffle_f32x4(t0[j], t1[j], 0x88), b = _mm512_shuffle_f32x4(t2[j], t3[j], 0x88);   \
        __m512 c = _mm512_shuffle_f32x4(t0[j], t1[j], 0xDD), d = _mm512_shuffle_f32x4(t2[j], t3[j], 0xDD);   \
        _mm512_store_ps(out + (j)*stride, _mm512_shuffle_f32x4(a, b, 0x88));                                 \
        _mm512_store_ps(out + (4 + (j)) * stride, _mm512_shuffle_f32x4(c, d, 0x88));                         \
        _mm512_store_ps(out + (8 + (j)) * stride, _mm512_shuffle_f32x4(a, b, 0xDD));                         \
        _mm512_store_ps(out + (12 + (j)) * stride, _mm512_shuffle_f32x4(c, d, 0xDD));                        \
    }
    VEC_EACH4(VEC_COLUMNS)
#undef VEC_COLUMNS
}

#endif

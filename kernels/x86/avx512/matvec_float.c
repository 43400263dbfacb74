/* Matrix times vector for float weights (F32, F16, BF16, F64) straight from mapped rows. Bound by memory:
 * what counts is that every line of weights is asked for once, well ahead. Reads no weight beyond the end of
 * the last row. */
#include "avx512.h"
#include "vec.h"

/* Four accumulators hide the latency of the multiply-add; the remainder goes through masked loads of both
 * sides. */
VEC_INLINE float dot_row(const uint8_t *row, const float *x, size_t k, uint32_t format) {
    const size_t bytes = format == FORMAT_F64 ? 8 : format == FORMAT_F32 ? 4 : 2;
    __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 64 <= k; i += 64) {
        for (size_t line = 0; line < 64 * bytes; line += 64) {
            uintptr_t at = (uintptr_t)row + i * bytes + line;
            _mm_prefetch((const char *)(at + 2048), _MM_HINT_T0);
            _mm_prefetch((const char *)(at + 16384), _MM_HINT_T1);
        }
        s0 = _mm512_fmadd_ps(vec_load_float(row, i, format), _mm512_loadu_ps(x + i), s0);
        s1 = _mm512_fmadd_ps(vec_load_float(row, i + 16, format), _mm512_loadu_ps(x + i + 16), s1);
        s2 = _mm512_fmadd_ps(vec_load_float(row, i + 32, format), _mm512_loadu_ps(x + i + 32), s2);
        s3 = _mm512_fmadd_ps(vec_load_float(row, i + 48, format), _mm512_loadu_ps(x + i + 48), s3);
    }
    for (; i < k; i += 16) {
        __mmask16 m = vec_mask16(k - i);
        s0 = _mm512_fmadd_ps(vec_load_float_part(row, i, m, format), _mm512_maskz_loadu_ps(m, x + i), s0);
    }
    return vec_sum16(_mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3)));
}

void matvec_f32_avx512(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act, float *y) {
    const uint8_t *rows = (const uint8_t *)w;
    for (size_t r = 0; r < n_rows; r++) y[r] = dot_row(rows + r * row_bytes, act, k, FORMAT_F32);
}

void matvec_f16_avx512(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act, float *y) {
    const uint8_t *rows = (const uint8_t *)w;
    for (size_t r = 0; r < n_rows; r++) y[r] = dot_row(rows + r * row_bytes, act, k, FORMAT_F16);
}

void matvec_bf16_avx512(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act, float *y) {
    const uint8_t *rows = (const uint8_t *)w;
    for (size_t r = 0; r < n_rows; r++) y[r] = dot_row(rows + r * row_bytes, act, k, FORMAT_BF16);
}

void matvec_f64_avx512(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act, float *y) {
    const uint8_t *rows = (const uint8_t *)w;
    for (size_t r = 0; r < n_rows; r++) y[r] = dot_row(rows + r * row_bytes, act, k, FORMAT_F64);
}

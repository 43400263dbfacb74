/* matvec for F32, F16, BF16 and F64 rows. One row at a time, straight from where the file is mapped; a row
 * has any length, so the last few values are done one by one and nothing is read beyond them. Called through
 * the kernel table only. */
#include "avx2.h"

INLINE void matvec_float(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act, float *y,
                         int type) {
    const size_t bytes = value_bytes(type);
    const float *x = act;
    for (size_t r = 0; r < n_rows; r++) {
        const char *row = (const char *)w + r * row_bytes;
        __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
        size_t i = 0;
        for (; i + 32 <= k; i += 32) {
            const char *p = row + i * bytes;
            prefetch_line(p);
            if (bytes > 2) prefetch_line(p + 64);
            if (bytes > 4) prefetch_line(p + 128), prefetch_line(p + 192);
            s0 = _mm256_fmadd_ps(load8(p, type), _mm256_loadu_ps(x + i), s0);
            s1 = _mm256_fmadd_ps(load8(p + 8 * bytes, type), _mm256_loadu_ps(x + i + 8), s1);
            s2 = _mm256_fmadd_ps(load8(p + 16 * bytes, type), _mm256_loadu_ps(x + i + 16), s2);
            s3 = _mm256_fmadd_ps(load8(p + 24 * bytes, type), _mm256_loadu_ps(x + i + 24), s3);
        }
        for (; i + 8 <= k; i += 8)
            s0 = _mm256_fmadd_ps(load8(row + i * bytes, type), _mm256_loadu_ps(x + i), s0);
        float sum = sum8(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
        for (; i < k; i++) sum += load1(row + i * bytes, type) * x[i];
        y[r] = sum;
    }
}

#define MATVEC(name, type)                                                                                   \
    void matvec_##name##_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act,     \
                              float *y) {                                                                    \
        matvec_float(w, row_bytes, n_rows, k, act, y, type);                                                 \
    }
MATVEC(f32, F32)
MATVEC(f16, F16)
MATVEC(bf16, BF16)
MATVEC(f64, F64)

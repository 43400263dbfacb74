/* Float weights into PANEL_F32: f[k][32], one column of 32 rows after the other, made by 16 x 16 transposes.
 * Overridden together with panel_mul.c. Touches neither rows from n_rows on nor columns from k0 + kc on. */
#include "avx512.h"
#include "vec.h"

enum { ROWS = 32 };

VEC_INLINE void unpack_float(const uint8_t *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc,
                             panel *p, uint32_t format) {
    for (size_t half = 0; half < ROWS; half += 16) {
        /* A block that starts inside the panel ends inside it, because PANEL_K is a multiple of 16. */
        for (size_t c = 0; c < kc; c += 16) {
            __mmask16 m = vec_mask16(kc - c);
            __m512 in[16];
            for (size_t i = 0; i < 16; i++)
                in[i] = half + i < n_rows ? vec_load_float_part(w + (half + i) * row_bytes, k0 + c, m, format)
                                          : _mm512_setzero_ps();
            vec_transpose_16x16(in, p->f + c * ROWS + half, ROWS);
        }
    }
}

void unpack_f32_avx512(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    unpack_float(w, row_bytes, n_rows, k0, kc, p, FORMAT_F32);
}

void unpack_f16_avx512(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    unpack_float(w, row_bytes, n_rows, k0, kc, p, FORMAT_F16);
}

void unpack_bf16_avx512(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    unpack_float(w, row_bytes, n_rows, k0, kc, p, FORMAT_BF16);
}

void unpack_f64_avx512(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    unpack_float(w, row_bytes, n_rows, k0, kc, p, FORMAT_F64);
}

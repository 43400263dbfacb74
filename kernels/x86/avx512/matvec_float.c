/* Matrix times vector for float weights (F32, F16, BF16, F64) straight from mapped rows, four far apart side
 * by side. Bound by memory, see kernels/x86/streams.h. Reads no weight beyond the end of the last row. */
#include "avx512.h"
#include "kernels/x86/streams.h"
#include "vec.h"

enum { STEP = 64 }; /* columns */

/* Four accumulators hide the latency of the multiply-add. */
typedef struct sums {
    __m512 s[4];
} sums;

VEC_INLINE void step(sums *s, const char *p, const float *x, uint32_t format) {
#define ADD(i)                                                                                               \
    s->s[i] = _mm512_fmadd_ps(vec_load_float(p, 16 * (i), format), _mm512_loadu_ps(x + 16 * (i)), s->s[i]);
    VEC_EACH4(ADD)
#undef ADD
}

/* The remainder goes through masked loads of both sides. */
VEC_INLINE float finish(const sums *s, const char *row, const float *x, size_t i, size_t k, uint32_t format) {
    __m512 s0 = s->s[0];
    for (; i < k; i += 16) {
        __mmask16 m = vec_mask16(k - i);
        s0 = _mm512_fmadd_ps(vec_load_float_part(row, i, m, format), _mm512_maskz_loadu_ps(m, x + i), s0);
    }
    return vec_sum16(_mm512_add_ps(_mm512_add_ps(s0, s->s[1]), _mm512_add_ps(s->s[2], s->s[3])));
}

/* n (STREAMS or 1) times `per` rows from w on. */
VEC_INLINE void walk_rows(const char *w, size_t row_bytes, size_t per, size_t k, const float *x, float *y,
                          const int n, const uint32_t format) {
    const size_t bytes = format == FORMAT_F64 ? 8 : format == FORMAT_F32 ? 4 : 2, whole = k / STEP * STEP;
    streams ahead = streams_open(w, row_bytes, per, n);
    for (size_t r = 0; r < per; r++) {
        const char *row = streams_row(&ahead, w, r), *p = row;
#define START(t)                                                                                             \
    sums s##t = {{_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()}};
        EACH_STREAM(START)
        for (size_t i = 0; i < whole; i += STEP, p += STEP * bytes) {
            streams_ask(&ahead, p + STEP * bytes, STEP * bytes, n);
#define ADD(t)                                                                                               \
    if (t < n) step(&s##t, p + t * ahead.apart, x + i, format);
            EACH_STREAM(ADD)
        }
#define FINISH(t)                                                                                            \
    if (t < n) y[r + t * per] = finish(&s##t, row + t * ahead.apart, x, whole, k, format);
        EACH_STREAM(FINISH)
    }
#undef START
#undef ADD
#undef FINISH
}

VEC_INLINE void matvec_float(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act,
                             float *y, const uint32_t format) {
    const size_t per = n_rows / STREAMS, done = STREAMS * per;
    walk_rows(w, row_bytes, per, k, act, y, STREAMS, format);
    walk_rows((const char *)w + done * row_bytes, row_bytes, n_rows - done, k, act, y + done, 1, format);
}

#define MATVEC(name, format)                                                                                 \
    void matvec_##name##_avx512(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act,   \
                                float *y) {                                                                  \
        matvec_float(w, row_bytes, n_rows, k, act, y, format);                                               \
    }
MATVEC(f32, FORMAT_F32)
MATVEC(f16, FORMAT_F16)
MATVEC(bf16, FORMAT_BF16)
MATVEC(f64, FORMAT_F64)

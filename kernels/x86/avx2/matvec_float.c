/* Matrix times vector for F32, F16, BF16 and F64 rows, straight from where the file is mapped, four far apart
 * side by side: see kernels/x86/streams.h. A row has any length, so the last few values are done one by one
 * and nothing is read beyond them. Called through the kernel table only. */
#include "avx2.h"
#include "kernels/x86/streams.h"

enum { STEP = 32 }; /* columns */

/* Two for each row, so that a row's result does not depend on the rows beside it. */
typedef struct sums {
    __m256 s[2];
} sums;

INLINE void step(sums *s, const char *p, const float *x, const int type) {
#define ADD(i)                                                                                               \
    s->s[(i) % 2] = _mm256_fmadd_ps(load8(p + 8 * (i)*value_bytes(type), type),                              \
                                    _mm256_loadu_ps(x + 8 * (i)), s->s[(i) % 2]);
    ADD(0)
    ADD(1)
    ADD(2)
    ADD(3)
#undef ADD
}

INLINE float finish(const sums *s, const char *row, const float *x, size_t i, size_t k, const int type) {
    const size_t bytes = value_bytes(type);
    __m256 s0 = s->s[0];
    for (; i + 8 <= k; i += 8) s0 = _mm256_fmadd_ps(load8(row + i * bytes, type), _mm256_loadu_ps(x + i), s0);
    float sum = sum8(_mm256_add_ps(s0, s->s[1]));
    for (; i < k; i++) sum += load1(row + i * bytes, type) * x[i];
    return sum;
}

/* n (STREAMS or 1) times `per` rows from w on. */
INLINE void walk_rows(const char *w, size_t row_bytes, size_t per, size_t k, const float *x, float *y,
                      const int n, const int type) {
    const size_t bytes = value_bytes(type), whole = k / STEP * STEP;
    streams ahead = streams_open(w, row_bytes, per, n);
    for (size_t r = 0; r < per; r++) {
        const char *row = streams_row(&ahead, w, r), *p = row;
#define START(t) sums s##t = {{_mm256_setzero_ps(), _mm256_setzero_ps()}};
        EACH_STREAM(START)
        for (size_t i = 0; i < whole; i += STEP, p += STEP * bytes) {
            streams_ask(&ahead, p + STEP * bytes, STEP * bytes, n);
#define ADD(t)                                                                                               \
    if (t < n) step(&s##t, p + t * ahead.apart, x + i, type);
            EACH_STREAM(ADD)
        }
#define FINISH(t)                                                                                            \
    if (t < n) y[r + t * per] = finish(&s##t, row + t * ahead.apart, x, whole, k, type);
        EACH_STREAM(FINISH)
    }
#undef START
#undef ADD
#undef FINISH
}

INLINE void matvec_float(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act, float *y,
                         const int type) {
    const size_t per = n_rows / STREAMS, done = STREAMS * per;
    walk_rows(w, row_bytes, per, k, act, y, STREAMS, type);
    walk_rows((const char *)w + done * row_bytes, row_bytes, n_rows - done, k, act, y + done, 1, type);
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

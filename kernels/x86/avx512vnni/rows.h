/* How matvec of this folder walks through rows: streams.h has the reasons. A kernel gives what it does with
 * the bytes of one step of one row, and what becomes of the row's sums at its end; no byte beyond the last
 * row is read. Included only inside this folder. */
#ifndef LEAT_KERNELS_X86_AVX512VNNI_ROWS_H
#define LEAT_KERNELS_X86_AVX512VNNI_ROWS_H

#include "kernels/act.h"
#include "kernels/x86/avx512/vec.h"
#include "kernels/x86/streams.h"

/* What a row adds up, zero at first. Each kernel uses of it what it needs, the rest is optimized away. */
typedef struct sums {
    __m512 dot, more;
    __m256 rest;
} sums;

/* The activations, whose fields act.h explains. */
typedef struct acts {
    const int8_t *q;
    const float *d, *ds;
    const int16_t *s16, *s32;
    const int32_t *z16;
} acts;

/* Step i of a row, whose weights are at p. left, a constant 0 but at the end of rows that are no whole number
 * of steps: how many blocks there are; what follows them may be any bytes. Of the activations whole vectors
 * may be read. */
typedef void step_fn(sums *s, const uint8_t *p, const acts *a, size_t i, size_t left);
typedef float finish_fn(const sums *s);

/* rest, of which four lanes are used, plus a * b. */
VEC_INLINE void add_rest4(sums *s, __m128 a, __m128 b) {
    s->rest = _mm256_castps128_ps256(_mm_fmadd_ps(a, b, _mm256_castps256_ps128(s->rest)));
}

/* A step is `blocks` blocks of `bytes` bytes and `columns` columns; all constants. */
typedef struct walk {
    step_fn *step;
    finish_fn *finish;
    size_t blocks, bytes, columns;
} walk;

typedef struct matrix {
    const uint8_t *w, *end;
    size_t row_bytes, n_blocks;
} matrix;

enum { STEP_BYTES_MAX = 192 };

VEC_INLINE void last_step(sums *s, const uint8_t *p, const matrix *m, const acts *a, const walk k) {
    const size_t left = m->n_blocks % k.blocks;
    uint8_t copy[STEP_BYTES_MAX];
    if ((size_t)(m->end - p) < k.blocks * k.bytes) {
        memset(copy, 0, sizeof copy);
        memcpy(copy, p, left * k.bytes);
        p = copy;
    }
    k.step(s, p, a, m->n_blocks / k.blocks, left);
}

/* n (STREAMS or 1) times `per` rows, from row `first` on. */
VEC_INLINE void walk_rows(const matrix *m, size_t first, size_t per, const acts *a, float *y, const int n,
                          const walk k) {
    const char *w = (const char *)m->w + first * m->row_bytes;
    const size_t bytes = k.blocks * k.bytes, n_steps = m->n_blocks / k.blocks;
    const sums zero = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm256_setzero_ps()};
    streams ahead = streams_open(w, m->row_bytes, per, n);
    for (size_t r = 0; r < per; r++) {
        const char *p = streams_row(&ahead, w, r);
#define START(t) sums s##t = zero;
        EACH_STREAM(START)
        for (size_t i = 0; i < n_steps; i++, p += bytes) {
            streams_ask(&ahead, p + bytes, bytes, n);
#define STEP(t)                                                                                              \
    if (t < n) k.step(&s##t, (const uint8_t *)p + t * ahead.apart, a, i, 0);
            EACH_STREAM(STEP)
        }
#define FINISH(t)                                                                                            \
    if (t < n) {                                                                                             \
        if (k.blocks > 1 && m->n_blocks % k.blocks)                                                          \
            last_step(&s##t, (const uint8_t *)p + t * ahead.apart, m, a, k);                                 \
        y[first + r + t * per] = k.finish(&s##t);                                                            \
    }
        EACH_STREAM(FINISH)
    }
#undef START
#undef STEP
#undef FINISH
}

/* y[r] of n_rows rows of k columns. */
VEC_INLINE void walk_matrix(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act,
                            float *y, const walk how) {
    if (!n_rows) return;
    const acts a = {act_q(act),      act_d(act, k),   act_ds(act, k),
                    act_s16(act, k), act_s32(act, k), act_z16(act, k)};
    const uint8_t *rows = w;
    const size_t n_blocks = k / how.columns, per = n_rows / STREAMS;
    const matrix m = {rows, rows + (n_rows - 1) * row_bytes + n_blocks * how.bytes, row_bytes, n_blocks};
    walk_rows(&m, 0, per, &a, y, STREAMS, how);
    walk_rows(&m, STREAMS * per, n_rows - STREAMS * per, &a, y, 1, how);
}

#define MATVEC(name, ...)                                                                                    \
    void matvec_##name##_avx512vnni(const void *w, size_t row_bytes, size_t n_rows, size_t k,                \
                                    const void *act, float *y) {                                             \
        walk_matrix(w, row_bytes, n_rows, k, act, y, (walk){__VA_ARGS__});                                   \
    }

#endif

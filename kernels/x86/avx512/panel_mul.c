/* PANEL_F32 times up to 12 tokens: 24 accumulators, two vectors of weights and one broadcast activation fill
 * the register file without a spill. The accumulators have names, not indices, so that no compiler puts them
 * into memory. */
#include "avx512.h"
#include "vec.h"

#define EACH12(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

/* Token t, from four running pointers to tokens 0, 3, 6 and 9: all twelve addresses need one stride register
 * only. */
#define TOKEN(t) (((t) < 3 ? x0 : (t) < 6 ? x3 : (t) < 9 ? x6 : x9) + (size_t)((t) % 3) * stride)

VEC_INLINE void mul_f32(const panel *p, size_t kc, const char *act, size_t stride, float *c, const int n) {
    const char *x0 = act, *x3 = n > 3 ? x0 + 3 * stride : x0;
    const char *x6 = n > 6 ? x3 + 3 * stride : x0, *x9 = n > 9 ? x6 + 3 * stride : x0;
    const float *f = p->f, *end = f + kc * 32;
#define ZERO(t) __m512 a##t = _mm512_setzero_ps(), b##t = _mm512_setzero_ps();
    EACH12(ZERO)
    for (; f < end; f += 32, x0 += 4, x3 += 4, x6 += 4, x9 += 4) {
        const __m512 w0 = _mm512_load_ps(f), w1 = _mm512_load_ps(f + 16);
#define MUL(t)                                                                                               \
    if (t < n) {                                                                                             \
        __m512 x = _mm512_set1_ps(*(const float *)(const void *)TOKEN(t));                                   \
        VEC_KEEP(x);                                                                                         \
        a##t = _mm512_fmadd_ps(w0, x, a##t);                                                                 \
        b##t = _mm512_fmadd_ps(w1, x, b##t);                                                                 \
    }
        EACH12(MUL)
    }
#define ADD(t)                                                                                               \
    if (t < n) {                                                                                             \
        _mm512_store_ps(c + 32 * t, _mm512_add_ps(_mm512_load_ps(c + 32 * t), a##t));                        \
        _mm512_store_ps(c + 32 * t + 16, _mm512_add_ps(_mm512_load_ps(c + 32 * t + 16), b##t));              \
    }
    EACH12(ADD)
}

void panel_mul_f32_avx512(const panel *p, size_t kc, const void *act, size_t act_stride, size_t k, size_t k0,
                          size_t n_tokens, float *c) {
    (void)k;
    const char *x = (const char *)act + k0 * sizeof(float);
    switch (n_tokens) {
#define CASE(t)                                                                                              \
    case t + 1: mul_f32(p, kc, x, act_stride, c, t + 1); break;
        EACH12(CASE)
    }
}

_Static_assert(PANEL_F32_TOKENS_AVX512 == 12, "as many as EACH12 has");

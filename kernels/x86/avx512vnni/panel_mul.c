/* The integer panels times up to 6 tokens, 32 rows at a time: 12 integer and 12 float accumulators, two
 * vectors of weights and one broadcast of four activations are 27 of the 32 registers. Tokens are read where
 * they lie. The sum of a fold (32 or 16 columns) is an exact integer, begun with the zero point's share;
 * above it everything is float. All registers have names, not indices, so that no compiler puts them into
 * memory. Overridden together with unpack.c. */
#include "avx512vnni.h"
#include "kernels/x86/avx512/vec.h"

/* Token t at an offset into its row. Six row pointers and one running offset per section: every load is base
 * + index with a constant, so nothing but the offsets moves and no address needs a register of its own. */
#define TOKEN(offset, t) (row##t + (offset))

VEC_INLINE __m512i broadcast_i32(const char *p) {
    __m512i v = _mm512_set1_epi32(vec_load_i32(p));
    VEC_KEEP(v);
    return v;
}

VEC_INLINE __m512 broadcast_f32(const char *p) {
    return _mm512_castsi512_ps(_mm512_set1_epi32(vec_load_i32(p)));
}

/* Four columns from column 4 * j of the fold on. */
#define DOT(t)                                                                                               \
    if (t < n) {                                                                                             \
        const __m512i x = broadcast_i32(TOKEN(q, t) + 4 * j);                                                \
        a##t = _mm512_dpbusd_epi32(a##t, w0, x);                                                             \
        b##t = _mm512_dpbusd_epi32(b##t, w1, x);                                                             \
    }
#define COLUMNS(at)                                                                                          \
    do {                                                                                                     \
        const int j = at;                                                                                    \
        const __m512i w0 = _mm512_load_si512(w + 128 * j), w1 = _mm512_load_si512(w + 128 * j + 64);         \
        VEC_EACH6(DOT)                                                                                       \
    } while (0)

/* kind is a constant, as is n. */
VEC_INLINE void mul_q8(const panel *p, size_t kc, const char *act, size_t stride, size_t k, size_t k0,
                       float *c, const panel_kind kind, const int n) {
    const int mins_32 = kind == PANEL_Q8_32_MIN, mins_16 = kind == PANEL_Q8_256_16_MIN;
    const int mins_256 = kind == PANEL_Q8_256_MIN || mins_16, zero_16 = kind == PANEL_Q8_32_16;
    const int zero_point = !mins_32 && !mins_256, scale_32 = kind == PANEL_Q8_32 || mins_32 || zero_16;
    const size_t fold = kind == PANEL_Q8_256_16 || zero_16 ? 16 : 32;
    size_t q = k0, d = act_d_at(k) + k0 / (scale_32 ? 32 : 256) * 4, ds = act_ds_at(k) + k0 / 8;
    size_t z = fold == 16 ? act_z16_at(k) + k0 / 16 * 4 : act_m32_at(k) + k0 / 32 * 4;
    const int32_t *unmagic = p->aux; /* floats, in the kinds of ACT_Q8_32 */
    /* a pointer to a token exists only where the token does */
#define ROW(t) const char *row##t = act + (t < n ? t : 0) * stride;
    VEC_EACH6(ROW)
    const uint8_t *w = p->w;
    const float *scale = p->scale, *min = p->min;

/* The same columns of the next tile's tokens, which come from the second-level cache at best: rows are too
 * far apart for the hardware to guess. Only a full tile has another behind it, as a rule. */
#define AHEAD(t) _mm_prefetch(TOKEN(q + 6 * stride, t), _MM_HINT_T0);
#define ZERO(t)  __m512 f##t = _mm512_setzero_ps(), g##t = _mm512_setzero_ps();
    VEC_EACH6(ZERO)
    for (const uint8_t *end = w + kc * 32; w < end; w += fold * 32, scale += 32) {
#define START(t)                                                                                             \
    __m512i a##t = zero_point && t < n ? broadcast_i32(TOKEN(z, t))                                          \
                   : mins_32           ? _mm512_set1_epi32(ACT_MAGIC)                                        \
                                       : _mm512_setzero_si512(),                                                       \
            b##t = a##t;
        __asm__("" : "+r"(q)); /* or the compiler keeps sums of offsets in registers it has not got */
        VEC_EACH6(START)
        if (n == 6) VEC_EACH6(AHEAD)
        COLUMNS(0);
        COLUMNS(1);
        COLUMNS(2);
        COLUMNS(3);
        if (fold == 32) {
            COLUMNS(4);
            COLUMNS(5);
            COLUMNS(6);
            COLUMNS(7);
        }
        const __m512 s0 = _mm512_load_ps(scale), s1 = _mm512_load_ps(scale + 16);
        const __m512 u0 = _mm512_load_ps((const void *)unmagic),
                     u1 = _mm512_load_ps((const void *)(unmagic + 16));
#define ADD(t)                                                                                               \
    if (t < n && zero_16) {                                                                                  \
        const __m512 x = broadcast_f32(TOKEN(d, t));                                                         \
        f##t = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(a##t), s0), x, f##t);                        \
        g##t = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(b##t), s1), x, g##t);                        \
    } else if (t < n && scale_32) {                                                                          \
        const __m512 x = broadcast_f32(TOKEN(d, t));                                                         \
        f##t = _mm512_fmadd_ps(_mm512_fmadd_ps(_mm512_castsi512_ps(a##t), s0, u0), x, f##t);                 \
        g##t = _mm512_fmadd_ps(_mm512_fmadd_ps(_mm512_castsi512_ps(b##t), s1, u1), x, g##t);                 \
    } else if (t < n) {                                                                                      \
        f##t = _mm512_fmadd_ps(_mm512_cvtepi32_ps(a##t), s0, f##t);                                          \
        g##t = _mm512_fmadd_ps(_mm512_cvtepi32_ps(b##t), s1, g##t);                                          \
    }
        VEC_EACH6(ADD)
        if (mins_32) {
            const __m512 m0 = _mm512_load_ps(min), m1 = _mm512_load_ps(min + 16);
#define SUBTRACT(t)                                                                                          \
    if (t < n) {                                                                                             \
        const __m512 x = broadcast_f32(TOKEN(ds, t));                                                        \
        f##t = _mm512_fnmadd_ps(m0, x, f##t);                                                                \
        g##t = _mm512_fnmadd_ps(m1, x, g##t);                                                                \
    }
            VEC_EACH6(SUBTRACT)
            min += 32;
            ds += 4;
        }
        q += fold;
        z += 4;
        unmagic += 32;
        if (scale_32 && fold == 32) d += 4;
        if (zero_16) d = act_d_at(k) + q / 32 * 4;
    }

    if (mins_256) {
        /* pairs of minima (aux) times pairs of sums of 32 or 16, then dmin, which is in min: one float step
         * for the superblock */
        const size_t s = mins_16 ? act_s16_at(k) + k0 / 8 : act_s32_at(k) + k0 / 16;
        const __m512 m0 = _mm512_load_ps(p->min), m1 = _mm512_load_ps(p->min + 16);
#define PAIRS(t, i)                                                                                          \
    do {                                                                                                     \
        const __m512i x = broadcast_i32(TOKEN(s, t) + 4 * (i));                                              \
        a = _mm512_dpwssd_epi32(a, _mm512_load_si512(p->aux + 32 * (i)), x);                                 \
        b = _mm512_dpwssd_epi32(b, _mm512_load_si512(p->aux + 32 * (i) + 16), x);                            \
    } while (0)
#define SUBTRACT_256(t)                                                                                      \
    if (t < n) {                                                                                             \
        __m512i a = _mm512_setzero_si512(), b = a;                                                           \
        PAIRS(t, 0);                                                                                         \
        PAIRS(t, 1);                                                                                         \
        PAIRS(t, 2);                                                                                         \
        PAIRS(t, 3);                                                                                         \
        if (mins_16) {                                                                                       \
            PAIRS(t, 4);                                                                                     \
            PAIRS(t, 5);                                                                                     \
            PAIRS(t, 6);                                                                                     \
            PAIRS(t, 7);                                                                                     \
        }                                                                                                    \
        f##t = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(a), m0, f##t);                                            \
        g##t = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(b), m1, g##t);                                            \
    }
        VEC_EACH6(SUBTRACT_256)
    }

#define STORE(t)                                                                                             \
    if (t < n) {                                                                                             \
        __m512 x = _mm512_load_ps(c + 32 * t), y = _mm512_load_ps(c + 32 * t + 16);                          \
        const __m512 x256 = scale_32 ? _mm512_setzero_ps() : broadcast_f32(TOKEN(d, t));                     \
        x = scale_32 ? _mm512_add_ps(f##t, x) : _mm512_fmadd_ps(f##t, x256, x);                              \
        y = scale_32 ? _mm512_add_ps(g##t, y) : _mm512_fmadd_ps(g##t, x256, y);                              \
        _mm512_store_ps(c + 32 * t, x);                                                                      \
        _mm512_store_ps(c + 32 * t + 16, y);                                                                 \
    }
    VEC_EACH6(STORE)
}

#define CASE(t)                                                                                              \
    case t + 1:                                                                                              \
        mul_q8(p, kc, act, act_stride, k, k0, c, KIND, t + 1);                                               \
        break;
#define PANEL_MUL(name)                                                                                      \
    void panel_mul_##name##_avx512vnni(const panel *p, size_t kc, const void *act, size_t act_stride,        \
                                       size_t k, size_t k0, size_t n_tokens, float *c) {                     \
        switch (n_tokens) { VEC_EACH6(CASE) }                                                                \
    }

#define KIND PANEL_Q8_32
PANEL_MUL(q8_32)
#undef KIND
#define KIND PANEL_Q8_32_MIN
PANEL_MUL(q8_32_min)
#undef KIND
#define KIND PANEL_Q8_256_MIN
PANEL_MUL(q8_256_min)
#undef KIND
#define KIND PANEL_Q8_256_16
PANEL_MUL(q8_256_16)
#undef KIND
#define KIND PANEL_Q8_32_16
PANEL_MUL(q8_32_16)
#undef KIND
#define KIND PANEL_Q8_256_16_MIN
PANEL_MUL(q8_256_16_min)

_Static_assert(PANEL_TOKENS_AVX512VNNI == 6, "as many as VEC_EACH6 has");
_Static_assert(PANEL_K == 256, "one superblock, hence one scale of ACT_Q8_256, per panel");

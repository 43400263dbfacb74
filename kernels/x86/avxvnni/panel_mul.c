/* The integer panels of unpack.c times up to 6 tokens, 16 rows at a time. vpdpbusd has a latency of five and
 * two of them start in a cycle, so the tile has 12 accumulators; with two vectors of weights and a broadcast
 * of four activations that is all but one of the 16 registers, and the floats live in c, where a fold adds to
 * them. Tokens are read where they lie. A sum begins with the magic number and the zero point's share
 * (act.h): as a float it is the exact integer plus 12582912, which one fma takes away while it scales.
 * Registers have names, not indices, so that no compiler puts them into memory. */
#include "kernels/x86/avx2/avx2.h"
#include "avxvnni.h"

#define EACH_6(X) X(0) X(1) X(2) X(3) X(4) X(5)

/* Token t at an offset into its row. */
#define TOKEN(offset, t) (row##t + (offset))

/* Four columns from column 4 * j of the fold on. The broadcast is kept in a register, or a compiler may load
 * it once for each use. */
#define DOT(t)                                                                                               \
    if (t < n) {                                                                                             \
        __m256i x = broadcast32(TOKEN(q, t) + 4 * j);                                                        \
        __asm__("" : "+x"(x));                                                                               \
        a##t = _mm256_dpbusd_avx_epi32(a##t, w0, x);                                                         \
        b##t = _mm256_dpbusd_avx_epi32(b##t, w1, x);                                                         \
    }
#define COLUMNS(at)                                                                                          \
    do {                                                                                                     \
        const int j = at;                                                                                    \
        const __m256i w0 = load256(w + 4 * ROWS * j), w1 = load256(w + 4 * ROWS * j + 32);                   \
        EACH_6(DOT)                                                                                          \
    } while (0)

/* c -= minima of the sub-blocks times sums of 32 activations, both in pairs, times dmin * d. */
INLINE void subtract_mins(const panel *p, const char *sums, const char *d, float *c, const int n_pairs) {
    __m256i a = _mm256_setzero_si256(), b = a;
    const int32_t *mins = p->aux + AUX_MINS;
    for (int i = 0; i < n_pairs; i++, mins += ROWS, sums += 4) {
        const __m256i x = broadcast32(sums);
        a = _mm256_dpwssd_avx_epi32(a, load256(mins), x);
        b = _mm256_dpwssd_avx_epi32(b, load256(mins + 8), x);
    }
    const __m256 x = broadcast_float(d);
    const __m256 ma = _mm256_mul_ps(_mm256_load_ps(p->min), x),
                 mb = _mm256_mul_ps(_mm256_load_ps(p->min + 8), x);
    _mm256_store_ps(c, _mm256_fnmadd_ps(_mm256_cvtepi32_ps(a), ma, _mm256_load_ps(c)));
    _mm256_store_ps(c + 8, _mm256_fnmadd_ps(_mm256_cvtepi32_ps(b), mb, _mm256_load_ps(c + 8)));
}

/* kind is a constant, as is n. */
INLINE void mul_q8(const panel *p, size_t kc, const char *act, size_t stride, size_t k, size_t k0, float *c,
                   const panel_kind kind, const int n) {
    const bool mins_32 = kind == PANEL_Q8_32_MIN, mins_16 = kind == PANEL_Q8_256_16_MIN;
    const bool mins_256 = kind == PANEL_Q8_256_MIN || mins_16, zero_16 = kind == PANEL_Q8_32_16;
    const bool by_32 = kind == PANEL_Q8_32 || mins_32 || zero_16;
    const size_t fold = kind == PANEL_Q8_256_16 || zero_16 ? 16 : 32;
    const __m256i magic = _mm256_set1_epi32(ACT_MAGIC);
    size_t q = k0, d = act_d_at(k) + k0 / (by_32 ? 32 : 256) * 4, ds = act_ds_at(k) + k0 / 8;
    size_t z = fold == 16 ? act_z16_at(k) + k0 / 4 : act_m32_at(k) + k0 / 8;
    /* a pointer to a token exists only where the token does */
#define ROW(t) const char *row##t = act + (t < n ? t : 0) * stride;
    EACH_6(ROW)
    const uint8_t *w = p->w;
    const float *scale = p->scale, *min = p->min;
    const int32_t *unmagic = p->aux; /* floats */
    /* Folds with the same scale of activations are added up before they meet it: an addition has a port to
     * itself, a product or another fma would take one from vpdpbusd. */
    _Alignas(32) float sums[12][8];
    if (!by_32 || zero_16) memset(sums, 0, sizeof sums);

/* The same columns of the next tile's tokens: rows are too far apart for the hardware to guess. Only a full
 * tile has another behind it, as a rule. */
#define AHEAD(t) _mm_prefetch(TOKEN(q + 6 * stride, t), _MM_HINT_T0);
    for (const uint8_t *end = w + kc * ROWS; w < end; w += fold * ROWS) {
#define START(t)                                                                                             \
    __m256i a##t = magic;                                                                                    \
    if (t < n && kind == PANEL_Q8_32) a##t = broadcast32(TOKEN(z, t));                                       \
    if (t < n && fold == 16) a##t = _mm256_add_epi32(magic, broadcast32(TOKEN(z, t)));                       \
    __m256i b##t = a##t;
        __asm__("" : "+r"(q)); /* or the compiler keeps sums of offsets in registers it has not got */
        EACH_6(START)
        if (n == 6) EACH_6(AHEAD)
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
        const __m256 s0 = _mm256_load_ps(scale), s1 = _mm256_load_ps(scale + 8);
        const __m256 u0 = _mm256_load_ps((const void *)unmagic),
                     u1 = _mm256_load_ps((const void *)(unmagic + 8));
        const float *m = min;
#define SCALED(t)                                                                                            \
    __m256 f##t = _mm256_fmadd_ps(_mm256_castsi256_ps(a##t), s0, u0),                                        \
           g##t = _mm256_fmadd_ps(_mm256_castsi256_ps(b##t), s1, u1);
/* c += (f, g) * d, and minima times ds */
#define TO_C(t)                                                                                              \
    if (t < n) {                                                                                             \
        float *at = c + ROWS * t;                                                                            \
        const __m256 x = broadcast_float(TOKEN(d, t));                                                       \
        SCALED(t)                                                                                            \
        __m256 x0 = _mm256_load_ps(at), x1 = _mm256_load_ps(at + 8);                                         \
        if (mins_32) {                                                                                       \
            const __m256 y = broadcast_float(TOKEN(ds, t));                                                  \
            x0 = _mm256_fmadd_ps(y, _mm256_load_ps(m), x0);                                                  \
            x1 = _mm256_fmadd_ps(y, _mm256_load_ps(m + 8), x1);                                              \
        }                                                                                                    \
        if (zero_16) {                                                                                       \
            f##t = _mm256_add_ps(f##t, _mm256_load_ps(sums[2 * t]));                                         \
            g##t = _mm256_add_ps(g##t, _mm256_load_ps(sums[2 * t + 1]));                                     \
        }                                                                                                    \
        _mm256_store_ps(at, _mm256_fmadd_ps(f##t, x, x0));                                                   \
        _mm256_store_ps(at + 8, _mm256_fmadd_ps(g##t, x, x1));                                               \
    }
#define SET(t)                                                                                               \
    if (t < n) {                                                                                             \
        SCALED(t)                                                                                            \
        _mm256_store_ps(sums[2 * t], f##t);                                                                  \
        _mm256_store_ps(sums[2 * t + 1], g##t);                                                              \
    }
#define ADD(t)                                                                                               \
    if (t < n) {                                                                                             \
        SCALED(t)                                                                                            \
        _mm256_store_ps(sums[2 * t], _mm256_add_ps(f##t, _mm256_load_ps(sums[2 * t])));                      \
        _mm256_store_ps(sums[2 * t + 1], _mm256_add_ps(g##t, _mm256_load_ps(sums[2 * t + 1])));              \
    }
        if (zero_16 && (q - k0) % 32 == 0) {
            EACH_6(SET)
        } else if (by_32) {
            EACH_6(TO_C)
        } else {
            EACH_6(ADD)
        }
        min += ROWS;
        ds += 4;
        q += fold;
        z += 4;
        scale += ROWS;
        unmagic += ROWS;
        if (by_32 && fold == 32) d += 4;
        if (by_32 && fold == 16) d = act_d_at(k) + q / 32 * 4;
    }
#define SUMS_TO_C(t)                                                                                         \
    if (t < n) {                                                                                             \
        float *at = c + ROWS * t;                                                                            \
        const __m256 x = broadcast_float(TOKEN(d, t));                                                       \
        const __m256 f = _mm256_load_ps(sums[2 * t]), g = _mm256_load_ps(sums[2 * t + 1]);                   \
        _mm256_store_ps(at, _mm256_fmadd_ps(f, x, _mm256_load_ps(at)));                                      \
        _mm256_store_ps(at + 8, _mm256_fmadd_ps(g, x, _mm256_load_ps(at + 8)));                              \
    }
    if (!by_32) {
        EACH_6(SUMS_TO_C)
    }
    if (mins_256) {
        const size_t s = mins_16 ? act_s16_at(k) + k0 / 8 : act_s32_at(k) + k0 / 16;
#define MINS(t)                                                                                              \
    if (t < n) subtract_mins(p, TOKEN(s, t), TOKEN(d, t), c + ROWS * t, mins_16 ? 8 : 4);
        EACH_6(MINS)
    }
}

#define CASE(t)                                                                                              \
    case t + 1:                                                                                              \
        mul_q8(p, kc, act, act_stride, k, k0, c, KIND, t + 1);                                               \
        break;
#define PANEL_MUL(name)                                                                                      \
    void panel_mul_##name##_avxvnni(const panel *p, size_t kc, const void *act, size_t act_stride, size_t k, \
                                    size_t k0, size_t n_tokens, float *c) {                                  \
        switch (n_tokens) { EACH_6(CASE) }                                                                   \
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

_Static_assert(PANEL_TOKENS_AVXVNNI == 6 && (int)PANEL_ROWS_AVXVNNI == (int)ROWS, "the tile");
_Static_assert(PANEL_K == 256, "one superblock, hence one scale of ACT_Q8_256, per panel");

/* panel_mul for PANEL_Q7_256_MIN and PANEL_Q7_256_16: the layouts of PANEL_Q8_256_MIN and PANEL_Q8_256_16 in
 * avx2.h, but with codes of up to 7 bits and a zero point of 64. Two products of such a code are all that
 * fits in an int16 (2 * 127 * 127), so every vpmaddubsw is widened at once, by vpmaddwd with the sub-block's
 * scale. The tile is 16 rows x 4 tokens: eight accumulators, two vectors of weights and two of scales, a
 * broadcast and two products make 15 registers of 16. Called through the kernel table only, by gemm_panels.
 */
#include "avx2.h"

enum { TILE = 4 };
#define EACH_4(X) X(0) X(1) X(2) X(3)

INLINE __m256i load_panel(const void *p) {
    return _mm256_load_si256((const __m256i *)p);
}

/* A sum stays a chain of additions in one register: compilers rebalance integer sums into trees, whose leaves
 * are then more than there are registers. */
#define ADD_PRODUCTS(sum, words, factors)                                                                    \
    do {                                                                                                     \
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(words, factors));                                      \
        __asm__("" : "+x"(sum));                                                                             \
    } while (0)

/* sums += pairs * pairs of sums of activations, `count` tables of 16 rows. */
#define PAIRS(t)                                                                                             \
    if (t < n) {                                                                                             \
        const __m256i x = broadcast32(act##t + at + 4 * i);                                                  \
        ADD_PRODUCTS(a##t, m0, x);                                                                           \
        ADD_PRODUCTS(b##t, m1, x);                                                                           \
    }
#define DOT_PAIRS(pairs, count, offset)                                                                      \
    do {                                                                                                     \
        const size_t at = offset;                                                                            \
        for (size_t i = 0; i < (count); i++) {                                                               \
            const __m256i m0 = load_panel((pairs) + ROWS * i), m1 = load_panel((pairs) + ROWS * i + 8);      \
            EACH_4(PAIRS)                                                                                    \
        }                                                                                                    \
    } while (0)

/* fold (16: a zero point, 32: minima) is a constant, as is n. */
INLINE void mul_7(const panel *p, const char *act, size_t stride, size_t k, size_t k0, float *c,
                  const size_t fold, const int n) {
    size_t q = k0;
    const size_t d = act_d_at(k) + k0 / 256 * 4;
    const uint8_t *w = p->w;
    const int32_t *scale = p->aux;
#define START(t)                                                                                             \
    const char *act##t = act + (t < n ? t : 0) * stride;                                                     \
    __m256i a##t = _mm256_setzero_si256(), b##t = a##t;
    EACH_4(START)
    if (fold == 16) {
        DOT_PAIRS(p->aux + AUX_SCALE_PAIRS, 8, act_s16_at(k) + k0 / 8);
#define MINUS_64(t)                                                                                          \
    a##t = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(a##t, 6));                             \
    b##t = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(b##t, 6));
        EACH_4(MINUS_64)
    }
    for (size_t f = 0; f < 256 / fold; f++, scale += ROWS) {
        const __m256i s0 = load_panel(scale), s1 = load_panel(scale + 8);
/* The same columns of the next tile: rows are too far apart for the hardware to guess. */
#define AHEAD(t) _mm_prefetch(act##t + q + TILE * stride, _MM_HINT_T0);
        if (n == TILE && q % 64 == 0) EACH_4(AHEAD)
        for (size_t j = 0; j < fold / 4; j++, w += 4 * ROWS, q += 4) {
            const __m256i w0 = load_panel(w), w1 = load_panel(w + 32);
#define DOT(t)                                                                                               \
    if (t < n) {                                                                                             \
        __m256i x = broadcast32(act##t + q);                                                                 \
        __asm__("" : "+x"(x));                                                                               \
        ADD_PRODUCTS(a##t, _mm256_maddubs_epi16(w0, x), s0);                                                 \
        ADD_PRODUCTS(b##t, _mm256_maddubs_epi16(w1, x), s1);                                                 \
    }
            EACH_4(DOT)
        }
    }
#define STORE(sign, scales)                                                                                  \
    do {                                                                                                     \
        const __m256 s0 = _mm256_load_ps(scales), s1 = _mm256_load_ps((scales) + 8);                         \
        EACH_4(sign)                                                                                         \
    } while (0)
#define TO_C(t, operation)                                                                                   \
    if (t < n) {                                                                                             \
        float *at = c + ROWS * t;                                                                            \
        const __m256 x = broadcast_float(act##t + d);                                                        \
        const __m256 f = _mm256_cvtepi32_ps(a##t), g = _mm256_cvtepi32_ps(b##t);                             \
        _mm256_store_ps(at, operation(f, _mm256_mul_ps(s0, x), _mm256_load_ps(at)));                         \
        _mm256_store_ps(at + 8, operation(g, _mm256_mul_ps(s1, x), _mm256_load_ps(at + 8)));                 \
    }
#define ADD(t)      TO_C(t, _mm256_fmadd_ps)
#define SUBTRACT(t) TO_C(t, _mm256_fnmadd_ps)
    STORE(ADD, p->scale);
    if (fold == 16) return;
#define ZERO(t) a##t = b##t = _mm256_setzero_si256();
    EACH_4(ZERO)
    DOT_PAIRS(p->aux + AUX_MINS, 4, act_s32_at(k) + k0 / 16);
    STORE(SUBTRACT, p->min);
}

#define CASE(t)                                                                                              \
    case t + 1: mul_7(p, a, stride, k, k0, c, FOLD, t + 1); break;
/* As few tiles as hold the tokens, even in size. */
#define PANEL_MUL(name)                                                                                      \
    static void tile_##name(const panel *p, const char *a, size_t stride, size_t k, size_t k0, float *c,     \
                            size_t n) {                                                                      \
        switch (n) { EACH_4(CASE) }                                                                          \
    }                                                                                                        \
    void panel_mul_##name##_avx2(const panel *p, size_t kc, const void *act, size_t act_stride, size_t k,    \
                                 size_t k0, size_t n_tokens, float *c) {                                     \
        (void)kc; /* always a whole superblock */                                                            \
        const char *a = act;                                                                                 \
        for (size_t left = (n_tokens + TILE - 1) / TILE; left > 0; left--) {                                 \
            size_t n = (n_tokens + left - 1) / left;                                                         \
            tile_##name(p, a, act_stride, k, k0, c, n);                                                      \
            a += n * act_stride;                                                                             \
            c += n * ROWS;                                                                                   \
            n_tokens -= n;                                                                                   \
        }                                                                                                    \
    }

#define FOLD 32
PANEL_MUL(q7_256_min)
#undef FOLD
#define FOLD 16
PANEL_MUL(q7_256_16)

_Static_assert(PANEL_K == 256 && TOKENS % TILE == 0, "one superblock per panel, whole tiles");

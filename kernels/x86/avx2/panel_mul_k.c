/* panel_mul for PANEL_Q8_256_MIN; avx2.h has its layout. Called through the kernel table only, by
 * gemm_panels, with up to 12 tokens that are read where they lie.
 *
 * The tile is 16 rows x 6 tokens: twelve sums of int16, two vectors of weights, a broadcast and a product are
 * all 16 registers. What they come to, times a sub-block's scale, is added to int32 totals in memory once per
 * 32 or 16 columns: fewer loads of weights are worth more than totals in registers, which leave room for
 * three tokens. With folds of 16 and 8 columns that each have a scale (PANEL_Q8_256_16_MIN, PANEL_Q8_256_16)
 * it is the other way round, by 3 and 18 %. Registers have names, not indices, so that no compiler puts them
 * into memory. */
#include "avx2.h"

enum { TILE = 6 };
#define EACH_6(X) X(0) X(1) X(2) X(3) X(4) X(5)

INLINE __m256i load_panel(const void *p) {
    return _mm256_load_si256((const __m256i *)p);
}

INLINE void store_total(int32_t *to, __m256i x) {
    _mm256_store_si256((__m256i *)(void *)to, x);
}

/* Pairs of minima times pairs of sums of activations: rows 0..7 and 8..15. */
typedef struct pair_sums {
    __m256i lo, hi;
} pair_sums;

INLINE pair_sums dot_pairs(const int32_t *pairs, const char *sums) {
    pair_sums s = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (size_t i = 0; i < 4; i++, pairs += ROWS, sums += 4) {
        const __m256i x = broadcast32(sums);
        s.lo = _mm256_add_epi32(s.lo, _mm256_madd_epi16(load_panel(pairs), x));
        s.hi = _mm256_add_epi32(s.hi, _mm256_madd_epi16(load_panel(pairs + 8), x));
    }
    return s;
}

/* c += sums * scale * x */
INLINE void add_to_c(float *c, __m256i lo, __m256i hi, const float *scale, __m256 x) {
    const __m256 s0 = _mm256_mul_ps(_mm256_load_ps(scale), x),
                 s1 = _mm256_mul_ps(_mm256_load_ps(scale + 8), x);
    _mm256_store_ps(c, _mm256_fmadd_ps(_mm256_cvtepi32_ps(lo), s0, _mm256_load_ps(c)));
    _mm256_store_ps(c + 8, _mm256_fmadd_ps(_mm256_cvtepi32_ps(hi), s1, _mm256_load_ps(c + 8)));
}

/* Four columns from column 4 * j on. A sum stays a chain of additions in one register: compilers rebalance
 * integer sums into trees, whose leaves are then more than there are registers. */
#define FIRST(t)                                                                                             \
    if (t < n) {                                                                                             \
        __m256i x = broadcast32(row##t + q);                                                                 \
        __asm__("" : "+x"(x));                                                                               \
        a##t = _mm256_maddubs_epi16(w0, x);                                                                  \
        b##t = _mm256_maddubs_epi16(w1, x);                                                                  \
    }
#define NEXT(t)                                                                                              \
    if (t < n) {                                                                                             \
        __m256i x = broadcast32(row##t + q + 4 * j);                                                         \
        __asm__("" : "+x"(x));                                                                               \
        a##t = _mm256_add_epi16(a##t, _mm256_maddubs_epi16(w0, x));                                          \
        __asm__("" : "+x"(a##t));                                                                            \
        b##t = _mm256_add_epi16(b##t, _mm256_maddubs_epi16(w1, x));                                          \
        __asm__("" : "+x"(b##t));                                                                            \
    }
#define COLUMNS(at, do_token)                                                                                \
    do {                                                                                                     \
        const int j = at;                                                                                    \
        const __m256i w0 = load_panel(w + 4 * ROWS * j), w1 = load_panel(w + 4 * ROWS * j + 32);             \
        (void)j;                                                                                             \
        EACH_6(do_token)                                                                                     \
    } while (0)

/* fold: columns whose sums fit an int16, a constant like n. */
INLINE void mul_k(const panel *p, const char *act, size_t stride, size_t k, size_t k0, float *c,
                  const size_t fold, const int n) {
    const size_t d = act_d_at(k) + k0 / 256 * 4, s32 = act_s32_at(k) + k0 / 16;
    _Alignas(32) int32_t total[2 * TILE][8] = {{0}};
    const uint8_t *w = p->w;
    const int32_t *scale = p->aux;
    size_t q = k0;
#define ROW(t) const char *row##t = act + (t < n ? t : 0) * stride;
    EACH_6(ROW)
    for (size_t done = 0; done < 256; done += fold, w += fold * ROWS) {
        __m256i a0, b0, a1, b1, a2, b2, a3, b3, a4, b4, a5, b5;
        __asm__("" : "+r"(q)); /* or the compiler keeps sums of offsets in registers it has not got */
/* The same columns of the next tile: rows are too far apart for the hardware to guess. */
#define AHEAD(t) _mm_prefetch(row##t + q + TILE * stride, _MM_HINT_T0);
        if (n == TILE && done % 32 == 0) EACH_6(AHEAD)
        COLUMNS(0, FIRST);
        COLUMNS(1, NEXT);
        COLUMNS(2, NEXT);
        COLUMNS(3, NEXT);
        if (fold == 32) {
            COLUMNS(4, NEXT);
            COLUMNS(5, NEXT);
            COLUMNS(6, NEXT);
            COLUMNS(7, NEXT);
        }
        q += fold;
#define TOTAL(t)                                                                                             \
    if (t < n) {                                                                                             \
        a##t = _mm256_madd_epi16(a##t, load_panel(scale));                                                   \
        b##t = _mm256_madd_epi16(b##t, load_panel(scale + 8));                                               \
        store_total(total[2 * t], _mm256_add_epi32(a##t, load_panel(total[2 * t])));                         \
        store_total(total[2 * t + 1], _mm256_add_epi32(b##t, load_panel(total[2 * t + 1])));                 \
    }
        EACH_6(TOTAL)
        if ((done + fold) % 32 == 0) scale += ROWS;
    }
#define TO_C(t)                                                                                              \
    if (t < n) {                                                                                             \
        const __m256 x = broadcast_float(row##t + d);                                                        \
        add_to_c(c + ROWS * t, load_panel(total[2 * t]), load_panel(total[2 * t + 1]), p->scale, x);         \
    }
    EACH_6(TO_C)
#define MINS(t)                                                                                              \
    if (t < n) {                                                                                             \
        const pair_sums s = dot_pairs(p->aux + AUX_MINS, row##t + s32);                                      \
        const __m256 x = _mm256_sub_ps(_mm256_setzero_ps(), broadcast_float(row##t + d));                    \
        add_to_c(c + ROWS * t, s.lo, s.hi, p->min, x);                                                       \
    }
    EACH_6(MINS)
}

#define CASE(t)                                                                                              \
    case t + 1: mul_k(p, a, stride, k, k0, c, FOLD, t + 1); break;
/* As few tiles as hold the tokens, even in size. */
#define TILES(name)                                                                                          \
    static void name(const panel *p, const char *a, size_t stride, size_t k, size_t k0, float *c,            \
                     size_t n_tokens) {                                                                      \
        for (size_t left = (n_tokens + TILE - 1) / TILE; left > 0; left--) {                                 \
            const size_t n = (n_tokens + left - 1) / left;                                                   \
            switch (n) { EACH_6(CASE) }                                                                      \
            a += n * stride;                                                                                 \
            c += n * ROWS;                                                                                   \
            n_tokens -= n;                                                                                   \
        }                                                                                                    \
    }
#define FOLD 32
TILES(mul_4_bits)
#undef FOLD
#define FOLD 16
TILES(mul_5_bits)

/* kc is always a whole superblock. */
void panel_mul_q8_256_min_avx2(const panel *p, size_t kc, const void *act, size_t act_stride, size_t k,
                               size_t k0, size_t n_tokens, float *c) {
    (void)kc;
    (p->aux[AUX_BITS] == 4 ? mul_4_bits : mul_5_bits)(p, act, act_stride, k, k0, c, n_tokens);
}

_Static_assert(PANEL_K == 256 && TOKENS % TILE == 0, "one superblock per panel, whole tiles");

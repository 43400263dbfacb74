/* panel_mul for the kinds of panel that panel_mul_7.c and panel_mul_k.c leave; avx2.h has their layout.
 * Called through the kernel table only, by gemm_panels, with up to 12 tokens that are read where they lie.
 *
 * The tile is 16 rows x 3 tokens: six accumulators of int16, six of float or int32, two vectors of weights
 * and a broadcast make 15 registers of 16. Tiles of one and two tokens take what is left over. A tile does
 * the same operations in the same order for each token, whatever its size. The bottleneck is the vector
 * ports: vpmaddubsw and an addition per 32 products while the sums fit in int16, so everything per fold is
 * kept small beside that.
 *
 * The templates take a constant number of tokens n and name each token's registers: arrays that are indexed
 * in loops end up in memory with some compilers. */
#include "avx2.h"

enum { TILE = 3, TILE_F32 = 6 };

/* The accumulators of one token: rows 0..7 and 8..15. */
typedef struct pair_i {
    __m256i lo, hi;
} pair_i;
typedef struct pair_f {
    __m256 lo, hi;
} pair_f;
typedef struct tile_i {
    pair_i t0, t1, t2;
} tile_i;
typedef struct tile_f {
    pair_f t0, t1, t2;
} tile_f;

/* The tokens of a tile, from `act` on, and columns k0 .. k0 + kc of their k. */
typedef struct tokens {
    const char *act;
    size_t stride, k, k0, kc;
} tokens;

INLINE __m256i load_panel(const void *p) {
    return _mm256_load_si256((const __m256i *)p);
}

INLINE const void *bytes_after(const void *p, size_t n) {
    return (const char *)p + n;
}

/* A sum stays a chain of additions in one register: compilers rebalance integer sums into trees, whose leaves
 * are then more than there are registers. */
#define KEEP_IN_REGISTER(x) __asm__("" : "+x"(x))

/* The same columns of the tile after this one: rows of activations are too far apart for the hardware to
 * guess. */
INLINE void prefetch_tile(const int8_t *q, size_t stride, int n) {
    for (int t = 0; t < n; t++) _mm_prefetch((const char *)q + (size_t)(n + t) * stride, _MM_HINT_T0);
}

/* ---- sums of int16
 * -------------------------------------------------------------------------------------------- */

INLINE void dot_token(pair_i *s, __m256i w_lo, __m256i w_hi, const void *q, bool first) {
    __m256i x = broadcast32(q);
    __m256i lo = _mm256_maddubs_epi16(w_lo, x), hi = _mm256_maddubs_epi16(w_hi, x);
    s->lo = first ? lo : _mm256_add_epi16(s->lo, lo);
    s->hi = first ? hi : _mm256_add_epi16(s->hi, hi);
    KEEP_IN_REGISTER(s->lo);
    KEEP_IN_REGISTER(s->hi);
}

/* Adds four columns (first: sets). */
INLINE void dot_4(tile_i *s, const uint8_t *w, const int8_t *q, size_t stride, int n, bool first) {
    __m256i lo = load_panel(w), hi = load_panel(w + 32);
    dot_token(&s->t0, lo, hi, q, first);
    if (n > 1) dot_token(&s->t1, lo, hi, q + stride, first);
    if (n > 2) dot_token(&s->t2, lo, hi, q + 2 * stride, first);
}

/* 8, 16 or 32 columns; the caller knows how many fit. */
INLINE void dot_8(tile_i *s, const uint8_t *w, const int8_t *q, size_t stride, int n) {
    dot_4(s, w, q, stride, n, true);
    dot_4(s, w + 4 * ROWS, q + 4, stride, n, false);
}

INLINE void dot_16(tile_i *s, const uint8_t *w, const int8_t *q, size_t stride, int n) {
    dot_8(s, w, q, stride, n);
    dot_4(s, w + 8 * ROWS, q + 8, stride, n, false);
    dot_4(s, w + 12 * ROWS, q + 12, stride, n, false);
}

INLINE void dot_32(tile_i *s, const uint8_t *w, const int8_t *q, size_t stride, int n) {
    dot_16(s, w, q, stride, n);
    dot_4(s, w + 16 * ROWS, q + 16, stride, n, false);
    dot_4(s, w + 20 * ROWS, q + 20, stride, n, false);
    dot_4(s, w + 24 * ROWS, q + 24, stride, n, false);
    dot_4(s, w + 28 * ROWS, q + 28, stride, n, false);
}

/* ---- scales per 32 columns
 * ---------------------------------------------------------------------------------- */

INLINE tile_f no_sums(void) {
    const pair_f zero = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    return (tile_f){zero, zero, zero};
}

INLINE void add_token(const pair_f *f, float *c) {
    _mm256_store_ps(c, _mm256_add_ps(_mm256_load_ps(c), f->lo));
    _mm256_store_ps(c + 8, _mm256_add_ps(_mm256_load_ps(c + 8), f->hi));
}

INLINE void add_to_c(const tile_f *f, float *c, int n) {
    add_token(&f->t0, c);
    if (n > 1) add_token(&f->t1, c + ROWS);
    if (n > 2) add_token(&f->t2, c + 2 * ROWS);
}

/* f += sums * scale * d */
INLINE void scale_token(pair_f *f, __m256i lo, __m256i hi, const float *scale, const void *d) {
    __m256 x = broadcast_float(d);
    f->lo = _mm256_fmadd_ps(_mm256_cvtepi32_ps(lo), _mm256_mul_ps(_mm256_load_ps(scale), x), f->lo);
    f->hi = _mm256_fmadd_ps(_mm256_cvtepi32_ps(hi), _mm256_mul_ps(_mm256_load_ps(scale + 8), x), f->hi);
}

/* The same for sums with the magic number (act.h), whose bits are those of a float. */
INLINE void scale_magic_token(pair_f *f, __m256i lo, __m256i hi, const float *scale, const float *unmagic,
                              const void *d) {
    __m256 x = broadcast_float(d);
    __m256 a = _mm256_fmadd_ps(_mm256_castsi256_ps(lo), _mm256_load_ps(scale), _mm256_load_ps(unmagic));
    __m256 b =
        _mm256_fmadd_ps(_mm256_castsi256_ps(hi), _mm256_load_ps(scale + 8), _mm256_load_ps(unmagic + 8));
    f->lo = _mm256_fmadd_ps(a, x, f->lo);
    f->hi = _mm256_fmadd_ps(b, x, f->hi);
}

/* more: of further columns with the same scale, or NULL; unmagic: NULL when zero has no magic number. */
INLINE void fold_token(pair_f *f, const pair_i *s, const pair_i *more, int factor, const float *scale,
                       const float *unmagic, const void *d, const void *zero) {
    const __m256i factors = _mm256_set1_epi16((short)factor);
    __m256i lo = _mm256_madd_epi16(s->lo, factors), hi = _mm256_madd_epi16(s->hi, factors);
    if (more) {
        lo = _mm256_add_epi32(lo, _mm256_madd_epi16(more->lo, factors));
        hi = _mm256_add_epi32(hi, _mm256_madd_epi16(more->hi, factors));
    }
    if (factor > 1) {
        __m256i z = broadcast32(zero);
        lo = _mm256_add_epi32(lo, z);
        hi = _mm256_add_epi32(hi, z);
    }
    if (unmagic)
        scale_magic_token(f, lo, hi, scale, unmagic, d);
    else
        scale_token(f, lo, hi, scale, d);
}

/* f += ((sums + more sums) * factor + zero) * scale * d; there is no zero point where the factor is 1. */
INLINE void fold(tile_f *f, const tile_i *s, const tile_i *more, int factor, const float *scale,
                 const float *unmagic, const float *d, const int32_t *zero, size_t stride, int n) {
    fold_token(&f->t0, &s->t0, more ? &more->t0 : NULL, factor, scale, unmagic, d, zero);
    if (n > 1)
        fold_token(&f->t1, &s->t1, more ? &more->t1 : NULL, factor, scale, unmagic, bytes_after(d, stride),
                   bytes_after(zero, stride));
    if (n > 2)
        fold_token(&f->t2, &s->t2, more ? &more->t2 : NULL, factor, scale, unmagic,
                   bytes_after(d, 2 * stride), bytes_after(zero, 2 * stride));
}

INLINE void min_token(pair_f *f, __m256 lo, __m256 hi, const void *ds) {
    __m256 x = broadcast_float(ds);
    f->lo = _mm256_fmadd_ps(lo, x, f->lo);
    f->hi = _mm256_fmadd_ps(hi, x, f->hi);
}

INLINE void add_mins(tile_f *f, const float *min, const float *ds, size_t stride, int n) {
    __m256 lo = _mm256_load_ps(min), hi = _mm256_load_ps(min + 8);
    min_token(&f->t0, lo, hi, ds);
    if (n > 1) min_token(&f->t1, lo, hi, bytes_after(ds, stride));
    if (n > 2) min_token(&f->t2, lo, hi, bytes_after(ds, 2 * stride));
}

/* 4 bits: a fold is 32 columns. 5 bits: twice 16 with the same scale. */
INLINE void mul_32(const panel *p, tokens a, float *c, int n, int bits, bool has_min) {
    const int factor = has_min ? 1 : zero_point_factor(bits);
    const int8_t *q = act_q(a.act) + a.k0;
    const float *d = act_d(a.act, a.k) + a.k0 / 32, *ds = act_ds(a.act, a.k) + a.k0 / 32;
    const int32_t *m32 = act_m32(a.act, a.k) + a.k0 / 32;
    const uint8_t *w = p->w;
    tile_f f = no_sums();
    for (size_t b = 0; b < a.kc / 32; b++, q += 32, w += 32 * ROWS) {
        const float *scale = p->scale + ROWS * b, *unmagic = has_min ? NULL : p->min + ROWS * b;
        tile_i s, more;
        prefetch_tile(q, a.stride, n);
        if (bits == 4) {
            dot_32(&s, w, q, a.stride, n);
            fold(&f, &s, NULL, factor, scale, unmagic, d + b, m32 + b, a.stride, n);
        } else {
            dot_16(&s, w, q, a.stride, n);
            dot_16(&more, w + 16 * ROWS, q + 16, a.stride, n);
            fold(&f, &s, &more, factor, scale, unmagic, d + b, m32 + b, a.stride, n);
        }
        if (has_min) add_mins(&f, p->min + ROWS * b, ds + b, a.stride, n);
    }
    add_to_c(&f, c, n);
}

/* 5 bits, a scale for each 16. */
INLINE void mul_32_16(const panel *p, tokens a, float *c, int n) {
    const int8_t *q = act_q(a.act) + a.k0;
    const float *d = act_d(a.act, a.k) + a.k0 / 32, *scale = p->scale;
    const int32_t *z = act_z16(a.act, a.k) + a.k0 / 16;
    const uint8_t *w = p->w;
    tile_f f = no_sums();
    for (size_t b = 0; b < a.kc / 16; b++, q += 16, w += 16 * ROWS, scale += ROWS) {
        tile_i s;
        if (b % 2 == 0) prefetch_tile(q, a.stride, n);
        dot_16(&s, w, q, a.stride, n);
        fold(&f, &s, NULL, zero_point_factor(5), scale, NULL, d + b / 2, z + b, a.stride, n);
    }
    add_to_c(&f, c, n);
}

/* ---- 8 bits
 * --------------------------------------------------------------------------------------------------- */

/* |w| * (q ^ sign): four operations for 32 products, two of them on any port. int16 pairs take as many
 * (vpmaddwd and vpaddd, twice), and twice the loads; planes of four bits take a little more. Two products are
 * at most 2 * 128 * 128, and that only below zero. */
INLINE void dot_signed_token(pair_i *s, __m256i w_lo, __m256i w_hi, const uint8_t *signs, const void *q) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i x = broadcast32(q);
    __m256i lo = _mm256_maddubs_epi16(w_lo, _mm256_xor_si256(x, load_panel(signs)));
    __m256i hi = _mm256_maddubs_epi16(w_hi, _mm256_xor_si256(x, load_panel(signs + 32)));
    s->lo = _mm256_add_epi32(s->lo, _mm256_madd_epi16(lo, ones));
    s->hi = _mm256_add_epi32(s->hi, _mm256_madd_epi16(hi, ones));
    KEEP_IN_REGISTER(s->lo);
    KEEP_IN_REGISTER(s->hi);
}

INLINE void dot_4_signed(tile_i *s, const uint8_t *w, const int8_t *q, size_t stride, int n) {
    const uint8_t *signs = w + 4 * ROWS * W_SIGNS;
    __m256i lo = load_panel(w), hi = load_panel(w + 32);
    dot_signed_token(&s->t0, lo, hi, signs, q);
    if (n > 1) dot_signed_token(&s->t1, lo, hi, signs, q + stride);
    if (n > 2) dot_signed_token(&s->t2, lo, hi, signs, q + 2 * stride);
}

INLINE void dot_16_signed(tile_i *s, const uint8_t *w, const int8_t *q, size_t stride, int n) {
    dot_4_signed(s, w, q, stride, n);
    dot_4_signed(s, w + 4 * ROWS, q + 4, stride, n);
    dot_4_signed(s, w + 8 * ROWS, q + 8, stride, n);
    dot_4_signed(s, w + 12 * ROWS, q + 12, stride, n);
}

INLINE void mul_8(const panel *p, tokens a, float *c, int n) {
    const int8_t *q = act_q(a.act) + a.k0;
    const float *d = act_d(a.act, a.k) + a.k0 / 32;
    const uint8_t *w = p->w;
    tile_f f = no_sums();
    for (size_t b = 0; b < a.kc / 32; b++, q += 32, w += 32 * ROWS) {
        const float *scale = p->scale + ROWS * b;
        const pair_i start = {load_panel(p->aux + ROWS * b), load_panel(p->aux + ROWS * b + 8)};
        tile_i s = {start, start, start};
        prefetch_tile(q, a.stride, n);
        dot_16_signed(&s, w, q, a.stride, n);
        dot_16_signed(&s, w + 16 * ROWS, q + 16, a.stride, n);
        const float *unmagic = p->min + ROWS * b;
        scale_magic_token(&f.t0, s.t0.lo, s.t0.hi, scale, unmagic, d + b);
        if (n > 1) scale_magic_token(&f.t1, s.t1.lo, s.t1.hi, scale, unmagic, bytes_after(d + b, a.stride));
        if (n > 2)
            scale_magic_token(&f.t2, s.t2.lo, s.t2.hi, scale, unmagic, bytes_after(d + b, 2 * a.stride));
    }
    add_to_c(&f, c, n);
}

/* ---- integer scales, a float per 256 columns
 * -------------------------------------------------------------------- */

INLINE tile_i no_totals(void) {
    const pair_i zero = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    return (tile_i){zero, zero, zero};
}

INLINE void add_products(pair_i *total, __m256i lo, __m256i hi, __m256i x_lo, __m256i x_hi) {
    total->lo = _mm256_add_epi32(total->lo, _mm256_madd_epi16(lo, x_lo));
    total->hi = _mm256_add_epi32(total->hi, _mm256_madd_epi16(hi, x_hi));
    KEEP_IN_REGISTER(total->lo);
    KEEP_IN_REGISTER(total->hi);
}

/* total += sums * scale of the sub-block */
INLINE void fold_integer(tile_i *total, const tile_i *s, const int32_t *scale, int n) {
    __m256i lo = load_panel(scale), hi = load_panel(scale + 8);
    add_products(&total->t0, s->t0.lo, s->t0.hi, lo, hi);
    if (n > 1) add_products(&total->t1, s->t1.lo, s->t1.hi, lo, hi);
    if (n > 2) add_products(&total->t2, s->t2.lo, s->t2.hi, lo, hi);
}

/* total += products of pairs: `count` tables of 16 rows with as many dwords of each token. */
INLINE void dot_pairs(tile_i *total, const int32_t *pairs, const int16_t *sums, size_t stride, size_t count,
                      int n) {
    for (size_t i = 0; i < count; i++, pairs += ROWS, sums += 2) {
        __m256i lo = load_panel(pairs), hi = load_panel(pairs + 8), x = broadcast32(sums);
        add_products(&total->t0, lo, hi, x, x);
        if (n > 1) {
            x = broadcast32(bytes_after(sums, stride));
            add_products(&total->t1, lo, hi, x, x);
        }
        if (n > 2) {
            x = broadcast32(bytes_after(sums, 2 * stride));
            add_products(&total->t2, lo, hi, x, x);
        }
    }
}

INLINE void total_to_c(const pair_i *total, const float *scale, const void *d, float sign, float *c) {
    pair_f f = {_mm256_load_ps(c), _mm256_load_ps(c + 8)};
    __m256 x = _mm256_mul_ps(broadcast_float(d), _mm256_set1_ps(sign));
    f.lo = _mm256_fmadd_ps(_mm256_cvtepi32_ps(total->lo), _mm256_mul_ps(_mm256_load_ps(scale), x), f.lo);
    f.hi = _mm256_fmadd_ps(_mm256_cvtepi32_ps(total->hi), _mm256_mul_ps(_mm256_load_ps(scale + 8), x), f.hi);
    _mm256_store_ps(c, f.lo);
    _mm256_store_ps(c + 8, f.hi);
}

/* c += sign * total * scale * d */
INLINE void totals_to_c(const tile_i *total, const float *scale, const float *d, float sign, size_t stride,
                        float *c, int n) {
    total_to_c(&total->t0, scale, d, sign, c);
    if (n > 1) total_to_c(&total->t1, scale, bytes_after(d, stride), sign, c + ROWS);
    if (n > 2) total_to_c(&total->t2, scale, bytes_after(d, 2 * stride), sign, c + 2 * ROWS);
}

/* Sub-blocks of 16, their minima too. Codes of two bits, with which 16 columns are far from the limit. */
INLINE void mul_256_16_min(const panel *p, tokens a, float *c, int n) {
    const int8_t *q = act_q(a.act) + a.k0;
    const float *d = act_d(a.act, a.k) + a.k0 / 256;
    const uint8_t *w = p->w;
    const int32_t *scale = p->aux;
    tile_i total = no_totals(), s;
    for (size_t b = 0; b < 16; b++, q += 16, w += 16 * ROWS, scale += ROWS) {
        if (b % 2 == 0) prefetch_tile(q, a.stride, n);
        dot_16(&s, w, q, a.stride, n);
        fold_integer(&total, &s, scale, n);
    }
    totals_to_c(&total, p->scale, d, 1, a.stride, c, n);
    total = no_totals();
    dot_pairs(&total, p->aux + AUX_SCALE_PAIRS, act_s16(a.act, a.k) + a.k0 / 16, a.stride, 8, n);
    totals_to_c(&total, p->min, d, -1, a.stride, c, n);
}

INLINE void times_minus_32(pair_i *x) {
    x->lo = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(x->lo, 5));
    x->hi = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(x->hi, 5));
}

/* The zero point of 32 comes first: total starts at -32 * sum(scale * sum of 16 activations). */
INLINE void mul_256_16(const panel *p, tokens a, float *c, int n) {
    const int8_t *q = act_q(a.act) + a.k0;
    const uint8_t *w = p->w;
    const int32_t *scale = p->aux;
    tile_i total = no_totals(), s;
    dot_pairs(&total, p->aux + AUX_SCALE_PAIRS, act_s16(a.act, a.k) + a.k0 / 16, a.stride, 8, n);
    times_minus_32(&total.t0);
    if (n > 1) times_minus_32(&total.t1);
    if (n > 2) times_minus_32(&total.t2);
    for (size_t b = 0; b < 16; b++, q += 16, w += 16 * ROWS, scale += ROWS) {
        if (b % 2 == 0) prefetch_tile(q, a.stride, n);
        dot_8(&s, w, q, a.stride, n);
        fold_integer(&total, &s, scale, n);
        dot_8(&s, w + 8 * ROWS, q + 8, a.stride, n);
        fold_integer(&total, &s, scale, n);
    }
    totals_to_c(&total, p->scale, act_d(a.act, a.k) + a.k0 / 256, 1, a.stride, c, n);
}

/* ---- floats
 * --------------------------------------------------------------------------------------------------- */

INLINE void mul_f32(const panel *p, tokens a, float *c, int n) {
    const float *x = (const float *)(const void *)a.act + a.k0, *w = p->f;
    tile_f f = no_sums(), g = no_sums(); /* tokens 0 to 2 and 3 to 5 */
    for (size_t i = 0; i < a.kc; i++, w += ROWS, x++) {
        __m256 lo = _mm256_load_ps(w), hi = _mm256_load_ps(w + 8);
        min_token(&f.t0, lo, hi, x);
        if (n > 1) min_token(&f.t1, lo, hi, bytes_after(x, a.stride));
        if (n > 2) min_token(&f.t2, lo, hi, bytes_after(x, 2 * a.stride));
        if (n > 3) min_token(&g.t0, lo, hi, bytes_after(x, 3 * a.stride));
        if (n > 4) min_token(&g.t1, lo, hi, bytes_after(x, 4 * a.stride));
        if (n > 5) min_token(&g.t2, lo, hi, bytes_after(x, 5 * a.stride));
    }
    add_to_c(&f, c, n);
    if (n > 3) add_to_c(&g, c + 3 * ROWS, n - 3);
}

/* ---- tiles
 * ------------------------------------------------------------------------------------------------------ */

typedef void tile_fn(const panel *p, tokens a, float *c);

/* As few tiles as hold the tokens, even in size. tiles[n] multiplies n tokens, n <= largest. */
static void each_tile(tile_fn *const *tiles, size_t largest, const panel *p, tokens a, size_t n_tokens,
                      float *c) {
    for (size_t left = (n_tokens + largest - 1) / largest; left > 0; left--) {
        size_t n = (n_tokens + left - 1) / left;
        tiles[n](p, a, c);
        a.act += n * a.stride;
        c += n * ROWS;
        n_tokens -= n;
    }
}

/* A tile for each number of tokens: the template `mul` with a constant n. */
#define TILE_FN(name, number, mul)                                                                           \
    static void name##_##number(const panel *p, tokens a, float *c) {                                        \
        enum { n = number };                                                                                 \
        mul;                                                                                                 \
    }
#define TILES_3(name, mul)                                                                                   \
    TILE_FN(name, 1, mul)                                                                                    \
    TILE_FN(name, 2, mul)                                                                                    \
    TILE_FN(name, 3, mul)                                                                                    \
    static tile_fn *const name##_tiles[] = {NULL, name##_1, name##_2, name##_3};

TILES_3(q4, mul_32(p, a, c, n, 4, false))
TILES_3(q5, mul_32(p, a, c, n, 5, false))
TILES_3(q8, mul_8(p, a, c, n))
TILES_3(q4_min, mul_32(p, a, c, n, 4, true))
TILES_3(q5_min, mul_32(p, a, c, n, 5, true))
TILES_3(q6_k, mul_256_16(p, a, c, n))
TILES_3(nvfp4, mul_32_16(p, a, c, n))
TILES_3(q2_k, mul_256_16_min(p, a, c, n))
TILE_FN(f32, 1, mul_f32(p, a, c, n))
TILE_FN(f32, 2, mul_f32(p, a, c, n))
TILE_FN(f32, 3, mul_f32(p, a, c, n))
TILE_FN(f32, 4, mul_f32(p, a, c, n))
TILE_FN(f32, 5, mul_f32(p, a, c, n))
TILE_FN(f32, 6, mul_f32(p, a, c, n))
static tile_fn *const f32_tiles[] = {NULL, f32_1, f32_2, f32_3, f32_4, f32_5, f32_6};

#define PANEL_MUL(name, largest, tiles)                                                                      \
    void panel_mul_##name##_avx2(const panel *p, size_t kc, const void *act, size_t act_stride, size_t k,    \
                                 size_t k0, size_t n_tokens, float *c) {                                     \
        each_tile(tiles, largest, p, (tokens){act, act_stride, k, k0, kc}, n_tokens, c);                     \
    }
PANEL_MUL(f32, TILE_F32, f32_tiles)
PANEL_MUL(q8_32, TILE, p->aux[AUX_BITS] == 4 ? q4_tiles : p->aux[AUX_BITS] == 5 ? q5_tiles : q8_tiles)
PANEL_MUL(q8_32_min, TILE, p->aux[AUX_BITS] == 4 ? q4_min_tiles : q5_min_tiles)
PANEL_MUL(q8_256_16, TILE, q6_k_tiles)
PANEL_MUL(q8_32_16, TILE, nvfp4_tiles)
PANEL_MUL(q8_256_16_min, TILE, q2_k_tiles)

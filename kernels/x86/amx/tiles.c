/* Panels as bfloat16, and their products with tile registers. A product of tiles takes 16 tokens, 32 columns
 * and 16 rows; four accumulators (two tiles of tokens, the panel's two of rows), two tiles of tokens and two
 * of weights are all eight registers there are. A panel's 16 KiB stay in the first-level cache while the
 * tokens stream by. Tile registers are configured and released within a call, so that no thread carries their
 * 8 KiB of state around. Called through the kernel table only, by gemm_panels. */
#include "amx.h"

enum { ROWS = 32, HALF = 16, TILE = 16, COLUMNS = 32, HALF_PANEL = PANEL_K * HALF };

/* ---- values ---- */

/* One fold of a half: scale * w - minimum, four columns of 16 rows at a time. */
VEC_INLINE void values(const uint8_t *w, size_t fold, __m512 scale, __m512 minus, uint16_t *to) {
    const __m512i byte = _mm512_set1_epi32(255);
#define VALUE(i)                                                                                             \
    _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(v, 8 * (i)), byte)), scale, minus)
    for (size_t k = 0; k < fold; k += 4, w += ROWS * 4, to += 4 * HALF) {
        const __m512i v = _mm512_load_si512(w);
        _mm512_store_si512(to, amx_pairs(VALUE(0), VALUE(1)));
        _mm512_store_si512(to + 2 * HALF, amx_pairs(VALUE(2), VALUE(3)));
    }
#undef VALUE
}

/* What a kind subtracts. */
typedef enum minima {
    ZERO_POINT,  /* 128 * scale */
    MINIMA,      /* a float for each fold and row */
    MINIMA_PAIRS /* min[rows] times the 16-bit integers of two folds in each aux[fold / 2][rows] */
} minima;

/* A scale is for scale_fold columns; what is subtracted, for `fold` of them. */
VEC_INLINE void convert(panel *p, size_t kc, const size_t scale_fold, const size_t fold, const minima m) {
    for (size_t half = 0; half < ROWS; half += HALF)
        for (size_t f = 0; f < kc / fold; f++) {
            const __m512 scale = _mm512_load_ps(p->scale + f * fold / scale_fold * ROWS + half);
            __m512 minus;
            if (m == ZERO_POINT)
                minus = _mm512_mul_ps(scale, _mm512_set1_ps(-128));
            else if (m == MINIMA)
                minus = _mm512_sub_ps(_mm512_setzero_ps(), _mm512_load_ps(p->min + f * ROWS + half));
            else {
                __m512i two = _mm512_load_si512(p->aux + f / 2 * ROWS + half);
                if (f % 2 == 0) two = _mm512_slli_epi32(two, 16);
                minus = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_srai_epi32(two, 16)),
                                      _mm512_load_ps(p->min + half));
                minus = _mm512_sub_ps(_mm512_setzero_ps(), minus);
            }
            values(p->w + f * fold * ROWS + half * 4, fold, scale, minus,
                   p->tiles + half / HALF * HALF_PANEL + f * fold * HALF);
        }
}

void panel_tiles_amx(panel *p, panel_kind kind, size_t kc) {
    switch (kind) {
    case PANEL_Q8_32: convert(p, kc, 32, 32, ZERO_POINT); break;
    case PANEL_Q8_32_MIN: convert(p, kc, 32, 32, MINIMA); break;
    case PANEL_Q7_256_MIN:
    case PANEL_Q8_256_MIN: convert(p, kc, 32, 32, MINIMA_PAIRS); break;
    case PANEL_Q8_256_16_MIN: convert(p, kc, 32, 16, MINIMA_PAIRS); break;
    default: convert(p, kc, 16, 16, ZERO_POINT); /* PANEL_Q8_32_16, PANEL_Q8_256_16, PANEL_Q7_256_16 */
    }
}

/* ---- products ---- */

/* Accumulators: tiles 0 and 1 are sums of the first tokens with both halves of the rows, 2 and 3 of the
 * second tokens. Tiles 4 and 5 are tokens, 6 and 7 weights. */
enum { TOKENS = 2 * TILE, SUMS = TOKENS * ROWS, SUMS_STRIDE = ROWS * sizeof(float) };
#define SUMS_AT(i, c) ((c) + (i) / 2 * TILE * ROWS + (i) % 2 * HALF)
#define OPEN(i, c)                                                                                           \
    if (add)                                                                                                 \
        _tile_loadd(i, SUMS_AT(i, c), SUMS_STRIDE);                                                          \
    else                                                                                                     \
        _tile_zero(i);

VEC_INLINE void open_sums(const float *c, const bool add, const bool two) {
    OPEN(0, c)
    OPEN(1, c)
    if (!two) return;
    OPEN(2, c)
    OPEN(3, c)
}

VEC_INLINE void step(const uint16_t *w, const char *x, size_t stride, const bool two) {
    _tile_loadd(4, x, stride);
    _tile_loadd(6, w, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, w + HALF_PANEL, 64);
    _tile_dpbf16ps(1, 4, 7);
    if (!two) return;
    _tile_loadd(5, x + TILE * stride, stride);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
}

/* 32 tokens, whose accumulators are open; then those of the next 32 are, if there are any. Each is opened as
 * soon as it is stored, so that the next products need not wait for all of these: 5 % in all. */
VEC_INLINE void multiply_open(const uint16_t *w, size_t kc, const char *x, size_t stride, const bool add,
                              float *c, const float *next) {
    for (size_t k = 0; k < kc; k += COLUMNS, w += COLUMNS * HALF, x += 2 * COLUMNS) step(w, x, stride, true);
#define NEXT(i)                                                                                              \
    _tile_stored(i, SUMS_AT(i, c), SUMS_STRIDE);                                                             \
    if (next) {                                                                                              \
        OPEN(i, next)                                                                                        \
    }
    NEXT(0)
    NEXT(1)
    NEXT(2)
    NEXT(3)
#undef NEXT
}

/* Less than 32 tokens. */
VEC_INLINE void multiply_rest(const uint16_t *w, size_t kc, const char *x, size_t stride, const bool add,
                              float *c, const bool two) {
    open_sums(c, add, two);
    for (size_t k = 0; k < kc; k += COLUMNS, w += COLUMNS * HALF) step(w, x + 2 * k, stride, two);
    _tile_stored(0, SUMS_AT(0, c), SUMS_STRIDE);
    _tile_stored(1, SUMS_AT(1, c), SUMS_STRIDE);
    if (!two) return;
    _tile_stored(2, SUMS_AT(2, c), SUMS_STRIDE);
    _tile_stored(3, SUMS_AT(3, c), SUMS_STRIDE);
}

VEC_INLINE void multiply(const uint16_t *w, size_t kc, const char *x, size_t stride, size_t n_tokens,
                         const bool add, float *c) {
    if (n_tokens >= TOKENS) {
        amx_configure(TILE, TILE);
        open_sums(c, add, true);
        for (; n_tokens >= 2 * TOKENS; n_tokens -= TOKENS, x += TOKENS * stride, c += SUMS)
            multiply_open(w, kc, x, stride, add, c, c + SUMS);
        multiply_open(w, kc, x, stride, add, c, NULL);
        n_tokens -= TOKENS, x += TOKENS * stride, c += SUMS;
    }
    if (!n_tokens) return;
    amx_configure(n_tokens < TILE ? n_tokens : TILE, n_tokens < TILE ? 0 : n_tokens - TILE);
    if (n_tokens > TILE)
        multiply_rest(w, kc, x, stride, add, c, true);
    else
        multiply_rest(w, kc, x, stride, add, c, false);
}

void tiles_mul_amx(const panel *p, size_t kc, const void *act, size_t act_stride, size_t k0, size_t n_tokens,
                   float *c) {
    const char *x = (const char *)act + 2 * k0;
    if (k0)
        multiply(p->tiles, kc, x, act_stride, n_tokens, true, c);
    else
        multiply(p->tiles, kc, x, act_stride, n_tokens, false, c);
    _tile_release();
}

/* Panels as bfloat16, and their products with tile registers. A product of tiles takes 16 tokens, 32 columns
 * and 16 rows; four accumulators (two tiles of tokens, the panel's two of rows), two tiles of tokens and two
 * of weights are all eight registers there are. A panel's 16 KiB stay in the first-level cache while the
 * tokens stream by. Tile registers are configured and released within a call, so that no thread carries their
 * 8 KiB of state around, nor loses a configuration of its own. Called through the kernel table only, by
 * gemm_panels. */
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

/* Tiles 0 and 1: sums of the first tokens with both halves of the rows, 2 and 3 of the second; 4 and 5
 * tokens, 6 and 7 weights. */
VEC_INLINE void multiply(const uint16_t *w, size_t kc, const char *x, size_t stride, const bool add, float *c,
                         const bool two) {
    enum { C = ROWS * sizeof(float) };
    const char *y = x + TILE * stride;
    float *c2 = c + TILE * ROWS;
    if (add) {
        _tile_loadd(0, c, C);
        _tile_loadd(1, c + HALF, C);
        if (two) _tile_loadd(2, c2, C);
        if (two) _tile_loadd(3, c2 + HALF, C);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        if (two) _tile_zero(2);
        if (two) _tile_zero(3);
    }
    for (size_t k = 0; k < kc; k += COLUMNS, w += COLUMNS * HALF) {
        _tile_loadd(4, x + 2 * k, stride);
        _tile_loadd(6, w, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, w + HALF_PANEL, 64);
        _tile_dpbf16ps(1, 4, 7);
        if (!two) continue;
        _tile_loadd(5, y + 2 * k, stride);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, C);
    _tile_stored(1, c + HALF, C);
    if (two) _tile_stored(2, c2, C);
    if (two) _tile_stored(3, c2 + HALF, C);
}

void tiles_mul_amx(const panel *p, size_t kc, const void *act, size_t act_stride, size_t k0, size_t n_tokens,
                   float *c) {
    const char *x = (const char *)act + 2 * k0;
    size_t configured = 0;
    amx_config found;
    amx_save(&found);
    for (size_t n; n_tokens; n_tokens -= n, x += n * act_stride, c += n * ROWS) {
        n = n_tokens < 2 * TILE ? n_tokens : 2 * TILE;
        if (configured != n) amx_configure(n < TILE ? n : TILE, n < TILE ? 0 : n - TILE);
        configured = n;
        if (n > TILE)
            multiply(p->tiles, kc, x, act_stride, k0 > 0, c, true);
        else
            multiply(p->tiles, kc, x, act_stride, k0 > 0, c, false);
    }
    amx_restore(&found);
}

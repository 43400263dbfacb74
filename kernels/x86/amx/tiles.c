/* Panels of two planes of digits times up to 32 tokens with AMX. A product of tile registers takes 16 tokens,
 * 64 columns and 16 rows, so a superblock is four of them for each plane, and its sums, exact integers below
 * 2^26, leave the registers once. Four accumulators (two tiles of tokens, two planes), two tiles of tokens
 * and two of weights are all eight registers there are.
 *
 * What comes after is done by vectors: the digits together, the minima, the scales of rows and tokens. The
 * tiles of the second half of the rows are started before that is done for the first. Tile registers are
 * configured and released within a call, so that no thread carries their 8 KiB of state around. Overridden
 * together with unpack.c. */
#include "amx.h"
#include "kernels/x86/avx512/vec.h"

enum { ROWS = 32, HALF = 16, TILE = 16, PLANE = PANEL_K * ROWS, COLUMNS = 64 };

typedef struct config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} config;
_Static_assert(sizeof(config) == 64, "as the instruction reads it");

/* Tiles 0 and 1: sums of the first tokens in both planes, 2 and 3 of the second; 4 and 5 tokens, 6 and 7
 * weights. A tile without tokens stays unconfigured. */
VEC_INLINE void configure(size_t first, size_t second) {
    config c = {.palette = 1};
    const size_t tokens[6] = {first, first, second, second, first, second};
    for (int i = 0; i < 8; i++) {
        c.rows[i] = (uint8_t)(i < 6 ? tokens[i] : COLUMNS / 4);
        c.row_bytes[i] = c.rows[i] ? COLUMNS : 0;
    }
    _tile_loadconfig(&c);
}

/* Sums of both planes: [token][plane][row]. */
typedef int32_t sums[2 * TILE][2][HALF];

#define DOT(min, c, a, b)                                                                                    \
    do {                                                                                                     \
        if (min)                                                                                             \
            _tile_dpbsud(c, a, b);                                                                           \
        else                                                                                                 \
            _tile_dpbssd(c, a, b);                                                                           \
    } while (0)

VEC_INLINE void multiply(const uint8_t *w, const char *q, size_t stride, sums s, const int two,
                         const int min) {
    _tile_zero(0);
    _tile_zero(1);
    if (two) _tile_zero(2);
    if (two) _tile_zero(3);
    for (size_t k = 0; k < PANEL_K; k += COLUMNS) {
        _tile_loadd(6, w + k * ROWS, ROWS * 4);
        _tile_loadd(4, q + k, stride);
        DOT(min, 0, 4, 6);
        _tile_loadd(7, w + PLANE + k * ROWS, ROWS * 4);
        DOT(min, 1, 4, 7);
        if (two) {
            _tile_loadd(5, q + TILE * stride + k, stride);
            DOT(min, 2, 5, 6);
            DOT(min, 3, 5, 7);
        }
    }
    _tile_stored(0, s[0][0], sizeof s[0]);
    _tile_stored(1, s[0][1], sizeof s[0]);
    if (two) {
        _tile_stored(2, s[TILE][0], sizeof s[0]);
        _tile_stored(3, s[TILE][1], sizeof s[0]);
    }
}

/* c += scaled sums of so many tokens; d and s32 are offsets into their rows. */
VEC_INLINE void finish(const panel *p, size_t half, const char *act, size_t stride, size_t d, size_t s32,
                       size_t n_tokens, sums s, float *c, const int min) {
    const __m512 scale = _mm512_load_ps(p->scale + half), minimum = _mm512_load_ps(p->min + half);
    const int32_t *aux = p->aux + half;
    const __m512i m0 = _mm512_load_si512(aux), m1 = _mm512_load_si512(aux + ROWS);
    const __m512i m2 = _mm512_load_si512(aux + 2 * ROWS), m3 = _mm512_load_si512(aux + 3 * ROWS);
    for (size_t t = 0; t < n_tokens; t++, act += stride) {
        __m512i v = _mm512_slli_epi32(_mm512_load_si512(s[t][0]), min ? 3 : 7);
        v = _mm512_add_epi32(v, _mm512_load_si512(s[t][1]));
        __m512 f = _mm512_mul_ps(_mm512_cvtepi32_ps(v), scale);
        if (min) {
#define PAIR(sum, m, i) _mm512_dpwssd_epi32(sum, m, _mm512_set1_epi32(vec_load_i32(act + s32 + 4 * (i))))
            __m512i a = PAIR(_mm512_setzero_si512(), m0, 0), b = PAIR(_mm512_setzero_si512(), m1, 1);
            a = _mm512_add_epi32(PAIR(a, m2, 2), PAIR(b, m3, 3));
            f = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(a), minimum, f);
        }
        __m512 x = _mm512_set1_ps(*(const float *)(const void *)(act + d)),
               *out = (void *)(c + t * ROWS + half);
        *out = _mm512_fmadd_ps(f, x, *out);
    }
}

VEC_INLINE void mul(const panel *p, const char *act, size_t stride, size_t k, size_t k0, size_t n_tokens,
                    float *c, const int min) {
    _Alignas(64) sums first, second;
    const size_t d = act_d_at(k) + k0 / PANEL_K * 4, s32 = act_s32_at(k) + k0 / 32 * 2;
    size_t configured = 0;
    for (size_t n; n_tokens; n_tokens -= n, act += n * stride, c += n * ROWS) {
        n = n_tokens < 2 * TILE ? n_tokens : 2 * TILE;
        if (configured != n) configure(n < TILE ? n : TILE, n < TILE ? 0 : n - TILE);
        configured = n;
        if (n > TILE) {
            multiply(p->planes[0], act + k0, stride, first, 1, min);
            multiply(p->planes[0] + HALF * 4, act + k0, stride, second, 1, min);
        } else {
            multiply(p->planes[0], act + k0, stride, first, 0, min);
            multiply(p->planes[0] + HALF * 4, act + k0, stride, second, 0, min);
        }
        finish(p, 0, act, stride, d, s32, n, first, c, min);
        finish(p, HALF, act, stride, d, s32, n, second, c, min);
    }
    _tile_release();
}

#define PANEL_MUL(name, min)                                                                                 \
    void panel_mul_##name##_amx(const panel *p, size_t kc, const void *act, size_t act_stride, size_t k,     \
                                size_t k0, size_t n_tokens, float *c) {                                      \
        (void)kc; /* PANEL_K: rows have whole superblocks only */                                            \
        mul(p, act, act_stride, k, k0, n_tokens, c, min);                                                    \
    }
PANEL_MUL(tiles, 0)
PANEL_MUL(tiles_min, 1)

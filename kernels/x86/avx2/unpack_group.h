/* Weight rows of the types of codes.h to bytes of a panel: what unpack_group.c of this folder and of avxvnni
 * share. Each row's 256 columns are unpacked in their order, then 8 rows of 16 are turned at a time; the
 * scales go the same way. Whoever includes this decides on zero points and writes the scales.
 *
 * Rows that do not exist are read as row 0; `valid` masks their scales. A row that ends inside the panel's
 * columns is read from a copy that ends in zeros. */
#ifndef LEAT_KERNELS_X86_AVX2_UNPACK_GROUP_H
#define LEAT_KERNELS_X86_AVX2_UNPACK_GROUP_H

#include "matvec_group.h"
#include "unpack.h"

typedef struct expanded {
    _Alignas(32) uint8_t codes[ROWS][PANEL_K];
    _Alignas(32) float scale[ROWS][PANEL_K / 16];
    _Alignas(32) uint8_t copy[ROWS][PANEL_K / 32 * sizeof(block_iq4_nl) + 16];
} expanded;

/* bytes, values: of a block. */
INLINE void expand_open(expanded *x, rows *s, const void *w, size_t row_bytes, size_t n_rows, size_t k0,
                        size_t kc, const size_t bytes, const size_t values) {
    rows_open(s, w, row_bytes, n_rows, k0 / values * bytes, kc / values * bytes);
    if (kc == PANEL_K) return;
    memset(x->copy, 0, sizeof x->copy);
    for (size_t r = 0; r < ROWS; r++) {
        if (r < n_rows) memcpy(x->copy[r], s->row[r], kc / values * bytes);
        s->row[r] = x->copy[r];
    }
}

INLINE void expand_codes(expanded *x, rows *s, codes_fn *codes, const int zero) {
    for (size_t r = 0; r < ROWS; r++) {
        const uint8_t *b = s->row[r];
        rows_prefetch(s, 1);
#define PUT(j) _mm256_store_si256((__m256i *)(void *)(x->codes[r] + 32 * (j)), codes(b, j, zero));
        PUT(0) PUT(1) PUT(2) PUT(3) PUT(4) PUT(5) PUT(6) PUT(7)
#undef PUT
    }
}

/* Columns 16 * c .. of rows 8 * v ..: t[j] has four of them. */
INLINE void load_expanded(const expanded *x, size_t c, int v, __m256i t[4]) {
    const uint8_t *row[8];
    for (int r = 0; r < 8; r++) row[r] = x->codes[8 * v + r];
    load_8x16(row, 16 * c, t);
}

INLINE void store_expanded(const expanded *x, panel *p) {
    for (size_t c = 0; c < PANEL_K / 16; c++)
        for (int v = 0; v < 2; v++) {
            __m256i t[4];
            load_expanded(x, c, v, t);
            for (size_t j = 0; j < 4; j++) store_codes(p, 4 * c + j, v, t[j]);
        }
}

/* Eight scales from number 8 * i on of rows 8 * v .., turned: t[j] has number j of all of them. */
INLINE void turn_scales(const expanded *x, const rows *s, size_t i, int v, const float factor, __m256 t[8]) {
    for (int r = 0; r < 8; r++) t[r] = _mm256_load_ps(x->scale[8 * v + r] + 8 * i);
    transpose_8x8(t);
    for (int j = 0; j < 8; j++)
        t[j] = _mm256_and_ps(_mm256_mul_ps(t[j], _mm256_set1_ps(factor)), _mm256_castsi256_ps(s->valid[v]));
}

/* The scales of 32 columns each. */
INLINE void expand_scales(expanded *x, const rows *s, scales_fn *scales) {
    for (size_t r = 0; r < ROWS; r++) {
        _mm_store_ps(x->scale[r], scales(s->row[r], 0));
        _mm_store_ps(x->scale[r] + 4, scales(s->row[r], 4));
    }
}

/* Over NVFP4_FACTOR. */
INLINE void expand_scales_nvfp4(expanded *x, const rows *s) {
    for (size_t r = 0; r < ROWS; r++)
        for (size_t i = 0; i < 2; i++)
            _mm256_store_ps(x->scale[r] + 8 * i, eight_scales_nvfp4(s->row[r] + 2 * i * sizeof(block_nvfp4)));
}

/* The integer scales of Q3_K (and, 0..15, of Q2_K, whose minima are the upper halves of the same bytes), to
 * be turned like codes: in the first 16 bytes of a row. */
typedef struct scale_bytes {
    _Alignas(16) uint8_t of[ROWS][16];
} scale_bytes;

INLINE void load_scale_bytes(const scale_bytes *x, int v, __m256i t[4]) {
    const uint8_t *row[8];
    for (int r = 0; r < 8; r++) row[r] = x->of[8 * v + r];
    load_8x16(row, 0, t);
}

/* Byte j % 4 of the dwords, sign-extended. */
INLINE __m256i byte_of(const __m256i t[4], const int j) {
    return _mm256_srai_epi32(_mm256_slli_epi32(t[j / 4], 24 - j % 4 * 8), 24);
}

#endif

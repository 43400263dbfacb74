/* Rows of the codebook types to panels: what iq.c of this folder, of avxvnni and of avx512vnni share. Each
 * row's superblock becomes 256 unsigned codes in a buffer, which is then turned like Q8_0. Who includes this
 * says which zero point panels with 16 columns to a scale have, and writes the scales. Rows that do not exist
 * are never touched: theirs in the buffer are zeros. */
#ifndef LEAT_KERNELS_X86_AVX2_UNPACK_IQ_H
#define LEAT_KERNELS_X86_AVX2_UNPACK_IQ_H

#include "iq.h"
#include "unpack.h"

/* One row: codes, scales as words (16, or 8 where one is for 32 columns), and for the latter what the zero
 * point is as minima of sub-blocks. */
typedef struct iq_row {
    _Alignas(32) uint8_t code[256];
    int16_t scale[16], min[8], unused[8];
} iq_row;

typedef struct iq_rows {
    iq_row of[ROWS];
    const uint8_t *row[ROWS]; /* the addresses of these, for load_8x16 */
    _Alignas(32) float d[ROWS];
} iq_rows;

INLINE __m256i iq_codes(__m256i x, const uint8_t *signs, const iq_type t, const int zero) {
    if (t == IQ1_S) return x;
    if (t == IQ1_M) return _mm256_add_epi8(x, _mm256_set1_epi8((char)(zero - 9)));
    x = _mm256_add_epi8(with_signs(x, signs), _mm256_set1_epi8((char)(iq_fold(t) == 16 ? zero : iq_zero(t))));
    return t == IQ3_S ? _mm256_srli_epi16(x, 1) : x;
}

INLINE void expand_row(const uint8_t *b, iq_row *to, const iq_type t, const int zero) {
    const __m256i scales = iq_scales(b, t);
    _Alignas(32) uint8_t signs[32] = {0};
    _Alignas(32) uint16_t indices[64];
    iq_indices(b, indices, t);
    if (t != IQ1_S && t != IQ1_M) _mm256_store_si256((__m256i *)(void *)signs, iq_signs(b, t));
#define PART(i)                                                                                              \
    _mm256_store_si256((__m256i *)(void *)(to->code + 32 * (i)),                                             \
                       iq_codes(iq_magnitudes(b, indices, i, t), signs + 4 * (i), t, zero));
    PART(0)
    PART(1)
    PART(2)
    PART(3)
    PART(4)
    PART(5)
    PART(6)
    PART(7)
#undef PART
    _mm256_store_si256((__m256i *)(void *)to->scale, scales);
    __m128i min = t == IQ1_S
                      ? iq1_s_minima(b, scales)
                      : _mm_mullo_epi16(_mm256_castsi256_si128(scales), _mm_set1_epi16((short)iq_zero(t)));
    _mm_store_si128((__m128i *)(void *)to->min, min);
}

/* Superblock k0 / 256 of each row, and zeros up to row `most`; what follows in the rows is asked for
 * meanwhile. */
INLINE void iq_expand(iq_row *to, float *d, const size_t most, const void *w, size_t row_bytes, size_t n_rows,
                      size_t k0, const iq_type t, const int zero) {
    const size_t bytes = iq_bytes(t);
    const uint8_t *b = (const uint8_t *)w + k0 / 256 * bytes;
    for (size_t r = 0; r < n_rows; r++, b += row_bytes) {
        for (size_t i = 0; i < bytes + 63; i += 64) _mm_prefetch((const char *)b + bytes + i, _MM_HINT_T1);
        expand_row(b, to + r, t, zero);
        d[r] = _cvtsh_ss(iq_d(b, t));
    }
    for (size_t r = n_rows; r < most; r++) {
        memset(to + r, 0, sizeof *to);
        d[r] = 0;
    }
}

/* The rows of a panel, which gets their codes. */
INLINE void iq_open(iq_rows *s, const void *w, size_t row_bytes, size_t n_rows, size_t k0, panel *p,
                    const iq_type t, const int zero) {
    iq_expand(s->of, s->d, ROWS, w, row_bytes, n_rows, k0, t, zero);
    for (size_t r = 0; r < ROWS; r++) s->row[r] = s->of[r].code;
    for (size_t at = 0; at < 256; at += 16)
        for (int v = 0; v < 2; v++) {
            __m256i x[4];
            load_8x16(s->row + 8 * v, at, x);
            for (size_t j = 0; j < 4; j++) store_codes(p, at / 4 + j, v, x[j]);
        }
}

INLINE __m256 iq_load_d(const iq_rows *s, int v, float unit) {
    return _mm256_mul_ps(_mm256_load_ps(s->d + 8 * v), _mm256_set1_ps(unit));
}

/* Pairs of scales 8 * h + 2 * i, 8 * h + 2 * i + 1 of 8 rows, i = 0..3; or of minima. */
INLINE void iq_scale_pairs(const iq_rows *s, int v, int h, __m256i pair[4]) {
    load_8x16(s->row + 8 * v, offsetof(iq_row, scale) + 16 * (size_t)h, pair);
}
INLINE void iq_min_pairs(const iq_rows *s, int v, __m256i pair[4]) {
    load_8x16(s->row + 8 * v, offsetof(iq_row, min), pair);
}

#define UNPACK_IQ(name, NAME, isa)                                                                           \
    void unpack_##name##_##isa(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc,         \
                               panel *p) {                                                                   \
        (void)kc; /* always a whole superblock */                                                            \
        unpack_iq(w, row_bytes, n_rows, k0, p, NAME);                                                        \
    }

#define IQ_TYPES(X, isa)                                                                                     \
    X(iq1_s, IQ1_S, isa)                                                                                     \
    X(iq1_m, IQ1_M, isa)                                                                                     \
    X(iq2_xxs, IQ2_XXS, isa)                                                                                 \
    X(iq2_xs, IQ2_XS, isa)                                                                                   \
    X(iq2_s, IQ2_S, isa)                                                                                     \
    X(iq3_xxs, IQ3_XXS, isa)                                                                                 \
    X(iq3_s, IQ3_S, isa)

#endif

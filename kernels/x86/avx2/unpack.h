/* Weight rows to columns: what unpack.c of this folder and of avxvnni share. 8 x 16 bytes of rows are turned
 * at a time, and codes of any type become unsigned bytes there, four columns of a row side by side:
 * w[k / 4][16][4]. Whoever includes this decides how far up in its byte a code lies and writes the scales.
 * Rows that do not exist are never touched: row 0 is read in their place, and `valid` masks its scales. */
#ifndef LEAT_KERNELS_X86_AVX2_UNPACK_H
#define LEAT_KERNELS_X86_AVX2_UNPACK_H

#include "avx2.h"

#include "kernels/blocks.h"

/* The rows of a panel. They are too many for the hardware's prefetchers, so an unpack asks for the columns
 * that follow its own in each row: those are unpacked next but for the other panels of the group (gemm.c). */
typedef struct rows {
    const uint8_t *row[ROWS]; /* at the first block wanted */
    const uint8_t *next; /* what comes after the columns of this panel, in the row to be asked for next */
    size_t next_bytes, row_bytes;
    __m256i valid[2]; /* lanes of rows that exist */
} rows;

/* bytes of each row, from byte `at` on. */
INLINE void rows_open(rows *s, const void *w, size_t row_bytes, size_t n_rows, size_t at, size_t bytes) {
    for (size_t r = 0; r < ROWS; r++) s->row[r] = (const uint8_t *)w + (r < n_rows ? r * row_bytes : 0) + at;
    s->valid[0] = lanes_below((int)n_rows);
    s->valid[1] = lanes_below((int)n_rows - 8);
    s->next = s->row[0] + bytes;
    s->next_bytes = bytes;
    s->row_bytes = row_bytes;
}

/* For so many rows; a panel does all sixteen in the course of its unpacking. */
INLINE void rows_prefetch(rows *s, size_t n) {
    for (size_t r = 0; r < n; r++, s->next += s->row_bytes)
        for (size_t i = 0; i < s->next_bytes + 63; i += 64)
            _mm_prefetch((const char *)s->next + i, _MM_HINT_T1);
}

/* Moves to the next block of each row. */
INLINE void rows_next(rows *s, size_t bytes) {
    for (size_t r = 0; r < ROWS; r++) s->row[r] += bytes;
}

/* 16 bytes of 8 rows: dword r of t[j] is dword j of row r. */
INLINE void load_8x16(const uint8_t *const *row, size_t at, __m256i t[4]) {
    __m256i r04 = load2x128(row[0] + at, row[4] + at), r15 = load2x128(row[1] + at, row[5] + at);
    __m256i r26 = load2x128(row[2] + at, row[6] + at), r37 = load2x128(row[3] + at, row[7] + at);
    __m256i a = _mm256_unpacklo_epi32(r04, r15), b = _mm256_unpackhi_epi32(r04, r15);
    __m256i c = _mm256_unpacklo_epi32(r26, r37), d = _mm256_unpackhi_epi32(r26, r37);
    t[0] = _mm256_unpacklo_epi64(a, c);
    t[1] = _mm256_unpackhi_epi64(a, c);
    t[2] = _mm256_unpacklo_epi64(b, d);
    t[3] = _mm256_unpackhi_epi64(b, d);
}

/* The dwords at the same place of 8 rows. */
INLINE __m256i load_8_dwords(const uint8_t *const *row, size_t at) {
    return _mm256_setr_epi32((int)load_u32(row[0] + at), (int)load_u32(row[1] + at),
                             (int)load_u32(row[2] + at), (int)load_u32(row[3] + at),
                             (int)load_u32(row[4] + at), (int)load_u32(row[5] + at),
                             (int)load_u32(row[6] + at), (int)load_u32(row[7] + at));
}

/* The halves at the same place of 8 rows; zero where there is no row. */
INLINE __m256 load_8_halves(const uint8_t *const *row, size_t at, __m256i valid) {
    __m128i h = _mm_setr_epi16((short)load_u16(row[0] + at), (short)load_u16(row[1] + at),
                               (short)load_u16(row[2] + at), (short)load_u16(row[3] + at),
                               (short)load_u16(row[4] + at), (short)load_u16(row[5] + at),
                               (short)load_u16(row[6] + at), (short)load_u16(row[7] + at));
    return _mm256_and_ps(_mm256_cvtph_ps(h), _mm256_castsi256_ps(valid));
}

/* The same for halves that are the low (shift 0) or high (16) words of dwords. */
INLINE __m256 words_to_float(__m256i x, int shift, __m256i valid) {
    x = _mm256_and_si256(_mm256_srli_epi32(x, shift), _mm256_set1_epi32(0xffff));
    x = _mm256_permute4x64_epi64(_mm256_packus_epi32(x, x), 0x08);
    return _mm256_and_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(x)), _mm256_castsi256_ps(valid));
}

/* Bits shifted up (down when negative), and those of `mask` in each byte kept. */
INLINE __m256i shifted_bits(__m256i x, int up, int mask) {
    x = up > 0 ? _mm256_slli_epi16(x, up) : up < 0 ? _mm256_srli_epi16(x, -up) : x;
    return _mm256_and_si256(x, _mm256_set1_epi8((char)mask));
}

/* Columns 4 * group .. 4 * group + 3 of rows 8 * v .. 8 * v + 7. */
INLINE void store_codes(panel *p, size_t group, int v, __m256i codes) {
    _mm256_store_si256((__m256i *)(void *)(p->w + 4 * ROWS * group + 32 * v), codes);
}

/* The fifth bits of columns 8 * pair .. 8 * pair + 7, as bytes of `value` or 0 for the two groups of four. */
INLINE void fifth_bits(__m256i qh, int pair, int value, __m256i *first, __m256i *second) {
    const __m256i byte_of_row = _mm256_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12, 0, 0, 0,
                                                 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12);
    const __m256i bit0 = _mm256_set1_epi32(0x08040201), bit4 = _mm256_set1_epi32((int)0x80402010);
    const __m256i values = _mm256_set1_epi8((char)value);
    __m256i x = _mm256_shuffle_epi8(qh, _mm256_add_epi8(byte_of_row, _mm256_set1_epi8((char)pair)));
    *first = _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(x, bit0), bit0), values);
    *second = _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(x, bit4), bit4), values);
}

/* What takes the magic number (act.h) away from a sum that is scaled: exact, as a scale has no more than the
 * 11 bits of a half float times the 6 bits of a sub-block's scale and the factor has two. So
 * fma(12582912 + n, scale, it) rounds once, as n * scale does. */
INLINE __m256 unmagic_of(__m256 scale) {
    return _mm256_mul_ps(scale, _mm256_set1_ps(-12582912.0f));
}

/* Q4_0, Q4_1, Q5_0, Q5_1: block b (counted in the panel) of 8 rows, codes times 2^up. */
INLINE void unpack_low_bits(const rows *s, size_t b, int v, size_t qs_at, size_t qh_at, int up, panel *p) {
    const uint8_t *const *row = s->row + 8 * v;
    __m256i t[4], c[8];
    load_8x16(row, qs_at, t);
    for (int j = 0; j < 4; j++) {
        c[j] = shifted_bits(t[j], up, 15 << up);
        c[j + 4] = shifted_bits(t[j], up - 4, 15 << up);
    }
    if (qh_at) {
        const __m256i qh = load_8_dwords(row, qh_at);
        for (int pair = 0; pair < 4; pair++) {
            __m256i first, second;
            fifth_bits(qh, pair, 16 << up, &first, &second);
            c[2 * pair] = _mm256_or_si256(c[2 * pair], first);
            c[2 * pair + 1] = _mm256_or_si256(c[2 * pair + 1], second);
        }
    }
    for (size_t j = 0; j < 8; j++) store_codes(p, 8 * b + j, v, c[j]);
}

/* Q4_K, Q5_K: a superblock of 8 rows. */
INLINE void unpack_codes_k(rows *s, int v, size_t qs_at, size_t qh_at, panel *p) {
    for (size_t half = 0; half < 2; half++) { /* of each sub-block */
        __m256i t[4], high[4];
        if (qh_at) load_8x16(s->row + 8 * v, qh_at + 16 * half, high);
        rows_prefetch(s, 4);
        for (size_t pair = 0; pair < 4; pair++) { /* of sub-blocks */
            load_8x16(s->row + 8 * v, qs_at + 32 * pair + 16 * half, t);
            for (size_t j = 0; j < 4; j++) {
                __m256i first = shifted_bits(t[j], 0, 15), second = shifted_bits(t[j], -4, 15);
                if (qh_at) {
                    first = _mm256_or_si256(first, shifted_bits(high[j], 4, 16));
                    second = _mm256_or_si256(second, shifted_bits(high[j], 3, 16));
                    high[j] = _mm256_srli_epi16(high[j], 2);
                }
                store_codes(p, 16 * pair + 4 * half + j, v, first);
                store_codes(p, 16 * pair + 4 * half + j + 8, v, second);
            }
        }
    }
}

/* The 6-bit scales and minima of 8 rows of Q4_K or Q5_K as bytes, sub-blocks 0..3 and 4..7 in the dword of a
 * row; d and dmin as floats. The drawing is at block_q4_k. */
typedef struct scales_k {
    __m256 d, dmin;
    __m256i scale[2], min[2];
} scales_k;

INLINE scales_k load_scales_k(const rows *s, int v) {
    __m256i t[4];
    load_8x16(s->row + 8 * v, 0, t);
    return (scales_k){
        words_to_float(t[0], 0, s->valid[v]),
        words_to_float(t[0], 16, s->valid[v]),
        {shifted_bits(t[1], 0, 63), _mm256_or_si256(shifted_bits(t[3], 0, 15), shifted_bits(t[1], -2, 0x30))},
        {shifted_bits(t[2], 0, 63),
         _mm256_or_si256(shifted_bits(t[3], -4, 15), shifted_bits(t[2], -2, 0x30))}};
}

/* Bytes 2 * i and 2 * i + 1 of each dword as words. */
INLINE __m256i byte_pair(__m256i x, int i) {
    x = _mm256_srli_epi32(x, i * 16);
    return _mm256_or_si256(_mm256_and_si256(x, _mm256_set1_epi32(255)),
                           _mm256_and_si256(_mm256_slli_epi32(x, 8), _mm256_set1_epi32(255 << 16)));
}

/* Q6_K: a superblock of 8 rows, codes times 2^up (0 or 2). */
INLINE void unpack_codes_q6(rows *s, int v, int up, panel *p) {
    const uint8_t *const *row = s->row + 8 * v;
    const int low = 15 << up, high = 0x30 << up;
    for (size_t i = 0; i < 4; i++) {
        /* 16 bytes of qh: the first or second 16 columns of the sub-blocks of a half */
        const size_t half = i / 2, at = 16 * (i % 2), group = 32 * half + 4 * (i % 2);
        __m256i h[4], a[4], b[4];
        rows_prefetch(s, 2);
        load_8x16(row, offsetof(block_q6_k, qh) + 32 * half + at, h);
        load_8x16(row, 64 * half + at, a);
        load_8x16(row, 64 * half + 32 + at, b);
        for (size_t j = 0; j < 4; j++) {
#define JOIN(sub, nibble, down)                                                                              \
    store_codes(p, group + j + 8 * (sub), v,                                                                 \
                _mm256_or_si256(shifted_bits(nibble[j], up - (down), low),                                   \
                                shifted_bits(h[j], 4 + up - 2 * (sub), high)))
            JOIN(0, a, 0);
            JOIN(1, b, 0);
            JOIN(2, a, 4);
            JOIN(3, b, 4);
#undef JOIN
        }
    }
}

#endif

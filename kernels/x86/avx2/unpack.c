/* unpack for every computable type: the columns k0 .. k0 + kc of up to 16 weight rows become the panel that
 * panel_mul.c reads; avx2.h has its layout. Rows are turned into columns 8 x 16 bytes at a time. Called
 * through the kernel table only, by gemm_panels. Rows that do not exist are never touched: row 0 is read in
 * their place and given scales of zero. */
#include "avx2.h"

#include "kernels/blocks.h"

/* The rows of a panel, and the stream of the next one: a panel reads 16 rows at once, too many for the
 * hardware's prefetchers, so each unpack asks for as many bytes of the panel below as it reads itself. */
typedef struct rows {
    const uint8_t *row[ROWS]; /* at the first block wanted */
    const char *ahead, *ahead_end;
    __m256i valid[2]; /* lanes of rows that exist */
} rows;

INLINE void rows_open(rows *s, const void *w, size_t row_bytes, size_t n_rows, size_t at) {
    for (size_t r = 0; r < ROWS; r++) s->row[r] = (const uint8_t *)w + (r < n_rows ? r * row_bytes : 0) + at;
    s->valid[0] = lanes_below((int)n_rows);
    s->valid[1] = lanes_below((int)n_rows - 8);
    s->ahead = s->ahead_end = (const char *)w + ROWS * (row_bytes + at);
}

/* Moves to the next block of each row. */
INLINE void rows_next(rows *s, size_t bytes) {
    for (size_t r = 0; r < ROWS; r++) s->row[r] += bytes;
    s->ahead_end += ROWS * bytes;
    for (; s->ahead < s->ahead_end; s->ahead += 64) _mm_prefetch(s->ahead, _MM_HINT_T1);
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

INLINE __m256i low_nibbles(__m256i x) {
    return _mm256_and_si256(x, _mm256_set1_epi8(15));
}
INLINE __m256i high_nibbles(__m256i x) {
    return low_nibbles(_mm256_srli_epi16(x, 4));
}

/* Columns 4 * group .. 4 * group + 3 of rows 8 * v .. 8 * v + 7. */
INLINE void store_codes(panel *p, size_t group, int v, __m256i codes) {
    _mm256_store_si256((__m256i *)(void *)(p->w + 4 * ROWS * group + 32 * v), codes);
}

INLINE void store_aux(panel *p, int at, int v, __m256i x) {
    _mm256_store_si256((__m256i *)(void *)(p->aux + at + 8 * v), x);
}

/* ---- blocks of 32
 * --------------------------------------------------------------------------------------------- */

/* The fifth bits of columns 8 * pair .. 8 * pair + 7: bytes of 16 or 0 for the two groups of four. */
INLINE void fifth_bits(__m256i qh, int pair, __m256i *first, __m256i *second) {
    const __m256i byte_of_row = _mm256_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12, 0, 0, 0,
                                                 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12);
    const __m256i bit0 = _mm256_set1_epi32(0x08040201), bit4 = _mm256_set1_epi32((int)0x80402010);
    __m256i x = _mm256_shuffle_epi8(qh, _mm256_add_epi8(byte_of_row, _mm256_set1_epi8((char)pair)));
    const __m256i sixteen = _mm256_set1_epi8(16);
    *first = _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(x, bit0), bit0), sixteen);
    *second = _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(x, bit4), bit4), sixteen);
}

/* Block b (counted in the panel) of 8 rows. */
INLINE void unpack_low_bits(const rows *s, size_t b, int v, size_t qs_at, size_t qh_at, panel *p) {
    const uint8_t *const *row = s->row + 8 * v;
    __m256i t[4], c[8];
    load_8x16(row, qs_at, t);
    for (int j = 0; j < 4; j++) {
        c[j] = low_nibbles(t[j]);
        c[j + 4] = high_nibbles(t[j]);
    }
    if (qh_at) {
        __m256i qh = _mm256_setr_epi32((int)load_u32(row[0] + qh_at), (int)load_u32(row[1] + qh_at),
                                       (int)load_u32(row[2] + qh_at), (int)load_u32(row[3] + qh_at),
                                       (int)load_u32(row[4] + qh_at), (int)load_u32(row[5] + qh_at),
                                       (int)load_u32(row[6] + qh_at), (int)load_u32(row[7] + qh_at));
        for (int pair = 0; pair < 4; pair++) {
            __m256i first, second;
            fifth_bits(qh, pair, &first, &second);
            c[2 * pair] = _mm256_or_si256(c[2 * pair], first);
            c[2 * pair + 1] = _mm256_or_si256(c[2 * pair + 1], second);
        }
    }
    for (size_t j = 0; j < 8; j++) store_codes(p, 8 * b + j, v, c[j]);
}

INLINE void unpack_32(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p,
                      size_t bytes, size_t qs_at, size_t qh_at, bool has_min) {
    const int bits = qh_at ? 5 : 4;
    const __m256 factor = _mm256_set1_ps(has_min ? 1.0f : 1.0f / (float)zero_point_factor(bits));
    rows s;
    rows_open(&s, w, row_bytes, n_rows, k0 / 32 * bytes);
    for (size_t b = 0; b < kc / 32; b++, rows_next(&s, bytes))
        for (int v = 0; v < 2; v++) {
            unpack_low_bits(&s, b, v, qs_at, qh_at, p);
            __m256 d = load_8_halves(s.row + 8 * v, 0, s.valid[v]);
            _mm256_store_ps(p->scale + ROWS * b + 8 * v, _mm256_mul_ps(d, factor));
            if (has_min)
                _mm256_store_ps(p->min + ROWS * b + 8 * v, load_8_halves(s.row + 8 * v, 2, s.valid[v]));
        }
    p->aux[AUX_BITS] = bits;
}

#define UNPACK_32(name, ...)                                                                                 \
    void unpack_##name##_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc,          \
                              panel *p) {                                                                    \
        unpack_32(w, row_bytes, n_rows, k0, kc, p, sizeof(block_##name), offsetof(block_##name, qs),         \
                  __VA_ARGS__);                                                                              \
    }
UNPACK_32(q4_0, 0, false)
UNPACK_32(q4_1, 0, true)
UNPACK_32(q5_0, offsetof(block_q5_0, qh), false)
UNPACK_32(q5_1, offsetof(block_q5_1, qh), true)

/* Columns 2i, 2i + 1 as int16 pairs. */
INLINE void store_words(panel *p, size_t pair, int v, __m256i x) {
    _mm256_store_si256((__m256i *)(void *)(p->w + 4 * ROWS * pair + 32 * v), x);
}

void unpack_q8_0_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    const size_t bytes = sizeof(block_q8_0);
    rows s;
    rows_open(&s, w, row_bytes, n_rows, k0 / 32 * bytes);
    for (size_t b = 0; b < kc / 32; b++, rows_next(&s, bytes))
        for (int v = 0; v < 2; v++) {
            for (size_t half = 0; half < 2; half++) {
                __m256i t[4];
                load_8x16(s.row + 8 * v, offsetof(block_q8_0, qs) + 16 * half, t);
                for (size_t j = 0; j < 4; j++) {
                    /* bytes 0, 1 of each dword and bytes 2, 3, sign-extended */
                    __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(t[j], 8), 8),
                            odd = _mm256_srai_epi16(t[j], 8);
                    __m256i low = _mm256_blend_epi16(even, _mm256_slli_epi32(odd, 16), 0xaa);
                    __m256i high = _mm256_blend_epi16(_mm256_srli_epi32(even, 16), odd, 0xaa);
                    store_words(p, 16 * b + 8 * half + 2 * j, v, low);
                    store_words(p, 16 * b + 8 * half + 2 * j + 1, v, high);
                }
            }
            _mm256_store_ps(p->scale + ROWS * b + 8 * v, load_8_halves(s.row + 8 * v, 0, s.valid[v]));
        }
    p->aux[AUX_BITS] = 8;
}

/* ---- blocks of 256
 * ---------------------------------------------------------------------------------------------- */

/* d, dmin, scales and minima of 8 rows of Q4_K or Q5_K; the drawing is at block_q4_k. */
INLINE void unpack_scales_k(const rows *s, int v, panel *p) {
    const __m256i low6 = _mm256_set1_epi8(63), low4 = _mm256_set1_epi8(15), bits54 = _mm256_set1_epi8(0x30);
    const __m256i byte0 = _mm256_set1_epi32(255);
    __m256i t[4];
    load_8x16(s->row + 8 * v, 0, t);
    _mm256_store_ps(p->scale + 8 * v, words_to_float(t[0], 0, s->valid[v]));
    _mm256_store_ps(p->min + 8 * v, words_to_float(t[0], 16, s->valid[v]));

    /* bytes of the dword of a row: sub-blocks 0..3, then 4..7 */
    __m256i sc[2], mn[2];
    sc[0] = _mm256_and_si256(t[1], low6);
    mn[0] = _mm256_and_si256(t[2], low6);
    sc[1] =
        _mm256_or_si256(_mm256_and_si256(t[3], low4), _mm256_and_si256(_mm256_srli_epi16(t[1], 2), bits54));
    mn[1] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(t[3], 4), low4),
                            _mm256_and_si256(_mm256_srli_epi16(t[2], 2), bits54));
    for (int j = 0; j < 8; j++) {
        __m256i x = _mm256_and_si256(_mm256_srli_epi32(sc[j / 4], j % 4 * 8), byte0);
        store_aux(p, ROWS * j, v, _mm256_or_si256(x, _mm256_slli_epi32(x, 16)));
    }
    for (int i = 0; i < 4; i++) {
        __m256i x = _mm256_srli_epi32(mn[i / 2], i % 2 * 16);
        __m256i second = _mm256_and_si256(_mm256_slli_epi32(x, 8), _mm256_set1_epi32(255 << 16));
        store_aux(p, AUX_MINS + ROWS * i, v, _mm256_or_si256(_mm256_and_si256(x, byte0), second));
    }
}

INLINE void unpack_k(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p,
                     bool five) {
    const size_t bytes = five ? sizeof(block_q5_k) : sizeof(block_q4_k);
    const size_t qs_at = five ? offsetof(block_q5_k, qs) : offsetof(block_q4_k, qs);
    const __m256i bit4 = _mm256_set1_epi8(16);
    (void)kc; /* always a whole block */
    rows s;
    rows_open(&s, w, row_bytes, n_rows, k0 / 256 * bytes);
    for (int v = 0; v < 2; v++) {
        unpack_scales_k(&s, v, p);
        for (size_t half = 0; half < 2; half++) { /* of each sub-block */
            __m256i t[4], high[4];
            if (five) load_8x16(s.row + 8 * v, offsetof(block_q5_k, qh) + 16 * half, high);
            for (size_t pair = 0; pair < 4; pair++) { /* of sub-blocks */
                load_8x16(s.row + 8 * v, qs_at + 32 * pair + 16 * half, t);
                for (size_t j = 0; j < 4; j++) {
                    __m256i first = low_nibbles(t[j]), second = high_nibbles(t[j]);
                    if (five) {
                        first = _mm256_or_si256(first, _mm256_and_si256(_mm256_slli_epi16(high[j], 4), bit4));
                        second =
                            _mm256_or_si256(second, _mm256_and_si256(_mm256_slli_epi16(high[j], 3), bit4));
                        high[j] = _mm256_srli_epi16(high[j], 2);
                    }
                    store_codes(p, 16 * pair + 4 * half + j, v, first);
                    store_codes(p, 16 * pair + 4 * half + j + 8, v, second);
                }
            }
        }
    }
    rows_next(&s, bytes);
    p->aux[AUX_BITS] = five ? 5 : 4;
}

void unpack_q4_k_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    unpack_k(w, row_bytes, n_rows, k0, kc, p, false);
}

void unpack_q5_k_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    unpack_k(w, row_bytes, n_rows, k0, kc, p, true);
}

/* Low four bits in `low`, the next two in bits 5..4 of `high`. */
INLINE __m256i join_6_bits(__m256i low, __m256i high) {
    return _mm256_or_si256(low_nibbles(low), _mm256_and_si256(high, _mm256_set1_epi8(0x30)));
}

void unpack_q6_k_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    const size_t bytes = sizeof(block_q6_k);
    (void)kc;
    rows s;
    rows_open(&s, w, row_bytes, n_rows, k0 / 256 * bytes);
    for (int v = 0; v < 2; v++) {
        const uint8_t *const *row = s.row + 8 * v;
        for (size_t i = 0; i < 4;
             i++) { /* 16 bytes of qh: the first or second 16 columns of the sub-blocks of a half */
            const size_t half = i / 2, at = 16 * (i % 2), group = 32 * half + 4 * (i % 2);
            __m256i high[4], a[4], b[4];
            load_8x16(row, offsetof(block_q6_k, qh) + 32 * half + at, high);
            load_8x16(row, 64 * half + at, a);
            load_8x16(row, 64 * half + 32 + at, b);
            for (size_t j = 0; j < 4; j++) {
                store_codes(p, group + j, v, join_6_bits(a[j], _mm256_slli_epi16(high[j], 4)));
                store_codes(p, group + j + 8, v, join_6_bits(b[j], _mm256_slli_epi16(high[j], 2)));
                store_codes(p, group + j + 16, v, join_6_bits(_mm256_srli_epi16(a[j], 4), high[j]));
                store_codes(p, group + j + 24, v,
                            join_6_bits(_mm256_srli_epi16(b[j], 4), _mm256_srli_epi16(high[j], 2)));
            }
        }
        __m256i t[4];
        load_8x16(row, offsetof(block_q6_k, scales), t);
        for (int j = 0; j < 16; j++) { /* byte j % 4 of the dword, sign-extended, twice */
            __m256i x = _mm256_srai_epi32(_mm256_slli_epi32(t[j / 4], 24 - j % 4 * 8), 24);
            store_aux(p, ROWS * j, v, _mm256_blend_epi16(x, _mm256_slli_epi32(x, 16), 0xaa));
        }
        for (int i = 0; i < 8; i++) { /* bytes 0, 1 or 2, 3 */
            __m256i x = _mm256_slli_epi32(t[i / 2], 16 - i % 2 * 16);
            __m256i first = _mm256_srli_epi32(_mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8), 16);
            store_aux(p, AUX_SCALE_PAIRS + ROWS * i, v,
                      _mm256_blend_epi16(first, _mm256_srai_epi16(x, 8), 0xaa));
        }
        _mm256_store_ps(p->scale + 8 * v, load_8_halves(row, offsetof(block_q6_k, d), s.valid[v]));
    }
    rows_next(&s, bytes);
}

/* ---- floats
 * ------------------------------------------------------------------------------------------------------ */

INLINE void unpack_float(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p,
                         int type) {
    const size_t bytes = value_bytes(type);
    rows s;
    rows_open(&s, w, row_bytes, n_rows, k0 * bytes);
    size_t k = 0;
    for (; k + 8 <= kc; k += 8, rows_next(&s, 8 * bytes))
        for (int v = 0; v < 2; v++) {
            __m256 x[8];
            for (int r = 0; r < 8; r++) x[r] = load8(s.row[8 * v + r], type);
            transpose_8x8(x);
            for (size_t i = 0; i < 8; i++)
                _mm256_store_ps(p->f + ROWS * (k + i) + 8 * v,
                                _mm256_and_ps(x[i], _mm256_castsi256_ps(s.valid[v])));
        }
    for (; k < kc; k++, rows_next(&s, bytes))
        for (size_t r = 0; r < ROWS; r++) p->f[ROWS * k + r] = r < n_rows ? load1(s.row[r], type) : 0;
}

#define UNPACK_FLOAT(name, type)                                                                             \
    void unpack_##name##_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc,          \
                              panel *p) {                                                                    \
        unpack_float(w, row_bytes, n_rows, k0, kc, p, type);                                                 \
    }
UNPACK_FLOAT(f32, F32)
UNPACK_FLOAT(f16, F16)
UNPACK_FLOAT(bf16, BF16)

/* unpack for the plain types and the older quantized ones: the columns k0 .. k0 + kc of up to 16 weight rows
 * become the panel that panel_mul.c reads; avx2.h has its layout. Called through the kernel table only, by
 * gemm_panels. */
#include "unpack.h"

INLINE void store_aux(panel *p, int at, int v, __m256i x) {
    _mm256_store_si256((__m256i *)(void *)(p->aux + at + 8 * v), x);
}

/* ---- blocks of 32
 * --------------------------------------------------------------------------------------------- */

INLINE void unpack_32(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p,
                      size_t bytes, size_t qs_at, size_t qh_at, bool has_min) {
    const int bits = qh_at ? 5 : 4;
    const __m256 factor = _mm256_set1_ps(has_min ? 1.0f : 1.0f / (float)zero_point_factor(bits));
    rows s;
    rows_open(&s, w, row_bytes, n_rows, k0 / 32 * bytes, kc / 32 * bytes);
    for (size_t b = 0; b < kc / 32; b++, rows_next(&s, bytes)) {
        rows_prefetch(&s, 2);
        for (int v = 0; v < 2; v++) {
            unpack_low_bits(&s, b, v, qs_at, qh_at, 0, p);
            __m256 d = load_8_halves(s.row + 8 * v, 0, s.valid[v]);
            d = _mm256_mul_ps(d, factor);
            _mm256_store_ps(p->scale + ROWS * b + 8 * v, d);
            d = has_min ? load_8_halves(s.row + 8 * v, 2, s.valid[v]) : unmagic_of(d);
            _mm256_store_ps(p->min + ROWS * b + 8 * v, d);
        }
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

/* Magnitudes in the place of codes, after them a byte of ones for each negative value, and in aux the sum of
 * the magnitudes of those. */
void unpack_q8_0_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    const size_t bytes = sizeof(block_q8_0);
    const __m256i ones8 = _mm256_set1_epi8(1), ones16 = _mm256_set1_epi16(1);
    rows s;
    rows_open(&s, w, row_bytes, n_rows, k0 / 32 * bytes, kc / 32 * bytes);
    for (size_t b = 0; b < kc / 32; b++, rows_next(&s, bytes)) {
        rows_prefetch(&s, 2);
        for (int v = 0; v < 2; v++) {
            __m256i negative = _mm256_setzero_si256();
            for (size_t half = 0; half < 2; half++) {
                __m256i t[4];
                load_8x16(s.row + 8 * v, offsetof(block_q8_0, qs) + 16 * half, t);
                for (size_t j = 0; j < 4; j++) {
                    __m256i magnitude = _mm256_abs_epi8(t[j]);
                    __m256i sign = _mm256_cmpgt_epi8(_mm256_setzero_si256(), t[j]);
                    store_codes(p, 8 * b + 4 * half + j, v, magnitude);
                    store_codes(p, W_SIGNS + 8 * b + 4 * half + j, v, sign);
                    __m256i sum = _mm256_maddubs_epi16(_mm256_and_si256(magnitude, sign), ones8);
                    negative = _mm256_add_epi32(negative, _mm256_madd_epi16(sum, ones16));
                }
            }
            store_aux(p, (int)(ROWS * b), v, _mm256_add_epi32(negative, _mm256_set1_epi32(ACT_MAGIC)));
            const __m256 d = load_8_halves(s.row + 8 * v, 0, s.valid[v]);
            _mm256_store_ps(p->scale + ROWS * b + 8 * v, d);
            _mm256_store_ps(p->min + ROWS * b + 8 * v, unmagic_of(d));
        }
    }
    p->aux[AUX_BITS] = 8;
}

/* ---- blocks of 256
 * ---------------------------------------------------------------------------------------------- */

INLINE void unpack_scales_k(const rows *s, int v, panel *p) {
    const __m256i byte0 = _mm256_set1_epi32(255);
    const scales_k k = load_scales_k(s, v);
    _mm256_store_ps(p->scale + 8 * v, k.d);
    _mm256_store_ps(p->min + 8 * v, k.dmin);
    for (int j = 0; j < 8; j++) {
        __m256i x = _mm256_and_si256(_mm256_srli_epi32(k.scale[j / 4], j % 4 * 8), byte0);
        store_aux(p, ROWS * j, v, _mm256_or_si256(x, _mm256_slli_epi32(x, 16)));
    }
    for (int i = 0; i < 4; i++) store_aux(p, AUX_MINS + ROWS * i, v, byte_pair(k.min[i / 2], i % 2));
}

INLINE void unpack_k(const void *w, size_t row_bytes, size_t n_rows, size_t k0, panel *p, bool five) {
    const size_t bytes = five ? sizeof(block_q5_k) : sizeof(block_q4_k);
    rows s;
    rows_open(&s, w, row_bytes, n_rows, k0 / 256 * bytes, bytes);
    for (int v = 0; v < 2; v++) {
        unpack_scales_k(&s, v, p);
        unpack_codes_k(&s, v, five ? offsetof(block_q5_k, qs) : offsetof(block_q4_k, qs),
                       five ? offsetof(block_q5_k, qh) : 0, p);
    }
    p->aux[AUX_BITS] = five ? 5 : 4;
}

void unpack_q4_k_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    (void)kc; /* always a whole superblock */
    unpack_k(w, row_bytes, n_rows, k0, p, false);
}

void unpack_q5_k_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    (void)kc; /* always a whole superblock */
    unpack_k(w, row_bytes, n_rows, k0, p, true);
}

void unpack_q6_k_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    const size_t bytes = sizeof(block_q6_k);
    (void)kc;
    rows s;
    rows_open(&s, w, row_bytes, n_rows, k0 / 256 * bytes, bytes);
    for (int v = 0; v < 2; v++) {
        const uint8_t *const *row = s.row + 8 * v;
        unpack_codes_q6(&s, v, 0, p);
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
}

/* ---- floats
 * ------------------------------------------------------------------------------------------------------ */

INLINE void unpack_float(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p,
                         int type) {
    const size_t bytes = value_bytes(type);
    rows s;
    rows_open(&s, w, row_bytes, n_rows, k0 * bytes, kc * bytes);
    size_t k = 0;
    for (; k + 8 <= kc; k += 8, rows_next(&s, 8 * bytes)) {
        if (k % 16 == 0) rows_prefetch(&s, 1);
        for (int v = 0; v < 2; v++) {
            __m256 x[8];
            for (int r = 0; r < 8; r++) x[r] = load8(s.row[8 * v + r], type);
            transpose_8x8(x);
            for (size_t i = 0; i < 8; i++)
                _mm256_store_ps(p->f + ROWS * (k + i) + 8 * v,
                                _mm256_and_ps(x[i], _mm256_castsi256_ps(s.valid[v])));
        }
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
UNPACK_FLOAT(f64, F64)

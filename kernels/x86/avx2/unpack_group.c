/* unpack for the types of codes.h: columns k0 .. k0 + kc of up to 16 weight rows become the panel that
 * panel_mul.c reads; avx2.h has its layout. Called through the kernel table only, by gemm_panels. */
#include "unpack_group.h"

INLINE void store_aux(panel *p, int at, int v, __m256i x) {
    _mm256_store_si256((__m256i *)(void *)(p->aux + at + 8 * v), x);
}

/* ---- PANEL_Q8_32 ---- */

INLINE void store_scales_32(const expanded *x, const rows *s, const float factor, panel *p) {
    for (int v = 0; v < 2; v++) {
        __m256 t[8];
        turn_scales(x, s, 0, v, factor, t);
        for (int j = 0; j < 8; j++) {
            _mm256_store_ps(p->scale + ROWS * j + 8 * v, t[j]);
            _mm256_store_ps(p->min + ROWS * j + 8 * v, unmagic_of(t[j]));
        }
    }
}

/* Codes that fit 4 or 5 bits around a zero point in their middle. */
INLINE void unpack_narrow(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p,
                          const size_t bytes, const size_t values, codes_fn *codes, scales_fn *scales,
                          const int bits, const float factor) {
    expanded x;
    rows s;
    expand_open(&x, &s, w, row_bytes, n_rows, k0, kc, bytes, values);
    expand_codes(&x, &s, codes, bits == 4 ? 8 : 16);
    store_expanded(&x, p);
    expand_scales(&x, &s, scales);
    store_scales_32(&x, &s, factor / (float)zero_point_factor(bits), p);
    p->aux[AUX_BITS] = bits;
}

/* Codes of eight bits: magnitudes and signs apart, as in unpack.c. */
INLINE void unpack_wide(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p,
                        const size_t bytes, const size_t values, codes_fn *codes, scales_fn *scales) {
    const __m256i ones8 = _mm256_set1_epi8(1), ones16 = _mm256_set1_epi16(1);
    expanded x;
    rows s;
    expand_open(&x, &s, w, row_bytes, n_rows, k0, kc, bytes, values);
    expand_codes(&x, &s, codes, 0);
    for (size_t b = 0; b < PANEL_K / 32; b++)
        for (int v = 0; v < 2; v++) {
            __m256i negative = _mm256_setzero_si256();
            for (size_t half = 0; half < 2; half++) {
                __m256i t[4];
                load_expanded(&x, 2 * b + half, v, t);
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
        }
    expand_scales(&x, &s, scales);
    store_scales_32(&x, &s, 1, p);
    p->aux[AUX_BITS] = 8;
}

#define UNPACK(name, unpack, values, ...)                                                                    \
    void unpack_##name##_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc,          \
                              panel *p) {                                                                    \
        unpack(w, row_bytes, n_rows, k0, kc, p, sizeof(block_##name), values, codes_##name, __VA_ARGS__);    \
    }
UNPACK(iq4_nl, unpack_wide, 32, scales_iq4_nl)
UNPACK(iq4_xs, unpack_wide, 256, scales_iq4_xs)
UNPACK(mxfp4, unpack_narrow, 32, scales_mxfp4, 5, MXFP4_FACTOR)
UNPACK(q1_0, unpack_narrow, 128, scales_q1_0, 4, 1)
UNPACK(q2_0, unpack_narrow, 64, scales_q2_0, 4, 1)

/* ---- PANEL_Q8_32_16 ---- */

void unpack_nvfp4_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    expanded x;
    rows s;
    expand_open(&x, &s, w, row_bytes, n_rows, k0, kc, sizeof(block_nvfp4), 64);
    expand_codes(&x, &s, codes_nvfp4, 16);
    store_expanded(&x, p);
    expand_scales_nvfp4(&x, &s);
    for (size_t i = 0; i < 2; i++)
        for (int v = 0; v < 2; v++) {
            __m256 t[8];
            turn_scales(&x, &s, i, v, NVFP4_FACTOR / (float)zero_point_factor(5), t);
            for (size_t j = 0; j < 8; j++) _mm256_store_ps(p->scale + ROWS * (8 * i + j) + 8 * v, t[j]);
        }
}

/* ---- superblocks ---- */

/* Ternary codes are 0, 1, 2; the minimum takes 1 from each. */
INLINE void unpack_ternary(const void *w, size_t row_bytes, size_t n_rows, size_t k0, panel *p,
                           const size_t bytes, const size_t d_at, codes_fn *codes) {
    const __m256i one_twice = _mm256_set1_epi16(1);
    expanded x;
    rows s;
    expand_open(&x, &s, w, row_bytes, n_rows, k0, PANEL_K, bytes, 256);
    expand_codes(&x, &s, codes, 1);
    store_expanded(&x, p);
    for (int v = 0; v < 2; v++) {
        const __m256 d = load_8_halves(s.row + 8 * v, d_at, s.valid[v]);
        _mm256_store_ps(p->scale + 8 * v, d);
        _mm256_store_ps(p->min + 8 * v, d);
        for (int j = 0; j < 8; j++) store_aux(p, ROWS * j, v, one_twice);
        for (int i = 0; i < 4; i++) store_aux(p, AUX_MINS + ROWS * i, v, one_twice);
    }
    p->aux[AUX_BITS] = 4;
}

void unpack_tq1_0_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    (void)kc; /* always a whole superblock */
    unpack_ternary(w, row_bytes, n_rows, k0, p, sizeof(block_tq1_0), offsetof(block_tq1_0, d), codes_tq1_0);
}

void unpack_tq2_0_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    (void)kc;
    unpack_ternary(w, row_bytes, n_rows, k0, p, sizeof(block_tq2_0), offsetof(block_tq2_0, d), codes_tq2_0);
}

/* The integer scales of 16 sub-blocks: twice each, and, when `pairs` is not t, the pairs of another set of
 * bytes. */
INLINE void store_scale_bytes(const __m256i t[4], const __m256i pairs[4], int v, panel *p) {
    for (int j = 0; j < 16; j++) {
        const __m256i y = byte_of(t, j);
        store_aux(p, ROWS * j, v, _mm256_blend_epi16(y, _mm256_slli_epi32(y, 16), 0xaa));
    }
    for (int i = 0; i < 8; i++) {
        const __m256i first = byte_of(pairs, 2 * i), second = byte_of(pairs, 2 * i + 1);
        store_aux(p, AUX_SCALE_PAIRS + ROWS * i, v,
                  _mm256_blend_epi16(first, _mm256_slli_epi32(second, 16), 0xaa));
    }
}

void unpack_q3_k_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    expanded x;
    scale_bytes scales;
    rows s;
    expand_open(&x, &s, w, row_bytes, n_rows, k0, kc, sizeof(block_q3_k), 256);
    expand_codes(&x, &s, codes_q3_k, 32);
    store_expanded(&x, p);
    for (size_t r = 0; r < ROWS; r++) _mm_store_si128((__m128i *)(void *)scales.of[r], scales_q3_k(s.row[r]));
    for (int v = 0; v < 2; v++) {
        __m256i t[4];
        load_scale_bytes(&scales, v, t);
        store_scale_bytes(t, t, v, p);
        _mm256_store_ps(p->scale + 8 * v, load_8_halves(s.row + 8 * v, offsetof(block_q3_k, d), s.valid[v]));
    }
}

void unpack_q2_k_avx2(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    const __m256i low4 = _mm256_set1_epi8(15);
    expanded x;
    rows s;
    expand_open(&x, &s, w, row_bytes, n_rows, k0, kc, sizeof(block_q2_k), 256);
    expand_codes(&x, &s, codes_q2_k, 0);
    store_expanded(&x, p);
    for (int v = 0; v < 2; v++) {
        __m256i t[4], mins[4];
        load_8x16(s.row + 8 * v, 0, t);
        for (int i = 0; i < 4; i++) {
            mins[i] = _mm256_and_si256(_mm256_srli_epi16(t[i], 4), low4);
            t[i] = _mm256_and_si256(t[i], low4);
        }
        store_scale_bytes(t, mins, v, p);
        _mm256_store_ps(p->scale + 8 * v, load_8_halves(s.row + 8 * v, offsetof(block_q2_k, d), s.valid[v]));
        _mm256_store_ps(p->min + 8 * v, load_8_halves(s.row + 8 * v, offsetof(block_q2_k, dmin), s.valid[v]));
    }
}

/* unpack for the types of avx2/codes.h: up to 16 weight rows become the panel that avxvnni.h draws. Called
 * through the kernel table only, by gemm_panels. */
#include "kernels/x86/avx2/unpack_group.h"
#include "avxvnni.h"
#include "scale.h"

enum { ZERO = 128 };

/* n scales of so many folds, n % 8 == 0. */
INLINE void store_turned(const expanded *x, const rows *s, const size_t n, const float factor, panel *p) {
    for (size_t i = 0; i < n / 8; i++)
        for (int v = 0; v < 2; v++) {
            __m256 t[8];
            turn_scales(x, s, i, v, factor, t);
            for (size_t j = 0; j < 8; j++) store_scale(p, 8 * i + j, v, t[j]);
        }
}

INLINE void unpack_groups(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p,
                          const size_t bytes, const size_t values, codes_fn *codes, scales_fn *scales,
                          const float factor) {
    expanded x;
    rows s;
    expand_open(&x, &s, w, row_bytes, n_rows, k0, kc, bytes, values);
    expand_codes(&x, &s, codes, ZERO);
    store_expanded(&x, p);
    expand_scales(&x, &s, scales);
    store_turned(&x, &s, 8, factor, p);
}

#define UNPACK(name, values, factor)                                                                         \
    void unpack_##name##_avxvnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc,       \
                                 panel *p) {                                                                 \
        unpack_groups(w, row_bytes, n_rows, k0, kc, p, sizeof(block_##name), values, codes_##name,           \
                      scales_##name, factor);                                                                \
    }
UNPACK(iq4_nl, 32, 1)
UNPACK(iq4_xs, 256, 1)
UNPACK(mxfp4, 32, MXFP4_FACTOR)
UNPACK(q1_0, 128, 1)
UNPACK(q2_0, 64, 1)

void unpack_nvfp4_avxvnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    expanded x;
    rows s;
    expand_open(&x, &s, w, row_bytes, n_rows, k0, kc, sizeof(block_nvfp4), 64);
    expand_codes(&x, &s, codes_nvfp4, ZERO);
    store_expanded(&x, p);
    expand_scales_nvfp4(&x, &s);
    store_turned(&x, &s, 16, NVFP4_FACTOR, p);
}

/* Ternary codes are 0, 1, 2; the minimum takes 1 from each. */
INLINE void unpack_ternary(const void *w, size_t row_bytes, size_t n_rows, size_t k0, panel *p,
                           const size_t bytes, const size_t d_at, codes_fn *codes) {
    expanded x;
    rows s;
    expand_open(&x, &s, w, row_bytes, n_rows, k0, PANEL_K, bytes, 256);
    expand_codes(&x, &s, codes, 1);
    store_expanded(&x, p);
    for (int v = 0; v < 2; v++) {
        const __m256 d = load_8_halves(s.row + 8 * v, d_at, s.valid[v]);
        for (size_t j = 0; j < 8; j++) store_scale(p, j, v, d);
        for (int i = 0; i < 4; i++)
            _mm256_store_si256((__m256i *)(void *)(p->aux + AUX_MINS + ROWS * i + 8 * v),
                               _mm256_set1_epi16(1));
        _mm256_store_ps(p->min + 8 * v, d);
    }
}

void unpack_tq1_0_avxvnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    (void)kc; /* always a whole superblock */
    unpack_ternary(w, row_bytes, n_rows, k0, p, sizeof(block_tq1_0), offsetof(block_tq1_0, d), codes_tq1_0);
}

void unpack_tq2_0_avxvnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    (void)kc;
    unpack_ternary(w, row_bytes, n_rows, k0, p, sizeof(block_tq2_0), offsetof(block_tq2_0, d), codes_tq2_0);
}

void unpack_q3_k_avxvnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    expanded x;
    scale_bytes scales;
    rows s;
    expand_open(&x, &s, w, row_bytes, n_rows, k0, kc, sizeof(block_q3_k), 256);
    expand_codes(&x, &s, codes_q3_k, ZERO);
    store_expanded(&x, p);
    for (size_t r = 0; r < ROWS; r++) _mm_store_si128((__m128i *)(void *)scales.of[r], scales_q3_k(s.row[r]));
    for (int v = 0; v < 2; v++) {
        __m256i t[4];
        const __m256 d = load_8_halves(s.row + 8 * v, offsetof(block_q3_k, d), s.valid[v]);
        load_scale_bytes(&scales, v, t);
        for (int j = 0; j < 16; j++)
            store_scale(p, (size_t)j, v, _mm256_mul_ps(_mm256_cvtepi32_ps(byte_of(t, j)), d));
    }
}

/* The scale of a sub-block has four bits, so its four codes can be multiplied with it while they are bytes: a
 * table of them for each half of 32 columns. */
INLINE void expand_q2_k(expanded *x, rows *s) {
    for (size_t r = 0; r < ROWS; r++) {
        const uint8_t *b = s->row[r];
        const __m128i scales = _mm_and_si128(load128(b), _mm_set1_epi8(15));
        uint32_t tables[16];
        const __m256i multiples = _mm256_set1_epi32(0x03020100);
        _mm256_storeu_si256((__m256i *)(void *)tables,
                            _mm256_mullo_epi32(_mm256_cvtepu8_epi32(scales), multiples));
        _mm256_storeu_si256((__m256i *)(void *)(tables + 8),
                            _mm256_mullo_epi32(_mm256_cvtepu8_epi32(_mm_srli_si128(scales, 8)), multiples));
        rows_prefetch(s, 1);
        for (size_t j = 0; j < 8; j++) {
            const __m256i table =
                _mm256_blend_epi32(broadcast32(tables + 2 * j), broadcast32(tables + 2 * j + 1), 0xf0);
            _mm256_store_si256((__m256i *)(void *)(x->codes[r] + 32 * j),
                               _mm256_shuffle_epi8(table, codes_q2_k(b, j, 0)));
        }
    }
}

void unpack_q2_k_avxvnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    const __m256i low4 = _mm256_set1_epi8(15);
    expanded x;
    rows s;
    expand_open(&x, &s, w, row_bytes, n_rows, k0, kc, sizeof(block_q2_k), 256);
    expand_q2_k(&x, &s);
    store_expanded(&x, p);
    for (int v = 0; v < 2; v++) {
        const __m256 d = load_8_halves(s.row + 8 * v, offsetof(block_q2_k, d), s.valid[v]);
        __m256i t[4];
        for (size_t j = 0; j < 8; j++) store_scale(p, j, v, d);
        load_8x16(s.row + 8 * v, 0, t);
        for (int i = 0; i < 4; i++) t[i] = _mm256_and_si256(_mm256_srli_epi16(t[i], 4), low4);
        for (int i = 0; i < 8; i++)
            _mm256_store_si256((__m256i *)(void *)(p->aux + AUX_MINS + ROWS * i + 8 * v),
                               byte_pair(t[i / 2], i % 2));
        _mm256_store_ps(p->min + 8 * v, load_8_halves(s.row + 8 * v, offsetof(block_q2_k, dmin), s.valid[v]));
    }
}

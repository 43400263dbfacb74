/* unpack for the int8 weight types: up to 16 weight rows become the panel that avxvnni.h draws. Called
 * through the kernel table only, by gemm_panels. */
#include "kernels/x86/avx2/unpack.h"
#include "avxvnni.h"
#include "scale.h"

_Static_assert((int)ROWS == (int)PANEL_ROWS_AVXVNNI, "the rows that avx2/unpack.h turns");

INLINE void unpack_32(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p,
                      size_t bytes, size_t qs_at, size_t qh_at, bool has_min) {
    const int up = has_min ? 0 : qh_at ? 3 : 4;
    const __m256 factor = _mm256_set1_ps(1.0f / (float)(1 << up));
    rows s;
    rows_open(&s, w, row_bytes, n_rows, k0 / 32 * bytes, kc / 32 * bytes);
    for (size_t b = 0; b < kc / 32; b++, rows_next(&s, bytes)) {
        rows_prefetch(&s, 2);
        for (int v = 0; v < 2; v++) {
            unpack_low_bits(&s, b, v, qs_at, qh_at, up, p);
            store_scale(p, b, v, _mm256_mul_ps(load_8_halves(s.row + 8 * v, 0, s.valid[v]), factor));
            if (has_min)
                _mm256_store_ps(p->min + ROWS * b + 8 * v, load_8_halves(s.row + 8 * v, 2, s.valid[v]));
        }
    }
}

#define UNPACK_32(name, ...)                                                                                 \
    void unpack_##name##_avxvnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc,       \
                                 panel *p) {                                                                 \
        unpack_32(w, row_bytes, n_rows, k0, kc, p, sizeof(block_##name), offsetof(block_##name, qs),         \
                  __VA_ARGS__);                                                                              \
    }
UNPACK_32(q4_0, 0, false)
UNPACK_32(q4_1, 0, true)
UNPACK_32(q5_0, offsetof(block_q5_0, qh), false)
UNPACK_32(q5_1, offsetof(block_q5_1, qh), true)

void unpack_q8_0_avxvnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    const size_t bytes = sizeof(block_q8_0);
    const __m256i sign = _mm256_set1_epi8((char)0x80);
    rows s;
    rows_open(&s, w, row_bytes, n_rows, k0 / 32 * bytes, kc / 32 * bytes);
    for (size_t b = 0; b < kc / 32; b++, rows_next(&s, bytes)) {
        rows_prefetch(&s, 2);
        for (int v = 0; v < 2; v++) {
            for (size_t half = 0; half < 2; half++) {
                __m256i t[4];
                load_8x16(s.row + 8 * v, offsetof(block_q8_0, qs) + 16 * half, t);
                for (size_t j = 0; j < 4; j++)
                    store_codes(p, 8 * b + 4 * half + j, v, _mm256_xor_si256(t[j], sign));
            }
            store_scale(p, b, v, load_8_halves(s.row + 8 * v, 0, s.valid[v]));
        }
    }
}

INLINE void unpack_k(const void *w, size_t row_bytes, size_t n_rows, size_t k0, panel *p, bool five) {
    const size_t bytes = five ? sizeof(block_q5_k) : sizeof(block_q4_k);
    const __m256i byte0 = _mm256_set1_epi32(255);
    rows s;
    rows_open(&s, w, row_bytes, n_rows, k0 / 256 * bytes, bytes);
    for (int v = 0; v < 2; v++) {
        const scales_k k = load_scales_k(&s, v);
        for (int j = 0; j < 8; j++) {
            __m256i x = _mm256_and_si256(_mm256_srli_epi32(k.scale[j / 4], j % 4 * 8), byte0);
            store_scale(p, (size_t)j, v, _mm256_mul_ps(_mm256_cvtepi32_ps(x), k.d));
        }
        for (int i = 0; i < 4; i++)
            _mm256_store_si256((__m256i *)(void *)(p->aux + AUX_MINS + ROWS * i + 8 * v),
                               byte_pair(k.min[i / 2], i % 2));
        _mm256_store_ps(p->min + 8 * v, k.dmin);
        unpack_codes_k(&s, v, five ? offsetof(block_q5_k, qs) : offsetof(block_q4_k, qs),
                       five ? offsetof(block_q5_k, qh) : 0, p);
    }
}

void unpack_q4_k_avxvnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    (void)kc; /* always a whole superblock */
    unpack_k(w, row_bytes, n_rows, k0, p, false);
}

void unpack_q5_k_avxvnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    (void)kc;
    unpack_k(w, row_bytes, n_rows, k0, p, true);
}

void unpack_q6_k_avxvnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    const size_t bytes = sizeof(block_q6_k);
    (void)kc;
    rows s;
    rows_open(&s, w, row_bytes, n_rows, k0 / 256 * bytes, bytes);
    for (int v = 0; v < 2; v++) {
        const uint8_t *const *row = s.row + 8 * v;
        unpack_codes_q6(&s, v, 2, p);
        const __m256 d =
            _mm256_mul_ps(load_8_halves(row, offsetof(block_q6_k, d), s.valid[v]), _mm256_set1_ps(0.25f));
        __m256i t[4];
        load_8x16(row, offsetof(block_q6_k, scales), t);
        for (int j = 0; j < 16; j++) { /* byte j % 4 of the dword, sign-extended */
            __m256i x = _mm256_srai_epi32(_mm256_slli_epi32(t[j / 4], 24 - j % 4 * 8), 24);
            store_scale(p, (size_t)j, v, _mm256_mul_ps(_mm256_cvtepi32_ps(x), d));
        }
    }
}

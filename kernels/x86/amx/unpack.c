/* Superblocks into panels for tiles: quants times the integer scales of their sub-blocks, as two planes of
 * 8-bit digits, so that one product of a tile register runs over a whole superblock. AVX-512 VNNI's unpack
 * does what depends on the type; the integer scales come out of its float scales, which are exact products
 * with the superblock's d. Overridden together with tiles.c. */
#include "amx.h"
#include "kernels/blocks.h"
#include "kernels/x86/avx512/vec.h"
#include "kernels/x86/avx512vnni/avx512vnni.h"

enum { ROWS = 32, HALF = 16, PLANE = PANEL_K * ROWS };

/* d of each row; 0 where there is no row. */
static void row_scales(const char *at, size_t row_bytes, size_t n_rows, float d[ROWS]) {
    uint16_t h[ROWS] = {0};
    for (size_t r = 0; r < n_rows; r++) h[r] = vec_load_u16(at + r * row_bytes);
    for (size_t i = 0; i < ROWS; i += HALF)
        _mm512_store_ps(d + i, _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(h + i))));
}

/* The integer scales of fold j: what is in p->scale, divided by d / 2^shift. With a d that is 0 or not finite
 * they don't matter, since d itself multiplies the result. */
VEC_INLINE __m512i integer_scales(const panel *p, size_t j, size_t half, __m512 d, const float times) {
    __mmask16 usable = _mm512_cmp_ps_mask(_mm512_sub_ps(d, d), _mm512_setzero_ps(), _CMP_EQ_OQ) &
                       _mm512_cmp_ps_mask(d, _mm512_setzero_ps(), _CMP_NEQ_OQ);
    __m512 s = _mm512_mul_ps(_mm512_load_ps(p->scale + j * ROWS + half), _mm512_set1_ps(times));
    return _mm512_maskz_cvtps_epi32(usable, _mm512_maskz_div_ps(usable, s, d));
}

/* Each word of the dword: the scale. */
VEC_INLINE __m512i as_words(__m512i scale) {
    return _mm512_or_si512(_mm512_and_si512(scale, _mm512_set1_epi32(0xFFFF)), _mm512_slli_epi32(scale, 16));
}

/* Plain quants of at most 5 bits, scales of 6: a digit of the scale times a quant fits a byte, so one product
 * of words does two bytes at once. */
static void planes_min(panel *p, const float d[ROWS]) {
    const __m512i seven = _mm512_set1_epi16(7);
    for (size_t half = 0; half < ROWS; half += HALF) {
        const __m512 row_d = _mm512_load_ps(d + half);
        for (size_t j = 0; j < PANEL_K / 32; j++) {
            const __m512i scale = as_words(integer_scales(p, j, half, row_d, 1.0f));
            const __m512i first = _mm512_srli_epi16(scale, 3), second = _mm512_and_si512(scale, seven);
            uint8_t *w = p->planes[0] + (j * 8 * ROWS + half) * 4;
            for (size_t i = 0; i < 8; i++, w += ROWS * 4) {
                const __m512i q = _mm512_load_si512(w);
                _mm512_store_si512(w, _mm512_mullo_epi16(q, first));
                _mm512_store_si512(w + PLANE, _mm512_mullo_epi16(q, second));
            }
        }
        _mm512_store_ps(p->scale + half, row_d);
    }
}

/* Signed quants at the top of a byte with zero point 128, `bits` wide, times signed scales of 8 bits: bytes
 * apart as words, then the product's digits together again. */
VEC_INLINE void planes_16(panel *p, const float d[ROWS], const int bits) {
    const __m512i low = _mm512_set1_epi16(0x7F), byte = _mm512_set1_epi16(0xFF),
                  upper7 = _mm512_set1_epi16(0x7F00);
    const __m512i upper = _mm512_set1_epi16((short)0xFF00), sign = _mm512_set1_epi8((char)0x80);
    for (size_t half = 0; half < ROWS; half += HALF) {
        const __m512 row_d = _mm512_load_ps(d + half);
        for (size_t j = 0; j < PANEL_K / 16; j++) {
            const __m512i scale = as_words(integer_scales(p, j, half, row_d, (float)(1 << (8 - bits))));
            uint8_t *w = p->planes[0] + (j * 4 * ROWS + half) * 4;
            for (size_t i = 0; i < 4; i++, w += ROWS * 4) {
                const __m512i q = _mm512_xor_si512(_mm512_load_si512(w), sign);
                __m512i even = _mm512_srai_epi16(_mm512_slli_epi16(q, 8), 16 - (unsigned)bits);
                __m512i odd = _mm512_srai_epi16(q, 16 - (unsigned)bits);
                even = _mm512_mullo_epi16(even, scale);
                odd = _mm512_mullo_epi16(odd, scale);
                _mm512_store_si512(w, vec_or_masked(_mm512_and_si512(_mm512_srai_epi16(even, 7), byte),
                                                    _mm512_slli_epi16(odd, 1), upper));
                _mm512_store_si512(
                    w + PLANE, vec_or_masked(_mm512_and_si512(even, low), _mm512_slli_epi16(odd, 8), upper7));
            }
        }
    }
    for (size_t half = 0; half < ROWS; half += HALF)
        _mm512_store_ps(p->scale + half, _mm512_load_ps(d + half));
}

#define UNPACK(name, planes)                                                                                 \
    void unpack_##name##_amx(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc,           \
                             panel *p) {                                                                     \
        _Alignas(64) float d[ROWS];                                                                          \
        const char *at = (const char *)w + k0 / PANEL_K * sizeof(block_##name) + offsetof(block_##name, d);  \
        unpack_##name##_avx512vnni(w, row_bytes, n_rows, k0, kc, p);                                         \
        row_scales(at, row_bytes, n_rows, d);                                                                \
        planes;                                                                                              \
    }
UNPACK(q4_k, planes_min(p, d))
UNPACK(q5_k, planes_min(p, d))
UNPACK(q6_k, planes_16(p, d, 6))
UNPACK(q3_k, planes_16(p, d, 8))

/* Rows of the types that keys and values are kept in to floats, with every bit of c/decode.c. Called through
 * the kernel table and by attend.c. */
#include "avx512.h"
#include "vec.h"

#include "kernels/blocks.h"
#include "kernels/codebooks.h"

VEC_INLINE void decode_plain(const void *w, float *y, size_t n, uint32_t format) {
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = vec_mask16(n - i);
        _mm512_mask_storeu_ps(y + i, m, vec_load_float_part(w, i, m, format));
    }
}

void decode_f16_avx512(const void *w, float *y, size_t n) {
    decode_plain(w, y, n, FORMAT_F16);
}

void decode_bf16_avx512(const void *w, float *y, size_t n) {
    decode_plain(w, y, n, FORMAT_BF16);
}

/* y (32) = d * q, q in two halves; d is a half. */
VEC_INLINE void store_32(__m128i low, __m128i high, const void *d, float *y) {
    const __m512 scale = _mm512_set1_ps(_cvtsh_ss(vec_load_u16(d)));
    _mm512_storeu_ps(y, _mm512_mul_ps(scale, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(low))));
    _mm512_storeu_ps(y + 16, _mm512_mul_ps(scale, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(high))));
}

VEC_INLINE __m128i load_16(const void *p) {
    return _mm_loadu_si128(p);
}

/* The codes of four bits in the lower (shift 0) or upper (4) halves of 16 bytes. */
VEC_INLINE __m128i nibbles(const uint8_t *qs, int shift) {
    return _mm_and_si128(_mm_srli_epi16(load_16(qs), shift), _mm_set1_epi8(15));
}

void decode_q8_0_avx512(const void *w, float *y, size_t n) {
    const block_q8_0 *b = w;
    for (size_t i = 0; i < n / 32; i++) store_32(load_16(b[i].qs), load_16(b[i].qs + 16), &b[i], y + 32 * i);
}

void decode_q4_0_avx512(const void *w, float *y, size_t n) {
    const __m128i zero = _mm_set1_epi8(8);
    const block_q4_0 *b = w;
    for (size_t i = 0; i < n / 32; i++)
        store_32(_mm_sub_epi8(nibbles(b[i].qs, 0), zero), _mm_sub_epi8(nibbles(b[i].qs, 4), zero), &b[i],
                 y + 32 * i);
}

void decode_q5_0_avx512(const void *w, float *y, size_t n) {
    const __m128i zero = _mm_set1_epi8(16);
    const block_q5_0 *b = w;
    for (size_t i = 0; i < n / 32; i++) {
        /* the codes whose fifth bit is set are left as they are, the others lose 16 */
        const uint32_t unset = ~(uint32_t)vec_load_i32(b[i].qh);
        __m128i low = nibbles(b[i].qs, 0), high = nibbles(b[i].qs, 4);
        low = _mm_mask_sub_epi8(low, (__mmask16)unset, low, zero);
        high = _mm_mask_sub_epi8(high, (__mmask16)(unset >> 16), high, zero);
        store_32(low, high, &b[i], y + 32 * i);
    }
}

void decode_iq4_nl_avx512(const void *w, float *y, size_t n) {
    const __m128i book = _mm_setr_epi8(IQ4_NL_CODEBOOK);
    const block_iq4_nl *b = w;
    for (size_t i = 0; i < n / 32; i++)
        store_32(_mm_shuffle_epi8(book, nibbles(b[i].qs, 0)), _mm_shuffle_epi8(book, nibbles(b[i].qs, 4)),
                 &b[i], y + 32 * i);
}

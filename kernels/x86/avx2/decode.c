/* Rows of the types that keys and values are kept in to floats, with every bit of c/decode.c. Called through
 * the kernel table and by attend.c. */
#include "avx2.h"

#include "kernels/blocks.h"
#include "kernels/codebooks.h"

void decode_f16_avx2(const void *w, float *y, size_t n) {
    const uint16_t *h = w;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, load8(h + i, F16));
    for (; i < n; i++) y[i] = load1(h + i, F16);
}

void decode_bf16_avx2(const void *w, float *y, size_t n) {
    const uint16_t *h = w;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, load8(h + i, BF16));
    for (; i < n; i++) y[i] = load1(h + i, BF16);
}

/* y (32) = d * q; d is a half. */
INLINE void store_32(__m256i q, const void *d, float *y) {
    const __m256 scale = _mm256_set1_ps(load1(d, F16));
    for (int i = 0; i < 4; i++) {
        __m128i eight = i < 2 ? _mm256_castsi256_si128(q) : _mm256_extracti128_si256(q, 1);
        if (i % 2) eight = _mm_unpackhi_epi64(eight, eight);
        _mm256_storeu_ps(y + 8 * i, _mm256_mul_ps(scale, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight))));
    }
}

/* 32 codes of four bits. */
INLINE __m256i nibbles(const uint8_t *qs) {
    __m128i q = load128(qs);
    return _mm256_and_si256(_mm256_inserti128_si256(_mm256_castsi128_si256(q), _mm_srli_epi16(q, 4), 1),
                            _mm256_set1_epi8(15));
}

/* 16 in each byte whose bit of qh is set. */
INLINE __m256i fifth_bits(const uint8_t *qh) {
    const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i bytes = _mm256_shuffle_epi8(broadcast32(qh), spread);
    return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit), _mm256_set1_epi8(16));
}

void decode_q8_0_avx2(const void *w, float *y, size_t n) {
    const block_q8_0 *b = w;
    for (size_t i = 0; i < n / 32; i++) store_32(load256(b[i].qs), &b[i], y + 32 * i);
}

void decode_q4_0_avx2(const void *w, float *y, size_t n) {
    const block_q4_0 *b = w;
    for (size_t i = 0; i < n / 32; i++)
        store_32(_mm256_sub_epi8(nibbles(b[i].qs), _mm256_set1_epi8(8)), &b[i], y + 32 * i);
}

void decode_q5_0_avx2(const void *w, float *y, size_t n) {
    const block_q5_0 *b = w;
    for (size_t i = 0; i < n / 32; i++) {
        __m256i q = _mm256_or_si256(nibbles(b[i].qs), fifth_bits(b[i].qh));
        store_32(_mm256_sub_epi8(q, _mm256_set1_epi8(16)), &b[i], y + 32 * i);
    }
}

void decode_iq4_nl_avx2(const void *w, float *y, size_t n) {
    const __m256i book = _mm256_broadcastsi128_si256(_mm_setr_epi8(IQ4_NL_CODEBOOK));
    const block_iq4_nl *b = w;
    for (size_t i = 0; i < n / 32; i++)
        store_32(_mm256_shuffle_epi8(book, nibbles(b[i].qs)), &b[i], y + 32 * i);
}

/* How bytes and scales get into the panels that unpack.c draws. Included by the files of this folder that
 * unpack. */
#ifndef LEAT_KERNELS_X86_AVX512VNNI_UNPACK_H
#define LEAT_KERNELS_X86_AVX512VNNI_UNPACK_H

#include "avx512vnni.h"
#include "kernels/x86/avx512/vec.h"

enum { ROWS = 32, VECTOR_ROWS = 16 };

/* 16 bytes at p, stride apart, of 16 rows: t[j] holds dword j of rows 0 .. 15. */
VEC_INLINE __m512i four_rows(const uint8_t *p, size_t stride) {
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const void *)p));
    v = _mm512_mask_broadcast_i32x4(v, 0x00F0, _mm_loadu_si128((const void *)(p + 4 * stride)));
    v = _mm512_mask_broadcast_i32x4(v, 0x0F00, _mm_loadu_si128((const void *)(p + 8 * stride)));
    return _mm512_mask_broadcast_i32x4(v, 0xF000, _mm_loadu_si128((const void *)(p + 12 * stride)));
}
VEC_INLINE void load_dwords(const uint8_t *p, size_t stride, __m512i t[4]) {
    __m512i r0 = four_rows(p, stride), r1 = four_rows(p + stride, stride);
    __m512i r2 = four_rows(p + 2 * stride, stride), r3 = four_rows(p + 3 * stride, stride);
    __m512i a = _mm512_unpacklo_epi32(r0, r1), b = _mm512_unpackhi_epi32(r0, r1);
    __m512i c = _mm512_unpacklo_epi32(r2, r3), d = _mm512_unpackhi_epi32(r2, r3);
    t[0] = _mm512_unpacklo_epi64(a, c);
    t[1] = _mm512_unpackhi_epi64(a, c);
    t[2] = _mm512_unpacklo_epi64(b, d);
    t[3] = _mm512_unpackhi_epi64(b, d);
}

/* Columns 4 * at .. of the 16 rows from row `half` on. */
VEC_INLINE void put(panel *p, size_t at, size_t half, __m512i v) {
    _mm512_store_si512(p->w + (at * ROWS + half) * 4, v);
}

/* The scale s of a block of 32, and in aux what takes the magic number away from a sum: -12582912 * s. That
 * is exact, as s has the 11 bits of a half float and the factor two, and so is fma(12582912 + n, s, it), but
 * for the one rounding that n * s has too. */
VEC_INLINE void put_scale(panel *p, size_t block, size_t half, __m512 s) {
    _mm512_store_ps(p->scale + block * ROWS + half, s);
    _mm512_store_ps((void *)(p->aux + block * ROWS + half), _mm512_mul_ps(s, _mm512_set1_ps(-12582912.0f)));
}

#endif

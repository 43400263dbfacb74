/* Rows of codebook types, in the buffers of avx2/unpack_iq.h, to columns: 16 rows at a time. Included by iq.c
 * of this folder and of amx. */
#ifndef LEAT_KERNELS_X86_AVX512VNNI_TURN_IQ_H
#define LEAT_KERNELS_X86_AVX512VNNI_TURN_IQ_H

#include "kernels/x86/avx2/unpack_iq.h"
#include "kernels/x86/avx512/vec.h"

enum { PANEL_ROWS = 32, VECTOR_ROWS = 16, STRIDE = sizeof(iq_row) };

/* 16 bytes of each of 16 rows, p those of the first: t[j] holds dword j of rows 0 .. 15. */
VEC_INLINE __m512i four_rows(const uint8_t *p) {
    __m512i v = _mm512_castsi128_si512(load128(p));
    v = _mm512_mask_broadcast_i32x4(v, 0x00F0, load128(p + 4 * STRIDE));
    v = _mm512_mask_broadcast_i32x4(v, 0x0F00, load128(p + 8 * STRIDE));
    return _mm512_mask_broadcast_i32x4(v, 0xF000, load128(p + 12 * STRIDE));
}
VEC_INLINE void load_dwords(const void *at, __m512i t[4]) {
    const uint8_t *p = at;
    __m512i r0 = four_rows(p), r1 = four_rows(p + STRIDE);
    __m512i r2 = four_rows(p + 2 * STRIDE), r3 = four_rows(p + 3 * STRIDE);
    __m512i a = _mm512_unpacklo_epi32(r0, r1), b = _mm512_unpackhi_epi32(r0, r1);
    __m512i c = _mm512_unpacklo_epi32(r2, r3), d = _mm512_unpackhi_epi32(r2, r3);
    t[0] = _mm512_unpacklo_epi64(a, c);
    t[1] = _mm512_unpackhi_epi64(a, c);
    t[2] = _mm512_unpacklo_epi64(b, d);
    t[3] = _mm512_unpackhi_epi64(b, d);
}

#endif

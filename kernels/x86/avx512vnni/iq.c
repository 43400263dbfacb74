/* matvec and unpack for the codebook types IQ1_*, IQ2_* and IQ3_*. Loading the entries of codebooks, one by
 * one, is what takes the time: three loads start in a cycle while they are no wider than 32 bytes, so this is
 * the code of avx2, with masks for signs and vpdpwssd. Only the turning of rows into panels, which are those
 * of unpack.c (the kinds of 7 bits are the same as those of 8 here), is done 64 bytes wide. Called through
 * the kernel table only. */
#include "kernels/x86/avx2/matvec_iq.h"
#include "kernels/x86/avx2/unpack_iq.h"
#include "avx512vnni.h"
#include "kernels/x86/avx512/vec.h"

enum { PANEL_ROWS = 32, VECTOR_ROWS = 16, STRIDE = sizeof(iq_row) };

/* 16 bytes at `at` of 16 rows: t[j] holds dword j of rows 0 .. 15. */
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

/* Of 16 rows, from row `half` of the panel on. Words come in pairs. */
VEC_INLINE void put_scales(const iq_row *of, const float *d, panel *p, size_t half, const iq_type t) {
    const __m512 unit = _mm512_mul_ps(_mm512_load_ps(d), _mm512_set1_ps(iq_code_unit(t)));
    __m512i x[4];
    for (size_t h = 0; h < (iq_fold(t) == 16 ? 2 : 1); h++) {
        load_dwords(of->scale + 8 * h, x);
#define PAIR(i)                                                                                              \
    {                                                                                                        \
        float *to = p->scale + (8 * h + 2 * (i)) * PANEL_ROWS + half;                                        \
        const __m512i even = _mm512_and_si512(x[i], _mm512_set1_epi32(0xffff));                              \
        _mm512_store_ps(to, _mm512_mul_ps(unit, _mm512_cvtepi32_ps(even)));                                  \
        _mm512_store_ps(to + PANEL_ROWS,                                                                     \
                        _mm512_mul_ps(unit, _mm512_cvtepi32_ps(_mm512_srli_epi32(x[i], 16))));               \
    }
        VEC_EACH4(PAIR)
#undef PAIR
    }
    if (iq_fold(t) == 16) return;
    load_dwords(of->min, x);
#define PAIR(i) _mm512_store_si512(p->aux + (i)*PANEL_ROWS + half, x[i]);
    VEC_EACH4(PAIR)
#undef PAIR
    _mm512_store_ps(p->min + half, _mm512_mul_ps(_mm512_load_ps(d), _mm512_set1_ps(iq_unit(t))));
}

VEC_INLINE void unpack_iq(const void *w, size_t row_bytes, size_t n_rows, size_t k0, panel *p,
                          const iq_type t) {
    _Alignas(64) iq_row of[PANEL_ROWS];
    _Alignas(64) float d[PANEL_ROWS];
    iq_expand(of, d, PANEL_ROWS, w, row_bytes, n_rows, k0, t, 128);
    for (size_t half = 0; half < PANEL_ROWS; half += VECTOR_ROWS) {
        for (size_t at = 0; at < 256; at += 16) {
            __m512i x[4];
            load_dwords(of[half].code + at, x);
#define PUT(j) _mm512_store_si512(p->w + ((at / 4 + (j)) * PANEL_ROWS + half) * 4, x[j]);
            VEC_EACH4(PUT)
#undef PUT
        }
        put_scales(of + half, d + half, p, half, t);
    }
}

IQ_TYPES(MATVEC_IQ, avx512vnni)
IQ_TYPES(UNPACK_IQ, avx512vnni)

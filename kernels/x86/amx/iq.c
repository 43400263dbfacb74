/* unpack for the codebook types IQ1_*, IQ2_* and IQ3_* into panels for tiles: a value is d * unit times an
 * integer scale times a small signed integer, and the product of these two is what the planes hold. Rows
 * become bytes and scales as they do for the other sets; products are taken and cut into digits behind the
 * turning, where a scale is one for all columns of a vector. Overridden together with tiles.c. */
#include "kernels/x86/avx2/unpack_iq.h"
#include "amx.h"
#include "kernels/x86/avx512/vec.h"
#include "kernels/x86/avx512vnni/turn_iq.h"

enum { PLANE = PANEL_K * PANEL_ROWS };

/* Columns 16 * f .. 16 * f + 15 of 16 rows; scale: that of each row, twice. The digits of a product are seven
 * bits and what is above them. */
VEC_INLINE void put_products(panel *p, size_t f, size_t half, const uint8_t *code, __m512i scale) {
    const __m512i low = _mm512_set1_epi16(0x7F), byte = _mm512_set1_epi16(0xFF);
    const __m512i upper = _mm512_set1_epi16((short)0xFF00), upper7 = _mm512_set1_epi16(0x7F00);
    __m512i q[4];
    load_dwords(code + 16 * f, q);
#define PUT(j)                                                                                               \
    {                                                                                                        \
        uint8_t *w = p->planes[0] + ((4 * f + (j)) * PANEL_ROWS + half) * 4;                                 \
        const __m512i even = _mm512_mullo_epi16(_mm512_srai_epi16(_mm512_slli_epi16(q[j], 8), 8), scale);    \
        const __m512i odd = _mm512_mullo_epi16(_mm512_srai_epi16(q[j], 8), scale);                           \
        _mm512_store_si512(w, vec_or_masked(_mm512_and_si512(_mm512_srai_epi16(even, 7), byte),              \
                                            _mm512_slli_epi16(odd, 1), upper));                              \
        _mm512_store_si512(w + PLANE,                                                                        \
                           vec_or_masked(_mm512_and_si512(even, low), _mm512_slli_epi16(odd, 8), upper7));   \
    }
    VEC_EACH4(PUT)
#undef PUT
}

VEC_INLINE void unpack_iq(const void *w, size_t row_bytes, size_t n_rows, size_t k0, panel *p,
                          const iq_type t) {
    const __m512i first = _mm512_set1_epi32(0xFFFF);
    const size_t parts = iq_fold(t) / 16; /* of 16 columns with one scale */
    _Alignas(64) iq_row of[PANEL_ROWS];
    _Alignas(64) float d[PANEL_ROWS];
    iq_expand(of, d, PANEL_ROWS, w, row_bytes, n_rows, k0, t, 0);
    for (size_t half = 0; half < PANEL_ROWS; half += VECTOR_ROWS) {
        const iq_row *rows_16 = of + half;
        for (size_t h = 0; h < 2 / parts; h++) {
            __m512i pair[4]; /* scales 8 * h + 2 * i and the next */
            load_dwords(rows_16->scale + 8 * h, pair);
            for (size_t i = 0; i < 4; i++) {
                const size_t f = (8 * h + 2 * i) * parts;
                const __m512i even = _mm512_and_si512(pair[i], first), odd = _mm512_srli_epi32(pair[i], 16);
                for (size_t part = 0; part < parts; part++) {
                    put_products(p, f + part, half, rows_16->code,
                                 _mm512_or_si512(even, _mm512_slli_epi32(even, 16)));
                    put_products(p, f + parts + part, half, rows_16->code,
                                 _mm512_or_si512(odd, _mm512_slli_epi32(odd, 16)));
                }
            }
        }
        _mm512_store_ps(p->scale + half, _mm512_mul_ps(_mm512_load_ps(d + half), _mm512_set1_ps(iq_unit(t))));
    }
}

IQ_TYPES(UNPACK_IQ, amx)

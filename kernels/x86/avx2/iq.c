/* matvec and unpack for the codebook types; matvec_iq.h and unpack_iq.h have most of it. IQ1_S and IQ3_S
 * become panels like Q4_K's, IQ1_M one like Q6_K's, and the others those of panel_mul_7.c. Called through the
 * kernel table only. */
#include "matvec_iq.h"
#include "unpack_iq.h"

INLINE void store_aux(panel *p, size_t at, int v, __m256i x) {
    _mm256_store_si256((__m256i *)(void *)(p->aux + at + 8 * v), x);
}

/* The layouts are drawn in avx2.h: a scale twice for each sub-block, then the minima or, where there are 16
 * scales, these again in pairs. */
INLINE void unpack_iq(const void *w, size_t row_bytes, size_t n_rows, size_t k0, panel *p, const iq_type t) {
    const __m256i low = _mm256_set1_epi32(0xffff);
    const bool by_16 = iq_fold(t) == 16;
    iq_rows s;
    iq_open(&s, w, row_bytes, n_rows, k0, p, t, t == IQ1_M ? 32 : 64);
    for (int v = 0; v < 2; v++) {
        for (int h = 0; h < (by_16 ? 2 : 1); h++) {
            __m256i pair[4];
            iq_scale_pairs(&s, v, h, pair);
            for (size_t i = 0; i < 4; i++) {
                const __m256i a = _mm256_and_si256(pair[i], low), b = _mm256_srli_epi32(pair[i], 16);
                const size_t at = ROWS * (8 * (size_t)h + 2 * i);
                store_aux(p, at, v, _mm256_or_si256(a, _mm256_slli_epi32(a, 16)));
                store_aux(p, at + ROWS, v, _mm256_or_si256(b, _mm256_slli_epi32(b, 16)));
                if (by_16) store_aux(p, AUX_SCALE_PAIRS + ROWS * (4 * (size_t)h + i), v, pair[i]);
            }
        }
        _mm256_store_ps(p->scale + 8 * v, iq_load_d(&s, v, iq_code_unit(t)));
        if (!by_16) {
            __m256i pair[4];
            iq_min_pairs(&s, v, pair);
            for (size_t i = 0; i < 4; i++) store_aux(p, AUX_MINS + ROWS * i, v, pair[i]);
            _mm256_store_ps(p->min + 8 * v, iq_load_d(&s, v, iq_unit(t)));
        }
    }
    p->aux[AUX_BITS] = 4;
}

IQ_TYPES(MATVEC_IQ, avx2)
IQ_TYPES(UNPACK_IQ, avx2)

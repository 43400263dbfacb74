/* matvec and unpack for the codebook types: those of avx2 with vpdpwssd, and panels as avxvnni.h draws them.
 * The kinds of 7 bits are the same as those of 8 here. Called through the kernel table only. */
#include "kernels/x86/avx2/matvec_iq.h"
#include "kernels/x86/avx2/unpack_iq.h"
#include "avxvnni.h"
#include "scale.h"

INLINE void unpack_iq(const void *w, size_t row_bytes, size_t n_rows, size_t k0, panel *p, const iq_type t) {
    const bool by_16 = iq_fold(t) == 16;
    iq_rows s;
    iq_open(&s, w, row_bytes, n_rows, k0, p, t, 128);
    for (int v = 0; v < 2; v++) {
        const __m256 d = iq_load_d(&s, v, iq_code_unit(t));
        __m256i pair[4];
        for (int h = 0; h < (by_16 ? 2 : 1); h++) {
            iq_scale_pairs(&s, v, h, pair);
            for (size_t i = 0; i < 4; i++) {
                const size_t fold = 8 * (size_t)h + 2 * i;
                const __m256i even = _mm256_and_si256(pair[i], _mm256_set1_epi32(0xffff)),
                              odd = _mm256_srli_epi32(pair[i], 16);
                store_scale(p, fold, v, _mm256_mul_ps(_mm256_cvtepi32_ps(even), d));
                store_scale(p, fold + 1, v, _mm256_mul_ps(_mm256_cvtepi32_ps(odd), d));
            }
        }
        if (by_16) continue;
        iq_min_pairs(&s, v, pair);
        for (size_t i = 0; i < 4; i++)
            _mm256_store_si256((__m256i *)(void *)(p->aux + AUX_MINS + ROWS * i + 8 * (size_t)v), pair[i]);
        _mm256_store_ps(p->min + 8 * v, iq_load_d(&s, v, iq_unit(t)));
    }
}

IQ_TYPES(MATVEC_IQ, avxvnni)
IQ_TYPES(UNPACK_IQ, avxvnni)

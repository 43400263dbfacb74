/* Matrix times one vector, k-quants: the reference. All sums of a block of 256 are integers and exact,
 * sub-block scales included (below 2^31: 256 * 127 * 128 * 32 at most); the blocks are added in float, in the
 * order of the columns. */
#include "c.h"

#include "codes.h"
#include "dot.h"

/* A block's share of a row: da * (d * sum over j of sc[j] * sum(q * qa) - dmin * sum over j of mn[j] *
 * sum(qa)). */
#define MATVEC_256_MIN(name)                                                                                 \
    void matvec_##name##_c(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act,        \
                           float *y) {                                                                       \
        for (size_t r = 0; r < n_rows; r++) {                                                                \
            const block_##name *b = (const block_##name *)((const char *)w + r * row_bytes);                 \
            float sum = 0;                                                                                   \
            for (size_t i = 0; i < k / 256; i++, b++) {                                                      \
                int8_t q[256];                                                                               \
                uint8_t sc[8], mn[8];                                                                        \
                codes_##name(b, q);                                                                          \
                scales_k(b->scales, sc, mn);                                                                 \
                int32_t dot = 0, min = 0;                                                                    \
                for (int j = 0; j < 8; j++) {                                                                \
                    dot += sc[j] * dot_i8(q + 32 * j, act_q(act) + 256 * i + 32 * j, 32);                    \
                    min += mn[j] * act_s32(act, k)[8 * i + j];                                               \
                }                                                                                            \
                sum +=                                                                                       \
                    act_d(act, k)[i] * (f16_to_f32(b->d) * (float)dot - f16_to_f32(b->dmin) * (float)min);   \
            }                                                                                                \
            y[r] = sum;                                                                                      \
        }                                                                                                    \
    }
MATVEC_256_MIN(q4_k)
MATVEC_256_MIN(q5_k)

void matvec_q6_k_c(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act, float *y) {
    for (size_t r = 0; r < n_rows; r++) {
        const block_q6_k *b = (const block_q6_k *)((const char *)w + r * row_bytes);
        float sum = 0;
        for (size_t i = 0; i < k / 256; i++, b++) {
            int8_t q[256];
            codes_q6_k(b, q);
            int32_t dot = 0;
            for (int j = 0; j < 16; j++)
                dot += b->scales[j] * dot_i8(q + 16 * j, act_q(act) + 256 * i + 16 * j, 16);
            sum += act_d(act, k)[i] * (f16_to_f32(b->d) * (float)dot);
        }
        y[r] = sum;
    }
}

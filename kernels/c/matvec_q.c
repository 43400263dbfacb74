/* Matrix times one vector, weights in blocks of 32 with one scale: the reference. The integer sum of a block
 * is exact; the blocks are added in float, in the order of the columns. */
#include "c.h"

#include "codes.h"
#include "dot.h"

/* A block's share of a row: sum over i of (d * q[i] + m) * (da * qa[i]) = d * da * sum(q * qa) + m * ds. */
#define MATVEC_32(name, m)                                                                                   \
    void matvec_##name##_c(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act,        \
                           float *y) {                                                                       \
        for (size_t r = 0; r < n_rows; r++) {                                                                \
            const block_##name *b = (const block_##name *)((const char *)w + r * row_bytes);                 \
            float sum = 0;                                                                                   \
            for (size_t i = 0; i < k / 32; i++, b++) {                                                       \
                int8_t q[32];                                                                                \
                codes_##name(b, q);                                                                          \
                float dot = (float)dot_i8(q, act_q(act) + 32 * i, 32);                                       \
                sum += f16_to_f32(b->d) * act_d(act, k)[i] * dot + (m)*act_ds(act, k)[i];                    \
            }                                                                                                \
            y[r] = sum;                                                                                      \
        }                                                                                                    \
    }
MATVEC_32(q4_0, 0.0f)
MATVEC_32(q4_1, f16_to_f32(b->m))
MATVEC_32(q5_0, 0.0f)
MATVEC_32(q5_1, f16_to_f32(b->m))
MATVEC_32(q8_0, 0.0f)

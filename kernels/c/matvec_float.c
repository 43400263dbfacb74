/* Matrix times one vector, weights of plain numbers: the reference. Products and sums in float, in the order
 * of the columns. */
#include "c.h"

#include "codes.h"

#define MATVEC_FLOAT(name, to_float)                                                                         \
    void matvec_##name##_c(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act,        \
                           float *y) {                                                                       \
        const float *x = act;                                                                                \
        for (size_t r = 0; r < n_rows; r++) {                                                                \
            const block_##name *b = (const block_##name *)((const char *)w + r * row_bytes);                 \
            float sum = 0;                                                                                   \
            for (size_t i = 0; i < k; i++) sum += to_float(b[i].v) * x[i];                                   \
            y[r] = sum;                                                                                      \
        }                                                                                                    \
    }
MATVEC_FLOAT(f32, )
MATVEC_FLOAT(f64, (float))
MATVEC_FLOAT(f16, f16_to_f32)
MATVEC_FLOAT(bf16, bf16_to_f32)

/* Panel times a few tokens: the reference. One micro-kernel per kind of panel; formats are not known here.
 * The integer sum of a fold (32 or 16 columns) is exact, folds are added in float in the order of the
 * columns. */
#include "c.h"

#include "panel_c.h"

/* Sum over one fold of w * q, for row r of the panel from column col on; q points at the same column. */
static int32_t dot_fold(const panel *p, size_t r, size_t col, const int8_t *q, size_t fold) {
    int32_t sum = 0;
    for (size_t i = 0; i < fold; i++) sum += p->w[((col + i) / 4 * ROWS + r) * 4 + (col + i) % 4] * q[i];
    return sum;
}

void panel_mul_f32_c(const panel *p, size_t kc, const void *act, size_t act_stride, size_t k, size_t k0,
                     size_t n_tokens, float *c) {
    (void)k;
    for (size_t t = 0; t < n_tokens; t++) {
        const float *x = (const float *)(const void *)((const char *)act + t * act_stride) + k0;
        for (size_t r = 0; r < ROWS; r++) {
            float sum = 0;
            for (size_t col = 0; col < kc; col++) sum += p->f[col * ROWS + r] * x[col];
            c[t * ROWS + r] += sum;
        }
    }
}

/* group: activations per scale; zero: the section that takes the panel's zero point back, 0 where it has
 * none; min: minus the fold's minimum times the (scaled) sum of its activations, 0 where there are none.
 * Within: row and token are fixed, f is the fold in the panel, at the same fold counted from column 0. */
#define PANEL_MUL(name, fold, group, zero, minus_min)                                                        \
    void panel_mul_##name##_c(const panel *p, size_t kc, const void *act, size_t act_stride, size_t k,       \
                              size_t k0, size_t n_tokens, float *c) {                                        \
        for (size_t t = 0; t < n_tokens; t++) {                                                              \
            const void *row = (const char *)act + t * act_stride;                                            \
            for (size_t r = 0; r < ROWS; r++) {                                                              \
                float sum = 0;                                                                               \
                for (size_t f = 0; f < kc / (fold); f++) {                                                   \
                    size_t col = k0 + f * (fold), at = col / (fold);                                         \
                    int32_t dot = dot_fold(p, r, f * (fold), act_q(row) + col, fold) + (zero);               \
                    float scale = p->scale[f * ROWS + r] * act_d(row, k)[at * (fold) / (group)];             \
                    sum += scale * (float)dot + (minus_min);                                                 \
                }                                                                                            \
                c[t * ROWS + r] += sum;                                                                      \
            }                                                                                                \
        }                                                                                                    \
    }
#define MINUS_MIN -p->min[f * ROWS + r] * act_ds(row, k)[at]
PANEL_MUL(q8_32, 32, 32, act_z32(row, k)[at], 0)
PANEL_MUL(q8_32_min, 32, 32, 0, MINUS_MIN)
PANEL_MUL(q8_256_min, 32, 256, 0, MINUS_MIN)
PANEL_MUL(q8_256_16, 16, 256, act_z16(row, k)[at], 0)
PANEL_MUL(q8_32_16, 16, 32, act_z16(row, k)[at], 0)
PANEL_MUL(q8_256_16_min, 16, 256, 0,
          -p->min[f * ROWS + r] * (act_d(row, k)[at / 16] * (float)act_s16(row, k)[at]))
PANEL_MUL(q7_256_min, 32, 256, 0, MINUS_MIN)
PANEL_MUL(q7_256_16, 16, 256, act_z16(row, k)[at], 0)

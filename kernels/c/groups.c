/* The reference of the types of groups.h, and of Q2_K, whose groups have a minimum too: decode, matvec and
 * unpack. The integer sum of a group is exact; groups are added in float, in the order of the columns. */
#include "groups.h"

#include "c.h"
#include "dot.h"
#include "panel_c.h"

#define DECODE(name, group)                                                                                  \
    void decode_##name##_c(const void *w, float *y, size_t n) {                                              \
        for (size_t g = 0; g < n / (group); g++, y += (group)) {                                             \
            int8_t q[group];                                                                                 \
            const float scale = group_##name(w, g, q);                                                       \
            for (int i = 0; i < (group); i++) y[i] = scale * (float)q[i];                                    \
        }                                                                                                    \
    }

/* span: columns that share a scale of the activations. */
#define MATVEC(name, group, span)                                                                            \
    void matvec_##name##_c(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act,        \
                           float *y) {                                                                       \
        for (size_t r = 0; r < n_rows; r++) {                                                                \
            float sum = 0;                                                                                   \
            for (size_t g = 0; g < k / (group); g++) {                                                       \
                int8_t q[group];                                                                             \
                const float scale = group_##name((const char *)w + r * row_bytes, g, q);                     \
                const int32_t dot = dot_i8(q, act_q(act) + g * (group), group);                              \
                sum += act_d(act, k)[g * (group) / (span)] * (scale * (float)dot);                           \
            }                                                                                                \
            y[r] = sum;                                                                                      \
        }                                                                                                    \
    }

/* The zero point is 128 in kinds that have one; a kind with minima takes codes from 0 on, whose offset is the
 * minimum. */
#define UNPACK(name, group, zero_point)                                                                      \
    void unpack_##name##_c(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) { \
        for (size_t r = 0; r < n_rows; r++)                                                                  \
            for (size_t g = 0; g < kc / (group); g++) {                                                      \
                int8_t q[group];                                                                             \
                const float scale = group_##name((const char *)w + r * row_bytes, k0 / (group) + g, q);      \
                put_codes(p, r, (group)*g, q, group, zero_point);                                            \
                p->scale[g * ROWS + r] = scale;                                                              \
                p->min[g * ROWS + r] = (zero_point) == 128 ? 0 : scale * (float)(zero_point);                \
            }                                                                                                \
        clear_missing_rows(p, n_rows, kc, group);                                                            \
    }

#define TYPE(name, group, span, zero_point)                                                                  \
    DECODE(name, group)                                                                                      \
    MATVEC(name, group, span)                                                                                \
    UNPACK(name, group, zero_point)
TYPE(iq4_nl, GROUP_IQ4_NL, 32, 128)
TYPE(iq4_xs, GROUP_IQ4_XS, 32, 128)
TYPE(mxfp4, GROUP_MXFP4, 32, 128)
TYPE(nvfp4, GROUP_NVFP4, 32, 128)
TYPE(q1_0, GROUP_Q1_0, 32, 128)
TYPE(q2_0, GROUP_Q2_0, 32, 128)
TYPE(q3_k, GROUP_Q3_K, 256, 128)
TYPE(tq1_0, GROUP_TQ1_0, 256, 1)
TYPE(tq2_0, GROUP_TQ2_0, 256, 1)

/* ---- Q2_K: d * (scales[j] & 15) * q - dmin * (scales[j] >> 4), sub-block j of 16 values ---- */

static void codes_q2_k(const block_q2_k *b, int8_t *q) {
    for (size_t g = 0; g < 8; g++) codes_two_bits(b->qs, g, q + 32 * g);
}

void decode_q2_k_c(const void *w, float *y, size_t n) {
    const block_q2_k *b = w;
    for (size_t block = 0; block < n / 256; block++, b++, y += 256) {
        int8_t q[256];
        codes_q2_k(b, q);
        for (int i = 0; i < 256; i++) {
            float scale = f16_to_f32(b->d) * (float)(b->scales[i / 16] & 15);
            float min = f16_to_f32(b->dmin) * (float)(b->scales[i / 16] >> 4);
            y[i] = scale * (float)q[i] - min;
        }
    }
}

void matvec_q2_k_c(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act, float *y) {
    for (size_t r = 0; r < n_rows; r++) {
        const block_q2_k *b = (const block_q2_k *)((const char *)w + r * row_bytes);
        float sum = 0;
        for (size_t i = 0; i < k / 256; i++, b++) {
            int8_t q[256];
            int32_t dot = 0, min = 0;
            codes_q2_k(b, q);
            for (int j = 0; j < 16; j++) {
                dot += (b->scales[j] & 15) * dot_i8(q + 16 * j, act_q(act) + 256 * i + 16 * j, 16);
                min += (b->scales[j] >> 4) * act_s16(act, k)[16 * i + j];
            }
            sum += act_d(act, k)[i] * (f16_to_f32(b->d) * (float)dot - f16_to_f32(b->dmin) * (float)min);
        }
        y[r] = sum;
    }
}

void unpack_q2_k_c(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    for (size_t r = 0; r < n_rows; r++) {
        const block_q2_k *b = (const block_q2_k *)((const char *)w + r * row_bytes) + k0 / 256;
        int8_t q[256];
        codes_q2_k(b, q);
        put_codes(p, r, 0, q, kc, 0);
        for (size_t j = 0; j < kc / 16; j++) {
            p->scale[j * ROWS + r] = f16_to_f32(b->d) * (float)(b->scales[j] & 15);
            p->min[j * ROWS + r] = f16_to_f32(b->dmin) * (float)(b->scales[j] >> 4);
        }
    }
    clear_missing_rows(p, n_rows, kc, 16);
}

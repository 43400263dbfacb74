/* Blocks to float32: the reference, bit-exact with the definition of each format. The order of the float
 * operations is part of that definition: first d * scale, then times the code, then the minimum; each rounded
 * by itself. */
#include "c.h"

#include "codes.h"

void decode_f32_c(const void *w, float *y, size_t n) {
    memcpy(y, w, n * sizeof *y);
}

void decode_f16_c(const void *w, float *y, size_t n) {
    const block_f16 *b = w;
    for (size_t i = 0; i < n; i++) y[i] = f16_to_f32(b[i].v);
}

void decode_bf16_c(const void *w, float *y, size_t n) {
    const block_bf16 *b = w;
    for (size_t i = 0; i < n; i++) y[i] = bf16_to_f32(b[i].v);
}

/* Plain numbers that ggml stores but never as weights of a product (F64 aside): rounded once. */
#define DECODE_PLAIN(name)                                                                                   \
    void decode_##name##_c(const void *w, float *y, size_t n) {                                              \
        const block_##name *b = w;                                                                           \
        for (size_t i = 0; i < n; i++) y[i] = (float)b[i].v;                                                 \
    }
DECODE_PLAIN(f64)
DECODE_PLAIN(i8)
DECODE_PLAIN(i16)
DECODE_PLAIN(i32)
DECODE_PLAIN(i64)

/* d * q */
#define DECODE_32(name)                                                                                      \
    void decode_##name##_c(const void *w, float *y, size_t n) {                                              \
        const block_##name *b = w;                                                                           \
        for (size_t block = 0; block < n / 32; block++, b++, y += 32) {                                      \
            int8_t q[32];                                                                                    \
            codes_##name(b, q);                                                                              \
            float d = f16_to_f32(b->d);                                                                      \
            for (int i = 0; i < 32; i++) y[i] = d * (float)q[i];                                             \
        }                                                                                                    \
    }
DECODE_32(q4_0)
DECODE_32(q5_0)
DECODE_32(q8_0)

/* d * q + m */
#define DECODE_32_MIN(name)                                                                                  \
    void decode_##name##_c(const void *w, float *y, size_t n) {                                              \
        const block_##name *b = w;                                                                           \
        for (size_t block = 0; block < n / 32; block++, b++, y += 32) {                                      \
            int8_t q[32];                                                                                    \
            codes_##name(b, q);                                                                              \
            float d = f16_to_f32(b->d), m = f16_to_f32(b->m);                                                \
            for (int i = 0; i < 32; i++) y[i] = d * (float)q[i] + m;                                         \
        }                                                                                                    \
    }
DECODE_32_MIN(q4_1)
DECODE_32_MIN(q5_1)

/* d * sc[j] * q - dmin * mn[j] */
#define DECODE_256_MIN(name)                                                                                 \
    void decode_##name##_c(const void *w, float *y, size_t n) {                                              \
        const block_##name *b = w;                                                                           \
        for (size_t block = 0; block < n / 256; block++, b++, y += 256) {                                    \
            int8_t q[256];                                                                                   \
            uint8_t sc[8], mn[8];                                                                            \
            codes_##name(b, q);                                                                              \
            scales_k(b->scales, sc, mn);                                                                     \
            for (int i = 0; i < 256; i++) {                                                                  \
                float scale = f16_to_f32(b->d) * (float)sc[i / 32];                                          \
                float min = f16_to_f32(b->dmin) * (float)mn[i / 32];                                         \
                y[i] = scale * (float)q[i] - min;                                                            \
            }                                                                                                \
        }                                                                                                    \
    }
DECODE_256_MIN(q4_k)
DECODE_256_MIN(q5_k)

void decode_q6_k_c(const void *w, float *y, size_t n) {
    const block_q6_k *b = w;
    for (size_t block = 0; block < n / 256; block++, b++, y += 256) {
        int8_t q[256];
        codes_q6_k(b, q);
        for (int i = 0; i < 256; i++) y[i] = f16_to_f32(b->d) * (float)b->scales[i / 16] * (float)q[i];
    }
}

/* Weight rows to panels: the reference, in the usual layout of kernels/panel.h. Rows that are not there get
 * scale, minimum and float weights of zero, so that whatever else the panel holds for them contributes
 * nothing. */
#include "c.h"

#include "codes.h"
#include "panel_c.h"

static void clear_missing_rows_f32(panel *p, size_t n_rows, size_t kc) {
    for (size_t col = 0; col < kc; col++)
        for (size_t r = n_rows; r < ROWS; r++) p->f[col * ROWS + r] = 0;
}

#define UNPACK_FLOAT(name, to_float)                                                                         \
    void unpack_##name##_c(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) { \
        for (size_t r = 0; r < n_rows; r++) {                                                                \
            const block_##name *b = (const block_##name *)((const char *)w + r * row_bytes) + k0;            \
            for (size_t col = 0; col < kc; col++) p->f[col * ROWS + r] = to_float(b[col].v);                 \
        }                                                                                                    \
        clear_missing_rows_f32(p, n_rows, kc);                                                               \
    }
UNPACK_FLOAT(f32, )
UNPACK_FLOAT(f64, (float))
UNPACK_FLOAT(f16, f16_to_f32)
UNPACK_FLOAT(bf16, bf16_to_f32)

/* The panel subtracts its minimum, Q4_1 and Q5_1 add theirs. */
#define UNPACK_32(name, zero_point, minimum)                                                                 \
    void unpack_##name##_c(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) { \
        for (size_t r = 0; r < n_rows; r++) {                                                                \
            const block_##name *b = (const block_##name *)((const char *)w + r * row_bytes) + k0 / 32;       \
            for (size_t i = 0; i < kc / 32; i++, b++) {                                                      \
                int8_t q[32];                                                                                \
                codes_##name(b, q);                                                                          \
                put_codes(p, r, 32 * i, q, 32, zero_point);                                                  \
                p->scale[i * ROWS + r] = f16_to_f32(b->d);                                                   \
                p->min[i * ROWS + r] = minimum;                                                              \
            }                                                                                                \
        }                                                                                                    \
        clear_missing_rows(p, n_rows, kc, 32);                                                               \
    }
UNPACK_32(q4_0, 128, 0)
UNPACK_32(q4_1, 0, -f16_to_f32(b->m))
UNPACK_32(q5_0, 128, 0)
UNPACK_32(q5_1, 0, -f16_to_f32(b->m))
UNPACK_32(q8_0, 128, 0)

#define UNPACK_256_MIN(name)                                                                                 \
    void unpack_##name##_c(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) { \
        for (size_t r = 0; r < n_rows; r++) {                                                                \
            const block_##name *b = (const block_##name *)((const char *)w + r * row_bytes) + k0 / 256;      \
            int8_t q[256];                                                                                   \
            uint8_t sc[8], mn[8];                                                                            \
            codes_##name(b, q);                                                                              \
            scales_k(b->scales, sc, mn);                                                                     \
            put_codes(p, r, 0, q, kc, 0);                                                                    \
            for (size_t j = 0; j < kc / 32; j++) {                                                           \
                p->scale[j * ROWS + r] = f16_to_f32(b->d) * (float)sc[j];                                    \
                p->min[j * ROWS + r] = f16_to_f32(b->dmin) * (float)mn[j];                                   \
            }                                                                                                \
        }                                                                                                    \
        clear_missing_rows(p, n_rows, kc, 32);                                                               \
    }
UNPACK_256_MIN(q4_k)
UNPACK_256_MIN(q5_k)

void unpack_q6_k_c(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    for (size_t r = 0; r < n_rows; r++) {
        const block_q6_k *b = (const block_q6_k *)((const char *)w + r * row_bytes) + k0 / 256;
        int8_t q[256];
        codes_q6_k(b, q);
        put_codes(p, r, 0, q, kc, 128);
        for (size_t j = 0; j < kc / 16; j++) p->scale[j * ROWS + r] = f16_to_f32(b->d) * (float)b->scales[j];
    }
    clear_missing_rows(p, n_rows, kc, 16);
}

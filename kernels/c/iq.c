/* The codebook types IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS and IQ3_S: the whole reference of them.
 * They differ in how a block's bits are laid out (blocks.h) and which codebook they index (iq_tables.h); what
 * comes out is the same for all: small signed integers q, and an odd scale for every 16 of them,
 *
 *     value = d * unit * scale[j] * q        |q|: IQ1 9 (8 * (-1, 0, 1) +- 1), IQ2 43, IQ3_XXS 31, IQ3_S 15
 *
 * with unit a power of two. That product has at most 22 bits, so every float operation of decode is exact, in
 * whatever order. */
#include "c.h"

#include "dot.h"
#include "kernels/blocks.h"
#include "kernels/iq_tables.h"
#include "panel_c.h"

typedef struct iq_block {
    int8_t q[256];
    uint8_t scale[16];
    float d; /* times unit */
} iq_block;

/* ---- the bits of each type ---- */

/* A scale of four bits s is (s + 1/2) of the format's d: 2 * s + 1 of half of it. */
static uint8_t odd(int s) {
    return (uint8_t)(2 * s + 1);
}

static void odd_nibbles(const uint8_t *bytes, int n, uint8_t *scale, int repeat) {
    for (int i = 0; i < 2 * n * repeat; i++) {
        int j = i / repeat;
        scale[i] = odd(bytes[j / 2] >> j % 2 * 4 & 15);
    }
}

/* n magnitudes, negative where a bit of `signs` is set. */
static void put_signed(int8_t *q, uint64_t magnitudes, int n, unsigned signs) {
    for (int i = 0; i < n; i++) {
        int v = (int)(magnitudes >> 8 * i & 255);
        q[i] = (int8_t)(signs >> i & 1 ? -v : v);
    }
}

/* Seven sign bits are kept of eight: the eighth makes the number of minus signs even. */
static unsigned all_signs(unsigned code) {
    unsigned odd_bits = code ^ code >> 4;
    odd_bits ^= odd_bits >> 2;
    odd_bits ^= odd_bits >> 1;
    return code | (odd_bits & 1) << 7;
}

static uint32_t little_32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void read_iq2_xxs(const block_iq2_xxs *b, iq_block *out) {
    const uint8_t *p = (const uint8_t *)b + offsetof(block_iq2_xxs, qs);
    for (int ib = 0; ib < 8; ib++, p += 8) {
        uint32_t signs = little_32(p + 4);
        out->scale[2 * ib] = out->scale[2 * ib + 1] = odd((int)(signs >> 28));
        for (int l = 0; l < 4; l++)
            put_signed(out->q + 32 * ib + 8 * l, iq2_xxs_grid[p[l]], 8, all_signs(signs >> 7 * l & 127));
    }
    out->d = f16_to_f32(b->d) * 0.125f;
}

static void read_iq2_xs(const block_iq2_xs *b, iq_block *out) {
    for (int i = 0; i < 32; i++)
        put_signed(out->q + 8 * i, iq2_xs_grid[b->qs[i] & 511], 8, all_signs(b->qs[i] >> 9));
    odd_nibbles(b->scales, 8, out->scale, 1);
    out->d = f16_to_f32(b->d) * 0.125f;
}

static void read_iq2_s(const block_iq2_s *b, iq_block *out) {
    for (int i = 0; i < 32; i++) {
        int index = b->qs[i] | (b->qh[i / 4] >> i % 4 * 2 & 3) << 8;
        put_signed(out->q + 8 * i, iq2_s_grid[index], 8, b->qs[32 + i]);
    }
    odd_nibbles(b->scales, 8, out->scale, 1);
    out->d = f16_to_f32(b->d) * 0.125f;
}

static void read_iq3_xxs(const block_iq3_xxs *b, iq_block *out) {
    for (int ib = 0; ib < 8; ib++) {
        uint32_t signs = little_32(b->qs + 64 + 4 * ib);
        out->scale[2 * ib] = out->scale[2 * ib + 1] = odd((int)(signs >> 28));
        for (int l = 0; l < 8; l++)
            put_signed(out->q + 32 * ib + 4 * l, iq3_xxs_grid[b->qs[8 * ib + l]], 4,
                       all_signs(signs >> l / 2 * 7 & 127) >> l % 2 * 4);
    }
    out->d = f16_to_f32(b->d) * 0.5f;
}

static void read_iq3_s(const block_iq3_s *b, iq_block *out) {
    for (int i = 0; i < 64; i++) {
        int index = b->qs[i] | (b->qh[i / 8] >> i % 8 & 1) << 8;
        put_signed(out->q + 4 * i, iq3_s_grid[index], 4, (unsigned)b->signs[i / 2] >> i % 2 * 4);
    }
    odd_nibbles(b->scales, 4, out->scale, 2);
    out->d = f16_to_f32(b->d);
}

/* Eight values of IQ1, times 8. */
static void put_iq1(int8_t *q, int index, int delta) {
    uint32_t entry = iq1_grid[index];
    for (int i = 0; i < 8; i++) {
        int g = (int)(entry >> (i % 4 * 8 + i / 4 * 4) & 15) - 1;
        q[i] = (int8_t)(8 * g + delta);
    }
}

static void read_iq1_s(const block_iq1_s *b, iq_block *out) {
    for (int i = 0; i < 32; i++) {
        int high = b->qh[i / 4];
        put_iq1(out->q + 8 * i, b->qs[i] | (high >> i % 4 * 3 & 7) << 8, high & 0x8000 ? -1 : 1);
    }
    for (int j = 0; j < 16; j++) out->scale[j] = odd(b->qh[j / 2] >> 12 & 7);
    out->d = f16_to_f32(b->d) * 0.125f;
}

static void read_iq1_m(const block_iq1_m *b, iq_block *out) {
    int d = 0;
    for (int i = 0; i < 32; i++) {
        int high = b->qh[i / 2] >> i % 2 * 4;
        put_iq1(out->q + 8 * i, b->qs[i] | (high & 7) << 8, high & 8 ? -1 : 1);
    }
    for (int j = 0; j < 16; j++) {
        int word = b->scales[j / 4 * 2] | b->scales[j / 4 * 2 + 1] << 8;
        out->scale[j] = odd(word >> j % 4 * 3 & 7);
        if (j % 4 == 0) d |= word >> 12 << j;
    }
    out->d = f16_to_f32((uint16_t)d) * 0.125f;
}

/* ---- what is the same for all ---- */

static void put_decoded(const iq_block *b, float *y) {
    for (int i = 0; i < 256; i++) y[i] = b->d * (float)b->scale[i / 16] * (float)b->q[i];
}

/* A block's share of a row: exact but for the last steps, 256 * 43 * 127 * 31 < 2^26. */
static float share(const iq_block *b, const int8_t *qa, float da) {
    int32_t dot = 0;
    for (int j = 0; j < 16; j++) dot += b->scale[j] * dot_i8(b->q + 16 * j, qa + 16 * j, 16);
    return da * (b->d * (float)dot);
}

/* One superblock into row r of a panel, or zeros where b is NULL. fold: columns that a scale of the panel is
 * for; zero: the zero point, which panels with minima have as a minimum of zero * scale. */
static void put_panel(panel *p, size_t r, const iq_block *b, size_t fold, int zero) {
    for (size_t i = 0; i < 256; i++) p->w[(i / 4 * ROWS + r) * 4 + i % 4] = b ? (uint8_t)(b->q[i] + zero) : 0;
    for (size_t f = 0; f < 256 / fold; f++) {
        p->scale[f * ROWS + r] = b ? b->d * (float)b->scale[f * fold / 16] : 0;
        p->min[f * ROWS + r] = b ? b->d * (float)(zero * b->scale[f * fold / 16]) : 0;
    }
}

#define IQ(name, fold, zero)                                                                                 \
    void decode_##name##_c(const void *w, float *y, size_t n) {                                              \
        const block_##name *b = w;                                                                           \
        for (size_t i = 0; i < n / 256; i++) {                                                               \
            iq_block block;                                                                                  \
            read_##name(b + i, &block);                                                                      \
            put_decoded(&block, y + 256 * i);                                                                \
        }                                                                                                    \
    }                                                                                                        \
    void matvec_##name##_c(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act,        \
                           float *y) {                                                                       \
        for (size_t r = 0; r < n_rows; r++) {                                                                \
            const block_##name *b = (const block_##name *)((const char *)w + r * row_bytes);                 \
            float sum = 0;                                                                                   \
            for (size_t i = 0; i < k / 256; i++) {                                                           \
                iq_block block;                                                                              \
                read_##name(b + i, &block);                                                                  \
                sum += share(&block, act_q(act) + 256 * i, act_d(act, k)[i]);                                \
            }                                                                                                \
            y[r] = sum;                                                                                      \
        }                                                                                                    \
    }                                                                                                        \
    void unpack_##name##_c(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) { \
        (void)kc; /* always a whole superblock */                                                            \
        for (size_t r = 0; r < ROWS; r++) {                                                                  \
            iq_block block;                                                                                  \
            if (r < n_rows)                                                                                  \
                read_##name((const block_##name *)((const char *)w + r * row_bytes) + k0 / 256, &block);     \
            put_panel(p, r, r < n_rows ? &block : NULL, fold, zero);                                         \
        }                                                                                                    \
    }
IQ(iq1_s, 32, 9)
IQ(iq1_m, 16, 128)
IQ(iq2_xxs, 32, 43)
IQ(iq2_xs, 16, 128)
IQ(iq2_s, 16, 128)
IQ(iq3_xxs, 32, 31)
IQ(iq3_s, 32, 15)

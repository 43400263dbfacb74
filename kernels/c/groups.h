/* Types whose values come in groups with one scale each: v = scale * q with q an int8, zero point already
 * taken off. One function per type unpacks group g of a row, whatever its blocks look like, so that the bit
 * layout of a type is written down once for decode, matvec and unpack of the reference. GROUP_<NAME> is the
 * group's size: the largest of 16 or 32 that has a single scale.
 *
 * The scale is made by one rounding at most, as the formats define it: d times an integer, or a small float.
 */
#ifndef LEAT_KERNELS_C_GROUPS_H
#define LEAT_KERNELS_C_GROUPS_H

#include "codes.h"

#include "kernels/kernels.h"

enum {
    GROUP_IQ4_NL = 32,
    GROUP_IQ4_XS = 32,
    GROUP_MXFP4 = 32,
    GROUP_NVFP4 = 16,
    GROUP_Q1_0 = 32,
    GROUP_Q2_0 = 32,
    GROUP_Q3_K = 16,
    GROUP_TQ1_0 = 32,
    GROUP_TQ2_0 = 32
};

static inline float group_iq4_nl(const void *row, size_t g, int8_t *q) {
    const block_iq4_nl *b = (const block_iq4_nl *)row + g;
    codes_iq4_nl(b, q);
    return f16_to_f32(b->d);
}

static inline float group_iq4_xs(const void *row, size_t g, int8_t *q) {
    const block_iq4_xs *b = (const block_iq4_xs *)row + g / 8;
    const size_t j = g % 8;
    const int scale = (b->scales_l[j / 2] >> (j % 2 * 4) & 15) | (b->scales_h >> (2 * j) & 3) << 4;
    codes_nibbles(b->qs + 16 * j, q);
    for (int i = 0; i < 32; i++) q[i] = iq4_nl_codebook[q[i]];
    return f16_to_f32(b->d) * (float)(scale - 32);
}

/* 2^(e - 128): half of what the exponent says, because q is twice the value. The two lowest are denormal. */
static inline float mxfp4_scale(uint8_t e) {
    const uint32_t bits = e < 2 ? (uint32_t)0x00200000 << e : (uint32_t)(e - 1) << 23;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline float group_mxfp4(const void *row, size_t g, int8_t *q) {
    const block_mxfp4 *b = (const block_mxfp4 *)row + g;
    codes_nibbles(b->qs, q);
    for (int i = 0; i < 32; i++) q[i] = fp4_codebook[q[i]];
    return mxfp4_scale(b->e);
}

/* Half of an unsigned E4M3: as a half float it has the same mantissa and, but for 2^8, the same exponent, be
 * it denormal or not. The top bit is not looked at, but 0x7f alone stands for 0 (ggml's rule for a NaN). */
static inline float nvfp4_scale(uint8_t d) {
    return d == 0x7f ? 0 : f16_to_f32((uint16_t)((d & 0x7f) << 7)) * 128;
}

static inline float group_nvfp4(const void *row, size_t g, int8_t *q) {
    const block_nvfp4 *b = (const block_nvfp4 *)row + g / 4;
    const uint8_t *qs = b->qs + 8 * (g % 4);
    for (int i = 0; i < 8; i++) {
        q[i] = fp4_codebook[qs[i] & 15];
        q[i + 8] = fp4_codebook[qs[i] >> 4];
    }
    return nvfp4_scale(b->d[g % 4]);
}

static inline float group_q1_0(const void *row, size_t g, int8_t *q) {
    const block_q1_0 *b = (const block_q1_0 *)row + g / 4;
    for (size_t i = 0; i < 32; i++) q[i] = b->qs[g % 4 * 4 + i / 8] >> i % 8 & 1 ? 1 : -1;
    return f16_to_f32(b->d);
}

static inline float group_q2_0(const void *row, size_t g, int8_t *q) {
    const block_q2_0 *b = (const block_q2_0 *)row + g / 2;
    for (size_t i = 0; i < 32; i++) q[i] = (int8_t)((b->qs[g % 2 * 8 + i / 4] >> i % 4 * 2 & 3) - 1);
    return f16_to_f32(b->d);
}

/* Values 32 * (g % 8) .. of a superblock of two-bit codes: bits 2j, 2j + 1 of the 32 bytes of its half. */
static inline void codes_two_bits(const uint8_t *qs, size_t g, int8_t *q) {
    for (size_t i = 0; i < 32; i++) q[i] = (int8_t)(qs[g / 4 * 32 + i] >> g % 4 * 2 & 3);
}

static inline float group_tq2_0(const void *row, size_t g, int8_t *q) {
    const block_tq2_0 *b = (const block_tq2_0 *)row + g / 8;
    codes_two_bits(b->qs, g % 8, q);
    codes_shift(q, 32, 1);
    return f16_to_f32(b->d);
}

/* Digit n of a byte, the highest first: the byte is a fraction of 256, so times 3^n its whole part is gone in
 * the overflow, and times 3 once more the digit stands above the byte. */
static inline int8_t ternary_digit(uint8_t byte, size_t n) {
    static const uint8_t power[5] = {1, 3, 9, 27, 81};
    return (int8_t)((uint8_t)(byte * power[n]) * 3 >> 8);
}

static inline float group_tq1_0(const void *row, size_t g, int8_t *q) {
    const block_tq1_0 *b = (const block_tq1_0 *)row + g / 8;
    for (size_t i = 0; i < 32; i++) {
        const size_t v = g % 8 * 32 + i;
        q[i] = v < 160   ? ternary_digit(b->qs[v % 32], v / 32)
               : v < 240 ? ternary_digit(b->qs[32 + v % 16], (v - 160) / 16)
                         : ternary_digit(b->qh[v % 4], (v - 240) / 4);
    }
    codes_shift(q, 32, 1);
    return f16_to_f32(b->d);
}

/* The six-bit scale of sub-block j; the drawing is at block_q3_k. */
static inline int q3_k_scale(const block_q3_k *b, size_t j) {
    const int low = b->scales[j % 8] >> j / 8 * 4 & 15, high = b->scales[8 + j % 4] >> j / 4 * 2 & 3;
    return (low | high << 4) - 32;
}

static inline float group_q3_k(const void *row, size_t g, int8_t *q) {
    const block_q3_k *b = (const block_q3_k *)row + g / 16;
    const size_t j = g % 16, at = j % 2 * 16, quarter = j / 2 % 4, half = j / 8;
    for (size_t i = at; i < at + 16; i++, q++) {
        *q = (int8_t)(b->qs[32 * half + i] >> quarter * 2 & 3);
        if (!(b->hmask[i] >> (4 * half + quarter) & 1)) *q = (int8_t)(*q - 4);
    }
    return f16_to_f32(b->d) * (float)q3_k_scale(b, j);
}

#endif

/* The integers inside the blocks: one function per type that unpacks a block's codes into int8, zero point
 * already taken off, in the order of the values. Decode, matvec and unpack of the C reference all start from
 * these, so that the bit layout of a type is written down once. What a value is, in terms of its code q and
 * the block's scales:
 *
 *     Q4_0 Q5_0 Q8_0   d * q, IQ4_NL too Q4_K Q5_K   d * sc[j] * q - dmin * mn[j], sub-block j of 32 values
 *     Q4_1 Q5_1        d * q + m         Q6_K        d * scales[j] * q,            sub-block j of 16 values
 */
#ifndef LEAT_KERNELS_C_CODES_H
#define LEAT_KERNELS_C_CODES_H

#include <stdint.h>
#include <string.h>

#include "kernels/blocks.h"
#include "kernels/codebooks.h"

/* 16 bytes hold 32 codes of four bits: the low halves are the first 16. */
static inline void codes_nibbles(const uint8_t *qs, int8_t *q) {
    for (int i = 0; i < 16; i++) {
        q[i] = (int8_t)(qs[i] & 15);
        q[i + 16] = (int8_t)(qs[i] >> 4);
    }
}

/* Adds the fifth bits: bit i of the 32-bit little-endian number qh belongs to code i. */
static inline void codes_fifth_bits(const uint8_t *qh, int8_t *q) {
    for (int i = 0; i < 32; i++) q[i] = (int8_t)(q[i] | (qh[i / 8] >> (i % 8) & 1) << 4);
}

static inline void codes_shift(int8_t *q, int n, int zero_point) {
    for (int i = 0; i < n; i++) q[i] = (int8_t)(q[i] - zero_point);
}

static inline void codes_q4_0(const block_q4_0 *b, int8_t *q) {
    codes_nibbles(b->qs, q);
    codes_shift(q, 32, 8);
}

static inline void codes_q4_1(const block_q4_1 *b, int8_t *q) {
    codes_nibbles(b->qs, q);
}

static inline void codes_q5_0(const block_q5_0 *b, int8_t *q) {
    codes_nibbles(b->qs, q);
    codes_fifth_bits(b->qh, q);
    codes_shift(q, 32, 16);
}

static inline void codes_q5_1(const block_q5_1 *b, int8_t *q) {
    codes_nibbles(b->qs, q);
    codes_fifth_bits(b->qh, q);
}

/* Not the codes but the integers of the codebook that they stand for. */
static inline void codes_iq4_nl(const block_iq4_nl *b, int8_t *q) {
    codes_nibbles(b->qs, q);
    for (int i = 0; i < 32; i++) q[i] = iq4_nl_codebook[q[i]];
}

static inline void codes_q8_0(const block_q8_0 *b, int8_t *q) {
    memcpy(q, b->qs, 32);
}

/* Four times 32 bytes, each 64 codes: the low halves of the bytes are the first 32. */
static inline void codes_q4_k(const block_q4_k *b, int8_t *q) {
    for (int i = 0; i < 128; i++) {
        int8_t *pair = q + i / 32 * 64 + i % 32;
        pair[0] = (int8_t)(b->qs[i] & 15);
        pair[32] = (int8_t)(b->qs[i] >> 4);
    }
}

static inline void codes_q5_k(const block_q5_k *b, int8_t *q) {
    for (int i = 0; i < 128; i++) {
        int8_t *pair = q + i / 32 * 64 + i % 32;
        int high = b->qh[i % 32] >> (i / 32 * 2);
        pair[0] = (int8_t)((b->qs[i] & 15) | (high & 1) << 4);
        pair[32] = (int8_t)(b->qs[i] >> 4 | (high >> 1 & 1) << 4);
    }
}

static inline void codes_q6_k(const block_q6_k *b, int8_t *q) {
    for (int half = 0; half < 2; half++) {
        const uint8_t *ql = b->ql + 64 * half, *qh = b->qh + 32 * half;
        int8_t *v = q + 128 * half;
        for (int i = 0; i < 32; i++) {
            v[i] = (int8_t)((ql[i] & 15) | (qh[i] & 3) << 4);
            v[i + 32] = (int8_t)((ql[i + 32] & 15) | (qh[i] >> 2 & 3) << 4);
            v[i + 64] = (int8_t)(ql[i] >> 4 | (qh[i] >> 4 & 3) << 4);
            v[i + 96] = (int8_t)(ql[i + 32] >> 4 | (qh[i] >> 6 & 3) << 4);
        }
    }
    codes_shift(q, 256, 32);
}

/* The eight 6-bit scales and minima of Q4_K and Q5_K; the drawing is at block_q4_k. */
static inline void scales_k(const uint8_t *bytes, uint8_t *sc, uint8_t *mn) {
    for (int j = 0; j < 4; j++) {
        sc[j] = bytes[j] & 63;
        mn[j] = bytes[j + 4] & 63;
        sc[j + 4] = (uint8_t)((bytes[j + 8] & 15) | bytes[j] >> 6 << 4);
        mn[j + 4] = (uint8_t)(bytes[j + 8] >> 4 | bytes[j + 4] >> 6 << 4);
    }
}

#endif

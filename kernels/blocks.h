/* The blocks of every tensor type in formats.def, byte for byte as they lie in a GGUF file (little-endian).
 * Read by the format table and by kernels, which take a weight pointer to be an array of these. Structs are
 * packed: a block may start at any address, so never take the address of a field wider than a byte.
 *
 * Drawings show value numbers: "low 4: v[i]" is the low four bits of a byte. f16 is an IEEE half as bits. d
 * is the scale. */
#ifndef LEAT_KERNELS_BLOCKS_H
#define LEAT_KERNELS_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#define PACKED __attribute__((packed))
#define BLOCK_SIZE(type, bytes)                                                                              \
    _Static_assert(sizeof(type) == (bytes), #type " is " #bytes " bytes in the file")
#define BLOCK_AT(type, field, at)                                                                            \
    _Static_assert(offsetof(type, field) == (at), #type "." #field " is at byte " #at)

typedef uint16_t f16_bits; /* IEEE half precision */

/* ---- plain values ---- */
typedef struct PACKED block_f32 {
    float v;
} block_f32;
typedef struct PACKED block_f64 {
    double v;
} block_f64;
typedef struct PACKED block_f16 {
    f16_bits v;
} block_f16;
typedef struct PACKED block_bf16 {
    uint16_t v;
} block_bf16; /* the high half of a float */
typedef struct PACKED block_i8 {
    int8_t v;
} block_i8;
typedef struct PACKED block_i16 {
    int16_t v;
} block_i16;
typedef struct PACKED block_i32 {
    int32_t v;
} block_i32;
typedef struct PACKED block_i64 {
    int64_t v;
} block_i64;
BLOCK_SIZE(block_f32, 4);
BLOCK_SIZE(block_f64, 8);
BLOCK_SIZE(block_f16, 2);
BLOCK_SIZE(block_bf16, 2);
BLOCK_SIZE(block_i8, 1);
BLOCK_SIZE(block_i16, 2);
BLOCK_SIZE(block_i32, 4);
BLOCK_SIZE(block_i64, 8);

/* ---- 32 values, one scale ---- */

/* Q4_0: v = d * (q - 8), Q4_1: v = d * q + m.
 *
 *     qs[i]       low 4: v[i]        high 4: v[i + 16]           i = 0..15
 */
typedef struct PACKED block_q4_0 {
    f16_bits d;
    uint8_t qs[16];
} block_q4_0;
typedef struct PACKED block_q4_1 {
    f16_bits d, m;
    uint8_t qs[16];
} block_q4_1;
BLOCK_SIZE(block_q4_0, 18);
BLOCK_SIZE(block_q4_1, 20);
BLOCK_AT(block_q4_0, qs, 2);
BLOCK_AT(block_q4_1, m, 2);
BLOCK_AT(block_q4_1, qs, 4);

/* Q5_0: v = d * (q - 16), Q5_1: v = d * q + m. qs holds the low four bits of q as in Q4_0; qh is a 32-bit
 * number whose bit i is the fifth bit of v[i]. */
typedef struct PACKED block_q5_0 {
    f16_bits d;
    uint8_t qh[4];
    uint8_t qs[16];
} block_q5_0;
typedef struct PACKED block_q5_1 {
    f16_bits d, m;
    uint8_t qh[4];
    uint8_t qs[16];
} block_q5_1;
BLOCK_SIZE(block_q5_0, 22);
BLOCK_SIZE(block_q5_1, 24);
BLOCK_AT(block_q5_0, qh, 2);
BLOCK_AT(block_q5_0, qs, 6);
BLOCK_AT(block_q5_1, m, 2);
BLOCK_AT(block_q5_1, qh, 4);
BLOCK_AT(block_q5_1, qs, 8);

/* Q8_0: v = d * q. Q8_1 also keeps s = d * sum(q); it is a type for activations and found in no model. */
typedef struct PACKED block_q8_0 {
    f16_bits d;
    int8_t qs[32];
} block_q8_0;
typedef struct PACKED block_q8_1 {
    f16_bits d, s;
    int8_t qs[32];
} block_q8_1;
BLOCK_SIZE(block_q8_0, 34);
BLOCK_SIZE(block_q8_1, 36);
BLOCK_AT(block_q8_0, qs, 2);
BLOCK_AT(block_q8_1, s, 2);
BLOCK_AT(block_q8_1, qs, 4);

/* IQ4_NL: v = d * codebook[q], q laid out as in Q4_0. */
typedef struct PACKED block_iq4_nl {
    f16_bits d;
    uint8_t qs[16];
} block_iq4_nl;
BLOCK_SIZE(block_iq4_nl, 18);
BLOCK_AT(block_iq4_nl, qs, 2);

/* MXFP4: v = 2^(e - 127) * fp4(q) (E2M1: sign, two bits of exponent, one of mantissa), q laid out as in Q4_0.
 */
typedef struct PACKED block_mxfp4 {
    uint8_t e;
    uint8_t qs[16];
} block_mxfp4;
BLOCK_SIZE(block_mxfp4, 17);
BLOCK_AT(block_mxfp4, qs, 1);

/* ---- 64 and 128 values ---- */

/* NVFP4, 64 values: four groups of 16, group g scaled by d[g] (unsigned E4M3, 0x7f
 * for 0). Byte qs[8 * g + i]: low 4:
 * v[16 * g + i], high 4: v[16 * g + i + 8]. */
typedef struct PACKED block_nvfp4 {
    uint8_t d[4];
    uint8_t qs[32];
} block_nvfp4;
BLOCK_SIZE(block_nvfp4, 36);
BLOCK_AT(block_nvfp4, qs, 4);

/* Q2_0, 64 values: four to a byte, two bits each, lowest first: v = d * (q - 1). Q1_0, 128 values: eight to a
 * byte, lowest bit first: v = d where it is set, -d where not. */
typedef struct PACKED block_q2_0 {
    f16_bits d;
    uint8_t qs[16];
} block_q2_0;
typedef struct PACKED block_q1_0 {
    f16_bits d;
    uint8_t qs[16];
} block_q1_0;
BLOCK_SIZE(block_q2_0, 18);
BLOCK_SIZE(block_q1_0, 18);
BLOCK_AT(block_q2_0, qs, 2);
BLOCK_AT(block_q1_0, qs, 2);

/* ---- 256 values, k-quants: a scale of sub-block scales ---- */

/* Q2_K: 16 sub-blocks of 16. v = d * (scales & 15) * q - dmin * (scales >> 4), one scales byte for each
 * sub-block. qs: the two halves of 128 values take 32 bytes each; bits 2j, 2j+1 of byte i of a half: v[32 * j
 * + i]. */
typedef struct PACKED block_q2_k {
    uint8_t scales[16];
    uint8_t qs[64];
    f16_bits d, dmin;
} block_q2_k;
BLOCK_SIZE(block_q2_k, 84);
BLOCK_AT(block_q2_k, qs, 16);
BLOCK_AT(block_q2_k, d, 80);
BLOCK_AT(block_q2_k, dmin, 82);

/* Q3_K: 16 sub-blocks of 16. v = d * (scale - 32) * (q - 4); the low two bits of q as in Q2_K, the third in
 * hmask: bit 4 * half + j of byte i. scales: 16 numbers of 6 bits:
 *
 *     byte j, j = 0..7       low 4: scale j 3..0    high 4: scale j + 8, 3..0
 *     byte j + 8, j = 0..3   bits 1..0: scale j 5..4   3..2: j + 4   5..4: j + 8   7..6: j + 12
 */
typedef struct PACKED block_q3_k {
    uint8_t hmask[32];
    uint8_t qs[64];
    uint8_t scales[12];
    f16_bits d;
} block_q3_k;
BLOCK_SIZE(block_q3_k, 110);
BLOCK_AT(block_q3_k, qs, 32);
BLOCK_AT(block_q3_k, scales, 96);
BLOCK_AT(block_q3_k, d, 108);

/* Q4_K: 8 sub-blocks of 32. v = d * sc[j] * q - dmin * mn[j].
 *
 *     qs: 32 bytes for each pair of sub-blocks p; byte i: low 4: v[64 * p + i], high 4: v[64 * p + 32 + i]
 *
 *     scales, bits:  7..6           5..0
 *       byte j       sc[j+4] 5..4   sc[j]              j = 0..3
 *       byte j+4     mn[j+4] 5..4   mn[j]
 *       byte j+8     7..4: mn[j+4] 3..0   3..0: sc[j+4] 3..0
 */
typedef struct PACKED block_q4_k {
    f16_bits d, dmin;
    uint8_t scales[12];
    uint8_t qs[128];
} block_q4_k;
BLOCK_SIZE(block_q4_k, 144);
BLOCK_AT(block_q4_k, dmin, 2);
BLOCK_AT(block_q4_k, scales, 4);
BLOCK_AT(block_q4_k, qs, 16);

/* Q5_K: Q4_K with a fifth bit: bit j of byte qh[i] belongs to value i of sub-block j. */
typedef struct PACKED block_q5_k {
    f16_bits d, dmin;
    uint8_t scales[12];
    uint8_t qh[32];
    uint8_t qs[128];
} block_q5_k;
BLOCK_SIZE(block_q5_k, 176);
BLOCK_AT(block_q5_k, dmin, 2);
BLOCK_AT(block_q5_k, scales, 4);
BLOCK_AT(block_q5_k, qh, 16);
BLOCK_AT(block_q5_k, qs, 48);

/* Q6_K: 16 sub-blocks of 16. v = d * scales[j] * (q - 32). Two halves of 128 values, each with 64 bytes of ql
 * and 32 of qh (bits 5..4 of q), i = 0..31:
 *
 *     ql[i]       low 4: v[i]        high 4: v[i + 64]
 *     ql[i + 32]  low 4: v[i + 32]   high 4: v[i + 96]
 *     qh[i]       bits 1..0: v[i]  3..2: v[i + 32]  5..4: v[i + 64]  7..6: v[i + 96]
 */
typedef struct PACKED block_q6_k {
    uint8_t ql[128];
    uint8_t qh[64];
    int8_t scales[16];
    f16_bits d;
} block_q6_k;
BLOCK_SIZE(block_q6_k, 210);
BLOCK_AT(block_q6_k, qh, 128);
BLOCK_AT(block_q6_k, scales, 192);
BLOCK_AT(block_q6_k, d, 208);

/* Q8_K: v = d * q, bsums[j] the sum of 16 q; for activations, found in no model. */
typedef struct PACKED block_q8_k {
    float d;
    int8_t qs[256];
    int16_t bsums[16];
} block_q8_k;
BLOCK_SIZE(block_q8_k, 292);
BLOCK_AT(block_q8_k, qs, 4);
BLOCK_AT(block_q8_k, bsums, 260);

/* ---- 256 values, ternary ---- */

/* TQ1_0: v = d * (q - 1), q in 0..2; qs bytes hold five base-3 digits, qh bytes four. TQ2_0: two bits each,
 * as in Q2_K.
 *
 *     TQ1_0: digits 0..4 of qs[i]: v[i], v[i + 32] .. v[i + 128]                      i = 0..31
 *                           qs[i + 32]: v[i + 160], v[i + 176] .. v[i + 224]          i = 0..15
 *            digits 0..3 of qh[i]: v[i + 240], v[i + 244] .. v[i + 252]               i = 0..3
 *
 * Digits are counted from the highest; the number they make was scaled from 3^5 to 2^8 and rounded up, so
 * that digit n is the whole part of 3 * (byte * 3^n mod 256) / 256. */
typedef struct PACKED block_tq1_0 {
    uint8_t qs[48];
    uint8_t qh[4];
    f16_bits d;
} block_tq1_0;
typedef struct PACKED block_tq2_0 {
    uint8_t qs[64];
    f16_bits d;
} block_tq2_0;
BLOCK_SIZE(block_tq1_0, 54);
BLOCK_SIZE(block_tq2_0, 66);
BLOCK_AT(block_tq1_0, qh, 48);
BLOCK_AT(block_tq1_0, d, 52);
BLOCK_AT(block_tq2_0, d, 64);

/* ---- 256 values, codebooks: indices into a grid of 8 (or 4) magnitudes, signs apart ---- */

/* IQ2_XXS: per 32 values four u16: four 8-bit indices, then four 7-bit sign codes and a 4-bit scale. */
typedef struct PACKED block_iq2_xxs {
    f16_bits d;
    uint16_t qs[32];
} block_iq2_xxs;
/* IQ2_XS: per 8 values one u16: 9-bit index, 7-bit sign code; scales: 4 bits per 16 values. */
typedef struct PACKED block_iq2_xs {
    f16_bits d;
    uint16_t qs[32];
    uint8_t scales[8];
} block_iq2_xs;
/* IQ2_S: qs[0..31] low 8 bits of the indices, qs[32..63] sign bytes, qh: 2 high bits per index. */
typedef struct PACKED block_iq2_s {
    f16_bits d;
    uint8_t qs[64];
    uint8_t qh[8];
    uint8_t scales[8];
} block_iq2_s;
/* IQ3_XXS: qs[0..63] indices of 4 values each, qs[64..95] per 32 values four 7-bit sign codes and a 4-bit
 * scale. */
typedef struct PACKED block_iq3_xxs {
    f16_bits d;
    uint8_t qs[96];
} block_iq3_xxs;
/* IQ3_S: low 8 bits of the index in qs, the ninth in qh, sign bytes, 4-bit scales per 32 values. */
typedef struct PACKED block_iq3_s {
    f16_bits d;
    uint8_t qs[64];
    uint8_t qh[8];
    uint8_t signs[32];
    uint8_t scales[4];
} block_iq3_s;
/* IQ1_S: index = qs + 3 bits of qh; qh also has a 3-bit scale and the sign of delta per 32 values. */
typedef struct PACKED block_iq1_s {
    f16_bits d;
    uint8_t qs[32];
    uint16_t qh[8];
} block_iq1_s;
/* IQ1_M: qh: 3 index bits and a delta sign per 8 values; the four 16-bit words of scales carry 3-bit scales
 * per 16 values in their low 12 bits and a quarter of the half-precision d each in the high 4. */
typedef struct PACKED block_iq1_m {
    uint8_t qs[32];
    uint8_t qh[16];
    uint8_t scales[8];
} block_iq1_m;
/* IQ4_XS: 8 sub-blocks of 32. v = d * (scale - 32) * codebook[q], the codebook that of IQ4_NL, q in 16 bytes
 * per sub-block as in Q4_0. Scale j has its low four bits in those 4j.. of scales_l (a 32-bit number), its
 * high two in bits 2j.. of scales_h. */
typedef struct PACKED block_iq4_xs {
    f16_bits d;
    uint16_t scales_h;
    uint8_t scales_l[4];
    uint8_t qs[128];
} block_iq4_xs;
BLOCK_SIZE(block_iq2_xxs, 66);
BLOCK_SIZE(block_iq2_xs, 74);
BLOCK_SIZE(block_iq2_s, 82);
BLOCK_SIZE(block_iq3_xxs, 98);
BLOCK_SIZE(block_iq3_s, 110);
BLOCK_SIZE(block_iq1_s, 50);
BLOCK_SIZE(block_iq1_m, 56);
BLOCK_SIZE(block_iq4_xs, 136);
BLOCK_AT(block_iq2_xxs, qs, 2);
BLOCK_AT(block_iq2_xs, scales, 66);
BLOCK_AT(block_iq2_s, qh, 66);
BLOCK_AT(block_iq2_s, scales, 74);
BLOCK_AT(block_iq3_xxs, qs, 2);
BLOCK_AT(block_iq3_s, qh, 66);
BLOCK_AT(block_iq3_s, signs, 74);
BLOCK_AT(block_iq3_s, scales, 106);
BLOCK_AT(block_iq1_s, qh, 34);
BLOCK_AT(block_iq1_m, qh, 32);
BLOCK_AT(block_iq1_m, scales, 48);
BLOCK_AT(block_iq4_xs, scales_h, 2);
BLOCK_AT(block_iq4_xs, scales_l, 4);
BLOCK_AT(block_iq4_xs, qs, 8);

#endif

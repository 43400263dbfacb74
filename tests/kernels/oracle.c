/* See oracle.h. Blocks are read as bytes at offsets, not through blocks.h, so that a wrong struct shows. */
#include "oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/iq_tables.h"
#include "support.h"

long double oracle_half(uint16_t h) {
    int exponent = h >> 10 & 31, mantissa = h & 1023;
    long double v = exponent ? ldexpl(1024 + mantissa, exponent - 25) : ldexpl(mantissa, -24);
    return h & 0x8000 ? -v : v;
}

static long double half_at(const uint8_t *b, size_t at) {
    return oracle_half((uint16_t)(b[at] | b[at + 1] << 8));
}

/* scale * (code - zero) */
static exact product(long double scale, int code, int zero) {
    long double v = scale * (code - zero);
    return (exact){v, fabsl(v), fabsl(scale) * (abs(code) + zero)};
}

static exact with_offset(exact e, long double offset) {
    return (exact){e.value + offset, e.magnitude + fabsl(offset), e.lanes + fabsl(offset)};
}

static exact plain(long double v) {
    return product(v, 1, 0);
}

/* Bits of value i of 32 whose low halves of bytes come first. */
static int nibble(const uint8_t *qs, size_t i) {
    return qs[i % 16] >> (i < 16 ? 0 : 4) & 15;
}

/* Six-bit number j (0..7 scales, 8..15 minima) of the 12 bytes of Q4_K and Q5_K. */
static int six_bits(const uint8_t *s, size_t j) {
    size_t n = j % 8, minimum = j / 8;
    if (n < 4) return s[n + 4 * minimum] % 64;
    return (s[n + 4] >> (4 * minimum)) % 16 + s[n - 4 + 4 * minimum] / 64 * 16;
}

static exact weight_k(const uint8_t *b, const uint8_t *qs, const uint8_t *fifth, size_t i) {
    size_t j = i / 32;
    int code = qs[i / 64 * 32 + i % 32] >> (j % 2 * 4) & 15;
    if (fifth) code += (fifth[i % 32] >> j & 1) * 16;
    return with_offset(product(half_at(b, 0) * six_bits(b + 4, j), code, 0),
                       -half_at(b, 2) * six_bits(b + 4, j + 8));
}

static exact weight_q6_k(const uint8_t *b, size_t i) {
    size_t half = i / 128, quarter = i / 32 % 4, l = i % 32;
    int low = b[64 * half + quarter % 2 * 32 + l] >> (quarter / 2 * 4) & 15;
    int high = b[128 + 32 * half + l] >> (2 * quarter) & 3;
    return product(half_at(b, 208) * (int8_t)b[192 + i / 16], low + 16 * high, 32);
}

/* A 16- or 32-bit number at b, and some of its bits. */
static uint32_t bits_at(const uint8_t *b, int bytes, size_t first, int n) {
    uint32_t v = 0;
    for (int i = bytes; i-- > 0;) v = v << 8 | b[i];
    return v >> first & ((1u << n) - 1);
}

/* Whether value i of 8 is negative, by its bit of a seven-bit code, or, the last one, by their parity. */
static bool negative(uint32_t code, size_t i) {
    int n = 0;
    if (i < 7) return code >> i & 1;
    for (size_t j = 0; j < 7; j++) n += code >> j & 1;
    return n % 2;
}

/* scale * q for the codebook types, q = code - zero. Where panels have the zero point as a minimum it is a
 * term of its own. */
static exact codebook(long double scale, int q, bool minus, int zero, bool minimum) {
    exact e = product(scale, (minus ? -q : q) + zero, zero);
    if (minimum) e.magnitude = e.lanes;
    return e;
}

static exact weight_iq2(uint32_t format, const uint8_t *b, size_t i) {
    size_t part = i / 32, group = i / 8, of_part = group % 4;
    uint32_t index, signs, scale;
    uint64_t entry;
    if (format == FORMAT_IQ2_XXS) {
        const uint8_t *p = b + 2 + 8 * part;
        entry = iq2_xxs_grid[p[of_part]];
        signs = bits_at(p + 4, 4, 7 * of_part, 7);
        scale = bits_at(p + 4, 4, 28, 4);
    } else if (format == FORMAT_IQ2_XS) {
        entry = iq2_xs_grid[bits_at(b + 2 + 2 * group, 2, 0, 9)];
        signs = bits_at(b + 2 + 2 * group, 2, 9, 7);
        scale = bits_at(b + 66 + part, 1, i / 16 % 2 * 4, 4);
    } else {
        index = b[2 + group] + 256 * bits_at(b + 66 + part, 1, 2 * of_part, 2);
        entry = iq2_s_grid[index];
        signs = b[34 + group];
        scale = bits_at(b + 74 + part, 1, i / 16 % 2 * 4, 4);
    }
    bool minus = format == FORMAT_IQ2_S ? signs >> i % 8 & 1 : negative(signs, i % 8);
    return codebook(half_at(b, 0) * (scale + 0.5L) / 4, (int)(entry >> 8 * (i % 8) & 255), minus, 43,
                    format == FORMAT_IQ2_XXS);
}

static exact weight_iq3(uint32_t format, const uint8_t *b, size_t i) {
    size_t part = i / 32, group = i / 4;
    if (format == FORMAT_IQ3_XXS) {
        const uint8_t *p = b + 66 + 4 * part;
        int half = (int)(iq3_xxs_grid[b[2 + group]] >> 8 * (i % 4) & 255);
        return codebook(half_at(b, 0) * (bits_at(p, 4, 28, 4) + 0.5L), half,
                        negative(bits_at(p, 4, i / 8 % 4 * 7, 7), i % 8), 31, true);
    }
    uint32_t index = b[2 + group] + 256 * bits_at(b + 66 + part, 1, group % 8, 1);
    return codebook(half_at(b, 0) * (1 + 2 * bits_at(b + 106 + i / 64, 1, part % 2 * 4, 4)),
                    (int)(iq3_s_grid[index] >> 8 * (i % 4) & 255), b[74 + i / 8] >> i % 8 & 1, 15, true);
}

/* Eighths: 8 * (-1, 0 or 1) and one more or less. */
static exact weight_iq1(uint32_t format, const uint8_t *b, size_t i) {
    size_t part = i / 32, group = i / 8;
    uint32_t index, scale;
    bool less;
    long double d;
    if (format == FORMAT_IQ1_S) {
        const uint8_t *high = b + 34 + 2 * part;
        d = half_at(b, 0);
        index = b[2 + group] + 256 * bits_at(high, 2, group % 4 * 3, 3);
        scale = bits_at(high, 2, 12, 3);
        less = bits_at(high, 2, 15, 1);
    } else {
        uint32_t half = 0;
        for (size_t j = 0; j < 4; j++) half |= bits_at(b + 48 + 2 * j, 2, 12, 4) << 4 * j;
        d = oracle_half((uint16_t)half);
        index = b[group] + 256 * bits_at(b + 32 + group / 2, 1, group % 2 * 4, 3);
        less = bits_at(b + 32 + group / 2, 1, group % 2 * 4 + 3, 1);
        scale = bits_at(b + 48 + i / 64 * 2, 2, i / 16 % 4 * 3, 3);
    }
    int g = (int)(iq1_grid[index] >> (i % 4 * 8 + i % 8 / 4 * 4) & 15) - 1;
    return codebook(d * (2 * scale + 1) / 8, 8 * g + (less ? -1 : 1), false, 9, format == FORMAT_IQ1_S);
}

/* Five bits: nibbles at qs, the fifth of value i in bit i from qh on. */
static int five_bits(const uint8_t *qh, const uint8_t *qs, size_t i) {
    return nibble(qs, i) + (qh[i / 8] >> i % 8 & 1) * 16;
}

/* Two bits of value i of 256: as in Q2_K and TQ2_0. */
static int two_bits(const uint8_t *qs, size_t i) {
    return qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
}

static exact weight_q2_k(const uint8_t *b, size_t i) {
    return with_offset(product(half_at(b, 80) * (b[i / 16] % 16), two_bits(b + 16, i), 0),
                       -half_at(b, 82) * (b[i / 16] / 16));
}

static exact weight_q3_k(const uint8_t *b, size_t i) {
    const size_t j = i / 16;
    const int low = j < 8 ? b[96 + j] % 16 : b[96 + j - 8] / 16, high = b[104 + j % 4] >> (2 * (j / 4)) & 3;
    const int top = b[i % 32] >> (i / 32) & 1;
    return product(half_at(b, 108) * (low + 16 * high - 32), two_bits(b + 32, i) + 4 * top, 4);
}

/* d * (q - 1), but kernels may take d to be a minimum. */
static exact ternary(long double d, int q) {
    return with_offset(product(d, q, 0), -d);
}

/* Digit i / stride of a byte, in base 3 and from the highest on, of a number that was scaled from 3^5 to 256.
 */
static int digit(const uint8_t *qs, size_t stride, size_t i) {
    unsigned x = qs[i % stride];
    for (size_t n = i / stride; n > 0; n--) x = x * 3 % 256;
    return (int)(x * 3 / 256);
}

static exact weight_tq1_0(const uint8_t *b, size_t i) {
    const long double d = half_at(b, 52);
    if (i < 160) return ternary(d, digit(b, 32, i));
    return ternary(d, i < 240 ? digit(b + 32, 16, i - 160) : digit(b + 48, 4, i - 240));
}

static exact iq4(long double d, int code) {
    static const int value[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    return product(d, value[code] + 128, 128);
}

static exact weight_iq4_xs(const uint8_t *b, size_t i) {
    const size_t j = i / 32;
    const int low = b[4 + j / 2] >> (j % 2 * 4) & 15, high = (b[2] | b[3] << 8) >> (2 * j) & 3;
    return iq4(half_at(b, 0) * (low + 16 * high - 32), nibble(b + 8 + 16 * j, i % 32));
}

/* E2M1 */
static exact fp4(long double d, int code, int zero) {
    const int exponent = code >> 1 & 3, mantissa = code & 1;
    const int twice = exponent ? (2 + mantissa) << (exponent - 1) : mantissa;
    return product(d / 2, (code & 8 ? -twice : twice) + zero, zero);
}

/* E4M3 without a sign; all ones is nothing, with the unused eighth bit it is a number again. */
static exact weight_nvfp4(const uint8_t *b, size_t i) {
    const size_t g = i / 16;
    const int exponent = b[g] >> 3 & 15, mantissa = b[g] & 7;
    const long double d = exponent ? ldexpl(8 + mantissa, exponent - 10) : ldexpl(mantissa, -9);
    return fp4(b[g] == 0x7f ? 0 : d, b[4 + 8 * g + i % 8] >> (i % 16 < 8 ? 0 : 4) & 15, 128);
}

exact oracle_weight(uint32_t format, const void *row, size_t n) {
    const format_info *f = format_get(format);
    const uint8_t *b = (const uint8_t *)row + n / f->block_elems * f->block_bytes;
    size_t i = n % f->block_elems;
    float v = 0;
    double wide;
    switch (format) {
    case FORMAT_F32: memcpy(&v, b, 4); return plain(v);
    case FORMAT_F16: return plain(half_at(b, 0));
    case FORMAT_BF16: memcpy((char *)&v + 2, b, 2); return plain(v); /* the high half, little-endian */
    case FORMAT_Q4_0: return product(half_at(b, 0), nibble(b + 2, i), 8);
    case FORMAT_Q4_1: return with_offset(product(half_at(b, 0), nibble(b + 4, i), 0), half_at(b, 2));
    case FORMAT_Q5_0: return product(half_at(b, 0), five_bits(b + 2, b + 6, i), 16);
    case FORMAT_Q5_1:
        return with_offset(product(half_at(b, 0), five_bits(b + 4, b + 8, i), 0), half_at(b, 2));
    case FORMAT_Q8_0: return product(half_at(b, 0), (int8_t)b[2 + i] + 128, 128);
    case FORMAT_Q4_K: return weight_k(b, b + 16, NULL, i);
    case FORMAT_Q5_K: return weight_k(b, b + 48, b + 16, i);
    case FORMAT_Q6_K: return weight_q6_k(b, i);
    case FORMAT_F64: memcpy(&wide, b, 8); return plain((float)wide); /* is rounded first */
    case FORMAT_Q2_K: return weight_q2_k(b, i);
    case FORMAT_Q3_K: return weight_q3_k(b, i);
    case FORMAT_IQ4_NL: return iq4(half_at(b, 0), nibble(b + 2, i));
    case FORMAT_IQ4_XS: return weight_iq4_xs(b, i);
    case FORMAT_MXFP4: return fp4(ldexpl(1, b[0] - 127), nibble(b + 1, i), 128);
    case FORMAT_NVFP4: return weight_nvfp4(b, i);
    case FORMAT_Q1_0: return product(half_at(b, 0), 2 * (b[2 + i / 8] >> i % 8 & 1), 1);
    case FORMAT_Q2_0: return product(half_at(b, 0), b[2 + i / 4] >> i % 4 * 2 & 3, 1);
    case FORMAT_TQ1_0: return weight_tq1_0(b, i);
    case FORMAT_TQ2_0: return ternary(half_at(b, 64), two_bits(b, i));
    case FORMAT_IQ1_S:
    case FORMAT_IQ1_M: return weight_iq1(format, b, i);
    case FORMAT_IQ2_XXS:
    case FORMAT_IQ2_XS:
    case FORMAT_IQ2_S: return weight_iq2(format, b, i);
    case FORMAT_IQ3_XXS:
    case FORMAT_IQ3_S: return weight_iq3(format, b, i);
    default: return plain(NAN); /* fails every comparison: a type in kernels.def needs its case here */
    }
}

long double oracle_activation(act_kind kind, const void *row, size_t k, size_t i) {
    if (kind == ACT_F32) return ((const float *)row)[i];
    if (kind == ACT_BF16) return bf16_to_f32(((const uint16_t *)row)[i]);
    return (long double)act_d(row, k)[i / (kind == ACT_Q8_32 ? 32 : 256)] * act_q(row)[i];
}

void oracle_row(uint32_t format, const void *row, size_t k, exact *w) {
    for (size_t i = 0; i < k; i++) w[i] = oracle_weight(format, row, i);
}

exact oracle_dot(const exact *w, act_kind kind, const void *act, size_t k) {
    exact sum = {0, 0, 0};
    for (size_t i = 0; i < k; i++) {
        long double a = oracle_activation(kind, act, k, i);
        sum.value += w[i].value * a;
        sum.magnitude += w[i].magnitude * fabsl(a);
        sum.lanes += w[i].lanes * fabsl(a);
    }
    return sum;
}

/* Floats: a product is rounded, then passes at most k additions within chunks and k / PANEL_K + 1 between
 * chunks.
 *
 * Quantized: integer sums are exact, be it of a fold (16, 32 or 256 columns) or of a lane of it. Either of a
 * fold's two terms, scale and minimum, is rounded at most 8 times: integer to float, d * sc, times the
 * activation's d, times the integer, once more in ds for the minimum, and in up to three steps that join
 * lanes or the two terms. Then they pass at most 2 k / 16 additions, and k / PANEL_K + 1 between chunks.
 *
 * A product of two scales may fall among the denormals and lose 2^-150, which an integer below 2^28
 * (256 * 127 * 128 * 32, Q6_K) then multiplies: 2^-122 per term. Products of floats lose 2^-150 each.
 *
 * Tiles of bfloat16: a weight is rounded to 8 bits, after some steps in float, and added like floats; what is
 * denormal counts as zero, 2^-126 per product (and per activation, which the caller knows). */
double oracle_dot_bound(act_kind kind, size_t k, double magnitude) {
    size_t chunks = k / PANEL_K + 1;
    if (kind == ACT_F32) return rounding_bound(1 + k + chunks, magnitude) + (double)k * 0x1p-150;
    if (kind == ACT_BF16)
        return 0x1.01p-8 * magnitude + rounding_bound(k + chunks, magnitude) + (double)k * 0x1p-126;
    size_t terms = 2 * (k / 16);
    return rounding_bound(8 + terms + chunks, magnitude) + (double)terms * 0x1p-122;
}

/* Quantizers of the types with a scale and one or two bits (or a ternary digit) for each value: Q1_0 (-d, d),
 * TQ1_0 and TQ2_0 (-d, 0, d), Q2_0 (-d, 0, d, 2 * d). See quant.h. */
#include "quant.h"

/* The best scale for a block of n values with codes low .. high, of either sign. */
INLINE vf search_low(const vf *x, const vf *w, int n, float low, float high, const float *ends, int tries,
                     int rounds) {
    fit best = fit_none();
    vf at_one = inverse(largest(x, n));
    for (int i = 0; i < tries; i++) fit_even(&best, x, w, n, at_one * splat(ends[i]), low, high);
    for (int i = 0; i < rounds; i++) fit_even(&best, x, w, n, inverse(best.d), low, high);
    return best.d;
}

/* -d or d: whatever d is, the sign of x is best, and then d is the mean of |x|. */
void QUANT_ROW(q1_0)(const float *x, const float *importance, size_t n, void *out) {
    block_q1_0 *b = out;
    vf v[128], w[128];
    vi packed[4], bits;
    for (walk k = walk_start(x, importance, n, 128); k.blocks;) {
        size_t lanes = walk_next(&k, 128, v, importance ? w : NULL);
        vf sum = splat(0), weights = splat(importance ? 0 : 128);
        for (int i = 0; i < 128; i++) {
            sum += importance ? w[i] * vabs(v[i]) : vabs(v[i]);
            if (importance) weights += w[i];
        }
        (void)half(ratio(sum, weights), &bits);
        for (int i = 0; i < 4; i++) {
            packed[i] = splat_i(0);
            for (int j = 0; j < 32; j++)
                packed[i] |= (((vi)v[32 * i + j] >> 31 & splat_i(1)) ^ splat_i(1)) << j;
        }
        put_halves(b, sizeof *b, 0, lanes, bits);
        put_dwords(b, sizeof *b, offsetof(block_q1_0, qs), lanes, packed, 4);
        b += lanes;
    }
}

void QUANT_ROW(q2_0)(const float *x, const float *importance, size_t n, void *out) {
    static const float ends[] = {2, -2, 1.6f, -1.6f, 2.4f, -2.4f, 1.3f, -1.3f, 1, -1, 3, -3};
    block_q2_0 *b = out;
    vf v[64], w[64], d;
    vi packed[4], bits;
    for (walk k = walk_start(x, importance, n, 64); k.blocks;) {
        size_t lanes = walk_next(&k, 64, v, importance ? w : NULL);
        d = importance ? search_low(v, w, 64, -1, 2, ends, 12, 3)
                       : search_low(v, NULL, 64, -1, 2, ends, 10, 2);
        vf inv = inverse(half(d, &bits));
        for (int i = 0; i < 4; i++) {
            packed[i] = splat_i(0);
            for (int j = 0; j < 16; j++)
                packed[i] |= to_int(clamp(vround(v[16 * i + j] * inv), -1, 2) + splat(1)) << 2 * j;
        }
        put_halves(b, sizeof *b, 0, lanes, bits);
        put_dwords(b, sizeof *b, offsetof(block_q2_0, qs), lanes, packed, 4);
        b += lanes;
    }
}

/* v is 0 where |x| is below some threshold, else -d or d, and d the mean of the others. The best threshold is
 * d / 2; each try is followed to where that holds. */
INLINE vf search_ternary(const vf *a, const vf *w, const vf *wa, const float *shares, int tries, int rounds) {
    fit best = fit_none();
    vf most = largest(a, 256);
    for (int i = 0; i < tries + rounds; i++) {
        vf threshold = i < tries ? most * splat(shares[i]) : best.d * splat(0.5f), above = splat(0),
           n = splat(0);
        for (int j = 0; j < 256; j++) {
            above += less(threshold, a[j], wa[j], splat(0));
            n += less(threshold, a[j], w ? w[j] : splat(1), splat(0));
        }
        vf d = ratio(above, n);
        fit_better(&best, d, above * d);
    }
    return best.d;
}

/* Scale and ternary digits + 1 of up to LANES blocks of 256. */
INLINE size_t ternary_lanes(walk *k, bool weighted, vi *bits, uint8_t (*digits)[LANES]) {
    static const float shares[] = {0.24f, 0.36f, 0.16f, 0.3f, 0.1f, 0.46f};
    vf v[256], w[256], a[256], wa[256];
    size_t lanes = walk_next(k, 256, v, weighted ? w : NULL);
    for (int i = 0; i < 256; i++) {
        a[i] = vabs(v[i]);
        if (weighted) wa[i] = w[i] * a[i];
    }
    vf d = weighted ? search_ternary(a, w, wa, shares, 4, 1) : search_ternary(a, NULL, a, shares, 3, 2);
    vf inv = inverse(half(d, bits));
    for (int i = 0; i < 256; i++) {
        vi code = to_int(clamp(vround(v[i] * inv), -1, 1) + splat(1));
        for (int l = 0; l < LANES; l++) digits[i][l] = (uint8_t)code[l];
    }
    return lanes;
}

static size_t ternary_next(walk *k, vi *bits, uint8_t (*digits)[LANES]) {
    return k->importance ? ternary_lanes(k, true, bits, digits) : ternary_lanes(k, false, bits, digits);
}

/* Five digits to a byte, first highest, as a fraction of 256 rounded up: multiplying by 3 brings one digit
 * after the other out at the top. */
static uint8_t ternary_byte(const uint8_t *digit, size_t stride, int n) {
    int value = 0;
    for (int i = 0; i < 5; i++) value = 3 * value + (i < n ? digit[(size_t)i * stride] : 0);
    return (uint8_t)((value * 256 + 242) / 243);
}

void QUANT_ROW(tq1_0)(const float *x, const float *importance, size_t n, void *out) {
    block_tq1_0 *b = out;
    vi bits;
    uint8_t digits[256][LANES];
    for (walk k = walk_start(x, importance, n, 256); k.blocks;) {
        size_t lanes = ternary_next(&k, &bits, digits);
        put_halves(b, sizeof *b, offsetof(block_tq1_0, d), lanes, bits);
        for (size_t l = 0; l < lanes; l++, b++) {
            for (int i = 0; i < 32; i++) b->qs[i] = ternary_byte(&digits[i][l], 32 * LANES, 5);
            for (int i = 0; i < 16; i++) b->qs[32 + i] = ternary_byte(&digits[160 + i][l], 16 * LANES, 5);
            for (int i = 0; i < 4; i++) b->qh[i] = ternary_byte(&digits[240 + i][l], 4 * LANES, 4);
        }
    }
}

void QUANT_ROW(tq2_0)(const float *x, const float *importance, size_t n, void *out) {
    block_tq2_0 *b = out;
    vi bits;
    uint8_t digits[256][LANES];
    for (walk k = walk_start(x, importance, n, 256); k.blocks;) {
        size_t lanes = ternary_next(&k, &bits, digits);
        put_halves(b, sizeof *b, offsetof(block_tq2_0, d), lanes, bits);
        for (size_t l = 0; l < lanes; l++, b++)
            for (int byte = 0; byte < 64; byte++) {
                int at = byte / 32 * 128 + byte % 32;
                b->qs[byte] = (uint8_t)(digits[at][l] | digits[at + 32][l] << 2 | digits[at + 64][l] << 4 |
                                        digits[at + 96][l] << 6);
            }
    }
}

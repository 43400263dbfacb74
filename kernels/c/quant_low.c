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
void QUANT_ROWS(q1_0)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    block_q1_0 *b = out;
    vf v[128], w[128];
    vi packed[4], bits;
    for (walk k = walk_start(x, importance, n, n_rows, 128); k.blocks;) {
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

void QUANT_ROWS(q2_0)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    static const float ends[] = {2, -2, 1.6f, -1.6f, 2.4f, -2.4f, 1.3f, -1.3f, 1, -1, 3, -3};
    block_q2_0 *b = out;
    vf v[64], w[64], d;
    vi packed[4], bits;
    for (walk k = walk_start(x, importance, n, n_rows, 64); k.blocks;) {
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
INLINE fit search_ternary(const vf *x, const vf *w, const float *shares, int tries, int rounds) {
    fit best = fit_none();
    vf most = largest(x, 256);
    for (int i = 0; i < tries + rounds; i++) {
        vf threshold = i < tries ? most * splat(shares[i]) : best.d * splat(0.5f), above = splat(0),
           n = splat(0);
        for (int j = 0; j < 256; j++) {
            vf a = vabs(x[j]);
            above += less(threshold, a, w ? w[j] * a : a, splat(0));
            n += less(threshold, a, w ? w[j] : splat(1), splat(0));
        }
        vf d = ratio(above, n);
        fit_better(&best, d, above * d);
    }
    return best;
}

/* Scale and ternary digits + 1 of up to LANES blocks of 256. */
INLINE size_t ternary_lanes(walk *k, bool weighted, vi *bits, vi *digits) {
    static const float shares[] = {0.24f, 0.36f, 0.16f, 0.3f, 0.1f, 0.46f};
    vf v[256], w[256];
    size_t lanes = walk_next(k, 256, v, weighted ? w : NULL);
    fit f = weighted ? search_ternary(v, w, shares, 4, 1) : search_ternary(v, NULL, shares, 3, 2);
    vf inv = inverse(half(f.d, bits));
    for (int i = 0; i < 256; i++) digits[i] = to_int(clamp(vround(v[i] * inv), -1, 1) + splat(1));
    return lanes;
}

static size_t ternary_next(walk *k, vi *bits, vi *digits) {
    return k->importance ? ternary_lanes(k, true, bits, digits) : ternary_lanes(k, false, bits, digits);
}

/* Five digits to a byte, first highest, as a fraction of 256 rounded up (value * 256 / 243): multiplying by 3
 * brings one digit after the other out at the top. With four the last is 0. */
INLINE vi ternary_byte(const vi *digit, int stride, int n) {
    vi value = splat_i(0);
    for (int i = 0; i < 5; i++) value = 3 * value + (i < n ? digit[i * stride] : splat_i(0));
    /* 13 * value / 243, rounded up: exact for value <= 242 */
    return value + (((13 * value + splat_i(242)) * splat_i(270)) >> 16);
}

void QUANT_ROWS(tq1_0)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    block_tq1_0 *b = out;
    vi bits, digits[256], packed[13];
    for (walk k = walk_start(x, importance, n, n_rows, 256); k.blocks;) {
        size_t lanes = ternary_next(&k, &bits, digits);
        for (int i = 0; i < 13; i++) {
            vi byte[4];
            for (int j = 0; j < 4; j++)
                byte[j] = i < 8    ? ternary_byte(digits + 4 * i + j, 32, 5)
                          : i < 12 ? ternary_byte(digits + 160 + 4 * (i - 8) + j, 16, 5)
                                   : ternary_byte(digits + 240 + j, 4, 4);
            packed[i] = pack4(byte[0], byte[1], byte[2], byte[3]);
        }
        put_dwords(b, sizeof *b, offsetof(block_tq1_0, qs), lanes, packed, 13); /* qs, and qh behind it */
        put_halves(b, sizeof *b, offsetof(block_tq1_0, d), lanes, bits);
        b += lanes;
    }
}

void QUANT_ROWS(tq2_0)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    block_tq2_0 *b = out;
    vi bits, digits[256], packed[16];
    for (walk k = walk_start(x, importance, n, n_rows, 256); k.blocks;) {
        size_t lanes = ternary_next(&k, &bits, digits);
        for (int i = 0; i < 16; i++) {
            packed[i] = splat_i(0);
            for (int j = 0; j < 16; j++)
                packed[i] |= digits[i / 8 * 128 + i % 8 * 4 + j % 4 + j / 4 * 32] << (j % 4 * 8 + j / 4 * 2);
        }
        put_dwords(b, sizeof *b, offsetof(block_tq2_0, qs), lanes, packed, 16);
        put_halves(b, sizeof *b, offsetof(block_tq2_0, d), lanes, bits);
        b += lanes;
    }
}

/* Quantizers of the types whose codes are evenly spaced and whose block stands alone: Q4_0, Q5_0, Q8_0
 * (v = d * q), Q4_1 and Q5_1 (v = d * q + m), and of plain floats. See quant.h. */
#include "quant.h"

/* ---- plain floats: there is one best number ---- */

void QUANT_ROWS(f32)(const float *x, const float *importance, size_t n, size_t n_rows, void *w) {
    (void)importance;
    memcpy(w, x, n * n_rows * sizeof *x);
}

void QUANT_ROWS(f16)(const float *x, const float *importance, size_t n, size_t n_rows, void *w) {
    uint8_t *out = w;
    (void)importance;
    for (size_t i = 0; i < n * n_rows; i++) {
        uint16_t h = f16_from_f32(x[i]);
        memcpy(out + 2 * i, &h, 2);
    }
}

void QUANT_ROWS(bf16)(const float *x, const float *importance, size_t n, size_t n_rows, void *w) {
    uint8_t *out = w;
    (void)importance;
    for (size_t i = 0; i < n * n_rows; i++) {
        uint16_t h = bf16_from_f32(x[i]);
        memcpy(out + 2 * i, &h, 2);
    }
}

/* ---- v = d * q ---- */

/* d for codes low .. -low - 1. Whether the extreme value should have the code low or the smaller one at the
 * other end is tried, and so is cutting it off a little: `tries` scales for each, then least squares. */
INLINE fit search_even(const vf *x, const vf *w, float low, const float *ends, int tries, int rounds) {
    fit best = fit_none();
    vf at_one = inverse(largest(x, 32));
    for (int i = 0; i < tries; i++) fit_even(&best, x, w, 32, at_one * splat(ends[i]), low, -low - 1);
    for (int i = 0; i < rounds; i++)
        for (int j = 0; j < (rounds > 1 ? STEPS_NEAR_EVEN : 1); j++)
            fit_even(&best, x, w, 32, inverse(best.d) * splat(steps_near[j].inverse), low, -low - 1);
    return best;
}

/* The scale that codes are rounded with; *bits gets the lifted one that is written. */
INLINE vf finish_even(const vf *x, const vf *w, fit f, vi *bits) {
    vf d = half(f.d, bits);
    (void)half(f.d * lifted_blocks(x, w, 32, f.score), bits);
    return d;
}

INLINE void round_even(const vf *x, vf d, float low, float high, float zero, vi *q) {
    vf inv = inverse(d);
    for (int i = 0; i < 32; i++) q[i] = to_int(clamp(vround(x[i] * inv), low, high) + splat(zero));
}

static const float ends4[] = {-8,   8,     -7.3f, 7.3f,  -8.6f, 8.6f,  -7.7f,
                              7.7f, -6.8f, 6.8f,  -9.2f, 9.2f,  -6.2f, 6.2f};
static const float ends5[] = {-16,   16,     -15.3f, 15.3f,  -16.6f, 16.6f,  -15.7f,
                              15.7f, -14.8f, 14.8f,  -17.2f, 17.2f,  -14.2f, 14.2f};

void QUANT_ROWS(q4_0)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    block_q4_0 *b = out;
    vf v[32], w[32], d;
    vi q[32], packed[4], bits;
    for (walk k = walk_start(x, importance, n, n_rows, 32); k.blocks;) {
        size_t lanes = walk_next(&k, 32, v, importance ? w : NULL);
        d = importance ? finish_even(v, w, search_even(v, w, -8, ends4, 14, 2), &bits)
                       : finish_even(v, NULL, search_even(v, NULL, -8, ends4, 4, 1), &bits);
        round_even(v, d, -8, 7, 8, q);
        pack_nibble_lanes(q, packed);
        put_halves(b, sizeof *b, 0, lanes, bits);
        put_dwords(b, sizeof *b, offsetof(block_q4_0, qs), lanes, packed, 4);
        b += lanes;
    }
}

/* The fifth bits of 32 codes as one number. */
INLINE vi pack_fifths(const vi *q) {
    vi bits = splat_i(0);
    for (int i = 0; i < 32; i++) bits |= ((q[i] >> 4) & splat_i(1)) << i;
    return bits;
}

void QUANT_ROWS(q5_0)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    block_q5_0 *b = out;
    vf v[32], w[32], d;
    vi q[32], packed[5], bits;
    for (walk k = walk_start(x, importance, n, n_rows, 32); k.blocks;) {
        size_t lanes = walk_next(&k, 32, v, importance ? w : NULL);
        d = importance ? finish_even(v, w, search_even(v, w, -16, ends5, 14, 2), &bits)
                       : finish_even(v, NULL, search_even(v, NULL, -16, ends5, 4, 1), &bits);
        round_even(v, d, -16, 15, 16, q);
        packed[0] = pack_fifths(q);
        pack_nibble_lanes(q, packed + 1);
        put_halves(b, sizeof *b, 0, lanes, bits);
        put_dwords(b, sizeof *b, offsetof(block_q5_0, qh), lanes, packed, 5);
        b += lanes;
    }
}

/* Codes stay within +-127, as everyone's do: kernels may rely on it. */
void QUANT_ROWS(q8_0)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    block_q8_0 *b = out;
    vf v[32], w[32];
    vi q[32], packed[8], bits;
    for (walk k = walk_start(x, importance, n, n_rows, 32); k.blocks;) {
        size_t lanes = walk_next(&k, 32, v, importance ? w : NULL);
        fit best = fit_none();
        vf at_one = inverse(largest(v, 32));
        static const float ends[] = {127, 126.5f, 127.4f, 126};
        for (int i = 0; i < 4; i++)
            fit_even(&best, v, importance ? w : NULL, 32, at_one * splat(ends[i]), -127, 127);
        vf d = half(best.d, &bits);
        round_even(v, d, -127, 127, 0, q);
        for (int i = 0; i < 8; i++) {
            for (int j = 0; j < 4; j++) q[4 * i + j] &= splat_i(255);
            packed[i] = pack4(q[4 * i], q[4 * i + 1], q[4 * i + 2], q[4 * i + 3]);
        }
        put_halves(b, sizeof *b, 0, lanes, bits);
        put_dwords(b, sizeof *b, offsetof(block_q8_0, qs), lanes, packed, 8);
        b += lanes;
    }
}

/* ---- v = d * q + m ---- */

typedef struct affine {
    vf d, m, score; /* the error is sum(w * x^2) - score */
} affine;

/* Codes of (x - m) * inv in 0 .. high, then the best d and m for them. */
INLINE void fit_affine(affine *best, const vf *x, const vf *w, vf sw, vf sx, vf m, vf inv, float high) {
    vf sq = splat(0), qq = splat(0), xq = splat(0);
    for (int i = 0; i < 32; i++) {
        vf q = clamp(vround((x[i] - m) * inv), 0, high), wq = w ? w[i] * q : q;
        sq += wq;
        qq += wq * q;
        xq += wq * x[i];
    }
    vf det = sw * qq - sq * sq;
    vf d = ratio(sw * xq - sx * sq, det);
    vf offset = ratio(sx - d * sq, sw), score = d * xq + offset * sx;
    best->d = less(best->score, score, d, best->d);
    best->m = less(best->score, score, offset, best->m);
    best->score = vmax(best->score, score);
}

INLINE affine search_affine(const vf *x, const vf *w, float high, int tries, int rounds) {
    vf low = x[0], top = x[0], sw = splat(0), sx = splat(0);
    for (int i = 0; i < 32; i++) {
        low = vmin(low, x[i]);
        top = vmax(top, x[i]);
        sw += w ? w[i] : splat(1);
        sx += w ? w[i] * x[i] : x[i];
    }
    vf mean = ratio(sx, sw), step = inverse(top - low);
    affine best = {splat(0), mean, mean * sx};
    static const float cut[] = {0, 0.7f, 1.4f, -0.4f};
    for (int i = 0; i < tries; i++)
        for (int j = 0; j < tries; j++) { /* either end is cut off, or not, so many steps */
            vf inv = step * splat(high + cut[i] + cut[j]);
            fit_affine(&best, x, w, sw, sx, low + splat(cut[i]) * inverse(inv), inv, high);
        }
    for (int i = 0; i < rounds; i++)
        for (int j = 0; j < (rounds > 1 ? STEPS_NEAR : 1); j++)
            fit_affine(&best, x, w, sw, sx, best.m - splat(steps_near[j].down) * best.d,
                       inverse(best.d) * splat(steps_near[j].inverse), high);
    return best;
}

/* d and m to half precision, and the codes for those; the bits are of the lifted ones. */
INLINE void round_affine(const vf *x, const vf *w, const affine *a, float high, vi *q, vi *bits_d,
                         vi *bits_m) {
    vf d = half(a->d, bits_d), m = half(a->m, bits_m), inv = inverse(d);
    vf lift = lifted_blocks(x, w, 32, a->score);
    for (int i = 0; i < 32; i++) q[i] = to_int(clamp(vround((x[i] - m) * inv), 0, high));
    (void)half(a->d * lift, bits_d);
    (void)half(a->m * lift, bits_m);
}

void QUANT_ROWS(q4_1)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    block_q4_1 *b = out;
    vf v[32], w[32];
    vi q[32], packed[4], bits_d, bits_m;
    for (walk k = walk_start(x, importance, n, n_rows, 32); k.blocks;) {
        size_t lanes = walk_next(&k, 32, v, importance ? w : NULL);
        affine a = importance ? search_affine(v, w, 15, 4, 3) : search_affine(v, NULL, 15, 1, 1);
        round_affine(v, importance ? w : NULL, &a, 15, q, &bits_d, &bits_m);
        pack_nibble_lanes(q, packed);
        put_halves(b, sizeof *b, 0, lanes, bits_d);
        put_halves(b, sizeof *b, 2, lanes, bits_m);
        put_dwords(b, sizeof *b, offsetof(block_q4_1, qs), lanes, packed, 4);
        b += lanes;
    }
}

void QUANT_ROWS(q5_1)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    block_q5_1 *b = out;
    vf v[32], w[32];
    vi q[32], packed[5], bits_d, bits_m;
    for (walk k = walk_start(x, importance, n, n_rows, 32); k.blocks;) {
        size_t lanes = walk_next(&k, 32, v, importance ? w : NULL);
        affine a = importance ? search_affine(v, w, 31, 4, 3) : search_affine(v, NULL, 31, 1, 1);
        round_affine(v, importance ? w : NULL, &a, 31, q, &bits_d, &bits_m);
        packed[0] = pack_fifths(q);
        pack_nibble_lanes(q, packed + 1);
        put_halves(b, sizeof *b, 0, lanes, bits_d);
        put_halves(b, sizeof *b, 2, lanes, bits_m);
        put_dwords(b, sizeof *b, offsetof(block_q5_1, qh), lanes, packed, 5);
        b += lanes;
    }
}

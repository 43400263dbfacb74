/* Quantizers of the types made of E2M1 numbers (0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives): MXFP4, 32
 * values with a power of two, and NVFP4, 16 values with an unsigned E4M3 number. Scales are few, so those
 * that can be best are all tried. See quant.h. */
#include "quant.h"

/* To the nearest E2M1 number, times 2: 0 1 2 3 4 6 8 12. */
INLINE vf e2m1(vf a) {
    vf one = vround(a), two = vround(a * splat(0.5f)), four = vround(a * splat(0.25f));
    two += two;
    four = vmin(splat(4) * four, splat(12));
    return less(a, splat(4), one, less(a, splat(8), two, four));
}

/* Its code: 0 .. 7 in the order of magnitudes, 8 for the sign. */
INLINE vi e2m1_code(vf a, vf signed_x) {
    vf m = e2m1(a);
    vf code = less(m, splat(4.5f), m, less(m, splat(7), splat(5), less(m, splat(9), splat(6), splat(7))));
    return to_int(code) | ((vi)signed_x >> 28 & splat_i(8));
}

/* What a scale is worth: less sum(w * x^2), the error; `inv` is 1 / (scale / 2). */
INLINE vf fp4_error(const vf *x, const vf *w, int n, vf scale, vf inv) {
    vf aq = splat(0), qq = splat(0);
    for (int i = 0; i < n; i++) {
        vf a = vabs(x[i]), q = e2m1(a * inv), wq = w ? w[i] * q : q;
        aq += wq * a;
        qq += wq * q;
    }
    vf half_scale = scale * splat(0.5f);
    return half_scale * (half_scale * qq - (aq + aq));
}

/* 2^e as a float's bits, for e in -126 .. 127. */
INLINE vf power(vi e) {
    return (vf)((e + splat_i(127)) << 23);
}

INLINE size_t mxfp4_lanes(walk *k, bool weighted, block_mxfp4 *b) {
    vf v[32], w[32];
    vi q[32], packed[4];
    size_t lanes = walk_next(k, 32, v, weighted ? w : NULL);
    vf most = largest(v, 32);
    /* The scale is 2^(e - 127), e = 0 .. 254: worked on is x * 2^-k, so that no product leaves the floats. */
    vi exponent = ((vi)most >> 23) - splat_i(127); /* floor(log2 most), -127 for what is subnormal or 0 */
    exponent = less_i(to_float(exponent), splat(-122), splat_i(-122), exponent);
    vf unit = power(splat_i(0) - exponent); /* -exponent is -127 .. 122 */
    unit = less(to_float(exponent), splat(126.5f), unit, splat(0x1p-127f));
    for (int i = 0; i < 32; i++) v[i] = v[i] * unit;
    /* now most is in 1 .. 2, and 2^-3 .. 2^-1 are the scales that 6 and 4 and 3 of them reach it with */
    vf best = splat(3e38f);
    vi step = splat_i(-2);
    for (int s = -2; s <= (weighted ? 0 : -1); s++) {
        vf scale = splat(s == -2 ? 0.25f : s == -1 ? 0.5f : 1);
        vf error = fp4_error(v, weighted ? w : NULL, 32, scale, splat(s == -2 ? 8.0f : s == -1 ? 4.0f : 2));
        step = less_i(error, best, splat_i(s), step);
        best = vmin(best, error);
    }
    if (weighted) { /* a few large values may matter little */
        vf error = fp4_error(v, w, 32, splat(0.125f), splat(16));
        step = less_i(error, best, splat_i(-3), step);
    }
    vf inv = power(splat_i(1) - step);
    for (int i = 0; i < 32; i++) q[i] = e2m1_code(vabs(v[i]) * inv, v[i]);
    pack_nibble_lanes(q, packed);
    int32_t e[LANES];
    step += exponent + splat_i(127);
    memcpy(e, &step, sizeof e);
    for (size_t l = 0; l < lanes; l++) b[l].e = (uint8_t)(e[l] < 0 ? 0 : e[l]);
    put_dwords(b, sizeof *b, offsetof(block_mxfp4, qs), lanes, packed, 4);
    return lanes;
}

void QUANT_ROWS(mxfp4)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    block_mxfp4 *b = out;
    for (walk k = walk_start(x, importance, n, n_rows, 32); k.blocks;)
        b += importance ? mxfp4_lanes(&k, true, b) : mxfp4_lanes(&k, false, b);
}

/* The number that an unsigned E4M3 code 0 .. 126 stands for. */
INLINE vf e4m3(vi code) {
    vi e = code >> 3, m = code & splat_i(7);
    vf normal = power(e - splat_i(7)) * (splat(1) + to_float(m) * splat(0.125f));
    return less(to_float(e), splat(0.5f), to_float(m) * splat(0x1p-9f), normal);
}

INLINE size_t nvfp4_lanes(walk *k, bool weighted, uint8_t *out) {
    vf v[16], w[16];
    vi q[16], packed[2];
    size_t lanes = walk_next(k, 16, v, weighted ? w : NULL);
    vf most = largest(v, 16);
    /* the code whose number is near most / 6: float's exponent and the first three bits of its mantissa */
    vf aim = vmin(vmax(most * splat(1.0f / 6), splat(0x1p-9f)), splat(448));
    vi near = ((vi)aim >> 20) - splat_i((127 - 7) << 3);
    near = less_i(aim, splat(0x1p-6f), to_int(vround(aim * splat(0x1p9f))), near);
    vf best = splat(3e38f), scale = splat(0);
    vi code = splat_i(0);
    for (int s = -3; s <= 8; s++) {
        if (!weighted && s < -2) continue;
        vi c = near + splat_i(s);
        c = less_i(to_float(c), splat(0), splat_i(0), c);
        c = less_i(splat(126), to_float(c), splat_i(126), c);
        vf d = e4m3(c), error = fp4_error(v, weighted ? w : NULL, 16, d, inverse(d * splat(0.5f)));
        code = less_i(error, best, c, code);
        scale = less(error, best, d, scale);
        best = vmin(best, error);
    }
    vf inv = inverse(scale * splat(0.5f));
    for (int i = 0; i < 16; i++) q[i] = e2m1_code(vabs(v[i]) * inv, v[i]);
    for (int i = 0; i < 2; i++) {
        vi b[4];
        for (int j = 0; j < 4; j++) b[j] = q[4 * i + j] | q[4 * i + j + 8] << 4;
        packed[i] = pack4(b[0], b[1], b[2], b[3]);
    }
    int32_t c[LANES];
    memcpy(c, &code, sizeof c);
    for (size_t l = 0; l < lanes; l += 4) { /* four groups are a block; n is a multiple of it */
        uint8_t *b = out + l / 4 * sizeof(block_nvfp4);
        for (size_t g = 0; g < 4; g++) b[g] = (uint8_t)c[l + g];
    }
    int32_t d[2][LANES];
    memcpy(d, packed, sizeof d);
    for (size_t l = 0; l < lanes; l++)
        for (size_t i = 0; i < 2; i++)
            memcpy(out + l / 4 * sizeof(block_nvfp4) + offsetof(block_nvfp4, qs) + 8 * (l % 4) + 4 * i,
                   &d[i][l], 4);
    return lanes / 4 * sizeof(block_nvfp4);
}

void QUANT_ROWS(nvfp4)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    uint8_t *b = out;
    for (walk k = walk_start(x, importance, n, n_rows, 16); k.blocks;)
        b += importance ? nvfp4_lanes(&k, true, b) : nvfp4_lanes(&k, false, b);
}

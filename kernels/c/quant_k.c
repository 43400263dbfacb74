/* Quantizers of the types whose values are a signed scale times a code: Q3_K, Q6_K (evenly spaced codes) and
 * IQ4_XS (its codebook), in superblocks where the scale is d * sc, sc a whole number of the sub-block; and
 * IQ4_NL, blocks of 32 that stand alone. See quant_super.h. */
#include "quant_super.h"

typedef struct signed_type {
    int block, per_super; /* values of a sub-block, sub-blocks of a superblock */
    float low, high;      /* codes, and by that which codes: IQ4's start at -127 */
    float sc_low, sc_high;
} signed_type;

#define IQ4_LOW (-127)

/* Halfway between the numbers of IQ4's codebook, and how far apart they are. */
static const float iq4_middle[15] = {-115.5f, -93.5f, -74,   -57,   -42, -28.5f, -16, -4.5f,
                                     7,       19,     31.5f, 45.5f, 61,  79,     101};
static const float iq4_step[15] = {23, 21, 18, 16, 14, 13, 12, 11, 12, 12, 13, 15, 16, 20, 24};

/* v to the nearest code's value. */
INLINE vf nearest(vf v, signed_type t) {
    if (t.low > IQ4_LOW) return clamp(vround(v), t.low, t.high);
    vf r = splat(IQ4_LOW);
    for (int i = 0; i < 15; i++) r += less(splat(iq4_middle[i]), v, splat(iq4_step[i]), splat(0));
    return r;
}

/* The same, as the number that is stored. */
INLINE vi nearest_code(vf v, signed_type t) {
    if (t.low > IQ4_LOW) return to_int(clamp(vround(v), t.low, t.high) - splat(t.low));
    vf r = splat(0);
    for (int i = 0; i < 15; i++) r += less(splat(iq4_middle[i]), v, splat(1), splat(0));
    return to_int(r);
}

INLINE void fit_signed(fit *best, const vf *x, const vf *w, vf inv, signed_type t) {
    vf xq = splat(0), qq = splat(0);
    for (int i = 0; i < t.block; i++) {
        vf q = nearest(x[i] * inv, t), wq = w[i] * q;
        xq += wq * x[i];
        qq += wq * q;
    }
    vf d = ratio(xq, qq);
    fit_better(best, d, xq * d);
}

/* The largest magnitude is given the code at either end, or one beyond it by some part of a step, or within.
 */
INLINE fit search_signed(const vf *x, const vf *w, signed_type t, int tries, int rounds) {
    static const float shares[] = {1,      0.93f, 1.07f,  0.86f, 1.15f, 0.965f,
                                   1.035f, 0.8f,  0.895f, 1.11f, 0.75f, 1.2f};
    fit best = fit_none();
    vf at_one = inverse(largest(x, t.block));
    for (int i = 0; i < tries; i++) {
        float share = t.low < -8 && t.low > IQ4_LOW ? 1 + (shares[i] - 1) * 0.3f : shares[i];
        fit_signed(&best, x, w, at_one * splat(t.low * share), t);
        fit_signed(&best, x, w, at_one * splat(-t.low * share), t);
    }
    for (int i = 0; i < rounds; i++)
        for (int j = 0; j < (rounds > 2 && t.low > IQ4_LOW ? STEPS_NEAR_EVEN : 1); j++)
            fit_signed(&best, x, w, inverse(best.d) * splat(steps_near[j].inverse), t);
    return best;
}

typedef struct signed_state {
    float d[SUBS]; /* what codes are for; what is written is lifted() */
    per_sub sc, error, xq, qq;
} signed_state;

/* The best whole sc within `reach` of what it is, for the superblocks' d; and what solving for d needs. */
INLINE void tune_signed(signed_state *s, const subs *v, signed_type t, int reach) {
    per_sub d;
    for (int i = 0; i < SUBS; i++) d.f[i] = s->d[i / t.per_super];
    for (int g = 0; g < GROUPS; g++) {
        vf best = splat(3e38f), best_sc = s->sc.v[g], best_xq = splat(0), best_qq = splat(0);
        for (int i = -reach; i <= reach; i++) {
            vf sc = clamp(s->sc.v[g] + splat((float)i), t.sc_low, t.sc_high), step = d.v[g] * sc;
            vf inv = inverse(step), xq = splat(0), qq = splat(0);
            for (int l = 0; l < t.block; l++) {
                vf q = nearest(v->x[g][l] * inv, t), wq = v->w[g][l] * q;
                xq += wq * v->x[g][l];
                qq += wq * q;
            }
            /* less sum(w * x^2), which is the same for all */
            vf error = step * (step * qq - (xq + xq));
            best_sc = less(error, best, sc, best_sc);
            best_xq = less(error, best, xq, best_xq);
            best_qq = less(error, best, qq, best_qq);
            best = vmin(best, error);
        }
        s->sc.v[g] = best_sc;
        s->error.v[g] = best;
        s->xq.v[g] = best_xq;
        s->qq.v[g] = best_qq;
    }
}

INLINE void solve_signed(signed_state *s, signed_type t) {
    for (int super = 0; super < SUBS / t.per_super; super++) {
        double above = 0, below = 0;
        for (int i = super * t.per_super; i < (super + 1) * t.per_super; i++) {
            double sc = (double)s->sc.f[i];
            above += sc * (double)s->xq.f[i];
            below += sc * sc * (double)s->qq.f[i];
        }
        if (below > 0 && above > 0) s->d[super] = (float)(above / below);
    }
}

typedef struct signed_effort {
    int tries, rounds, reach, turns;
    float tops[8]; /* shares of sc_low that the largest scale is given; 0 ends */
} signed_effort;

INLINE signed_state quantize_signed_as(const subs *v, signed_type t, const signed_effort *effort,
                                       uint16_t *d16) {
    per_sub d;
    signed_state best = {{0}, {{0}}, {{0}}, {{0}}, {{0}}};
    for (int g = 0; g < GROUPS; g++)
        d.v[g] = search_signed(v->x[g], v->w[g], t, effort->tries, effort->rounds).d;
    for (int k = 0; effort->tops[k] != 0; k++) {
        signed_state s = best;
        for (int super = 0; super < SUBS / t.per_super; super++) {
            float most = 0;
            for (int i = super * t.per_super; i < (super + 1) * t.per_super; i++)
                most = d.f[i] * d.f[i] > most * most ? d.f[i] : most;
            s.d[super] = most / (t.sc_low * effort->tops[k]);
            for (int i = super * t.per_super; i < (super + 1) * t.per_super; i++)
                s.sc.f[i] = s.d[super] != 0 ? d.f[i] / s.d[super] : 0;
        }
        for (int g = 0; g < GROUPS; g++) s.sc.v[g] = clamp(vround(s.sc.v[g]), t.sc_low, t.sc_high);
        for (int turn = 0; turn <= effort->turns; turn++) {
            int last = turn == effort->turns;
            for (int super = 0; super < SUBS / t.per_super; super++) {
                uint16_t bits;
                if (last) s.d[super] = half1(s.d[super], &bits);
            }
            tune_signed(&s, v, t, effort->reach);
            if (!last) solve_signed(&s, t);
        }
        for (int super = 0; super < SUBS / t.per_super; super++) {
            float before = 0, now = 0;
            for (int i = super * t.per_super; i < (super + 1) * t.per_super; i++) {
                now += s.error.f[i];
                if (k) before += best.error.f[i];
            }
            if (k && !(now < before)) continue;
            best.d[super] = s.d[super];
            for (int i = super * t.per_super; i < (super + 1) * t.per_super; i++) {
                best.sc.f[i] = s.sc.f[i];
                best.error.f[i] = s.error.f[i];
            }
        }
    }
    per_sub xx = subs_squares(v, t.block);
    for (int super = 0; super < SUBS / t.per_super; super++) {
        double squares = 0, kept = 0;
        for (int i = super * t.per_super; i < (super + 1) * t.per_super; i++) {
            squares += (double)xx.f[i];
            kept -= (double)best.error.f[i];
        }
        half1(best.d[super] * lifted(squares, kept), &d16[super]);
    }
    return best;
}

/* For codes of either kind. */
ONCE signed_state quantize_signed(const subs *v, signed_type t, const signed_effort *effort, uint16_t *d16) {
    if (t.low > IQ4_LOW) return quantize_signed_as(v, t, effort, d16);
    t.low = IQ4_LOW;
    return quantize_signed_as(v, t, effort, d16);
}

/* Codes of all sub-blocks, (block, SUBS). */
INLINE void codes_signed(const signed_state *s, const subs *v, signed_type t, int32_t (*q)[SUBS]) {
    per_sub d;
    for (int i = 0; i < SUBS; i++) d.f[i] = s->d[i / t.per_super];
    for (int g = 0; g < GROUPS; g++) {
        vf inv = inverse(d.v[g] * s->sc.v[g]);
        for (int l = 0; l < t.block; l++) {
            vi code = nearest_code(v->x[g][l] * inv, t);
            memcpy(&q[l][g * LANES], &code, sizeof code);
        }
    }
}

static const signed_effort effort_q3 = {3, 1, 1, 1, {1}};
static const signed_effort effort_q6 = {3, 1, 1, 1, {1, -127.0f / 128}};
static const signed_effort effort_iq4 = {6, 2, 1, 2, {1, -31.0f / 32, 0.95f, -0.92f}};
static const signed_effort effort_weighted = {12, 3, 1, 2, {1, -0.97f, 0.94f, -0.91f}};

void QUANT_ROWS(q3_k)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    const signed_type t = {16, 16, -4, 3, -32, 31};
    block_q3_k *b = out;
    subs v;
    int32_t q[16][SUBS];
    uint16_t d[1];
    for (walk k = walk_start(x, importance, n, n_rows, 16); k.blocks; b++) {
        subs_next(&k, 16, &v);
        signed_state s = quantize_signed(&v, t, importance ? &effort_weighted : &effort_q3, d);
        codes_signed(&s, &v, t, q);
        b->d = d[0];
        memset(b->scales, 0, sizeof b->scales);
        for (int j = 0; j < 16; j++) {
            int sc = (int)s.sc.f[j] + 32;
            b->scales[j % 8] = (uint8_t)(b->scales[j % 8] | (sc & 15) << j / 8 * 4);
            b->scales[8 + j % 4] = (uint8_t)(b->scales[8 + j % 4] | (sc >> 4) << j / 4 * 2);
        }
        /* value 128 * half + 32 * j + i is number i % 16 of sub-block 8 * half + 2 * j + i / 16 */
        memset(b->hmask, 0, sizeof b->hmask);
        for (int byte = 0; byte < 64; byte++) {
            int bits = 0, high = 0, i = byte % 32, half = byte / 32;
            for (int j = 0; j < 4; j++) {
                int code = q[i % 16][half * 8 + 2 * j + i / 16];
                bits |= (code & 3) << 2 * j;
                high |= (code >> 2) << (4 * half + j);
            }
            b->qs[byte] = (uint8_t)bits;
            b->hmask[i] = (uint8_t)(b->hmask[i] | high);
        }
    }
}

void QUANT_ROWS(q6_k)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    const signed_type t = {16, 16, -32, 31, -128, 127};
    block_q6_k *b = out;
    subs v;
    int32_t q[16][SUBS];
    uint16_t d[1];
    for (walk k = walk_start(x, importance, n, n_rows, 16); k.blocks; b++) {
        subs_next(&k, 16, &v);
        signed_state s = quantize_signed(&v, t, importance ? &effort_weighted : &effort_q6, d);
        codes_signed(&s, &v, t, q);
        b->d = d[0];
        for (int j = 0; j < 16; j++) b->scales[j] = (int8_t)s.sc.f[j];
        for (int half = 0; half < 2; half++)
            for (int i = 0; i < 32; i++) {
                int c[4];
                for (int j = 0; j < 4; j++) c[j] = q[i % 16][8 * half + 2 * j + i / 16];
                b->ql[64 * half + i] = (uint8_t)((c[0] & 15) | (c[2] & 15) << 4);
                b->ql[64 * half + 32 + i] = (uint8_t)((c[1] & 15) | (c[3] & 15) << 4);
                b->qh[32 * half + i] =
                    (uint8_t)(c[0] >> 4 | c[1] >> 4 << 2 | c[2] >> 4 << 4 | c[3] >> 4 << 6);
            }
    }
}

void QUANT_ROWS(iq4_xs)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    const signed_type t = {32, 8, IQ4_LOW, 113, -32, 31};
    block_iq4_xs *b = out;
    subs v;
    int32_t q[32][SUBS];
    uint16_t d[2];
    for (walk k = walk_start(x, importance, n, n_rows, 32); k.blocks;) {
        subs_next(&k, 32, &v);
        signed_state s = quantize_signed(&v, t, importance ? &effort_weighted : &effort_iq4, d);
        codes_signed(&s, &v, t, q);
        for (size_t super = 0; super < v.n / 8; super++, b++) {
            unsigned high = 0;
            b->d = d[super];
            memset(b->scales_l, 0, sizeof b->scales_l);
            for (int j = 0; j < 8; j++) {
                int sc = (int)s.sc.f[8 * super + (size_t)j] + 32;
                b->scales_l[j / 2] = (uint8_t)(b->scales_l[j / 2] | (sc & 15) << j % 2 * 4);
                high |= (unsigned)(sc >> 4) << 2 * j;
                for (int i = 0; i < 16; i++)
                    b->qs[16 * j + i] =
                        (uint8_t)(q[i][8 * super + (size_t)j] | q[i + 16][8 * super + (size_t)j] << 4);
            }
            b->scales_h = (uint16_t)high;
        }
    }
}

void QUANT_ROWS(iq4_nl)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    const signed_type t = {32, 1, IQ4_LOW, 113, 0, 0};
    block_iq4_nl *b = out;
    vf v[32], w[32];
    vi q[32], packed[4], bits;
    for (walk k = walk_start(x, importance, n, n_rows, 32); k.blocks;) {
        size_t lanes = walk_next(&k, 32, v, w);
        fit f = search_signed(v, w, t, 12, 3);
        vf inv = inverse(half(f.d, &bits));
        (void)half(f.d * lifted_blocks(v, w, 32, f.score), &bits);
        for (int i = 0; i < 32; i++) q[i] = nearest_code(v[i] * inv, t);
        pack_nibble_lanes(q, packed);
        put_halves(b, sizeof *b, 0, lanes, bits);
        put_dwords(b, sizeof *b, offsetof(block_iq4_nl, qs), lanes, packed, 4);
        b += lanes;
    }
}

/* Quantizers of the k-types that have minima: Q2_K, Q4_K, Q5_K. A value is d * sc * q - dmin * mn, sc and mn
 * whole numbers of a sub-block (Q2_K: 4 bits, 16 values; else 6 bits, 32 values). See quant_super.h. */
#include "quant_super.h"

typedef struct min_type {
    int block, per_super; /* values of a sub-block, sub-blocks of a superblock */
    float high, top;      /* largest code, largest scale */
} min_type;

/* A sub-block's own fit: v = d * q - m, m >= 0. The error is sum(w * x^2) - score. */
typedef struct min_fit {
    vf d, m, score;
} min_fit;

INLINE void fit_min(min_fit *best, const vf *x, const vf *w, vf sw, vf sx, vf m, vf inv, min_type t) {
    vf sq = splat(0), qq = splat(0), xq = splat(0), zero = splat(0);
    for (int i = 0; i < t.block; i++) {
        vf q = clamp(vround((x[i] + m) * inv), 0, t.high), wq = w[i] * q;
        sq += wq;
        qq += wq * q;
        xq += wq * x[i];
    }
    vf d = ratio(sw * xq - sx * sq, sw * qq - sq * sq);
    vf min = ratio(d * sq - sx, sw), score = d * xq - min * sx;
    vf d0 = ratio(xq, qq), score0 = xq * d0; /* where the minimum would have to be negative */
    d = less(min, zero, d0, d);
    score = less(min, zero, score0, score);
    min = vmax(min, zero);
    best->d = less(best->score, score, d, best->d);
    best->m = less(best->score, score, min, best->m);
    best->score = vmax(best->score, score);
}

/* How much is cut off below and above, in steps. */
static const float min_cuts[][2] = {{0, 0},          {0.4f, 0.4f},    {-0.3f, -0.3f}, {0.8f, 0},
                                    {0, 0.8f},       {0.8f, 0.8f},    {0.2f, 1.2f},   {1.2f, 0.2f},
                                    {0.45f, -0.45f}, {-0.45f, 0.45f}, {0, 1.6f},      {1.6f, 0},
                                    {1.5f, 1.5f},    {0, -0.4f},      {-0.4f, 0}};

INLINE min_fit search_min(const vf *x, const vf *w, min_type t, int tries, int rounds) {
    vf low = splat(0), top = x[0], sw = splat(0), sx = splat(0);
    for (int i = 0; i < t.block; i++) {
        low = vmin(low, x[i]);
        top = vmax(top, x[i]);
        sw += w[i];
        sx += w[i] * x[i];
    }
    vf range = top - low, step = inverse(range), mean = ratio(sx, sw);
    vf flat = vmax(splat(0) - mean, splat(0));
    min_fit best = {splat(0), flat, splat(0) - flat * sx};
    for (int i = 0; i < tries; i++) {
        /* few codes leave little room to cut */
        float scale = t.high < 4 ? 0.7f : 1, below = min_cuts[i][0] * scale, above = min_cuts[i][1] * scale;
        vf m = less(low, splat(0), splat(below / (t.high + below + above)) * range - low, splat(0));
        fit_min(&best, x, w, sw, sx, vmax(m, splat(0)), step * splat(t.high + below + above), t);
    }
    for (int i = 0; i < rounds; i++)
        for (int j = 0; j < (rounds > 2 ? STEPS_NEAR : 1); j++) {
            vf m = vmax(best.m + splat(steps_near[j].down) * best.d, splat(0));
            fit_min(&best, x, w, sw, sx, m, inverse(best.d) * splat(steps_near[j].inverse), t);
        }
    return best;
}

/* What becomes of 16 sub-blocks: per superblock d and dmin, per sub-block their multiples. */
typedef struct min_state {
    float d[SUBS], dmin[SUBS]; /* of superblock i, the first SUBS / per_super are used; codes are for these,
                                * what is written is lifted() */
    per_sub sc, mn, error;
} min_state;

/* The best whole sc and mn within `reach` of what they are, for the superblocks' d and dmin. */
INLINE void tune_min(min_state *s, const subs *v, min_type t, int reach) {
    per_sub d, dmin;
    for (int i = 0; i < SUBS; i++) {
        d.f[i] = s->d[i / t.per_super];
        dmin.f[i] = s->dmin[i / t.per_super];
    }
    for (int g = 0; g < GROUPS; g++) {
        vf best = splat(3e38f), best_sc = s->sc.v[g], best_mn = s->mn.v[g];
        for (int i = -reach; i <= reach; i++)
            for (int j = -reach; j <= reach; j++) {
                vf sc = clamp(s->sc.v[g] + splat((float)i), 0, t.top);
                vf mn = clamp(s->mn.v[g] + splat((float)j), 0, t.top);
                vf step = d.v[g] * sc, m = dmin.v[g] * mn, inv = inverse(step), error = splat(0);
                for (int l = 0; l < t.block; l++) {
                    vf y = v->x[g][l] + m, q = clamp(vround(y * inv), 0, t.high), e = y - step * q;
                    error += v->w[g][l] * (e * e);
                }
                best_sc = less(error, best, sc, best_sc);
                best_mn = less(error, best, mn, best_mn);
                best = vmin(best, error);
            }
        s->sc.v[g] = best_sc;
        s->mn.v[g] = best_mn;
        s->error.v[g] = best;
    }
}

/* The best d and dmin for the codes that sc, mn and the d and dmin so far give. */
INLINE void solve_min(min_state *s, const subs *v, min_type t) {
    per_sub qq, xq, sq, sx, sw;
    for (int g = 0; g < GROUPS; g++) {
        float at[2][LANES];
        for (int l = 0; l < LANES; l++) {
            int super = (g * LANES + l) / t.per_super;
            at[0][l] = s->d[super];
            at[1][l] = s->dmin[super];
        }
        vf d, dmin, zero = splat(0);
        memcpy(&d, at[0], sizeof d);
        memcpy(&dmin, at[1], sizeof dmin);
        vf m = dmin * s->mn.v[g], inv = inverse(d * s->sc.v[g]);
        vf a = zero, b = zero, c = zero, e = zero, f = zero;
        for (int l = 0; l < t.block; l++) {
            vf q = clamp(vround((v->x[g][l] + m) * inv), 0, t.high), w = v->w[g][l], wx = w * v->x[g][l];
            a += w * (q * q);
            b += wx * q;
            c += w * q;
            e += wx;
            f += w;
        }
        qq.v[g] = a, xq.v[g] = b, sq.v[g] = c, sx.v[g] = e, sw.v[g] = f;
    }
    for (int super = 0; super < SUBS / t.per_super; super++) {
        double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
        for (int i = super * t.per_super; i < (super + 1) * t.per_super; i++) {
            double sc = (double)s->sc.f[i], mn = (double)s->mn.f[i];
            aa += sc * sc * (double)qq.f[i];
            ab += sc * mn * (double)sq.f[i];
            bb += mn * mn * (double)sw.f[i];
            xa += sc * (double)xq.f[i];
            xb += mn * (double)sx.f[i];
        }
        /* x = d * a - dmin * b */
        double det = aa * bb - ab * ab, d, dmin;
        if (det > 1e-9 * aa * bb) {
            d = (xa * bb - xb * ab) / det;
            dmin = (xa * ab - xb * aa) / det;
        } else {
            d = aa > 0 ? xa / aa : 0;
            dmin = aa > 0 || bb <= 0 ? 0 : -xb / bb;
        }
        if (d > 0 || aa <= 0) s->d[super] = (float)d;
        if (dmin > 0 || bb <= 0) s->dmin[super] = (float)dmin;
    }
}

typedef struct min_effort {
    int tries, rounds, reach, turns;
    float tops[8]; /* shares of the largest scale that are tried as the largest number, 0 ends */
} min_effort;

ONCE min_state quantize_min(const subs *v, min_type t, const min_effort *effort, uint16_t *d16,
                            uint16_t *m16) {
    per_sub d, m;
    min_state best = {{0}, {0}, {{0}}, {{0}}, {{0}}};
    for (int g = 0; g < GROUPS; g++) {
        min_fit f = search_min(v->x[g], v->w[g], t, effort->tries, effort->rounds);
        d.v[g] = f.d;
        m.v[g] = f.m;
    }
    for (int k = 0; effort->tops[k] > 0; k++) {
        min_state s = {{0}, {0}, {{0}}, {{0}}, {{0}}};
        for (int super = 0; super < SUBS / t.per_super; super++) {
            float d_most = 0, m_most = 0;
            for (int i = super * t.per_super; i < (super + 1) * t.per_super; i++) {
                d_most = d.f[i] > d_most ? d.f[i] : d_most;
                m_most = m.f[i] > m_most ? m.f[i] : m_most;
            }
            s.d[super] = d_most / (t.top * effort->tops[k]);
            s.dmin[super] = m_most / (t.top * effort->tops[k]);
        }
        for (int turn = 0; turn <= effort->turns; turn++) {
            int last = turn == effort->turns;
            for (int super = 0; super < SUBS / t.per_super; super++) {
                uint16_t bits;
                if (last) {
                    s.d[super] = half1(s.d[super], &bits);
                    s.dmin[super] = half1(s.dmin[super], &bits);
                }
            }
            for (int i = 0; i < SUBS && !turn; i++) {
                float sd = s.d[i / t.per_super], sm = s.dmin[i / t.per_super];
                s.sc.f[i] = sd > 0 ? d.f[i] / sd : 0;
                s.mn.f[i] = sm > 0 ? m.f[i] / sm : 0;
            }
            for (int g = 0; g < GROUPS && !turn; g++) {
                s.sc.v[g] = clamp(vround(s.sc.v[g]), 0, t.top);
                s.mn.v[g] = clamp(vround(s.mn.v[g]), 0, t.top);
            }
            tune_min(&s, v, t, effort->reach);
            if (!last) solve_min(&s, v, t);
        }
        for (int super = 0; super < SUBS / t.per_super; super++) {
            float before = 0, now = 0;
            for (int i = super * t.per_super; i < (super + 1) * t.per_super; i++) {
                now += s.error.f[i];
                if (k) before += best.error.f[i];
            }
            if (k && !(now < before)) continue;
            best.d[super] = s.d[super];
            best.dmin[super] = s.dmin[super];
            for (int i = super * t.per_super; i < (super + 1) * t.per_super; i++) {
                best.sc.f[i] = s.sc.f[i];
                best.mn.f[i] = s.mn.f[i];
                best.error.f[i] = s.error.f[i];
            }
        }
    }
    per_sub xx = subs_squares(v, t.block);
    for (int super = 0; super < SUBS / t.per_super; super++) {
        double squares = 0, error = 0;
        for (int i = super * t.per_super; i < (super + 1) * t.per_super; i++) {
            squares += (double)xx.f[i];
            error += (double)best.error.f[i];
        }
        float lift = lifted(squares, squares - error);
        half1(best.d[super] * lift, &d16[super]);
        half1(best.dmin[super] * lift, &m16[super]);
    }
    return best;
}

/* Codes of all sub-blocks, (block, SUBS). */
ONCE void codes_min(const min_state *s, const subs *v, min_type t, int32_t (*q)[SUBS]) {
    per_sub d, dmin;
    for (int i = 0; i < SUBS; i++) {
        d.f[i] = s->d[i / t.per_super];
        dmin.f[i] = s->dmin[i / t.per_super];
    }
    for (int g = 0; g < GROUPS; g++) {
        vf step = d.v[g] * s->sc.v[g], m = dmin.v[g] * s->mn.v[g], inv = inverse(step);
        for (int l = 0; l < t.block; l++) {
            vi code = to_int(clamp(vround((v->x[g][l] + m) * inv), 0, t.high));
            memcpy(&q[l][g * LANES], &code, sizeof code);
        }
    }
}

/* The 6-bit scales and minima of 8 sub-blocks, as blocks.h draws them. */
static void pack_scales_min(const float *sc, const float *mn, uint8_t *out) {
    for (int j = 0; j < 4; j++) {
        int a = (int)sc[j], b = (int)sc[j + 4], c = (int)mn[j], e = (int)mn[j + 4];
        out[j] = (uint8_t)(a | (b >> 4) << 6);
        out[j + 4] = (uint8_t)(c | (e >> 4) << 6);
        out[j + 8] = (uint8_t)((b & 15) | (e & 15) << 4);
    }
}

static const min_effort effort_k = {10, 2, 1, 1, {1}};
static const min_effort effort_k_weighted = {15, 3, 1, 2, {1, 0.97f}};
static const min_effort effort_q2 = {12, 2, 1, 2, {1, 0.9f}};
static const min_effort effort_q2_weighted = {15, 3, 1, 3, {1, 0.94f, 0.88f, 0.8f}};

void QUANT_ROWS(q4_k)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    const min_type t = {32, 8, 15, 63};
    block_q4_k *b = out;
    subs v;
    int32_t q[32][SUBS];
    uint16_t d[2], m[2];
    for (walk k = walk_start(x, importance, n, n_rows, 32); k.blocks;) {
        subs_next(&k, 32, &v);
        min_state s = quantize_min(&v, t, importance ? &effort_k_weighted : &effort_k, d, m);
        codes_min(&s, &v, t, q);
        for (size_t super = 0; super < v.n / 8; super++, b++) {
            b->d = d[super];
            b->dmin = m[super];
            pack_scales_min(s.sc.f + 8 * super, s.mn.f + 8 * super, b->scales);
            for (int p = 0; p < 4; p++)
                for (int i = 0; i < 32; i++)
                    b->qs[32 * p + i] = (uint8_t)(q[i][8 * super + 2 * p] | q[i][8 * super + 2 * p + 1] << 4);
        }
    }
}

void QUANT_ROWS(q5_k)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    const min_type t = {32, 8, 31, 63};
    block_q5_k *b = out;
    subs v;
    int32_t q[32][SUBS];
    uint16_t d[2], m[2];
    for (walk k = walk_start(x, importance, n, n_rows, 32); k.blocks;) {
        subs_next(&k, 32, &v);
        min_state s = quantize_min(&v, t, importance ? &effort_k_weighted : &effort_k, d, m);
        codes_min(&s, &v, t, q);
        for (size_t super = 0; super < v.n / 8; super++, b++) {
            b->d = d[super];
            b->dmin = m[super];
            pack_scales_min(s.sc.f + 8 * super, s.mn.f + 8 * super, b->scales);
            for (int i = 0; i < 32; i++) {
                int high = 0;
                for (int j = 0; j < 8; j++) high |= q[i][8 * super + (size_t)j] >> 4 << j;
                b->qh[i] = (uint8_t)high;
                for (int p = 0; p < 4; p++)
                    b->qs[32 * p + i] =
                        (uint8_t)((q[i][8 * super + 2 * p] & 15) | (q[i][8 * super + 2 * p + 1] & 15) << 4);
            }
        }
    }
}

void QUANT_ROWS(q2_k)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    const min_type t = {16, 16, 3, 15};
    block_q2_k *b = out;
    subs v;
    int32_t q[16][SUBS];
    uint16_t d[1], m[1];
    for (walk k = walk_start(x, importance, n, n_rows, 16); k.blocks; b++) {
        subs_next(&k, 16, &v);
        min_state s = quantize_min(&v, t, importance ? &effort_q2_weighted : &effort_q2, d, m);
        codes_min(&s, &v, t, q);
        b->d = d[0];
        b->dmin = m[0];
        for (int j = 0; j < 16; j++) b->scales[j] = (uint8_t)((int)s.sc.f[j] | (int)s.mn.f[j] << 4);
        /* value 128 * half + 32 * j + i is number i % 16 of sub-block 8 * half + 2 * j + i / 16 */
        for (int byte = 0; byte < 64; byte++) {
            int bits = 0, i = byte % 32;
            for (int j = 0; j < 4; j++) bits |= q[i % 16][byte / 32 * 8 + 2 * j + i / 16] << 2 * j;
            b->qs[byte] = (uint8_t)bits;
        }
    }
}

/* Quantizers of IQ1_S and IQ1_M: eight values are an entry of a codebook of -1, 0 and 1, moved by an eighth
 * up or down, times a scale: unit * (2 * s + 1) * (8 * g + delta), s of three bits. IQ1_S has s and the sign
 * of delta for 32 values, IQ1_M s for 16 and delta for 8. The best entry for a scale is found as in
 * quant_grid.c; as there are 2048 of them, scales are chosen by the error that values would have if all of
 * 3^8 entries existed, and only those near the best of these are tried in earnest. See quant_super.h. */
#include "kernels/iq_tables.h"
#include "quant_super.h"

typedef struct iq1_type {
    int block, per_super; /* values of a sub-block, sub-blocks of a superblock */
    int delta;            /* values that share a delta */
} iq1_type;

/* The codebook, ordered by the first halves of its entries. */
typedef struct iq1_book {
    uint16_t start[82], index[2048];
    uint8_t second[2048];
    int8_t g[2048][8];
} iq1_book;

static void iq1_make(iq1_book *b) {
    uint8_t first[2048], second[2048];
    for (int k = 0; k < 2048; k++) {
        int half[2] = {0, 0};
        for (int i = 8; i-- > 0;) {
            int level = (int)(iq1_grid[k] >> (i % 4 * 8 + i / 4 * 4) & 15);
            half[i / 4] = 3 * half[i / 4] + level;
            b->g[k][i] = (int8_t)(level - 1);
        }
        first[k] = (uint8_t)half[0];
        second[k] = (uint8_t)half[1];
    }
    sort_halves(first, second, 2048, b->start, b->second, b->index);
}

/* t[h] = the error, less sum(w * x^2), of half an entry h at scale s. wx = w * x. */
INLINE void iq1_half_errors(vf *t, const vf *wx, const vf *w, vf s, vf delta) {
    vf c[4][3], p[9], q[9];
    for (int level = 0; level < 3; level++) {
        vf m = s * (splat(8 * (float)(level - 1)) + delta);
        for (int i = 0; i < 4; i++) c[i][level] = m * (m * w[i] - (wx[i] + wx[i]));
    }
    for (int j = 0; j < 3; j++)
        for (int i = 0; i < 3; i++) {
            p[i + 3 * j] = c[0][i] + c[1][j];
            q[i + 3 * j] = c[2][i] + c[3][j];
        }
    for (int j = 0; j < 9; j++)
        for (int i = 0; i < 9; i++) t[i + 9 * j] = p[i] + q[j];
}

/* The least error of eight values. */
ONCE vf iq1_error(const iq1_book *b, const vf *wx, const vf *w, vf s, vf delta) {
    vf t1[81], t2[81], best = splat(3e38f);
    iq1_half_errors(t1, wx, w, s, delta);
    iq1_half_errors(t2, wx + 4, w + 4, s, delta);
    for (int f = 0; f < 81; f++) {
        const uint8_t *e = b->second + b->start[f], *end = b->second + b->start[f + 1];
        vf m[4];
        if (e == end) continue;
        for (int i = 0; i < 4; i++) m[i] = t2[*e];
        for (; e + 4 <= end; e += 4)
            for (int i = 0; i < 4; i++) m[i] = vmin(m[i], t2[e[i]]);
        for (; e < end; e++) m[0] = vmin(m[0], t2[*e]);
        best = vmin(best, t1[f] + vmin(vmin(m[0], m[1]), vmin(m[2], m[3])));
    }
    return best;
}

/* The entry that has it; and its sums for the best scale. */
ONCE vi iq1_entry(const iq1_book *b, const vf *wx, const vf *w, vf s, vf delta, vf *xq, vf *qq) {
    vf t1[81], t2[81], best = splat(3e38f), shift = delta;
    vi index = splat_i(0);
    iq1_half_errors(t1, wx, w, s, delta);
    iq1_half_errors(t2, wx + 4, w + 4, s, delta);
    for (int f = 0; f < 81; f++)
        for (int e = b->start[f]; e < b->start[f + 1]; e++) {
            vf error = t1[f] + t2[b->second[e]];
            index = less_i(error, best, splat_i(b->index[e]), index);
            best = vmin(best, error);
        }
    for (int i = 0; i < 8; i++) {
        vf g = splat(0);
        for (int l = 0; l < LANES; l++) g[l] = (float)b->g[index[l]][i];
        g = g * splat(8) + shift;
        *xq += wx[i] * g;
        *qq += w[i] * (g * g);
    }
    return index;
}

/* The error if every entry existed, of the better delta for each `y.delta` values; which that is goes to
 * `deltas`. */
ONCE vf iq1_guess(iq1_type y, const vf *wx, const vf *w, vf s, vf *deltas) {
    vf total = splat(0);
    for (int at = 0; at < y.block; at += y.delta) {
        vf error[2];
        for (int sign = 0; sign < 2; sign++) {
            float delta = sign ? -1 : 1;
            vf m0 = s * splat(delta - 8), m1 = s * splat(delta), m2 = s * splat(delta + 8);
            error[sign] = splat(0);
            for (int i = at; i < at + y.delta; i++) {
                vf twice = wx[i] + wx[i];
                vf a = m0 * (m0 * w[i] - twice), b = m1 * (m1 * w[i] - twice), c = m2 * (m2 * w[i] - twice);
                error[sign] += vmin(a, vmin(b, c));
            }
        }
        deltas[at / y.delta] = less(error[1], error[0], splat(-1), splat(1));
        total += vmin(error[0], error[1]);
    }
    return total;
}

typedef struct iq1_state {
    float unit[SUBS];
    per_sub s;        /* 0 .. 7 */
    per_sub index[4]; /* of eight values each */
    per_sub delta[4]; /* -1 or 1, of y.delta values each */
} iq1_state;

INLINE vf iq1_units(const iq1_state *st, iq1_type y, int k) {
    vf v = splat(0);
    for (int l = 0; l < LANES; l++) v[l] = st->unit[(k * LANES + l) / y.per_super];
    return v;
}

/* The best s and deltas by the guess. */
INLINE void iq1_choose(iq1_state *st, iq1_type y, vf (*wx)[32], const subs *v) {
    for (int k = 0; k < GROUPS; k++) {
        vf unit = iq1_units(st, y, k), best = splat(3e38f);
        for (int i = 0; i < 8; i++) {
            vf deltas[4], error = iq1_guess(y, wx[k], v->w[k], unit * splat((float)(2 * i + 1)), deltas);
            st->s.v[k] = less(error, best, splat((float)i), st->s.v[k]);
            for (int j = 0; j < y.block / y.delta; j++)
                st->delta[j].v[k] = less(error, best, deltas[j], st->delta[j].v[k]);
            best = vmin(best, error);
        }
    }
}

/* The best s of those up to `reach` from the chosen one, and the best deltas, by what the codebook has. */
INLINE void iq1_tune(iq1_state *st, const iq1_book *b, iq1_type y, vf (*wx)[32], const subs *v, int down,
                     int up) {
    for (int k = 0; k < GROUPS; k++) {
        vf unit = iq1_units(st, y, k), best = splat(3e38f), from = st->s.v[k];
        for (int i = -down; i <= up; i++) {
            vf s = clamp(from + splat((float)i), 0, 7), scale = unit * (s + s + splat(1)), total = splat(0),
               deltas[4];
            for (int at = 0; at < y.block; at += y.delta) {
                vf plus = splat(0), minus = splat(0);
                for (int j = at; j < at + y.delta; j += 8) {
                    plus += iq1_error(b, wx[k] + j, v->w[k] + j, scale, splat(1));
                    minus += iq1_error(b, wx[k] + j, v->w[k] + j, scale, splat(-1));
                }
                deltas[at / y.delta] = less(minus, plus, splat(-1), splat(1));
                total += vmin(plus, minus);
            }
            st->s.v[k] = less(total, best, s, st->s.v[k]);
            for (int j = 0; j < y.block / y.delta; j++)
                st->delta[j].v[k] = less(total, best, deltas[j], st->delta[j].v[k]);
            best = vmin(best, total);
        }
    }
}

/* Entries for s and the deltas, and the units that would be best for those. */
INLINE void iq1_enter(iq1_state *st, const iq1_book *b, iq1_type y, vf (*wx)[32], const subs *v, bool last,
                      float *better) {
    per_sub xq, qq, xx;
    for (int k = 0; k < GROUPS; k++) {
        vf s = iq1_units(st, y, k) * (st->s.v[k] + st->s.v[k] + splat(1));
        xq.v[k] = qq.v[k] = xx.v[k] = splat(0);
        for (int i = 0; i < y.block; i++) xx.v[k] += wx[k][i] * v->x[k][i];
        for (int i = 0; i < y.block / 8; i++)
            st->index[i].vi[k] = iq1_entry(b, wx[k] + 8 * i, v->w[k] + 8 * i, s,
                                           st->delta[8 * i / y.delta].v[k], &xq.v[k], &qq.v[k]);
    }
    for (int super = 0; super < SUBS / y.per_super; super++) {
        double above = 0, below = 0, squares = 0;
        for (int i = super * y.per_super; i < (super + 1) * y.per_super; i++) {
            double s = 2 * (double)st->s.f[i] + 1;
            above += s * (double)xq.f[i];
            below += s * s * (double)qq.f[i];
            squares += (double)xx.f[i];
        }
        better[super] = st->unit[super];
        if (below > 0 && above > 0)
            better[super] = (float)(above / below) * (last ? lifted(squares, above * above / below) : 1);
    }
}

ONCE void iq1_quantize(iq1_state *st, const iq1_book *b, iq1_type y, const subs *v, uint16_t *d16) {
    static const float shares[] = {0.4f, 0.47f, 0.54f, 0.61f, 0.68f, 0.76f, 0.85f, 0.95f, 1.08f, 0.33f};
    vf wx[GROUPS][32];
    per_sub scale;
    float better[SUBS];
    memset(st, 0, sizeof *st);
    for (int k = 0; k < GROUPS; k++) {
        for (int i = 0; i < y.block; i++) wx[k][i] = v->w[k][i] * v->x[k][i];
        vf one = largest(v->x[k], y.block) * splat(1.0f / 8), best = splat(3e38f);
        scale.v[k] = splat(0);
        for (int i = 0; i < 10; i++) {
            vf deltas[4], s = one * splat(shares[i]), error = iq1_guess(y, wx[k], v->w[k], s, deltas);
            scale.v[k] = less(error, best, s, scale.v[k]);
            best = vmin(best, error);
        }
    }
    for (int super = 0; super < SUBS / y.per_super; super++) {
        float most = 0;
        for (int i = super * y.per_super; i < (super + 1) * y.per_super; i++)
            most = scale.f[i] > most ? scale.f[i] : most;
        st->unit[super] = most / 15;
    }
    iq1_choose(st, y, wx, v);
    iq1_enter(st, b, y, wx, v, false, better);
    for (int super = 0; super < SUBS / y.per_super; super++)
        st->unit[super] = 0.125f * half1(better[super] * 8, &d16[super]);
    iq1_choose(st, y, wx, v);
    iq1_tune(st, b, y, wx, v, 0, 0);
    iq1_enter(st, b, y, wx, v, true, better);
    for (int super = 0; super < SUBS / y.per_super; super++) half1(better[super] * 8, &d16[super]);
}

void QUANT_ROWS(iq1_s)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    const iq1_type y = {32, 8, 32};
    block_iq1_s *b = out;
    subs v;
    iq1_book book;
    iq1_state s;
    uint16_t d[2];
    iq1_make(&book);
    for (walk k = walk_start(x, importance, n, n_rows, 32); k.blocks;) {
        subs_next(&k, 32, &v);
        iq1_quantize(&s, &book, y, &v, d);
        for (size_t super = 0; super < v.n / 8; super++, b++) {
            b->d = d[super];
            for (size_t i = 0; i < 8; i++) {
                size_t sub = 8 * super + i;
                unsigned high = (unsigned)s.s.f[sub] << 12 | (s.delta[0].f[sub] < 0 ? 0x8000 : 0);
                for (size_t j = 0; j < 4; j++) {
                    unsigned index = (unsigned)s.index[j].i[sub];
                    b->qs[4 * i + j] = (uint8_t)index;
                    high |= (index >> 8) << 3 * j;
                }
                b->qh[i] = (uint16_t)high;
            }
        }
    }
}

void QUANT_ROWS(iq1_m)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    const iq1_type y = {16, 16, 8};
    block_iq1_m *b = out;
    subs v;
    iq1_book book;
    iq1_state s;
    uint16_t d[1];
    iq1_make(&book);
    for (walk k = walk_start(x, importance, n, n_rows, 16); k.blocks; b++) {
        subs_next(&k, 16, &v);
        iq1_quantize(&s, &book, y, &v, d);
        for (int i = 0; i < 16; i++) {
            unsigned high = 0;
            for (int j = 0; j < 2; j++) {
                unsigned index = (unsigned)s.index[j].i[i];
                b->qs[2 * i + j] = (uint8_t)index;
                high |= (index >> 8 | (s.delta[j].f[i] < 0 ? 8u : 0)) << 4 * j;
            }
            b->qh[i] = (uint8_t)high;
        }
        for (int i = 0; i < 4; i++) {
            unsigned word = (unsigned)(d[0] >> 4 * i & 15) << 12;
            for (int j = 0; j < 4; j++) word |= (unsigned)s.s.f[4 * i + j] << 3 * j;
            b->scales[2 * i] = (uint8_t)word;
            b->scales[2 * i + 1] = (uint8_t)(word >> 8);
        }
    }
}

/* Quantizers of the types whose magnitudes come from a codebook: IQ2_XXS, IQ2_XS, IQ2_S (8 magnitudes of
 * three levels to an entry) and IQ3_XXS, IQ3_S (4 of eight levels). A value is unit * (2 * s + 1) *
 * magnitude, signs apart; s has four bits. For a scale the best entry is found exactly, by looking at all of
 * them: the error of an entry is the sum of those of its two halves, and there are few halves (81 and 64), so
 * that an entry costs a minimum and a half of an entry an addition. See quant_super.h.
 *
 * XXS and XS keep the signs of eight values in seven bits: the number of minus signs is even. Where it is
 * odd, the value that matters least, by w * |x|, is taken to have the other sign. */
#include "kernels/iq_tables.h"
#include "quant_super.h"

typedef struct grid_type {
    int block, per_super; /* values of a sub-block, sub-blocks of a superblock */
    int dims, levels;     /* of an entry */
    float largest;
    bool even; /* signs */
} grid_type;

/* A codebook, ordered by the first halves of its entries. */
typedef struct grid {
    uint16_t start[82], index[1024]; /* entries with first half f are number start[f] .. start[f + 1] */
    uint8_t second[1024];
    int8_t magnitude[1024][8];
    float level[8];
} grid;

enum { HALVES = 81, SIDE = 2 /* entries searched side by side */ };

static void grid_make(grid *g, const uint64_t *eight, const uint32_t *four, int n, int shift) {
    uint8_t first[1024], second[1024];
    int dims = eight ? 8 : 4, levels = eight ? 3 : 8;
    for (int k = 0; k < n; k++) {
        int half[2] = {0, 0};
        uint64_t entry = eight ? eight[k] : four[k];
        for (int i = dims; i-- > 0;) {
            int m = (int)(entry >> 8 * i & 255), level = m >> shift;
            half[i / (dims / 2)] = levels * half[i / (dims / 2)] + level;
            g->magnitude[k][i] = (int8_t)m;
            g->level[level] = (float)m;
        }
        first[k] = (uint8_t)half[0];
        second[k] = (uint8_t)half[1];
    }
    sort_halves(first, second, n, g->start, g->second, g->index);
}

/* t[h * SIDE] = the error (less sum(w * x^2)) of half an entry h at scale s. wa = w * |x|. */
INLINE void half_errors(vf *t, const grid *g, grid_type y, const vf *wa, const vf *w, vf s) {
    vf c[4][8];
    int n = y.dims / 2;
    for (int level = 0; level < y.levels; level++) {
        vf m = s * splat(g->level[level]);
        for (int i = 0; i < n; i++) c[i][level] = m * (m * w[i] - (wa[i] + wa[i]));
    }
    if (n == 2) {
        for (int j = 0; j < 8; j++)
            for (int i = 0; i < 8; i++) t[(i + 8 * j) * SIDE] = c[0][i] + c[1][j];
        return;
    }
    vf p[9], q[9];
    for (int j = 0; j < 3; j++)
        for (int i = 0; i < 3; i++) {
            p[i + 3 * j] = c[0][i] + c[1][j];
            q[i + 3 * j] = c[2][i] + c[3][j];
        }
    for (int j = 0; j < 9; j++)
        for (int i = 0; i < 9; i++) t[(i + 9 * j) * SIDE] = p[i] + q[j];
}

/* The least error of a sub-block at scale s, less sum(w * x^2). */
INLINE vf grid_error_as(const grid *g, grid_type y, const vf *wa, const vf *w, vf s) {
    vf t1[HALVES * SIDE], t2[HALVES * SIDE], total = splat(0);
    int halves = y.dims == 8 ? 81 : 64;
    for (int at = 0; at < y.block; at += SIDE * y.dims) {
        vf best0 = splat(3e38f), best1 = splat(3e38f);
        for (int c = 0; c < SIDE; c++) {
            int from = at + c * y.dims;
            half_errors(t1 + c, g, y, wa + from, w + from, s);
            half_errors(t2 + c, g, y, wa + from + y.dims / 2, w + from + y.dims / 2, s);
        }
        for (int f = 0; f < halves; f++) {
            const uint8_t *e = g->second + g->start[f], *end = g->second + g->start[f + 1];
            if (e == end) continue;
            vf m0 = t2[*e * SIDE], m1 = t2[*e * SIDE + 1], n0 = m0, n1 = m1;
            for (e++; e + 1 < end; e += 2) {
                m0 = vmin(m0, t2[e[0] * SIDE]);
                m1 = vmin(m1, t2[e[0] * SIDE + 1]);
                n0 = vmin(n0, t2[e[1] * SIDE]);
                n1 = vmin(n1, t2[e[1] * SIDE + 1]);
            }
            if (e < end) {
                m0 = vmin(m0, t2[*e * SIDE]);
                m1 = vmin(m1, t2[*e * SIDE + 1]);
            }
            best0 = vmin(best0, vmin(m0, n0) + t1[f * SIDE]);
            best1 = vmin(best1, vmin(m1, n1) + t1[f * SIDE + 1]);
        }
        total += best0 + best1;
    }
    return total;
}

/* The best entries at scale s: index (block / dims); and their sums for the best scale. */
INLINE void grid_entries_as(const grid *g, grid_type y, const vf *wa, const vf *w, vf s, vi *index, vf *xq,
                            vf *qq) {
    vf t1[HALVES * SIDE], t2[HALVES * SIDE];
    int halves = y.dims == 8 ? 81 : 64;
    *xq = *qq = splat(0);
    for (int at = 0; at < y.block; at += y.dims) {
        vf best = splat(3e38f);
        vi best_index = splat_i(0);
        half_errors(t1, g, y, wa + at, w + at, s);
        half_errors(t2, g, y, wa + at + y.dims / 2, w + at + y.dims / 2, s);
        for (int f = 0; f < halves; f++)
            for (int e = g->start[f]; e < g->start[f + 1]; e++) {
                vf error = t1[f * SIDE] + t2[g->second[e] * SIDE];
                best_index = less_i(error, best, splat_i(g->index[e]), best_index);
                best = vmin(best, error);
            }
        index[at / y.dims] = best_index;
        for (int i = 0; i < y.dims; i++) {
            vf m = splat(0);
            for (int l = 0; l < LANES; l++) m[l] = (float)g->magnitude[best_index[l]][i];
            *xq += wa[at + i] * m;
            *qq += w[at + i] * (m * m);
        }
    }
}

/* Both for entries of either size. */
ONCE vf grid_error(const grid *g, grid_type y, const vf *wa, const vf *w, vf s) {
    if (y.dims == 8) return grid_error_as(g, (grid_type){y.block, y.per_super, 8, 3, 0, 0}, wa, w, s);
    return grid_error_as(g, (grid_type){y.block, y.per_super, 4, 8, 0, 0}, wa, w, s);
}

ONCE void grid_entries(const grid *g, grid_type y, const vf *wa, const vf *w, vf s, vi *index, vf *xq,
                       vf *qq) {
    if (y.dims == 8)
        grid_entries_as(g, (grid_type){y.block, y.per_super, 8, 3, 0, 0}, wa, w, s, index, xq, qq);
    else
        grid_entries_as(g, (grid_type){y.block, y.per_super, 4, 8, 0, 0}, wa, w, s, index, xq, qq);
}

typedef struct grid_state {
    float unit[SUBS];
    per_sub s, error;       /* 0 .. 15 */
    per_sub index[8];       /* entry i of the sub-block */
    int32_t signs[4][SUBS]; /* of values 8 * i .. of the sub-block, a bit each */
} grid_state;

/* Magnitudes times w, and the signs. */
INLINE void take_signs(const vf *x, const vf *w, grid_type y, vf *wa, vi *signs) {
    for (int at = 0; at < y.block; at += 8) {
        vi sign = splat_i(0), odd = splat_i(0), least_at = splat_i(0);
        vf least = splat(3e38f);
        for (int i = 0; i < 8; i++) {
            vf v = w[at + i] * vabs(x[at + i]);
            vi minus = (vi)x[at + i] >> 31 & splat_i(1);
            wa[at + i] = v;
            sign |= minus << i;
            odd ^= minus;
            least_at = less_i(v, least, splat_i(1 << i), least_at);
            least = vmin(least, v);
        }
        if (y.even) {
            vi flip = (splat_i(0) - odd) & least_at;
            sign ^= flip;
            for (int i = 0; i < 8; i++) wa[at + i] = (vf)((vi)wa[at + i] ^ (flip >> i) << 31);
        }
        signs[at / 8] = sign;
    }
}

INLINE void set_units(const float *unit, grid_type y, vf *v, int g) {
    for (int l = 0; l < LANES; l++) (*v)[l] = unit[(g * LANES + l) / y.per_super];
}

INLINE void tune_grid(grid_state *st, const grid *g, grid_type y, vf (*wa)[32], const subs *v, int reach) {
    for (int k = 0; k < GROUPS; k++) {
        vf unit = splat(0), best = splat(3e38f), best_s = splat(0);
        set_units(st->unit, y, &unit, k);
        for (int i = -reach; i <= reach; i++) {
            vf s = clamp(st->s.v[k] + splat((float)i), 0, 15);
            vf error = grid_error(g, y, wa[k], v->w[k], unit * (s + s + splat(1)));
            best_s = less(error, best, s, best_s);
            best = vmin(best, error);
        }
        st->s.v[k] = best_s;
        st->error.v[k] = best;
    }
}

/* Entries for the units and scales there are; and the units that would be best for those. */
INLINE void enter_grid(grid_state *st, const grid *g, grid_type y, vf (*wa)[32], const subs *v, bool last,
                       float *better) {
    per_sub xq, qq, xx;
    for (int k = 0; k < GROUPS; k++) {
        vf unit = splat(0);
        vi index[8];
        set_units(st->unit, y, &unit, k);
        vf s = unit * (st->s.v[k] + st->s.v[k] + splat(1));
        grid_entries(g, y, wa[k], v->w[k], s, index, &xq.v[k], &qq.v[k]);
        for (int i = 0; i < y.block / y.dims; i++) st->index[i].vi[k] = index[i];
        xx.v[k] = splat(0);
        for (int i = 0; i < y.block; i++) xx.v[k] += v->w[k][i] * (v->x[k][i] * v->x[k][i]);
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

/* unit is d * factor */
ONCE void quantize_grid(grid_state *st, const grid *g, grid_type y, const subs *v, float factor,
                        uint16_t *d16) {
    static const float shares[] = {1, 0.86f, 1.16f, 0.74f, 1.32f, 0.93f, 1.08f, 0.63f};
    vf wa[GROUPS][32];
    per_sub scale;
    for (int k = 0; k < GROUPS; k++) {
        vi signs[4];
        take_signs(v->x[k], v->w[k], y, wa[k], signs);
        for (int i = 0; i < y.block / 8; i++) memcpy(&st->signs[i][k * LANES], &signs[i], sizeof signs[i]);
        vf one = largest(v->x[k], y.block) * splat(1 / y.largest), best = splat(3e38f), best_s = splat(0);
        for (int i = 0; i < 8; i++) {
            vf s = one * splat(shares[i]), error = grid_error(g, y, wa[k], v->w[k], s);
            best_s = less(error, best, s, best_s);
            best = vmin(best, error);
        }
        scale.v[k] = best_s;
    }
    for (int super = 0; super < SUBS / y.per_super; super++) {
        float most = 0;
        for (int i = super * y.per_super; i < (super + 1) * y.per_super; i++)
            most = scale.f[i] > most ? scale.f[i] : most;
        st->unit[super] = most / 31;
        for (int i = super * y.per_super; i < (super + 1) * y.per_super; i++)
            st->s.f[i] = most > 0 ? (scale.f[i] / st->unit[super] - 1) * 0.5f : 0;
    }
    for (int k = 0; k < GROUPS; k++) st->s.v[k] = clamp(vround(st->s.v[k]), 0, 15);
    for (int turn = 0; turn < 2; turn++) {
        float better[SUBS];
        tune_grid(st, g, y, wa, v, 1);
        enter_grid(st, g, y, wa, v, false, better);
        for (int super = 0; super < SUBS / y.per_super; super++)
            st->unit[super] = factor * half1(better[super] / factor, &d16[super]);
    }
    float better[SUBS];
    tune_grid(st, g, y, wa, v, 1);
    enter_grid(st, g, y, wa, v, true, better);
    for (int super = 0; super < SUBS / y.per_super; super++) half1(better[super] / factor, &d16[super]);
}

static void put_u32(uint8_t *p, uint32_t v) {
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}

/* Four sign codes of seven bits and a scale. */
static void put_signs_and_scale(uint8_t *p, const grid_state *s, size_t sub) {
    uint32_t v = (uint32_t)s->s.f[sub] << 28;
    for (int i = 0; i < 4; i++) v |= (uint32_t)(s->signs[i][sub] & 127) << 7 * i;
    put_u32(p, v);
}

void QUANT_ROWS(iq2_xxs)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    const grid_type y = {32, 8, 8, 3, 43, true};
    uint8_t *b = out;
    subs v;
    grid g;
    grid_state s;
    uint16_t d[2];
    grid_make(&g, iq2_xxs_grid, NULL, 256, 4);
    for (walk k = walk_start(x, importance, n, n_rows, 32); k.blocks;) {
        subs_next(&k, 32, &v);
        quantize_grid(&s, &g, y, &v, 0.125f, d);
        for (size_t super = 0; super < v.n / 8; super++, b += sizeof(block_iq2_xxs)) {
            memcpy(b, &d[super], 2);
            for (size_t i = 0; i < 8; i++) {
                uint8_t *p = b + offsetof(block_iq2_xxs, qs) + 8 * i;
                for (int j = 0; j < 4; j++) p[j] = (uint8_t)s.index[j].i[8 * super + i];
                put_signs_and_scale(p + 4, &s, 8 * super + i);
            }
        }
    }
}

void QUANT_ROWS(iq2_xs)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    const grid_type y = {16, 16, 8, 3, 43, true};
    block_iq2_xs *b = out;
    subs v;
    grid g;
    grid_state s;
    uint16_t d[1];
    grid_make(&g, iq2_xs_grid, NULL, 512, 4);
    for (walk k = walk_start(x, importance, n, n_rows, 16); k.blocks; b++) {
        subs_next(&k, 16, &v);
        quantize_grid(&s, &g, y, &v, 0.125f, d);
        b->d = d[0];
        for (int i = 0; i < 32; i++)
            b->qs[i] = (uint16_t)(s.index[i % 2].i[i / 2] | (s.signs[i % 2][i / 2] & 127) << 9);
        for (int i = 0; i < 8; i++) b->scales[i] = (uint8_t)((int)s.s.f[2 * i] | (int)s.s.f[2 * i + 1] << 4);
    }
}

void QUANT_ROWS(iq2_s)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    const grid_type y = {16, 16, 8, 3, 43, false};
    block_iq2_s *b = out;
    subs v;
    grid g;
    grid_state s;
    uint16_t d[1];
    grid_make(&g, iq2_s_grid, NULL, 1024, 4);
    for (walk k = walk_start(x, importance, n, n_rows, 16); k.blocks; b++) {
        subs_next(&k, 16, &v);
        quantize_grid(&s, &g, y, &v, 0.125f, d);
        b->d = d[0];
        memset(b->qh, 0, sizeof b->qh);
        for (int i = 0; i < 32; i++) {
            int index = s.index[i % 2].i[i / 2];
            b->qs[i] = (uint8_t)index;
            b->qs[32 + i] = (uint8_t)s.signs[i % 2][i / 2];
            b->qh[i / 4] = (uint8_t)(b->qh[i / 4] | (index >> 8) << i % 4 * 2);
        }
        for (int i = 0; i < 8; i++) b->scales[i] = (uint8_t)((int)s.s.f[2 * i] | (int)s.s.f[2 * i + 1] << 4);
    }
}

void QUANT_ROWS(iq3_xxs)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    const grid_type y = {32, 8, 4, 8, 31, true};
    block_iq3_xxs *b = out;
    subs v;
    grid g;
    grid_state s;
    uint16_t d[2];
    grid_make(&g, NULL, iq3_xxs_grid, 256, 2);
    for (walk k = walk_start(x, importance, n, n_rows, 32); k.blocks;) {
        subs_next(&k, 32, &v);
        quantize_grid(&s, &g, y, &v, 0.5f, d);
        for (size_t super = 0; super < v.n / 8; super++, b++) {
            b->d = d[super];
            for (size_t i = 0; i < 8; i++) {
                for (size_t j = 0; j < 8; j++) b->qs[8 * i + j] = (uint8_t)s.index[j].i[8 * super + i];
                put_signs_and_scale(b->qs + 64 + 4 * i, &s, 8 * super + i);
            }
        }
    }
}

void QUANT_ROWS(iq3_s)(const float *x, const float *importance, size_t n, size_t n_rows, void *out) {
    const grid_type y = {32, 8, 4, 8, 15, false};
    block_iq3_s *b = out;
    subs v;
    grid g;
    grid_state s;
    uint16_t d[2];
    grid_make(&g, NULL, iq3_s_grid, 512, 1);
    for (walk k = walk_start(x, importance, n, n_rows, 32); k.blocks;) {
        subs_next(&k, 32, &v);
        quantize_grid(&s, &g, y, &v, 1, d);
        for (size_t super = 0; super < v.n / 8; super++, b++) {
            b->d = d[super];
            memset(b->qh, 0, sizeof b->qh);
            memset(b->scales, 0, sizeof b->scales);
            for (size_t i = 0; i < 8; i++) {
                size_t sub = 8 * super + i;
                for (size_t j = 0; j < 8; j++) {
                    int index = s.index[j].i[sub];
                    b->qs[8 * i + j] = (uint8_t)index;
                    b->qh[i] = (uint8_t)(b->qh[i] | (index >> 8) << j);
                }
                for (size_t j = 0; j < 4; j++) b->signs[4 * i + j] = (uint8_t)s.signs[j][sub];
                b->scales[i / 2] = (uint8_t)(b->scales[i / 2] | (int)s.s.f[sub] << i % 2 * 4);
            }
        }
    }
}

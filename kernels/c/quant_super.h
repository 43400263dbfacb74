/* What quantizers of superblocks share: 256 values are 8 sub-blocks of 32 or 16 of 16, each with a small
 * whole number as its scale, times the superblock's d. Sixteen sub-blocks are worked on at a time, in one or
 * more vectors, and after their own fits they are tuned to each other: with d given, each sub-block tries the
 * whole numbers near its fit; with those and the codes given, d is the best one by least squares; and again.
 * See quant.h. */
#ifndef LEAT_KERNELS_C_QUANT_SUPER_H
#define LEAT_KERNELS_C_QUANT_SUPER_H

#include "quant.h"

enum { SUBS = 16, GROUPS = SUBS / LANES };

/* A number for each of the sixteen sub-blocks. */
typedef union per_sub {
    float f[SUBS];
    int32_t i[SUBS];
    vf v[GROUPS];
    vi vi[GROUPS];
} per_sub;

/* Values of a superblock in groups of lanes. */
typedef struct subs {
    vf x[GROUPS][32], w[GROUPS][32]; /* the first 16 of each where sub-blocks have 16 */
    size_t n;                        /* sub-blocks that are there */
} subs;

/* Orders the n entries of a codebook by their first halves (below 81): those with first half f are number
 * start[f] .. start[f + 1]. */
static inline void sort_halves(const uint8_t *first, const uint8_t *second, int n, uint16_t *start,
                               uint8_t *second_of, uint16_t *index) {
    memset(start, 0, 82 * sizeof *start);
    for (int k = 0; k < n; k++) start[first[k] + 1]++;
    for (int f = 0; f < 81; f++) start[f + 1] = (uint16_t)(start[f + 1] + start[f]);
    for (int k = n; k-- > 0;) { /* backwards, so that start ends up where it was */
        uint16_t at = --start[first[k] + 1];
        index[at] = (uint16_t)k;
        second_of[at] = second[k];
    }
    for (int f = 0; f < 81; f++) start[f] = start[f + 1];
    start[81] = (uint16_t)n;
}

/* sum(w * x^2) of each sub-block. */
INLINE per_sub subs_squares(const subs *v, int block) {
    per_sub sum;
    for (int g = 0; g < GROUPS; g++) {
        sum.v[g] = splat(0);
        for (int i = 0; i < block; i++) sum.v[g] += v->w[g][i] * v->x[g][i] * v->x[g][i];
    }
    return sum;
}

INLINE void subs_next(walk *k, size_t block, subs *s) {
    s->n = 0;
    for (int g = 0; g < GROUPS; g++) s->n += walk_next(k, block, s->x[g], s->w[g]);
}

#endif

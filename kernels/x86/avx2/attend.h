/* The state of one call of attend, shared by its two shapes (attend.c, attend_stream.c): pointers into the
 * caller's scratch memory, and the steps that both take. Included by these only. */
#ifndef LEAT_KERNELS_X86_AVX2_ATTEND_H
#define LEAT_KERNELS_X86_AVX2_ATTEND_H

#include "avx2.h"

enum {
    KEYS = ATTEND_KEYS,
    GROUP = 6,      /* rows of a tile */
    STREAM_ROWS = 8 /* at most so many are streamed */
};

typedef struct attend_state {
    size_t n_rows;   /* n_tokens * n_heads; row = token * n_heads + head */
    size_t ldq, ldo; /* lengths of rows in q (streaming) and o */
    float *q; /* scale * q: (n_rows, ldq), zeros at the end of rows; for tiles (groups, head_dim_k, GROUP) */
    float *o; /* (n_rows rounded up to a group, ldo): sums of weight * V */
    float *sum;    /* (n_rows ..., 8): eight partial sums of weights */
    float *max;    /* (n_rows ...): largest score so far */
    float *shrink; /* (n_rows ...): factor for o before a block is added */
    float *k,
        *v; /* a block of keys: for tiles (head_dim_k, KEYS) and (KEYS, ldo); v also holds what is decoded */
    float *p; /* (STREAM_ROWS or GROUP, KEYS): scores, then weights of a block */
} attend_state;

/* Few rows. */
void attend_stream_avx2(const attend_args *a, const attend_state *s);

/* Scores p[KEYS] of row r become weights, those from n_visible on and the first n_hidden zero. */
void attend_softmax_avx2(const attend_args *a, const attend_state *s, size_t r, float *p, size_t n_visible,
                         size_t n_hidden);

/* n rows of dim values from `first` on as floats, decoded to `to`, ld floats apart. Not for F32 and F16. */
void attend_floats_avx2(const void *p, size_t stride, size_t first, size_t n, uint32_t format, size_t dim,
                        float *to, size_t ld);

INLINE const float *query(const attend_args *a, size_t r) {
    return a->q + r / a->n_heads * a->q_stride + r % a->n_heads * a->head_dim_k;
}

/* Keys of the block from `first` on that row r sees. */
INLINE size_t visible_keys(const attend_args *a, size_t r, size_t first) {
    size_t limit = a->n_keys + r / a->n_heads;
    if (r >= a->n_tokens * a->n_heads) limit = a->n_keys; /* fills up a group */
    return limit <= first ? 0 : limit - first < KEYS ? limit - first : KEYS;
}

/* Keys of the block from `first` on that have left the window of row r. */
INLINE size_t hidden_keys(const attend_args *a, size_t r, size_t first) {
    size_t limit = a->n_keys + (r < a->n_tokens * a->n_heads ? r / a->n_heads : 0);
    if (!a->window || limit <= a->window + first) return 0;
    return limit - a->window - first < KEYS ? limit - a->window - first : KEYS;
}

/* The first n (1 .. 8) of eight values, then zeros; reads no further. */
INLINE __m256 load_part(const void *p, int type, size_t n) {
    if (type == F32) return _mm256_maskload_ps(p, lanes_below((int)n));
    uint16_t h[8] = {0};
    memcpy(h, p, n * sizeof *h);
    return load8(h, type);
}

INLINE __m256 load_upto8(const void *p, int type, size_t n) {
    return n >= 8 ? load8(p, type) : load_part(p, type, n);
}

#endif

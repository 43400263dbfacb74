/* The state of one call of attend, shared by its two shapes (attend.c, attend_stream.c): pointers into the
 * caller's scratch memory, and the softmax step. Included only inside this folder and by amx/attend.c. */
#ifndef LEAT_KERNELS_X86_AVX512_ATTEND_H
#define LEAT_KERNELS_X86_AVX512_ATTEND_H

#include <math.h>

#include "avx512.h"
#include "vec.h"

typedef struct attend_state {
    size_t n_rows;   /* n_tokens * n_heads; row = token * n_heads + head */
    size_t ldq, ldo; /* row lengths of q and o: the head dimensions rounded up to 16, the padding is zero */
    size_t window;   /* keys that a row sees at most; SIZE_MAX: no limit */
    float cap;       /* softcap * log2(e); 0: none */
    float *q;        /* (n_rows, ldq), times scale * log2(e) */
    float *o;        /* (n_rows, ldo), not yet divided by the sum */
    float *sum;      /* (n_rows, 16), 16 partial sums of the weights */
    float *max;      /* (n_rows), largest score so far, -Inf before the first key */
    float *shrink;   /* (n_rows), what o has to be multiplied with before the current block is added */
    /* one block of keys each: (head_dim_k, 64) and (64, ldo), which K is decoded to before; when streaming v
     * only, for what is decoded */
    float *k, *v;
    /* (rows of a group, 64), scores and then weights of the current block; all rows when streaming */
    float *p;
} attend_state;

/* Rows of K or V from the first key of a block on: where the caller has them, with the rows of other keys
 * behind them, or decoded. */
typedef struct attend_rows {
    const char *p;
    size_t stride;
} attend_rows;

VEC_INLINE attend_rows attend_rows_cached(const void *p, size_t stride, size_t key0) {
    return (attend_rows){(const char *)p + key0 * stride, stride};
}
/* n rows of dim values to floats, ld floats apart. Not for F32 and F16. */
attend_rows attend_rows_decoded(const void *p, size_t stride, size_t key0, size_t n, uint32_t format,
                                size_t dim, float *to, size_t ld);

enum { ATTEND_STREAM_GROUP = 4, ATTEND_STREAM_ROWS = 12 }; /* rows to stream together, and in all */
void attend_stream(const attend_args *a, const attend_state *s);

/* Keys of the block [key0, key0 + n) that row r sees: those of the mask. */
VEC_INLINE __mmask64 attend_visible(const attend_args *a, const attend_state *s, size_t r, size_t key0,
                                    size_t n) {
    const size_t row = r < s->n_rows ? r : s->n_rows - 1, limit = a->n_keys + row / a->n_heads;
    if (limit <= key0) return 0;
    __mmask64 m = vec_mask64(limit - key0 < n ? limit - key0 : n);
    if (limit > s->window && limit - s->window > key0) m &= ~vec_mask64(limit - s->window - key0);
    return m;
}

/* 64 scores, capped. A call: what few models need must not crowd the registers of all. */
void attend_cap(float *p, float cap);

/* Scores p[64] of row r into weights; keys that are not in the mask get weight zero. */
VEC_INLINE void attend_softmax(const attend_state *s, size_t r, float *p, __mmask64 m) {
    const __m512 none = _mm512_set1_ps(-INFINITY);
    if (s->cap > 0) attend_cap(p, s->cap);
#define ATTEND_LOAD(j)                                                                                       \
    __m512 s##j = _mm512_mask_mov_ps(none, (__mmask16)(m >> (16 * (j))), _mm512_load_ps(p + 16 * (j)));
    VEC_EACH4(ATTEND_LOAD)
    float before = s->max[r];
    float block = vec_max16(_mm512_max_ps(_mm512_max_ps(s0, s1), _mm512_max_ps(s2, s3)));
    float max = block > before ? block : before;
    /* a row that has seen no key: Inf - Inf must not make a NaN of its zero weights */
    __m512 base = _mm512_set1_ps(max == -INFINITY ? 0 : max);
    float shrink = 1;
    if (max != before) shrink = _mm512_cvtss_f32(vec_exp2(_mm512_sub_ps(_mm512_set1_ps(before), base)));
    s->max[r] = max;
    s->shrink[r] = shrink;
    __m512 sum = _mm512_mul_ps(_mm512_set1_ps(shrink), _mm512_load_ps(s->sum + 16 * r));
#define ATTEND_WEIGHT(j)                                                                                     \
    s##j = vec_exp2(_mm512_sub_ps(s##j, base));                                                              \
    sum = _mm512_add_ps(sum, s##j);                                                                          \
    _mm512_store_ps(p + 16 * (j), s##j);
    VEC_EACH4(ATTEND_WEIGHT)
    _mm512_store_ps(s->sum + 16 * r, sum);
#undef ATTEND_WEIGHT
#undef ATTEND_LOAD
}

#endif

/* Attention for few query rows: decode. Bound by reading K and V, so both are read once per group of four
 * rows, straight from the cache of keys, and converted in registers: F32, F16, BF16 and Q8_0. Of other types
 * a block of keys is decoded to floats first.
 *
 * Keys are worked on four at a time. Where a row sees all of many keys, as a single token does, the four are
 * far apart, a quarter of the keys each: see kernels/x86/streams.h. The order of keys is nothing to softmax.
 * Called by attend.c. */
#include "attend.h"

#include "kernels/blocks.h"

/* Row r of a group of n, from rows 0 .. 3; key j of a step. */
#define EACH_ROW(X) X(0) X(1) X(2) X(3)
#define EACH_KEY(X) X(0) X(1) X(2) X(3)

enum {
    FAR_KEYS = 256, /* from this many on they are read at four places */
    FAR_STEPS = 16, /* of four keys in a block */
    /* bytes ahead that are asked for, into the first cache and the second */
    NEAR_AHEAD = 640,
    FAR_AHEAD = 1280
};

/* Key c of a block is at p + c / 4 * step + c % 4 * apart. */
typedef struct key_rows {
    const char *p;
    size_t step, apart;
} key_rows;

VEC_INLINE void ask(const char *row, const size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64) {
        _mm_prefetch((const char *)((uintptr_t)row + NEAR_AHEAD + i), _MM_HINT_T0);
        _mm_prefetch((const char *)((uintptr_t)row + FAR_AHEAD + i), _MM_HINT_T1);
    }
}

/* Values i .. i + 16 of a row; m: those there are. Of Q8_0 they are half a block. */
VEC_INLINE __m512 load_16(const char *row, size_t i, const bool whole, __mmask16 m, const uint32_t format) {
    if (format == FORMAT_Q8_0) {
        const char *block = row + i / 32 * sizeof(block_q8_0);
        const __m128i q = _mm_loadu_si128((const void *)(block + offsetof(block_q8_0, qs) + i % 32));
        const __m512 d = _mm512_set1_ps(_cvtsh_ss(vec_load_u16(block)));
        return _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q)));
    }
    return whole ? vec_load_float(row, i, format) : vec_load_float_part(row, i, m, format);
}

/* Sums over each 128 bits of four vectors, next to each other in the same 128 bits. */
VEC_INLINE __m512 sum_quarters(__m512 a, __m512 b, __m512 c, __m512 d) {
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    return _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xEE));
}

/* 128 bits i of the result: the sum of all 128-bit lanes of vector i. */
VEC_INLINE __m512 sum_lanes(__m512 a, __m512 b, __m512 c, __m512 d) {
    const __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE));
    const __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xEE));
    return _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xDD));
}

/* p (rows, 64) = q . K for n keys. Where less than four are left, the first of them stands for the missing
 * ones, whose scores softmax masks. */
VEC_INLINE void stream_scores(const float *q, size_t ldq, size_t dim, key_rows from, size_t n, float *p,
                              const int rows, const uint32_t format) {
    const size_t full = dim / 16 * 16, row_bytes = format_row_bytes(format, dim);
    const __mmask16 rest = vec_mask16(dim - full);
    for (size_t key = 0; key < n; key += 4, from.p += from.step) {
        const size_t left = n - key;
        const char *k0 = from.p, *k1 = left > 1 ? k0 + from.apart : k0,
                   *k2 = left > 2 ? k0 + 2 * from.apart : k0, *k3 = left > 3 ? k0 + 3 * from.apart : k0;
        ask(k0, row_bytes);
        ask(k1, row_bytes);
        ask(k2, row_bytes);
        ask(k3, row_bytes);
#define START(r)                                                                                             \
    __m512 s##r##0 = _mm512_setzero_ps(), s##r##1 = s##r##0, s##r##2 = s##r##0, s##r##3 = s##r##0;
        EACH_ROW(START)
#undef START
#define MUL(r)                                                                                               \
    if (r < rows) {                                                                                          \
        const __m512 y = _mm512_load_ps(q + (r)*ldq + i);                                                    \
        s##r##0 = _mm512_fmadd_ps(x0, y, s##r##0);                                                           \
        s##r##1 = _mm512_fmadd_ps(x1, y, s##r##1);                                                           \
        s##r##2 = _mm512_fmadd_ps(x2, y, s##r##2);                                                           \
        s##r##3 = _mm512_fmadd_ps(x3, y, s##r##3);                                                           \
    }
#define COLUMNS(whole)                                                                                       \
    {                                                                                                        \
        const __m512 x0 = load_16(k0, i, whole, rest, format), x1 = load_16(k1, i, whole, rest, format),     \
                     x2 = load_16(k2, i, whole, rest, format), x3 = load_16(k3, i, whole, rest, format);     \
        EACH_ROW(MUL)                                                                                        \
    }
        size_t i = 0;
        for (; i < full; i += 16) COLUMNS(true)
        if (format != FORMAT_Q8_0 && rest) COLUMNS(false)
#undef COLUMNS
#undef MUL
#define SUM(r)                                                                                               \
    const __m512 t##r = r < rows ? sum_quarters(s##r##0, s##r##1, s##r##2, s##r##3) : _mm512_setzero_ps();
        EACH_ROW(SUM)
#undef SUM
        const __m512 all = sum_lanes(t0, t1, t2, t3);
#define STORE(r)                                                                                             \
    if (r < rows) _mm_store_ps(p + (r)*ATTEND_KEYS + key, _mm512_extractf32x4_ps(all, r));
        EACH_ROW(STORE)
#undef STORE
    }
}

/* o (rows, columns i .. i + 16 * width) = shrink * o + p . V; width 1 takes a mask of its columns. */
VEC_INLINE void stream_values(const float *p, const float *shrink, key_rows from, size_t n, size_t i,
                              float *o, size_t ldo, const int rows, const int width, __mmask16 m,
                              const uint32_t format) {
#define LOAD(r)                                                                                              \
    __m512 x##r = _mm512_set1_ps(r < rows ? shrink[r] : 0), o##r##0 = x##r, o##r##1 = x##r, o##r##2 = x##r,  \
           o##r##3 = x##r;                                                                                   \
    if (r < rows) o##r##0 = _mm512_mul_ps(x##r, _mm512_load_ps(o + (r)*ldo + i));                            \
    if (r < rows && width == 4) {                                                                            \
        o##r##1 = _mm512_mul_ps(x##r, _mm512_load_ps(o + (r)*ldo + i + 16));                                 \
        o##r##2 = _mm512_mul_ps(x##r, _mm512_load_ps(o + (r)*ldo + i + 32));                                 \
        o##r##3 = _mm512_mul_ps(x##r, _mm512_load_ps(o + (r)*ldo + i + 48));                                 \
    }
    EACH_ROW(LOAD)
#undef LOAD
    const size_t ask_at = format_row_bytes(format, i),
                 ask_bytes = format_row_bytes(format, 16 * (size_t)width);
#define MUL(r)                                                                                               \
    if (r < rows) {                                                                                          \
        __m512 x = _mm512_set1_ps(p[(r)*ATTEND_KEYS + c]);                                                   \
        VEC_KEEP(x);                                                                                         \
        o##r##0 = _mm512_fmadd_ps(x, v0, o##r##0);                                                           \
        if (width == 4) {                                                                                    \
            o##r##1 = _mm512_fmadd_ps(x, v1, o##r##1);                                                       \
            o##r##2 = _mm512_fmadd_ps(x, v2, o##r##2);                                                       \
            o##r##3 = _mm512_fmadd_ps(x, v3, o##r##3);                                                       \
        }                                                                                                    \
    }
#define KEY(j)                                                                                               \
    {                                                                                                        \
        const char *v = from.p + (j)*from.apart;                                                             \
        const size_t c = key + (j);                                                                          \
        ask(v + ask_at, ask_bytes);                                                                          \
        const __m512 v0 = load_16(v, i, width == 4, m, format);                                              \
        const __m512 v1 = width == 4 ? load_16(v, i + 16, true, 0, format) : v0;                             \
        const __m512 v2 = width == 4 ? load_16(v, i + 32, true, 0, format) : v0;                             \
        const __m512 v3 = width == 4 ? load_16(v, i + 48, true, 0, format) : v0;                             \
        EACH_ROW(MUL)                                                                                        \
    }
    size_t key = 0;
    for (; key + 4 <= n; key += 4, from.p += from.step) {
        EACH_KEY(KEY)
    }
    for (size_t j = 0; key + j < n; j++) KEY(j)
#undef KEY
#undef MUL
#define STORE(r)                                                                                             \
    if (r < rows) _mm512_store_ps(o + (r)*ldo + i, o##r##0);                                                 \
    if (r < rows && width == 4) {                                                                            \
        _mm512_store_ps(o + (r)*ldo + i + 16, o##r##1);                                                      \
        _mm512_store_ps(o + (r)*ldo + i + 32, o##r##2);                                                      \
        _mm512_store_ps(o + (r)*ldo + i + 48, o##r##3);                                                      \
    }
    EACH_ROW(STORE)
#undef STORE
}

/* A block of n keys from key0 on, or any that all rows see, then key0 is 0; and in what types they are read.
 */
typedef struct key_block {
    key_rows k, v;
    uint32_t k_format, v_format;
    size_t key0, n;
} key_block;

/* Rows r .. r + rows of the call and one block of keys: their weights, and what these make of V. */
VEC_INLINE void stream_weights(const attend_args *a, const attend_state *s, size_t r, const key_block *b,
                               const int rows) {
    const float *q = s->q + r * s->ldq;
    float *p = s->p + r * ATTEND_KEYS;
    if (b->k_format == FORMAT_F16)
        stream_scores(q, s->ldq, a->head_dim_k, b->k, b->n, p, rows, FORMAT_F16);
    else if (b->k_format == FORMAT_BF16)
        stream_scores(q, s->ldq, a->head_dim_k, b->k, b->n, p, rows, FORMAT_BF16);
    else if (b->k_format == FORMAT_Q8_0)
        stream_scores(q, s->ldq, a->head_dim_k, b->k, b->n, p, rows, FORMAT_Q8_0);
    else
        stream_scores(q, s->ldq, a->head_dim_k, b->k, b->n, p, rows, FORMAT_F32);
    for (size_t j = 0; j < (size_t)rows; j++)
        attend_softmax(s, r + j, p + j * ATTEND_KEYS, attend_visible(a, s, r + j, b->key0, b->n));
}

VEC_INLINE void stream_sums(const attend_args *a, const attend_state *s, size_t r, const key_block *b,
                            const int rows) {
    const float *p = s->p + r * ATTEND_KEYS, *shrink = s->shrink + r;
    float *o = s->o + r * s->ldo;
    size_t i = 0;
#define COLUMNS(width, m)                                                                                    \
    if (b->v_format == FORMAT_F16)                                                                           \
        stream_values(p, shrink, b->v, b->n, i, o, s->ldo, rows, width, m, FORMAT_F16);                      \
    else if (b->v_format == FORMAT_BF16)                                                                     \
        stream_values(p, shrink, b->v, b->n, i, o, s->ldo, rows, width, m, FORMAT_BF16);                     \
    else if (b->v_format == FORMAT_Q8_0)                                                                     \
        stream_values(p, shrink, b->v, b->n, i, o, s->ldo, rows, width, m, FORMAT_Q8_0);                     \
    else                                                                                                     \
        stream_values(p, shrink, b->v, b->n, i, o, s->ldo, rows, width, m, FORMAT_F32);
    for (; i + 64 <= a->head_dim_v; i += 64) {
        COLUMNS(4, 0)
    }
    for (; i < a->head_dim_v; i += 16) {
        COLUMNS(1, vec_mask16(a->head_dim_v - i))
    }
#undef COLUMNS
}

/* The sizes of a group that are worth code of their own: one head per KV head, two, and up to four. */
typedef void group_fn(const attend_args *a, const attend_state *s, size_t r, const key_block *b);
#define GROUP_FN(what, rows)                                                                                 \
    static void what##_##rows(const attend_args *a, const attend_state *s, size_t r, const key_block *b) {   \
        what(a, s, r, b, rows);                                                                              \
    }
GROUP_FN(stream_weights, 1)
GROUP_FN(stream_weights, 2)
GROUP_FN(stream_weights, 4)
GROUP_FN(stream_sums, 1)
GROUP_FN(stream_sums, 2)
GROUP_FN(stream_sums, 4)

static void each_group(group_fn *one, group_fn *two, group_fn *four, const attend_args *a,
                       const attend_state *s, const key_block *b) {
    for (size_t r = 0; r < s->n_rows; r += ATTEND_STREAM_GROUP) {
        group_fn *group = s->n_rows - r == 1 ? one : s->n_rows - r == 2 ? two : four;
        group(a, s, r, b);
    }
}

static bool streams(uint32_t format) {
    return format == FORMAT_F32 || format == FORMAT_F16 || format == FORMAT_BF16 || format == FORMAT_Q8_0;
}

static key_rows adjacent(const void *p, size_t stride) {
    return (key_rows){p, 4 * stride, stride};
}

/* Keys key0 .. key0 + n. What is decoded goes to the same place, first K, then V. */
static void near_block(const attend_args *a, const attend_state *s, size_t key0, size_t n) {
    key_block b = {.k_format = a->k_format, .v_format = a->v_format, .key0 = key0, .n = n};
    b.k = adjacent((const char *)a->k + key0 * a->k_stride, a->k_stride);
    b.v = adjacent((const char *)a->v + key0 * a->v_stride, a->v_stride);
    if (!streams(a->k_format)) {
        attend_rows_decoded(a->k, a->k_stride, key0, n, a->k_format, a->head_dim_k, s->v, s->ldq);
        b.k = adjacent(s->v, s->ldq * sizeof(float));
        b.k_format = FORMAT_F32;
    }
    each_group(stream_weights_1, stream_weights_2, stream_weights_4, a, s, &b);
    if (!streams(a->v_format)) {
        attend_rows_decoded(a->v, a->v_stride, key0, n, a->v_format, a->head_dim_v, s->v, s->ldo);
        b.v = adjacent(s->v, s->ldo * sizeof(float));
        b.v_format = FORMAT_F32;
    }
    each_group(stream_sums_1, stream_sums_2, stream_sums_4, a, s, &b);
}

/* Keys at four places, `apart` keys from one to the next, from the first on. */
static void far_block(const attend_args *a, const attend_state *s, size_t first, size_t apart) {
    const key_block b = {
        .k = {(const char *)a->k + first * a->k_stride, a->k_stride, apart * a->k_stride},
        .v = {(const char *)a->v + first * a->v_stride, a->v_stride, apart * a->v_stride},
        .k_format = a->k_format,
        .v_format = a->v_format,
        .n = ATTEND_KEYS,
    };
    each_group(stream_weights_1, stream_weights_2, stream_weights_4, a, s, &b);
    each_group(stream_sums_1, stream_sums_2, stream_sums_4, a, s, &b);
}

void attend_stream(const attend_args *a, const attend_state *s) {
    const size_t n_keys = a->n_keys + a->n_tokens - 1;
    const bool far = a->n_tokens == 1 && n_keys >= FAR_KEYS && n_keys <= s->window && streams(a->k_format) &&
                     streams(a->v_format);
    const size_t quarter = far ? n_keys / ATTEND_KEYS * FAR_STEPS : 0;
    for (size_t i = 0; i < ATTEND_STREAM_ROWS * ATTEND_KEYS; i += 16)
        _mm512_store_ps(s->p + i, _mm512_setzero_ps());
    for (size_t first = 0; first < quarter; first += FAR_STEPS) far_block(a, s, first, quarter);
    for (size_t key0 = 4 * quarter; key0 < n_keys; key0 += ATTEND_KEYS)
        near_block(a, s, key0, n_keys - key0 < ATTEND_KEYS ? n_keys - key0 : ATTEND_KEYS);
}

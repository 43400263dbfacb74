/* Attention for few query rows: decode. Bound by reading K and V, so both are read straight from the cache of
 * keys, once per group of up to four rows, and converted in registers: F32, F16, BF16 and Q8_0. Of other
 * types a block of keys is decoded to floats first.
 *
 * Keys are worked on four at a time. Where a row sees all of many keys, as a single token does, the four are
 * far apart, a quarter of the keys each: see kernels/x86/streams.h. The order of keys is nothing to softmax.
 * Called by attend.c. */
#include "attend.h"

#include "kernels/blocks.h"

enum {
    FAR_KEYS = 256, /* from this many on they are read at four places */
    FAR_STEPS = 16, /* of four keys in a block */
    NEAR_AHEAD = 640,
    FAR_AHEAD = 1280, /* bytes ahead that are asked for, into the first cache and the second */
    Q8_0 = F64 + 1    /* streamed as it is, beside the types of plain values */
};

#define EACH_4(X) X(0) X(1) X(2) X(3)
#define EACH_8(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

/* Key c of a block is at p + c / 4 * step + c % 4 * apart. */
typedef struct key_rows {
    const char *p;
    size_t step, apart;
} key_rows;

/* What is ahead of bytes `from` up to `to` of a row: the lines that begin there, were the row to begin with
 * one. */
INLINE void ask(const char *row, const size_t from, const size_t to) {
    for (size_t i = (from + 63) / 64 * 64; i < to; i += 64) {
        _mm_prefetch((const char *)((uintptr_t)row + NEAR_AHEAD + i), _MM_HINT_T0);
        _mm_prefetch((const char *)((uintptr_t)row + FAR_AHEAD + i), _MM_HINT_T1);
    }
}

/* Bytes of n values; n is a multiple of a block's. */
INLINE size_t bytes_of(size_t n, const int type) {
    return type == Q8_0 ? n / 32 * sizeof(block_q8_0) : n * value_bytes(type);
}

/* Of the block of Q8_0 at or behind p that has value i: its scale, and values i .. i + 8 without it. */
INLINE __m256 load_scale(const char *p, const size_t i) {
    return _mm256_set1_ps(load1(p + i / 32 * sizeof(block_q8_0), F16));
}
INLINE __m256 load_codes(const char *p, const size_t i) {
    p += i / 32 * sizeof(block_q8_0) + offsetof(block_q8_0, qs) + i % 32;
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}

/* Values i .. i + 8 from p on, where a block begins; n of them are there. */
INLINE __m256 load_values(const char *p, const size_t i, size_t n, const int type) {
    if (type == Q8_0) return _mm256_mul_ps(load_scale(p, i), load_codes(p, i));
    return load_upto8(p + i * value_bytes(type), type, n);
}

/* The sums of each four lanes of a, in the lower half, and of b. */
INLINE __m256 add_halves(__m256 a, __m256 b) {
    return _mm256_add_ps(_mm256_blend_ps(a, b, 0xf0), _mm256_permute2f128_ps(a, b, 0x21));
}

/* Within halves: two lanes of what a adds up to, then two of b. */
INLINE __m256 add_quarters(__m256 a, __m256 b) {
    return _mm256_add_ps(_mm256_blend_ps(a, b, 0xcc), _mm256_shuffle_ps(a, b, 0x4e));
}

/* ---- scores ---- */

/* Eight partial sums of 32 products. */
INLINE __m256 dot_32(__m256 x0, __m256 x1, __m256 x2, __m256 x3, const float *q) {
    __m256 s = _mm256_mul_ps(x0, _mm256_load_ps(q));
    s = _mm256_fmadd_ps(x1, _mm256_load_ps(q + 8), s);
    s = _mm256_fmadd_ps(x2, _mm256_load_ps(q + 16), s);
    return _mm256_fmadd_ps(x3, _mm256_load_ps(q + 24), s);
}

/* p (rows, keys 0 .. 3) = q . k. Four rows take two keys at a time: more sums than eight need more registers
 * than there are. */
INLINE void scores_step(const float *q, size_t ldq, size_t dim, const char *const k[4], float *p,
                        const int rows, const int type) {
    const int wide = rows > 2 ? 2 : 4; /* keys at a time */
    const size_t step = type == Q8_0 ? 32 : 8, full = dim / step * step;
    __m256 pairs[2][2] = {{_mm256_setzero_ps(), _mm256_setzero_ps()},
                          {_mm256_setzero_ps(), _mm256_setzero_ps()}};
    for (int key = 0; key < 4; key += wide) {
        /* sum i is that of row i / wide and key i % wide */
#define START(i) __m256 s##i = _mm256_setzero_ps();
        EACH_8(START)
#undef START
#define LOAD(j)                                                                                              \
    if ((j) < wide) x[j] = load_values(k[key + (j) % wide] + at, i, n, type);
#define MUL(m)                                                                                               \
    if ((m) / wide < rows)                                                                                   \
        s##m = _mm256_fmadd_ps(x[(m) % wide], _mm256_load_ps(q + (m) / wide * ldq + d + i), s##m);
#define COLUMNS(first, there)                                                                                \
    {                                                                                                        \
        const size_t i = first, n = there;                                                                   \
        __m256 x[4];                                                                                         \
        EACH_4(LOAD)                                                                                         \
        EACH_8(MUL)                                                                                          \
    }
/* the block of key j, scaled when it is summed up; sums a and b are those of the rows */
#define BLOCK(j, a, b)                                                                                       \
    {                                                                                                        \
        const char *block = k[j] + at;                                                                       \
        const __m256 x0 = load_codes(block, 0), x1 = load_codes(block, 8), x2 = load_codes(block, 16),       \
                     x3 = load_codes(block, 24), scale = load_scale(block, 0);                               \
        s##a = _mm256_fmadd_ps(scale, dot_32(x0, x1, x2, x3, q + d), s##a);                                  \
        if (rows == 2) s##b = _mm256_fmadd_ps(scale, dot_32(x0, x1, x2, x3, q + ldq + d), s##b);             \
    }
        size_t d = 0, at = 0;
        for (; d < full; d += step, at += bytes_of(step, type)) {
            if (type != Q8_0) {
                COLUMNS(0, 8)
            } else if (rows <= 2) {
                BLOCK(0, 0, 4)
                BLOCK(1, 1, 5)
                BLOCK(2, 2, 6)
                BLOCK(3, 3, 7)
            } else {
                COLUMNS(0, 8)
                COLUMNS(8, 8)
                COLUMNS(16, 8)
                COLUMNS(24, 8)
            }
        }
        if (type != Q8_0 && d < dim) COLUMNS(0, dim - d)
#undef BLOCK
#undef COLUMNS
#undef MUL
#undef LOAD
        if (rows == 4) {
            pairs[key / 2][0] = add_quarters(add_halves(s0, s2), add_halves(s1, s3));
            pairs[key / 2][1] = add_quarters(add_halves(s4, s6), add_halves(s5, s7));
        } else {
            pairs[0][0] = add_quarters(add_halves(s0, s4), add_halves(s1, s5));
            pairs[1][0] = add_quarters(add_halves(s2, s6), add_halves(s3, s7));
        }
    }
    const __m256 first = _mm256_hadd_ps(pairs[0][0], pairs[1][0]);
    _mm_store_ps(p, _mm256_castps256_ps128(first));
    if (rows > 1) _mm_store_ps(p + KEYS, _mm256_extractf128_ps(first, 1));
    if (rows == 4) {
        const __m256 second = _mm256_hadd_ps(pairs[0][1], pairs[1][1]);
        _mm_store_ps(p + 2 * KEYS, _mm256_castps256_ps128(second));
        _mm_store_ps(p + 3 * KEYS, _mm256_extractf128_ps(second, 1));
    }
}

/* p (rows, KEYS) = q . K for n keys. Where less than four are left, the first of them stands for the missing
 * ones, whose scores softmax masks. */
INLINE void stream_scores(const attend_args *a, const attend_state *s, size_t r, key_rows from, size_t n,
                          const int rows, const int type) {
    const size_t dim = a->head_dim_k, row_bytes = bytes_of(dim, type);
    const float *q = s->q + r * s->ldq;
    for (size_t key = 0; key < n; key += 4, from.p += from.step) {
        const char *k[4];
        for (size_t j = 0; j < 4; j++) {
            k[j] = from.p + (key + j < n ? j : 0) * from.apart;
            ask(k[j], 0, row_bytes);
        }
        scores_step(q, s->ldq, dim, k, s->p + r * KEYS + key, rows, type);
    }
}

/* ---- sums of values ---- */

/* o (rows, columns i .. i + 8 * width) = shrink * o + p . V; width 1 may have less than eight columns. */
INLINE void stream_columns(const attend_args *a, const attend_state *s, size_t r, key_rows from, size_t n,
                           size_t i, const int rows, const int width, const int type) {
    const float *p = s->p + r * KEYS, *shrink = s->shrink + r;
    float *o = s->o + r * s->ldo + i;
    /* the block that column i is in, and where in it: a constant where it can be */
    const size_t left = a->head_dim_v - i, in_block = type != Q8_0 || width >= 4 ? 0 : i % 32;
    const size_t at = bytes_of(i - in_block, type), begin = at + in_block;
    const size_t columns = 8 * (size_t)width;
    const size_t end = begin + (type == Q8_0 ? columns + (columns + 31) / 32 * 2 : bytes_of(columns, type));
    /* of few rows, the weights are less work to scale than the values */
    const bool scale_p = type == Q8_0 && width >= 4;
    /* sum m is that of row m / width and columns 8 * (m % width) on */
#define START(m)                                                                                             \
    __m256 s##m = _mm256_setzero_ps();                                                                       \
    if ((m) < rows * width)                                                                                  \
        s##m = _mm256_mul_ps(_mm256_load_ps(o + (m) / width * s->ldo + 8 * ((m) % width)),                   \
                             broadcast_float(shrink + (m) / width));
    EACH_8(START)
#undef START
#define LOAD(c)                                                                                              \
    if ((c) < width)                                                                                         \
        x[c] = scale_p ? load_codes(v + at, 8 * (c))                                                         \
                       : load_values(v + at, in_block + 8 * (c), width == 1 ? left : 8, type);
#define MUL(m)                                                                                               \
    if ((m) < rows * width) {                                                                                \
        __m256 y = broadcast_float(p + (m) / width * KEYS + key);                                            \
        if (scale_p) y = _mm256_mul_ps(y, load_scale(v + at, 8 * ((m) % width)));                            \
        s##m = _mm256_fmadd_ps(x[(m) % width], y, s##m);                                                     \
    }
#define KEY(j)                                                                                               \
    {                                                                                                        \
        const char *v = from.p + (j)*from.apart;                                                             \
        __m256 x[8];                                                                                         \
        ask(v, begin, end);                                                                                  \
        EACH_8(LOAD)                                                                                         \
        EACH_8(MUL)                                                                                          \
        key++;                                                                                               \
    }
    size_t key = 0;
    for (; key + 4 <= n; from.p += from.step) {
        EACH_4(KEY)
    }
    for (size_t j = 0; key < n; j++) KEY(j)
#undef KEY
#undef MUL
#undef LOAD
#define STORE(m)                                                                                             \
    if ((m) < rows * width) _mm256_store_ps(o + (m) / width * s->ldo + 8 * ((m) % width), s##m);
    EACH_8(STORE)
#undef STORE
}

INLINE void stream_sums(const attend_args *a, const attend_state *s, size_t r, key_rows from, size_t n,
                        const int rows, const int type) {
    const int width = 8 / rows;
    size_t i = 0;
    for (; i + 8 * (size_t)width <= a->head_dim_v; i += 8 * (size_t)width)
        stream_columns(a, s, r, from, n, i, rows, width, type);
    for (; i < a->head_dim_v; i += 8) stream_columns(a, s, r, from, n, i, rows, 1, type);
}

/* ---- blocks of keys ---- */

typedef void stream_fn(const attend_args *a, const attend_state *s, size_t r, key_rows from, size_t n);
#define STREAM_FN(what, name, type, rows)                                                                    \
    static void what##_##name##_##rows(const attend_args *a, const attend_state *s, size_t r, key_rows from, \
                                       size_t n) {                                                           \
        what(a, s, r, from, n, rows, type);                                                                  \
    }
#define STREAM_FNS(what)                                                                                     \
    STREAM_FN(what, f32, F32, 1)                                                                             \
    STREAM_FN(what, f32, F32, 2)                                                                             \
    STREAM_FN(what, f32, F32, 4)                                                                             \
    STREAM_FN(what, f16, F16, 1)                                                                             \
    STREAM_FN(what, f16, F16, 2)                                                                             \
    STREAM_FN(what, f16, F16, 4)                                                                             \
    STREAM_FN(what, bf16, BF16, 1)                                                                           \
    STREAM_FN(what, bf16, BF16, 2)                                                                           \
    STREAM_FN(what, bf16, BF16, 4)                                                                           \
    STREAM_FN(what, q8_0, Q8_0, 1)                                                                           \
    STREAM_FN(what, q8_0, Q8_0, 2)                                                                           \
    STREAM_FN(what, q8_0, Q8_0, 4)                                                                           \
    /* [type][log2 of rows] */                                                                               \
    static stream_fn *const what##_fns[][3] = {[F32] = {what##_f32_1, what##_f32_2, what##_f32_4},           \
                                               [F16] = {what##_f16_1, what##_f16_2, what##_f16_4},           \
                                               [BF16] = {what##_bf16_1, what##_bf16_2, what##_bf16_4},       \
                                               [Q8_0] = {what##_q8_0_1, what##_q8_0_2, what##_q8_0_4}};
STREAM_FNS(stream_scores)
STREAM_FNS(stream_sums)

/* Calls fns for all rows, in fours, then a pair, then one. */
static void each_group(stream_fn *const *fns, const attend_args *a, const attend_state *s, key_rows from,
                       size_t n) {
    size_t r = 0;
    for (; r + 4 <= s->n_rows; r += 4) fns[2](a, s, r, from, n);
    for (; r + 2 <= s->n_rows; r += 2) fns[1](a, s, r, from, n);
    for (; r < s->n_rows; r++) fns[0](a, s, r, from, n);
}

/* How a type is streamed; F32 for those that are decoded first. */
static int stream_type(uint32_t format) {
    return format == FORMAT_F16 ? F16 : format == FORMAT_BF16 ? BF16 : format == FORMAT_Q8_0 ? Q8_0 : F32;
}

static bool streams(uint32_t format) {
    return format == FORMAT_F32 || stream_type(format) != F32;
}

static key_rows adjacent(const void *p, size_t stride) {
    return (key_rows){p, 4 * stride, stride};
}

/* Keys first .. first + n. What is decoded goes to the same place, first K, then V. */
static void near_block(const attend_args *a, const attend_state *s, size_t first, size_t n) {
    key_rows k = adjacent((const char *)a->k + first * a->k_stride, a->k_stride);
    key_rows v = adjacent((const char *)a->v + first * a->v_stride, a->v_stride);
    if (!streams(a->k_format)) {
        attend_floats_avx2(a->k, a->k_stride, first, n, a->k_format, a->head_dim_k, s->v, s->ldq);
        k = adjacent(s->v, s->ldq * sizeof(float));
    }
    each_group(stream_scores_fns[stream_type(a->k_format)], a, s, k, n);
    for (size_t r = 0; r < s->n_rows; r++)
        attend_softmax_avx2(a, s, r, s->p + r * KEYS, visible_keys(a, r, first), hidden_keys(a, r, first));
    if (!streams(a->v_format)) {
        attend_floats_avx2(a->v, a->v_stride, first, n, a->v_format, a->head_dim_v, s->v, s->ldo);
        v = adjacent(s->v, s->ldo * sizeof(float));
    }
    each_group(stream_sums_fns[stream_type(a->v_format)], a, s, v, n);
}

/* Keys at four places, `apart` keys from one to the next, from the first on. All rows see all of them. */
static void far_block(const attend_args *a, const attend_state *s, size_t first, size_t apart) {
    const key_rows k = {(const char *)a->k + first * a->k_stride, a->k_stride, apart * a->k_stride};
    const key_rows v = {(const char *)a->v + first * a->v_stride, a->v_stride, apart * a->v_stride};
    each_group(stream_scores_fns[stream_type(a->k_format)], a, s, k, KEYS);
    for (size_t r = 0; r < s->n_rows; r++) attend_softmax_avx2(a, s, r, s->p + r * KEYS, KEYS, 0);
    each_group(stream_sums_fns[stream_type(a->v_format)], a, s, v, KEYS);
}

void attend_stream_avx2(const attend_args *a, const attend_state *s) {
    for (size_t r = 0; r < s->n_rows; r++)
        for (size_t d = 0; d < s->ldq; d++)
            s->q[r * s->ldq + d] = d < a->head_dim_k ? query(a, r)[d] * a->scale : 0;
    memset(s->p, 0, STREAM_ROWS * KEYS * sizeof *s->p);

    const size_t n_keys = a->n_keys + a->n_tokens - 1;
    const bool far = a->n_tokens == 1 && n_keys >= FAR_KEYS && (a->window == 0 || n_keys <= a->window) &&
                     streams(a->k_format) && streams(a->v_format);
    const size_t quarter = far ? n_keys / KEYS * FAR_STEPS : 0;
    for (size_t first = 0; first < quarter; first += FAR_STEPS) far_block(a, s, first, quarter);
    for (size_t first = 4 * quarter; first < n_keys; first += KEYS)
        near_block(a, s, first, n_keys - first < KEYS ? n_keys - first : KEYS);
}

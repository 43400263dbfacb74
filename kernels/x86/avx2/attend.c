/* Causal attention of one KV head, in float, without anything that grows with the number of keys: keys are
 * taken in blocks of 64; a block's scores become weights relative to the largest score so far, and what was
 * summed up before is shrunk when that grows. Called through the kernel table only.
 *
 * A row is one query head of one token. Few rows (decode) stream K and V, converting as they read (F32, F16
 * and Q8_0; of other types a block of keys is decoded first, and streamed from there). Many rows (prompts)
 * share the work of turning a block of K into columns and of converting V, then multiply in tiles of 6 rows
 * x 16. A row's result does not depend on the rows beside it, but the two ways add in different orders: which
 * one is taken follows from n_tokens * n_heads alone. */
#include "exp.h"

#include <math.h>

#include "kernels/blocks.h"

enum {
    KEYS = ATTEND_KEYS,
    GROUP = 6,       /* rows of a tile */
    STREAM_ROWS = 8, /* at most so many are streamed */
    Q8_0 = BF16 + 1  /* streamed as it is, beside the types of plain values */
};

typedef struct state {
    size_t n_rows;   /* n_tokens * n_heads; row = token * n_heads + head */
    size_t ldq, ldo; /* lengths of rows in q (streaming) and o */
    float *q; /* scale * q: (n_rows, ldq), zeros at the end of rows; for tiles (groups, head_dim_k, GROUP) */
    float *o; /* (n_rows rounded up to a group, ldo): sums of weight * V */
    float *sum;    /* (n_rows ..., 8): eight partial sums of weights */
    float *max;    /* (n_rows ...): largest score so far */
    float *shrink; /* (n_rows ...): factor for o before a block is added */
    float *k,
        *v; /* a block of keys: for tiles (head_dim_k, KEYS) and (KEYS, ldo); v also holds what is decoded */
    size_t v_bytes; /* of a row of V */
    float *p;       /* (STREAM_ROWS or GROUP, KEYS): scores, then weights of a block */
} state;

static size_t round_up(size_t n, size_t to) {
    return (n + to - 1) / to * to;
}

static void state_open(state *s, const attend_args *a) {
    const size_t room = ATTEND_ROWS_MAX + 16;
    float *at = a->scratch;
    s->n_rows = a->n_tokens * a->n_heads;
    s->ldq = round_up(a->head_dim_k, 8);
    s->ldo = round_up(a->head_dim_v, 16);
    s->v_bytes = format_row_bytes(a->v_format, a->head_dim_v);
    s->q = at, at += room * ATTEND_HEAD_DIM_MAX;
    s->o = at, at += room * ATTEND_HEAD_DIM_MAX;
    s->sum = at, at += room * 8;
    s->max = at, at += room;
    s->shrink = at, at += room * 23;
    s->k = at, at += KEYS * ATTEND_HEAD_DIM_MAX;
    s->v = at, at += KEYS * ATTEND_HEAD_DIM_MAX;
    s->p = at;

    const size_t rows = round_up(s->n_rows, GROUP);
    memset(s->o, 0, rows * s->ldo * sizeof(float));
    memset(s->sum, 0, rows * 8 * sizeof(float));
    for (size_t r = 0; r < rows; r++) s->max[r] = -INFINITY;
}

/* Keys of the block from `first` on that row r sees. */
static size_t visible_keys(const attend_args *a, size_t r, size_t first) {
    size_t limit = a->n_keys + r / a->n_heads;
    if (r >= a->n_tokens * a->n_heads) limit = a->n_keys; /* fills up a group */
    return limit <= first ? 0 : limit - first < KEYS ? limit - first : KEYS;
}

/* Keys of the block from `first` on that have left the window of row r. */
static size_t hidden_keys(const attend_args *a, size_t r, size_t first) {
    size_t limit = a->n_keys + (r < a->n_tokens * a->n_heads ? r / a->n_heads : 0);
    if (!a->window || limit <= a->window + first) return 0;
    return limit - a->window - first < KEYS ? limit - a->window - first : KEYS;
}

/* Rows of K or V from the first key of a block on. */
typedef struct rows {
    const char *p;
    size_t stride;
    bool cached; /* they lie where the caller has them, with the rows of other keys behind them */
} rows;

static rows rows_as_they_are(const void *p, size_t stride, size_t first) {
    return (rows){(const char *)p + first * stride, stride, true};
}

/* n rows of dim values as floats, decoded to `to`, ld floats apart. */
static rows rows_as_floats(const void *p, size_t stride, size_t first, size_t n, uint32_t format, size_t dim,
                           float *to, size_t ld) {
    static decode_fn *const decoders[FORMAT_COUNT] = {[FORMAT_BF16] = decode_bf16_avx2,
                                                      [FORMAT_Q8_0] = decode_q8_0_avx2,
                                                      [FORMAT_Q4_0] = decode_q4_0_avx2,
                                                      [FORMAT_Q5_0] = decode_q5_0_avx2,
                                                      [FORMAT_IQ4_NL] = decode_iq4_nl_avx2};
    const char *from = (const char *)p + first * stride;
    for (size_t i = 0; i < n; i++, from += stride) {
        for (size_t at = 0; at < stride; at += 64) _mm_prefetch(from + 16 * stride + at, _MM_HINT_T0);
        decoders[format](from, to + i * ld, dim);
    }
    return (rows){(const char *)to, ld * sizeof(float), false};
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

/* softcap * tanh(x / softcap) of a block of scores; tanh(z) = 1 - 2 / (1 + e^2z) */
static void cap_block(float *p, float cap) {
    const __m256 one = _mm256_set1_ps(1), two = _mm256_set1_ps(2), caps = _mm256_set1_ps(cap);
    for (size_t i = 0; i < KEYS; i += 8) {
        __m256 e = exp_any(_mm256_mul_ps(_mm256_load_ps(p + i), _mm256_set1_ps(2 / cap)));
        __m256 t = _mm256_sub_ps(one, _mm256_div_ps(two, _mm256_add_ps(one, e)));
        _mm256_store_ps(p + i, _mm256_mul_ps(caps, t));
    }
}

/* Scores p of row r become weights, those from n_visible on and the first n_hidden zero. */
static void softmax_block(const attend_args *a, const state *s, size_t r, float *p, size_t n_visible,
                          size_t n_hidden) {
    s->shrink[r] = 1;
    if (n_visible <= n_hidden) {
        memset(p, 0, KEYS * sizeof *p);
        return;
    }
    if (a->softcap > 0) cap_block(p, a->softcap);
    for (size_t i = 0; i < n_hidden; i++) p[i] = -INFINITY;
    const __m256 none = _mm256_set1_ps(-INFINITY);
    __m256 largest = none;
    for (size_t i = 0; i < KEYS; i += 8) {
        __m256 x = _mm256_blendv_ps(none, _mm256_load_ps(p + i),
                                    _mm256_castsi256_ps(lanes_below((int)n_visible - (int)i)));
        _mm256_store_ps(p + i, x);
        largest = _mm256_max_ps(largest, x);
    }
    const float before = s->max[r], block = max8(largest), max = block > before ? block : before;
    const __m256 base = _mm256_set1_ps(max);
    __m256 sum = _mm256_load_ps(s->sum + 8 * r);
    if (max != before) {
        __m256 shrink = exp_not_positive(_mm256_sub_ps(_mm256_set1_ps(before), base));
        s->shrink[r] = _mm256_cvtss_f32(shrink);
        s->max[r] = max;
        sum = _mm256_mul_ps(sum, shrink);
    }
    for (size_t i = 0; i < KEYS; i += 8) {
        __m256 weight = exp_not_positive(_mm256_sub_ps(_mm256_load_ps(p + i), base));
        _mm256_store_ps(p + i, weight);
        sum = _mm256_add_ps(sum, weight);
    }
    _mm256_store_ps(s->sum + 8 * r, sum);
}

static void write_out(const attend_args *a, const state *s) {
    for (size_t r = 0; r < s->n_rows; r++) {
        const float *o = s->o + r * s->ldo;
        float *out = a->out + r / a->n_heads * a->out_stride + r % a->n_heads * a->head_dim_v;
        const __m256 sum = _mm256_set1_ps(sum8(_mm256_load_ps(s->sum + 8 * r)));
        for (size_t i = 0; i < a->head_dim_v; i += 8)
            _mm256_maskstore_ps(out + i, lanes_below((int)(a->head_dim_v - i)),
                                _mm256_div_ps(_mm256_load_ps(o + i), sum));
    }
}

static const float *query(const attend_args *a, size_t r) {
    return a->q + r / a->n_heads * a->q_stride + r % a->n_heads * a->head_dim_k;
}

/* ---- few rows
 * ------------------------------------------------------------------------------------------------- */

#define EACH_8(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

/* Lane i is the sum of the lanes of a[i]. */
INLINE __m256 sums_of_8(__m256 a0, __m256 a1, __m256 a2, __m256 a3, __m256 a4, __m256 a5, __m256 a6,
                        __m256 a7) {
    __m256 x = _mm256_hadd_ps(_mm256_hadd_ps(a0, a1), _mm256_hadd_ps(a2, a3));
    __m256 y = _mm256_hadd_ps(_mm256_hadd_ps(a4, a5), _mm256_hadd_ps(a6, a7));
    return _mm256_add_ps(_mm256_permute2f128_ps(x, y, 0x20), _mm256_permute2f128_ps(x, y, 0x31));
}

/* Scores of 8 / n_rows keys and n_rows rows, row by row, to p. */
INLINE void store_scores(__m256 s, int n_rows, float *p) {
    if (n_rows == 1) {
        _mm256_store_ps(p, s);
    } else if (n_rows == 2) {
        _mm_store_ps(p, _mm256_castps256_ps128(s));
        _mm_store_ps(p + KEYS, _mm256_extractf128_ps(s, 1));
    } else {
        __m128 lo = _mm256_castps256_ps128(s), hi = _mm256_extractf128_ps(s, 1);
        _mm_storel_pi((__m64 *)(void *)p, lo);
        _mm_storeh_pi((__m64 *)(void *)(p + KEYS), lo);
        _mm_storel_pi((__m64 *)(void *)(p + 2 * KEYS), hi);
        _mm_storeh_pi((__m64 *)(void *)(p + 3 * KEYS), hi);
    }
}

/* Scores of `n_rows` (1, 2, 4) rows with the 8 / n_rows keys from k on; keys past n_keys are taken to be the
 * last one. */
INLINE void stream_scores_step(const float *q, size_t ldq, const char *k, size_t stride, size_t n_keys,
                               size_t dim, int type, int n_rows, float *p) {
    const int keys = 8 / n_rows;
    const size_t last = n_keys - 1, bytes = value_bytes(type), full = dim / 8 * 8;
#define START(i)                                                                                             \
    const char *k##i = k + ((i) % keys < (int)last ? (size_t)((i) % keys) : last) * stride;                  \
    const float *q##i = q + (size_t)((i) / keys) * ldq;                                                      \
    __m256 a##i = _mm256_setzero_ps();
#define STEP(i) a##i = _mm256_fmadd_ps(load8(k##i + d * bytes, type), _mm256_load_ps(q##i + d), a##i);
#define END(i)                                                                                               \
    a##i = _mm256_fmadd_ps(load_part(k##i + full * bytes, type, dim - full), _mm256_load_ps(q##i + full),    \
                           a##i);
    EACH_8(START)
    for (size_t d = 0; d < full; d += 8) {
        EACH_8(STEP)
    }
    if (full < dim) {
        EACH_8(END)
    }
#undef START
#undef STEP
#undef END
    store_scores(sums_of_8(a0, a1, a2, a3, a4, a5, a6, a7), n_rows, p);
}

/* Eight values of a block of Q8_0, from `at` on. */
INLINE __m256 load8_q8_0(const char *block, size_t at) {
    const __m256 d = _mm256_set1_ps(load1(block, F16));
    const __m128i q = _mm_loadl_epi64((const __m128i *)(const void *)(block + offsetof(block_q8_0, qs) + at));
    return _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)));
}

/* The same for Q8_0. Sum i is that of key i / n_rows, so that the rows which share a block of K follow one
 * another while its floats are in registers. */
INLINE void stream_scores_step_q8_0(const float *q, size_t ldq, const char *k, size_t stride, size_t n_keys,
                                    size_t dim, int n_rows, float *p) {
    const size_t last = n_keys - 1;
#define START(i)                                                                                             \
    const char *k##i = k + ((i) / n_rows < (int)last ? (size_t)((i) / n_rows) : last) * stride;              \
    const float *q##i = q + (size_t)((i) % n_rows) * ldq;                                                    \
    __m256 a##i = _mm256_setzero_ps();
#define STEP(i)                                                                                              \
    a##i = _mm256_fmadd_ps(load8_q8_0(k##i + at, 0), _mm256_load_ps(q##i + d), a##i);                        \
    a##i = _mm256_fmadd_ps(load8_q8_0(k##i + at, 8), _mm256_load_ps(q##i + d + 8), a##i);                    \
    a##i = _mm256_fmadd_ps(load8_q8_0(k##i + at, 16), _mm256_load_ps(q##i + d + 16), a##i);                  \
    a##i = _mm256_fmadd_ps(load8_q8_0(k##i + at, 24), _mm256_load_ps(q##i + d + 24), a##i);
    EACH_8(START)
    for (size_t d = 0, at = 0; d < dim; d += 32, at += sizeof(block_q8_0)) {
        EACH_8(STEP)
    }
#undef START
#undef STEP
    __m256 s = n_rows == 1   ? sums_of_8(a0, a1, a2, a3, a4, a5, a6, a7)
               : n_rows == 2 ? sums_of_8(a0, a2, a4, a6, a1, a3, a5, a7)
                             : sums_of_8(a0, a4, a1, a5, a2, a6, a3, a7);
    store_scores(s, n_rows, p);
}

/* A block of n_keys keys: what the next steps will read of K, and the rows of V that come after all steps,
 * are fetched ahead. */
INLINE void stream_scores(const attend_args *a, const state *s, size_t r, rows from, size_t first,
                          size_t n_keys, int type, int n_rows) {
    const size_t keys = (size_t)(8 / n_rows), dim = a->head_dim_k;
    const size_t k_bytes = !from.cached   ? 0
                           : type == Q8_0 ? dim / 32 * sizeof(block_q8_0)
                                          : dim * value_bytes(type);
    const char *k = from.p, *v = (const char *)a->v + first * a->v_stride;
    for (size_t i = 0; i < n_keys; i += keys, k += keys * from.stride, v += keys * a->v_stride) {
        for (size_t j = 0; j < keys; j++) {
            for (size_t at = 0; at < k_bytes; at += 64)
                _mm_prefetch(k + (16 + j) * from.stride + at, _MM_HINT_T0);
            for (size_t at = 0; at < s->v_bytes; at += 64)
                _mm_prefetch(v + j * a->v_stride + at, _MM_HINT_T0);
        }
        const float *q = s->q + r * s->ldq;
        float *p = s->p + r * KEYS + i;
        if (type == Q8_0)
            stream_scores_step_q8_0(q, s->ldq, k, from.stride, n_keys - i, dim, n_rows, p);
        else
            stream_scores_step(q, s->ldq, k, from.stride, n_keys - i, dim, type, n_rows, p);
    }
}

/* o = o * shrink + p V for `n_rows` rows and as many vectors of eight columns as make 8 accumulators, or one
 * vector, of which n columns exist. v is the first of these columns; of Q8_0 the block that holds it, as
 * value `at`. */
INLINE void stream_values_step(const float *p, const char *v, size_t at, size_t stride, size_t n_keys,
                               int type, int n_rows, int vectors, size_t n, const float *shrink, float *o,
                               size_t ldo) {
#define ROW(i)                                                                                               \
    ((i) / vectors < n_rows ? (size_t)((i) / vectors) : 0) /* accumulators beyond the last row are not used  \
                                                            */
#define COLUMN(i) (8 * (size_t)((i) % vectors))
#define LOAD(i)                                                                                              \
    (type == Q8_0 ? load8_q8_0(v + COLUMN(i) / 32 * sizeof(block_q8_0), at + COLUMN(i) % 32)                 \
                  : load_upto8(v + COLUMN(i) * value_bytes(type), type, n))
#define START(i)                                                                                             \
    __m256 a##i = _mm256_mul_ps(_mm256_load_ps(o + ROW(i) * ldo + COLUMN(i)), _mm256_set1_ps(shrink[ROW(i)]));
#define STEP(i)                                                                                              \
    if ((i) < n_rows * vectors)                                                                              \
        a##i = _mm256_fmadd_ps(LOAD(i), broadcast_float(p + ROW(i) * KEYS + key), a##i);
#define END(i)                                                                                               \
    if ((i) < n_rows * vectors) _mm256_store_ps(o + ROW(i) * ldo + COLUMN(i), a##i);
    EACH_8(START)
    for (size_t key = 0; key < n_keys; key++, v += stride) {
        EACH_8(STEP)
    }
    EACH_8(END)
#undef ROW
#undef COLUMN
#undef LOAD
#undef START
#undef STEP
#undef END
}

INLINE void stream_values(const attend_args *a, const state *s, size_t r, rows from, size_t first,
                          size_t n_keys, int type, int n_rows) {
    const size_t dim = a->head_dim_v, many = (size_t)(64 / n_rows);
    const float *p = s->p + r * KEYS, *shrink = s->shrink + r;
    float *o = s->o + r * s->ldo;
    size_t d = 0;
    (void)first;
#define COLUMN_AT(d) (from.p + (type == Q8_0 ? (d) / 32 * sizeof(block_q8_0) : (d)*value_bytes(type)))
    /* with a block or more to a step, `at` is known to be 0 */
    for (; d + many <= dim; d += many)
        stream_values_step(p, COLUMN_AT(d), many >= 32 ? 0 : d % 32, from.stride, n_keys, type, n_rows,
                           8 / n_rows, 8, shrink, o + d, s->ldo);
    for (; d + 8 <= dim; d += 8)
        stream_values_step(p, COLUMN_AT(d), d % 32, from.stride, n_keys, type, n_rows, 1, 8, shrink, o + d,
                           s->ldo);
    if (d < dim && type != Q8_0)
        stream_values_step(p, COLUMN_AT(d), 0, from.stride, n_keys, type, n_rows, 1, dim - d, shrink, o + d,
                           s->ldo);
#undef COLUMN_AT
}

typedef void stream_fn(const attend_args *a, const state *s, size_t r, rows from, size_t first,
                       size_t n_keys);
#define STREAM_FN(what, name, type, n_rows)                                                                  \
    static void what##_##name##_##n_rows(const attend_args *a, const state *s, size_t r, rows from,          \
                                         size_t first, size_t n_keys) {                                      \
        what(a, s, r, from, first, n_keys, type, n_rows);                                                    \
    }
#define STREAM_FNS(what)                                                                                     \
    STREAM_FN(what, f32, F32, 1)                                                                             \
    STREAM_FN(what, f32, F32, 2)                                                                             \
    STREAM_FN(what, f32, F32, 4)                                                                             \
    STREAM_FN(what, f16, F16, 1)                                                                             \
    STREAM_FN(what, f16, F16, 2)                                                                             \
    STREAM_FN(what, f16, F16, 4)                                                                             \
    STREAM_FN(what, q8_0, Q8_0, 1)                                                                           \
    STREAM_FN(what, q8_0, Q8_0, 2)                                                                           \
    STREAM_FN(what, q8_0, Q8_0, 4)                                                                           \
    /* [type][log2 of rows] */                                                                               \
    static stream_fn *const what##_fns[][3] = {[F32] = {what##_f32_1, what##_f32_2, what##_f32_4},           \
                                               [F16] = {what##_f16_1, what##_f16_2, what##_f16_4},           \
                                               [Q8_0] = {what##_q8_0_1, what##_q8_0_2, what##_q8_0_4}};
STREAM_FNS(stream_scores)
STREAM_FNS(stream_values)

/* Calls fns for all rows, in fours, then a pair, then one. */
static void stream_rows(stream_fn *const *fns, const attend_args *a, const state *s, rows from, size_t first,
                        size_t n_keys) {
    size_t r = 0;
    for (; r + 4 <= s->n_rows; r += 4) fns[2](a, s, r, from, first, n_keys);
    for (; r + 2 <= s->n_rows; r += 2) fns[1](a, s, r, from, first, n_keys);
    for (; r < s->n_rows; r++) fns[0](a, s, r, from, first, n_keys);
}

/* How a type is streamed; F32 for those that are decoded first. */
static int stream_type(uint32_t format) {
    return format == FORMAT_F16 ? F16 : format == FORMAT_Q8_0 ? Q8_0 : F32;
}

static bool streams(uint32_t format) {
    return format == FORMAT_F32 || stream_type(format) != F32;
}

static void attend_stream(const attend_args *a, const state *s) {
    for (size_t r = 0; r < s->n_rows; r++)
        for (size_t d = 0; d < s->ldq; d++)
            s->q[r * s->ldq + d] = d < a->head_dim_k ? query(a, r)[d] * a->scale : 0;

    const size_t n_keys = a->n_keys + a->n_tokens - 1;
    for (size_t first = 0; first < n_keys; first += KEYS) {
        size_t n = n_keys - first < KEYS ? n_keys - first : KEYS;
        rows k = streams(a->k_format)
                     ? rows_as_they_are(a->k, a->k_stride, first)
                     : rows_as_floats(a->k, a->k_stride, first, n, a->k_format, a->head_dim_k, s->v, s->ldq);
        stream_rows(stream_scores_fns[stream_type(a->k_format)], a, s, k, first, n);
        for (size_t r = 0; r < s->n_rows; r++)
            softmax_block(a, s, r, s->p + r * KEYS, visible_keys(a, r, first), hidden_keys(a, r, first));
        rows v = streams(a->v_format)
                     ? rows_as_they_are(a->v, a->v_stride, first)
                     : rows_as_floats(a->v, a->v_stride, first, n, a->v_format, a->head_dim_v, s->v, s->ldo);
        stream_rows(stream_values_fns[stream_type(a->v_format)], a, s, v, first, n);
    }
}

/* ---- many rows
 * ------------------------------------------------------------------------------------------------ */

#define EACH_6(X) X(0) X(1) X(2) X(3) X(4) X(5)

/* p (GROUP, KEYS), 16 columns of it = q (dim, GROUP), transposed, times k (dim, KEYS), 16 columns of it */
static void tile_scores(const float *q, const float *k, size_t dim, float *p) {
#define START(i) __m256 lo##i = _mm256_setzero_ps(), hi##i = lo##i;
#define STEP(i)                                                                                              \
    x = broadcast_float(q + (i));                                                                            \
    lo##i = _mm256_fmadd_ps(lo, x, lo##i);                                                                   \
    hi##i = _mm256_fmadd_ps(hi, x, hi##i);
#define END(i)                                                                                               \
    _mm256_store_ps(p + (i)*KEYS, lo##i);                                                                    \
    _mm256_store_ps(p + (i)*KEYS + 8, hi##i);
    EACH_6(START)
    for (size_t d = 0; d < dim; d++, q += GROUP, k += KEYS) {
        __m256 lo = _mm256_load_ps(k), hi = _mm256_load_ps(k + 8), x;
        EACH_6(STEP)
    }
    EACH_6(END)
#undef START
#undef STEP
#undef END
}

/* o (GROUP, ldo), 16 columns of it, = o * shrink + p (GROUP, KEYS) times v (n_keys, ldo), 16 columns of it */
static void tile_values(const float *p, const float *v, size_t n_keys, const float *shrink, float *o,
                        size_t ldo) {
#define START(i)                                                                                             \
    __m256 lo##i = _mm256_mul_ps(_mm256_load_ps(o + (i)*ldo), _mm256_set1_ps(shrink[i]));                    \
    __m256 hi##i = _mm256_mul_ps(_mm256_load_ps(o + (i)*ldo + 8), _mm256_set1_ps(shrink[i]));
#define STEP(i)                                                                                              \
    x = broadcast_float(p + (i)*KEYS + key);                                                                 \
    lo##i = _mm256_fmadd_ps(lo, x, lo##i);                                                                   \
    hi##i = _mm256_fmadd_ps(hi, x, hi##i);
#define END(i)                                                                                               \
    _mm256_store_ps(o + (i)*ldo, lo##i);                                                                     \
    _mm256_store_ps(o + (i)*ldo + 8, hi##i);
    EACH_6(START)
    for (size_t key = 0; key < n_keys; key++, v += ldo) {
        __m256 lo = _mm256_load_ps(v), hi = _mm256_load_ps(v + 8), x;
        EACH_6(STEP)
    }
    EACH_6(END)
#undef START
#undef STEP
#undef END
}

/* n_keys rows of K to columns; those up to a multiple of 16 are the last one again. */
INLINE void columns_of_keys(const attend_args *a, const state *s, rows from, size_t n_keys, int type) {
    for (size_t key = 0; key < round_up(n_keys, 16); key += 8)
        for (size_t d = 0; d < a->head_dim_k; d += 8) {
            __m256 x[8];
            for (size_t i = 0; i < 8; i++) {
                size_t at = key + i < n_keys ? key + i : n_keys - 1;
                x[i] = load_upto8(from.p + at * from.stride + d * value_bytes(type), type, a->head_dim_k - d);
            }
            transpose_8x8(x);
            for (size_t i = 0; i < 8; i++) _mm256_store_ps(s->k + (d + i) * KEYS + key, x[i]);
        }
}

/* Rows first .. first + n_keys of V to floats, zeros up to ldo. */
INLINE void values_of_keys(const attend_args *a, const state *s, size_t first, size_t n_keys, int type) {
    for (size_t key = 0; key < n_keys; key++) {
        const char *v = (const char *)a->v + (first + key) * a->v_stride;
        float *to = s->v + key * s->ldo;
        size_t d = 0;
        for (; d < a->head_dim_v; d += 8)
            _mm256_store_ps(to + d, load_upto8(v + d * value_bytes(type), type, a->head_dim_v - d));
        if (d < s->ldo) _mm256_store_ps(to + d, _mm256_setzero_ps());
    }
}

/* A block of keys as tiles read it. Types other than plain F32 and F16 are decoded in s->v first. */
static void load_keys(const attend_args *a, const state *s, size_t first, size_t n) {
    if (a->k_format == FORMAT_F16)
        columns_of_keys(a, s, rows_as_they_are(a->k, a->k_stride, first), n, F16);
    else if (a->k_format == FORMAT_F32)
        columns_of_keys(a, s, rows_as_they_are(a->k, a->k_stride, first), n, F32);
    else
        columns_of_keys(a, s,
                        rows_as_floats(a->k, a->k_stride, first, n, a->k_format, a->head_dim_k, s->v, s->ldq),
                        n, F32);
}

static void load_values(const attend_args *a, const state *s, size_t first, size_t n) {
    if (a->v_format == FORMAT_F16) {
        values_of_keys(a, s, first, n, F16);
    } else if (a->v_format == FORMAT_F32) {
        values_of_keys(a, s, first, n, F32);
    } else {
        rows_as_floats(a->v, a->v_stride, first, n, a->v_format, a->head_dim_v, s->v, s->ldo);
        for (size_t i = 0; i < n; i++)
            for (size_t d = a->head_dim_v; d < s->ldo; d++) s->v[i * s->ldo + d] = 0;
    }
}

static void attend_tiles(const attend_args *a, const state *s) {
    const size_t dim = a->head_dim_k, n_groups = round_up(s->n_rows, GROUP) / GROUP;
    for (size_t r = 0; r < n_groups * GROUP; r++) {
        float *q = s->q + r / GROUP * GROUP * dim + r % GROUP;
        for (size_t d = 0; d < dim; d++) q[d * GROUP] = r < s->n_rows ? query(a, r)[d] * a->scale : 0;
    }

    const size_t n_keys = a->n_keys + a->n_tokens - 1;
    for (size_t first = 0; first < n_keys; first += KEYS) {
        size_t n = n_keys - first < KEYS ? n_keys - first : KEYS;
        load_keys(a, s, first, n);
        load_values(a, s, first, n);
        for (size_t r = 0; r < n_groups * GROUP; r += GROUP) {
            size_t seen = 0; /* by any row of the group */
            for (size_t i = r; i < r + GROUP; i++) {
                size_t visible = visible_keys(a, i, first);
                if (visible > seen) seen = visible;
            }
            if (seen == 0) continue;
            for (size_t key = 0; key < seen; key += 16)
                tile_scores(s->q + r * dim, s->k + key, dim, s->p + key);
            for (size_t i = 0; i < GROUP; i++)
                softmax_block(a, s, r + i, s->p + i * KEYS, visible_keys(a, r + i, first),
                              hidden_keys(a, r + i, first));
            for (size_t d = 0; d < s->ldo; d += 16)
                tile_values(s->p, s->v + d, seen, s->shrink + r, s->o + r * s->ldo + d, s->ldo);
        }
    }
}

void attend_avx2(const attend_args *a) {
    state s;
    state_open(&s, a);
    if (s.n_rows <= STREAM_ROWS)
        attend_stream(a, &s);
    else
        attend_tiles(a, &s);
    write_out(a, &s);
}

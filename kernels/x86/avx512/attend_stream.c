/* Attention for few query rows: decode. Bound by reading K and V, so both are read once per group of four
 * rows, straight from the cache of keys, and converted in registers: F32, F16 and Q8_0. Of other types a
 * block of keys is decoded to floats first. Called by attend.c. */
#include "attend.h"

#include "kernels/blocks.h"

/* Row r of a group of n, from rows 0 .. 3. */
#define EACH_ROW(X) X(0) X(1) X(2) X(3)

/* Lane i of the result is the sum of the 16 floats at v + 16 * i. */
VEC_INLINE __m512 sum_rows_16(const float *v) {
    __m512 q[4];
    for (int i = 0; i < 4; i++) {
        __m512 t[4];
        vec_transpose_4x4(_mm512_load_ps(v + 64 * i), _mm512_load_ps(v + 64 * i + 16),
                          _mm512_load_ps(v + 64 * i + 32), _mm512_load_ps(v + 64 * i + 48), t);
        q[i] = _mm512_add_ps(_mm512_add_ps(t[0], t[1]), _mm512_add_ps(t[2], t[3]));
    }
    /* lane L of q[i] holds partial sums of rows 4i .. 4i+3; a 4 x 4 transpose of the 128-bit lanes brings
     * them together */
    __m512 a = _mm512_shuffle_f32x4(q[0], q[1], 0x44), b = _mm512_shuffle_f32x4(q[0], q[1], 0xEE);
    __m512 c = _mm512_shuffle_f32x4(q[2], q[3], 0x44), d = _mm512_shuffle_f32x4(q[2], q[3], 0xEE);
    a = _mm512_add_ps(a, b);
    c = _mm512_add_ps(c, d);
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, c, 0x88), _mm512_shuffle_f32x4(a, c, 0xDD));
}

/* Values at .. at + 16 of a block of Q8_0. */
VEC_INLINE __m512 load_q8_0(const char *block, size_t at) {
    const __m512 d = _mm512_set1_ps(_cvtsh_ss(vec_load_u16(block)));
    const __m128i q = _mm_loadu_si128((const void *)(block + offsetof(block_q8_0, qs) + at));
    return _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q)));
}

/* p (rows, 64) = q . K for the n keys from key0 on. Asks for the next block's K and this block's V meanwhile.
 */
VEC_INLINE void stream_scores(const attend_args *a, const attend_state *s, size_t r, attend_rows from,
                              size_t key0, size_t n, const int rows, uint32_t format) {
    const float *q = s->q + r * s->ldq;
    const size_t full = a->head_dim_k / 16 * 16;
    const __mmask16 rest = vec_mask16(a->head_dim_k - full);
    const size_t k_bytes = from.cached ? format_row_bytes(format, a->head_dim_k) : 0;
    const size_t v_bytes = format_row_bytes(a->v_format, a->head_dim_v);
    const char *k = from.p;
    for (size_t key = 0; key < n; key++, k += from.stride) {
        const uintptr_t k_next = (uintptr_t)k + ATTEND_KEYS * from.stride;
        const uintptr_t v = (uintptr_t)a->v + (key0 + key) * a->v_stride;
        for (size_t i = 0; i < k_bytes; i += 64) _mm_prefetch((const char *)(k_next + i), _MM_HINT_T0);
        for (size_t i = 0; i < v_bytes; i += 64) _mm_prefetch((const char *)(v + i), _MM_HINT_T0);
        __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
#define MUL(r)                                                                                               \
    if (r < rows) s##r = _mm512_fmadd_ps(x, _mm512_load_ps(q + (r)*s->ldq + i), s##r);
        size_t i = 0;
        if (format == FORMAT_Q8_0) {
            for (const char *block = k; i < full; block += sizeof(block_q8_0)) {
                for (size_t at = 0; at < 32; at += 16, i += 16) {
                    const __m512 x = load_q8_0(block, at);
                    EACH_ROW(MUL)
                }
            }
        } else {
            for (; i < full; i += 16) {
                const __m512 x = vec_load_float(k, i, format);
                EACH_ROW(MUL)
            }
            if (rest) {
                const __m512 x = vec_load_float_part(k, i, rest, format);
                EACH_ROW(MUL)
            }
        }
#undef MUL
#define STORE(r)                                                                                             \
    if (r < rows) _mm512_store_ps(s->k + (r)*16 * ATTEND_KEYS + 16 * key, s##r);
        EACH_ROW(STORE)
#undef STORE
    }
    /* of a last group of less than 16 keys, the missing ones have stale but initialised sums, which softmax
     * masks */
    for (size_t j = 0; j < (size_t)rows; j++)
        for (size_t key = 0; key < n; key += 16)
            _mm512_store_ps(s->p + (r + j) * ATTEND_KEYS + key,
                            sum_rows_16(s->k + (j * ATTEND_KEYS + key) * 16));
}

/* o (rows, columns i .. i + 16 * width) = shrink * o + p . V; width 1 takes a mask of its columns. */
VEC_INLINE void stream_values(const float *p, const float *shrink, attend_rows from, size_t n, size_t i,
                              float *o, size_t ldo, const int rows, const int width, __mmask16 m,
                              uint32_t format) {
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
    /* the block of Q8_0 that holds column i; four vectors are two whole blocks */
    const char *v = from.p + (format == FORMAT_Q8_0 ? i / 32 * sizeof(block_q8_0) : 0);
    const size_t at = width == 4 ? 0 : i % 32;
    for (size_t key = 0; key < n; key++, v += from.stride) {
        __m512 v0, v1, v2, v3;
        if (format == FORMAT_Q8_0)
            v0 = load_q8_0(v, at);
        else
            v0 = width == 4 ? vec_load_float(v, i, format) : vec_load_float_part(v, i, m, format);
        v1 = v2 = v3 = v0;
        if (width == 4 && format == FORMAT_Q8_0) {
            v1 = load_q8_0(v, 16);
            v2 = load_q8_0(v + sizeof(block_q8_0), 0);
            v3 = load_q8_0(v + sizeof(block_q8_0), 16);
        } else if (width == 4) {
            v1 = vec_load_float(v, i + 16, format);
            v2 = vec_load_float(v, i + 32, format);
            v3 = vec_load_float(v, i + 48, format);
        }
#define MUL(r)                                                                                               \
    if (r < rows) {                                                                                          \
        __m512 x = _mm512_set1_ps(p[(r)*ATTEND_KEYS + key]);                                                 \
        VEC_KEEP(x);                                                                                         \
        o##r##0 = _mm512_fmadd_ps(x, v0, o##r##0);                                                           \
        if (width == 4) {                                                                                    \
            o##r##1 = _mm512_fmadd_ps(x, v1, o##r##1);                                                       \
            o##r##2 = _mm512_fmadd_ps(x, v2, o##r##2);                                                       \
            o##r##3 = _mm512_fmadd_ps(x, v3, o##r##3);                                                       \
        }                                                                                                    \
    }
        EACH_ROW(MUL)
#undef MUL
    }
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

/* Rows r .. r + rows of the call and one block of keys: their weights, and what these make of V. */
VEC_INLINE void stream_weights(const attend_args *a, const attend_state *s, size_t r, attend_rows from,
                               size_t key0, size_t n, const int rows) {
    if (a->k_format == FORMAT_F16)
        stream_scores(a, s, r, from, key0, n, rows, FORMAT_F16);
    else if (a->k_format == FORMAT_Q8_0)
        stream_scores(a, s, r, from, key0, n, rows, FORMAT_Q8_0);
    else
        stream_scores(a, s, r, from, key0, n, rows, FORMAT_F32);
    for (size_t j = 0; j < (size_t)rows; j++)
        attend_softmax(s, r + j, s->p + (r + j) * ATTEND_KEYS, attend_visible(a, s, r + j, key0, n));
}

VEC_INLINE void stream_sums(const attend_args *a, const attend_state *s, size_t r, attend_rows from,
                            size_t key0, size_t n, const int rows) {
    const float *p = s->p + r * ATTEND_KEYS, *shrink = s->shrink + r;
    float *o = s->o + r * s->ldo;
    size_t i = 0;
    (void)key0;
#define COLUMNS(width, m)                                                                                    \
    if (a->v_format == FORMAT_F16)                                                                           \
        stream_values(p, shrink, from, n, i, o, s->ldo, rows, width, m, FORMAT_F16);                         \
    else if (a->v_format == FORMAT_Q8_0)                                                                     \
        stream_values(p, shrink, from, n, i, o, s->ldo, rows, width, m, FORMAT_Q8_0);                        \
    else                                                                                                     \
        stream_values(p, shrink, from, n, i, o, s->ldo, rows, width, m, FORMAT_F32);
    for (; i + 64 <= a->head_dim_v; i += 64) {
        COLUMNS(4, 0)
    }
    for (; i < a->head_dim_v; i += 16) {
        COLUMNS(1, vec_mask16(a->head_dim_v - i))
    }
#undef COLUMNS
}

/* The sizes of a group that are worth code of their own: one head per KV head, two, and up to four. */
typedef void group_fn(const attend_args *a, const attend_state *s, size_t r, attend_rows from, size_t key0,
                      size_t n);
#define GROUP_FN(what, rows)                                                                                 \
    static void what##_##rows(const attend_args *a, const attend_state *s, size_t r, attend_rows from,       \
                              size_t key0, size_t n) {                                                       \
        what(a, s, r, from, key0, n, rows);                                                                  \
    }
GROUP_FN(stream_weights, 1)
GROUP_FN(stream_weights, 2)
GROUP_FN(stream_weights, 4)
GROUP_FN(stream_sums, 1)
GROUP_FN(stream_sums, 2)
GROUP_FN(stream_sums, 4)

static void each_group(group_fn *one, group_fn *two, group_fn *four, const attend_args *a,
                       const attend_state *s, attend_rows from, size_t key0, size_t n) {
    for (size_t r = 0; r < s->n_rows; r += ATTEND_STREAM_GROUP) {
        group_fn *group = s->n_rows - r == 1 ? one : s->n_rows - r == 2 ? two : four;
        group(a, s, r, from, key0, n);
    }
}

static bool streams(uint32_t format) {
    return format == FORMAT_F32 || format == FORMAT_F16 || format == FORMAT_Q8_0;
}

void attend_stream(const attend_args *a, const attend_state *s) {
    size_t n_keys = a->n_keys + a->n_tokens - 1;
    for (size_t i = 0; i < ATTEND_STREAM_GROUP * 16 * ATTEND_KEYS; i += 16)
        _mm512_store_ps(s->k + i, _mm512_setzero_ps());
    for (size_t i = 0; i < ATTEND_STREAM_ROWS * ATTEND_KEYS; i += 16)
        _mm512_store_ps(s->p + i, _mm512_setzero_ps());
    for (size_t key0 = 0; key0 < n_keys; key0 += ATTEND_KEYS) {
        size_t n = n_keys - key0 < ATTEND_KEYS ? n_keys - key0 : ATTEND_KEYS;
        attend_rows k = streams(a->k_format) ? attend_rows_cached(a->k, a->k_stride, key0)
                                             : attend_rows_decoded(a->k, a->k_stride, key0, n, a->k_format,
                                                                   a->head_dim_k, s->v, s->ldq);
        each_group(stream_weights_1, stream_weights_2, stream_weights_4, a, s, k, key0, n);
        attend_rows v = streams(a->v_format) ? attend_rows_cached(a->v, a->v_stride, key0)
                                             : attend_rows_decoded(a->v, a->v_stride, key0, n, a->v_format,
                                                                   a->head_dim_v, s->v, s->ldo);
        each_group(stream_sums_1, stream_sums_2, stream_sums_4, a, s, v, key0, n);
    }
}

/* Attention for few query rows: decode. Bound by reading K and V, so both are read once per group of four
 * rows, straight from the cache of keys, and converted in registers. Called by attend.c. */
#include "attend.h"

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

/* p (rows, 64) = q . K for keys key0 .. key0 + n. Asks for the next block's K and this block's V meanwhile.
 */
VEC_INLINE void stream_scores(const attend_args *a, const attend_state *s, const float *q, size_t key0,
                              size_t n, const int rows, uint32_t format) {
    const size_t full = a->head_dim_k / 16 * 16;
    const __mmask16 rest = vec_mask16(a->head_dim_k - full);
    const size_t k_bytes = a->head_dim_k * (format == FORMAT_F16 ? 2 : 4);
    const size_t v_bytes = a->head_dim_v * (a->v_format == FORMAT_F16 ? 2 : 4);
    for (size_t key = 0; key < n; key++) {
        const char *k = (const char *)a->k + (key0 + key) * a->k_stride;
        const uintptr_t k_next = (uintptr_t)k + ATTEND_KEYS * a->k_stride;
        const uintptr_t v = (uintptr_t)a->v + (key0 + key) * a->v_stride;
        for (size_t i = 0; i < k_bytes; i += 64) _mm_prefetch((const char *)(k_next + i), _MM_HINT_T0);
        for (size_t i = 0; i < v_bytes; i += 64) _mm_prefetch((const char *)(v + i), _MM_HINT_T0);
        __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
#define MUL(r)                                                                                               \
    if (r < rows) s##r = _mm512_fmadd_ps(x, _mm512_load_ps(q + (r)*s->ldq + i), s##r);
        size_t i = 0;
        for (; i < full; i += 16) {
            const __m512 x = vec_load_float(k, i, format);
            EACH_ROW(MUL)
        }
        if (rest) {
            const __m512 x = vec_load_float_part(k, i, rest, format);
            EACH_ROW(MUL)
        }
#undef MUL
#define STORE(r)                                                                                             \
    if (r < rows) _mm512_store_ps(s->k + (r)*16 * ATTEND_KEYS + 16 * key, s##r);
        EACH_ROW(STORE)
#undef STORE
    }
    /* of a last group of less than 16 keys, the missing ones have stale but initialised sums, which softmax
     * masks */
    for (size_t r = 0; r < (size_t)rows; r++)
        for (size_t key = 0; key < n; key += 16)
            _mm512_store_ps(s->p + r * ATTEND_KEYS + key, sum_rows_16(s->k + (r * ATTEND_KEYS + key) * 16));
}

/* o (rows, columns i .. i + 16 * width) = shrink * o + p . V; width 1 takes a mask of its columns. */
VEC_INLINE void stream_values(const attend_args *a, const float *p, const float *shrink, size_t key0,
                              size_t n, size_t i, float *o, size_t ldo, const int rows, const int width,
                              __mmask16 m, uint32_t format) {
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
    const char *v = (const char *)a->v + key0 * a->v_stride;
    for (size_t key = 0; key < n; key++, v += a->v_stride) {
        __m512 v0 = width == 4 ? vec_load_float(v, i, format) : vec_load_float_part(v, i, m, format);
        __m512 v1 = v0, v2 = v0, v3 = v0;
        if (width == 4) {
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

/* One block of keys for rows r .. r + rows of the call. */
VEC_INLINE void stream_block(const attend_args *a, const attend_state *s, size_t r, size_t key0, size_t n,
                             const int rows) {
    const float *q = s->q + r * s->ldq;
    float *o = s->o + r * s->ldo;
    if (a->k_format == FORMAT_F16)
        stream_scores(a, s, q, key0, n, rows, FORMAT_F16);
    else
        stream_scores(a, s, q, key0, n, rows, FORMAT_F32);
    for (size_t j = 0; j < (size_t)rows; j++) {
        size_t row = r + j < s->n_rows ? r + j : s->n_rows - 1;
        size_t limit = a->n_keys + row / a->n_heads;
        size_t visible = limit <= key0 ? 0 : limit - key0 < n ? limit - key0 : n;
        attend_softmax(s, r + j, s->p + j * ATTEND_KEYS, visible);
    }
    const float *p = s->p, *shrink = s->shrink + r;
    size_t i = 0;
    for (; i + 64 <= a->head_dim_v; i += 64) {
        if (a->v_format == FORMAT_F16)
            stream_values(a, p, shrink, key0, n, i, o, s->ldo, rows, 4, 0, FORMAT_F16);
        else
            stream_values(a, p, shrink, key0, n, i, o, s->ldo, rows, 4, 0, FORMAT_F32);
    }
    for (; i < a->head_dim_v; i += 16) {
        __mmask16 m = vec_mask16(a->head_dim_v - i);
        if (a->v_format == FORMAT_F16)
            stream_values(a, p, shrink, key0, n, i, o, s->ldo, rows, 1, m, FORMAT_F16);
        else
            stream_values(a, p, shrink, key0, n, i, o, s->ldo, rows, 1, m, FORMAT_F32);
    }
}

/* The sizes of a group that are worth code of their own: one head per KV head, two, and up to four. */
static void block_1(const attend_args *a, const attend_state *s, size_t r, size_t key0, size_t n) {
    stream_block(a, s, r, key0, n, 1);
}
static void block_2(const attend_args *a, const attend_state *s, size_t r, size_t key0, size_t n) {
    stream_block(a, s, r, key0, n, 2);
}
static void block_4(const attend_args *a, const attend_state *s, size_t r, size_t key0, size_t n) {
    stream_block(a, s, r, key0, n, 4);
}

void attend_stream(const attend_args *a, const attend_state *s) {
    size_t n_keys = a->n_keys + a->n_tokens - 1;
    for (size_t i = 0; i < ATTEND_STREAM_GROUP * 16 * ATTEND_KEYS; i += 16)
        _mm512_store_ps(s->k + i, _mm512_setzero_ps());
    for (size_t i = 0; i < ATTEND_STREAM_GROUP * ATTEND_KEYS; i += 16)
        _mm512_store_ps(s->p + i, _mm512_setzero_ps());
    for (size_t key0 = 0; key0 < n_keys; key0 += ATTEND_KEYS) {
        size_t n = n_keys - key0 < ATTEND_KEYS ? n_keys - key0 : ATTEND_KEYS;
        for (size_t r = 0; r < s->n_rows; r += ATTEND_STREAM_GROUP) {
            if (s->n_rows - r == 1)
                block_1(a, s, r, key0, n);
            else if (s->n_rows - r == 2)
                block_2(a, s, r, key0, n);
            else
                block_4(a, s, r, key0, n);
        }
    }
}

/* Flash attention of one KV head in float32. Two shapes of the same algorithm: with few query rows (decode) K
 * and V are streamed once and converted in registers; with many, blocks of 64 keys are converted once into
 * tiles, K transposed, and multiplied with 6 rows at a time. Softmax is in base 2, log2(e) being part of the
 * scale of q. A row's result depends on which shape was taken, but never on the other rows of the call.
 * Memory beyond a->scratch is not used, and no key beyond the last visible one is read. */
#include "attend.h"

/* Room is for whole groups of rows: what lies after the last row is computed and never looked at. */
static attend_state attend_prepare(const attend_args *a, size_t group) {
    attend_state s;
    s.n_rows = a->n_tokens * a->n_heads;
    s.ldq = (a->head_dim_k + 15) / 16 * 16;
    s.ldo = (a->head_dim_v + 15) / 16 * 16;
    s.window = a->window ? a->window : SIZE_MAX;
    s.cap = a->softcap * 1.44269504f;
    s.q = a->scratch;
    s.o = s.q + (size_t)(ATTEND_ROWS_MAX + 16) * ATTEND_HEAD_DIM_MAX;
    s.sum = s.o + (size_t)(ATTEND_ROWS_MAX + 16) * ATTEND_HEAD_DIM_MAX;
    s.max = s.sum + 16 * (ATTEND_ROWS_MAX + 16);
    s.shrink = s.max + (ATTEND_ROWS_MAX + 16);
    s.k = s.sum + 32 * (ATTEND_ROWS_MAX + 16);
    s.v = s.k + ATTEND_KEYS * ATTEND_HEAD_DIM_MAX;
    s.p = s.v + ATTEND_KEYS * ATTEND_HEAD_DIM_MAX;

    const __m512 scale = _mm512_set1_ps(a->scale * 1.44269504f);
    size_t n_padded = (s.n_rows + group - 1) / group * group;
    for (size_t r = 0; r < n_padded; r++) {
        const bool real = r < s.n_rows;
        const float *q = a->q + (real ? r / a->n_heads * a->q_stride + r % a->n_heads * a->head_dim_k : 0);
        for (size_t i = 0; i < s.ldq; i += 16) {
            __mmask16 m = real ? vec_mask16(a->head_dim_k - i) : 0;
            _mm512_store_ps(s.q + r * s.ldq + i, _mm512_mul_ps(scale, _mm512_maskz_loadu_ps(m, q + i)));
        }
        for (size_t i = 0; i < s.ldo; i += 16) _mm512_store_ps(s.o + r * s.ldo + i, _mm512_setzero_ps());
        _mm512_store_ps(s.sum + 16 * r, _mm512_setzero_ps());
        s.max[r] = -INFINITY;
        s.shrink[r] = 1;
    }
    return s;
}

static void attend_finish(const attend_args *a, const attend_state *s) {
    for (size_t r = 0; r < s->n_rows; r++) {
        float *out = a->out + r / a->n_heads * a->out_stride + r % a->n_heads * a->head_dim_v;
        float sum = vec_sum16(_mm512_load_ps(s->sum + 16 * r));
        if (a->sinks) sum += exp2f(a->sinks[r % a->n_heads] * 1.44269504f - s->max[r]); /* log2(e) */
        const __m512 inverse = _mm512_set1_ps(1.0f / sum);
        for (size_t i = 0; i < s->ldo; i += 16)
            _mm512_mask_storeu_ps(out + i, vec_mask16(a->head_dim_v - i),
                                  _mm512_mul_ps(inverse, _mm512_load_ps(s->o + r * s->ldo + i)));
    }
}

/* tanh(z) = 1 - 2 / (1 + e^2z) */
__attribute__((noinline)) void attend_cap(float *p, float cap) {
    const __m512 one = _mm512_set1_ps(1), caps = _mm512_set1_ps(cap);
    const __m512 twice = _mm512_set1_ps(2.88539008f / cap); /* 2 log2(e) */
    for (size_t i = 0; i < ATTEND_KEYS; i += 16) {
        __m512 e = vec_exp2(_mm512_mul_ps(_mm512_load_ps(p + i), twice));
        __m512 t = _mm512_sub_ps(one, _mm512_div_ps(_mm512_set1_ps(2), _mm512_add_ps(one, e)));
        _mm512_store_ps(p + i, _mm512_mul_ps(caps, t));
    }
}

attend_rows attend_rows_decoded(const void *p, size_t stride, size_t key0, size_t n, uint32_t format,
                                size_t dim, float *to, size_t ld) {
    static decode_fn *const decoders[FORMAT_COUNT] = {[FORMAT_BF16] = decode_bf16_avx512,
                                                      [FORMAT_Q8_0] = decode_q8_0_avx512,
                                                      [FORMAT_Q4_0] = decode_q4_0_avx512,
                                                      [FORMAT_Q5_0] = decode_q5_0_avx512,
                                                      [FORMAT_IQ4_NL] = decode_iq4_nl_avx512};
    const char *row = (const char *)p + key0 * stride;
    for (size_t key = 0; key < n; key++, row += stride) {
        const uintptr_t ahead = (uintptr_t)row + 16 * stride;
        for (size_t i = 0; i < stride; i += 64) _mm_prefetch((const char *)(ahead + i), _MM_HINT_T0);
        decoders[format](row, to + key * ld, dim);
    }
    return (attend_rows){(const char *)to, ld * sizeof(float)};
}

/* K of up to 64 keys, transposed: k[head_dim_k][64]; keys that are missing are zero. */
VEC_INLINE void transpose_k(const attend_args *a, const attend_state *s, attend_rows from, size_t n,
                            uint32_t format) {
    for (size_t key = 0; key < n; key += 16) {
        for (size_t i = 0; i < a->head_dim_k; i += 16) {
            __mmask16 m = vec_mask16(a->head_dim_k - i);
            __m512 in[16];
            for (size_t j = 0; j < 16; j++) {
                const char *row = from.p + (key + j) * from.stride;
                in[j] = key + j < n ? vec_load_float_part(row, i, m, format) : _mm512_setzero_ps();
            }
            vec_transpose_16x16(in, s->k + i * ATTEND_KEYS + key, ATTEND_KEYS);
        }
    }
}

/* V of up to 64 keys: v[64][ldo], zero beyond head_dim_v. */
VEC_INLINE void convert_v(const attend_args *a, const attend_state *s, size_t key0, size_t n,
                          uint32_t format) {
    for (size_t key = 0; key < n; key++) {
        const char *row = (const char *)a->v + (key0 + key) * a->v_stride;
        for (size_t i = 0; i < s->ldo; i += 16)
            _mm512_store_ps(s->v + key * s->ldo + i,
                            vec_load_float_part(row, i, vec_mask16(a->head_dim_v - i), format));
    }
}

static void load_k(const attend_args *a, const attend_state *s, size_t key0, size_t n) {
    if (a->k_format == FORMAT_F16)
        transpose_k(a, s, attend_rows_cached(a->k, a->k_stride, key0), n, FORMAT_F16);
    else if (a->k_format == FORMAT_F32)
        transpose_k(a, s, attend_rows_cached(a->k, a->k_stride, key0), n, FORMAT_F32);
    else
        transpose_k(a, s,
                    attend_rows_decoded(a->k, a->k_stride, key0, n, a->k_format, a->head_dim_k, s->v, s->ldq),
                    n, FORMAT_F32);
}

static void load_v(const attend_args *a, const attend_state *s, size_t key0, size_t n) {
    if (a->v_format == FORMAT_F16) {
        convert_v(a, s, key0, n, FORMAT_F16);
    } else if (a->v_format == FORMAT_F32) {
        convert_v(a, s, key0, n, FORMAT_F32);
    } else {
        attend_rows_decoded(a->v, a->v_stride, key0, n, a->v_format, a->head_dim_v, s->v, s->ldo);
        for (size_t key = 0; key < n; key++)
            for (size_t i = a->head_dim_v; i < s->ldo; i++) s->v[key * s->ldo + i] = 0;
    }
}

enum { TILE = 6 };

/* Row t of a tile, from pointers to rows 0 and 3: six addresses from one stride register. */
#define TILE_ROW(t) (((t) < 3 ? p0 : p3) + (size_t)((t) % 3) * stride)

/* scores (6, 64) = q . K: 24 accumulators. Columns from n on (a multiple of 16) are not meaningful. */
static void tile_scores(const float *q, size_t stride, const float *k, size_t head_dim, float *scores) {
    const float *p0 = q, *p3 = q + 3 * stride;
#define ZERO(t)                                                                                              \
    __m512 s##t##0 = _mm512_setzero_ps(), s##t##1 = _mm512_setzero_ps(), s##t##2 = _mm512_setzero_ps(),      \
           s##t##3 = _mm512_setzero_ps();
    VEC_EACH6(ZERO)
    for (size_t i = 0; i < head_dim; i++, k += ATTEND_KEYS, p0++, p3++) {
        __m512 k0 = _mm512_load_ps(k), k1 = _mm512_load_ps(k + 16);
        __m512 k2 = _mm512_load_ps(k + 32), k3 = _mm512_load_ps(k + 48);
#define MUL(t)                                                                                               \
    {                                                                                                        \
        __m512 x = _mm512_set1_ps(*TILE_ROW(t));                                                             \
        VEC_KEEP(x);                                                                                         \
        s##t##0 = _mm512_fmadd_ps(x, k0, s##t##0);                                                           \
        s##t##1 = _mm512_fmadd_ps(x, k1, s##t##1);                                                           \
        s##t##2 = _mm512_fmadd_ps(x, k2, s##t##2);                                                           \
        s##t##3 = _mm512_fmadd_ps(x, k3, s##t##3);                                                           \
    }
        VEC_EACH6(MUL)
#undef MUL
    }
#define STORE(t)                                                                                             \
    _mm512_store_ps(scores + ATTEND_KEYS * (t), s##t##0);                                                    \
    _mm512_store_ps(scores + ATTEND_KEYS * (t) + 16, s##t##1);                                               \
    _mm512_store_ps(scores + ATTEND_KEYS * (t) + 32, s##t##2);                                               \
    _mm512_store_ps(scores + ATTEND_KEYS * (t) + 48, s##t##3);
    VEC_EACH6(STORE)
#undef STORE
#undef ZERO
}

/* o (6, columns) = shrink * o + p . V for one strip of 16 * width columns. */
VEC_INLINE void tile_strip(const float *p, const float *shrink, const float *v, size_t ldo, size_t n_keys,
                           float *o, const int width) {
    const float *p0 = p, *p3 = p + 3 * ATTEND_KEYS;
    const size_t stride = ATTEND_KEYS;
#define LOADS(t)                                                                                             \
    __m512 x##t = _mm512_set1_ps(shrink[t]);                                                                 \
    __m512 o##t##0 = _mm512_mul_ps(x##t, _mm512_load_ps(o + (t)*ldo));                                       \
    __m512 o##t##1 = width > 1 ? _mm512_mul_ps(x##t, _mm512_load_ps(o + (t)*ldo + 16)) : x##t;               \
    __m512 o##t##2 = width > 2 ? _mm512_mul_ps(x##t, _mm512_load_ps(o + (t)*ldo + 32)) : x##t;               \
    __m512 o##t##3 = width > 2 ? _mm512_mul_ps(x##t, _mm512_load_ps(o + (t)*ldo + 48)) : x##t;
    VEC_EACH6(LOADS)
    for (size_t i = 0; i < n_keys; i++, v += ldo, p0++, p3++) {
        __m512 v0 = _mm512_load_ps(v), v1 = v0, v2 = v0, v3 = v0;
        if (width > 1) v1 = _mm512_load_ps(v + 16);
        if (width > 2) v2 = _mm512_load_ps(v + 32), v3 = _mm512_load_ps(v + 48);
#define MUL(t)                                                                                               \
    {                                                                                                        \
        __m512 x = _mm512_set1_ps(*TILE_ROW(t));                                                             \
        VEC_KEEP(x);                                                                                         \
        o##t##0 = _mm512_fmadd_ps(x, v0, o##t##0);                                                           \
        if (width > 1) o##t##1 = _mm512_fmadd_ps(x, v1, o##t##1);                                            \
        if (width > 2) o##t##2 = _mm512_fmadd_ps(x, v2, o##t##2);                                            \
        if (width > 2) o##t##3 = _mm512_fmadd_ps(x, v3, o##t##3);                                            \
    }
        VEC_EACH6(MUL)
#undef MUL
    }
#define STORE(t)                                                                                             \
    _mm512_store_ps(o + (t)*ldo, o##t##0);                                                                   \
    if (width > 1) _mm512_store_ps(o + (t)*ldo + 16, o##t##1);                                               \
    if (width > 2) _mm512_store_ps(o + (t)*ldo + 32, o##t##2);                                               \
    if (width > 2) _mm512_store_ps(o + (t)*ldo + 48, o##t##3);
    VEC_EACH6(STORE)
#undef STORE
#undef LOADS
}

static void tile_strip_4(const float *p, const float *shrink, const float *v, size_t ldo, size_t n_keys,
                         float *o) {
    tile_strip(p, shrink, v, ldo, n_keys, o, 4);
}
static void tile_strip_2(const float *p, const float *shrink, const float *v, size_t ldo, size_t n_keys,
                         float *o) {
    tile_strip(p, shrink, v, ldo, n_keys, o, 2);
}
static void tile_strip_1(const float *p, const float *shrink, const float *v, size_t ldo, size_t n_keys,
                         float *o) {
    tile_strip(p, shrink, v, ldo, n_keys, o, 1);
}

static void attend_tiles(const attend_args *a) {
    attend_state s = attend_prepare(a, TILE);
    size_t n_keys = a->n_keys + a->n_tokens - 1;
    for (size_t key0 = 0; key0 < n_keys; key0 += ATTEND_KEYS) {
        size_t n = n_keys - key0 < ATTEND_KEYS ? n_keys - key0 : ATTEND_KEYS;
        load_k(a, &s, key0, n);
        load_v(a, &s, key0, n);

        /* the first token that sees this block, and its first row rounded down to a tile */
        size_t first = key0 < a->n_keys ? 0 : (key0 - a->n_keys + 1) * a->n_heads;
        for (size_t r = first / TILE * TILE; r < s.n_rows; r += TILE) {
            size_t visible = 0; /* by any row of the tile */
            tile_scores(s.q + r * s.ldq, s.ldq, s.k, a->head_dim_k, s.p);
            for (size_t t = 0; t < TILE; t++) {
                __mmask64 m = attend_visible(a, &s, r + t, key0, n);
                if (m) visible = 64 - (size_t)__builtin_clzll(m);
                attend_softmax(&s, r + t, s.p + t * ATTEND_KEYS, m);
            }
            size_t i = 0;
            for (; i + 64 <= s.ldo; i += 64)
                tile_strip_4(s.p, s.shrink + r, s.v + i, s.ldo, visible, s.o + r * s.ldo + i);
            for (; i + 32 <= s.ldo; i += 32)
                tile_strip_2(s.p, s.shrink + r, s.v + i, s.ldo, visible, s.o + r * s.ldo + i);
            for (; i < s.ldo; i += 16)
                tile_strip_1(s.p, s.shrink + r, s.v + i, s.ldo, visible, s.o + r * s.ldo + i);
        }
    }
    attend_finish(a, &s);
}

void attend_avx512(const attend_args *a) {
    /* with few query rows streaming is cheaper than transposing K */
    if (a->n_tokens * a->n_heads > ATTEND_STREAM_ROWS) {
        attend_tiles(a);
        return;
    }
    attend_state s = attend_prepare(a, ATTEND_STREAM_GROUP);
    attend_stream(a, &s);
    attend_finish(a, &s);
}

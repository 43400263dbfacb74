/* Causal attention of one KV head, in float, without anything that grows with the number of keys: keys are
 * taken in blocks of 64; a block's scores become weights relative to the largest score so far, and what was
 * summed up before is shrunk when that grows. Called through the kernel table only.
 *
 * A row is one query head of one token. Few rows (decode) stream K and V: attend_stream.c. Many rows
 * (prompts) share the work of turning a block of K into columns and of converting V, then multiply in tiles
 * of 6 rows x 16. A row's result does not depend on the rows beside it, but the two ways add in different
 * orders: which one is taken follows from n_tokens * n_heads alone. */
#include "attend.h"

#include <math.h>

#include "exp.h"

static size_t round_up(size_t n, size_t to) {
    return (n + to - 1) / to * to;
}

static void state_open(attend_state *s, const attend_args *a) {
    const size_t room = ATTEND_ROWS_MAX + 16;
    float *at = a->scratch;
    s->n_rows = a->n_tokens * a->n_heads;
    s->ldq = round_up(a->head_dim_k, 8);
    s->ldo = round_up(a->head_dim_v, 16);
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

void attend_floats_avx2(const void *p, size_t stride, size_t first, size_t n, uint32_t format, size_t dim,
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

void attend_softmax_avx2(const attend_args *a, const attend_state *s, size_t r, float *p, size_t n_visible,
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

static void write_out(const attend_args *a, const attend_state *s) {
    for (size_t r = 0; r < s->n_rows; r++) {
        const float *o = s->o + r * s->ldo;
        float *out = a->out + r / a->n_heads * a->out_stride + r % a->n_heads * a->head_dim_v;
        float total = sum8(_mm256_load_ps(s->sum + 8 * r));
        if (a->sinks) total += expf(a->sinks[r % a->n_heads] - s->max[r]);
        const __m256 sum = _mm256_set1_ps(total);
        for (size_t i = 0; i < a->head_dim_v; i += 8)
            _mm256_maskstore_ps(out + i, lanes_below((int)(a->head_dim_v - i)),
                                _mm256_div_ps(_mm256_load_ps(o + i), sum));
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
INLINE void columns_of_keys(const attend_args *a, const attend_state *s, const char *k, size_t stride,
                            size_t n_keys, int type) {
    for (size_t key = 0; key < round_up(n_keys, 16); key += 8)
        for (size_t d = 0; d < a->head_dim_k; d += 8) {
            __m256 x[8];
            for (size_t i = 0; i < 8; i++) {
                size_t at = key + i < n_keys ? key + i : n_keys - 1;
                x[i] = load_upto8(k + at * stride + d * value_bytes(type), type, a->head_dim_k - d);
            }
            transpose_8x8(x);
            for (size_t i = 0; i < 8; i++) _mm256_store_ps(s->k + (d + i) * KEYS + key, x[i]);
        }
}

/* Rows first .. first + n_keys of V to floats, zeros up to ldo. */
INLINE void values_of_keys(const attend_args *a, const attend_state *s, size_t first, size_t n_keys,
                           int type) {
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
static void load_keys(const attend_args *a, const attend_state *s, size_t first, size_t n) {
    const char *k = (const char *)a->k + first * a->k_stride;
    if (a->k_format == FORMAT_F16) {
        columns_of_keys(a, s, k, a->k_stride, n, F16);
    } else if (a->k_format == FORMAT_F32) {
        columns_of_keys(a, s, k, a->k_stride, n, F32);
    } else {
        attend_floats_avx2(a->k, a->k_stride, first, n, a->k_format, a->head_dim_k, s->v, s->ldq);
        columns_of_keys(a, s, (const char *)s->v, s->ldq * sizeof(float), n, F32);
    }
}

static void load_values(const attend_args *a, const attend_state *s, size_t first, size_t n) {
    if (a->v_format == FORMAT_F16) {
        values_of_keys(a, s, first, n, F16);
    } else if (a->v_format == FORMAT_F32) {
        values_of_keys(a, s, first, n, F32);
    } else {
        attend_floats_avx2(a->v, a->v_stride, first, n, a->v_format, a->head_dim_v, s->v, s->ldo);
        for (size_t i = 0; i < n; i++)
            for (size_t d = a->head_dim_v; d < s->ldo; d++) s->v[i * s->ldo + d] = 0;
    }
}

static void attend_tiles(const attend_args *a, const attend_state *s) {
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
                attend_softmax_avx2(a, s, r + i, s->p + i * KEYS, visible_keys(a, r + i, first),
                                    hidden_keys(a, r + i, first));
            for (size_t d = 0; d < s->ldo; d += 16)
                tile_values(s->p, s->v + d, seen, s->shrink + r, s->o + r * s->ldo + d, s->ldo);
        }
    }
}

void attend_avx2(const attend_args *a) {
    attend_state s;
    state_open(&s, a);
    if (s.n_rows <= STREAM_ROWS)
        attend_stream_avx2(a, &s);
    else
        attend_tiles(a, &s);
    write_out(a, &s);
}

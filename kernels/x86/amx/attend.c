/* Flash attention of one KV head with tile registers, for many query rows, where the caller needs no more
 * than the precision of bfloat16 and the cache has no more.
 *
 * Everything is transposed, so that a lane is a query row throughout and softmax needs no sums across lanes:
 *     S^T (keys, rows) = K . Q^T,  softmax down the columns,  O^T (values, rows) = V^T . P^T
 * K is taken as it lies; Q^T and P^T are in pairs of columns, as the instruction wants its second factor; V
 * is transposed once per block of keys for all rows. Rows are worked on 32 at a time, two tiles of 16.
 * Softmax is in base 2, log2(e) being part of the scale of q. A row's result never depends on the other rows
 * of the call. Memory beyond a->scratch is not used, and no key beyond the last visible one is read. */
#include <math.h>
#include <string.h>

#include "amx.h"
#include "kernels/x86/avx512/attend.h"

enum {
    LANES = 16, /* query rows of a group */
    KEYS = 128, /* of a block */
    SOME = 32,  /* keys, or values, or a step of columns, that are worked on together */
    MANY_ROWS = 32
};

typedef struct flash {
    const attend_args *a;
    size_t n_rows, n_groups; /* row = token * n_heads + head; groups are even in number */
    size_t dk, dv;           /* head dimensions rounded up to SOME; the padding is zero */
    uint16_t *q;             /* (n_groups, dk / 2, LANES, 2), times scale * log2(e) */
    float *o;                /* (n_groups, dv, LANES), not yet divided by the sum */
    float *max, *sum;        /* (n_groups, LANES) */
    int32_t *first, *end;    /* (n_groups, LANES) the keys that a row sees */
    uint16_t *k;             /* (KEYS, dk) */
    uint16_t *v;             /* (dv, KEYS) */
    float *s;                /* (KEYS, 2, LANES) */
    uint16_t *p;             /* (2, KEYS / 2, LANES, 2) */
    float *decoded;          /* (SOME, largest head dimension) */
    float cap;               /* softcap * log2(e); 0: none */
} flash;

static size_t up_to(size_t n, size_t step) {
    return (n + step - 1) / step * step;
}

/* 32 floats from element i on as bfloat16; beyond dim they are zero. */
VEC_INLINE __m512i load_32(const char *row, size_t i, size_t dim, uint32_t format) {
    const __m512 a = vec_load_float_part(row, i, vec_mask16(i < dim ? dim - i : 0), format);
    const __m512 b = vec_load_float_part(row, i + 16, vec_mask16(i + 16 < dim ? dim - i - 16 : 0), format);
    return (__m512i)_mm512_cvtne2ps_pbh(b, a);
}

static void prepare(flash *f, const attend_args *a) {
    char *at = a->scratch;
    f->a = a;
    f->n_rows = a->n_tokens * a->n_heads;
    f->n_groups = up_to(f->n_rows, 2 * LANES) / LANES;
    f->dk = up_to(a->head_dim_k, SOME);
    f->dv = up_to(a->head_dim_v, SOME);
    f->cap = a->softcap * 1.44269504f;
#define CARVE(member, count)                                                                                 \
    f->member = (void *)at;                                                                                  \
    at += up_to((count) * sizeof *f->member, 64)
    CARVE(q, f->n_groups * f->dk * LANES);
    CARVE(o, f->n_groups * f->dv * LANES);
    CARVE(max, f->n_groups * LANES);
    CARVE(sum, f->n_groups * LANES);
    CARVE(first, f->n_groups * LANES);
    CARVE(end, f->n_groups * LANES);
    CARVE(k, KEYS * f->dk);
    CARVE(v, f->dv * KEYS);
    CARVE(s, (size_t)KEYS * 2 * LANES);
    CARVE(p, (size_t)2 * KEYS * LANES);
    CARVE(decoded, (size_t)SOME * ATTEND_HEAD_DIM_MAX);
#undef CARVE
    memset(f->o, 0, f->n_groups * f->dv * LANES * sizeof *f->o);
    memset(f->sum, 0, f->n_groups * LANES * sizeof *f->sum);
    for (size_t r = 0; r < f->n_groups * LANES; r++) {
        /* rows that make a group full see what the last one sees */
        size_t end = a->n_keys + (r < f->n_rows ? r : f->n_rows - 1) / a->n_heads;
        f->end[r] = (int32_t)end;
        f->first[r] = a->window && end > a->window ? (int32_t)(end - a->window) : 0;
        f->max[r] = -INFINITY;
    }
    const __m512 scale = _mm512_set1_ps(a->scale * 1.44269504f);
    for (size_t r = 0; r < f->n_groups * LANES; r += LANES)
        for (size_t i = 0; i < f->dk; i += SOME) {
            __m512 rows[LANES];
            for (size_t j = 0; j < LANES; j++) {
                const size_t row = r + j < f->n_rows ? r + j : f->n_rows - 1;
                const float *q = a->q + row / a->n_heads * a->q_stride + row % a->n_heads * a->head_dim_k;
                const __m512 x = vec_load_float_part(
                    q, i, vec_mask16(i < a->head_dim_k ? a->head_dim_k - i : 0), FORMAT_F32);
                const __m512 y = vec_load_float_part(
                    q, i + 16, vec_mask16(i + 16 < a->head_dim_k ? a->head_dim_k - i - 16 : 0), FORMAT_F32);
                rows[j] = (__m512)_mm512_cvtne2ps_pbh(_mm512_mul_ps(y, scale), _mm512_mul_ps(x, scale));
            }
            vec_transpose_16x16(rows, (float *)(void *)(f->q + r * f->dk + i * LANES), LANES);
        }
}

/* ---- a block of keys ---- */

/* Where up to SOME rows of K or V can be read as F16 or F32. */
static attend_rows readable(const flash *f, const void *rows, size_t stride, uint32_t *format, size_t dim,
                            size_t key, size_t n) {
    if (*format == FORMAT_F16) return attend_rows_cached(rows, stride, key);
    attend_rows decoded =
        attend_rows_decoded(rows, stride, key, n, *format, dim, f->decoded, ATTEND_HEAD_DIM_MAX);
    *format = FORMAT_F32;
    return decoded;
}

static void load_k(const flash *f, size_t key0, size_t n) {
    const attend_args *a = f->a;
    for (size_t at = 0; at < n; at += SOME) {
        uint32_t format = a->k_format;
        size_t some = n - at < SOME ? n - at : SOME;
        attend_rows from = readable(f, a->k, a->k_stride, &format, a->head_dim_k, key0 + at, some);
        for (size_t key = 0; key < SOME; key++) {
            uint16_t *to = f->k + (at + key) * f->dk;
            const char *row = from.p + key * from.stride;
            for (size_t i = 0; i < f->dk; i += SOME)
                _mm512_store_si512(to + i, key >= some ? _mm512_setzero_si512()
                                           : format == FORMAT_F16
                                               ? load_32(row, i, a->head_dim_k, FORMAT_F16)
                                               : load_32(row, i, a->head_dim_k, FORMAT_F32));
        }
    }
}

/* 16 values of 32 keys, transposed. */
VEC_INLINE void transpose_v(const flash *f, attend_rows from, size_t some, size_t i, size_t at,
                            const uint32_t format) {
    const size_t dim = f->a->head_dim_v;
    const __mmask16 m = vec_mask16(i < dim ? dim - i : 0);
    __m512 pairs[LANES];
    for (size_t j = 0; j < LANES; j++) {
        const size_t key = 2 * j;
        const char *row = from.p + key * from.stride;
        const __m512 x = key < some ? vec_load_float_part(row, i, m, format) : _mm512_setzero_ps();
        const __m512 y =
            key + 1 < some ? vec_load_float_part(row + from.stride, i, m, format) : _mm512_setzero_ps();
        pairs[j] = (__m512)amx_pairs(x, y);
    }
    vec_transpose_16x16(pairs, (float *)(void *)(f->v + i * KEYS + at), KEYS / 2);
}

static void load_v(const flash *f, size_t key0, size_t n) {
    const attend_args *a = f->a;
    for (size_t at = 0; at < n; at += SOME) {
        uint32_t format = a->v_format;
        size_t some = n - at < SOME ? n - at : SOME;
        attend_rows from = readable(f, a->v, a->v_stride, &format, a->head_dim_v, key0 + at, some);
        for (size_t i = 0; i < f->dv; i += LANES) {
            if (format == FORMAT_F16)
                transpose_v(f, from, some, i, at, FORMAT_F16);
            else
                transpose_v(f, from, some, i, at, FORMAT_F32);
        }
    }
}

/* ---- two groups of rows and a block of keys ---- */

/* c (32, 32) = or += a (32, columns) . b, b being two groups of pairs. Rows of a are a_stride values apart.
 */
VEC_INLINE void product(const uint16_t *a, size_t a_stride, const uint16_t *b0, const uint16_t *b1,
                        size_t columns, float *c0, float *c1, size_t c_stride, const bool add) {
    const size_t a_bytes = a_stride * sizeof *a, c_bytes = c_stride * sizeof *c0;
    if (add) {
        _tile_loadd(0, c0, c_bytes);
        _tile_loadd(1, c1, c_bytes);
        _tile_loadd(2, c0 + LANES * c_stride, c_bytes);
        _tile_loadd(3, c1 + LANES * c_stride, c_bytes);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (size_t i = 0; i < columns; i += SOME) {
        _tile_loadd(4, a + i, a_bytes);
        _tile_loadd(6, b0 + i * LANES, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, b1 + i * LANES, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, a + LANES * a_stride + i, a_bytes);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c0, c_bytes);
    _tile_stored(1, c1, c_bytes);
    _tile_stored(2, c0 + LANES * c_stride, c_bytes);
    _tile_stored(3, c1 + LANES * c_stride, c_bytes);
}

/* Scores of keys that a row does not see become -Inf. */
static void hide(const flash *f, size_t group, float *s, size_t key0, size_t n) {
    const __m512i first = _mm512_load_si512(f->first + group * LANES),
                  end = _mm512_load_si512(f->end + group * LANES);
    for (size_t key = 0; key < n; key++, s += 2 * LANES) {
        const __m512i at = _mm512_set1_epi32((int32_t)(key0 + key));
        const __mmask16 seen = _mm512_cmpge_epi32_mask(at, first) & _mm512_cmplt_epi32_mask(at, end);
        _mm512_store_ps(s, _mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), seen, _mm512_load_ps(s)));
    }
}

/* 2^x for x <= 0, near enough for what is rounded to 8 bits: the polynomial is 2^f on [0, 1] within 7.5e-5,
 * and scalef multiplies with 2 to the power of floor(x). -Inf gives 0, NaN stays. */
VEC_INLINE __m512 exp2_rough(__m512 x) {
    const __m512 f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    __m512 p = _mm512_set1_ps(0x1.3f96a4p-4f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.cefc4cp-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.64444cp-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0x1.fff632p-1f));
    return _mm512_scalef_ps(p, x);
}

/* Scores (n keys) of a group to weights in pairs of keys, zero from n on; o shrinks with its maximum. */
static void softmax(const flash *f, size_t group, const float *s, size_t n, uint16_t *p) {
    __m512 max = _mm512_load_ps(f->max + group * LANES), before = max;
    for (size_t key = 0; key < n; key++) max = _mm512_max_ps(max, _mm512_load_ps(s + key * 2 * LANES));
    /* a row that has seen no key: Inf - Inf must not make a NaN of its zero weights */
    const __m512 base = _mm512_mask_mov_ps(
        max, _mm512_cmp_ps_mask(max, _mm512_set1_ps(-INFINITY), _CMP_EQ_OQ), _mm512_setzero_ps());
    __m512 sum = _mm512_load_ps(f->sum + group * LANES);
    if (_mm512_cmp_ps_mask(max, before, _CMP_NEQ_UQ)) {
        const __m512 shrink = vec_exp2(_mm512_sub_ps(before, base));
        float *o = f->o + group * f->dv * LANES;
        sum = _mm512_mul_ps(sum, shrink);
        for (size_t i = 0; i < f->dv; i++, o += LANES)
            _mm512_store_ps(o, _mm512_mul_ps(shrink, _mm512_load_ps(o)));
        _mm512_store_ps(f->max + group * LANES, max);
    }
    for (size_t key = 0; key < up_to(n, SOME); key += 2, s += 4 * LANES, p += 2 * LANES) {
        __m512 x = _mm512_setzero_ps(), y = x;
        if (key < n) x = exp2_rough(_mm512_sub_ps(_mm512_load_ps(s), base));
        if (key + 1 < n) y = exp2_rough(_mm512_sub_ps(_mm512_load_ps(s + 2 * LANES), base));
        sum = _mm512_add_ps(sum, _mm512_add_ps(x, y));
        _mm512_store_si512(p, amx_pairs(x, y));
    }
    _mm512_store_ps(f->sum + group * LANES, sum);
}

static void two_groups(const flash *f, size_t group, size_t key0, size_t n) {
    const size_t some = up_to(n, SOME);
    const uint16_t *q = f->q + group * LANES * f->dk, *p1 = f->p + KEYS * LANES;
    float *o = f->o + group * LANES * f->dv;
    for (size_t key = 0; key < some; key += SOME) {
        float *s = f->s + key * 2 * LANES;
        product(f->k + key * f->dk, f->dk, q, q + LANES * f->dk, f->dk, s, s + LANES, 2 * LANES, false);
    }
    if (f->cap > 0)
        for (size_t key = 0; key < some; key += 2) attend_cap(f->s + key * 2 * LANES, f->cap);
    for (size_t g = 0; g < 2; g++) {
        /* ends and firsts ascend with the rows */
        const int32_t *first = f->first + (group + g) * LANES, *end = f->end + (group + g) * LANES;
        if ((size_t)first[LANES - 1] > key0 || (size_t)end[0] < key0 + n)
            hide(f, group + g, f->s + g * LANES, key0, n);
        softmax(f, group + g, f->s + g * LANES, n, f->p + g * KEYS * LANES);
    }
    for (size_t i = 0; i < f->dv; i += SOME)
        product(f->v + i * KEYS, KEYS, f->p, p1, some, o + i * LANES, o + (f->dv + i) * LANES, LANES, true);
}

/* ---- all ---- */

static void finish(const flash *f) {
    const attend_args *a = f->a;
    _Alignas(64) float tile[LANES * LANES];
    for (size_t r = 0; r < f->n_rows; r += LANES) {
        _Alignas(64) float inverse[LANES];
        for (size_t j = 0; j < LANES; j++) {
            float sum = f->sum[r + j];
            if (a->sinks) sum += exp2f(a->sinks[(r + j) % a->n_heads] * 1.44269504f - f->max[r + j]);
            inverse[j] = 1.0f / sum;
        }
        for (size_t i = 0; i < a->head_dim_v; i += LANES) {
            __m512 rows[LANES];
            for (size_t j = 0; j < LANES; j++)
                rows[j] = _mm512_mul_ps(_mm512_load_ps(inverse),
                                        _mm512_load_ps(f->o + (r / LANES * f->dv + i + j) * LANES));
            vec_transpose_16x16(rows, tile, LANES);
            for (size_t j = 0; j < LANES && r + j < f->n_rows; j++) {
                const size_t row = r + j;
                float *out = a->out + row / a->n_heads * a->out_stride + row % a->n_heads * a->head_dim_v;
                _mm512_mask_storeu_ps(out + i, vec_mask16(a->head_dim_v - i),
                                      _mm512_load_ps(tile + j * LANES));
            }
        }
    }
}

static void attend_many(const attend_args *a) {
    flash f;
    prepare(&f, a);
    amx_config found;
    amx_save(&found);
    amx_configure(LANES, LANES);
    const size_t n_keys = a->n_keys + a->n_tokens - 1;
    for (size_t key0 = (size_t)f.first[0] / SOME * SOME; key0 < n_keys; key0 += KEYS) {
        size_t n = n_keys - key0 < KEYS ? n_keys - key0 : KEYS;
        load_k(&f, key0, n);
        load_v(&f, key0, n);
        for (size_t group = 0; group < f.n_groups; group += 2) {
            size_t end = (size_t)f.end[(group + 2) * LANES - 1], last = end - key0 < n ? end - key0 : n;
            if (end <= key0 || (size_t)f.first[group * LANES] >= key0 + n) continue;
            two_groups(&f, group, key0, last);
        }
    }
    amx_restore(&found);
    finish(&f);
}

void attend_amx(const attend_args *a) {
    if (!a->coarse || a->k_format == FORMAT_F32 || a->v_format == FORMAT_F32 ||
        a->n_tokens * a->n_heads < MANY_ROWS || a->n_keys > INT32_MAX / 2)
        attend_avx512(a);
    else
        attend_many(a);
}

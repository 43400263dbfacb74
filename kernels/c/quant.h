/* What the quantizers (quant_*.c) share. They work on several blocks, or sub-blocks, at a time, each in a
 * lane of its own: value i of all of them is one vector, so that searching for scales needs no sum across
 * lanes and no branch, and the operations on a block are the same, in the same order, whatever the
 * instruction set. The bits of a quantized row therefore do not depend on how this was compiled (contraction
 * of a * b + c is off for all kernels). kernels/c compiles these files for any machine, x86/SET/quant.c again
 * for its set.
 *
 * Errors are weighted squares: sum of w * (x - what it decodes to)^2, w the importance of the column, 1 where
 * none is given. Included by quant_*.c only. */
#ifndef LEAT_KERNELS_C_QUANT_H
#define LEAT_KERNELS_C_QUANT_H

#include <math.h>
#include <string.h>

#include "kernels/blocks.h"
#include "kernels/kernels.h"
#if defined(__SSE2__)
#    include <immintrin.h>
#endif

#ifndef QUANT_SET
#    define QUANT_SET c
#endif
#define QUANT_NAME2(name, set) quantize_rows_##name##_##set
#define QUANT_NAME(name, set)  QUANT_NAME2(name, set)
#define QUANT_ROWS(name)       QUANT_NAME(name, QUANT_SET)
#define Z(name, NAME, largest) quantize_rows_fn QUANT_ROWS(name);
#include "kernels/kernels.def"
#undef Z

#if defined(__GNUC__) && !defined(__clang__)
#    pragma GCC diagnostic ignored "-Wpsabi" /* vectors are passed between inlined functions only */
#endif
#define INLINE static inline __attribute__((always_inline, unused))
/* What is large and used by several types is compiled once for all of them. */
#define ONCE   static __attribute__((noinline, unused))

/* Lanes of a vector: what a register of the set holds. */
#if defined(__AVX512F__)
enum { LANES = 16 };
#    define PER_SET(w512, w256, w128, any) w512
#elif defined(__AVX__)
enum { LANES = 8 };
#    define PER_SET(w512, w256, w128, any) w256
#elif defined(__SSE2__)
enum { LANES = 4 };
#    define PER_SET(w512, w256, w128, any) w128
#else
enum { LANES = 4 };
#    define PER_SET(w512, w256, w128, any) any
#endif
typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef float v4 __attribute__((vector_size(16)));

#define F16_LARGEST 65504.0f

/* ---- vectors ---- */

INLINE vf splat(float x) {
    return PER_SET((vf)_mm512_set1_ps(x), (vf)_mm256_set1_ps(x), (vf)_mm_set1_ps(x), ((vf){x, x, x, x}));
}

INLINE vi splat_i(int32_t x) {
    return PER_SET((vi)_mm512_set1_epi32(x), (vi)_mm256_set1_epi32(x), (vi)_mm_set1_epi32(x),
                   ((vi){x, x, x, x}));
}

/* a < b ? x : y, in each lane. */
INLINE vf less(vf a, vf b, vf x, vf y) {
    return PER_SET(
        (vf)_mm512_mask_blend_ps(_mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ), (__m512)y, (__m512)x),
        (vf)_mm256_blendv_ps((__m256)y, (__m256)x, _mm256_cmp_ps((__m256)a, (__m256)b, _CMP_LT_OQ)),
        (vf)(((a < b) & (vi)x) | (~(a < b) & (vi)y)), (vf)(((a < b) & (vi)x) | (~(a < b) & (vi)y)));
}

INLINE vi less_i(vf a, vf b, vi x, vi y) {
    return (vi)less(a, b, (vf)x, (vf)y);
}

INLINE vf vmin(vf a, vf b) {
    return PER_SET((vf)_mm512_min_ps((__m512)a, (__m512)b), (vf)_mm256_min_ps((__m256)a, (__m256)b),
                   (vf)_mm_min_ps((__m128)a, (__m128)b), less(a, b, a, b));
}

INLINE vf vmax(vf a, vf b) {
    return PER_SET((vf)_mm512_max_ps((__m512)a, (__m512)b), (vf)_mm256_max_ps((__m256)a, (__m256)b),
                   (vf)_mm_max_ps((__m128)a, (__m128)b), less(b, a, a, b));
}

INLINE vf root(vf a) {
    return PER_SET((vf)_mm512_sqrt_ps((__m512)a), (vf)_mm256_sqrt_ps((__m256)a), (vf)_mm_sqrt_ps((__m128)a),
                   ((vf){sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3])}));
}

INLINE vf vabs(vf a) {
    return (vf)((vi)a & splat_i(0x7fffffff));
}

/* To the nearest whole number, ties to even, for |a| < 2^22; adding 1.5 * 2^23 leaves no room for a fraction.
 */
INLINE vf vround(vf a) {
    vf magic = splat(12582912.0f);
    return (a + magic) - magic;
}

INLINE vf clamp(vf a, float low, float high) {
    return vmin(vmax(a, splat(low)), splat(high));
}

/* 1 / a, 0 where a is 0 (or so small that there is no 1 / a). */
INLINE vf inverse(vf a) {
    vf small = splat(1e-37f);
    vf r = splat(1) / less(vabs(a), small, splat(1), a);
    return less(vabs(a), small, splat(0), r);
}

/* a / b, 0 where b is not above 0. */
INLINE vf ratio(vf a, vf b) {
    vf zero = splat(0), r = a / less(zero, b, b, splat(1));
    return less(zero, b, r, zero);
}

INLINE vi to_int(vf a) {
    return __builtin_convertvector(a, vi);
}

INLINE vf to_float(vi a) {
    return __builtin_convertvector(a, vf);
}

/* Half precision in each lane: the nearest, ties to even, at most 65504 in magnitude. *bits gets it as it is
 * stored. */
INLINE vf half(vf a, vi *bits) {
    vi sign = (vi)a & splat_i((int32_t)0x80000000);
    vf m = vmin(vabs(a), splat(F16_LARGEST));
    vi n = (vi)m;
    n = (n + splat_i(0xfff) + ((n >> 13) & splat_i(1))) & splat_i(~0x1fff);
    /* below 2^-14 the steps are 2^-24, which is what a float just above 1/2 has */
    vf s = m + splat(0.5f), small = splat(0x1p-14f);
    *bits = less_i(m, small, (vi)s - splat_i(0x3f000000), (n >> 13) - splat_i(112 << 10));
    *bits |= (sign >> 16) & splat_i(0x8000);
    return (vf)((vi)less(m, small, s - splat(0.5f), (vf)n) | sign);
}

/* The same for one number. */
INLINE float half1(float a, uint16_t *bits) {
    a = a > F16_LARGEST ? F16_LARGEST : a < -F16_LARGEST ? -F16_LARGEST : a;
    *bits = f16_from_f32(a);
    return f16_to_f32(*bits);
}

/* ---- blocks in lanes ---- */

/* What a quantizer walks along: LANES blocks at a time, of as many rows as that takes. */
typedef struct walk {
    const float *x, *importance;
    size_t blocks;      /* left */
    size_t n, column;   /* values of a row, the next block's place in it */
    float scale, floor; /* of importance: w = importance * scale + floor */
} walk;

/* Importance counts in proportion only; its mean becomes 1, so that nothing of it overflows. A little is
 * added so that a column nobody looked at is still written as well as it can be. A row without any is as one
 * where all are equal. */
INLINE walk walk_start(const float *x, const float *importance, size_t n, size_t n_rows, size_t block) {
    walk k = {x, importance, n / block * n_rows, n, 0, 1, 0};
    if (importance) {
        double part[8] = {0}, sum = 0; /* rows are multiples of 8 */
        for (size_t i = 0; i + 8 <= n; i += 8)
            for (size_t j = 0; j < 8; j++) part[j] += (double)importance[i + j];
        for (size_t j = 0; j < 8; j++) sum += part[j];
        double mean = sum / (double)(n ? n : 1);
        if (mean > 1e-30 && mean < 1e30) {
            k.scale = (float)(1 / mean);
            k.floor = 1e-7f;
        } else {
            k.importance = NULL;
        }
    }
    return k;
}

static const float quant_nothing[256];

/* out[i][lane] = p[lane][i], i < n, a multiple of 4. */
INLINE void transpose(const float *const p[LANES], size_t n, vf *out) {
#if defined(__clang__)
#    define MIX(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#    define MIX(a, b, i, j, k, l)                                                                            \
        __builtin_shuffle(a, b, (int32_t __attribute__((vector_size(16)))){i, j, k, l})
#endif
    for (size_t i = 0; i < n; i += 4) {
        v4 column[4][LANES / 4], r[4];
        for (int l = 0; l < LANES / 4; l++) {
            for (int j = 0; j < 4; j++) memcpy(&r[j], p[4 * l + j] + i, 16);
            v4 ab = MIX(r[0], r[1], 0, 4, 1, 5), ab2 = MIX(r[0], r[1], 2, 6, 3, 7);
            v4 cd = MIX(r[2], r[3], 0, 4, 1, 5), cd2 = MIX(r[2], r[3], 2, 6, 3, 7);
            column[0][l] = MIX(ab, cd, 0, 1, 4, 5);
            column[1][l] = MIX(ab, cd, 2, 3, 6, 7);
            column[2][l] = MIX(ab2, cd2, 0, 1, 4, 5);
            column[3][l] = MIX(ab2, cd2, 2, 3, 6, 7);
        }
        memcpy(&out[i], column, sizeof column);
    }
}

/* The next blocks, at most `lanes` of them: x and w (block vectors each; w may be NULL where importance is).
 * Lanes without a block are zeros. Returns how many lanes have one. */
INLINE size_t walk_next(walk *k, size_t block, vf *x, vf *w) {
    const float *p[LANES];
    size_t lanes = k->blocks < LANES ? k->blocks : LANES;
    for (size_t l = 0; l < LANES; l++) p[l] = l < lanes ? k->x + l * block : quant_nothing;
    transpose(p, block, x);
    if (w && k->importance) {
        for (size_t l = 0; l < lanes; l++) {
            p[l] = k->importance + k->column;
            k->column += block;
            if (k->column == k->n) k->column = 0;
        }
        transpose(p, block, w);
        for (size_t i = 0; i < block; i++) w[i] = w[i] * splat(k->scale) + splat(k->floor);
    } else if (w) {
        for (size_t i = 0; i < block; i++) w[i] = splat(1);
    }
    k->x += lanes * block;
    k->blocks -= lanes;
    return lanes;
}

/* Four codes of a byte each to a dword, first lowest. */
INLINE vi pack4(vi a, vi b, vi c, vi d) {
    return (a | b << 8) | (c << 16 | d << 24);
}

/* Writes n dwords per lane, a block's `at` bytes after its start. */
INLINE void put_dwords(void *blocks, size_t stride, size_t at, size_t lanes, const vi *dwords, size_t n) {
    int32_t d[LANES];
    for (size_t i = 0; i < n; i++) {
        memcpy(d, &dwords[i], sizeof d);
        for (size_t l = 0; l < lanes; l++) memcpy((char *)blocks + l * stride + at + 4 * i, &d[l], 4);
    }
}

INLINE void put_halves(void *blocks, size_t stride, size_t at, size_t lanes, vi bits) {
    int32_t d[LANES];
    memcpy(d, &bits, sizeof d);
    for (size_t l = 0; l < lanes; l++) {
        uint16_t h = (uint16_t)d[l];
        memcpy((char *)blocks + l * stride + at, &h, 2);
    }
}

/* 32 codes of four bits as Q4_0 has them: the second sixteen in the high halves. */
INLINE void pack_nibble_lanes(const vi *q, vi out[4]) {
    for (int i = 0; i < 4; i++) {
        vi b[4];
        for (int j = 0; j < 4; j++)
            b[j] = (q[4 * i + j] & splat_i(15)) | (q[4 * i + j + 16] & splat_i(15)) << 4;
        out[i] = pack4(b[0], b[1], b[2], b[3]);
    }
}

/* ---- scales ---- */

/* Least squares make what is written too small: the error is uncorrelated with it, so that of the weights'
 * energy (squares, sum of w * x^2) only a part is kept, and what is written is the weights times kept /
 * squares and something random. A layer's output shrinks by that, always the same way, where the random part
 * goes either way and mostly cancels out. Scales are therefore raised once the codes are found. Times the
 * square root of squares / kept the energy would be right, times squares / kept the multiple would be 1;
 * between the two predictions move the least, although the error itself grows a little. KL divergence of a
 * small model and shuffled copies of it, against leaving the scales: Q4_0 0.8 % lower, Q3_K 2 %, Q2_K 6 %,
 * with fewer bits more. What is written without an error is left as it is. */
#define LIFT      1.5f
#define LIFT_MOST 2 /* of squares / kept */

INLINE float lifted(double squares, double kept) {
    double gain = kept > 0 ? squares / kept : 1;
    gain = gain > 1 ? gain : 1;
    gain = gain < LIFT_MOST ? gain : LIFT_MOST;
    return 1 + LIFT * (sqrtf((float)gain) - 1);
}

/* The same in each lane, for blocks of n values. */
INLINE vf lifted_blocks(const vf *x, const vf *w, int n, vf kept) {
    vf squares = splat(0);
    for (int i = 0; i < n; i++) squares += w ? w[i] * x[i] * x[i] : x[i] * x[i];
    return splat(1) + splat(LIFT) * (root(clamp(ratio(squares, kept), 1, LIFT_MOST)) - splat(1));
}

/* A scale in each lane and what it is worth: the error is sum(w * x^2) - score. */
typedef struct fit {
    vf d, score;
} fit;

INLINE fit fit_none(void) {
    return (fit){splat(0), splat(0)};
}

INLINE void fit_better(fit *best, vf d, vf score) {
    best->d = less(best->score, score, d, best->d);
    best->score = vmax(best->score, score);
}

/* v = d * q, q a whole number in low .. high: rounds x * inv to codes and finds the best d for those. */
INLINE void fit_even(fit *best, const vf *x, const vf *w, int n, vf inv, float low, float high) {
    vf xq = splat(0), qq = splat(0);
    for (int i = 0; i < n; i++) {
        vf q = clamp(vround(x[i] * inv), low, high), wq = w ? w[i] * q : q;
        xq += wq * x[i];
        qq += wq * q;
    }
    vf d = ratio(xq, qq);
    fit_better(best, d, xq * d);
}

/* Once there is a good scale, what is tried near it: steps that are a little smaller or larger, and, where
 * codes may begin anywhere, that begin a little lower or higher (in steps). */
enum { STEPS_NEAR_EVEN = 5, STEPS_NEAR = 7 };
static const struct {
    float inverse, down;
} steps_near[STEPS_NEAR] = {{1, 0}, {1.02f, 0}, {0.98f, 0}, {1.04f, 0}, {0.96f, 0}, {1, 0.2f}, {1, -0.2f}};

INLINE vf largest(const vf *x, int n) {
    vf m = splat(0);
    for (int i = 0; i < n; i++) m = vmax(m, vabs(x[i]));
    return m;
}

#endif

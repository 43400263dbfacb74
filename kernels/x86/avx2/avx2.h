/* What the files of this folder share: the declarations of its kernels, the panel layout that unpack.c writes
 * and panel_mul.c reads, and small vector helpers. Included by this folder and, for the helpers, by avxvnni.
 * Everything is compiled with AVX2, FMA and F16C, so nothing of it may be called (or inlined) outside the
 * kernel table. */
#ifndef LEAT_KERNELS_X86_AVX2_AVX2_H
#define LEAT_KERNELS_X86_AVX2_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "kernels/kernels.h"

/* quant.c: the quantizers. */
void quant_init_avx2(kernels *k);

#define W(name, NAME, act, panel)                                                                            \
    matvec_fn matvec_##name##_avx2;                                                                          \
    unpack_fn unpack_##name##_avx2;
peak_fn peak_f32_avx2, peak_q8_avx2;
#define P(name, KIND) panel_mul_fn panel_mul_##name##_avx2;
#define O(name)       name##_fn name##_avx2;
#include "kernels/kernels.def"
#undef W
#undef P
#undef O
decode_fn decode_f16_avx2, decode_bf16_avx2, decode_q8_0_avx2, decode_q4_0_avx2, decode_q5_0_avx2,
    decode_iq4_nl_avx2;
encode_fn encode_f16_avx2, encode_bf16_avx2, encode_q8_0_avx2, encode_q4_0_avx2, encode_q5_0_avx2,
    encode_iq4_nl_avx2;

/* Kernels are templates: one body, compiled for constant arguments. That needs inlining at any size. */
#define INLINE static inline __attribute__((always_inline))

/* ---- panels
 * ------------------------------------------------------------------------------------------------- */

/* 16 rows, so that one broadcast of activations serves two vectors of weights. Codes are unsigned and as low
 * as the type has them, four columns of a row side by side: w[k / 4][16][4]. vpmaddubsw leaves two int16 sums
 * per row, and codes this small allow several of those to be added before vpmaddwd widens them: 4 bits: 8 * 2
 * * 15 * 127 = 30480, 32 columns    5 bits: 4 * 2 * 31 * 127 = 31496, 16 columns 6 bits: 2 * 2 * 63 * 127 =
 * 32004, 8 columns. 8 bits allow none. A weight of Q8_0 is kept as its magnitude and, in a second table after
 * the first, a byte of ones where it is negative. With s that byte, q ^ s is q or -1 - q, so that
 * |w| * (q ^ s) is w * q less |w| where w is negative: their sum over 32 columns, in aux, makes up for it.
 *
 *     PANEL_F32         f[k][16]
 *     PANEL_Q8_32       scale[k / 32][16], divided by the factor of zero_point_factor() below; min[k /
 * 32][16] is -12582912 times that, to take the magic number (act.h) away Q8_0: aux[k / 32][16], the sum of
 * magnitudes of negative weights and the magic number PANEL_Q8_32_MIN   scale[k / 32][16], min[k / 32][16],
 * to be added PANEL_Q8_256_MIN  scale[16] = d, min[16] = dmin, and integers in aux (int16 pairs): [8][16] the
 * scale of a sub-block twice, [4][16] the minima of two sub-blocks PANEL_Q8_256_16   scale[16] = d, aux:
 * [16][16] the scale of a sub-block twice, [8][16] scales of two sub-blocks PANEL_Q8_32_16    scale[k /
 * 16][16], divided by the factor of zero_point_factor(5) PANEL_Q8_256_16_MIN  as PANEL_Q8_256_16, but the
 * pairs are of minima, and min[16] = dmin */
enum {
    ROWS = 16,
    TOKENS = 252,                /* per call of panel_mul: whole tiles of three, four or six tokens */
    W_SIGNS = PANEL_K / 4,       /* groups of four columns: where the second table of w starts, Q8_0 */
    AUX_MINS = 8 * ROWS,         /* where the second table of aux starts, PANEL_Q8_256_MIN */
    AUX_SCALE_PAIRS = 16 * ROWS, /* and PANEL_Q8_256_16 */
    AUX_BITS = PANEL_K / 16 * PANEL_ROWS_MAX - 1 /* bits of a code, where panels of a kind differ in that */
};

/* Act.h keeps -128 times the sums of activations. A zero point of 8 or 16 is met by scaling everything else
 * up to it. */
INLINE int zero_point_factor(int bits) {
    return bits == 4 ? 16 : 8;
}

/* ---- vectors
 * ------------------------------------------------------------------------------------------------ */

INLINE __m256i load256(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}
INLINE __m128i load128(const void *p) {
    return _mm_loadu_si128((const __m128i *)p);
}

/* Two times 16 bytes, a in the low half. */
INLINE __m256i load2x128(const void *a, const void *b) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load128(a)), load128(b), 1);
}

/* Four bytes to all dwords. */
INLINE __m256i broadcast32(const void *p) {
    int32_t x;
    memcpy(&x, p, sizeof x);
    return _mm256_set1_epi32(x);
}

INLINE __m256 broadcast_float(const void *p) {
    float x;
    memcpy(&x, p, sizeof x);
    return _mm256_set1_ps(x);
}

INLINE uint32_t load_u32(const void *p) {
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

INLINE uint16_t load_u16(const void *p) {
    uint16_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* Types of plain values. */
enum { F32, F16, BF16, F64 };

INLINE size_t value_bytes(int type) {
    return type == F64 ? 8 : type == F32 ? 4 : 2;
}

INLINE __m256 load8(const void *p, int type) {
    if (type == F32) return _mm256_loadu_ps((const float *)p);
    if (type == F64)
        return _mm256_set_m128(_mm256_cvtpd_ps(_mm256_loadu_pd((const double *)p + 4)),
                               _mm256_cvtpd_ps(_mm256_loadu_pd((const double *)p)));
    if (type == F16) return _mm256_cvtph_ps(load128(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load128(p)), 16));
}

INLINE float load1(const void *p, int type) {
    if (type == F16) return _cvtsh_ss(load_u16(p));
    if (type == F64) {
        double wide;
        memcpy(&wide, p, sizeof wide);
        return (float)wide;
    }
    uint32_t bits = type == F32 ? load_u32(p) : (uint32_t)load_u16(p) << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* 8 columns of 8 rows to 8 vectors of a column each. */
INLINE void transpose_8x8(__m256 x[8]) {
    __m256 a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        a[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
        b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
        b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
        b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        x[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
        x[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
    }
}

INLINE float sum4(__m128 x) {
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}

INLINE float sum8(__m256 x) {
    return sum4(_mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1)));
}

INLINE float max8(__m256 x) {
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}

/* All ones in the first n lanes (n <= 0: none, n >= 8: all). */
INLINE __m256i lanes_below(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* ---- reading weights as a stream
 * ---------------------------------------------------------------------------- */

/* One row after the other, weights are one long stream; a memory-bound kernel asks for each line of it
 * exactly twice: 4 KiB ahead into L2, which hides memory and page walks, and 1 KiB ahead into L1. Prefetches
 * beyond the matrix are harmless: they never fault. */
INLINE void prefetch_line(const char *p) {
    _mm_prefetch(p + 1024, _MM_HINT_T0);
    _mm_prefetch(p + 4096, _MM_HINT_T1);
}

/* Blocks are no multiple of a cache line: a stream keeps its own position, and each step of `step` bytes that
 * ends at p moves it by as many whole lines as the step must take, and one more when it has fallen behind. */
INLINE const char *prefetch_step(const char *at, const char *p, size_t step) {
    for (size_t line = 0; line < step / 64; line++) prefetch_line(at + 64 * line);
    at += step / 64 * 64;
    if (at < p) {
        prefetch_line(at);
        at += 64;
    }
    return at;
}

#endif

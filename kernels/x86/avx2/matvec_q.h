/* matvec for the types with blocks of 32, Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0, times ACT_Q8_32: the template that
 * matvec_q.c of this folder and of avxvnni compile. Straight from where the file is mapped, four rows side by
 * side. A step takes four blocks: their scales are converted and multiplied with those of the activations as
 * one vector, and the floats of a row are summed only at its end. No byte beyond the last block of a row is
 * read. */
#ifndef LEAT_KERNELS_X86_AVX2_MATVEC_Q_H
#define LEAT_KERNELS_X86_AVX2_MATVEC_Q_H

#include "dot.h"
#include "kernels/x86/streams.h"

#include "kernels/blocks.h"

enum {
    STEP = 4,          /* blocks per step */
    PAIRED_MAX = 32768 /* columns that are multiplied before the next ones; longer rows are rare */
};

/* Where the fields of a block lie. */
typedef struct layout {
    size_t bytes, qs, qh; /* block size, offset of the low bits, of the fifth bits or 0 */
    bool has_min;         /* m after d */
    float zero_point;     /* what a code is for the value 0 */
} layout;

/* A lane of 16 bytes holds the low bits of a block, for both of its halves. So the activations of two blocks
 * are put side by side once for all rows: first halves, then second halves. */
typedef struct paired {
    _Alignas(32) int8_t q[PAIRED_MAX];
} paired;

INLINE void pair_blocks(paired *to, const int8_t *q, size_t n_blocks) {
    for (size_t b = 0; b < n_blocks; b += 2, q += 64) {
        __m256i first = load256(q), second = load256(q + 32);
        int8_t *at = to->q + 32 * b;
        _mm256_store_si256((__m256i *)(void *)at, _mm256_permute2x128_si256(first, second, 0x20));
        _mm256_store_si256((__m256i *)(void *)(at + 32), _mm256_permute2x128_si256(first, second, 0x31));
    }
}

/* 16 in each byte whose bit is set. bits: the 32-bit number of a block over its lane, with every second dword
 * four bits further up, so that each bit is in the upper half of some byte; `bytes` names these bytes, in
 * which bits 4..7 follow one another. */
INLINE __m256i fifth_bits(__m256i bits, __m256i bytes) {
    const __m256i bit_of_byte = _mm256_set1_epi32((int)0x80402010);
    __m256i spread = _mm256_and_si256(_mm256_shuffle_epi8(bits, bytes), bit_of_byte);
    return _mm256_min_epu8(spread, _mm256_set1_epi8(16));
}

/* Integer dot products of two blocks with 64 activations: four partial sums of the first in the low half, of
 * the second in the high half. */
INLINE __m256i dot_two_blocks(const char *b, const int8_t *q, layout l) {
    const __m256i low4 = _mm256_set1_epi8(15);
    __m256i raw = load2x128(b + l.qs, b + l.bytes + l.qs);
    __m256i first = _mm256_and_si256(raw, low4), second = _mm256_and_si256(_mm256_srli_epi16(raw, 4), low4);
    if (l.qh) {
        const __m256i bytes =
            _mm256_setr_epi32(0x04040404, 0, 0x05050505, 0x01010101, 0x04040404, 0, 0x05050505, 0x01010101);
        const __m256i up = _mm256_setr_epi32(0, 4, 0, 4, 0, 4, 0, 4);
        __m256i bits = _mm256_blend_epi32(broadcast32(b + l.qh), broadcast32(b + l.bytes + l.qh), 0xf0);
        bits = _mm256_sllv_epi32(bits, up);
        first = _mm256_or_si256(first, fifth_bits(bits, bytes));
        second = _mm256_or_si256(second, fifth_bits(bits, _mm256_add_epi8(bytes, _mm256_set1_epi8(2))));
    }
    return dot_codes(first, load256(q), second, load256(q + 32));
}

/* The scales of four blocks in the low half, their minima in the high half where they have them: out of loads
 * that have the field of block i at place i. */
INLINE __m256 scales_and_mins(const char *b, layout l) {
    const __m128i apart = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    const size_t stride = l.bytes - (l.has_min ? 4 : 2);
    __m128i x0 = load128(b), x1 = load128(b + stride), x2 = load128(b + 2 * stride),
            x3 = load128(b + 3 * stride);
    if (l.has_min) {
        x0 = _mm_blend_epi32(_mm_blend_epi32(x0, x1, 2), _mm_blend_epi32(x2, x3, 8), 12);
        return _mm256_cvtph_ps(_mm_shuffle_epi8(x0, apart));
    }
    x0 = _mm_blend_epi16(_mm_blend_epi16(x0, x1, 2), _mm_blend_epi16(x2, x3, 8), 12);
    return _mm256_castps128_ps256(_mm_cvtph_ps(x0));
}

typedef struct sums {
    __m256 dot0, dot1;
    /* scale or minimum times the sum of activations: a float term, so rows of codes at the zero point come
     * out as rounding errors of it, not as 0 */
    __m128 offset;
} sums;

/* One shuffle; a compiler that sees the constant may think that two others are better. */
INLINE __m256 lanes_of(__m256 scale, int i, int j) {
    __m256i lanes = _mm256_setr_epi32(i, i, i, i, j, j, j, j);
    __asm__("" : "+x"(lanes));
    return _mm256_permutevar8x32_ps(scale, lanes);
}

INLINE void add_q8(__m256 *dot, const char *b, const int8_t *q, __m256 scale) {
    *dot = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot_q8(load256(b + offsetof(block_q8_0, qs)), load256(q))),
                           scale, *dot);
}

/* Four blocks at b; d and ds are the scales and scaled sums of their activations. The scales of blocks that
 * are not valid (all bits set: valid) become 0, so that those may hold anything, even NaN. */
INLINE void step(sums *s, const char *b, const int8_t *q, __m128 d, __m128 ds, const __m128i *valid,
                 layout l) {
    __m256 dm = scales_and_mins(b, l);
    if (valid) dm = _mm256_and_ps(dm, _mm256_castsi256_ps(_mm256_broadcastsi128_si256(*valid)));
    __m256 scale = _mm256_castps128_ps256(_mm_mul_ps(_mm256_castps256_ps128(dm), d));
    if (l.bytes == sizeof(block_q8_0)) {
        add_q8(&s->dot0, b, q, _mm256_broadcastss_ps(_mm256_castps256_ps128(scale)));
        add_q8(&s->dot1, b + l.bytes, q + 32, lanes_of(scale, 1, 1));
        add_q8(&s->dot0, b + 2 * l.bytes, q + 64, lanes_of(scale, 2, 2));
        add_q8(&s->dot1, b + 3 * l.bytes, q + 96, lanes_of(scale, 3, 3));
    } else {
        __m256i dot0 = dot_two_blocks(b, q, l), dot1 = dot_two_blocks(b + 2 * l.bytes, q + 64, l);
        s->dot0 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot0), lanes_of(scale, 0, 1), s->dot0);
        s->dot1 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot1), lanes_of(scale, 2, 3), s->dot1);
    }
    if (l.has_min)
        s->offset = _mm_fmadd_ps(_mm256_extractf128_ps(dm, 1), ds, s->offset);
    else if (l.zero_point > 0)
        s->offset = _mm_fnmadd_ps(_mm256_castps256_ps128(dm), ds, s->offset);
}

/* What is multiplied, and where it goes. */
typedef struct product {
    const char *w, *end; /* first row; where all weights end */
    size_t row_bytes, n_blocks;
    const int8_t *q;
    const float *d, *ds;
    float *y;
    bool add; /* to what is in y */
} product;

/* The blocks that are left over at the end of a row. The step goes on into the next row, or, behind the last,
 * into zeros; what follows the activations may be anything, even NaN. */
INLINE void last_step(sums *s, const char *b, const product *x, layout l) {
    const size_t i = x->n_blocks / STEP * STEP, n = x->n_blocks - i;
    const __m128i valid = _mm256_castsi256_si128(lanes_below((int)n));
    char blocks[STEP * sizeof(block_q8_0)];
    if ((size_t)(x->end - b) < STEP * l.bytes) {
        memset(blocks, 0, sizeof blocks);
        memcpy(blocks, b, n * l.bytes);
        b = blocks;
    }
    step(s, b, x->q + 32 * i, _mm_maskload_ps(x->d + i, valid), _mm_maskload_ps(x->ds + i, valid), &valid, l);
}

INLINE void finish_row(const sums *s, const product *x, size_t r, layout l) {
    float sum = sum8(_mm256_add_ps(s->dot0, s->dot1)), offset = sum4(s->offset);
    if (!l.has_min) offset *= l.zero_point;
    x->y[r] = (x->add ? x->y[r] : 0) + (sum + offset);
}

/* n (STREAMS or 1) times `per` rows, from row `first` on. */
INLINE void matvec_rows(const product *x, size_t first, size_t per, const int n, layout l) {
    const char *w = x->w + first * x->row_bytes;
    const size_t n_whole = x->n_blocks / STEP * STEP;
    streams ahead = streams_open(w, x->row_bytes, per, n);
    for (size_t r = 0; r < per; r++) {
        const char *b = streams_row(&ahead, w, r);
#define START(t) sums s##t = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm_setzero_ps()};
        EACH_STREAM(START)
        for (size_t i = 0; i < n_whole; i += STEP, b += STEP * l.bytes) {
            const __m128 d = _mm_loadu_ps(x->d + i), ds = _mm_loadu_ps(x->ds + i);
            streams_ask(&ahead, b + STEP * l.bytes, STEP * l.bytes, n);
#define ADD(t)                                                                                               \
    if (t < n) step(&s##t, b + t * ahead.apart, x->q + 32 * i, d, ds, NULL, l);
            EACH_STREAM(ADD)
        }
#define FINISH(t)                                                                                            \
    if (t < n) {                                                                                             \
        if (n_whole < x->n_blocks) last_step(&s##t, b + t * ahead.apart, x, l);                              \
        finish_row(&s##t, x, first + r + t * per, l);                                                        \
    }
        EACH_STREAM(FINISH)
    }
#undef START
#undef ADD
#undef FINISH
}

/* y = or += so many blocks of each row times activations. */
INLINE void matvec_blocks(const char *w, size_t row_bytes, size_t n_rows, size_t n_blocks, const int8_t *q,
                          const float *d, const float *ds, float *y, bool add, layout l) {
    if (!n_rows) return;
    const char *end = w + (n_rows - 1) * row_bytes + n_blocks * l.bytes;
    const product x = {w, end, row_bytes, n_blocks, q, d, ds, y, add};
    const size_t per = n_rows / STREAMS;
    matvec_rows(&x, 0, per, STREAMS, l);
    matvec_rows(&x, STREAMS * per, n_rows - STREAMS * per, 1, l);
}

INLINE void matvec_32(const char *w, size_t row_bytes, size_t n_rows, size_t k, const void *act, float *y,
                      layout l) {
    const int8_t *q = act_q(act);
    const float *d = act_d(act, k), *ds = act_ds(act, k);
    if (l.bytes == sizeof(block_q8_0)) {
        matvec_blocks(w, row_bytes, n_rows, k / 32, q, d, ds, y, false, l);
        return;
    }
    paired p;
    size_t done = 0;
    do {
        size_t n = k / 32 - done < PAIRED_MAX / 32 ? k / 32 - done : PAIRED_MAX / 32;
        pair_blocks(&p, q + 32 * done, (n + STEP - 1) / STEP * STEP);
        matvec_blocks(w + done * l.bytes, row_bytes, n_rows, n, p.q, d + done, ds + done, y, done > 0, l);
        done += n;
    } while (done < k / 32);
}

/* All five kernels of an instruction set. */
#define MATVEC_32(name, isa, ...)                                                                            \
    void matvec_##name##_##isa(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act,    \
                               float *y) {                                                                   \
        matvec_32(w, row_bytes, n_rows, k, act, y, (layout){sizeof(block_##name), __VA_ARGS__});             \
    }
#define MATVEC_Q(isa)                                                                                        \
    MATVEC_32(q4_0, isa, offsetof(block_q4_0, qs), 0, false, 8)                                              \
    MATVEC_32(q4_1, isa, offsetof(block_q4_1, qs), 0, true, 0)                                               \
    MATVEC_32(q5_0, isa, offsetof(block_q5_0, qs), offsetof(block_q5_0, qh), false, 16)                      \
    MATVEC_32(q5_1, isa, offsetof(block_q5_1, qs), offsetof(block_q5_1, qh), true, 0)                        \
    MATVEC_32(q8_0, isa, offsetof(block_q8_0, qs), 0, false, Q8_ZERO_POINT)

#endif

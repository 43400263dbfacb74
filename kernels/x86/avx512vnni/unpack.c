/* Weight rows into integer panels of 32 rows: w[k/4][32][4] bytes, scale[k/fold][32]. 16 bytes of each of 16
 * rows are loaded and transposed as dwords, so that a vector holds the same four columns of 16 rows, and the
 * bits are taken apart there.
 *
 * Kinds with a zero point (Q8_32, Q8_256_16) have the quants at the top of the byte, whatever their width:
 * the zero point is 128 for all of them, and the scale is divided by the power of two. Kinds with minima have
 * plain quants; PANEL_Q8_256_MIN keeps dmin in min[0][32] and the integer minima as pairs of words in
 * aux[4][32]; the kinds of ACT_Q8_32 keep there what goes with the magic number of act.h. Rows beyond n_rows
 * are made of zero bytes, which have scale 0. Overridden together with panel_mul.c. */
#include "kernels/blocks.h"
#include "avx512vnni.h"
#include "unpack.h"

/* Where the columns of up to 32 rows start, and which row's following columns are to be asked for next. */
typedef struct source {
    const uint8_t *p;
    size_t stride; /* times 15 must fit an int: gathers use 32-bit offsets */
    const uint8_t *next;
    size_t next_stride;
} source;

/* A panel with rows missing is unpacked from a copy of its columns in which they are zero: 32 rows of at most
 * 8 blocks of Q8_0. Only the last panel of a matrix can be one, and the others are left with a single path.
 */
typedef struct partial {
    _Alignas(64) uint8_t bytes[ROWS][320];
} partial;
_Static_assert(sizeof(block_q8_0) * PANEL_K / 32 <= 320 && sizeof(block_q6_k) <= 320, "a row of the copy");

VEC_INLINE source panel_source(const uint8_t *w, size_t row_bytes, size_t n_rows, size_t at, size_t bytes,
                               partial *t) {
    /* While this panel is multiplied, the columns that come after its own in the same rows can come from
     * memory: they are unpacked next but for the other panels of the group (gemm.c). */
    source s = {w + at, row_bytes, w + at + bytes, row_bytes};
    if (n_rows == ROWS) return s;
    memset(t, 0, sizeof *t);
    for (size_t r = 0; r < n_rows; r++) memcpy(t->bytes[r], w + r * row_bytes + at, bytes);
    s.p = t->bytes[0];
    s.stride = sizeof t->bytes[0];
    return s;
}

/* The next `bytes` of so many rows. A panel asks for 32 rows in the course of its unpacking. */
VEC_INLINE void prefetch_rows(source *s, const size_t rows, const size_t bytes) {
    for (size_t r = 0; r < rows; r++, s->next += s->next_stride)
        for (size_t i = 0; i < bytes + 63; i += 64) _mm_prefetch((const char *)s->next + i, _MM_HINT_T1);
}

/* The dword at p of each of 16 rows. */
VEC_INLINE __m512i gather(const uint8_t *p, size_t stride) {
    const __m512i row = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_i32gather_epi32(_mm512_mullo_epi32(row, _mm512_set1_epi32((int)stride)), (const void *)p,
                                  1);
}

/* The low halves of 16 dwords as float32. */
VEC_INLINE __m512 low_half(__m512i v) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v));
}

VEC_INLINE __m512i shift_left(__m512i v, const int n) {
    return n >= 0 ? _mm512_slli_epi16(v, (unsigned)(n & 15)) : _mm512_srli_epi16(v, (unsigned)(-n & 15));
}

/* Fifth bits 4 * j .. 4 * j + 3 of the number in each dword, at bit `to` of its four bytes. A quadword holds
 * the numbers of two rows; the bits of the neighbour that a multishift brings along lie elsewhere in the
 * byte. */
VEC_INLINE __m512i fifth_bits(__m512i qh, const int j, const int to) {
    const __m512i at =
        _mm512_add_epi8(_mm512_set1_epi64(0x2322212003020100), _mm512_set1_epi8((char)(64 + 4 * j - to)));
    return _mm512_multishift_epi64_epi8(at, qh);
}

/* Q4_0, Q4_1, Q5_0, Q5_1: value i of a block in the low, value i + 16 in the high nibble of qs[i], which
 * becomes bits up .. up + 3 of the byte. */
VEC_INLINE void unpack_nibbles(source s, size_t kc, panel *p, const size_t block, const size_t qs,
                               const size_t qh, const int min, const int up) {
    const __m512i nibble = _mm512_set1_epi8((char)(0x0F << up)), fifth = _mm512_set1_epi8((char)(0x10 << up));
    for (size_t half = 0; half < ROWS; half += VECTOR_ROWS, s.p += VECTOR_ROWS * s.stride) {
        const uint8_t *at = s.p;
        for (size_t b = 0; b < kc / 32; b++, at += block) {
            __m512i t[4];
            prefetch_rows(&s, 2, PANEL_K / 32 * block);
            load_dwords(at + qs, s.stride, t);
            const __m512i bits = qh ? gather(at + qh, s.stride) : nibble;
#define PUT(j)                                                                                               \
    {                                                                                                        \
        __m512i low = _mm512_and_si512(shift_left(t[j], up), nibble);                                        \
        __m512i high = _mm512_and_si512(shift_left(t[j], up - 4), nibble);                                   \
        if (qh) low = vec_or_masked(low, fifth_bits(bits, j, 4 + up), fifth);                                \
        if (qh) high = vec_or_masked(high, fifth_bits(bits, j + 4, 4 + up), fifth);                          \
        put(p, 8 * b + (j), half, low);                                                                      \
        put(p, 8 * b + 4 + (j), half, high);                                                                 \
    }
            VEC_EACH4(PUT)
#undef PUT
            const __m512i d = gather(at, s.stride);
            put_scale(p, b, half, _mm512_mul_ps(low_half(d), _mm512_set1_ps(1.0f / (float)(1 << up))));
            if (min)
                _mm512_store_ps(p->min + b * ROWS + half,
                                _mm512_sub_ps(_mm512_setzero_ps(), low_half(_mm512_srli_epi32(d, 16))));
        }
    }
}

#define UNPACK_NIBBLES(name, qh_at, min, up)                                                                 \
    void unpack_##name##_avx512vnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc,    \
                                    panel *p) {                                                              \
        const size_t block = sizeof(block_##name);                                                           \
        partial copy;                                                                                        \
        source s = panel_source(w, row_bytes, n_rows, k0 / 32 * block, kc / 32 * block, &copy);              \
        unpack_nibbles(s, kc, p, block, offsetof(block_##name, qs), qh_at, min, up);                         \
    }
UNPACK_NIBBLES(q4_0, 0, 0, 4)
UNPACK_NIBBLES(q4_1, 0, 1, 0)
UNPACK_NIBBLES(q5_0, offsetof(block_q5_0, qh), 0, 3)
UNPACK_NIBBLES(q5_1, offsetof(block_q5_1, qh), 1, 0)

void unpack_q8_0_avx512vnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    enum { B = sizeof(block_q8_0), QS = offsetof(block_q8_0, qs) };
    const __m512i sign = _mm512_set1_epi8((char)0x80);
    partial copy;
    source s = panel_source(w, row_bytes, n_rows, k0 / 32 * B, kc / 32 * B, &copy);
    for (size_t half = 0; half < ROWS; half += VECTOR_ROWS, s.p += VECTOR_ROWS * s.stride) {
        const uint8_t *at = s.p;
        for (size_t b = 0; b < kc / 32; b++, at += B) {
            prefetch_rows(&s, 2, PANEL_K / 32 * B);
            for (size_t u = 0; u < 2; u++) {
                __m512i t[4];
                load_dwords(at + QS + 16 * u, s.stride, t);
#define PUT(j) put(p, 8 * b + 4 * u + (j), half, _mm512_xor_si512(t[j], sign));
                VEC_EACH4(PUT)
#undef PUT
            }
            put_scale(p, b, half, low_half(gather(at, s.stride)));
        }
    }
}

/* Byte i of each dword. */
#define BYTE(v, i) _mm512_and_si512(_mm512_srli_epi32(v, 8 * (i)), _mm512_set1_epi32(0xFF))

/* Scales of 16 superblocks of Q4_K or Q5_K (drawn in blocks.h), all rows at once: d * scale is exact in
 * float32. */
VEC_INLINE void unpack_scales_k(const uint8_t *at, size_t stride, size_t half, panel *p) {
    const __m512i low6 = _mm512_set1_epi32(0x3f3f3f3f), low4 = _mm512_set1_epi32(0x0f0f0f0f);
    const __m512i top2 = _mm512_set1_epi32(0x30303030);
    const __m512i both = gather(at, stride), a = gather(at + 4, stride);
    const __m512i b = gather(at + 8, stride), c = gather(at + 12, stride);
    const __m512 d = low_half(both);
    const __m512i scale0 = _mm512_and_si512(a, low6), min0 = _mm512_and_si512(b, low6);
    const __m512i scale4 = vec_or_masked(_mm512_and_si512(c, low4), _mm512_srli_epi32(a, 2), top2);
    const __m512i min4 =
        vec_or_masked(_mm512_and_si512(_mm512_srli_epi32(c, 4), low4), _mm512_srli_epi32(b, 2), top2);
#define SCALES(j)                                                                                            \
    _mm512_store_ps(p->scale + (j)*ROWS + half, _mm512_mul_ps(d, _mm512_cvtepi32_ps(BYTE(scale0, j))));      \
    _mm512_store_ps(p->scale + (4 + (j)) * ROWS + half,                                                      \
                    _mm512_mul_ps(d, _mm512_cvtepi32_ps(BYTE(scale4, j))));
    VEC_EACH4(SCALES)
#undef SCALES
    /* bytes i and i + 1 of each dword as words */
#define PAIR(v, i) _mm512_or_si512(BYTE(v, i), _mm512_slli_epi32(BYTE(v, (i) + 1), 16))
    _mm512_store_si512(p->aux + half, PAIR(min0, 0));
    _mm512_store_si512(p->aux + ROWS + half, PAIR(min0, 2));
    _mm512_store_si512(p->aux + 2 * ROWS + half, PAIR(min4, 0));
    _mm512_store_si512(p->aux + 3 * ROWS + half, PAIR(min4, 2));
    _mm512_store_ps(p->min + half, low_half(_mm512_srli_epi32(both, 16)));
}

/* Sub-blocks 2i and 2i + 1, values 16u .. 16u + 15 of each; th holds the 16 bytes of qh for these values. */
VEC_INLINE void unpack_pair_k(const uint8_t *qs, size_t stride, size_t half, panel *p, const size_t i,
                              const size_t u, const __m512i th[4], const int five) {
    const __m512i low4 = _mm512_set1_epi8(0x0F), bit4 = _mm512_set1_epi8(0x10);
    __m512i t[4];
    load_dwords(qs + 32 * i + 16 * u, stride, t);
#define PUT(j)                                                                                               \
    {                                                                                                        \
        __m512i low = _mm512_and_si512(t[j], low4),                                                          \
                high = _mm512_and_si512(_mm512_srli_epi16(t[j], 4), low4);                                   \
        if (five) low = vec_or_masked(low, shift_left(th[j], 4 - 2 * (int)i), bit4);                         \
        if (five) high = vec_or_masked(high, shift_left(th[j], 3 - 2 * (int)i), bit4);                       \
        put(p, 16 * i + 4 * u + (j), half, low);                                                             \
        put(p, 16 * i + 8 + 4 * u + (j), half, high);                                                        \
    }
    VEC_EACH4(PUT)
#undef PUT
}

VEC_INLINE void unpack_q45_k(source s, panel *p, const size_t block, const size_t qs, const size_t qh) {
    const int five = qh != 0;
    for (size_t half = 0; half < ROWS; half += VECTOR_ROWS, s.p += VECTOR_ROWS * s.stride) {
        for (size_t u = 0; u < 2; u++) {
            __m512i th[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                             _mm512_setzero_si512()};
            if (five) load_dwords(s.p + qh + 16 * u, s.stride, th);
#define PAIR_OF_SUBBLOCKS(i)                                                                                 \
    prefetch_rows(&s, 2, block);                                                                             \
    unpack_pair_k(s.p + qs, s.stride, half, p, i, u, th, five);
            VEC_EACH4(PAIR_OF_SUBBLOCKS)
#undef PAIR_OF_SUBBLOCKS
        }
        unpack_scales_k(s.p, s.stride, half, p);
    }
}

/* A row has whole superblocks only, so kc is always PANEL_K here. */
void unpack_q4_k_avx512vnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    const size_t block = sizeof(block_q4_k);
    (void)kc;
    partial copy;
    source s = panel_source(w, row_bytes, n_rows, k0 / 256 * block, block, &copy);
    unpack_q45_k(s, p, block, offsetof(block_q4_k, qs), 0);
}

void unpack_q5_k_avx512vnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    const size_t block = sizeof(block_q5_k);
    (void)kc;
    partial copy;
    source s = panel_source(w, row_bytes, n_rows, k0 / 256 * block, block, &copy);
    unpack_q45_k(s, p, block, offsetof(block_q5_k, qs), offsetof(block_q5_k, qh));
}

/* q << 2: bits 5..2 from a nibble that was moved there, bits 7..6 from a pair of bits of qh. */
VEC_INLINE __m512i join_q6(__m512i nibble, __m512i top) {
    const __m512i mid4 = _mm512_set1_epi8(0x3C), top2 = _mm512_set1_epi8((char)0xC0);
    return vec_or_masked(_mm512_and_si512(nibble, mid4), top, top2);
}

void unpack_q6_k_avx512vnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    enum { B = sizeof(block_q6_k), QH = offsetof(block_q6_k, qh), D = offsetof(block_q6_k, d) };
    (void)kc;
    partial copy;
    source s = panel_source(w, row_bytes, n_rows, k0 / 256 * B, B, &copy);
    for (size_t half = 0; half < ROWS; half += VECTOR_ROWS, s.p += VECTOR_ROWS * s.stride) {
        for (size_t i = 0; i < 4; i++) {
            /* 16 columns from 128 * h + 16 * v on, and those 32, 64 and 96 further, share bytes of ql and qh
             */
            const size_t h = i / 2, v = i % 2, at = (128 * h + 16 * v) / 4;
            __m512i a[4], b[4], top[4];
            prefetch_rows(&s, 4, B);
            load_dwords(s.p + 64 * h + 16 * v, s.stride, a);
            load_dwords(s.p + 64 * h + 16 * v + 32, s.stride, b);
            load_dwords(s.p + QH + 32 * h + 16 * v, s.stride, top);
#define PUT(j)                                                                                               \
    put(p, at + (j), half, join_q6(_mm512_slli_epi16(a[j], 2), _mm512_slli_epi16(top[j], 6)));               \
    put(p, at + 8 + (j), half, join_q6(_mm512_slli_epi16(b[j], 2), _mm512_slli_epi16(top[j], 4)));           \
    put(p, at + 16 + (j), half, join_q6(_mm512_srli_epi16(a[j], 2), _mm512_slli_epi16(top[j], 2)));          \
    put(p, at + 24 + (j), half, join_q6(_mm512_srli_epi16(b[j], 2), top[j]));
            VEC_EACH4(PUT)
#undef PUT
        }
        /* d is the last half of the block: gathered with the two bytes before it */
        const __m512i last = gather(s.p + D - 2, s.stride);
        const __m512 d = _mm512_mul_ps(low_half(_mm512_srli_epi32(last, 16)), _mm512_set1_ps(0.25f));
        __m512i scales[4];
        load_dwords(s.p + offsetof(block_q6_k, scales), s.stride, scales);
#define SCALE(j, e)                                                                                          \
    _mm512_store_ps(p->scale + (4 * (j) + (e)) * ROWS + half,                                                \
                    _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_srai_epi32(                                   \
                                         _mm512_slli_epi32(scales[j], 24 - 8 * (e)), 24))));
#define SCALES(j) SCALE(j, 0) SCALE(j, 1) SCALE(j, 2) SCALE(j, 3)
        VEC_EACH4(SCALES)
#undef SCALES
#undef SCALE
    }
}

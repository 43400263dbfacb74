/* matvec and unpack for the codebook types IQ1_*, IQ2_* and IQ3_*, on what avx2/iq.h takes out of a
 * superblock. These are bound by computing, not by memory: entries of codebooks are loaded one by one, 32
 * values to a vector of which two are joined; signs are masks. Panels are those of unpack.c (the kinds of 7
 * bits are the same as those of 8 here); a row's superblock becomes 256 unsigned codes in a buffer first,
 * which is then turned like Q8_0. No byte beyond the last row is read. */
#include "kernels/x86/avx2/iq.h"
#include "avx512vnni.h"
#include "stream.h"

VEC_INLINE __m512i join(__m256i lo, __m256i hi) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(lo), hi, 1);
}

/* Values 64 * i .. 64 * i + 63, see iq_magnitudes. */
VEC_INLINE __m512i magnitudes(const uint8_t *b, const int i, const iq_type t) {
    return join(iq_magnitudes(b, 2 * i, t), iq_magnitudes(b, 2 * i + 1, t));
}

VEC_INLINE bool has_signs(const iq_type t) {
    return t != IQ1_S && t != IQ1_M;
}

/* x, negated where a bit of the 64 at `signs` is set. */
VEC_INLINE __m512i signed_by(__m512i x, const uint8_t *signs) {
    uint64_t m;
    memcpy(&m, signs, sizeof m);
    return _mm512_mask_sub_epi8(x, m, _mm512_setzero_si512(), x);
}

/* ---- matvec
 * --------------------------------------------------------------------------------------------------- */

/* The scales of values 64 * i .. 64 * i + 63, a word for each pair of values. */
VEC_INLINE __m512i scale_words(__m512i scales, const int i, const iq_type t) {
    const __m512i half = join(_mm256_setzero_si256(), _mm256_set1_epi16(1));
    const __m512i quarter = join(
        _mm256_setr_epi64x(0, 0, 0x0001000100010001, 0x0001000100010001),
        _mm256_setr_epi64x(0x0002000200020002, 0x0002000200020002, 0x0003000300030003, 0x0003000300030003));
    const __m512i at = iq_fold(t) == 32 ? _mm512_add_epi16(half, _mm512_set1_epi16((short)(2 * i)))
                                        : _mm512_add_epi16(quarter, _mm512_set1_epi16((short)(4 * i)));
    return _mm512_permutexvar_epi16(at, scales);
}

/* Largest int32: 256 * 43 * 127 * 31 < 2^26. */
VEC_INLINE __m512i dot_iq(const uint8_t *b, const int8_t *q, const int16_t *s16, const int16_t *s32,
                          const iq_type t) {
    _Alignas(32) uint8_t signs[32];
    const __m256i scales = iq_scales(b, t);
    const __m512i words = _mm512_castsi256_si512(scales);
    if (has_signs(t)) {
        _mm256_store_si256((void *)signs, iq_signs(b, t));
        __asm__("" : "+m"(signs)); /* they are to come back from memory, where masks are loaded from */
    }
    __m512i dot = _mm512_setzero_si512();
#define PART(i)                                                                                              \
    {                                                                                                        \
        __m512i x = _mm512_loadu_si512(q + 64 * (i));                                                        \
        if (has_signs(t)) x = signed_by(x, signs + 8 * (i));                                                 \
        dot = _mm512_dpwssd_epi32(dot, _mm512_maddubs_epi16(magnitudes(b, i, t), x),                         \
                                  scale_words(words, i, t));                                                 \
    }
    VEC_EACH4(PART)
#undef PART
    if (t == IQ1_M) { /* less nine times the scaled sums of activations */
        __m256i one = _mm256_madd_epi16(scales, _mm256_loadu_si256((const void *)s16));
        one = _mm256_add_epi32(one, _mm256_slli_epi32(one, 3));
        dot = _mm512_sub_epi32(dot, _mm512_zextsi256_si512(one));
    }
    if (t == IQ1_S) {
        __m128i less = _mm_madd_epi16(iq1_s_minima(b, scales), _mm_loadu_si128((const void *)s32));
        dot = _mm512_sub_epi32(_mm512_slli_epi32(dot, 3), _mm512_zextsi128_si512(less));
    }
    return dot;
}

VEC_INLINE void matvec_iq(const uint8_t *w, size_t row_bytes, size_t n_rows, size_t k, const void *act,
                          float *y, const iq_type t) {
    const size_t block = iq_bytes(t);
    const float *d = act_d(act, k);
    stream ahead = (uintptr_t)w;
    for (size_t r = 0; r < n_rows; r++) {
        const uint8_t *b = w + r * row_bytes;
        const int8_t *q = act_q(act);
        const int16_t *s16 = act_s16(act, k), *s32 = act_s32(act, k);
        __m512 dots = _mm512_setzero_ps();
        stream_row(&ahead, b);
        for (size_t i = 0; i < k / 256; i++, b += block, q += 256, s16 += 16, s32 += 8) {
            stream_bytes(&ahead, b, block);
            __m128 scale = _mm_cvtph_ps(_mm_cvtsi32_si128(iq_d(b, t)));
            scale = _mm_mul_ss(_mm_mul_ss(scale, _mm_set_ss(iq_unit(t))), _mm_load_ss(d + i));
            const __m512 dot = _mm512_cvtepi32_ps(dot_iq(b, q, s16, s32, t));
            dots = _mm512_fmadd_ps(dot, _mm512_broadcastss_ps(scale), dots);
        }
        y[r] = vec_sum16(dots);
    }
}

/* ---- unpack
 * --------------------------------------------------------------------------------------------------- */

enum { PANEL_ROWS = 32, VECTOR_ROWS = 16 };

/* A row's superblock: codes, scales (16, or 8 where one is for 32 columns), and for the latter what the zero
 * point is as minima of sub-blocks. */
typedef struct iq_row {
    _Alignas(64) uint8_t code[256];
    int16_t scale[16], min[8], unused[8];
} iq_row;

typedef struct iq_rows {
    iq_row of[PANEL_ROWS];
    _Alignas(64) float d[PANEL_ROWS];
} iq_rows;

VEC_INLINE __m512i codes(__m512i x, const uint8_t *signs, const iq_type t) {
    if (t == IQ1_S) return x;
    if (t == IQ1_M) return _mm512_add_epi8(x, _mm512_set1_epi8(128 - 9));
    const int zero = iq_fold(t) == 16 ? 128 - 256 : iq_zero(t);
    x = _mm512_add_epi8(signed_by(x, signs), _mm512_set1_epi8((char)zero));
    return t == IQ3_S ? _mm512_srli_epi16(x, 1) : x;
}

VEC_INLINE void expand_row(const uint8_t *b, iq_row *to, const iq_type t) {
    const __m256i scales = iq_scales(b, t);
    _Alignas(32) uint8_t signs[32] = {0};
    if (has_signs(t)) {
        _mm256_store_si256((void *)signs, iq_signs(b, t));
        __asm__("" : "+m"(signs));
    }
#define PART(i) _mm512_store_si512(to->code + 64 * (i), codes(magnitudes(b, i, t), signs + 8 * (i), t));
    VEC_EACH4(PART)
#undef PART
    _mm256_storeu_si256((void *)to->scale, scales);
    _mm_storeu_si128((void *)to->min, t == IQ1_S ? iq1_s_minima(b, scales)
                                                 : _mm_mullo_epi16(_mm256_castsi256_si128(scales),
                                                                   _mm_set1_epi16((short)iq_zero(t))));
}

/* 16 bytes at p of 16 rows: t[j] holds dword j of rows 0 .. 15. */
VEC_INLINE __m512i four_rows(const uint8_t *p) {
    __m512i v = _mm512_castsi128_si512(_mm_load_si128((const void *)p));
    v = _mm512_mask_broadcast_i32x4(v, 0x00F0, _mm_load_si128((const void *)(p + 4 * sizeof(iq_row))));
    v = _mm512_mask_broadcast_i32x4(v, 0x0F00, _mm_load_si128((const void *)(p + 8 * sizeof(iq_row))));
    return _mm512_mask_broadcast_i32x4(v, 0xF000, _mm_load_si128((const void *)(p + 12 * sizeof(iq_row))));
}
VEC_INLINE void load_dwords(const void *at, __m512i t[4]) {
    const uint8_t *p = at;
    __m512i r0 = four_rows(p), r1 = four_rows(p + sizeof(iq_row));
    __m512i r2 = four_rows(p + 2 * sizeof(iq_row)), r3 = four_rows(p + 3 * sizeof(iq_row));
    __m512i a = _mm512_unpacklo_epi32(r0, r1), b = _mm512_unpackhi_epi32(r0, r1);
    __m512i c = _mm512_unpacklo_epi32(r2, r3), d = _mm512_unpackhi_epi32(r2, r3);
    t[0] = _mm512_unpacklo_epi64(a, c);
    t[1] = _mm512_unpackhi_epi64(a, c);
    t[2] = _mm512_unpacklo_epi64(b, d);
    t[3] = _mm512_unpackhi_epi64(b, d);
}

VEC_INLINE void put_scales(const iq_row *rows, const float *d, panel *p, size_t half, const iq_type t) {
    const __m512 unit = _mm512_mul_ps(_mm512_load_ps(d), _mm512_set1_ps(iq_code_unit(t)));
    __m512i x[4];
    for (size_t h = 0; h < (iq_fold(t) == 16 ? 2 : 1); h++) {
        load_dwords(rows->scale + 8 * h, x);
#define PAIR(i)                                                                                              \
    {                                                                                                        \
        float *to = p->scale + (8 * h + 2 * (i)) * PANEL_ROWS + half;                                        \
        const __m512i even = _mm512_and_si512(x[i], _mm512_set1_epi32(0xffff));                              \
        _mm512_store_ps(to, _mm512_mul_ps(unit, _mm512_cvtepi32_ps(even)));                                  \
        _mm512_store_ps(to + PANEL_ROWS,                                                                     \
                        _mm512_mul_ps(unit, _mm512_cvtepi32_ps(_mm512_srli_epi32(x[i], 16))));               \
    }
        VEC_EACH4(PAIR)
#undef PAIR
    }
    if (iq_fold(t) == 16) return;
    load_dwords(rows->min, x);
#define PAIR(i) _mm512_store_si512(p->aux + (i)*PANEL_ROWS + half, x[i]);
    VEC_EACH4(PAIR)
#undef PAIR
    _mm512_store_ps(p->min + half, _mm512_mul_ps(_mm512_load_ps(d), _mm512_set1_ps(iq_unit(t))));
}

VEC_INLINE void unpack_iq(const uint8_t *w, size_t row_bytes, size_t n_rows, size_t k0, panel *p,
                          const iq_type t) {
    const size_t block = iq_bytes(t);
    const uint8_t *b = w + k0 / 256 * block;
    iq_rows s;
    for (size_t r = 0; r < n_rows; r++, b += row_bytes) {
        /* what follows in the row is unpacked next but for the other panels of the group (gemm.c) */
        for (size_t i = 0; i < block + 63; i += 64) _mm_prefetch((const char *)b + block + i, _MM_HINT_T1);
        expand_row(b, &s.of[r], t);
        s.d[r] = _cvtsh_ss(iq_d(b, t));
    }
    for (size_t r = n_rows; r < PANEL_ROWS; r++) {
        memset(&s.of[r], 0, sizeof s.of[r]);
        s.d[r] = 0;
    }
    for (size_t half = 0; half < PANEL_ROWS; half += VECTOR_ROWS) {
        for (size_t at = 0; at < 256; at += 16) {
            __m512i x[4];
            load_dwords(s.of[half].code + at, x);
#define PUT(j) _mm512_store_si512(p->w + ((at / 4 + (j)) * PANEL_ROWS + half) * 4, x[j]);
            VEC_EACH4(PUT)
#undef PUT
        }
        put_scales(s.of + half, s.d + half, p, half, t);
    }
}

#define IQ(name, t)                                                                                          \
    void matvec_##name##_avx512vnni(const void *w, size_t row_bytes, size_t n_rows, size_t k,                \
                                    const void *act, float *y) {                                             \
        matvec_iq(w, row_bytes, n_rows, k, act, y, t);                                                       \
    }                                                                                                        \
    void unpack_##name##_avx512vnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc,    \
                                    panel *p) {                                                              \
        (void)kc; /* always a whole superblock */                                                            \
        unpack_iq(w, row_bytes, n_rows, k0, p, t);                                                           \
    }
IQ(iq1_s, IQ1_S)
IQ(iq1_m, IQ1_M)
IQ(iq2_xxs, IQ2_XXS)
IQ(iq2_xs, IQ2_XS)
IQ(iq2_s, IQ2_S)
IQ(iq3_xxs, IQ3_XXS)
IQ(iq3_s, IQ3_S)

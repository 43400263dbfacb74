/* Floats to rows of a type, with every bit of c/encode.c, where the rules are told. Called through the kernel
 * table only. A block of 32 values is four vectors; no product is fused with a sum, because the reference
 * does not. */
#include "avx2.h"

#include <math.h>

#include "kernels/blocks.h"
#include "kernels/codebooks.h"

void encode_f16_avx2(const float *x, void *w, size_t n) {
    uint16_t *y = w;
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128(
            (__m128i *)(void *)(y + i),
            _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    for (; i < n; i++) y[i] = _cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* Eight bfloat16 in the low halves of dwords. */
INLINE __m256i to_bf16(const float *x) {
    __m256i u = load256(x), high = _mm256_srli_epi32(u, 16);
    __m256i nearest = _mm256_add_epi32(
        u, _mm256_add_epi32(_mm256_set1_epi32(0x7fff), _mm256_and_si256(high, _mm256_set1_epi32(1))));
    __m256 v = _mm256_castsi256_ps(u), nan = _mm256_cmp_ps(v, v, _CMP_UNORD_Q);
    return _mm256_blendv_epi8(_mm256_srli_epi32(nearest, 16), _mm256_or_si256(high, _mm256_set1_epi32(0x40)),
                              _mm256_castps_si256(nan));
}

void encode_bf16_avx2(const float *x, void *w, size_t n) {
    uint16_t *y = w;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256i both = _mm256_packus_epi32(to_bf16(x + i), to_bf16(x + i + 8));
        _mm256_storeu_si256((__m256i *)(void *)(y + i), _mm256_permute4x64_epi64(both, 0xd8));
    }
    for (; i < n; i++) y[i] = bf16_from_f32(x[i]);
}

/* ---- blocks ---- */

typedef struct block {
    __m256 v[4];      /* 32 values times `inverse` */
    float d, inverse; /* 1 / d, or 0 */
} block;

/* False when a value is no finite number. */
INLINE bool scale_block(const float *x, float code, bool unsigned_max, block *b) {
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i m[4];
    for (int i = 0; i < 4; i++) m[i] = _mm256_and_si256(load256(x + 8 * i), magnitude);
    __m256i all = _mm256_max_epi32(_mm256_max_epi32(m[0], m[1]), _mm256_max_epi32(m[2], m[3]));
    all = _mm256_max_epi32(all, _mm256_permute2x128_si256(all, all, 1));
    all = _mm256_max_epi32(all, _mm256_shuffle_epi32(all, 0x4e));
    all = _mm256_max_epi32(all, _mm256_shuffle_epi32(all, 0xb1)); /* the largest in every lane */
    float max = _mm256_cvtss_f32(_mm256_castsi256_ps(all));
    if (!(max < INFINITY)) return false;
    if (!unsigned_max && max > 0) {
        uint32_t where = 0;
        for (int i = 0; i < 4; i++)
            where |= (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(m[i], all)))
                     << 8 * i;
        max = x[__builtin_ctz(where)];
    }
    b->d = max / code;
    b->inverse = b->d != 0 ? 1 / b->d : 0;
    if (!isfinite(b->inverse)) b->inverse = 0;
    for (int i = 0; i < 4; i++)
        b->v[i] = _mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), _mm256_set1_ps(b->inverse));
    return true;
}

INLINE void write_nan(void *w, size_t bytes) {
    const uint16_t d = 0x7e00;
    memset(w, 0, bytes);
    memcpy(w, &d, sizeof d);
}

INLINE uint16_t half_of(float d) {
    return _cvtss_sh(d, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* Packing works within halves: groups of four values are in the order 0 2 4 6 | 1 3 5 7. */
INLINE __m256i pack_bytes(__m256i words0, __m256i words1) {
    return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(words0, words1),
                                       _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* The low four bits of 32 codes, as Q4_0 keeps them. */
INLINE void store_nibbles(__m256i codes, uint8_t *qs) {
    __m256i low = _mm256_and_si256(codes, _mm256_set1_epi8(15));
    __m128i high = _mm_slli_epi16(_mm256_extracti128_si256(low, 1), 4);
    _mm_storeu_si128((__m128i *)(void *)qs, _mm_or_si128(_mm256_castsi256_si128(low), high));
}

/* To the nearest integer, halves away from zero. */
INLINE __m256i round_away(__m256 v) {
    __m256i whole = _mm256_cvttps_epi32(v);
    __m256 rest = _mm256_sub_ps(v, _mm256_cvtepi32_ps(whole));
    __m256 up = _mm256_cmp_ps(rest, _mm256_set1_ps(0.5f), _CMP_GE_OQ);
    __m256 down = _mm256_cmp_ps(rest, _mm256_set1_ps(-0.5f), _CMP_LE_OQ);
    return _mm256_add_epi32(_mm256_sub_epi32(whole, _mm256_castps_si256(up)), _mm256_castps_si256(down));
}

void encode_q8_0_avx2(const float *x, void *w, size_t n) {
    block_q8_0 *to = w;
    for (size_t i = 0; i < n / 32; i++, to++, x += 32) {
        block b;
        if (!scale_block(x, 127, true, &b)) {
            write_nan(to, sizeof *to);
            continue;
        }
        to->d = half_of(b.d);
        __m256i codes = pack_bytes(_mm256_packs_epi32(round_away(b.v[0]), round_away(b.v[1])),
                                   _mm256_packs_epi32(round_away(b.v[2]), round_away(b.v[3])));
        _mm256_storeu_si256((__m256i *)(void *)to->qs, codes);
    }
}

/* Codes 0 .. 2 * zero - 1, a byte each. */
INLINE __m256i round_codes(const block *b, int zero) {
    const __m256 offset = _mm256_set1_ps((float)zero + 0.5f);
    __m256i q[4];
    for (int i = 0; i < 4; i++) q[i] = _mm256_cvttps_epi32(_mm256_add_ps(b->v[i], offset));
    __m256i codes = pack_bytes(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    return _mm256_min_epi8(codes, _mm256_set1_epi8((char)(2 * zero - 1)));
}

void encode_q4_0_avx2(const float *x, void *w, size_t n) {
    block_q4_0 *to = w;
    for (size_t i = 0; i < n / 32; i++, to++, x += 32) {
        block b;
        if (!scale_block(x, -8, false, &b)) {
            write_nan(to, sizeof *to);
            continue;
        }
        to->d = half_of(b.d);
        store_nibbles(round_codes(&b, 8), to->qs);
    }
}

void encode_q5_0_avx2(const float *x, void *w, size_t n) {
    block_q5_0 *to = w;
    for (size_t i = 0; i < n / 32; i++, to++, x += 32) {
        block b;
        if (!scale_block(x, -16, false, &b)) {
            write_nan(to, sizeof *to);
            continue;
        }
        to->d = half_of(b.d);
        __m256i codes = round_codes(&b, 16);
        int fifth = _mm256_movemask_epi8(_mm256_slli_epi16(codes, 3)); /* bit 4 of each byte */
        memcpy(to->qh, &fifth, sizeof to->qh);
        store_nibbles(codes, to->qs);
    }
}

/* Places in the codebook, a byte each. Borders between codes are halves of integers: floor(2 v) decides. */
INLINE __m256i nearest_codes(const block *b) {
    __m256i twice[4], words[2], codes[2];
    for (int i = 0; i < 4; i++)
        twice[i] = _mm256_cvtps_epi32(_mm256_floor_ps(_mm256_add_ps(b->v[i], b->v[i])));
    for (int i = 0; i < 2; i++) {
        words[i] = _mm256_packs_epi32(twice[2 * i], twice[2 * i + 1]);
        codes[i] = _mm256_setzero_si256();
        for (int j = 0; j < 15; j++) {
            __m256i border = _mm256_set1_epi16((short)(iq4_nl_codebook[j] + iq4_nl_codebook[j + 1] - 1));
            codes[i] = _mm256_sub_epi16(codes[i], _mm256_cmpgt_epi16(words[i], border));
        }
    }
    return pack_bytes(codes[0], codes[1]);
}

void encode_iq4_nl_avx2(const float *x, void *w, size_t n) {
    const __m128i half_book = _mm_setr_epi8(IQ4_NL_CODEBOOK);
    const __m256i book = _mm256_broadcastsi128_si256(half_book);
    block_iq4_nl *to = w;
    for (size_t i = 0; i < n / 32; i++, to++, x += 32) {
        block b;
        if (!scale_block(x, iq4_nl_codebook[0], false, &b)) {
            write_nan(to, sizeof *to);
            continue;
        }
        __m256i codes = nearest_codes(&b), values = _mm256_shuffle_epi8(book, codes);
        __m256 above = _mm256_setzero_ps(), below = above;
        for (int j = 0; j < 4; j++) {
            __m128i eight = j < 2 ? _mm256_castsi256_si128(values) : _mm256_extracti128_si256(values, 1);
            if (j % 2) eight = _mm_unpackhi_epi64(eight, eight);
            __m256 code = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight));
            __m256 wq = _mm256_mul_ps(_mm256_mul_ps(b.v[j], b.v[j]), code);
            above = _mm256_add_ps(above, _mm256_mul_ps(wq, b.v[j]));
            below = _mm256_add_ps(below, _mm256_mul_ps(wq, code));
        }
        float denominator = sum8(below);
        to->d = half_of(denominator > 0 ? b.d * (sum8(above) / denominator) : 0);
        store_nibbles(codes, to->qs);
    }
}

/* Weight rows of the types of codes.h into the panels that unpack.c draws. Each row's 256 columns are
 * unpacked in their order, then 16 rows of 16 are turned at a time; the scales go the same way. Codes have
 * the zero point 128 (or none, in kinds with minima) and need not be at the top of a byte. A row that is not
 * there is one of zero bytes, all of whose products vanish; one that ends inside the panel's columns is read
 * from a copy that ends in zeros. Overridden together with panel_mul.c. */
#include "codes.h"
#include "unpack.h"

enum { ZERO = 128, CHUNK_MAX = 160 /* bytes of 256 columns in blocks of less than 256 */ };
_Static_assert(PANEL_K / 32 * sizeof(block_iq4_nl) <= CHUNK_MAX && sizeof(block_q3_k) <= CHUNK_MAX,
               "a chunk");

static const uint8_t nothing[CHUNK_MAX];

typedef struct expanded {
    _Alignas(64) uint8_t codes[ROWS][PANEL_K];
    _Alignas(64) float scale[ROWS][PANEL_K / 16];
    uint8_t copy[ROWS][CHUNK_MAX];
    const uint8_t *row[ROWS];
    size_t bytes; /* of a row's columns; those after them are asked for, to be unpacked next (gemm.c) */
} expanded;

/* bytes, values: of a block. */
VEC_INLINE void expand_open(expanded *x, const uint8_t *w, size_t row_bytes, size_t n_rows, size_t k0,
                            size_t kc, const size_t bytes, const size_t values) {
    x->bytes = kc / values * bytes;
    w += k0 / values * bytes;
    for (size_t r = 0; r < ROWS; r++) {
        x->row[r] = r < n_rows ? w + r * row_bytes : nothing;
        if (r < n_rows && kc < PANEL_K) {
            memset(x->copy[r], 0, sizeof x->copy[r]);
            memcpy(x->copy[r], x->row[r], x->bytes);
            x->row[r] = x->copy[r];
        }
    }
}

VEC_INLINE void prefetch_after(const expanded *x, size_t r) {
    const char *next = (const char *)((uintptr_t)x->row[r] + x->bytes);
    for (size_t i = 0; i < x->bytes + 63; i += 64) _mm_prefetch(next + i, _MM_HINT_T1);
}

VEC_INLINE void expand_codes(expanded *x, codes_fn *codes, const int zero) {
    for (size_t r = 0; r < ROWS; r++) {
        const uint8_t *b = x->row[r];
        prefetch_after(x, r);
#define PUT(j) _mm512_store_si512(x->codes[r] + 64 * (j), codes(b, j, zero));
        VEC_EACH4(PUT)
#undef PUT
    }
}

VEC_INLINE void put_codes(const expanded *x, panel *p) {
    for (size_t half = 0; half < ROWS; half += VECTOR_ROWS)
        for (size_t c = 0; c < PANEL_K / 16; c++) {
            __m512i t[4];
            load_dwords(x->codes[half] + 16 * c, PANEL_K, t);
#define PUT(j) put(p, 4 * c + (j), half, t[j]);
            VEC_EACH4(PUT)
#undef PUT
        }
}

/* 16 scales of each row; with fewer folds the last of them are not used. */
VEC_INLINE void put_scales(const expanded *x, panel *p) {
    for (size_t half = 0; half < ROWS; half += VECTOR_ROWS) {
        __m512 in[VECTOR_ROWS];
        for (size_t r = 0; r < VECTOR_ROWS; r++) in[r] = _mm512_load_ps(x->scale[half + r]);
        vec_transpose_16x16(in, p->scale + half, ROWS);
    }
}

/* ---- PANEL_Q8_32 ---- */

VEC_INLINE void unpack_groups(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p,
                              const size_t bytes, const size_t values, codes_fn *codes, scales_fn *scales) {
    expanded x;
    expand_open(&x, w, row_bytes, n_rows, k0, kc, bytes, values);
    expand_codes(&x, codes, ZERO);
    put_codes(&x, p);
    for (size_t r = 0; r < ROWS; r++) {
        const __m256 s = _mm256_set_m128(scales(x.row[r], 4), scales(x.row[r], 0));
        _mm512_store_ps(x.scale[r], _mm512_zextps256_ps512(s));
    }
    put_scales(&x, p);
    for (size_t f = 0; f < PANEL_K / 32; f++)
        for (size_t half = 0; half < ROWS; half += VECTOR_ROWS)
            put_scale(p, f, half, _mm512_load_ps(p->scale + f * ROWS + half));
}

#define UNPACK_GROUPS(name, values)                                                                          \
    void unpack_##name##_avx512vnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc,    \
                                    panel *p) {                                                              \
        unpack_groups(w, row_bytes, n_rows, k0, kc, p, sizeof(block_##name), values, codes_##name,           \
                      scales_##name);                                                                        \
    }
UNPACK_GROUPS(iq4_nl, 32)
UNPACK_GROUPS(iq4_xs, 256)
UNPACK_GROUPS(mxfp4, 32)
UNPACK_GROUPS(q1_0, 128)
UNPACK_GROUPS(q2_0, 64)

/* ---- PANEL_Q8_32_16 ---- */

void unpack_nvfp4_avx512vnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    enum { B = sizeof(block_nvfp4) };
    expanded x;
    expand_open(&x, w, row_bytes, n_rows, k0, kc, B, 64);
    expand_codes(&x, codes_nvfp4, ZERO);
    put_codes(&x, p);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t b = 0; b < PANEL_K / 64; b++)
            _mm_store_ps(x.scale[r] + 4 * b, scales_nvfp4(x.row[r] + b * B));
    put_scales(&x, p);
}

/* ---- superblocks ---- */

VEC_INLINE __m512 halves_of_rows(const expanded *x, size_t half, const size_t at) {
    uint16_t h[VECTOR_ROWS];
    for (size_t r = 0; r < VECTOR_ROWS; r++) h[r] = vec_load_u16(x->row[half + r] + at);
    return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)h));
}

/* The same for all eight folds. */
VEC_INLINE void put_scale_of_block(panel *p, size_t half, __m512 d) {
    for (size_t f = 0; f < PANEL_K / 32; f++) _mm512_store_ps(p->scale + f * ROWS + half, d);
}

/* Ternary codes are 0, 1, 2; the minimum takes 1 from each. */
VEC_INLINE void unpack_ternary(const void *w, size_t row_bytes, size_t n_rows, size_t k0, panel *p,
                               const size_t bytes, const size_t d_at, codes_fn *codes) {
    expanded x;
    expand_open(&x, w, row_bytes, n_rows, k0, PANEL_K, bytes, 256);
    expand_codes(&x, codes, 1);
    put_codes(&x, p);
    for (size_t half = 0; half < ROWS; half += VECTOR_ROWS) {
        const __m512 d = halves_of_rows(&x, half, d_at);
        put_scale_of_block(p, half, d);
        _mm512_store_ps(p->min + half, d);
        for (size_t i = 0; i < 4; i++) _mm512_store_si512(p->aux + i * ROWS + half, _mm512_set1_epi16(1));
    }
}

void unpack_tq1_0_avx512vnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    (void)kc; /* always a whole superblock */
    unpack_ternary(w, row_bytes, n_rows, k0, p, sizeof(block_tq1_0), offsetof(block_tq1_0, d), codes_tq1_0);
}

void unpack_tq2_0_avx512vnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    (void)kc;
    unpack_ternary(w, row_bytes, n_rows, k0, p, sizeof(block_tq2_0), offsetof(block_tq2_0, d), codes_tq2_0);
}

void unpack_q3_k_avx512vnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    expanded x;
    expand_open(&x, w, row_bytes, n_rows, k0, kc, sizeof(block_q3_k), 256);
    expand_codes(&x, codes_q3_k, ZERO);
    put_codes(&x, p);
    for (size_t r = 0; r < ROWS; r++) {
        const __m512 scales = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(scales_q3_k(x.row[r])));
        const __m128i half = _mm_set1_epi16((short)vec_load_u16(x.row[r] + offsetof(block_q3_k, d)));
        _mm512_store_ps(x.scale[r], _mm512_mul_ps(scales, _mm512_broadcastss_ps(_mm_cvtph_ps(half))));
    }
    put_scales(&x, p);
}

/* PANEL_Q8_256_16_MIN. The scale of a sub-block has four bits, so its four codes can be multiplied with it
 * while they are bytes: a table of them for each lane of 128 bits. That leaves folds of 32 with d as their
 * scale. */
VEC_INLINE void expand_q2_k(expanded *x) {
    const __m512i lanes = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    for (size_t r = 0; r < ROWS; r++) {
        const uint8_t *b = x->row[r];
        const __m128i scales = _mm_and_si128(_mm_loadu_si128((const void *)b), _mm_set1_epi8(15));
        const __m512i tables =
            _mm512_mullo_epi32(_mm512_cvtepu8_epi32(scales), _mm512_set1_epi32(0x03020100));
        prefetch_after(x, r);
#define PUT(j)                                                                                               \
    _mm512_store_si512(x->codes[r] + 64 * (j),                                                               \
                       _mm512_shuffle_epi8(_mm512_permutexvar_epi32(                                         \
                                               _mm512_add_epi32(lanes, _mm512_set1_epi32(4 * (j))), tables), \
                                           codes_q2_k(b, j, 0)));
        VEC_EACH4(PUT)
#undef PUT
    }
}

void unpack_q2_k_avx512vnni(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p) {
    expanded x;
    expand_open(&x, w, row_bytes, n_rows, k0, kc, sizeof(block_q2_k), 256);
    expand_q2_k(&x);
    put_codes(&x, p);
    for (size_t r = 0; r < ROWS; r++) { /* minima as words, a pair of them taken for a float */
        const __m256i both = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)x.row[r]));
        _mm512_store_si512(x.scale[r], _mm512_zextsi256_si512(_mm256_srli_epi16(both, 4)));
    }
    for (size_t half = 0; half < ROWS; half += VECTOR_ROWS) {
        __m512 pairs[VECTOR_ROWS];
        for (size_t r = 0; r < VECTOR_ROWS; r++) pairs[r] = _mm512_load_ps(x.scale[half + r]);
        vec_transpose_16x16(pairs, (float *)(void *)(p->aux + half), ROWS);
        put_scale_of_block(p, half, halves_of_rows(&x, half, offsetof(block_q2_k, d)));
        _mm512_store_ps(p->min + half, halves_of_rows(&x, half, offsetof(block_q2_k, dmin)));
    }
}

/* The integer panels times tiles of up to 16 tokens with AMX: one instruction multiplies 16 tokens with 16
 * rows over a whole fold (32 or 16 columns) and leaves exact integer sums, which are then scaled in vectors
 * just as the AVX-512 VNNI kernels do it. The panels are those of that set, whose unpack serves both:
 * w[k/4][32][4] is what the instruction wants of its second operand, and the tokens' rows, read where they
 * lie, are its first.
 *
 * The sums leave the tile registers through memory. While the vectors work on those of one fold, the
 * multiplier is at the next: two buffers, two accumulator tiles. A few tokens left over are not worth a tile
 * and go to the kernel of the lesser set. Tile registers are configured and released within a call, so that
 * no thread carries their 8 KiB of state around. */
#include "amx.h"
#include "kernels/x86/avx512/vec.h"
#include "kernels/x86/avx512vnni/avx512vnni.h"

enum { TOKENS = 16, ROWS = 16 };

typedef struct config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} config;
_Static_assert(sizeof(config) == 64, "as the instruction reads it");

/* Tiles 0 and 1 take sums, 2 and 3 tokens, 4 and 5 weights. */
VEC_INLINE void configure(size_t n_tokens, size_t fold) {
    config c = {.palette = 1};
    for (int i = 0; i < 2; i++) {
        c.rows[i] = c.rows[2 + i] = (uint8_t)n_tokens;
        c.row_bytes[i] = ROWS * 4;
        c.row_bytes[2 + i] = (uint16_t)fold;
        c.rows[4 + i] = (uint8_t)(fold / 4);
        c.row_bytes[4 + i] = ROWS * 4;
    }
    _tile_loadconfig(&c);
}

#define EACH16(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

/* Where the token's numbers are, apart from its quants: offsets of the present fold. */
typedef struct at {
    size_t d, ds, z;
} at;

VEC_INLINE __m512 broadcast_f32(const char *p) {
    return _mm512_castsi512_ps(_mm512_set1_epi32(vec_load_i32(p)));
}

/* Sums of one fold of tokens of which n are there; the rest repeats the last. */
typedef struct half_job {
    const panel *p;
    const char *act; /* first token */
    size_t stride, k, k0, kc, n, half;
    float *c;
} half_job;

#define TOKEN(t) (j->act + ((t) < n ? (t) : n - 1) * j->stride)

/* 16 rows, from row `half` of the panel on, times n <= 16 tokens. kind and, where it is 16, n are constants.
 */
VEC_INLINE void mul_half(const half_job *j, const panel_kind kind, const size_t n) {
    const int mins_32 = kind == PANEL_Q8_32_MIN, mins_256 = kind == PANEL_Q8_256_MIN;
    const int scale_32 = kind == PANEL_Q8_32 || mins_32;
    const size_t fold = kind == PANEL_Q8_256_16 ? 16 : 32, n_folds = j->kc / fold;
    const panel *p = j->p;
    _Alignas(64) int32_t sums[2][TOKENS][ROWS];
    at o = {act_d_at(j->k) + j->k0 / (scale_32 ? 32 : 256) * 4, act_ds_at(j->k) + j->k0 / 8,
            fold == 16 ? act_z16_at(j->k) + j->k0 / 4 : act_m32_at(j->k) + j->k0 / 8};
    const char *q = j->act + j->k0;
    const uint8_t *w = p->w + 4 * j->half;

#define ZERO(t) __m512 f##t = _mm512_setzero_ps();
    EACH16(ZERO)
#define MULTIPLY(i)                                                                                          \
    do {                                                                                                     \
        _tile_zero(i);                                                                                       \
        if (i == 0) {                                                                                        \
            _tile_loadd(2, q, j->stride);                                                                    \
            _tile_loadd(4, w, 128);                                                                          \
            _tile_dpbsud(0, 2, 4);                                                                           \
            _tile_stored(0, sums[0], ROWS * 4);                                                              \
        } else {                                                                                             \
            _tile_loadd(3, q, j->stride);                                                                    \
            _tile_loadd(5, w, 128);                                                                          \
            _tile_dpbsud(1, 3, 5);                                                                           \
            _tile_stored(1, sums[1], ROWS * 4);                                                              \
        }                                                                                                    \
        q += fold;                                                                                           \
        w += fold * 32;                                                                                      \
    } while (0)
#define SCALE(t)                                                                                             \
    {                                                                                                        \
        __m512i a = _mm512_load_si512(s[t]);                                                                 \
        if (scale_32) {                                                                                      \
            a = _mm512_add_epi32(a, mins_32 ? magic : _mm512_set1_epi32(vec_load_i32(TOKEN(t) + o.z)));      \
            f##t = _mm512_fmadd_ps(_mm512_fmadd_ps(_mm512_castsi512_ps(a), s0, u0),                          \
                                   broadcast_f32(TOKEN(t) + o.d), f##t);                                     \
            if (mins_32) f##t = _mm512_fnmadd_ps(m0, broadcast_f32(TOKEN(t) + o.ds), f##t);                  \
        } else {                                                                                             \
            if (!mins_256) a = _mm512_add_epi32(a, _mm512_set1_epi32(vec_load_i32(TOKEN(t) + o.z)));         \
            f##t = _mm512_fmadd_ps(_mm512_cvtepi32_ps(a), s0, f##t);                                         \
        }                                                                                                    \
    }
#define FOLD(i)                                                                                              \
    do {                                                                                                     \
        int32_t(*s)[ROWS] = sums[(i) % 2];                                                             \
        const size_t r = 32 * (i) + j->half;                                                                 \
        const __m512 s0 = _mm512_load_ps(p->scale + r), u0 = _mm512_load_ps((const void *)(p->aux + r));     \
        const __m512 m0 = mins_32 ? _mm512_load_ps(p->min + r) : _mm512_setzero_ps();                        \
        const __m512i magic = _mm512_set1_epi32(ACT_MAGIC);                                                  \
        (void)u0, (void)m0, (void)magic;                                                                     \
        EACH16(SCALE)                                                                                        \
        o.z += 4;                                                                                            \
        o.ds += 4;                                                                                           \
        if (scale_32) o.d += 4;                                                                              \
    } while (0)
    MULTIPLY(0);
    size_t i = 0;
    for (; i + 2 < n_folds; i += 2) {
        MULTIPLY(1);
        FOLD(i);
        MULTIPLY(0);
        FOLD(i + 1);
    }
    if (i + 1 < n_folds) {
        MULTIPLY(1);
        FOLD(i);
        i++;
    }
    FOLD(i);

    if (mins_256) {
        const size_t s32 = act_s32_at(j->k) + j->k0 / 16;
        const __m512 m0 = _mm512_load_ps(p->min + j->half);
        const int32_t *aux = p->aux + j->half;
        const __m512i x0 = _mm512_load_si512(aux), x1 = _mm512_load_si512(aux + 32);
        const __m512i x2 = _mm512_load_si512(aux + 64), x3 = _mm512_load_si512(aux + 96);
#define PAIR(t, i, x) a = _mm512_dpwssd_epi32(a, x, _mm512_set1_epi32(vec_load_i32(TOKEN(t) + s32 + 4 * (i))))
#define SUBTRACT(t)                                                                                          \
    {                                                                                                        \
        __m512i a = _mm512_setzero_si512();                                                                  \
        PAIR(t, 0, x0);                                                                                      \
        PAIR(t, 1, x1);                                                                                      \
        PAIR(t, 2, x2);                                                                                      \
        PAIR(t, 3, x3);                                                                                      \
        f##t = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(a), m0, f##t);                                            \
    }
        EACH16(SUBTRACT)
    }
    float *c = j->c + j->half;
#define STORE(t)                                                                                             \
    if (t < n) {                                                                                             \
        __m512 x = _mm512_load_ps(c + 32 * t);                                                               \
        x = scale_32 ? _mm512_add_ps(f##t, x) : _mm512_fmadd_ps(f##t, broadcast_f32(TOKEN(t) + o.d), x);     \
        _mm512_store_ps(c + 32 * t, x);                                                                      \
    }
    EACH16(STORE)
}

VEC_INLINE void mul(const panel *p, size_t kc, const char *act, size_t stride, size_t k, size_t k0,
                    size_t n_tokens, float *c, const panel_kind kind, panel_mul_fn *few) {
    enum { FEW = 6 };
    const size_t fold = kind == PANEL_Q8_256_16 ? 16 : 32;
    size_t t = 0, configured = 0;
    while (t < n_tokens) {
        size_t n = n_tokens - t < TOKENS ? n_tokens - t : TOKENS;
        if (n <= FEW) {
            few(p, kc, act + t * stride, stride, k, k0, n, c + 32 * t);
            break;
        }
        if (configured != n) configure(n, fold);
        configured = n;
        for (size_t half = 0; half < 32; half += ROWS) {
            half_job j = {p, act + t * stride, stride, k, k0, kc, n, half, c + 32 * t};
            if (n == TOKENS)
                mul_half(&j, kind, TOKENS);
            else
                mul_half(&j, kind, n);
        }
        t += n;
    }
    if (configured) _tile_release();
}

#define PANEL_MUL(name, KIND)                                                                                \
    void panel_mul_##name##_amx(const panel *p, size_t kc, const void *act, size_t act_stride, size_t k,     \
                                size_t k0, size_t n_tokens, float *c) {                                      \
        mul(p, kc, act, act_stride, k, k0, n_tokens, c, KIND, panel_mul_##name##_avx512vnni);                \
    }
PANEL_MUL(q8_32, PANEL_Q8_32)
PANEL_MUL(q8_32_min, PANEL_Q8_32_MIN)
PANEL_MUL(q8_256_min, PANEL_Q8_256_MIN)
PANEL_MUL(q8_256_16, PANEL_Q8_256_16)

/* The kernel table: function pointers to everything that computes. dispatch.c fills it with the C reference
 * and lets each instruction set the machine has override what it implements, in ascending order; nobody else
 * knows about ISAs. Kernels allocate nothing, lock nothing, know no errors: their callers have checked
 * everything. A kernel reads only the memory its arguments describe (weights may end at an unmapped page),
 * and its result does not depend on how work was split over threads. The C version in c/ is the specification
 * of each. */
#ifndef LEAT_KERNELS_KERNELS_H
#define LEAT_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "act.h"
#include "formats.h"
#include "panel.h"

/* decode: n values (a multiple of the block) to float32, bit-exact with the format's definition. */
typedef void decode_fn(const void *w, float *y, size_t n);

/* encode: n floats (a multiple of the block) to a row of a type, every bit of it as c/encode.c has it. Values
 * of a block type share its fate: with one that is no finite number, or one too large for the scale's half
 * precision, d is NaN or Inf, so that no wrong number comes out of it. */
typedef void encode_fn(const float *x, void *w, size_t n);

/* quantize_rows: n_rows rows, one after the other, of n values (a multiple of the block) to blocks of a type,
 * with as little of sum(w * error^2) as is found: w is importance (n values for the columns of every row,
 * none negative), or 1 everywhere when that is NULL. Several rows at once are faster, and what is written is
 * the same as row by row. For weights, which are written once: it searches, where encode rounds. x and
 * importance are finite, |x| <= quantize_largest(format). The bits are those of c/quant_*.c on every
 * instruction set. */
typedef void quantize_rows_fn(const float *x, const float *importance, size_t n, size_t n_rows, void *w);

/* matvec: y[r] = row r of w . act, for n_rows rows of k values, row_bytes apart. The path of one token. */
typedef void matvec_fn(const void *w, size_t row_bytes, size_t n_rows, size_t k, const void *act, float *y);

/* unpack: columns k0 .. k0+kc of n_rows (<= panel_rows) rows into p. w is the start of the first row, k0 a
 * multiple of PANEL_K, kc <= PANEL_K. Rows n_rows .. panel_rows are filled so that they contribute zero. */
typedef void unpack_fn(const void *w, size_t row_bytes, size_t n_rows, size_t k0, size_t kc, panel *p);

/* panel_mul: c[t * panel_rows + r] += panel . columns k0 .. k0+kc of token t, for n_tokens <= panel_tokens
 * activation rows of k values each, act_stride bytes apart. c is 64-byte aligned. */
typedef void panel_mul_fn(const panel *p, size_t kc, const void *act, size_t act_stride, size_t k, size_t k0,
                          size_t n_tokens, float *c);

/* peak: rounds of nothing but the multiply-adds that the micro-kernel of a panel kind is made of, as fast as
 * they issue, on values that are nowhere used; rounds >= 1. Returns how many operations that was: a
 * multiplication and an addition are two. The roof over panel_mul and tiles_mul, for the clock to measure. */
typedef uint64_t peak_fn(uint64_t rounds);

/* panel_tiles: fills p->tiles with the values of what unpack made of kc columns, a panel of bytes of this
 * kind. tiles_mul: c (n_tokens, 32) = tiles . columns k0 .. k0+kc of so many rows of ACT_BF16, added to what
 * c holds unless k0 is 0. c is 64-byte aligned. */
typedef void panel_tiles_fn(panel *p, panel_kind kind, size_t kc);
typedef void tiles_mul_fn(const panel *p, size_t kc, const void *act, size_t act_stride, size_t k0,
                          size_t n_tokens, float *c);

/* k floats to one activation row (act.h); every section is written. */
typedef void quantize_q8_32_fn(const float *x, size_t k, void *row);
typedef void quantize_q8_256_fn(const float *x, size_t k, void *row);

/* y[i] = x[i] / sqrt(mean(x^2) + eps) * w[i]; y may be x. */
typedef void rms_norm_fn(float *y, const float *x, const float *w, size_t n, float eps);

/* y[i] = (x[i] - mean) / sqrt(variance + eps) * w[i] + b[i], the variance that of a whole population; b may
 * be NULL; y may be x. */
typedef void layer_norm_fn(float *y, const float *x, const float *w, const float *b, size_t n, float eps);

/* x[i] = silu(x[i]), x[i] = gelu(x[i]); g[i] = gelu(g[i]) * u[i].
 * gelu(x) = x / (1 + exp(-2 z)), z = sqrt(2 / pi) * (x + 0.044715 x^3), which is x / 2 * (1 + tanh z). */
typedef void silu_fn(float *x, size_t n);
typedef void gelu_fn(float *x, size_t n);
typedef void gelu_mul_fn(float *g, const float *u, size_t n);

/* x[i] = cap * tanh(x[i] / cap), cap > 0. */
typedef void softcap_fn(float *x, size_t n, float cap);

/* g[i] = silu(g[i]) * u[i], silu(x) = x / (1 + exp(-x)). */
typedef void silu_mul_fn(float *g, const float *u, size_t n);

/* Rotates n_dims values of one head in place; cs holds n_dims/2 pairs (cos, sin).
 * rope_pairs turns (x[2i], x[2i+1]), rope_halves turns (x[i], x[i + n_dims/2]). */
typedef void rope_pairs_fn(float *x, const float *cs, size_t n_dims);
typedef void rope_halves_fn(float *x, const float *cs, size_t n_dims);

/* Causal attention of one KV head, flash style: no buffer grows with n_keys. For token t < n_tokens and query
 * head h < n_heads: out[t][h] = softmax(scale * q[t][h] . K) V over keys 0 .. n_keys + t - 1 (token 0 sees
 * n_keys keys, each following token one more), or the last `window` of these. The keys of all n_tokens are
 * already in K and V. With a softcap, s = scale * q . k becomes softcap * tanh(s / softcap). */
typedef struct attend_args {
    const float *q; /* (n_tokens, n_heads, head_dim_k), token stride q_stride floats, heads adjacent */
    float *out;     /* (n_tokens, n_heads, head_dim_v), token stride out_stride floats, heads adjacent */
    const void *k;  /* (n_keys + n_tokens - 1, head_dim_k), key stride k_stride bytes, type k_format */
    const void *v;  /* (n_keys + n_tokens - 1, head_dim_v), key stride v_stride bytes, type v_format */
    size_t q_stride, out_stride, k_stride, v_stride;
    size_t n_tokens, n_heads, n_keys;
    size_t window;                 /* 0: none */
    size_t head_dim_k, head_dim_v; /* 1 .. ATTEND_HEAD_DIM_MAX */
    uint32_t k_format, v_format;   /* E types of kernels.def; head sizes are multiples of their block */
    float scale;
    float softcap;      /* 0: none */
    bool coarse;        /* q, k, v and the weights of the softmax may be rounded to 8 bits */
    const float *sinks; /* (n_heads) scores that take their part of the softmax and add nothing; NULL: none */
    void *scratch;      /* ATTEND_SCRATCH bytes, 64-byte aligned, private to the caller's thread */
} attend_args;
enum {
    ATTEND_ROWS_MAX =
        256, /* n_tokens * n_heads per call, at most (a single token may have up to this many heads) */
    ATTEND_HEAD_DIM_MAX = 576, /* latent keys of 512 and 64 rotated values */
    ATTEND_KEYS = 64           /* keys per block */
};
/* room for q, out, softmax state of ATTEND_ROWS_MAX rows and one float block of K and V */
#define ATTEND_SCRATCH                                                                                       \
    (sizeof(float) * (2u * (ATTEND_ROWS_MAX + 16) * ATTEND_HEAD_DIM_MAX + 32u * (ATTEND_ROWS_MAX + 16) +     \
                      2u * ATTEND_KEYS * ATTEND_HEAD_DIM_MAX + 64u * ATTEND_KEYS))
typedef void attend_fn(const attend_args *a);

typedef struct kernels {
    const char *isa; /* name of the highest set in use */
    /* by type id; NULL where we can't compute with that type */
    decode_fn *decode[FORMAT_COUNT];
    encode_fn *encode[FORMAT_COUNT];
    quantize_rows_fn *quantize_rows[FORMAT_COUNT];
    matvec_fn *matvec[FORMAT_COUNT];
    unpack_fn *unpack[FORMAT_COUNT];
    /* by panel kind */
    panel_mul_fn *panel_mul[PANEL_COUNT];
    peak_fn *peak[PANEL_COUNT];
    uint8_t panel_rows[PANEL_COUNT];   /* rows of a panel, <= PANEL_ROWS_MAX */
    uint8_t panel_tokens[PANEL_COUNT]; /* tokens per call of panel_mul, at most */
    bool float_activations;            /* see kernels_float_activations */
    size_t pass_panels, pass_tokens;   /* of a call of gemm_panels, so that what it works on stays in cache */
    /* NULL unless the set has tiles of bfloat16; then all panels of bytes have 32 rows */
    panel_tiles_fn *panel_tiles;
    tiles_mul_fn *tiles_mul;
    peak_fn *tiles_peak;
#define O(name) name##_fn *name;
#include "kernels.def"
#undef O
} kernels;

/* What a computable type needs around it; act and panel are ACT_COUNT and PANEL_COUNT for a type we can't
 * compute with. */
typedef struct weight_traits {
    act_kind act;
    panel_kind panel;
} weight_traits;
weight_traits kernels_traits(uint32_t format);
/* The same as a table has it, which may have been asked for float32 activations. */
weight_traits kernels_form(const kernels *k, uint32_t format);

/* The largest magnitude that a type of kernels.def's Z rows can hold, or about; 0 for all other types. */
float quantize_largest(uint32_t format);

/* Fills the table for this machine, going no higher than `isa` ("avx2"; NULL: the best there is). Returns
 * false, table untouched, when the name is unknown or the machine lacks it. */
bool kernels_init(kernels *k, const char *isa);

/* The same for a machine whose CPU has these flags (cpu.h). Its kernels are to be called on such a machine
 * only. */
bool kernels_init_for(kernels *k, const char *isa, uint32_t cpu_flags);

/* The i-th set of isa.def that this machine can run, in ascending order; NULL past the end. */
const char *kernels_isa(size_t i);

/* c (n_panels, m, panel_rows) = n_rows rows of w . m activation rows, n_panels = n_rows / panel_rows rounded
 * up: row r of token t is at c[(r / panel_rows * m + t) * panel_rows + r % panel_rows]. The path of many
 * tokens. act_form is that of the activations: the type's own, or what gemm_act says. p is scratch, c is
 * 64-byte aligned. Best are k->pass_panels panels and k->pass_tokens tokens at a time, where there is work
 * enough for all threads. */
enum { GEMM_TILES_MIN = 48 };
void gemm_panels(const kernels *k, uint32_t format, act_kind act_form, const void *w, size_t row_bytes,
                 size_t n_rows, size_t n_cols, const void *act, size_t act_stride, size_t m, panel *p,
                 float *c);

/* The form of activations that is best for m of them: ACT_BF16 for quantized types from GEMM_TILES_MIN on,
 * where the instruction set has tiles; the type's own otherwise. */
act_kind gemm_act(const kernels *k, uint32_t format, size_t m);
bool gemm_has_tiles(const kernels *k, size_t m);
/* The roof of that product. */
peak_fn *gemm_peak(const kernels *k, uint32_t format, size_t m);

/* y[r] = row r of w . act, in the form that kernels_form says. The path of one token. */
void multiply_rows(const kernels *k, uint32_t format, const void *w, size_t row_bytes, size_t n_rows,
                   size_t n_cols, const void *act, float *y);

/* From now on every type is multiplied with ACT_F32, by multiply_rows and gemm_panels only: what has no
 * kernels for that is decoded piece by piece and multiplied as F32. Slow; for measuring what quantized
 * activations cost. */
void kernels_float_activations(kernels *k);

/* IEEE half precision to float and back (nearest even), exact, NaN payloads kept. */
float f16_to_f32(uint16_t h);
uint16_t f16_from_f32(float f);
float bf16_to_f32(uint16_t h);
uint16_t bf16_from_f32(float f);

#endif

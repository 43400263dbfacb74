/* What the kernel tests share: random numbers, memory that faults at its end, output buffers with guard
 * bytes, the list of kernel tables to test, inputs that provoke mistakes, and error bounds. */
#ifndef LEAT_TESTS_KERNELS_SUPPORT_H
#define LEAT_TESTS_KERNELS_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"
#include "tests/harness/test.h"

/* ---- random numbers: xorshift64*, the same on every machine ---- */
typedef struct rng {
    uint64_t state;
} rng;
rng rng_seed(uint64_t seed); /* each test seeds its own, so that a failure replays alone */
uint64_t rng_bits(rng *r);
size_t rng_below(rng *r, size_t n); /* 0 .. n - 1 */
float rng_float(rng *r);            /* uniform in (-1, 1) */
void rng_fill(rng *r, void *p, size_t n);

/* ---- memory ---- */

/* A read-write area of at least `bytes` that is followed by an unmapped page. */
typedef struct fenced {
    char *base;
    size_t bytes, mapped;
} fenced;
fenced fenced_map(size_t bytes);
void fenced_unmap(fenced *f);
/* The last n bytes before the fence. */
void *fenced_end(const fenced *f, size_t n);

/* An output of n bytes at a multiple of 64 with guard bytes on both sides. */
typedef struct output {
    unsigned char *memory;
    void *p;
    size_t n;
} output;
output output_new(size_t n);
bool output_intact(const output *o); /* nothing was written outside p[0 .. n) */
void output_free(output *o);

/* ---- what to test ---- */
enum { ISA_MAX = 16 };
/* Tables of all sets this machine can run, ascending; the count as result. A kernel of table i is tested when
 * it differs from table i - 1, or when i is 0: the C reference itself is tested against the oracle. */
size_t tables_of_this_machine(kernels tables[ISA_MAX]);
/* Notes what runs now; it is printed if the kernel crashes. */
void now_testing(const char *isa, const char *kernel);

/* ---- inputs ---- */
/* Ways to fill weights (all scales finite) and vectors. */
enum { WEIGHTS_RANDOM, WEIGHTS_ZERO, WEIGHTS_ONES, WEIGHTS_LOW, WEIGHTS_TINY, WEIGHTS_HUGE, WEIGHTS_WAYS };
void fill_weights(rng *r, uint32_t format, int way, void *w, size_t n);
enum {
    VECTOR_RANDOM,
    VECTOR_ZERO,
    VECTOR_MAX,
    VECTOR_MIN,
    VECTOR_OUTLIER,
    VECTOR_TINY,
    VECTOR_HUGE,
    VECTOR_MIXED,
    VECTOR_WAYS
};
void fill_vector(rng *r, int way, float *x, size_t n);

/* One activation row of k values at x, in the form `kind`, made by the reference in `c`. What act.h calls
 * unspecified is set to bytes that are NaN as floats. */
void make_activations(const kernels *c, act_kind kind, const float *x, size_t k, void *row);
/* The same at the end of a fenced area. */
const void *fenced_activations(const kernels *c, act_kind kind, const float *x, size_t k, const fenced *area);

/* The same bits, or both NaN. */
bool same_float(float a, float b);

/* ---- error bounds ---- */
/* A float result behind at most n roundings, each of relative size u = 2^-24, of a sum whose terms'
 * magnitudes add up to `magnitude`, in whatever order: |error| <= n u / (1 - n u) * magnitude (Higham,
 * Accuracy and Stability, lemma 3.1). */
double rounding_bound(size_t n, double magnitude);
/* Relative error we ask of exp() in any kernel: 8 units in the last place. */
#define EXP_ERROR 0x1p-21

#endif

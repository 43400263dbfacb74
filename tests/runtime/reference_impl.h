/* Inside of the reference: what the files of the reference share. */
#ifndef LEAT_TESTS_REFERENCE_IMPL_H
#define LEAT_TESTS_REFERENCE_IMPL_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "reference.h"

typedef struct matrix {
    size_t rows, cols;
    double *v;      /* (rows, cols); NULL: absent */
    size_t watched; /* number of its reference_input, from 1 on; 0: none */
} matrix;

typedef struct shape {
    const arch_spec *spec;
    size_t n, n_ctx, n_layer, embd, heads, kv_heads, dim, ff;
    double eps, base;
    bool long_context;
    double divisor[256]; /* of rotary frequencies */
    double *inputs;      /* (n, n_layer, INPUT_WIDTH) of each layer; NULL: none */
    double *kept[64][2]; /* keys and values of layers that others share */
} shape;

/* A tensor by its name, which may hold one %u; of more than two dimensions the matrices below each other. */
matrix ref_load(const leat_file *f, const char *format, unsigned layer);
/* Notes that matrix `mat` of a tensor is multiplied with x, where anybody wants to know. */
void ref_watch(const matrix *w, size_t mat, const double *x);
void ref_multiply(const matrix *w, const matrix *bias, const double *x, double *y);
/* y = norm(x) for n values with the gain w; y may be x. */
void ref_norm_values(const shape *s, const double *w, const matrix *bias, size_t n, const double *x,
                     double *y);
void ref_rotate(const shape *s, double *x, size_t layer, double position);
/* out += residual_scale * norm(h) */
void ref_add(const shape *s, const matrix *post, double *h, double *out);

static inline double sigmoid(double x) {
    return 1.0 / (1.0 + exp(-x));
}
static inline double silu(double x) {
    return x * sigmoid(x);
}
static inline double softplus(double x) {
    return log1p(exp(x));
}
static inline double *numbers(size_t n) {
    return calloc(n ? n : 1, sizeof(double));
}
/* "blk.%u.<name>" */
static inline matrix of_layer(const leat_file *f, unsigned layer, const char *name) {
    char full[64];
    snprintf(full, sizeof full, "blk.%%u.%s", name);
    return ref_load(f, full, layer);
}

double ref_activate(const shape *s, double x);

/* reference_mix.c: what gemma4 adds to a token at the start, and to a layer at its end. */
double *ref_inputs(const shape *s, const leat_file *f, const leat_token *tokens, const double *x);
void ref_layer_end(const shape *s, const leat_file *f, unsigned layer, double *x);

/* reference_altup.c: all layers of gemma3n, and its streams made one again. */
void ref_streams(shape *s, const leat_file *f, double *first);

/* reference_mix.c and, of experts, reference_experts.c: out += what a layer has in place of plain attention
 * or a feed-forward network, of x. */
void ref_mix(shape *s, const leat_file *f, unsigned layer, const double *x, double *out);
/* gemma4: a feed-forward network with experts beside it. */
void ref_beside(const shape *s, const leat_file *f, unsigned layer, const double *x, double *out);
void ref_experts(const shape *s, const leat_file *f, unsigned layer, const double *x, double *out);

#endif

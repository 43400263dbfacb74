/* What stages of one and of many tokens do alike to rows of floats: norms, activations, the last touch to
 * logits; and the norm that is a stage of its own. */
#include <string.h>

#include "stage.h"

enum { NORMALIZE_TOKENS = 4 };

void stage_normalize(const run *r, const stage_norm *n, const float *x, size_t width, float *y) {
    if (!n->w) {
        if (y != x) memcpy(y, x, width * sizeof *y);
    } else if (n->kind == NORM_RMS) {
        r->k->rms_norm(y, x, n->w, width, n->eps);
    } else {
        r->k->layer_norm(y, x, n->w, n->bias, width, n->eps);
    }
}

void stage_quantize(const run *r, act_kind kind, const float *x, size_t n, void *row) {
    if (kind == ACT_F32)
        memcpy(row, x, n * sizeof *x);
    else if (kind == ACT_Q8_32)
        r->k->quantize_q8_32(x, n, row);
    else if (kind == ACT_BF16)
        r->k->encode[FORMAT_BF16](x, row, n);
    else
        r->k->quantize_q8_256(x, n, row);
}

void stage_activate(const run *r, activation f, float *x, size_t n) {
    switch (f) {
    case ACTIVATION_SILU: r->k->silu(x, n); break;
    case ACTIVATION_GELU: r->k->gelu(x, n); break;
    case ACTIVATION_RELU_SQR:
        for (size_t i = 0; i < n; i++) x[i] = x[i] > 0.0f ? x[i] * x[i] : x[i] * 0.0f; /* NaN stays */
        break;
    case ACTIVATION_NONE:
    case ACTIVATION_SWIGLU_OAI: break; /* with a gate only */
    }
}

void stage_gate(const run *r, activation f, float *g, const float *u, size_t n) {
    if (f == ACTIVATION_GELU)
        r->k->gelu_mul(g, u, n);
    else
        r->k->silu_mul(g, u, n);
}

void stage_finish_logits(const stage *s, const run *r, float *y, size_t n) {
    for (size_t i = 0; s->scale != 1.0f && i < n; i++) y[i] *= s->scale;
    if (s->softcap > 0.0f) r->k->softcap(y, n, s->softcap);
}

size_t normalize_tiles(const stage *s, const run *r) {
    (void)s;
    return (r->n_tokens + NORMALIZE_TOKENS - 1) / NORMALIZE_TOKENS;
}

void normalize_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    for (size_t t = tile * NORMALIZE_TOKENS; t < r->n_tokens && t < (tile + 1) * NORMALIZE_TOKENS; t++) {
        float *out = buf_row(r, s->part[0].out, t);
        float *y = s->add ? w->row : out;
        stage_normalize(r, &s->norm, buf_row(r, s->in, t), s->width, y);
        for (size_t i = 0; s->add && i < s->width; i++) out[i] += s->scale * y[i];
    }
}

void add_groups_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    size_t dim = s->width / s->n_groups;
    for (size_t t = tile * NORMALIZE_TOKENS; t < r->n_tokens && t < (tile + 1) * NORMALIZE_TOKENS; t++) {
        float *out = buf_row(r, s->part[0].out, t);
        const float *in = buf_row(r, s->in, t);
        for (size_t g = 0; g < s->n_groups; g++)
            stage_normalize(r, &s->norm, in + g * dim, dim, w->row + g * dim);
        for (size_t i = 0; i < s->width; i++) out[i] = s->scale * (out[i] + w->row[i]);
    }
}

void multiply_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    (void)w;
    for (size_t t = tile * NORMALIZE_TOKENS; t < r->n_tokens && t < (tile + 1) * NORMALIZE_TOKENS; t++) {
        float *x = buf_row(r, s->part[0].out, t);
        const float *by = buf_row(r, s->in, t) + s->first;
        for (size_t i = 0; i < s->width; i++) x[i] *= by[i];
    }
}

void scale_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    (void)w;
    for (size_t t = tile * NORMALIZE_TOKENS; t < r->n_tokens && t < (tile + 1) * NORMALIZE_TOKENS; t++) {
        float *x = buf_row(r, s->part[0].out, t);
        for (size_t i = 0; i < s->width; i++) x[i] *= s->scale;
    }
}

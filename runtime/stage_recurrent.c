/* Layers that remember by a state instead of a cache: depthwise convolution over the last few tokens, the
 * selective state space of Mamba 2 (Dao and Gu 2024), and the gated delta rule (Yang et al. 2024). Channels or
 * heads are independent of each other, so they are the tiles; a tile walks through the tokens in order. All of
 * them read r->state and write r->next. */
#include <math.h>
#include <string.h>

#include "stage.h"

enum { CONV_CHANNELS = 64 };

static float silu(float x) {
    return x / (1.0f + expf(-x));
}

/* log(1 + exp(x)), which is x for large x. */
static float softplus(float x) {
    return x > 20.0f ? x : log1pf(expf(x));
}

size_t conv_tiles(const stage *s, const run *r) {
    (void)r;
    return (s->conv.width + CONV_CHANNELS - 1) / CONV_CHANNELS;
}

/* Input of channels c .. c + n at a token; token < 0: from the state, whose last row is token -1. */
static void conv_input(const plan_conv_step *v, const run *r, ptrdiff_t token, size_t c, size_t n, float *x) {
    size_t taps = v->w->n_cols;
    if (token < 0) {
        memcpy(x, r->state + v->state + ((size_t)((ptrdiff_t)taps - 1 + token)) * v->width + c,
               n * sizeof *x);
        return;
    }
    const float *row = buf_row(r, v->in, (size_t)token);
    memcpy(x, row + v->first + c, n * sizeof *x);
    if (v->product)
        for (size_t i = 0; i < n; i++) x[i] *= row[v->factor + c + i];
}

void conv_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    const plan_conv_step *v = &s->conv;
    size_t c = tile * CONV_CHANNELS, n = v->width - c < CONV_CHANNELS ? v->width - c : CONV_CHANNELS;
    size_t taps = v->w->n_cols;
    const float *kernel = (const float *)v->w->data + c * taps; /* (channels, taps) */
    const float *bias = v->bias && v->bias->data ? (const float *)v->bias->data + c : NULL;
    float x[CONV_CHANNELS];
    (void)w;
    for (size_t t = 0; t < r->n_tokens; t++) {
        float sum[CONV_CHANNELS] = {0};
        for (size_t k = 0; k < taps; k++) {
            conv_input(v, r, (ptrdiff_t)(t + k) - (ptrdiff_t)(taps - 1), c, n, x);
            for (size_t i = 0; i < n; i++) sum[i] += x[i] * kernel[i * taps + k];
        }
        float *out = buf_row(r, v->out, t) + c;
        if (bias)
            for (size_t i = 0; i < n; i++) sum[i] += bias[i];
        if (v->silu)
            for (size_t i = 0; i < n; i++) sum[i] = silu(sum[i]);
        if (v->gated) {
            const float *gate = buf_row(r, v->in, t) + v->gate + c;
            for (size_t i = 0; i < n; i++) sum[i] *= gate[i];
        }
        memcpy(out, sum, n * sizeof *out);
    }
    for (size_t k = 0; k + 1 < taps; k++) {
        conv_input(v, r, (ptrdiff_t)(r->n_tokens + k) - (ptrdiff_t)(taps - 1), c, n, x);
        memcpy(r->next + v->state + k * v->width + c, x, n * sizeof *x);
    }
}

/* Layers that remember by a state instead of a cache: depthwise convolution over the last few tokens, the
 * selective state space of Mamba 2 (Dao and Gu 2024), and the gated delta rule (Yang et al. 2024). Channels
 * or heads are independent of each other, so they are the tiles; a tile walks through the tokens in order.
 * All of them read r->state and write r->next. */
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

enum { LANES = 16 };

/* In LANES partial sums, so that it runs in vectors; their order is part of the result on every machine. */
static float dot(const float *a, const float *b, size_t n) {
    float lane[LANES] = {0}, sum = 0.0f;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++) lane[j] += a[i + j] * b[i + j];
    for (; i < n; i++) lane[i % LANES] += a[i] * b[i];
    for (size_t j = 0; j < LANES; j++) sum += lane[j];
    return sum;
}

/* x = keep * x + add * b; the new x . c, summed as in dot. One way through memory. */
static float decay_add_dot(float *x, float keep, float add, const float *b, const float *c, size_t n) {
    float lane[LANES] = {0}, sum = 0.0f;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            x[i + j] = keep * x[i + j] + add * b[i + j];
            lane[j] += x[i + j] * c[i + j];
        }
    for (; i < n; i++) {
        x[i] = keep * x[i] + add * b[i];
        lane[i % LANES] += x[i] * c[i];
    }
    for (size_t j = 0; j < LANES; j++) sum += lane[j];
    return sum;
}

size_t ssm_tiles(const stage *s, const run *r) {
    (void)r;
    return s->ssm.n_head;
}

/* h = exp(dt A) h + dt x B, y = h C + D x, for each of the head's channels a state of d_state numbers. */
void ssm_tile(const stage *s, const run *r, scratch *w, size_t head) {
    const plan_ssm_step *v = &s->ssm;
    size_t dim = v->head_dim, n = v->d_state, group = head / (v->n_head / v->n_group);
    size_t inner = v->n_head * dim;
    const float *a = v->a->data, *d = v->d->data, *bias = v->dt_bias->data;
    float *h = r->next + v->state + head * dim * n;
    (void)w;
    memcpy(h, r->state + v->state + head * dim * n, dim * n * sizeof *h);
    for (size_t t = 0; t < r->n_tokens; t++) {
        const float *row = buf_row(r, v->conv, t), *x = row + head * dim, *b = row + inner + group * n,
                    *c = row + inner + (v->n_group + group) * n;
        float *out = buf_row(r, v->out, t) + head * dim;
        float dt = softplus(buf_row(r, v->in, t)[v->dt_at + head] + bias[head]), keep = expf(dt * a[head]);
        for (size_t p = 0; p < dim; p++) {
            out[p] = decay_add_dot(h + p * n, keep, dt * x[p], b, c, n) + d[head] * x[p];
        }
    }
}

size_t delta_tiles(const stage *s, const run *r) {
    (void)r;
    return s->delta.n_head_v;
}

/* x / sqrt(sum of squares + eps) * scale */
static void unit(const float *x, size_t n, float eps, float scale, float *y) {
    float inverse = scale / sqrtf(dot(x, x, n) + eps);
    for (size_t i = 0; i < n; i++) y[i] = x[i] * inverse;
}

/* S = decay S, S += beta (v - S k) k^T, y = S q: S maps keys to values, (head_dim, head_dim) by rows of k. */
void delta_tile(const stage *s, const run *r, scratch *w, size_t head) {
    const plan_delta_step *v = &s->delta;
    size_t dim = v->head_dim, per_key = v->n_head_v / v->n_head_k;
    size_t key_head = v->interleaved ? head / per_key : head % v->n_head_k;
    size_t column = v->interleaved ? head / per_key * v->gate_stride + head % per_key : head;
    const float *a = v->a->data, *bias = v->dt_bias->data;
    float *state = r->next + v->state + head * dim * dim, q[DELTA_DIM_MAX], k[DELTA_DIM_MAX];
    (void)w;
    memcpy(state, r->state + v->state + head * dim * dim, dim * dim * sizeof *state);
    for (size_t t = 0; t < r->n_tokens; t++) {
        const float *row = buf_row(r, v->conv, t), *x = row + (2 * v->n_head_k + head) * dim;
        float *out = buf_row(r, v->out, t) + head * dim;
        float beta = 1.0f / (1.0f + expf(-buf_row(r, v->beta, t)[v->beta_at + column]));
        float keep = expf(a[head] * softplus(buf_row(r, v->alpha, t)[v->alpha_at + column] + bias[head]));
        unit(row + key_head * dim, dim, v->eps, 1.0f / sqrtf((float)dim), q);
        unit(row + (v->n_head_k + key_head) * dim, dim, v->eps, 1.0f, k);
        for (size_t j = 0; j < dim; j++) {
            float *sj = state + j * dim, add = beta * (x[j] - keep * dot(sj, k, dim));
            out[j] = decay_add_dot(sj, keep, add, k, q, dim);
        }
    }
}

enum { GATE_TOKENS = 4 };

size_t gate_norm_tiles(const stage *s, const run *r) {
    (void)s;
    return (r->n_tokens + GATE_TOKENS - 1) / GATE_TOKENS;
}

/* Norms the groups of a row and multiplies with an activated gate, before or after. */
void gate_norm_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    const plan_gate_norm_step *g = &s->gate_norm;
    size_t width = s->width, dim = width / g->n_groups;
    for (size_t t = tile * GATE_TOKENS; t < r->n_tokens && t < (tile + 1) * GATE_TOKENS; t++) {
        float *x = buf_row(r, g->x, t);
        const float *gate = buf_row(r, g->gate, t);
        for (size_t i = 0; i < width; i++) {
            float z = gate[g->gate_at + (g->gate_stride ? i / dim * g->gate_stride + i % dim : i)];
            w->row[i] = g->sigmoid ? 1.0f / (1.0f + expf(-z)) : silu(z);
        }
        for (size_t i = 0; g->gate_first && i < width; i++) x[i] *= w->row[i];
        for (size_t group = 0; s->norm.w && group < g->n_groups; group++) {
            stage_norm own = s->norm;
            own.w += group * s->norm.stride;
            stage_normalize(r, &own, x + group * dim, dim, x + group * dim);
        }
        for (size_t i = 0; !g->gate_first && i < width; i++) x[i] *= w->row[i];
    }
}

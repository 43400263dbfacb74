/* The reference of layers that are more than a plain decoder's, each as its paper has it: latent attention
 * (DeepSeek-AI 2024, with keys and values written out), gated attention, convolutions, the state space
 * duality (Dao and Gu 2024), the gated delta rule (Yang et al. 2024). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reference_impl.h"

/* y (n, rows) = w . norm(x) for all tokens */
static double *project(const shape *s, const leat_file *f, unsigned layer, const char *name, const char *norm,
                       const double *x, size_t width) {
    matrix w = of_layer(f, layer, name), gain = norm ? of_layer(f, layer, norm) : (matrix){0};
    double *y = numbers(s->n * w.rows), *h = numbers(width);
    for (size_t t = 0; t < s->n; t++) {
        memcpy(h, x + t * width, width * sizeof *h);
        if (gain.v) ref_norm_values(s, gain.v, NULL, width, h, h);
        ref_multiply(&w, NULL, h, y + t * w.rows);
    }
    free(w.v), free(gain.v), free(h);
    return y;
}

/* out += w . h for all tokens */
static void add_product(const shape *s, const leat_file *f, unsigned layer, const char *name, const double *h,
                        double *out) {
    matrix w = of_layer(f, layer, name);
    double *y = numbers(s->embd);
    for (size_t t = 0; t < s->n; t++) {
        ref_multiply(&w, NULL, h + t * w.cols, y);
        ref_add(s, &(matrix){0}, y, out + t * s->embd);
    }
    free(w.v), free(y);
}

/* out (n, heads, dim_v) = causal attention of q over keys and values, heads / kv_heads of them sharing one.
 */
static double *attend_all(const shape *s, const double *q, const double *k, const double *v, size_t kv_heads,
                          size_t dim) {
    double *out = numbers(s->n * s->heads * dim), *p = numbers(s->n);
    for (size_t t = 0; t < s->n; t++)
        for (size_t h = 0; h < s->heads; h++) {
            size_t kv = h / (s->heads / kv_heads);
            const double *qh = q + (t * s->heads + h) * dim;
            double *o = out + (t * s->heads + h) * dim, top = -INFINITY, sum = 0;
            for (size_t j = 0; j <= t; j++) {
                p[j] = 0;
                for (size_t d = 0; d < dim; d++) p[j] += qh[d] * k[(j * kv_heads + kv) * dim + d];
                p[j] /= sqrt((double)dim);
                top = fmax(top, p[j]);
            }
            for (size_t j = 0; j <= t; j++) sum += p[j] = exp(p[j] - top);
            for (size_t j = 0; j <= t; j++)
                for (size_t d = 0; d < dim; d++) o[d] += p[j] / sum * v[(j * kv_heads + kv) * dim + d];
        }
    free(p);
    return out;
}

/* Rotates the last LATENT_ROPE values on pairs. */
static void rotate_latent(const shape *s, double *x, double position) {
    for (size_t i = 0; i < LATENT_ROPE / 2; i++) {
        double angle = position * pow(s->base, -2.0 * (double)i / LATENT_ROPE), a = x[2 * i],
               b = x[2 * i + 1];
        x[2 * i] = a * cos(angle) - b * sin(angle);
        x[2 * i + 1] = a * sin(angle) + b * cos(angle);
    }
}

static void latent(shape *s, const leat_file *f, unsigned layer, const double *x, double *out) {
    size_t heads = s->heads, dim = s->dim, nope = dim - LATENT_ROPE, wide = LATENT_RANK + LATENT_ROPE;
    double *q, *kv = project(s, f, layer, "attn_kv_a_mqa.weight", "attn_norm.weight", x, s->embd);
    if (s->spec->absorbed) {
        double *a = project(s, f, layer, "attn_q_a.weight", "attn_norm.weight", x, s->embd);
        q = project(s, f, layer, "attn_q_b.weight", "attn_q_a_norm.weight", a, LATENT_RANK);
        free(a);
    } else
        q = project(s, f, layer, "attn_q.weight", "attn_norm.weight", x, s->embd);
    matrix gain = of_layer(f, layer, "attn_kv_a_norm.weight"), k_b = of_layer(f, layer, "attn_k_b.weight"),
           v_b = of_layer(f, layer, "attn_v_b.weight"), kv_b = of_layer(f, layer, "attn_kv_b.weight");
    double *k = numbers(s->n * heads * dim), *v = numbers(s->n * heads * dim);
    for (size_t t = 0; t < s->n; t++) {
        double *c = kv + t * wide;
        ref_norm_values(s, gain.v, NULL, LATENT_RANK, c, c);
        rotate_latent(s, c + LATENT_RANK, (double)t);
        for (size_t h = 0; h < heads; h++) {
            double *kh = k + (t * heads + h) * dim, *vh = v + (t * heads + h) * dim;
            rotate_latent(s, q + (t * heads + h) * dim + nope, (double)t);
            for (size_t r = 0; r < LATENT_RANK; r++) {
                for (size_t d = 0; d < nope; d++)
                    kh[d] += c[r] * (k_b.v ? k_b.v[(h * LATENT_RANK + r) * nope + d]
                                           : kv_b.v[(h * (nope + dim) + d) * LATENT_RANK + r]);
                for (size_t d = 0; d < dim; d++)
                    vh[d] += c[r] * (v_b.v ? v_b.v[(h * dim + d) * LATENT_RANK + r]
                                           : kv_b.v[(h * (nope + dim) + nope + d) * LATENT_RANK + r]);
            }
            memcpy(kh + nope, c + LATENT_RANK, LATENT_ROPE * sizeof *kh);
        }
    }
    double *a = attend_all(s, q, k, v, heads, dim);
    add_product(s, f, layer, "attn_output.weight", a, out);
    free(q), free(kv), free(k), free(v), free(a);
    free(gain.v), free(k_b.v), free(v_b.v), free(kv_b.v);
}

static void gated(shape *s, const leat_file *f, unsigned layer, const double *x, double *out) {
    size_t dim = s->dim, kv = s->kv_heads;
    double *both = project(s, f, layer, "attn_q.weight", "attn_norm.weight", x, s->embd),
           *k = project(s, f, layer, "attn_k.weight", "attn_norm.weight", x, s->embd),
           *v = project(s, f, layer, "attn_v.weight", "attn_norm.weight", x, s->embd),
           *q = numbers(s->n * s->heads * dim);
    matrix q_norm = of_layer(f, layer, "attn_q_norm.weight"),
           k_norm = of_layer(f, layer, "attn_k_norm.weight");
    for (size_t i = 0; i < s->n * s->heads; i++) {
        ref_norm_values(s, q_norm.v, NULL, dim, both + 2 * i * dim, q + i * dim);
        ref_rotate(s, q + i * dim, layer, (double)(i / s->heads));
    }
    for (size_t i = 0; i < s->n * kv; i++) {
        ref_norm_values(s, k_norm.v, NULL, dim, k + i * dim, k + i * dim);
        ref_rotate(s, k + i * dim, layer, (double)(i / kv));
    }
    double *a = attend_all(s, q, k, v, kv, dim);
    for (size_t i = 0; i < s->n * s->heads * dim; i++)
        a[i] *= sigmoid(both[(2 * (i / dim) + 1) * dim + i % dim]);
    add_product(s, f, layer, "attn_output.weight", a, out);
    free(both), free(q), free(k), free(v), free(a), free(q_norm.v), free(k_norm.v);
}

/* y (n, width) = the convolution of columns first .. of u (n, stride) */
static double *convolve(const shape *s, const matrix *w, const matrix *bias, const double *u, size_t stride,
                        size_t first) {
    double *y = numbers(s->n * w->rows);
    for (size_t t = 0; t < s->n; t++)
        for (size_t c = 0; c < w->rows; c++) {
            double sum = bias && bias->v ? bias->v[c] : 0;
            for (size_t i = 0; i < w->cols && i <= t; i++)
                sum += w->v[c * w->cols + w->cols - 1 - i] * u[(t - i) * stride + first + c];
            y[t * w->rows + c] = sum;
        }
    return y;
}

static void convolution(shape *s, const leat_file *f, unsigned layer, const double *x, double *out) {
    size_t n = s->embd;
    double *bcx = project(s, f, layer, "shortconv.in_proj.weight", "attn_norm.weight", x, n);
    matrix w = of_layer(f, layer, "shortconv.conv.weight");
    for (size_t i = 0; i < s->n * n; i++) bcx[i / n * 3 * n + 2 * n + i % n] *= bcx[i / n * 3 * n + i % n];
    double *y = convolve(s, &w, NULL, bcx, 3 * n, 2 * n);
    for (size_t i = 0; i < s->n * n; i++) y[i] *= bcx[i / n * 3 * n + n + i % n];
    add_product(s, f, layer, "shortconv.out_proj.weight", y, out);
    free(bcx), free(w.v), free(y);
}

static void mamba(shape *s, const leat_file *f, unsigned layer, const double *x, double *out) {
    size_t inner = 2 * s->embd, dim = inner / MAMBA_HEADS, n = MAMBA_STATE, wide = inner / MAMBA_GROUPS,
           conv = inner + 2 * MAMBA_GROUPS * MAMBA_STATE, stride = inner + conv + MAMBA_HEADS;
    double *in = project(s, f, layer, "ssm_in.weight", "attn_norm.weight", x, s->embd);
    matrix w = of_layer(f, layer, "ssm_conv1d.weight"), bias = of_layer(f, layer, "ssm_conv1d.bias"),
           a = of_layer(f, layer, "ssm_a"), d = of_layer(f, layer, "ssm_d"),
           dt_bias = of_layer(f, layer, "ssm_dt.bias"), gain = of_layer(f, layer, "ssm_norm.weight");
    double *u = convolve(s, &w, &bias, in, stride, inner), *y = numbers(s->n * inner);
    double *h = numbers(inner * n);
    for (size_t i = 0; i < s->n * conv; i++) u[i] = silu(u[i]);
    for (size_t t = 0; t < s->n; t++) {
        const double *row = u + t * conv;
        for (size_t i = 0; i < inner; i++) {
            size_t head = i / dim, group = head / (MAMBA_HEADS / MAMBA_GROUPS);
            double dt = softplus(in[t * stride + inner + conv + head] + dt_bias.v[head]), sum = 0;
            for (size_t j = 0; j < n; j++) {
                double *state = &h[i * n + j];
                *state = *state * exp(dt * a.v[head]) + dt * row[i] * row[inner + group * n + j];
                sum += *state * row[inner + (MAMBA_GROUPS + group) * n + j];
            }
            y[t * inner + i] = (sum + d.v[head] * row[i]) * silu(in[t * stride + i]);
        }
        for (size_t g = 0; g < MAMBA_GROUPS; g++)
            ref_norm_values(s, gain.v + g * wide, NULL, wide, y + t * inner + g * wide,
                            y + t * inner + g * wide);
    }
    add_product(s, f, layer, "ssm_out.weight", y, out);
    free(in), free(u), free(y), free(h);
    free(w.v), free(bias.v), free(a.v), free(d.v), free(dt_bias.v), free(gain.v);
}

/* y = x / |x| for n values */
static void unit(const shape *s, const double *x, size_t n, double *y) {
    double square = s->eps;
    for (size_t i = 0; i < n; i++) square += x[i] * x[i];
    for (size_t i = 0; i < n; i++) y[i] = x[i] / sqrt(square);
}

static void delta(shape *s, const leat_file *f, unsigned layer, const double *x, double *out) {
    size_t dim = s->dim, heads = DELTA_VALUES, per_key = heads / DELTA_KEYS,
           conv = (2 * DELTA_KEYS + heads) * dim;
    bool pairs = s->spec->pairs;
    double *in = project(s, f, layer, "attn_qkv.weight", "attn_norm.weight", x, s->embd),
           *z = project(s, f, layer, "attn_gate.weight", "attn_norm.weight", x, s->embd);
    double *beta = project(s, f, layer, pairs ? "ssm_ba.weight" : "ssm_beta.weight", "attn_norm.weight", x,
                           s->embd),
           *alpha =
               pairs ? numbers(0) : project(s, f, layer, "ssm_alpha.weight", "attn_norm.weight", x, s->embd);
    matrix w = of_layer(f, layer, "ssm_conv1d.weight"), a = of_layer(f, layer, "ssm_a"),
           dt_bias = of_layer(f, layer, "ssm_dt.bias"), gain = of_layer(f, layer, "ssm_norm.weight");
    double *u = convolve(s, &w, NULL, in, conv, 0), *y = numbers(s->n * heads * dim),
           *state = numbers(heads * dim * dim), *q = numbers(dim), *k = numbers(dim);
    for (size_t i = 0; i < s->n * conv; i++) u[i] = silu(u[i]);
    for (size_t t = 0; t < s->n; t++)
        for (size_t h = 0; h < heads; h++) {
            size_t key = pairs ? h / per_key : h % DELTA_KEYS;
            double b = pairs ? beta[t * 2 * heads + key * 2 * per_key + h % per_key] : beta[t * heads + h];
            double g = pairs ? beta[t * 2 * heads + key * 2 * per_key + per_key + h % per_key]
                             : alpha[t * heads + h];
            double decay = exp(a.v[h] * softplus(g + dt_bias.v[h])), *S = state + h * dim * dim;
            const double *v = u + t * conv + (2 * DELTA_KEYS + h) * dim;
            double *o = y + (t * heads + h) * dim;
            unit(s, u + t * conv + key * dim, dim, q);
            unit(s, u + t * conv + (DELTA_KEYS + key) * dim, dim, k);
            for (size_t i = 0; i < dim; i++) { /* S maps a key to the value stored for it */
                double stored = 0;
                for (size_t j = 0; j < dim; j++) stored += (S[i * dim + j] *= decay) * k[j];
                for (size_t j = 0; j < dim; j++) S[i * dim + j] += sigmoid(b) * (v[i] - stored) * k[j];
                for (size_t j = 0; j < dim; j++) o[i] += S[i * dim + j] * q[j] / sqrt((double)dim);
            }
            ref_norm_values(s, gain.v, NULL, dim, o, o);
            for (size_t i = 0; i < dim; i++) o[i] *= silu(z[(t * heads + h) * dim + i]);
        }
    add_product(s, f, layer, "ssm_out.weight", y, out);
    free(in), free(z), free(beta), free(alpha), free(u), free(y), free(state), free(q), free(k);
    free(w.v), free(a.v), free(dt_bias.v), free(gain.v);
}

/* ---- gemma4 ---- */

static void rotate_halves(const shape *s, double *x, size_t dim, double base, double position) {
    (void)s;
    for (size_t i = 0; i < dim / 2; i++) {
        double angle = position * pow(base, -2.0 * (double)i / (double)dim), a = x[i], b = x[i + dim / 2];
        x[i] = a * cos(angle) - b * sin(angle);
        x[i + dim / 2] = a * sin(angle) + b * cos(angle);
    }
}

/* The norm of the rows of n heads, and their rotation; a gain of ones and no rotation for values. */
static void place_heads(const shape *s, const leat_file *f, unsigned layer, const char *gain_name, double *x,
                        size_t heads, size_t dim, double base) {
    matrix gain = gain_name ? of_layer(f, layer, gain_name) : (matrix){0};
    double *ones = numbers(dim);
    for (size_t i = 0; i < dim; i++) ones[i] = gain.v ? gain.v[i] : 1;
    for (size_t i = 0; i < s->n * heads; i++) {
        ref_norm_values(s, ones, NULL, dim, x + i * dim, x + i * dim);
        if (base > 0) rotate_halves(s, x + i * dim, dim, base, (double)(i / heads));
    }
    free(gain.v), free(ones);
}

static void gemma4(shape *s, const leat_file *f, unsigned layer, const double *x, double *out) {
    bool windowed = spec_windowed(s->spec, layer), own = layer + SHARED_LAYERS < s->n_layer;
    size_t dim = windowed ? s->dim / 2 : s->dim, kv = windowed ? s->kv_heads : 1, heads = s->heads;
    size_t source = own ? layer : s->n_layer - SHARED_LAYERS - (windowed ? 2 : 1);
    double base = windowed ? s->spec->local_base : s->base;
    double *q = project(s, f, layer, "attn_q.weight", "attn_norm.weight", x, s->embd), *p = numbers(s->n),
           *a = numbers(s->n * heads * dim), *y = numbers(s->embd);
    place_heads(s, f, layer, "attn_q_norm.weight", q, heads, dim, base);
    if (own) {
        const char *values = windowed ? "attn_v.weight" : "attn_k.weight";
        s->kept[layer][0] = project(s, f, layer, "attn_k.weight", "attn_norm.weight", x, s->embd);
        s->kept[layer][1] = project(s, f, layer, values, "attn_norm.weight", x, s->embd);
        place_heads(s, f, layer, "attn_k_norm.weight", s->kept[layer][0], kv, dim, base);
        place_heads(s, f, layer, NULL, s->kept[layer][1], kv, dim, 0);
    }
    const double *k = s->kept[source][0], *v = s->kept[source][1];
    matrix w = of_layer(f, layer, "attn_output.weight"),
           post = of_layer(f, layer, "post_attention_norm.weight");
    for (size_t t = 0; t < s->n; t++) {
        size_t first = windowed && t + 1 > s->spec->window ? t + 1 - s->spec->window : 0;
        for (size_t h = 0; h < heads; h++) {
            size_t of = h / (heads / kv);
            double sum = 0, *o = a + (t * heads + h) * dim;
            for (size_t j = first; j <= t; j++) {
                double score = 0;
                for (size_t d = 0; d < dim; d++)
                    score += q[(t * heads + h) * dim + d] * k[(j * kv + of) * dim + d];
                sum += p[j] = exp(score);
            }
            for (size_t j = first; j <= t; j++)
                for (size_t d = 0; d < dim; d++) o[d] += p[j] / sum * v[(j * kv + of) * dim + d];
        }
        ref_multiply(&w, NULL, a + t * heads * dim, y);
        ref_add(s, &post, y, out + t * s->embd);
    }
    free(q), free(p), free(a), free(y), free(w.v), free(post.v);
}

double *ref_inputs(const shape *s, const leat_file *f, const leat_token *tokens, const double *x) {
    matrix table = ref_load(f, "per_layer_token_embd.weight", 0),
           w = ref_load(f, "per_layer_model_proj.weight", 0),
           gain = ref_load(f, "per_layer_proj_norm.weight", 0);
    size_t width = gain.cols, all = s->n_layer * width;
    double *inputs = numbers(s->n * all);
    for (size_t t = 0; t < s->n; t++) {
        double *y = inputs + t * all;
        ref_multiply(&w, NULL, x + t * s->embd, y);
        for (size_t i = 0; i < all; i++) y[i] /= sqrt((double)s->embd);
        for (size_t i = 0; i < s->n_layer; i++)
            ref_norm_values(s, gain.v, NULL, width, y + i * width, y + i * width);
        for (size_t i = 0; i < all; i++)
            y[i] = (y[i] + table.v[(size_t)tokens[t] * all + i] * sqrt((double)width)) / sqrt(2.0);
    }
    free(table.v), free(w.v), free(gain.v);
    return inputs;
}

void ref_layer_end(const shape *s, const leat_file *f, unsigned layer, double *x) {
    matrix gate = of_layer(f, layer, "inp_gate.weight"), w = of_layer(f, layer, "proj.weight"),
           post = of_layer(f, layer, "post_norm.weight"),
           scale = of_layer(f, layer, "layer_output_scale.weight");
    double *g = numbers(INPUT_WIDTH), *y = numbers(s->embd);
    for (size_t t = 0; t < s->n; t++) {
        ref_multiply(&gate, NULL, x + t * s->embd, g);
        for (size_t i = 0; i < INPUT_WIDTH; i++)
            g[i] = ref_activate(s, g[i]) * s->inputs[(t * s->n_layer + layer) * INPUT_WIDTH + i];
        ref_multiply(&w, NULL, g, y);
        ref_add(s, &post, y, x + t * s->embd);
        for (size_t i = 0; i < s->embd; i++) x[t * s->embd + i] *= scale.v[0];
    }
    free(gate.v), free(w.v), free(post.v), free(scale.v), free(g), free(y);
}

void ref_mix(shape *s, const leat_file *f, unsigned layer, const double *x, double *out) {
    const arch_spec *a = s->spec;
    (a->gemma4                 ? gemma4
     : a->latent               ? latent
     : !spec_mixes(a, layer)   ? gated
     : a->mixer == MIXER_CONV  ? convolution
     : a->mixer == MIXER_MAMBA ? mamba
                               : delta)(s, f, layer, x, out);
}

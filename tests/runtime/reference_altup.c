/* The reference of gemma3n: several residual streams (AltUp, Baykal et al. 2023), LAuReL (Menghani et al.
 * 2024), gates cut at a quantile of a normal distribution, shared caches, and inputs of each layer. */
#include <string.h>

#include "reference_impl.h"

enum { K = ALTUP };

static double *rows_of(const shape *s) {
    return numbers(s->n * s->embd);
}

/* y = w . x (w of any stream: rows from `first` on), for one token */
static void times(const matrix *w, size_t first, size_t rows, const double *x, double *y) {
    for (size_t r = 0; r < rows; r++) {
        y[r] = 0;
        for (size_t c = 0; c < w->cols; c++) y[r] += w->v[(first + r) * w->cols + c] * x[c];
    }
}

static double length(const double *x, size_t n) {
    double square = 0;
    for (size_t i = 0; i < n; i++) square += x[i] * x[i];
    return sqrt(square);
}

static void modalities(const shape *s, const matrix *router, const matrix *gain, const double *x,
                       double m[K]) {
    double *h = numbers(s->embd);
    ref_norm_values(s, gain->v, NULL, s->embd, x, h);
    for (size_t i = 0; i < s->embd; i++) h[i] /= (double)s->embd;
    times(router, 0, K, h, m);
    for (size_t k = 0; k < K; k++) m[k] = tanh(m[k]);
    free(h);
}

static void rotate(double *x, size_t dim, double base, double position) {
    for (size_t i = 0; i < dim / 2; i++) {
        double angle = position * pow(base, -2.0 * (double)i / (double)dim), a = x[i], b = x[i + dim / 2];
        x[i] = a * cos(angle) - b * sin(angle);
        x[i + dim / 2] = a * sin(angle) + b * cos(angle);
    }
}

/* out = attention of h, which is normed */
static void attention(shape *s, const leat_file *f, unsigned layer, const double *h, double *out) {
    const bool windowed = spec_windowed(s->spec, layer), own = layer < ALTUP_CACHED;
    const size_t dim = s->dim, kv = s->kv_heads, source = own ? layer : ALTUP_CACHED - (windowed ? 2 : 1);
    const double base = windowed ? s->spec->local_base : s->base;
    matrix wq = of_layer(f, layer, "attn_q.weight"), wk = of_layer(f, layer, "attn_k.weight"),
           wv = of_layer(f, layer, "attn_v.weight"), wo = of_layer(f, layer, "attn_output.weight"),
           gq = of_layer(f, layer, "attn_q_norm.weight"), gk = of_layer(f, layer, "attn_k_norm.weight");
    double *q = numbers(s->heads * dim), *o = numbers(s->heads * dim), *p = numbers(s->n),
           *ones = numbers(dim);
    for (size_t i = 0; i < dim; i++) ones[i] = 1;
    if (own) {
        double *k = s->kept[layer][0] = numbers(s->n * kv * dim);
        double *v = s->kept[layer][1] = numbers(s->n * kv * dim);
        for (size_t t = 0; t < s->n; t++) {
            ref_multiply(&wk, NULL, h + t * s->embd, k + t * kv * dim);
            ref_multiply(&wv, NULL, h + t * s->embd, v + t * kv * dim);
        }
        for (size_t i = 0; i < s->n * kv; i++) {
            ref_norm_values(s, gk.v, NULL, dim, k + i * dim, k + i * dim);
            ref_norm_values(s, ones, NULL, dim, v + i * dim, v + i * dim);
            rotate(k + i * dim, dim, base, (double)(i / kv));
        }
    }
    const double *k = s->kept[source][0], *v = s->kept[source][1];
    for (size_t t = 0; t < s->n; t++) {
        size_t first = windowed && t + 1 > s->spec->window ? t + 1 - s->spec->window : 0;
        ref_multiply(&wq, NULL, h + t * s->embd, q);
        memset(o, 0, s->heads * dim * sizeof *o);
        for (size_t head = 0; head < s->heads; head++) {
            size_t of = head / (s->heads / kv);
            double sum = 0, *qh = q + head * dim;
            ref_norm_values(s, gq.v, NULL, dim, qh, qh);
            rotate(qh, dim, base, (double)t);
            for (size_t j = first; j <= t; j++) {
                double score = 0;
                for (size_t d = 0; d < dim; d++) score += qh[d] * k[(j * kv + of) * dim + d];
                sum += p[j] = exp(score);
            }
            for (size_t j = first; j <= t; j++)
                for (size_t d = 0; d < dim; d++) o[head * dim + d] += p[j] / sum * v[(j * kv + of) * dim + d];
        }
        ref_multiply(&wo, NULL, o, out + t * s->embd);
    }
    free(wq.v), free(wk.v), free(wv.v), free(wo.v), free(gq.v), free(gk.v);
    free(q), free(o), free(p), free(ones);
}

/* y += norm(down . (gelu(gate) * up)) of one token, y normed */
static void feed_forward(const shape *s, const leat_file *f, unsigned layer, double *y) {
    matrix norm = of_layer(f, layer, "ffn_norm.weight"), gate = of_layer(f, layer, "ffn_gate.weight"),
           up = of_layer(f, layer, "ffn_up.weight"), down = of_layer(f, layer, "ffn_down.weight"),
           post = of_layer(f, layer, "post_ffw_norm.weight");
    double *h = numbers(s->embd), *g = numbers(s->ff), *u = numbers(s->ff);
    for (size_t t = 0; t < s->n; t++) {
        double mean = 0, square = 0, *row = y + t * s->embd;
        ref_norm_values(s, norm.v, NULL, s->embd, row, h);
        ref_multiply(&gate, NULL, h, g);
        ref_multiply(&up, NULL, h, u);
        for (size_t i = 0; i < s->ff; i++) mean += g[i] / (double)s->ff;
        for (size_t i = 0; i < s->ff; i++) square += (g[i] - mean) * (g[i] - mean);
        double least = mean + 1.6448533535003662 * sqrt(square / (double)(s->ff - 1));
        for (size_t i = 0; i < s->ff; i++)
            g[i] = ref_activate(s, layer < ALTUP_SPARSE ? fmax(g[i] - least, 0) : g[i]) * u[i];
        ref_multiply(&down, NULL, g, h);
        ref_norm_values(s, post.v, NULL, s->embd, h, h);
        for (size_t i = 0; i < s->embd; i++) row[i] += h[i];
    }
    free(norm.v), free(gate.v), free(up.v), free(down.v), free(post.v), free(h), free(g), free(u);
}

/* y = (p + norm(attention) + h + norm(laurel)) / sqrt(2), h = norm(p) */
static void first_half(shape *s, const leat_file *f, unsigned layer, const double *p, double *y) {
    matrix norm = of_layer(f, layer, "attn_norm.weight"),
           post = of_layer(f, layer, "post_attention_norm.weight"),
           left = of_layer(f, layer, "laurel_l.weight"), right = of_layer(f, layer, "laurel_r.weight"),
           laurel = of_layer(f, layer, "laurel_post_norm.weight");
    double *h = rows_of(s), *a = rows_of(s), *low = numbers(left.rows), *wide = numbers(s->embd);
    for (size_t t = 0; t < s->n; t++)
        ref_norm_values(s, norm.v, NULL, s->embd, p + t * s->embd, h + t * s->embd);
    attention(s, f, layer, h, a);
    for (size_t t = 0; t < s->n; t++) {
        double *at = a + t * s->embd;
        ref_multiply(&left, NULL, h + t * s->embd, low);
        ref_multiply(&right, NULL, low, wide);
        ref_norm_values(s, laurel.v, NULL, s->embd, wide, wide);
        ref_norm_values(s, post.v, NULL, s->embd, at, at);
        for (size_t i = 0; i < s->embd; i++)
            y[t * s->embd + i] = (p[t * s->embd + i] + at[i] + h[t * s->embd + i] + wide[i]) / sqrt(2.0);
    }
    free(norm.v), free(post.v), free(left.v), free(right.v), free(laurel.v);
    free(h), free(a), free(low), free(wide);
}

static void layer_of(shape *s, const leat_file *f, unsigned layer, double *x[K]) {
    const size_t n = s->embd;
    matrix router = of_layer(f, layer, "altup_router.weight"),
           gain = of_layer(f, layer, "altup_router_norm.weight"),
           predict = of_layer(f, layer, "altup_predict_coef.weight"),
           correct = of_layer(f, layer, "altup_correct_coef.weight"),
           scale = of_layer(f, layer, "altup_correct_scale.weight"),
           gate = of_layer(f, layer, "inp_gate.weight"), proj = of_layer(f, layer, "proj.weight"),
           post = of_layer(f, layer, "post_norm.weight");
    double *p[K], *y = rows_of(s), *g = numbers(gate.rows), *wide = numbers(n), m[K], c[K * K];
    for (size_t k = 0; k < K; k++) p[k] = rows_of(s);
    for (size_t t = 0; t < s->n; t++) {
        modalities(s, &router, &gain, x[0] + t * n, m);
        ref_multiply(&predict, NULL, m, c);
        for (size_t k = 0; k < K; k++)
            for (size_t i = 0; i < n; i++) {
                double sum = x[k][t * n + i];
                for (size_t j = 0; j < K; j++) sum += c[k * K + j] * x[j][t * n + i];
                p[k][t * n + i] = sum;
            }
    }
    first_half(s, f, layer, p[0], y);
    feed_forward(s, f, layer, y);
    for (size_t t = 0; t < s->n; t++) {
        modalities(s, &router, &gain, y + t * n, m);
        ref_multiply(&correct, NULL, m, c);
        for (size_t k = 0; k < K; k++)
            for (size_t i = 0; i < n; i++)
                x[k][t * n + i] = p[k][t * n + i] + (c[k] + 1) * (y[t * n + i] - p[0][t * n + i]);
        for (size_t i = 0; i < n; i++) wide[i] = x[0][t * n + i] * scale.v[i];
        ref_multiply(&gate, NULL, wide, g);
        for (size_t i = 0; i < gate.rows; i++)
            g[i] = ref_activate(s, g[i]) * s->inputs[(t * s->n_layer + layer) * gate.rows + i];
        ref_multiply(&proj, NULL, g, wide);
        ref_norm_values(s, post.v, NULL, n, wide, wide);
        for (size_t k = 1; k < K; k++)
            for (size_t i = 0; i < n; i++) x[k][t * n + i] += wide[i];
    }
    for (size_t k = 0; k < K; k++) free(p[k]);
    free(router.v), free(gain.v), free(predict.v), free(correct.v), free(scale.v), free(gate.v), free(proj.v);
    free(post.v), free(y), free(g), free(wide);
}

void ref_streams(shape *s, const leat_file *f, double *first) {
    const size_t n = s->embd;
    matrix spread = ref_load(f, "altup_proj.weight", 0), gather = ref_load(f, "altup_unembd_proj.weight", 0);
    double *x[K] = {first}, *u = numbers(n);
    for (size_t k = 1; k < K; k++) {
        x[k] = rows_of(s);
        for (size_t t = 0; t < s->n; t++) {
            double *y = x[k] + t * n;
            times(&spread, (k - 1) * n, n, first + t * n, y);
            double by = length(first + t * n, n) / length(y, n);
            for (size_t i = 0; i < n; i++) y[i] *= by;
        }
    }
    for (unsigned i = 0; i < s->n_layer; i++) layer_of(s, f, i, x);
    for (size_t t = 0; t < s->n; t++) {
        double sum[4096] = {0}, size = length(first + t * n, n);
        for (size_t k = 1; k < K; k++) {
            times(&gather, (k - 1) * n, n, x[k] + t * n, u);
            double by = size / length(u, n);
            for (size_t i = 0; i < n; i++) sum[i] += u[i] * by;
        }
        for (size_t i = 0; i < n; i++) first[t * n + i] = (first[t * n + i] + sum[i]) / K;
    }
    for (size_t k = 1; k < K; k++) free(x[k]);
    free(spread.v), free(gather.v), free(u);
    for (size_t i = 0; i < 64; i++) free(s->kept[i][0]), free(s->kept[i][1]);
}

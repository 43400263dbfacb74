/* The decoder of Touvron et al. 2023 (RMS norm, rotary positions on pairs, grouped-query attention, SwiGLU),
 * with optional biases, written as the formulas stand. */
#include "reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct matrix {
    size_t rows, cols;
    double *v; /* (rows, cols); NULL: absent */
} matrix;

static matrix load(const leat_file *f, const char *format, unsigned layer) {
    char name[64];
    size_t index;
    matrix m = {0};
    leat_tensor_info info;
    snprintf(name, sizeof name, format, layer);
    if (leat_file_tensor_find(f, name, &index) || leat_file_tensor(f, index, &info)) return m;
    m.cols = info.dims[0];
    m.rows = info.n_elements / info.dims[0];
    m.v = malloc(m.rows * m.cols * sizeof *m.v);
    float *row = malloc(m.cols * sizeof *row);
    for (size_t r = 0; m.v && row && r < m.rows; r++) {
        leat_tensor_decode(f, index, r, row, NULL);
        for (size_t c = 0; c < m.cols; c++) m.v[r * m.cols + c] = row[c];
    }
    free(row);
    return m;
}

static double number(const leat_file *f, const char *key) {
    char name[96];
    size_t index;
    leat_meta meta;
    leat_value v;
    snprintf(name, sizeof name, "llama.%s", key);
    if (leat_file_meta_find(f, name, &index) || leat_file_meta(f, index, &meta) ||
        leat_file_meta_value(f, index, 0, NULL, &v))
        return NAN;
    return meta.type == LEAT_META_F32 ? v.f64 : (double)v.u64;
}

static void multiply(const matrix *w, const matrix *bias, const double *x, double *y) {
    for (size_t r = 0; r < w->rows; r++) {
        double s = bias && bias->v ? bias->v[r] : 0.0;
        for (size_t c = 0; c < w->cols; c++) s += w->v[r * w->cols + c] * x[c];
        y[r] = s;
    }
}

static void norm(const matrix *w, double eps, const double *x, double *y) {
    double s = 0.0;
    for (size_t i = 0; i < w->cols; i++) s += x[i] * x[i];
    s = 1.0 / sqrt(s / (double)w->cols + eps);
    for (size_t i = 0; i < w->cols; i++) y[i] = x[i] * s * w->v[i];
}

static void rotate(double *x, size_t n, double position, double base) {
    for (size_t i = 0; i < n; i += 2) {
        double a = position * pow(base, -(double)i / (double)n), c = cos(a), s = sin(a), x0 = x[i],
               x1 = x[i + 1];
        x[i] = x0 * c - x1 * s;
        x[i + 1] = x0 * s + x1 * c;
    }
}

typedef struct shape {
    size_t n, embd, heads, kv_heads, dim, ff;
    double eps, base;
} shape;

static void attention(const shape *s, const leat_file *f, unsigned layer, double *x) {
    matrix w[] = {load(f, "blk.%u.attn_norm.weight", layer),   load(f, "blk.%u.attn_q.weight", layer),
                  load(f, "blk.%u.attn_k.weight", layer),      load(f, "blk.%u.attn_v.weight", layer),
                  load(f, "blk.%u.attn_output.weight", layer), load(f, "blk.%u.attn_q.bias", layer),
                  load(f, "blk.%u.attn_k.bias", layer),        load(f, "blk.%u.attn_v.bias", layer),
                  load(f, "blk.%u.attn_output.bias", layer)};
    size_t nq = s->heads * s->dim, nk = s->kv_heads * s->dim;
    double *h = malloc(s->embd * sizeof *h), *q = malloc(nq * sizeof *q), *a = malloc(nq * sizeof *a);
    double *k = malloc(s->n * nk * sizeof *k), *v = malloc(s->n * nk * sizeof *v),
           *p = malloc(s->n * sizeof *p);
    for (size_t t = 0; t < s->n; t++) {
        norm(&w[0], s->eps, x + t * s->embd, h);
        multiply(&w[1], &w[5], h, q);
        multiply(&w[2], &w[6], h, k + t * nk);
        multiply(&w[3], &w[7], h, v + t * nk);
        for (size_t i = 0; i < s->heads; i++) rotate(q + i * s->dim, s->dim, (double)t, s->base);
        for (size_t i = 0; i < s->kv_heads; i++) rotate(k + t * nk + i * s->dim, s->dim, (double)t, s->base);
        memset(a, 0, nq * sizeof *a);
        for (size_t i = 0; i < s->heads; i++) {
            size_t kv = i / (s->heads / s->kv_heads);
            double top = -INFINITY, sum = 0.0;
            for (size_t j = 0; j <= t; j++) {
                p[j] = 0.0;
                for (size_t d = 0; d < s->dim; d++) p[j] += q[i * s->dim + d] * k[j * nk + kv * s->dim + d];
                p[j] /= sqrt((double)s->dim);
                top = fmax(top, p[j]);
            }
            for (size_t j = 0; j <= t; j++) sum += p[j] = exp(p[j] - top);
            for (size_t j = 0; j <= t; j++)
                for (size_t d = 0; d < s->dim; d++)
                    a[i * s->dim + d] += p[j] / sum * v[j * nk + kv * s->dim + d];
        }
        multiply(&w[4], &w[8], a, h);
        for (size_t i = 0; i < s->embd; i++) x[t * s->embd + i] += h[i];
    }
    for (size_t i = 0; i < sizeof w / sizeof *w; i++) free(w[i].v);
    free(h), free(q), free(a), free(k), free(v), free(p);
}

static void feed_forward(const shape *s, const leat_file *f, unsigned layer, double *x) {
    matrix w[] = {load(f, "blk.%u.ffn_norm.weight", layer), load(f, "blk.%u.ffn_gate.weight", layer),
                  load(f, "blk.%u.ffn_up.weight", layer), load(f, "blk.%u.ffn_down.weight", layer)};
    double *h = malloc(s->embd * sizeof *h), *g = malloc(s->ff * sizeof *g), *u = malloc(s->ff * sizeof *u);
    for (size_t t = 0; t < s->n; t++) {
        norm(&w[0], s->eps, x + t * s->embd, h);
        multiply(&w[1], NULL, h, g);
        multiply(&w[2], NULL, h, u);
        for (size_t i = 0; i < s->ff; i++) g[i] = g[i] / (1.0 + exp(-g[i])) * u[i];
        multiply(&w[3], NULL, g, h);
        for (size_t i = 0; i < s->embd; i++) x[t * s->embd + i] += h[i];
    }
    for (size_t i = 0; i < sizeof w / sizeof *w; i++) free(w[i].v);
    free(h), free(g), free(u);
}

double *reference_logits(const char *path, const leat_token *tokens, size_t n, size_t *n_vocab) {
    leat_file *f;
    if (leat_file_open(path, &f, NULL)) return NULL;
    shape s = {.n = n,
               .embd = (size_t)number(f, "embedding_length"),
               .heads = (size_t)number(f, "attention.head_count"),
               .kv_heads = (size_t)number(f, "attention.head_count_kv"),
               .dim = (size_t)number(f, "attention.key_length"),
               .ff = (size_t)number(f, "feed_forward_length"),
               .eps = number(f, "attention.layer_norm_rms_epsilon"),
               .base = number(f, "rope.freq_base")};
    matrix embed = load(f, "token_embd.weight", 0), last = load(f, "output_norm.weight", 0),
           out = load(f, "output.weight", 0);
    const matrix *head = out.v ? &out : &embed;
    double *x = malloc(n * s.embd * sizeof *x), *logits = malloc(n * head->rows * sizeof *logits);
    for (size_t t = 0; t < n; t++)
        memcpy(x + t * s.embd, embed.v + (size_t)tokens[t] * s.embd, s.embd * sizeof *x);
    for (unsigned i = 0; i < (unsigned)number(f, "block_count"); i++) {
        attention(&s, f, i, x);
        feed_forward(&s, f, i, x);
    }
    for (size_t t = 0; t < n; t++) {
        norm(&last, s.eps, x + t * s.embd, x + t * s.embd);
        multiply(head, NULL, x + t * s.embd, logits + t * head->rows);
    }
    *n_vocab = head->rows;
    free(embed.v), free(last.v), free(out.v), free(x);
    leat_file_close(f);
    return logits;
}

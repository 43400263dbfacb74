/* The head of embed_head.h. Its matrices are small and used once for each text: rows are decoded one by one,
 * and products are float32 ones. */
#include "embed_head.h"

#include <math.h>
#include <string.h>

#include "arch_loader.h"

enum { WIDTH_MAX = 1 << 20 };

/* A tensor of (any rows, cols) by name, or a vector of float32 with cols == 0 for any width; may be absent.
 */
static leat_status bind(arch_loader *l, weight *out, const char *name, size_t cols) {
    const gguf_tensor *t = gguf_find_tensor(l->g, name);
    *out = (weight){0};
    if (!t) return LEAT_OK;
    if (t->n_rows > WIDTH_MAX || t->ne[0] > WIDTH_MAX || (cols && t->ne[0] != cols) ||
        (!cols && t->n_rows != 1))
        return error_set(l->e, LEAT_E_TENSOR, "tensor %s has rows of %llu values and %llu of them: no %s",
                         name, (unsigned long long)t->ne[0], (unsigned long long)t->n_rows,
                         cols ? "matrix that fits what it reads" : "vector");
    if (cols ? kernels_traits(t->format).act == ACT_COUNT : t->format != FORMAT_F32)
        return error_set(l->e, LEAT_E_UNSUPPORTED, "tensor %s has type %s, which can't be computed with",
                         name, format_get(t->format)->name);
    *out = (weight){.data = t->data,
                    .format = t->format,
                    .row_bytes = t->row_bytes,
                    .n_rows = (size_t)t->n_rows,
                    .n_cols = (size_t)t->ne[0]};
    l->used[t - l->g->tensors] = 1;
    return LEAT_OK;
}

static leat_status fits(arch_loader *l, const weight *w, const weight *bias, const char *name) {
    if (!bias->data || bias->n_cols == w->n_rows) return LEAT_OK;
    return error_set(l->e, LEAT_E_TENSOR, "tensor %s has %zu values for %zu rows", name, bias->n_cols,
                     w->n_rows);
}

leat_status embed_head_bind(arch_loader *l, const hparams *hp, embed_head *h) {
    size_t n = hp->n_embd;
    leat_status s = bind(l, &h->project[0], "dense_2.weight", n);
    if (!s) s = bind(l, &h->project[1], "dense_3.weight", h->project[0].data ? h->project[0].n_rows : n);
    if (!s) s = bind(l, &h->hidden, "cls.weight", n);
    if (!s) s = bind(l, &h->hidden_bias, "cls.bias", 0);
    if (!s) s = fits(l, &h->hidden, &h->hidden_bias, "cls.bias");
    if (!s) s = bind(l, &h->hidden_norm, "cls.norm.weight", 0);
    if (!s) s = fits(l, &h->hidden, &h->hidden_norm, "cls.norm.weight");
    if (!s) s = bind(l, &h->classes, "cls.output.weight", h->hidden.data ? h->hidden.n_rows : n);
    if (!s) s = bind(l, &h->classes_bias, "cls.output.bias", 0);
    if (!s) s = fits(l, &h->classes, &h->classes_bias, "cls.output.bias");
    return s;
}

size_t embed_head_width(const embed_head *h, size_t n_embd) {
    for (size_t i = 0; i < 2; i++)
        if (h->project[i].data) n_embd = h->project[i].n_rows;
    return n_embd;
}

size_t embed_head_scratch(const embed_head *h, size_t n_embd) {
    const weight *all[] = {&h->project[0], &h->project[1], &h->hidden, &h->classes};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->data && all[i]->n_rows > n_embd) n_embd = all[i]->n_rows;
    return n_embd;
}

/* y (rows) = w . x + bias; row has room for the columns. */
static void multiply(const kernels *k, const weight *w, const weight *bias, const float *x, float *row,
                     float *y) {
    for (size_t r = 0; r < w->n_rows; r++) {
        double sum = bias->data ? (double)((const float *)bias->data)[r] : 0.0;
        k->decode[w->format]((const char *)w->data + r * w->row_bytes, row, w->n_cols);
        for (size_t c = 0; c < w->n_cols; c++) sum += (double)row[c] * (double)x[c];
        y[r] = (float)sum;
    }
}

void embed_head_project(const embed_head *h, const kernels *k, const float *x, size_t n_embd, float *scratch,
                        float *out) {
    const weight none = {0};
    size_t wide = embed_head_scratch(h, n_embd);
    float *row = scratch, *between = scratch + wide;
    const weight *first = &h->project[0], *second = &h->project[1];
    if (first->data && second->data) {
        multiply(k, first, &none, x, row, between);
        multiply(k, second, &none, between, row, out);
    } else if (first->data || second->data)
        multiply(k, first->data ? first : second, &none, x, row, out);
    else
        memcpy(out, x, n_embd * sizeof *out);
}

void embed_head_classify(const embed_head *h, const kernels *k, const float *x, size_t n_embd, bool gelu,
                         bool shares, float eps, float *scratch, float *out) {
    size_t wide = embed_head_scratch(h, n_embd), n = h->classes.n_rows;
    float *row = scratch, *between = scratch + wide;
    if (h->hidden.data) {
        multiply(k, &h->hidden, &h->hidden_bias, x, row, between);
        if (gelu) k->gelu(between, h->hidden.n_rows);
        for (size_t i = 0; !gelu && i < h->hidden.n_rows; i++) between[i] = tanhf(between[i]);
        if (h->hidden_norm.data)
            k->layer_norm(between, between, h->hidden_norm.data, NULL, h->hidden.n_rows, eps);
        x = between;
    }
    multiply(k, &h->classes, &h->classes_bias, x, row, out);
    double top = -INFINITY, sum = 0.0;
    for (size_t i = 0; shares && i < n; i++) top = fmax(top, (double)out[i]);
    for (size_t i = 0; shares && i < n; i++) sum += exp((double)out[i] - top);
    for (size_t i = 0; shares && i < n; i++) out[i] = (float)(exp((double)out[i] - top) / sum);
}

/* Latent attention. The cache has one row for each position and layer, shared by all heads: the latent that
 * keys and values are made of, and the rotated part of the key. A head's query is taken through its k_b once,
 * so that it can be multiplied with that row; what attention sums up is latent too, and becomes the head's
 * value through v_b. */
#include <string.h>

#include "stage.h"

/* Heads of an attention tile: a constant, since with how many rows it is called shows in the kernel's last
 * bits, and those must not depend on the number of threads. */
enum { APPEND_TOKENS = 8, ATTEND_HEADS = 4, ATTEND_TOKENS = ATTEND_ROWS_MAX / ATTEND_HEADS };

static size_t tiles_of(size_t n, size_t each) {
    return (n + each - 1) / each;
}

/* y = m . x for n tokens; x and y rows of floats, stride floats apart. */
static void multiply(const run *r, scratch *w, const weight *m, const char *data, const float *x,
                     size_t x_stride, size_t n, float *y, size_t y_stride) {
    act_kind kind = gemm_act(r->k, m->format, n);
    size_t row_bytes = act_row_bytes(kind, m->n_cols),
           height = r->k->panel_rows[kernels_traits(m->format).panel];
    if (n == 1) {
        stage_quantize(r, kind, x, m->n_cols, w->act[kind]);
        w->prepared = NULL;
        r->k->matvec[m->format](data, m->row_bytes, m->n_rows, m->n_cols, w->act[kind], y);
        return;
    }
    for (size_t t = 0; t < n; t++)
        stage_quantize(r, kind, x + t * x_stride, m->n_cols, w->gathered[kind] + t * row_bytes);
    for (size_t row = 0; row < m->n_rows; row += r->k->pass_panels * height) {
        size_t rows =
            m->n_rows - row < r->k->pass_panels * height ? m->n_rows - row : r->k->pass_panels * height;
        const float *c = w->c;
        gemm_panels(r->k, m->format, kind, data + row * m->row_bytes, m->row_bytes, rows, m->n_cols,
                    w->gathered[kind], row_bytes, n, w->panel, w->c);
        for (size_t i = 0; i < rows; i += height)
            for (size_t t = 0; t < n; t++, c += height)
                memcpy(y + t * y_stride + row + i, c, (rows - i < height ? rows - i : height) * sizeof *y);
    }
}

size_t latent_prepare_tiles(const stage *s, const run *r) {
    return tiles_of(r->n_tokens, APPEND_TOKENS) + s->latent.n_head * tiles_of(r->n_tokens, r->k->pass_tokens);
}

static void append(const stage *s, const run *r, scratch *w, size_t token) {
    const plan_latent_step *a = &s->latent;
    float *row = w->row, *key = buf_row(r, a->key, token);
    stage_normalize(r, &s->norm, buf_row(r, a->latent, token), a->rank, row);
    stage_rotate(r, PLAN_ROPE, key, token);
    memcpy(row + a->rank, key, a->rope * sizeof *row);
    r->k->encode[r->kv->k_format](row, kv_key(r->kv, a->layer, 0, r->pos + token), a->rank + a->rope);
}

/* The query of a head as the cache wants it, for tokens t .. t + n. */
static void absorb(const plan_latent_step *a, const run *r, scratch *w, size_t head, size_t t, size_t n) {
    size_t dim = a->nope + a->rope, wide = a->rank + a->rope;
    size_t q_stride = buf_stride(r->plan->buf_width[a->q]),
           out_stride = buf_stride(r->plan->buf_width[a->query]);
    float *q = buf_row(r, a->q, t) + head * dim, *out = buf_row(r, a->query, t) + head * wide;
    multiply(r, w, &a->k_b->w, (const char *)a->k_b->w.data + head * a->k_b->stride, q, q_stride, n, out,
             out_stride);
    for (size_t i = 0; i < n; i++, q += q_stride, out += out_stride) {
        memcpy(out + a->rank, q + a->nope, a->rope * sizeof *out);
        stage_rotate(r, PLAN_ROPE, out + a->rank, t + i);
        for (size_t j = 0; a->temperature && j < wide; j++) out[j] *= r->temperature[t + i];
    }
}

void latent_prepare_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    size_t appends = tiles_of(r->n_tokens, APPEND_TOKENS);
    if (tile < appends) {
        size_t end = (tile + 1) * APPEND_TOKENS;
        for (size_t t = tile * APPEND_TOKENS; t < r->n_tokens && t < end; t++) append(s, r, w, t);
        return;
    }
    size_t head = (tile - appends) % s->latent.n_head,
           t = (tile - appends) / s->latent.n_head * r->k->pass_tokens;
    absorb(&s->latent, r, w, head, t,
           r->n_tokens - t < r->k->pass_tokens ? r->n_tokens - t : r->k->pass_tokens);
}

size_t latent_attend_tiles(const stage *s, const run *r) {
    return tiles_of(s->latent.n_head, ATTEND_HEADS) * tiles_of(r->n_tokens, ATTEND_TOKENS);
}

void latent_attend_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    const plan_latent_step *a = &s->latent;
    const kv_layer *layer = &r->kv->layer[a->layer];
    size_t groups = tiles_of(a->n_head, ATTEND_HEADS), head = tile % groups * ATTEND_HEADS,
           t = tile / groups * ATTEND_TOKENS, n = r->n_tokens - t, heads = a->n_head - head;
    const char *rows = kv_key(r->kv, a->layer, 0, 0);
    r->k->attend(&(attend_args){.q = buf_row(r, a->query, t) + head * (a->rank + a->rope),
                                .out = buf_row(r, a->sum, t) + head * a->rank,
                                .k = rows,
                                .v = rows,
                                .q_stride = buf_stride(r->plan->buf_width[a->query]),
                                .out_stride = buf_stride(r->plan->buf_width[a->sum]),
                                .k_stride = layer->k_row,
                                .v_stride = layer->k_row,
                                .n_tokens = n < ATTEND_TOKENS ? n : ATTEND_TOKENS,
                                .n_heads = heads < ATTEND_HEADS ? heads : ATTEND_HEADS,
                                .n_keys = r->pos + t + 1,
                                .head_dim_k = a->rank + a->rope,
                                .head_dim_v = a->rank,
                                .k_format = r->kv->k_format,
                                .v_format = r->kv->k_format,
                                .scale = a->scale,
                                .scratch = w->attend});
}

size_t latent_value_tiles(const stage *s, const run *r) {
    return s->latent.n_head * tiles_of(r->n_tokens, r->k->pass_tokens);
}

void latent_value_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    const plan_latent_step *a = &s->latent;
    size_t head = tile % a->n_head, t = tile / a->n_head * r->k->pass_tokens, n = r->n_tokens - t;
    multiply(r, w, &a->v_b->w, (const char *)a->v_b->w.data + head * a->v_b->stride,
             buf_row(r, a->sum, t) + head * a->rank, buf_stride(r->plan->buf_width[a->sum]),
             n < r->k->pass_tokens ? n : r->k->pass_tokens, buf_row(r, a->out, t) + head * a->dim_v,
             buf_stride(r->plan->buf_width[a->out]));
}

size_t expand_tiles(const stage *s, const run *r) {
    (void)s;
    return tiles_of(r->n_tokens, APPEND_TOKENS);
}

void expand_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    const plan_expand_step *x = &s->expand;
    (void)w;
    for (size_t t = tile * APPEND_TOKENS; t < r->n_tokens && t < (tile + 1) * APPEND_TOKENS; t++) {
        const float *from = buf_row(r, x->both, t), *shared = x->rope ? buf_row(r, x->shared, t) : NULL;
        float *k = buf_row(r, x->k, t), *v = buf_row(r, x->v, t);
        for (size_t h = 0; h < x->n_head; h++) {
            memcpy(k, from, x->nope * sizeof *k);
            if (shared) memcpy(k + x->nope, shared, x->rope * sizeof *k);
            memcpy(v, from + x->nope, x->dim_v * sizeof *v);
            from += x->nope + x->dim_v;
            k += x->nope + x->rope;
            v += x->dim_v;
        }
    }
}

/* The stages of one token: a race against memory. Weight rows are read once, straight from the mapping, in
 * runs that are adjacent for each worker; everything else is small enough that each worker does it again for
 * itself. */
#include <string.h>

#include "stage.h"

bool prepare_one(const stage *s, const run *r, scratch *w, size_t token) {
    if (w->prepared == s) return false;
    w->prepared = s;
    const float *x = buf_row(r, s->in, token);
    if (s->norm) {
        r->k->rms_norm(w->row, x, s->norm, s->width, s->eps);
        x = w->row;
    }
    if (s->act_kinds & 1u << ACT_F32) memcpy(w->act[ACT_F32], x, s->width * sizeof *x);
    if (s->act_kinds & 1u << ACT_Q8_32) r->k->quantize_q8_32(x, s->width, w->act[ACT_Q8_32]);
    if (s->act_kinds & 1u << ACT_Q8_256) r->k->quantize_q8_256(x, s->width, w->act[ACT_Q8_256]);
    return true;
}

static void multiply(const run *r, const scratch *w, const weight *m, size_t row, size_t n, float *y) {
    r->k->matvec[m->format]((const char *)m->data + row * m->row_bytes, m->row_bytes, n, m->n_cols,
                            w->act[kernels_traits(m->format).act], y);
}

/* True when a logit is not finite: x - x is 0 for finite x and NaN for the rest. */
static bool not_finite(const float *y, size_t n) {
    float sum = 0.0f;
    for (size_t i = 0; i < n; i++) sum += y[i] - y[i];
    return sum != 0.0f;
}

static size_t row_tiles(const stage *s, size_t part) {
    return (s->part[part].w.n_rows + s->tile_rows - 1) / s->tile_rows;
}

size_t embed_tiles(const stage *s, const run *r) {
    (void)s;
    return r->n_tokens;
}

void embed_tile(const stage *s, const run *r, scratch *w, size_t t) {
    (void)w;
    const weight *table = &s->part[0].w;
    size_t dims = r->rope->n_dims;
    r->k->decode[table->format]((const char *)table->data + (size_t)r->tokens[t] * table->row_bytes,
                                buf_row(r, s->part[0].out, t), table->n_cols);
    rope_pairs_at(r->rope, r->pos + t, r->cs + t * dims);
}

size_t linear_one_tiles(const stage *s, const run *r) {
    size_t n = 0;
    if (stage_count(s, r) != 1) return 0;
    for (uint32_t p = 0; p < s->n_parts; p++) n += row_tiles(s, p);
    return n;
}

void linear_one_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    size_t token = stage_first(s, r);
    uint32_t p = 0;
    prepare_one(s, r, w, token);
    while (tile >= row_tiles(s, p)) tile -= row_tiles(s, p++);
    const stage_part *part = &s->part[p];
    size_t row = tile * s->tile_rows, n = part->w.n_rows - row;
    if (n > s->tile_rows) n = s->tile_rows;
    float *out = s->output ? r->logits + row : buf_row(r, part->out, token) + row;
    float *y = s->add ? w->tile : out;
    multiply(r, w, &part->w, row, n, y);
    if (part->bias)
        for (size_t i = 0; i < n; i++) y[i] += part->bias[row + i];
    if (s->add)
        for (size_t i = 0; i < n; i++) out[i] += y[i];
    if (s->output && not_finite(y, n)) w->non_finite = true;
}

size_t gated_one_tiles(const stage *s, const run *r) {
    (void)r;
    return row_tiles(s, 0);
}

void gated_one_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    prepare_one(s, r, w, 0);
    const weight *gate = &s->part[0].w, *up = &s->part[1].w;
    size_t row = tile * s->tile_rows, n = gate->n_rows - row;
    if (n > s->tile_rows) n = s->tile_rows;
    float *out = buf_row(r, s->part[0].out, 0) + row;
    multiply(r, w, gate, row, n, out);
    multiply(r, w, up, row, n, w->tile);
    r->k->silu_mul(out, w->tile, n);
}

void attention_rotate(const run *r, float *head, size_t token) {
    size_t dims = r->rope->n_dims;
    const float *cs = r->cs + token * dims;
    if (r->plan->hp->rope.layout == ROPE_PAIRS)
        r->k->rope_pairs(head, cs, dims);
    else
        r->k->rope_halves(head, cs, dims);
}

void attention_append(const stage *s, const run *r, size_t token, size_t kv_head) {
    const plan_attention_step *a = &s->attention;
    const hparams *hp = r->plan->hp;
    float *k = buf_row(r, a->k, token) + kv_head * hp->head_dim_k;
    const float *v = buf_row(r, a->v, token) + kv_head * hp->head_dim_v;
    attention_rotate(r, k, token);
    r->k->encode[r->kv->k_format](k, kv_key(r->kv, a->layer, kv_head, r->pos + token), hp->head_dim_k);
    r->k->encode[r->kv->v_format](v, kv_value(r->kv, a->layer, kv_head, r->pos + token), hp->head_dim_v);
}

size_t attention_one_tiles(const stage *s, const run *r) {
    (void)s;
    return r->plan->hp->n_head_kv;
}

void attention_attend(const stage *s, const run *r, scratch *w, size_t kv_head, size_t token, size_t n) {
    const plan_attention_step *a = &s->attention;
    const hparams *hp = r->plan->hp;
    size_t heads = hp->n_head / hp->n_head_kv;
    r->k->attend(&(attend_args){.q = buf_row(r, a->q, token) + kv_head * heads * hp->head_dim_k,
                                .out = buf_row(r, a->out, token) + kv_head * heads * hp->head_dim_v,
                                .k = kv_key(r->kv, a->layer, kv_head, 0),
                                .v = kv_value(r->kv, a->layer, kv_head, 0),
                                .q_stride = buf_stride(r->plan->buf_width[a->q]),
                                .out_stride = buf_stride(r->plan->buf_width[a->out]),
                                .k_stride = r->kv->k_row,
                                .v_stride = r->kv->v_row,
                                .n_tokens = n,
                                .n_heads = heads,
                                .n_keys = r->pos + token + 1,
                                .head_dim_k = hp->head_dim_k,
                                .head_dim_v = hp->head_dim_v,
                                .k_format = r->kv->k_format,
                                .v_format = r->kv->v_format,
                                .scale = a->scale,
                                .scratch = w->attend});
}

void attention_one_tile(const stage *s, const run *r, scratch *w, size_t kv_head) {
    const hparams *hp = r->plan->hp;
    size_t heads = hp->n_head / hp->n_head_kv;
    float *q = buf_row(r, s->attention.q, 0) + kv_head * heads * hp->head_dim_k;
    attention_append(s, r, 0, kv_head);
    for (size_t h = 0; h < heads; h++) attention_rotate(r, q + h * hp->head_dim_k, 0);
    attention_attend(s, r, w, kv_head, 0, 1);
}

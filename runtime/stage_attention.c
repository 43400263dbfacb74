/* Attention in a pass: heads are normed and rotated, keys and values stored, then each tile is the query
 * heads that share a KV head, for some tokens of a text. A layer with a window shows the kernel only the keys
 * from the first that its tokens see. Where tokens see both ways, rows of several tokens go to the kernel as
 * if they were heads of one, which all see the same keys. */
#include <math.h>
#include <string.h>

#include "stage.h"

enum { APPEND_TOKENS = 8, ATTENTION_TOKENS = 64 };

static size_t tiles_of(size_t n, size_t each) {
    return (n + each - 1) / each;
}

void stage_rotate(const run *r, plan_rope set, float *x, size_t token) {
    if (set == PLAN_ROPE_NONE) return;
    const rope_table *rope = &r->rope[set];
    const float *cs = r->cs[set] + token * rope->n_dims;
    if (rope->layout == ROPE_PAIRS)
        r->k->rope_pairs(x, cs, rope->n_dims);
    else
        r->k->rope_halves(x, cs, rope->n_dims);
}

/* One head of q or k, normed with the gain of head h, and rotated. */
static void place(const plan_attention_step *a, const run *r, const stage_norm *norm, size_t h, float *head,
                  size_t token) {
    stage_norm own = *norm;
    if (own.w) own.w += h * norm->stride;
    if (own.bias) own.bias += h * norm->stride;
    if (own.w && !a->norm_rotated) stage_normalize(r, &own, head, a->head_dim_k, head);
    stage_rotate(r, a->rope, head + a->rope_first, token);
    if (own.w && a->norm_rotated) stage_normalize(r, &own, head, a->head_dim_k, head);
}

void attention_append(const stage *s, const run *r, size_t token, size_t kv_head) {
    const plan_attention_step *a = &s->attention;
    float *k = buf_row(r, a->k, token) + kv_head * a->head_dim_k;
    float *v = buf_row(r, a->v, token) + kv_head * a->head_dim_v;
    place(a, r, &s->k_norm, kv_head, k, token);
    if (a->v_norm) {
        double square = 0.0;
        for (size_t i = 0; i < a->head_dim_v; i++) square += (double)v[i] * v[i];
        float inverse = (float)(1.0 / sqrt(square / (double)a->head_dim_v + (double)s->k_norm.eps));
        for (size_t i = 0; i < a->head_dim_v; i++) v[i] *= inverse;
    }
    r->k->encode[r->kv->k_format](k, kv_key(r->kv, a->layer, kv_head, r->pos + token), a->head_dim_k);
    r->k->encode[r->kv->v_format](v, kv_value(r->kv, a->layer, kv_head, r->pos + token), a->head_dim_v);
}

void attention_query(const stage *s, const run *r, size_t token, size_t head) {
    const plan_attention_step *a = &s->attention;
    float *q = buf_row(r, a->q, token) + head * a->head_dim_k;
    place(a, r, &s->norm, head, q, token);
    for (size_t i = 0; a->temperature && i < a->head_dim_k; i++) q[i] *= r->temperature[token];
}

/* What the kernel is told of a layer, but for the tokens and keys. */
static attend_args attend_common(const plan_attention_step *a, const run *r, scratch *w, size_t kv_head,
                                 size_t first) {
    const kv_layer *layer = &r->kv->layer[a->layer];
    size_t heads = a->n_head / a->n_head_kv;
    return (attend_args){.k = kv_key(r->kv, a->layer, kv_head, first),
                         .v = kv_value(r->kv, a->layer, kv_head, first),
                         .q_stride = buf_stride(r->plan->buf_width[a->q]),
                         .out_stride = buf_stride(r->plan->buf_width[a->out]),
                         .k_stride = layer->k_row,
                         .v_stride = layer->v_row,
                         .n_heads = heads,
                         .head_dim_k = a->head_dim_k,
                         .head_dim_v = a->head_dim_v,
                         .k_format = r->kv->k_format,
                         .v_format = r->kv->v_format,
                         .scale = a->scale,
                         .softcap = a->softcap,
                         .coarse = stage_quantized(r),
                         .sinks = a->sinks ? (const float *)a->sinks->data + kv_head * heads : NULL,
                         .scratch = w->attend};
}

static float *query_of(const plan_attention_step *a, const run *r, size_t kv_head, size_t token) {
    return buf_row(r, a->q, token) + kv_head * (a->n_head / a->n_head_kv) * a->head_dim_k;
}
static float *result_of(const plan_attention_step *a, const run *r, size_t kv_head, size_t token) {
    return buf_row(r, a->out, token) + kv_head * (a->n_head / a->n_head_kv) * a->head_dim_v;
}

void attention_attend(const stage *s, const run *r, scratch *w, size_t kv_head, size_t begin, size_t token,
                      size_t n) {
    const plan_attention_step *a = &s->attention;
    size_t end = r->pos + token + 1, first = a->window && end - begin > a->window ? end - a->window : begin;
    attend_args args = attend_common(a, r, w, kv_head, first);
    args.q = query_of(a, r, kv_head, token);
    args.out = result_of(a, r, kv_head, token);
    args.n_tokens = n;
    args.n_keys = end - first;
    args.window = end - begin + n - 1 > a->window ? a->window : 0;
    r->k->attend(&args);
}

/* Tokens token .. token + n of a text, each of which sees all of it. */
static void attend_whole(const stage *s, const run *r, scratch *w, size_t kv_head, const span *text,
                         size_t token, size_t n) {
    const plan_attention_step *a = &s->attention;
    attend_args args = attend_common(a, r, w, kv_head, text->first);
    size_t q = args.n_heads * a->head_dim_k, out = args.n_heads * a->head_dim_v;
    for (size_t t = 0; t < n; t++)
        memcpy(w->rows_q + t * q, query_of(a, r, kv_head, token + t), q * sizeof(float));
    args.q = w->rows_q;
    args.out = w->rows_out;
    args.n_tokens = 1;
    args.n_heads *= n;
    args.n_keys = text->n;
    r->k->attend(&args);
    for (size_t t = 0; t < n; t++)
        memcpy(result_of(a, r, kv_head, token + t), w->rows_out + t * out, out * sizeof(float));
}

/* The same where each sees half a window to both sides. Tokens that the text's end does not concern are to
 * the kernel as if they were half a window further. */
static void attend_around(const stage *s, const run *r, scratch *w, size_t kv_head, const span *text,
                          size_t token, size_t n) {
    const plan_attention_step *a = &s->attention;
    const size_t half = a->window / 2, end = text->first + text->n;
    while (n) {
        size_t first = token - text->first > half ? token - half : text->first, now = 1;
        bool inside = half < end - token;
        if (inside) now = end - half - token < n ? end - half - token : n;
        attend_args args = attend_common(a, r, w, kv_head, first);
        args.q = query_of(a, r, kv_head, token);
        args.out = result_of(a, r, kv_head, token);
        args.n_tokens = now;
        args.n_keys = (inside ? token + half + 1 : end) - first;
        args.window = inside ? 2 * half + 1 : 0;
        r->k->attend(&args);
        token += now;
        n -= now;
    }
}

/* ---- one token ---- */

size_t attention_one_tiles(const stage *s, const run *r) {
    (void)r;
    return s->attention.n_head_kv;
}

void attention_one_tile(const stage *s, const run *r, scratch *w, size_t kv_head) {
    size_t heads = s->attention.n_head / s->attention.n_head_kv;
    if (!s->attention.shared) attention_append(s, r, 0, kv_head);
    for (size_t h = kv_head * heads; h < (kv_head + 1) * heads; h++) attention_query(s, r, 0, h);
    attention_attend(s, r, w, kv_head, 0, 0, 1);
}

/* ---- many tokens ---- */

size_t append_tiles(const stage *s, const run *r) {
    (void)s;
    return tiles_of(r->n_tokens, APPEND_TOKENS);
}

void append_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    (void)w;
    for (size_t t = tile * APPEND_TOKENS; t < r->n_tokens && t < (tile + 1) * APPEND_TOKENS; t++) {
        for (size_t h = 0; !s->attention.shared && h < s->attention.n_head_kv; h++)
            attention_append(s, r, t, h);
        for (size_t h = 0; h < s->attention.n_head; h++) attention_query(s, r, t, h);
    }
}

/* Tokens of an attention tile: the heads that share a KV head are worked on together, ATTEND_ROWS_MAX rows at
 * most. */
static size_t attention_tokens(const plan_attention_step *a) {
    size_t n = ATTEND_ROWS_MAX / (a->n_head / a->n_head_kv);
    return n < ATTENTION_TOKENS ? n : ATTENTION_TOKENS;
}

/* Texts have as many tiles as the longest needs. */
static size_t attention_blocks(const stage *s, const run *r) {
    return tiles_of(r->spans ? r->longest : r->n_tokens, attention_tokens(&s->attention));
}

size_t attention_many_tiles(const stage *s, const run *r) {
    return s->attention.n_head_kv * (r->spans ? r->n_spans : 1) * attention_blocks(s, r);
}

void attention_many_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    const size_t each = attention_tokens(&s->attention), blocks = attention_blocks(s, r);
    const size_t texts = r->spans ? r->n_spans : 1, kv_head = tile / (blocks * texts),
                 at = tile % blocks * each;
    const span whole = {0, r->n_tokens}, *text = r->spans ? &r->spans[tile / blocks % texts] : &whole;
    if (at >= text->n) return;
    const size_t token = text->first + at, n = text->n - at < each ? text->n - at : each;
    if (!r->plan->hp->both_ways)
        attention_attend(s, r, w, kv_head, r->spans ? text->first : 0, token, n);
    else if (s->attention.window && text->n > s->attention.window / 2 + 1)
        attend_around(s, r, w, kv_head, text, token, n);
    else
        attend_whole(s, r, w, kv_head, text, token, n);
}

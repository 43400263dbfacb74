/* The stages of many tokens: a race against the multipliers. The input of a product is normed and quantized
 * once for all workers, then each tile unpacks one panel of weight rows and multiplies it with every token.
 */
#include <string.h>

#include "stage.h"

enum {
    PREPARE_TOKENS = 4, /* tokens of a prepare tile: enough to be worth taking, few enough to share out */
    APPEND_TOKENS = 8,
    ATTENTION_TOKENS = 64
};

static size_t tiles_of(size_t n, size_t each) {
    return (n + each - 1) / each;
}

size_t prepare_tiles(const stage *s, const run *r) {
    size_t n = stage_count(s, r);
    return n == 1 && s->output ? 0 : tiles_of(n, PREPARE_TOKENS);
}

void prepare_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    size_t first = stage_first(s, r), n = stage_count(s, r), end = (tile + 1) * PREPARE_TOKENS;
    for (size_t t = tile * PREPARE_TOKENS; t < n && t < end; t++) {
        const float *x = buf_row(r, s->in, first + t);
        if (s->norm) {
            r->k->rms_norm(w->row, x, s->norm, s->width, s->eps);
            x = w->row;
        }
        for (int kind = 0; kind < ACT_COUNT; kind++) {
            if (!(s->act_kinds & 1u << kind)) continue;
            char *row = r->act[kind] + t * act_row_bytes((act_kind)kind, s->width);
            if (kind == ACT_F32)
                memcpy(row, x, s->width * sizeof *x);
            else if (kind == ACT_Q8_32)
                r->k->quantize_q8_32(x, s->width, row);
            else
                r->k->quantize_q8_256(x, s->width, row);
        }
    }
}

static size_t panel_rows(const run *r, const weight *w) {
    return r->k->panel_rows[kernels_traits(w->format).panel];
}

/* c (n_tokens, panel_rows) = rows row .. row + n of m. */
static void multiply(const run *r, scratch *w, const weight *m, size_t row, size_t n, size_t n_tokens,
                     float *c) {
    act_kind kind = kernels_traits(m->format).act;
    gemm_panel(r->k, m->format, (const char *)m->data + row * m->row_bytes, m->row_bytes, n, m->n_cols,
               r->act[kind], act_row_bytes(kind, m->n_cols), n_tokens, w->panel, c);
}

size_t linear_many_tiles(const stage *s, const run *r) {
    size_t tiles = 0, n = stage_count(s, r);
    if (n == 0 || (n == 1 && s->output)) return 0;
    for (uint32_t p = 0; p < s->n_parts; p++)
        tiles += tiles_of(s->part[p].w.n_rows, panel_rows(r, &s->part[p].w));
    return tiles;
}

void linear_many_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    size_t n_tokens = stage_count(s, r), rows, part_tiles;
    const stage_part *part = s->part;
    for (;; part++, tile -= part_tiles) {
        rows = panel_rows(r, &part->w);
        part_tiles = tiles_of(part->w.n_rows, rows);
        if (tile < part_tiles) break;
    }
    size_t row = tile * rows, n = part->w.n_rows - row;
    if (n > rows) n = rows;
    multiply(r, w, &part->w, row, n, n_tokens, w->c);
    float check = 0.0f;
    for (size_t t = 0; t < n_tokens; t++) {
        const float *c = w->c + t * rows;
        float *out = s->output ? r->logits + t * part->w.n_rows + row : buf_row(r, part->out, t) + row;
        for (size_t i = 0; i < n; i++) {
            float y = part->bias ? c[i] + part->bias[row + i] : c[i];
            out[i] = s->add ? out[i] + y : y;
        }
        if (s->output)
            for (size_t i = 0; i < n; i++) check += c[i] - c[i]; /* NaN unless all are finite */
    }
    if (check != 0.0f) w->non_finite = true;
}

size_t gated_many_tiles(const stage *s, const run *r) {
    return tiles_of(s->part[0].w.n_rows, panel_rows(r, &s->part[0].w));
}

void gated_many_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    const weight *gate = &s->part[0].w, *up = &s->part[1].w;
    size_t rows = panel_rows(r, gate), row = tile * rows, n = gate->n_rows - row;
    if (n > rows) n = rows;
    multiply(r, w, gate, row, n, r->n_tokens, w->c);
    /* `up` may be of another type, with another height of panel: cover the same rows panel by panel */
    size_t up_rows = panel_rows(r, up);
    for (size_t done = 0; done < n; done += up_rows) {
        size_t part = n - done < up_rows ? n - done : up_rows;
        multiply(r, w, up, row + done, part, r->n_tokens, w->c2);
        for (size_t t = 0; t < r->n_tokens; t++) {
            float *g = w->c + t * rows + done;
            r->k->silu_mul(g, w->c2 + t * up_rows, part);
            memcpy(buf_row(r, s->part[0].out, t) + row + done, g, part * sizeof *g);
        }
    }
}

size_t append_tiles(const stage *s, const run *r) {
    (void)s;
    return tiles_of(r->n_tokens, APPEND_TOKENS);
}

void append_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    const hparams *hp = r->plan->hp;
    (void)w;
    for (size_t t = tile * APPEND_TOKENS; t < r->n_tokens && t < (tile + 1) * APPEND_TOKENS; t++) {
        float *q = buf_row(r, s->attention.q, t);
        for (size_t h = 0; h < hp->n_head_kv; h++) attention_append(s, r, t, h);
        for (size_t h = 0; h < hp->n_head; h++) attention_rotate(r, q + h * hp->head_dim_k, t);
    }
}

/* Tokens of an attention tile: the heads that share a KV head are worked on together, ATTEND_ROWS_MAX rows at
 * most. */
static size_t attention_tokens(const hparams *hp) {
    size_t n = ATTEND_ROWS_MAX / (hp->n_head / hp->n_head_kv);
    return n < ATTENTION_TOKENS ? n : ATTENTION_TOKENS;
}

size_t attention_many_tiles(const stage *s, const run *r) {
    (void)s;
    return r->plan->hp->n_head_kv * tiles_of(r->n_tokens, attention_tokens(r->plan->hp));
}

void attention_many_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    const plan_attention_step *a = &s->attention;
    const hparams *hp = r->plan->hp;
    size_t heads = hp->n_head / hp->n_head_kv, each = attention_tokens(hp),
           blocks = tiles_of(r->n_tokens, each);
    size_t kv_head = tile / blocks, t = tile % blocks * each, n = r->n_tokens - t;
    if (n > each) n = each;
    r->k->attend(&(attend_args){.q = buf_row(r, a->q, t) + kv_head * heads * hp->head_dim_k,
                                .out = buf_row(r, a->out, t) + kv_head * heads * hp->head_dim_v,
                                .k = kv_key(r->kv, a->layer, kv_head, 0),
                                .v = kv_value(r->kv, a->layer, kv_head, 0),
                                .q_stride = buf_stride(r->plan->buf_width[a->q]),
                                .out_stride = buf_stride(r->plan->buf_width[a->out]),
                                .k_stride = r->kv->k_row,
                                .v_stride = r->kv->v_row,
                                .n_tokens = n,
                                .n_heads = heads,
                                .n_keys = r->pos + t + 1,
                                .head_dim_k = hp->head_dim_k,
                                .head_dim_v = hp->head_dim_v,
                                .k_format = r->kv->k_format,
                                .v_format = r->kv->v_format,
                                .scale = a->scale,
                                .scratch = w->attend});
}

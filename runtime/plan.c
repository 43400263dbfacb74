/* The builder: turns an architecture's steps into the two stage lists of a plan, checks that the steps fit
 * together, and measures the memory a pass needs. A mistake in an architecture file is remembered and
 * reported by plan_compile. */
#include <string.h>

#include "builder.h"
#include "loader/alloc.h"

void builder_fail(plan_builder *b, leat_status s, const char *what) {
    if (!b->status) b->status = error_set(b->e, s, "plan: %s", what);
}

/* Grows an array to hold one more; returns the new last element, zeroed, or NULL. */
static void *grow(plan_builder *b, void **array, size_t *n, size_t *cap, size_t size) {
    if (b->status) return NULL;
    if (*n == *cap) {
        size_t more = *cap ? *cap * 2 : 32;
        void *p = *array ? mem_resize(*array, *cap, more, size) : mem_alloc(more, size);
        if (!p) {
            builder_fail(b, LEAT_E_NOMEM, "out of memory");
            return NULL;
        }
        *array = p;
        *cap = more;
    }
    return (char *)*array + (*n)++ * size;
}

void builder_one(plan_builder *b, const stage *s, stage_tiles_fn *tiles, stage_tile_fn *tile) {
    stage *to = grow(b, (void **)&b->p->one, &b->p->n_one, &b->cap_one, sizeof *to);
    if (!to) return;
    *to = *s;
    to->tiles = tiles;
    to->tile = tile;
}

void builder_many(plan_builder *b, const stage *s, stage_tiles_fn *tiles, stage_tile_fn *tile) {
    stage *to = grow(b, (void **)&b->p->many, &b->p->n_many, &b->cap_many, sizeof *to);
    if (!to) return;
    *to = *s;
    to->tiles = tiles;
    to->tile = tile;
}

plan_buf plan_buffer(plan_builder *b, size_t width) {
    plan *p = b->p;
    size_t *to = grow(b, (void **)&p->buf_width, &p->n_bufs, &b->cap_bufs, sizeof *to);
    if (!to) return 0;
    *to = width;
    return (plan_buf)(p->n_bufs - 1);
}

size_t builder_width(const plan_builder *b, plan_buf buf) {
    return buf < b->p->n_bufs ? b->p->buf_width[buf] : 0;
}

float builder_scale(float scale) {
    return scale != 0.0f ? scale : 1.0f;
}

/* A vector's values, NULL where it is absent. Any width but `width` is a mistake. */
const float *builder_vector(plan_builder *b, const weight *w, size_t width) {
    if (!w || !w->data) return NULL;
    if (w->n_rows * w->n_cols != width || w->format != FORMAT_F32)
        builder_fail(b, LEAT_E_STATE, "a norm or bias does not fit its buffer");
    return w->data;
}

stage_norm builder_norm(plan_builder *b, const plan_norm *n, size_t width) {
    stage_norm s = {.w = builder_vector(b, n->w, width), .eps = n->eps, .kind = n->kind};
    if (n->kind == NORM_LAYER) s.bias = builder_vector(b, n->bias, width);
    return s;
}

void plan_embed(plan_builder *b, const plan_embed_step *step) {
    const weight *table = step->table, *positions = step->positions, *kinds = step->kinds;
    stage s = {.n_parts = 1, .part = {{.w = *table, .out = step->x}}, .scale = builder_scale(step->scale)};
    if (builder_width(b, step->x) != table->n_cols)
        builder_fail(b, LEAT_E_STATE, "the embedding does not fit its buffer");
    if (positions && positions->data) {
        s.part[1].w = *positions;
        b->p->n_positions = positions->n_rows;
        if (positions->n_cols != table->n_cols)
            builder_fail(b, LEAT_E_STATE, "the positions do not fit the embedding");
    }
    if (kinds && kinds->data) {
        s.part[2].w = *kinds;
        if (kinds->n_cols != table->n_cols)
            builder_fail(b, LEAT_E_STATE, "the kinds of text do not fit the embedding");
    }
    if (b->p->max_width < table->n_cols) b->p->max_width = table->n_cols;
    builder_one(b, &s, embed_tiles, embed_tile);
    builder_many(b, &s, embed_tiles, embed_tile);
}

/* Rows of a tile of any of the matrices, by the longest rows. */
static size_t tile_rows(const stage *s) {
    size_t all = 0, row_bytes = 1;
    for (uint32_t i = 0; i < s->n_parts; i++) {
        const weight *w = &s->part[i].w;
        all += w->n_rows * w->row_bytes;
        if (w->row_bytes > row_bytes) row_bytes = w->row_bytes;
    }
    size_t bytes = all / TILES_OF_STAGE;
    bytes = bytes < TILE_BYTES ? TILE_BYTES : bytes > TILE_BYTES_MAX ? TILE_BYTES_MAX : bytes;
    size_t rows = bytes / row_bytes / 4 * 4;
    return rows < 4 ? 4 : rows > TILE_ROWS_MAX ? TILE_ROWS_MAX : rows;
}

/* Adds a matrix that reads the stage's input, and what that asks of the input's form. */
void builder_part(plan_builder *b, stage *s, const weight *w, const weight *bias, plan_buf out,
                  size_t out_width) {
    act_kind kind = kernels_form(b->k, w->format).act;
    if (!w->data || w->n_cols != s->width || w->n_rows != out_width || kind == ACT_COUNT) {
        builder_fail(b, LEAT_E_STATE, "a matrix does not fit between its buffers");
        return;
    }
    s->part[s->n_parts++] = (stage_part){.w = *w, .bias = builder_vector(b, bias, w->n_rows), .out = out};
    s->act_kinds |= 1u << kind;
    if (b->p->max_act_cols[kind] < w->n_cols) b->p->max_act_cols[kind] = w->n_cols;
    s->tile_rows = tile_rows(s);
}

stage builder_product(plan_builder *b, plan_buf in, const plan_norm *norm) {
    stage s = {.in = in, .width = builder_width(b, in), .scale = 1.0f};
    s.norm = builder_norm(b, norm, s.width);
    if (b->p->max_width < s.width) b->p->max_width = s.width;
    return s;
}

void plan_linear(plan_builder *b, const plan_linear_step *step) {
    stage s = builder_product(b, step->in, &step->norm);
    s.add = step->add;
    s.scale = builder_scale(step->scale);
    s.activation = step->activation;
    if (s.add ? s.activation != ACTIVATION_NONE : s.scale != 1.0f)
        builder_fail(b, LEAT_E_STATE, "a product is scaled only when added, and then has no activation");
    for (uint32_t i = 0; i < step->n_parts; i++)
        builder_part(b, &s, step->part[i].w, step->part[i].bias, step->part[i].out,
                     builder_width(b, step->part[i].out));
    builder_observe(b, &s);
    builder_one(b, &s, linear_one_tiles, linear_one_tile);
    builder_many(b, &s, prepare_tiles, prepare_tile);
    builder_many(b, &s, linear_many_tiles, linear_many_tile);
}

void plan_gated(plan_builder *b, const plan_gated_step *step) {
    stage s = builder_product(b, step->in, &step->norm);
    s.activation = step->activation;
    if (s.activation != ACTIVATION_SILU && s.activation != ACTIVATION_GELU)
        builder_fail(b, LEAT_E_STATE, "a gate has an activation that it can't have");
    builder_part(b, &s, step->gate, step->gate_bias, step->out, builder_width(b, step->out));
    builder_part(b, &s, step->up, step->up_bias, step->out, builder_width(b, step->out));
    builder_observe(b, &s);
    builder_one(b, &s, gated_one_tiles, gated_one_tile);
    builder_many(b, &s, prepare_tiles, prepare_tile);
    builder_many(b, &s, gated_many_tiles, gated_many_tile);
}

void plan_normalize(plan_builder *b, const plan_normalize_step *step) {
    stage s = builder_product(b, step->in, &step->norm);
    s.add = step->add;
    s.scale = builder_scale(step->scale);
    s.n_parts = 1;
    s.part[0].out = step->out;
    if (builder_width(b, step->out) != s.width)
        builder_fail(b, LEAT_E_STATE, "a norm does not fit between its buffers");
    builder_one(b, &s, normalize_tiles, normalize_tile);
    builder_many(b, &s, normalize_tiles, normalize_tile);
}

stage_norm builder_head_norm(plan_builder *b, const plan_norm *n, size_t heads, size_t dim) {
    bool each = n->w && n->w->data && n->w->n_rows * n->w->n_cols != dim;
    stage_norm s = builder_norm(b, n, each ? heads * dim : dim);
    s.stride = each ? dim : 0;
    return s;
}

void plan_attention(plan_builder *b, const plan_attention_step *step) {
    const hparams *hp = b->p->hp;
    stage s = {.attention = *step};
    plan_attention_step *a = &s.attention;
    if (!a->n_head) a->n_head = hp->n_head;
    if (!a->n_head_kv) a->n_head_kv = hp->n_head_kv;
    if (!a->head_dim_k) a->head_dim_k = hp->head_dim_k;
    if (!a->head_dim_v) a->head_dim_v = hp->head_dim_v;
    const rope_hparams *rope = a->rope == PLAN_ROPE_SWA ? &hp->rope_swa : &hp->rope;
    if (step->layer >= hp->n_layer || (!hp->both_ways && !b->p->kv[step->layer].n_head != !step->shared)) {
        builder_fail(b, LEAT_E_STATE, "there is no such layer, or it has attention already");
        return;
    }
    if (a->n_head % a->n_head_kv || a->n_head / a->n_head_kv > ATTEND_ROWS_MAX ||
        (a->rope != PLAN_ROPE_NONE && (!rope->n_dims || rope->n_dims + a->rope_first > a->head_dim_k)) ||
        builder_width(b, a->q) != (size_t)a->n_head * a->head_dim_k ||
        (!a->shared && builder_width(b, a->k) != (size_t)a->n_head_kv * a->head_dim_k) ||
        (!a->shared && builder_width(b, a->v) != (size_t)a->n_head_kv * a->head_dim_v) ||
        builder_width(b, a->out) != (size_t)a->n_head * a->head_dim_v)
        builder_fail(b, LEAT_E_STATE, "attention does not fit its buffers");
    if (!builder_vector(b, a->sinks, a->n_head)) a->sinks = NULL;
    s.norm = builder_head_norm(b, &a->q_norm, a->n_head, a->head_dim_k);
    s.k_norm = builder_head_norm(b, &a->k_norm, a->n_head_kv, a->head_dim_k);
    kv_shape shape = {.n_head = a->n_head_kv,
                      .dim_k = a->head_dim_k,
                      .dim_v = a->head_dim_v,
                      .window = a->window,
                      .rope = a->rope,
                      .rope_first = a->rope_first};
    if (b->p->hp->both_ways) { /* the cache is for the length of a layer only: all use that of the first */
        a->layer = 0;
        shape.window = 0;
        if (a->sinks || a->shared) builder_fail(b, LEAT_E_STATE, "no sinks where tokens see both ways");
    }
    kv_shape *kept = &b->p->kv[a->layer];
    if (a->norm_rotated && s.k_norm.w) { /* a norm itself goes with any rotation, but its gain does not */
        shape.gain = s.k_norm.w;
        shape.gain_stride = s.k_norm.stride;
        shape.fixed = s.k_norm.kind != NORM_RMS;
    }
    bool again = a->shared || (b->p->hp->both_ways && kept->n_head);
    if (again && (kept->n_head != shape.n_head || kept->dim_k != shape.dim_k || kept->dim_v != shape.dim_v ||
                  kept->window != shape.window))
        builder_fail(b, LEAT_E_STATE, "a layer does not fit the cache that it shares");
    if (!a->shared) *kept = shape;
    builder_one(b, &s, attention_one_tiles, attention_one_tile);
    builder_many(b, &s, append_tiles, append_tile);
    builder_many(b, &s, attention_many_tiles, attention_many_tile);
}

void plan_hidden(plan_builder *b, plan_buf x, plan_norm norm) {
    b->p->hidden = plan_buffer(b, builder_width(b, x));
    if (!b->p->embeds) builder_fail(b, LEAT_E_STATE, "a model without an output is to make text");
    plan_normalize(b, &(plan_normalize_step){.in = x, .out = b->p->hidden, .norm = norm});
}

void plan_output(plan_builder *b, const plan_output_step *step) {
    if (b->p->embeds) {
        plan_hidden(b, step->x, step->norm);
        return;
    }
    stage s = builder_product(b, step->x, &step->norm);
    s.output = true;
    s.scale = builder_scale(step->scale);
    s.softcap = step->softcap;
    builder_part(b, &s, step->w, step->bias, 0, b->p->hp->n_vocab);
    builder_observe(b, &s);
    builder_one(b, &s, linear_one_tiles, linear_one_tile);
    builder_many(b, &s, linear_one_tiles,
                 linear_one_tile); /* one token's logits, the usual case after a prompt */
    builder_many(b, &s, prepare_tiles, prepare_tile);
    builder_many(b, &s, linear_many_tiles, linear_many_tile);
}

leat_status plan_compile(const arch *a, const hparams *hp, const void *weights, const void *layers,
                         const kernels *k, bool embeds, struct observer *o, plan *out, leat_error *e) {
    *out = (plan){.hp = hp, .embeds = embeds, .observed = o, .kv = mem_alloc(hp->n_layer, sizeof *out->kv)};
    plan_builder b = {.p = out, .k = k, .observer = o, .e = e};
    if (!out->kv) return error_set(e, LEAT_E_NOMEM, "out of memory for a plan");
    a->build(&b, hp, weights, layers);
    if (b.status) plan_free(out);
    return b.status;
}

/* Walks the stages and not the layers of the cache, since layers may read the cache of another. */
uint64_t plan_reads(const plan *p, const kv_cache *kv, size_t length) {
    uint64_t sum = p->state_floats * sizeof(float);
    for (size_t i = 0; i < p->n_one; i++) {
        const stage *s = &p->one[i];
        bool attends = s->tile == attention_one_tile;
        if (!attends && s->tile != latent_attend_tile) continue;
        const kv_layer *l = &kv->layer[attends ? s->attention.layer : s->latent.layer];
        size_t seen = l->window && l->window <= length ? l->window : length + 1;
        sum += (uint64_t)l->n_head * seen * (l->k_row + l->v_row);
    }
    return sum;
}

void plan_free(plan *p) {
    mem_free(p->one);
    mem_free(p->many);
    mem_free(p->buf_width);
    mem_free(p->kv);
    *p = (plan){0};
}

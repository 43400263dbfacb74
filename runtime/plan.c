/* The builder: turns an architecture's steps into the two stage lists of a plan, checks that the steps fit
 * together, and measures the memory a pass needs. A mistake in an architecture file is remembered and
 * reported by plan_compile. */
#include <string.h>

#include "loader/alloc.h"
#include "stage.h"

struct plan_builder {
    plan *p;
    size_t cap_one, cap_many, cap_bufs;
    leat_status status;
    leat_error *e;
};

/* Bytes of weights in a tile of a one-token stage: a few microseconds of memory traffic, so that taking tiles
 * costs nothing and workers finish together. */
enum { TILE_BYTES = 48 << 10 };

static void fail(plan_builder *b, leat_status s, const char *what) {
    if (!b->status) b->status = error_set(b->e, s, "plan: %s", what);
}

/* Grows an array to hold one more; returns the new last element, zeroed, or NULL. */
static void *grow(plan_builder *b, void **array, size_t *n, size_t *cap, size_t size) {
    if (b->status) return NULL;
    if (*n == *cap) {
        size_t more = *cap ? *cap * 2 : 32;
        void *p = *array ? mem_resize(*array, *cap, more, size) : mem_alloc(more, size);
        if (!p) {
            fail(b, LEAT_E_NOMEM, "out of memory");
            return NULL;
        }
        *array = p;
        *cap = more;
    }
    return (char *)*array + (*n)++ * size;
}

static void add_one(plan_builder *b, const stage *s, stage_tiles_fn *tiles, stage_tile_fn *tile) {
    stage *to = grow(b, (void **)&b->p->one, &b->p->n_one, &b->cap_one, sizeof *to);
    if (!to) return;
    *to = *s;
    to->tiles = tiles;
    to->tile = tile;
}

static void add_many(plan_builder *b, const stage *s, stage_tiles_fn *tiles, stage_tile_fn *tile) {
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

static size_t width_of(const plan_builder *b, plan_buf buf) {
    return buf < b->p->n_bufs ? b->p->buf_width[buf] : 0;
}

static float or_one(float scale) {
    return scale != 0.0f ? scale : 1.0f;
}

/* A vector's values, NULL where it is absent. Any width but `width` is a mistake. */
static const float *vector(plan_builder *b, const weight *w, size_t width) {
    if (!w || !w->data) return NULL;
    if (w->n_rows * w->n_cols != width || w->format != FORMAT_F32)
        fail(b, LEAT_E_STATE, "a norm or bias does not fit its buffer");
    return w->data;
}

static stage_norm norm_of(plan_builder *b, const plan_norm *n, size_t width) {
    stage_norm s = {.w = vector(b, n->w, width), .eps = n->eps, .kind = n->kind};
    if (n->kind == NORM_LAYER) s.bias = vector(b, n->bias, width);
    return s;
}

void plan_embed(plan_builder *b, const plan_embed_step *step) {
    const weight *table = step->table, *positions = step->positions;
    stage s = {.n_parts = 1, .part = {{.w = *table, .out = step->x}}, .scale = or_one(step->scale)};
    if (width_of(b, step->x) != table->n_cols) fail(b, LEAT_E_STATE, "the embedding does not fit its buffer");
    if (positions && positions->data) {
        s.part[s.n_parts++] = (stage_part){.w = *positions};
        s.width = table->n_cols;
        if (b->p->max_width < s.width) b->p->max_width = s.width;
        b->p->n_positions = positions->n_rows;
        if (positions->n_cols != table->n_cols)
            fail(b, LEAT_E_STATE, "the positions do not fit the embedding");
    }
    add_one(b, &s, embed_tiles, embed_tile);
    add_many(b, &s, embed_tiles, embed_tile);
}

/* Adds a matrix that reads the stage's input, and what that asks of the input's form. */
static void add_part(plan_builder *b, stage *s, const weight *w, const weight *bias, plan_buf out,
                     size_t out_width) {
    act_kind kind = kernels_traits(w->format).act;
    if (!w->data || w->n_cols != s->width || w->n_rows != out_width || kind == ACT_COUNT) {
        fail(b, LEAT_E_STATE, "a matrix does not fit between its buffers");
        return;
    }
    s->part[s->n_parts++] = (stage_part){.w = *w, .bias = vector(b, bias, w->n_rows), .out = out};
    s->act_kinds |= 1u << kind;
    if (b->p->max_act_cols[kind] < w->n_cols) b->p->max_act_cols[kind] = w->n_cols;
    size_t rows = TILE_BYTES / w->row_bytes / 4 * 4;
    if (rows < 4) rows = 4;
    if (rows > TILE_ROWS_MAX) rows = TILE_ROWS_MAX;
    if (!s->tile_rows || rows < s->tile_rows) s->tile_rows = rows;
}

static stage product(plan_builder *b, plan_buf in, const plan_norm *norm) {
    stage s = {.in = in, .width = width_of(b, in), .scale = 1.0f};
    s.norm = norm_of(b, norm, s.width);
    if (b->p->max_width < s.width) b->p->max_width = s.width;
    return s;
}

void plan_linear(plan_builder *b, const plan_linear_step *step) {
    stage s = product(b, step->in, &step->norm);
    s.add = step->add;
    s.scale = or_one(step->scale);
    s.activation = step->activation;
    if (s.add ? s.activation != ACTIVATION_NONE : s.scale != 1.0f)
        fail(b, LEAT_E_STATE, "a product is scaled only when added, and then has no activation");
    for (uint32_t i = 0; i < step->n_parts; i++)
        add_part(b, &s, step->part[i].w, step->part[i].bias, step->part[i].out,
                 width_of(b, step->part[i].out));
    add_one(b, &s, linear_one_tiles, linear_one_tile);
    add_many(b, &s, prepare_tiles, prepare_tile);
    add_many(b, &s, linear_many_tiles, linear_many_tile);
}

void plan_gated(plan_builder *b, const plan_gated_step *step) {
    stage s = product(b, step->in, &step->norm);
    s.activation = step->activation;
    if (s.activation != ACTIVATION_SILU && s.activation != ACTIVATION_GELU)
        fail(b, LEAT_E_STATE, "a gate has an activation that it can't have");
    add_part(b, &s, step->gate, step->gate_bias, step->out, width_of(b, step->out));
    add_part(b, &s, step->up, step->up_bias, step->out, width_of(b, step->out));
    add_one(b, &s, gated_one_tiles, gated_one_tile);
    add_many(b, &s, prepare_tiles, prepare_tile);
    add_many(b, &s, gated_many_tiles, gated_many_tile);
}

void plan_normalize(plan_builder *b, const plan_normalize_step *step) {
    stage s = product(b, step->in, &step->norm);
    s.add = step->add;
    s.scale = or_one(step->scale);
    s.n_parts = 1;
    s.part[0].out = step->out;
    if (width_of(b, step->out) != s.width) fail(b, LEAT_E_STATE, "a norm does not fit between its buffers");
    add_one(b, &s, normalize_tiles, normalize_tile);
    add_many(b, &s, normalize_tiles, normalize_tile);
}

/* The norm of heads, whose gain may be one for all or one for each. */
static stage_norm head_norm(plan_builder *b, const plan_norm *n, size_t heads, size_t dim) {
    bool each = n->w && n->w->data && n->w->n_rows * n->w->n_cols != dim;
    stage_norm s = norm_of(b, n, each ? heads * dim : dim);
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
    if (step->layer >= hp->n_layer || b->p->kv[step->layer].n_head) {
        fail(b, LEAT_E_STATE, "there is no such layer, or it has attention already");
        return;
    }
    if (a->n_head % a->n_head_kv || a->n_head / a->n_head_kv > ATTEND_ROWS_MAX ||
        (a->rope != PLAN_ROPE_NONE && (!rope->n_dims || rope->n_dims > a->head_dim_k)) ||
        width_of(b, a->q) != (size_t)a->n_head * a->head_dim_k ||
        width_of(b, a->k) != (size_t)a->n_head_kv * a->head_dim_k ||
        width_of(b, a->v) != (size_t)a->n_head_kv * a->head_dim_v ||
        width_of(b, a->out) != (size_t)a->n_head * a->head_dim_v)
        fail(b, LEAT_E_STATE, "attention does not fit its buffers");
    s.norm = head_norm(b, &a->q_norm, a->n_head, a->head_dim_k);
    s.k_norm = head_norm(b, &a->k_norm, a->n_head_kv, a->head_dim_k);
    b->p->kv[step->layer] = (kv_shape){
        .n_head = a->n_head_kv, .dim_k = a->head_dim_k, .dim_v = a->head_dim_v, .window = a->window};
    add_one(b, &s, attention_one_tiles, attention_one_tile);
    add_many(b, &s, append_tiles, append_tile);
    add_many(b, &s, attention_many_tiles, attention_many_tile);
}

void plan_output(plan_builder *b, const plan_output_step *step) {
    stage s = product(b, step->x, &step->norm);
    s.output = true;
    s.scale = or_one(step->scale);
    s.softcap = step->softcap;
    add_part(b, &s, step->w, step->bias, 0, b->p->hp->n_vocab);
    add_one(b, &s, linear_one_tiles, linear_one_tile);
    add_many(b, &s, linear_one_tiles,
             linear_one_tile); /* one token's logits, the usual case after a prompt */
    add_many(b, &s, prepare_tiles, prepare_tile);
    add_many(b, &s, linear_many_tiles, linear_many_tile);
}

leat_status plan_compile(const arch *a, const hparams *hp, const void *weights, const void *layers, plan *out,
                         leat_error *e) {
    *out = (plan){.hp = hp, .kv = mem_alloc(hp->n_layer, sizeof *out->kv)};
    plan_builder b = {.p = out, .e = e};
    if (!out->kv) return error_set(e, LEAT_E_NOMEM, "out of memory for a plan");
    a->build(&b, hp, weights, layers);
    if (b.status) plan_free(out);
    return b.status;
}

void plan_free(plan *p) {
    mem_free(p->one);
    mem_free(p->many);
    mem_free(p->buf_width);
    mem_free(p->kv);
    *p = (plan){0};
}

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

void plan_embed(plan_builder *b, const weight *table, plan_buf x) {
    stage s = {.n_parts = 1, .part = {{.w = *table, .out = x}}};
    if (width_of(b, x) != table->n_cols) fail(b, LEAT_E_STATE, "the embedding does not fit its buffer");
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
    s->part[s->n_parts++] = (stage_part){.w = *w, .bias = bias ? bias->data : NULL, .out = out};
    s->act_kinds |= 1u << kind;
    if (b->p->max_act_cols[kind] < w->n_cols) b->p->max_act_cols[kind] = w->n_cols;
    size_t rows = TILE_BYTES / w->row_bytes / 4 * 4;
    if (rows < 4) rows = 4;
    if (rows > TILE_ROWS_MAX) rows = TILE_ROWS_MAX;
    if (!s->tile_rows || rows < s->tile_rows) s->tile_rows = rows;
}

static stage product(plan_builder *b, plan_buf in, plan_norm norm) {
    stage s = {.in = in, .norm = norm.w ? norm.w->data : NULL, .eps = norm.eps, .width = width_of(b, in)};
    if (b->p->max_width < s.width) b->p->max_width = s.width;
    return s;
}

void plan_linear(plan_builder *b, const plan_linear_step *step) {
    stage s = product(b, step->in, step->norm);
    s.add = step->add;
    for (uint32_t i = 0; i < step->n_parts; i++)
        add_part(b, &s, step->part[i].w, step->part[i].bias, step->part[i].out,
                 width_of(b, step->part[i].out));
    add_one(b, &s, linear_one_tiles, linear_one_tile);
    add_many(b, &s, prepare_tiles, prepare_tile);
    add_many(b, &s, linear_many_tiles, linear_many_tile);
}

void plan_gated(plan_builder *b, const plan_gated_step *step) {
    stage s = product(b, step->in, step->norm);
    add_part(b, &s, step->gate, NULL, step->out, width_of(b, step->out));
    add_part(b, &s, step->up, NULL, step->out, width_of(b, step->out));
    add_one(b, &s, gated_one_tiles, gated_one_tile);
    add_many(b, &s, prepare_tiles, prepare_tile);
    add_many(b, &s, gated_many_tiles, gated_many_tile);
}

void plan_attention(plan_builder *b, const plan_attention_step *step) {
    const hparams *hp = b->p->hp;
    stage s = {.attention = *step};
    if (step->layer >= hp->n_layer || width_of(b, step->q) != (size_t)hp->n_head * hp->head_dim_k ||
        width_of(b, step->k) != (size_t)hp->n_head_kv * hp->head_dim_k ||
        width_of(b, step->v) != (size_t)hp->n_head_kv * hp->head_dim_v ||
        width_of(b, step->out) != (size_t)hp->n_head * hp->head_dim_v)
        fail(b, LEAT_E_STATE, "attention does not fit its buffers");
    add_one(b, &s, attention_one_tiles, attention_one_tile);
    add_many(b, &s, append_tiles, append_tile);
    add_many(b, &s, attention_many_tiles, attention_many_tile);
}

void plan_output(plan_builder *b, plan_buf x, plan_norm norm, const weight *w) {
    stage s = product(b, x, norm);
    s.output = true;
    add_part(b, &s, w, NULL, 0, b->p->hp->n_vocab);
    add_one(b, &s, linear_one_tiles, linear_one_tile);
    add_many(b, &s, linear_one_tiles,
             linear_one_tile); /* one token's logits, the usual case after a prompt */
    add_many(b, &s, prepare_tiles, prepare_tile);
    add_many(b, &s, linear_many_tiles, linear_many_tile);
}

leat_status plan_compile(const arch *a, const hparams *hp, const void *weights, const void *layers, plan *out,
                         leat_error *e) {
    *out = (plan){.hp = hp};
    plan_builder b = {.p = out, .e = e};
    a->build(&b, hp, weights, layers);
    if (b.status) plan_free(out);
    return b.status;
}

void plan_free(plan *p) {
    mem_free(p->one);
    mem_free(p->many);
    mem_free(p->buf_width);
    *p = (plan){0};
}

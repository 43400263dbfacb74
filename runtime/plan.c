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

/* A buffer shared by all steps with experts: as wide as the widest of them needs. */
static void widen(plan_builder *b, plan_buf *buf, size_t width) {
    if (!*buf) *buf = plan_buffer(b, width);
    if (!b->status && b->p->buf_width[*buf] < width) b->p->buf_width[*buf] = width;
}

static void raise(size_t *limit, size_t value) {
    if (*limit < value) *limit = value;
}

/* Notes what a matrix of a step with experts asks of its input's form; false if it does not fit. */
static bool moe_matrix(plan_builder *b, const weight *w, size_t rows, size_t cols, unsigned *kinds,
                       size_t limits[ACT_COUNT]) {
    act_kind kind = w->data ? kernels_traits(w->format).act : ACT_COUNT;
    if (kind == ACT_COUNT || w->n_rows != rows || w->n_cols != cols) {
        fail(b, LEAT_E_STATE, "a matrix of an expert does not fit between its buffers");
        return false;
    }
    *kinds |= 1u << kind;
    raise(&limits[kind], cols);
    raise(&b->p->max_act_cols[kind], cols);
    return true;
}

static const weight *present(const weight *w) {
    return w && w->data ? w : NULL;
}

/* Rows of a one-token tile of a matrix whose rows are read `times` times, each for another expert. */
static size_t moe_tile_rows(const weight *w, size_t times) {
    size_t rows = TILE_BYTES / (w->row_bytes * times) / 4 * 4;
    return rows < 4 ? 4 : rows > TILE_ROWS_MAX ? TILE_ROWS_MAX : rows;
}

void plan_moe(plan_builder *b, const plan_moe_step *step) {
    plan *p = b->p;
    moe_limits *l = &p->moe;
    stage s = product(b, step->in, step->norm), route;
    plan_moe_step *m = &s.moe;
    const moe_routing *r = &step->routing;
    size_t n_ff = step->gate->w.n_rows, width = s.width, out = width_of(b, step->out);
    unsigned inner = 0;
    *m = *step;
    const weight **const optional[] = {&m->router_bias, &m->select_bias, &m->gate_bias,
                                       &m->up_bias,     &m->down_bias,   &m->shared_gate,
                                       &m->shared_up,   &m->shared_down, &m->shared_router};
    for (size_t i = 0; i < sizeof optional / sizeof *optional; i++) *optional[i] = present(*optional[i]);
    if (r->n_expert > MOE_EXPERTS_MAX || r->n_used > MOE_USED_MAX || r->n_used > r->n_expert || !r->n_used)
        fail(b, LEAT_E_STATE, "more experts than a stage can route to");
    /* the router first: it is the only product of the first stage of one token */
    route = s;
    add_part(b, &route, m->router, m->router_bias, 0, r->n_expert);
    if (m->shared_router) add_part(b, &route, m->shared_router, NULL, 0, 1);
    bool fits = moe_matrix(b, &m->gate->w, n_ff, width, &s.act_kinds, l->in_cols) &&
                moe_matrix(b, &m->up->w, n_ff, width, &s.act_kinds, l->in_cols) &&
                moe_matrix(b, &m->down->w, out, n_ff, &inner, l->act_cols);
    if (fits && m->shared_gate) {
        size_t n_shared = m->shared_gate->n_rows;
        fits = m->shared_up && m->shared_down &&
               moe_matrix(b, m->shared_gate, n_shared, width, &s.act_kinds, l->in_cols) &&
               moe_matrix(b, m->shared_up, n_shared, width, &s.act_kinds, l->in_cols) &&
               moe_matrix(b, m->shared_down, out, n_shared, &inner, l->shared_cols);
        widen(b, &l->shared, n_shared);
    }
    if (!fits || b->status) {
        fail(b, LEAT_E_STATE, "the experts do not fit their buffers");
        return;
    }
    widen(b, &l->hidden, r->n_used * buf_stride(n_ff));
    widen(b, &l->router, r->n_expert);
    widen(b, &l->share, 1);
    if (l->n_expert < r->n_expert) l->n_expert = r->n_expert;
    if (l->n_used < r->n_used) l->n_used = r->n_used;
    route.part[0].out = l->router;
    route.part[1].out = l->share;
    s.tile_rows = moe_tile_rows(&m->gate->w, 1);

    add_one(b, &route, linear_one_tiles, linear_one_tile);
    add_one(b, &s, moe_gate_one_tiles, moe_gate_one_tile);
    stage prepare = s;
    prepare.act_kinds |= route.act_kinds;
    add_many(b, &prepare, prepare_tiles, prepare_tile);
    add_many(b, &s, moe_route_tiles, moe_route_tile);
    add_many(b, &s, moe_group_tiles, moe_group_tile);
    add_many(b, &s, moe_gate_many_tiles, moe_gate_many_tile);
    add_many(b, &s, moe_prepare_tiles, moe_prepare_tile);
    s.tile_rows = moe_tile_rows(&m->down->w, r->n_used);
    add_one(b, &s, moe_down_one_tiles, moe_down_one_tile);
    add_many(b, &s, moe_down_many_tiles, moe_down_many_tile);
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

/* The builder's step for mixtures of experts; the others are in plan.c. */
#include "builder.h"

/* A buffer shared by all steps with experts: as wide as the widest of them needs. */
void builder_widen(plan_builder *b, plan_buf *buf, size_t width) {
    if (!*buf) *buf = plan_buffer(b, width);
    if (!b->status && b->p->buf_width[*buf] < width) b->p->buf_width[*buf] = width;
}

void builder_raise(size_t *limit, size_t value) {
    if (*limit < value) *limit = value;
}

/* Notes what a matrix of a step with experts asks of its input's form; false if it does not fit. */
static bool moe_matrix(plan_builder *b, const weight *w, size_t rows, size_t cols, unsigned *kinds,
                       size_t limits[ACT_COUNT]) {
    act_kind kind = w->data ? kernels_form(b->k, w->format).act : ACT_COUNT;
    if (kind == ACT_COUNT || w->n_rows != rows || w->n_cols != cols) {
        builder_fail(b, LEAT_E_STATE, "a matrix of an expert does not fit between its buffers");
        return false;
    }
    *kinds |= 1u << kind;
    builder_raise(&limits[kind], cols);
    builder_raise(&b->p->max_act_cols[kind], cols);
    return true;
}

static const weight *present(const weight *w) {
    return w && w->data ? w : NULL;
}

/* Rows of a one-token tile of a stage that reads so many matrices of w's kind: of one expert each, or the
 * same rows of all that a token uses. Tiles are even, and of the size that builder.h gives reasons for. */
static size_t moe_tile_rows(const weight *w, size_t matrices, size_t of_tile) {
    size_t bytes = w->row_bytes * w->n_rows * matrices / TILES_OF_STAGE;
    bytes = bytes < TILE_BYTES ? TILE_BYTES : bytes > TILE_BYTES_MAX ? TILE_BYTES_MAX : bytes;
    size_t rows = bytes / (w->row_bytes * of_tile);
    if (!rows) rows = 1;
    size_t tiles = (w->n_rows + rows - 1) / rows;
    rows = ((w->n_rows + tiles - 1) / tiles + 3) / 4 * 4;
    return rows > TILE_ROWS_MAX ? TILE_ROWS_MAX : rows;
}

void plan_moe(plan_builder *b, const plan_moe_step *step) {
    plan *p = b->p;
    moe_limits *l = &p->moe;
    stage s = builder_product(b, step->in, &step->norm), route;
    plan_moe_step *m = &s.moe;
    const moe_routing *r = &step->routing;
    size_t n_ff = step->gate->w.n_rows, width = s.width, out = builder_width(b, step->out);
    unsigned inner = 0;
    *m = *step;
    if (m->plain && ((m->gate_bias && m->gate_bias->data) || (m->up_bias && m->up_bias->data)))
        builder_fail(b, LEAT_E_STATE, "experts without a gate have no biases");
    const weight **const optional[] = {&m->router_bias,   &m->select_bias, &m->gate_bias, &m->up_bias,
                                       &m->down_bias,     &m->shared_gate, &m->shared_up, &m->shared_down,
                                       &m->shared_router, &m->expert_scale};
    for (size_t i = 0; i < sizeof optional / sizeof *optional; i++) *optional[i] = present(*optional[i]);
    if (r->n_expert > MOE_EXPERTS_MAX || r->n_used > MOE_USED_MAX || r->n_used > r->n_expert || !r->n_used)
        builder_fail(b, LEAT_E_STATE, "more experts than a stage can route to");
    /* the router first: it is the only product of the first stage of one token */
    bool apart = step->router_norm.w && step->router_norm.w->data;
    route = s;
    if (apart) route.norm = builder_norm(b, &step->router_norm, width);
    builder_part(b, &route, m->router, m->router_bias, 0, r->n_expert);
    if (m->shared_router) builder_part(b, &route, m->shared_router, NULL, 0, 1);
    bool fits = moe_matrix(b, &m->gate->w, n_ff, width, &s.act_kinds, p->gather_cols) &&
                moe_matrix(b, &m->up->w, n_ff, width, &s.act_kinds, p->gather_cols) &&
                moe_matrix(b, &m->down->w, out, n_ff, &inner, l->act_cols);
    if (fits && m->shared_gate) {
        size_t n_shared = m->shared_gate->n_rows;
        fits = m->shared_up && m->shared_down &&
               moe_matrix(b, m->shared_gate, n_shared, width, &s.act_kinds, p->gather_cols) &&
               moe_matrix(b, m->shared_up, n_shared, width, &s.act_kinds, p->gather_cols) &&
               moe_matrix(b, m->shared_down, out, n_shared, &inner, l->shared_cols);
        builder_widen(b, &l->shared, n_shared);
    }
    if (!fits || b->status) {
        builder_fail(b, LEAT_E_STATE, "the experts do not fit their buffers");
        return;
    }
    builder_widen(b, &l->hidden, r->n_used * buf_stride(n_ff));
    builder_widen(b, &l->router, r->n_expert);
    builder_widen(b, &l->share, 1);
    if (l->n_expert < r->n_expert) l->n_expert = r->n_expert;
    if (l->n_used < r->n_used) l->n_used = r->n_used;
    route.part[0].out = l->router;
    route.part[1].out = l->share;
    s.tile_rows = moe_tile_rows(&m->gate->w, 2 * r->n_used, 2);

    builder_one(b, &route, linear_one_tiles, linear_one_tile);
    builder_one(b, &s, moe_gate_one_tiles, moe_gate_one_tile);
    stage prepare = apart ? route : s;
    if (apart) prepare.act_kinds = 0;
    prepare.matvec_kinds = route.act_kinds;
    builder_observe(b, &route);
    builder_many(b, &prepare, prepare_tiles, prepare_tile);
    builder_many(b, &s, moe_route_tiles, moe_route_tile);
    builder_many(b, &s, moe_group_tiles, moe_group_tile);
    builder_observe_experts(b, &s);
    if (apart) builder_many(b, &s, prepare_tiles, prepare_tile);
    builder_many(b, &s, moe_gate_many_tiles, moe_gate_many_tile);
    builder_observe_hidden(b, &s);
    builder_many(b, &s, moe_prepare_tiles, moe_prepare_tile);
    s.tile_rows = moe_tile_rows(&m->down->w, r->n_used, r->n_used);
    builder_one(b, &s, moe_down_one_tiles, moe_down_one_tile);
    builder_many(b, &s, moe_down_many_tiles, moe_down_many_tile);
}

/* Summing the squares of what goes into products (observe.h): the builder's part, which puts these stages
 * before the products they look at, and their tiles. A tile is some columns of one matrix's input, for all
 * tokens of the pass in their order, so that no sum is split between workers. */
#include "builder.h"
#include "observe.h"

enum { OBSERVE_COLUMNS = 64 };

/* ---- the builder's part ---- */

static observe_site *add_site(plan_builder *b, size_t n_mat, size_t n_cols, bool experts) {
    observe_site *site = b->status ? NULL : observer_add(b->observer, n_mat, n_cols, experts);
    if (!site) builder_fail(b, LEAT_E_NOMEM, "out of memory for sums of inputs");
    return site;
}

static void use(plan_builder *b, const observe_site *site, const weight *w) {
    if (site && w && w->data && !observer_use(b->observer, site, w))
        builder_fail(b, LEAT_E_NOMEM, "out of memory for sums of inputs");
}

/* The normed input as floats, all tokens of it. */
static void prepare_floats(plan_builder *b, const stage *s) {
    stage floats = *s;
    floats.output = false;
    floats.act_kinds = 1u << ACT_F32;
    floats.matvec_kinds = 0;
    builder_raise(&b->p->max_act_cols[ACT_F32], s->width);
    builder_many(b, &floats, prepare_tiles, prepare_tile);
}

static void observe_rows(plan_builder *b, const stage *s, observe_site *site, stage_tile_fn *tile) {
    stage watch = *s;
    watch.observe.site = site;
    if (site) builder_many(b, &watch, observe_tiles, tile);
}

void builder_observe(plan_builder *b, const stage *s) {
    if (!b->observer) return;
    observe_site *site = add_site(b, 1, s->width, false);
    for (uint32_t i = 0; i < s->n_parts; i++) use(b, site, &s->part[i].w);
    prepare_floats(b, s);
    observe_rows(b, s, site, observe_tile);
}

void builder_observe_experts(plan_builder *b, const stage *s) {
    const plan_moe_step *m = &s->moe;
    if (!b->observer) return;
    observe_site *site = add_site(b, m->routing.n_expert, s->width, true);
    use(b, site, &m->gate->w);
    use(b, site, &m->up->w);
    prepare_floats(b, s);
    observe_rows(b, s, site, observe_experts_tile);
    if (!m->shared_gate) return;
    site = add_site(b, 1, s->width, false);
    use(b, site, m->shared_gate);
    use(b, site, m->shared_up);
    observe_rows(b, s, site, observe_tile);
}

void builder_observe_hidden(plan_builder *b, const stage *s) {
    const plan_moe_step *m = &s->moe;
    if (!b->observer) return;
    observe_site *site = add_site(b, m->routing.n_expert, m->down->w.n_cols, true);
    use(b, site, &m->down->w);
    observe_rows(b, s, site, observe_hidden_tile);
    if (!m->shared_down) return;
    stage shared = *s;
    shared.in = b->p->moe.shared;
    shared.observe.stride = m->shared_down->n_cols;
    shared.observe.row = buf_stride(m->shared_down->n_cols);
    site = add_site(b, 1, m->shared_down->n_cols, false);
    use(b, site, m->shared_down);
    observe_rows(b, &shared, site, observe_heads_tile);
}

void builder_observe_heads(plan_builder *b, plan_buf in, size_t stride, const expert_weight *w,
                           size_t n_head) {
    if (!b->observer) return;
    stage s = {.in = in, .observe = {.stride = stride, .row = buf_stride(builder_width(b, in))}};
    observe_site *site = add_site(b, n_head, w->w.n_cols, false);
    use(b, site, &w->w);
    observe_rows(b, &s, site, observe_heads_tile);
}

/* ---- tiles ---- */

static size_t blocks_of(const observe_site *site) {
    return (site->n_cols + OBSERVE_COLUMNS - 1) / OBSERVE_COLUMNS;
}

size_t observe_tiles(const stage *s, const run *r) {
    (void)r;
    return s->observe.site->n_mat * blocks_of(s->observe.site);
}

/* What a tile sums into. */
typedef struct columns {
    size_t mat, first, n;
    double *sums; /* (n) */
} columns;

static columns columns_of(const stage *s, size_t tile, size_t n_rows) {
    observe_site *site = s->observe.site;
    columns c = {.mat = tile / blocks_of(site), .first = tile % blocks_of(site) * OBSERVE_COLUMNS};
    c.n = site->n_cols - c.first < OBSERVE_COLUMNS ? site->n_cols - c.first : OBSERVE_COLUMNS;
    c.sums = site->sums + c.mat * site->n_cols + c.first;
    if (!c.first) site->count[c.mat] += n_rows;
    return c;
}

static void add_squares(const columns *c, const float *x) {
    for (size_t i = 0; i < c->n; i++) c->sums[i] += (double)x[i] * (double)x[i];
}

static const float *prepared(const stage *s, const run *r, size_t token) {
    return (const float *)(const void *)(r->act[ACT_F32] + token * act_row_bytes(ACT_F32, s->width));
}

void observe_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    columns c = columns_of(s, tile, r->n_tokens);
    (void)w;
    for (size_t t = 0; t < r->n_tokens; t++) add_squares(&c, prepared(s, r, t) + c.first);
}

void observe_experts_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    size_t expert = tile / blocks_of(s->observe.site);
    size_t entry = r->moe.first[expert], end = r->moe.first[expert + 1];
    columns c = columns_of(s, tile, end - entry);
    (void)w;
    for (; entry < end; entry++) add_squares(&c, prepared(s, r, r->moe.token[entry]) + c.first);
}

void observe_hidden_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    size_t expert = tile / blocks_of(s->observe.site), stride = buf_stride(s->observe.site->n_cols);
    size_t entry = r->moe.first[expert], end = r->moe.first[expert + 1];
    columns c = columns_of(s, tile, end - entry);
    (void)w;
    for (; entry < end; entry++) add_squares(&c, r->buf[r->plan->moe.hidden] + entry * stride + c.first);
}

void observe_heads_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    columns c = columns_of(s, tile, r->n_tokens);
    (void)w;
    for (size_t t = 0; t < r->n_tokens; t++)
        add_squares(&c, r->buf[s->in] + t * s->observe.row + c.mat * s->observe.stride + c.first);
}

/* Mixture of experts, one token: only the experts it uses are read. All of them, and the shared one, are the
 * tiles of one stage, so that all workers stream weights until the last row. Each worker routes for itself (a
 * microsecond): nothing is handed around. */
#include <math.h>
#include <string.h>

#include "stage.h"
#include "stage_moe.h"

static size_t tiles_of(size_t n, size_t each) {
    return (n + each - 1) / each;
}

/* Norms, quantizes and routes, once per stage. */
static void prepare(const stage *s, const run *r, scratch *w) {
    const plan_moe_step *m = &s->moe;
    if (!prepare_one(s, r, w, 0)) return;
    moe_choose(m, r->buf[r->plan->moe.router], &w->moe.choice);
}

static void multiply(const run *r, const weight *m, size_t expert_offset, size_t row, size_t n,
                     const void *act, float *y) {
    multiply_rows(r->k, m->format, (const char *)m->data + expert_offset + row * m->row_bytes, m->row_bytes,
                  n, m->n_cols, act, y);
}

size_t moe_gate_one_tiles(const stage *s, const run *r) {
    const plan_moe_step *m = &s->moe;
    (void)r;
    return m->routing.n_used * tiles_of(m->gate->w.n_rows, s->tile_rows) +
           (m->shared_gate ? tiles_of(m->shared_gate->n_rows, s->tile_rows) : 0);
}

void moe_gate_one_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    const plan_moe_step *m = &s->moe;
    size_t per_expert = tiles_of(m->gate->w.n_rows, s->tile_rows), slot = tile / per_expert;
    prepare(s, r, w);
    bool shared = slot >= m->routing.n_used;
    const weight *gate = shared ? m->shared_gate : &m->gate->w, *up = shared ? m->shared_up : &m->up->w;
    size_t expert = shared ? 0 : w->moe.choice.expert[slot];
    size_t row = (tile - (shared ? m->routing.n_used : slot) * per_expert) * s->tile_rows,
           n = gate->n_rows - row;
    if (n > s->tile_rows) n = s->tile_rows;
    float *out = (shared ? r->buf[r->plan->moe.shared]
                         : r->buf[r->plan->moe.hidden] + slot * buf_stride(gate->n_rows)) +
                 row;
    multiply(r, gate, shared ? 0 : expert * m->gate->stride, row, n,
             w->act[kernels_form(r->k, gate->format).act], out);
    if (m->plain && !shared) {
        stage_activate(r, m->activation, out, n);
        return;
    }
    multiply(r, up, shared ? 0 : expert * m->up->stride, row, n, w->act[kernels_form(r->k, up->format).act],
             w->tile);
    if (shared)
        stage_gate(r, m->activation, out, w->tile, n);
    else
        moe_activate(m, r, expert, row, n, out, w->tile);
}

size_t moe_down_one_tiles(const stage *s, const run *r) {
    (void)r;
    return tiles_of(s->moe.down->w.n_rows, s->tile_rows);
}

/* The inner activations of all experts in the form that their down matrices want, once per stage. */
static void prepare_down(const stage *s, const run *r, scratch *w) {
    const plan_moe_step *m = &s->moe;
    const weight *down = &m->down->w;
    act_kind kind = kernels_form(r->k, down->format).act;
    if (w->prepared == s) return;
    w->prepared = s;
    moe_choose(m, r->buf[r->plan->moe.router], &w->moe.choice);
    for (size_t j = 0; j < m->routing.n_used; j++)
        stage_quantize(r, kind, r->buf[r->plan->moe.hidden] + j * buf_stride(down->n_cols), down->n_cols,
                       w->moe.act[kind] + j * act_row_bytes(kind, down->n_cols));
    if (m->shared_down) {
        act_kind shared = kernels_form(r->k, m->shared_down->format).act;
        stage_quantize(r, shared, r->buf[r->plan->moe.shared], m->shared_down->n_cols, w->act[shared]);
    }
}

void moe_down_one_tile(const stage *s, const run *r, scratch *w, size_t tile) {
    const plan_moe_step *m = &s->moe;
    const weight *down = &m->down->w;
    act_kind kind = kernels_form(r->k, down->format).act;
    size_t row = tile * s->tile_rows, n = down->n_rows - row, stride = act_row_bytes(kind, down->n_cols);
    float *out = r->buf[m->out] + row, *sum = w->moe.sum, *y = w->tile;
    float scale = m->scale != 0.0f ? m->scale : 1.0f;
    if (n > s->tile_rows) n = s->tile_rows;
    prepare_down(s, r, w);
    memset(sum, 0, n * sizeof *sum);
    for (size_t j = 0; j < m->routing.n_used; j++) {
        size_t expert = w->moe.choice.expert[j];
        multiply(r, down, expert * m->down->stride, row, n, w->moe.act[kind] + j * stride, y);
        moe_add(m, expert, row, n, y, w->moe.choice.weight[j], sum);
    }
    if (m->shared_down) {
        float share = m->shared_router ? moe_share(*r->buf[r->plan->moe.share]) : 1.0f;
        multiply(r, m->shared_down, 0, row, n, w->act[kernels_form(r->k, m->shared_down->format).act], y);
        for (size_t i = 0; i < n; i++) sum[i] += share * y[i];
    }
    for (size_t i = 0; i < n; i++) out[i] = (m->add ? out[i] : 0.0f) + scale * sum[i];
}

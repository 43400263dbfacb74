/* The builder's steps for latent attention; the others are in plan.c. */
#include "builder.h"

/* A matrix of each head, (rows, cols). */
static void head_matrix(plan_builder *b, const expert_weight *m, size_t rows, size_t cols) {
    act_kind kind = m->w.data ? kernels_form(b->k, m->w.format).act : ACT_COUNT;
    if (kind == ACT_COUNT || m->w.n_rows != rows || m->w.n_cols != cols) {
        builder_fail(b, LEAT_E_STATE, "a matrix of a head does not fit between its buffers");
        return;
    }
    builder_raise(&b->p->max_act_cols[kind], cols);
    builder_raise(&b->p->gather_cols[kind], cols);
}

void plan_latent(plan_builder *b, const plan_latent_step *step) {
    const hparams *hp = b->p->hp;
    stage s = {.latent = *step};
    size_t n = step->n_head, wide = step->rank + step->rope;
    if (step->layer >= hp->n_layer || b->p->kv[step->layer].n_head) {
        builder_fail(b, LEAT_E_STATE, "there is no such layer, or it has attention already");
        return;
    }
    if (!n || wide > ATTEND_HEAD_DIM_MAX || hp->rope.n_dims != step->rope ||
        builder_width(b, step->q) != n * (step->nope + step->rope) ||
        builder_width(b, step->latent) != step->rank || builder_width(b, step->key) != step->rope ||
        builder_width(b, step->query) != n * wide || builder_width(b, step->sum) != n * step->rank ||
        builder_width(b, step->out) != n * step->dim_v)
        builder_fail(b, LEAT_E_STATE, "latent attention does not fit its buffers");
    head_matrix(b, step->k_b, step->rank, step->nope);
    head_matrix(b, step->v_b, step->dim_v, step->rank);
    s.norm = builder_norm(b, &step->norm, step->rank);
    builder_raise(&b->p->max_width, wide);
    b->p->kv[step->layer] =
        (kv_shape){.n_head = 1, .dim_k = wide, .rope = PLAN_ROPE, .rope_first = step->rank};
    builder_observe_heads(b, step->q, step->nope + step->rope, step->k_b, n);
    builder_one(b, &s, latent_prepare_tiles, latent_prepare_tile);
    builder_many(b, &s, latent_prepare_tiles, latent_prepare_tile);
    builder_one(b, &s, latent_attend_tiles, latent_attend_tile);
    builder_many(b, &s, latent_attend_tiles, latent_attend_tile);
    builder_observe_heads(b, step->sum, step->rank, step->v_b, n);
    builder_one(b, &s, latent_value_tiles, latent_value_tile);
    builder_many(b, &s, latent_value_tiles, latent_value_tile);
}

void plan_expand(plan_builder *b, const plan_expand_step *step) {
    stage s = {.expand = *step};
    size_t n = step->n_head;
    if (builder_width(b, step->both) != n * (step->nope + step->dim_v) ||
        (step->rope && builder_width(b, step->shared) != step->rope) ||
        builder_width(b, step->k) != n * (step->nope + step->rope) ||
        builder_width(b, step->v) != n * step->dim_v)
        builder_fail(b, LEAT_E_STATE, "keys and values do not fit their buffers");
    builder_one(b, &s, expand_tiles, expand_tile);
    builder_many(b, &s, expand_tiles, expand_tile);
}

/* The builder's steps that are small beside the products around them: layers that remember by a state, inputs
 * of each layer. The others are in plan.c. */
#include "builder.h"

/* The same stage for one token and for many: what there is to do is small beside the products around it. */
static void both(plan_builder *b, const stage *s, stage_tiles_fn *tiles, stage_tile_fn *tile) {
    builder_one(b, s, tiles, tile);
    builder_many(b, s, tiles, tile);
}

/* Must be there, of n float32 values. */
static void needs(plan_builder *b, const weight *w, size_t n) {
    if (!builder_vector(b, w, n)) builder_fail(b, LEAT_E_STATE, "a recurrent layer lacks a vector");
}

size_t plan_state(plan_builder *b, size_t n) {
    size_t at = b->p->state_floats;
    if (__builtin_add_overflow(at, (n + 15) / 16 * 16, &b->p->state_floats))
        builder_fail(b, LEAT_E_NOMEM, "the recurrent state is too large");
    return at;
}

void plan_conv(plan_builder *b, const plan_conv_step *step) {
    stage s = {.conv = *step};
    size_t in = builder_width(b, step->in), width = step->width;
    if (builder_width(b, step->out) != width || step->first + width > in ||
        (step->product && step->factor + width > in) || (step->gated && step->gate + width > in) ||
        step->w->n_rows != width || step->w->n_cols < 2)
        builder_fail(b, LEAT_E_STATE, "a convolution does not fit its buffers");
    needs(b, step->w, width * step->w->n_cols);
    builder_vector(b, step->bias, width);
    both(b, &s, conv_tiles, conv_tile);
}

void plan_ssm(plan_builder *b, const plan_ssm_step *step) {
    stage s = {.ssm = *step};
    size_t inner = step->n_head * step->head_dim;
    if (!step->n_group || step->n_head % step->n_group || builder_width(b, step->out) != inner ||
        builder_width(b, step->conv) != inner + 2 * step->n_group * step->d_state ||
        step->dt_at + step->n_head > builder_width(b, step->in))
        builder_fail(b, LEAT_E_STATE, "a state space does not fit its buffers");
    needs(b, step->a, step->n_head);
    needs(b, step->d, step->n_head);
    needs(b, step->dt_bias, step->n_head);
    both(b, &s, ssm_tiles, ssm_tile);
}

void plan_delta(plan_builder *b, const plan_delta_step *step) {
    stage s = {.delta = *step};
    size_t k = step->n_head_k, v = step->n_head_v;
    size_t columns = k && step->interleaved ? (k - 1) * step->gate_stride + v / k : v;
    if (!k || v % k || step->head_dim > DELTA_DIM_MAX || builder_width(b, step->out) != v * step->head_dim ||
        builder_width(b, step->conv) != (2 * k + v) * step->head_dim ||
        step->beta_at + columns > builder_width(b, step->beta) ||
        step->alpha_at + columns > builder_width(b, step->alpha))
        builder_fail(b, LEAT_E_STATE, "a delta rule does not fit its buffers");
    needs(b, step->a, v);
    needs(b, step->dt_bias, v);
    both(b, &s, delta_tiles, delta_tile);
}

void plan_gate_norm(plan_builder *b, const plan_gate_norm_step *step) {
    stage s = {.gate_norm = *step, .width = builder_width(b, step->x)};
    size_t n = step->n_groups, stride = step->gate_stride;
    if (b->p->max_width < s.width) b->p->max_width = s.width;
    if (!n || s.width % n ||
        step->gate_at + (stride ? (n - 1) * stride + s.width / n : s.width) > builder_width(b, step->gate)) {
        builder_fail(b, LEAT_E_STATE, "a gate does not fit its buffers");
        return;
    }
    s.norm = builder_head_norm(b, &step->norm, n, s.width / n);
    both(b, &s, gate_norm_tiles, gate_norm_tile);
}

/* A stage that changes x row by row with the help of `in`. */
static stage rowwise(plan_builder *b, plan_buf x, plan_buf in) {
    stage s = {.in = in, .width = builder_width(b, x), .scale = 1.0f, .n_groups = 1, .n_parts = 1};
    s.part[0].out = x;
    if (b->p->max_width < s.width) b->p->max_width = s.width;
    return s;
}

void plan_add_groups(plan_builder *b, plan_buf x, plan_buf in, plan_norm norm, size_t n_groups, float scale) {
    stage s = rowwise(b, x, in);
    s.scale = scale;
    s.n_groups = n_groups;
    if (!n_groups || s.width % n_groups || builder_width(b, in) != s.width) {
        builder_fail(b, LEAT_E_STATE, "groups do not fit their buffers");
        return;
    }
    s.norm = builder_norm(b, &norm, s.width / n_groups);
    both(b, &s, normalize_tiles, add_groups_tile);
}

void plan_multiply(plan_builder *b, plan_buf x, plan_buf by, size_t first) {
    stage s = rowwise(b, x, by);
    s.first = first;
    if (first + s.width > builder_width(b, by))
        builder_fail(b, LEAT_E_STATE, "a factor does not fit its buffer");
    both(b, &s, normalize_tiles, multiply_tile);
}

void plan_scale(plan_builder *b, plan_buf x, const weight *number) {
    stage s = rowwise(b, x, x);
    const float *value = builder_vector(b, number, 1);
    if (!value) return;
    s.scale = *value;
    both(b, &s, normalize_tiles, scale_tile);
}

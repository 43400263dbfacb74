/* The builder's steps for several residual streams, which stage_altup.c runs. The others are in plan.c. */
#include "builder.h"

static void both(plan_builder *b, const stage *s, stage_tile_fn *tile) {
    builder_one(b, s, altup_tiles, tile);
    builder_many(b, s, altup_tiles, tile);
}

/* A stage that changes x row by row with the help of `in`. */
static stage rowwise(plan_builder *b, plan_buf x, plan_buf in) {
    stage s = {.in = in, .width = builder_width(b, x), .scale = 1.0f, .n_parts = 1};
    s.part[0].out = x;
    if (builder_width(b, in) != s.width) builder_fail(b, LEAT_E_STATE, "rows do not fit each other");
    return s;
}

void plan_altup(plan_builder *b, const plan_altup_step *step) {
    stage s = {.altup = *step, .width = builder_width(b, step->x[0])};
    size_t rows = step->correct ? ALTUP_STREAMS : ALTUP_STREAMS * ALTUP_STREAMS;
    bool fits = step->router->n_rows == ALTUP_STREAMS && step->router->n_cols == s.width &&
                step->coefficients->n_rows == rows && step->coefficients->n_cols == ALTUP_STREAMS &&
                (!step->correct || builder_width(b, step->y) == s.width);
    for (size_t k = 0; k < ALTUP_STREAMS; k++)
        if (builder_width(b, step->x[k]) != s.width || builder_width(b, step->p[k]) != s.width) fits = false;
    if (!fits) builder_fail(b, LEAT_E_STATE, "streams do not fit their buffers");
    s.norm = builder_norm(b, &step->norm, s.width);
    builder_raise(&b->p->max_width, s.width);
    both(b, &s, altup_tile);
}

void plan_match(plan_builder *b, plan_buf x, plan_buf of) {
    stage s = rowwise(b, x, of);
    both(b, &s, match_tile);
}

void plan_multiply_vector(plan_builder *b, plan_buf x, const weight *by) {
    stage s = rowwise(b, x, x);
    s.part[0].bias = builder_vector(b, by, s.width);
    if (!s.part[0].bias) builder_fail(b, LEAT_E_STATE, "a vector to multiply with is absent");
    both(b, &s, multiply_vector_tile);
}

void plan_sparse_gate(plan_builder *b, plan_buf gate, plan_buf up, float deviations) {
    stage s = rowwise(b, gate, up);
    s.scale = deviations;
    both(b, &s, sparse_gate_tile);
}

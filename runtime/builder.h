/* Inside of the builder: what the plan_*.c files that make stages of steps share. Its functions are plan.c's,
 * but for builder_widen and builder_raise, which are plan_moe.c's. */
#ifndef LEAT_RUNTIME_BUILDER_H
#define LEAT_RUNTIME_BUILDER_H

#include "stage.h"

struct plan_builder {
    plan *p;
    const kernels *k;
    size_t cap_one, cap_many, cap_bufs;
    leat_status status;
    leat_error *e;
    struct observer *observer; /* NULL: nothing is observed */
};

/* Bytes of weights in a tile of a one-token stage: a few microseconds of memory traffic, so that taking tiles
 * costs nothing and workers finish together. Where a stage has many such tiles they may be larger, as
 * kernels that read rows from several places of a tile are at their best from 200 KB on: an eighth of the
 * stage. */
enum { TILE_BYTES = 24 << 10, TILE_BYTES_MAX = 256 << 10, TILES_OF_STAGE = 8 };

/* Remembers the first mistake. */
void builder_fail(plan_builder *b, leat_status s, const char *what);
/* Appends a stage to the pass of one token, or of many. */
void builder_one(plan_builder *b, const stage *s, stage_tiles_fn *tiles, stage_tile_fn *tile);
void builder_many(plan_builder *b, const stage *s, stage_tiles_fn *tiles, stage_tile_fn *tile);
/* Width of a buffer; 0 if there is no such. */
size_t builder_width(const plan_builder *b, plan_buf buf);
/* A buffer that steps share (0: none yet), at least `width` wide. */
void builder_widen(plan_builder *b, plan_buf *buf, size_t width);
/* *limit is at least value from now on. */
void builder_raise(size_t *limit, size_t value);
/* 0 stands for 1. */
float builder_scale(float scale);
/* A vector's values, NULL where it is absent. Any width but `width` is a mistake. */
const float *builder_vector(plan_builder *b, const weight *w, size_t width);
stage_norm builder_norm(plan_builder *b, const plan_norm *n, size_t width);
/* The norm of heads, whose gain may be one for all or one for each. */
stage_norm builder_head_norm(plan_builder *b, const plan_norm *n, size_t heads, size_t dim);
/* The start of a stage that multiplies what is in `in`, normed. */
stage builder_product(plan_builder *b, plan_buf in, const plan_norm *norm);
/* Adds a matrix that reads the stage's input, and what that asks of the input's form. */
void builder_part(plan_builder *b, stage *s, const weight *w, const weight *bias, plan_buf out,
                  size_t out_width);

/* stage_observe.c: where there is an observer, sums the squares of what goes into a stage's parts; of what
 * each expert gets, to be called behind the grouping; of what its down matrix gets; of each head's part of a
 * buffer, `stride` floats apart. */
void builder_observe(plan_builder *b, const stage *s);
void builder_observe_experts(plan_builder *b, const stage *s);
void builder_observe_hidden(plan_builder *b, const stage *s);
void builder_observe_heads(plan_builder *b, plan_buf in, size_t stride, const expert_weight *w,
                           size_t n_head);

#endif

/* What ops.c and ops_fused.c share. */
#ifndef LEAT_RUNTIME_CONVERT_OPS_IMPL_H
#define LEAT_RUNTIME_CONVERT_OPS_IMPL_H

#include "conversion.h"

/* A source as a stack of matrices: its last two dimensions are rows and cols. One row of numbers counts as a
 * column. */
typedef struct shape {
    uint64_t stack, rows, cols;
    bool is_row;
} shape;

shape shape_of(const source_tensor *t);
/* A target by a rule's name for it, of the given dimensions (0: none). NULL after a failure. */
target *op_target(conversion *c, const tensor_match *m, const char *name, uint64_t ne0, uint64_t ne1,
                  uint64_t ne2);
/* Adds a part, if the target is there. */
void op_part(conversion *c, const tensor_match *m, target *t, view v);
/* A failure that names the tensor. */
void op_bad_shape(conversion *c, const tensor_match *m, const char *why);

/* How many experts a layer has. */
uint64_t op_experts(conversion *c);

/* One nested step of a view. */
typedef struct step {
    uint64_t count, stride;
} step;
view view_steps(const source_tensor *t, uint64_t base, const step *steps, uint32_t n);
#define STEPS(src, base, ...)                                                                                \
    view_steps(src, base, (const step[]){__VA_ARGS__}, sizeof((const step[]){__VA_ARGS__}) / sizeof(step))

/* ops_fused.c; false: not one of its operations. */
bool op_apply_fused(conversion *c, const tensor_match *m);

#endif

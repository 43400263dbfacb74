/* What the stages of experts for one token and for many have in common. */
#ifndef LEAT_RUNTIME_STAGE_MOE_H
#define LEAT_RUNTIME_STAGE_MOE_H

#include "stage.h"

/* out = activation(out + gate's bias, up + up's bias) for rows row .. row + n of an expert; up is
 * overwritten.
 */
void moe_activate(const plan_moe_step *m, const run *r, size_t expert, size_t row, size_t n, float *out,
                  float *up);

/* sum += share * (y + down's bias) for rows row .. row + n of an expert. */
void moe_add(const plan_moe_step *m, size_t expert, size_t row, size_t n, const float *y, float share,
             float *sum);

/* The experts of a token with these router logits. */
void moe_choose(const plan_moe_step *m, const float *logits, moe_choice *out);

/* The shared expert's part for the logit of its router. */
float moe_share(float logit);

#endif

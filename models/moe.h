/* The feed-forward network as a mixture of experts behind an RMS norm, added to the residual stream. An
 * architecture reads its numbers with arch_read_experts and says what is special in the flags. */
#ifndef LEAT_MODELS_MOE_H
#define LEAT_MODELS_MOE_H

#include "blocks.h"

typedef struct moe_block {
    weight norm;
    weight router, router_bias, select_bias;
    expert_weight gate, up, down;
    weight gate_bias, up_bias, down_bias;
    weight shared_gate, shared_up, shared_down, shared_router;
} moe_block;

enum {
    MOE_SHARED_ROUTER = 1, /* the shared expert has a share of its own (ffn_gate_inp_shexp) */
    MOE_NO_NORM = 2,       /* the caller has bound m->norm under another name */
};
leat_status moe_bind(arch_loader *l, const hparams *hp, uint32_t layer, unsigned flags, moe_block *m);

void moe_steps(plan_builder *b, const hparams *hp, const moe_block *m, activation f, const stream *s);

#endif

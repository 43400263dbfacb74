/* The feed-forward network as a mixture of experts behind an RMS norm, added to the residual stream. Its
 * numbers are read with arch_read_experts; what is special, decoder_options say. */
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

/* The same but for the norm. */
leat_status moe_bind_experts(arch_loader *l, const hparams *hp, uint32_t layer, moe_block *m);
leat_status moe_bind(arch_loader *l, const hparams *hp, uint32_t layer, moe_block *m);
void moe_steps(plan_builder *b, const hparams *hp, const moe_block *m, const stream *s);

#endif

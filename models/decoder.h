/* The plain pre-norm decoder: embedding, layers of attention and gated feed-forward, final norm, output.
 * Several architectures are exactly this under different names. */
#ifndef LEAT_MODELS_DECODER_H
#define LEAT_MODELS_DECODER_H

#include "blocks.h"
#include "moe.h"

typedef struct decoder_layer {
    attention_block attention;
    ffn_block ffn;
    moe_block moe; /* in place of ffn, in layers with experts */
} decoder_layer;

leat_status decoder_bind(arch_loader *l, const hparams *hp, void *ends, void *layers);
void decoder_build(plan_builder *b, const hparams *hp, const void *ends, const void *layers);

#endif

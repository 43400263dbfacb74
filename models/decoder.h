/* The decoder that most architectures are under different names: embedding, layers of attention and
 * feed-forward, final norm, output. What differs is in decoder_options (blocks.h) and in the numbers that an
 * architecture's own read_hparams takes from the metadata. */
#ifndef LEAT_MODELS_DECODER_H
#define LEAT_MODELS_DECODER_H

#include "blocks.h"
#include "moe.h"
#include "moe.h"

typedef struct decoder_layer {
    attention_block attention;
    ffn_block ffn;
    moe_block moe; /* in place of ffn, in layers with experts */
} decoder_layer;

/* Reads what all have, and refuses what none of them does. */
leat_status decoder_hparams(arch_loader *l, hparams *hp);
/* True for a layer with experts in place of the feed-forward network. */
bool decoder_has_experts(const hparams *hp, uint32_t layer);
/* The second half of a layer. */
leat_status decoder_bind_ffn(arch_loader *l, const hparams *hp, uint32_t layer, ffn_block *f, moe_block *m);
void decoder_ffn_steps(plan_builder *b, const hparams *hp, uint32_t layer, const ffn_block *f,
                       const moe_block *m, const stream *s);
leat_status decoder_bind(arch_loader *l, const hparams *hp, void *ends, void *layers);
void decoder_build(plan_builder *b, const hparams *hp, const void *ends, const void *layers);

/* decoder_hparams for models that must have experts, and whose shared ones are counted
 * (expert_shared_count), each as wide as a routed one. */
leat_status decoder_expert_hparams(arch_loader *l, hparams *hp);
/* Windowed layers rotate on rope.freq_base_swa, if the model has that, and otherwise like all. */
leat_status decoder_window_base(arch_loader *l, hparams *hp);
/* The model's rotations on another base and without any scaling. */
rope_hparams decoder_unscaled_rope(const hparams *hp, float base);

/* The entry of an architecture that is this decoder: its read_hparams, then its options. */
#define DECODER(name_, read, ...)                                                                            \
    {                                                                                                        \
        .name = name_, .weights_bytes = sizeof(ends_block), .layer_bytes = sizeof(decoder_layer),            \
        .read_hparams = read, .bind = decoder_bind, .build = decoder_build,                                  \
        .options = &(const decoder_options){__VA_ARGS__},                                                    \
    }

#endif

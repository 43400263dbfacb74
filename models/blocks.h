/* The blocks that architectures share. A block is its weights, a function that binds them under their GGUF
 * names, and one that appends its steps to a plan. An architecture is a choice of blocks. */
#ifndef LEAT_MODELS_BLOCKS_H
#define LEAT_MODELS_BLOCKS_H

#include "runtime/arch.h"
#include "runtime/plan.h"

/* Grouped-query attention behind an RMS norm, added to the residual stream. Biases may be absent. */
typedef struct attention_block {
    weight norm, q, k, v, out;
    weight q_bias, k_bias, v_bias, out_bias;
} attention_block;
leat_status attention_bind(arch_loader *l, const hparams *hp, uint32_t layer, attention_block *a);

/* The gated feed-forward network (SwiGLU) behind an RMS norm, added to the residual stream. */
typedef struct ffn_block {
    weight norm, gate, up, down;
} ffn_block;
leat_status ffn_bind(arch_loader *l, const hparams *hp, uint32_t layer, ffn_block *f);

/* The buffers that one pass through the blocks uses, the same for every layer. */
typedef struct stream {
    plan_buf x;          /* (n_embd) the residual stream */
    plan_buf q, k, v, a; /* (n_head * head_dim_k), (n_head_kv * head_dim_k), (n_head_kv * head_dim_v), (n_head
                          * head_dim_v) */
    plan_buf ff;         /* (n_ff) */
} stream;
stream stream_open(plan_builder *b, const hparams *hp);

void attention_steps(plan_builder *b, const hparams *hp, uint32_t layer, const attention_block *a,
                     const stream *s);
void ffn_steps(plan_builder *b, const hparams *hp, const ffn_block *f, const stream *s);

/* Token embedding, final norm and output matrix; a model without the latter uses the embedding (tied). */
typedef struct ends_block {
    weight embed, norm, output;
} ends_block;
leat_status ends_bind(arch_loader *l, const hparams *hp, ends_block *e);

#endif

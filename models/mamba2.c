/* mamba2: Mamba 2 and Codestral Mamba. Layers of nothing but a state space; no attention, no positions. */
#include <float.h>

#include "mamba.h"

typedef struct mamba2_layer {
    weight norm;
    mamba_block mamba;
} mamba2_layer;

static leat_status mamba2_hparams(arch_loader *l, hparams *hp) {
    leat_status s = arch_u32(l, "context_length", 1, INT32_MAX, NULL, &hp->n_ctx_train);
    if (!s) s = arch_u32(l, "embedding_length", 1, 1 << 20, NULL, &hp->n_embd);
    if (!s) s = arch_u32(l, "block_count", 1, ARCH_LAYERS_MAX, NULL, &hp->n_layer);
    if (!s) s = arch_refuse(l, "attention.head_count", "attention");
    if (!s) s = arch_refuse(l, "feed_forward_length", "a feed-forward network");
    if (!s) s = arch_f32(l, "attention.layer_norm_rms_epsilon", FLT_MIN, 1.0f, NULL, &hp->norm_eps);
    if (!s) s = arch_read_ssm(l, hp);
    return s;
}

static leat_status mamba2_bind(arch_loader *l, const hparams *hp, void *ends, void *layers) {
    mamba2_layer *layer = layers;
    leat_status s = ends_bind(l, hp, ends);
    for (uint32_t i = 0; !s && i < hp->n_layer; i++) {
        s = arch_bind(l, &layer[i].norm, "blk.%u.attn_norm.weight", i, 1, hp->n_embd, 0);
        if (!s) s = mamba_bind(l, hp, i, &layer[i].mamba);
    }
    return s;
}

static void mamba2_build(plan_builder *b, const hparams *hp, const void *ends, const void *layers) {
    const mamba2_layer *layer = layers;
    stream s = {.x = plan_buffer(b, hp->n_embd)};
    mamba_buffers u = mamba_open(b, hp);
    ends_open(b, hp, ends, &s);
    for (uint32_t i = 0; i < hp->n_layer; i++) mamba_steps(b, hp, &layer[i].norm, &layer[i].mamba, &u, &s);
    ends_close(b, hp, ends, &s);
}

const arch arch_mamba2 = {
    .name = "mamba2",
    .weights_bytes = sizeof(ends_block),
    .layer_bytes = sizeof(mamba2_layer),
    .read_hparams = mamba2_hparams,
    .bind = mamba2_bind,
    .build = mamba2_build,
};

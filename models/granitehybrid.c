/* granitehybrid: Granite 4. Most layers are Mamba 2, some are attention without rotations; experts with a
 * shared one, or a plain feed-forward network. */
#include "decoder.h"
#include "granite.h"
#include "mamba.h"

typedef struct hybrid_layer {
    attention_block attention; /* of recurrent layers only its norm */
    mamba_block mamba;
    ffn_block ffn;
    moe_block moe;
} hybrid_layer;

static leat_status granitehybrid_hparams(arch_loader *l, hparams *hp) {
    hp->hybrid = true;
    leat_status s = decoder_hparams(l, hp);
    if (!s) s = granite_factors(l, hp, false);
    if (!s) s = arch_read_ssm(l, hp);
    return s;
}

static leat_status granitehybrid_bind(arch_loader *l, const hparams *hp, void *ends, void *layers) {
    hybrid_layer *layer = layers;
    leat_status s = ends_bind(l, hp, ends);
    for (uint32_t i = 0; !s && i < hp->n_layer; i++) {
        hybrid_layer *y = &layer[i];
        if (hparams_recurrent(hp, i)) {
            s = attention_norm_bind(l, hp, i, &y->attention);
            if (!s) s = mamba_bind(l, hp, i, &y->mamba);
        } else
            s = attention_bind(l, hp, i, &y->attention);
        if (!s) s = decoder_bind_ffn(l, hp, i, &y->ffn, &y->moe);
    }
    return s;
}

static void granitehybrid_build(plan_builder *b, const hparams *hp, const void *ends, const void *layers) {
    const hybrid_layer *layer = layers;
    stream s = stream_open(b, hp);
    mamba_buffers u = mamba_open(b, hp);
    ends_open(b, hp, ends, &s);
    for (uint32_t i = 0; i < hp->n_layer; i++) {
        const hybrid_layer *y = &layer[i];
        if (hparams_recurrent(hp, i))
            mamba_steps(b, hp, &y->attention.norm, &y->mamba, &u, &s);
        else {
            attention_project(b, hp, &y->attention, &s);
            attention_steps(b, hp, i, &y->attention, &s);
        }
        decoder_ffn_steps(b, hp, i, &y->ffn, &y->moe, &s);
    }
    ends_close(b, hp, ends, &s);
}

const arch arch_granitehybrid = {
    .name = "granitehybrid",
    .weights_bytes = sizeof(ends_block),
    .layer_bytes = sizeof(hybrid_layer),
    .read_hparams = granitehybrid_hparams,
    .bind = granitehybrid_bind,
    .build = granitehybrid_build,
    .options =
        &(const decoder_options){
            .rope = ROPE_PAIRS, .experts = true, .experts_wide = true, .expert_norm = true},
};

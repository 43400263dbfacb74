/* falcon: Falcon 7B, 40B and 11B. Attention and a feed-forward of GELU without a gate side by side, behind
 * one LayerNorm, or in 40B behind one each. */
#include "decoder.h"

static leat_status falcon_hparams(arch_loader *l, hparams *hp) {
    hp->parallel_residual = true;
    return decoder_hparams(l, hp);
}

static leat_status falcon_bind(arch_loader *l, const hparams *hp, void *ends, void *layers) {
    decoder_layer *layer = layers;
    const size_t n = hp->n_embd;
    leat_status s = decoder_bind(l, hp, ends, layers);
    for (uint32_t i = 0; !s && i < hp->n_layer; i++) {
        attention_block *a = &layer[i].attention;
        if (!arch_has(l, "blk.%u.attn_norm_2.weight", i)) continue;
        /* where there are two, the one called attn_norm is the feed-forward's */
        layer[i].ffn.norm = a->norm;
        layer[i].ffn.norm_bias = a->norm_bias;
        s = arch_bind(l, &a->norm, "blk.%u.attn_norm_2.weight", i, 1, n, 0);
        if (!s) s = arch_bind(l, &a->norm_bias, "blk.%u.attn_norm_2.bias", i, 1, n, BIND_OPTIONAL);
    }
    return s;
}

const arch arch_falcon = {
    .name = "falcon",
    .weights_bytes = sizeof(ends_block),
    .layer_bytes = sizeof(decoder_layer),
    .read_hparams = falcon_hparams,
    .bind = falcon_bind,
    .build = decoder_build,
    .options = &(const decoder_options){.rope = ROPE_HALVES,
                                        .norm = NORM_LAYER,
                                        .shared_norm = true,
                                        .activation = ACTIVATION_GELU,
                                        .plain_ffn = true},
};

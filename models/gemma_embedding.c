/* gemma-embedding: EmbeddingGemma. Gemma 3 whose tokens see each other both ways, in windowed layers half a
 * window to each side. Its projections behind the pooled vector are embed_head.h's. */
#include "decoder.h"

#include <float.h>

enum { PERIOD = 6 };

static leat_status gemma_embedding_hparams(arch_loader *l, hparams *hp) {
    const float base = 10000.0f;
    leat_status s = decoder_hparams(l, hp);
    hp->both_ways = true;
    if (!s && arch_has_key(l, "attention.sliding_window")) s = arch_read_windows(l, hp, 0, PERIOD);
    if (!s && hp->window) hp->rope_swa = decoder_unscaled_rope(hp, base);
    if (!s && hp->window)
        s = arch_f32(l, "rope.freq_base_swa", FLT_MIN, 1e12f, &base, &hp->rope_swa.freq_base);
    return s;
}

const arch arch_gemma_embedding = {
    .name = "gemma-embedding",
    .weights_bytes = sizeof(ends_block),
    .layer_bytes = sizeof(decoder_layer),
    .read_hparams = gemma_embedding_hparams,
    .bind = decoder_bind,
    .build = decoder_build,
    .embeds = true,
    .options = &(const decoder_options){.rope = ROPE_HALVES,
                                        .post_norm = true,
                                        .head_norm = HEAD_NORM_HEADS,
                                        .activation = ACTIVATION_GELU,
                                        .embed_scaled = true},
};

/* llama: Llama 1 to 3.x, Mistral, and the many models of the same shape. RMS norm, rotary positions on pairs
 * (with divisors in rope_freqs.weight for Llama 3.1's long context), grouped-query attention, SwiGLU. */
#include "decoder.h"

static leat_status llama_hparams(arch_loader *l, hparams *hp) {
    leat_status s = arch_read_common(l, hp);
    if (!s) s = arch_read_rope(l, hp, ROPE_PAIRS);
    hp->moe.routing.normalise = true;
    if (!s) s = arch_read_experts(l, hp);
    return s;
}

const arch arch_llama = {
    .name = "llama",
    .weights_bytes = sizeof(ends_block),
    .layer_bytes = sizeof(decoder_layer),
    .read_hparams = llama_hparams,
    .bind = decoder_bind,
    .build = decoder_build,
};

/* ernie4_5-moe: ERNIE 4.5 with experts. Softmax over all experts, a bias in the choice, some experts that
 * every token uses. */
#include "decoder.h"

static leat_status ernie_hparams(arch_loader *l, hparams *hp) {
    const uint32_t every = 1;
    uint32_t step = 0;
    leat_status s = decoder_expert_hparams(l, hp);
    if (!s) s = arch_u32(l, "interleave_moe_layer_step", 0, ARCH_LAYERS_MAX, &every, &step);
    if (!s && step > 1)
        s = arch_error(l, LEAT_E_UNSUPPORTED, "experts in some layers only (interleave_moe_layer_step)");
    return s;
}

const arch arch_ernie4_5_moe =
    DECODER("ernie4_5-moe", ernie_hparams, .rope = ROPE_PAIRS, .experts = true, .expert_norm = true);

/* glm4moe: GLM 4.5 and 4.6. Biases on q, k and v, norms on their heads in the larger model, half of each head
 * rotated; experts chosen by sigmoid with a bias, after some plain layers, with a shared one. */
#include "decoder.h"

static leat_status glm4moe_hparams(arch_loader *l, hparams *hp) {
    const uint32_t none = 0;
    uint32_t n_shared = 0;
    leat_status s = decoder_hparams(l, hp);
    if (!s && !hp->moe.routing.n_expert) s = arch_error(l, LEAT_E_HPARAM, "expert_count is missing or 0");
    if (!s) s = arch_u32(l, "expert_shared_count", 0, 1024, &none, &n_shared);
    if (!s) hp->moe.n_ff_shared = n_shared * hp->moe.n_ff;
    return s;
}

const arch arch_glm4moe =
    DECODER("glm4moe", glm4moe_hparams, .rope = ROPE_HALVES, .ffn_norm = "post_attention_norm",
            .head_norm = HEAD_NORM_HEADS, .head_norm_optional = true, .experts = true,
            .expert_gating = MOE_SIGMOID, .drafts = true);

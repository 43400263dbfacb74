/* hunyuan-moe: Tencent's Hunyuan with experts. As hunyuan-dense, with experts as wide as feed_forward_length
 * and a shared one. */
#include "decoder.h"

static leat_status hunyuan_moe_hparams(arch_loader *l, hparams *hp) {
    leat_status s = decoder_hparams(l, hp);
    if (!s && !hp->moe.routing.n_expert) s = arch_error(l, LEAT_E_HPARAM, "expert_count is missing or 0");
    if (!s && !hp->moe.n_ff_shared)
        s = arch_error(l, LEAT_E_HPARAM, "expert_shared_feed_forward_length is missing or 0");
    return s;
}

const arch arch_hunyuan_moe =
    DECODER("hunyuan-moe", hunyuan_moe_hparams, .rope = ROPE_HALVES, .head_norm = HEAD_NORM_HEADS,
            .head_norm_rotated = true, .experts = true, .experts_wide = true, .expert_norm = true);

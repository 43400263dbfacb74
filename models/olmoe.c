/* olmoe: OLMoE. Experts as wide as feed_forward_length whose weights do not sum to 1; all heads of q, and of
 * k, are normed together. */
#include "decoder.h"

static leat_status olmoe_hparams(arch_loader *l, hparams *hp) {
    leat_status s = decoder_hparams(l, hp);
    if (!s && !hp->moe.routing.n_expert) s = arch_error(l, LEAT_E_HPARAM, "expert_count is missing or 0");
    return s;
}

const arch arch_olmoe = DECODER("olmoe", olmoe_hparams, .rope = ROPE_HALVES, .head_norm = HEAD_NORM_ROW,
                                .experts = true, .experts_wide = true);

/* dots1: dots.llm1. As qwen3moe, with a shared expert, some plain layers first, and a bias in the choice of
 * experts. */
#include "decoder.h"

static leat_status dots1_hparams(arch_loader *l, hparams *hp) {
    uint32_t n_shared = 0;
    leat_status s = decoder_hparams(l, hp);
    if (!s && !hp->moe.routing.n_expert) s = arch_error(l, LEAT_E_HPARAM, "expert_count is missing or 0");
    if (!s) s = arch_u32(l, "expert_shared_count", 0, 1024, NULL, &n_shared);
    if (!s) hp->moe.n_ff_shared = n_shared * hp->moe.n_ff;
    return s;
}

const arch arch_dots1 =
    DECODER("dots1", dots1_hparams, .rope = ROPE_HALVES, .head_norm = HEAD_NORM_HEADS, .experts = true);

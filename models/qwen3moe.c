/* qwen3moe: Qwen 3 with experts. As qwen3, with a norm on each head of q and k. */
#include "decoder.h"

static leat_status qwen3moe_hparams(arch_loader *l, hparams *hp) {
    leat_status s = decoder_hparams(l, hp);
    if (!s && !hp->moe.routing.n_expert) s = arch_error(l, LEAT_E_HPARAM, "expert_count is missing or 0");
    return s;
}

const arch arch_qwen3moe = DECODER("qwen3moe", qwen3moe_hparams, .rope = ROPE_HALVES,
                                   .head_norm = HEAD_NORM_HEADS, .experts = true, .expert_norm = true);

/* qwen2moe: Qwen 1.5 and 2 with experts. Llama with biases on q, k and v; a shared expert whose share is
 * computed. The weights of the chosen experts do not sum to 1. */
#include "decoder.h"

static leat_status qwen2moe_hparams(arch_loader *l, hparams *hp) {
    leat_status s = decoder_hparams(l, hp);
    if (!s && !hp->moe.routing.n_expert) s = arch_error(l, LEAT_E_HPARAM, "expert_count is missing or 0");
    if (!s && !hp->moe.n_ff_shared) hp->moe.n_ff_shared = hp->n_ff;
    return s;
}

const arch arch_qwen2moe =
    DECODER("qwen2moe", qwen2moe_hparams, .rope = ROPE_HALVES, .experts = true, .shared_router = true);

/* gpt-oss: OpenAI's open models. Experts with biases and a clamped gate, the softmax over the chosen ones
 * only; every other layer sees a window; heads have sinks. */
#include "decoder.h"

#include <float.h>

static leat_status gpt_oss_hparams(arch_loader *l, hparams *hp) {
    leat_status s = decoder_hparams(l, hp);
    if (!s && !hp->moe.routing.n_expert) s = arch_error(l, LEAT_E_HPARAM, "expert_count is missing or 0");
    if (!s) s = arch_read_windows(l, hp, 0, 2);
    if (!s && arch_has_key(l, "rope.freq_base_swa")) {
        hp->rope_swa = hp->rope;
        s = arch_f32(l, "rope.freq_base_swa", FLT_MIN, 1e12f, NULL, &hp->rope_swa.freq_base);
    }
    return s;
}

const arch arch_gpt_oss =
    DECODER("gpt-oss", gpt_oss_hparams, .rope = ROPE_HALVES, .ffn_norm = "post_attention_norm", .sinks = true,
            .activation = ACTIVATION_SWIGLU_OAI, .experts = true, .expert_gating = MOE_SOFTMAX_CHOSEN);

/* gptneox: GPT-NeoX and Pythia. LayerNorm, biases everywhere, part of each head rotated; attention and
 * feed-forward side by side, each behind its own norm, or one after the other. */
#include "decoder.h"

static leat_status gptneox_hparams(arch_loader *l, hparams *hp) {
    leat_status s = decoder_hparams(l, hp);
    if (!s) s = arch_bool(l, "use_parallel_residual", NULL, &hp->parallel_residual);
    return s;
}

const arch arch_gptneox = DECODER("gptneox", gptneox_hparams, .rope = ROPE_HALVES, .norm = NORM_LAYER,
                                  .activation = ACTIVATION_GELU, .plain_ffn = true);

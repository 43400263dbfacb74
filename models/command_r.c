/* command-r: Cohere's Command R. Attention and feed-forward side by side behind one LayerNorm without bias;
 * the largest models norm the heads of q and k, each with a gain of its own. */
#include "decoder.h"

#include <float.h>

static leat_status command_r_hparams(arch_loader *l, hparams *hp) {
    leat_status s = decoder_hparams(l, hp);
    if (!s) s = arch_f32(l, "logit_scale", -FLT_MAX, FLT_MAX, NULL, &hp->logit_scale);
    return s;
}

const arch arch_command_r = DECODER("command-r", command_r_hparams, .norm = NORM_LAYER, .shared_norm = true,
                                    .head_norm = HEAD_NORM_HEADS, .head_norm_optional = true);

/* cohere2: Command R7B and A. Attention and feed-forward side by side behind one LayerNorm without bias;
 * three of four layers see a window and are rotated, the fourth sees everything and is not. */
#include "decoder.h"

#include <float.h>

static leat_status cohere2_hparams(arch_loader *l, hparams *hp) {
    leat_status s = decoder_hparams(l, hp);
    if (!s) s = arch_read_windows(l, hp, 0, 4);
    if (!s) s = arch_f32(l, "logit_scale", -FLT_MAX, FLT_MAX, NULL, &hp->logit_scale);
    return s;
}

const arch arch_cohere2 = DECODER("cohere2", cohere2_hparams, .norm = NORM_LAYER, .shared_norm = true,
                                  .rotate_windowed_only = true);

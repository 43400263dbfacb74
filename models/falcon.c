/* falcon: Falcon 7B. Attention and a feed-forward of GELU without a gate side by side behind one LayerNorm.
 */
#include "decoder.h"

const arch arch_falcon = DECODER("falcon", decoder_hparams, .rope = ROPE_HALVES, .norm = NORM_LAYER,
                                 .shared_norm = true, .activation = ACTIVATION_GELU, .plain_ffn = true);

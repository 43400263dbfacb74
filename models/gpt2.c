/* gpt2: GPT-2. Learned positions, LayerNorm, biases everywhere, a feed-forward of GELU without a gate. */
#include "decoder.h"

const arch arch_gpt2 = DECODER("gpt2", decoder_hparams, .norm = NORM_LAYER, .positions = true,
                               .activation = ACTIVATION_GELU, .plain_ffn = true);

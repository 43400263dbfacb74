/* starcoder2: StarCoder 2. LayerNorm, biases everywhere, a feed-forward of GELU without a gate. */
#include "decoder.h"

const arch arch_starcoder2 = DECODER("starcoder2", decoder_hparams, .rope = ROPE_HALVES, .norm = NORM_LAYER,
                                     .activation = ACTIVATION_GELU, .plain_ffn = true);

/* starcoder: StarCoder and SantaCoder: GPT-2 with one head for keys and values. */
#include "decoder.h"

const arch arch_starcoder = DECODER("starcoder", decoder_hparams, .norm = NORM_LAYER, .positions = true,
                                    .activation = ACTIVATION_GELU, .plain_ffn = true);

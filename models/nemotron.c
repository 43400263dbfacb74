/* nemotron: Nemotron 3 and 4, Minitron. LayerNorm, part of each head rotated, a feed-forward of squared ReLU
 * without a gate. */
#include "decoder.h"

const arch arch_nemotron = DECODER("nemotron", decoder_hparams, .rope = ROPE_HALVES, .norm = NORM_LAYER,
                                   .activation = ACTIVATION_RELU_SQR, .plain_ffn = true);

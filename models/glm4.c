/* glm4: GLM-4-0414. Llama with norms on both sides of a block, half of each head rotated, gate and up in one
 * tensor. */
#include "decoder.h"

const arch arch_glm4 = DECODER("glm4", decoder_hparams, .rope = ROPE_PAIRS, .post_norm = true);

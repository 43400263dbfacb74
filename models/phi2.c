/* phi2: Phi-1.5 and Phi-2. LayerNorm, biases everywhere, part of each head rotated; attention and a
 * feed-forward without a gate side by side behind one norm. */
#include "decoder.h"

const arch arch_phi2 = DECODER("phi2", decoder_hparams, .rope = ROPE_HALVES, .norm = NORM_LAYER,
                               .shared_norm = true, .activation = ACTIVATION_GELU, .plain_ffn = true);

/* gemma: Google's Gemma 1. Scaled embeddings, heads wider than their share, GELU in the gate. (Its gains are
 * stored with 1 added.) */
#include "decoder.h"

const arch arch_gemma = DECODER("gemma", decoder_hparams, .rope = ROPE_HALVES, .activation = ACTIVATION_GELU,
                                .embed_scaled = true);

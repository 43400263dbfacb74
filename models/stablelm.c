/* stablelm: StableLM 3B and 2. LayerNorm, part of each head rotated, SwiGLU. The 12B model norms the heads of
 * q and k, and has attention and feed-forward side by side behind one norm. */
#include "decoder.h"

const arch arch_stablelm =
    DECODER("stablelm", decoder_hparams, .rope = ROPE_HALVES, .norm = NORM_LAYER, .shared_norm = true,
            .head_norm = HEAD_NORM_HEADS, .head_norm_optional = true);

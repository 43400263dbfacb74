/* hunyuan-dense: Tencent's dense Hunyuan. Llama with a norm on each head of q and k, behind the rotation. */
#include "decoder.h"

const arch arch_hunyuan_dense = DECODER("hunyuan-dense", decoder_hparams, .rope = ROPE_HALVES,
                                        .head_norm = HEAD_NORM_HEADS, .head_norm_rotated = true);

/* qwen3: the dense models of Qwen 3. Llama with a norm on each head of q and k. */
#include "decoder.h"

const arch arch_qwen3 = DECODER("qwen3", decoder_hparams, .rope = ROPE_HALVES, .head_norm = HEAD_NORM_HEADS);

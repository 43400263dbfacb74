/* chatglm: ChatGLM 3 and GLM-4-9B. Llama with biases on q, k and v, half of each head rotated, and fused
 * tensors. */
#include "decoder.h"

const arch arch_chatglm = DECODER("chatglm", decoder_hparams, .rope = ROPE_PAIRS);

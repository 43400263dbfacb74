/* qwen2: Qwen 2 and 2.5. Llama with biases on q, k and v. */
#include "decoder.h"

const arch arch_qwen2 = DECODER("qwen2", decoder_hparams, .rope = ROPE_HALVES);

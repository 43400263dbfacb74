/* deepseek: DeepSeek MoE 16B, the first of the family. Llama with experts after the first layer and some that
 * every token uses. */
#include "decoder.h"

const arch arch_deepseek = DECODER("deepseek", decoder_expert_hparams, .rope = ROPE_PAIRS, .experts = true);

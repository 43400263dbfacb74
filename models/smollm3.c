/* smollm3: SmolLM3. Llama that does not rotate every fourth layer. */
#include "decoder.h"

const arch arch_smollm3 = DECODER("smollm3", decoder_hparams, .rope = ROPE_PAIRS, .unrotated_period = 4);

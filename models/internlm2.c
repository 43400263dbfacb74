/* internlm2: the blocks of llama under another name. */
#include "decoder.h"

const arch arch_internlm2 = DECODER("internlm2", decoder_hparams, .rope = ROPE_PAIRS);

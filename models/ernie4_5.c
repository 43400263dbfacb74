/* ernie4_5: the dense models of ERNIE 4.5: the blocks of llama under another name. */
#include "decoder.h"

const arch arch_ernie4_5 = DECODER("ernie4_5", decoder_hparams, .rope = ROPE_PAIRS);

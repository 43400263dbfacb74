/* xverse: the blocks of llama under another name. */
#include "decoder.h"

const arch arch_xverse = DECODER("xverse", decoder_hparams, .rope = ROPE_PAIRS);

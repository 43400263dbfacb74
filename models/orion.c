/* orion: Orion 14B. Llama with LayerNorm. */
#include "decoder.h"

const arch arch_orion = DECODER("orion", decoder_hparams, .rope = ROPE_HALVES, .norm = NORM_LAYER);

/* exaone: EXAONE 3. Llama that rotates halves. */
#include "decoder.h"

const arch arch_exaone = DECODER("exaone", decoder_hparams, .rope = ROPE_HALVES);

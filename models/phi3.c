/* phi3: Phi-3, 3.5 and 4. Llama with q, k and v in one tensor, gate and up in another, and LongRoPE's two
 * sets of divisors. Files name a window that the models were not run with: it is not applied, as in other
 * runtimes. */
#include "decoder.h"

const arch arch_phi3 = DECODER("phi3", decoder_hparams, .rope = ROPE_HALVES);

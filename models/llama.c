/* llama: Llama 1 to 3.x, Mistral, and the many models of the same shape. RMS norm, rotary positions on pairs
 * (with divisors in rope_freqs.weight for Llama 3.1's long context), grouped-query attention, SwiGLU. */
#include "decoder.h"

const arch arch_llama = DECODER("llama", decoder_hparams, .rope = ROPE_PAIRS);

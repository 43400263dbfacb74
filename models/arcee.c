/* arcee: Arcee's AFM. Llama with a feed-forward of squared ReLU without a gate. */
#include "decoder.h"

const arch arch_arcee = DECODER("arcee", decoder_hparams, .rope = ROPE_PAIRS,
                                .activation = ACTIVATION_RELU_SQR, .plain_ffn = true);

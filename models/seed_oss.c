/* seed_oss: ByteDance's Seed-OSS. Llama with biases on q, k and v; the feed-forward's norm goes by another
 * name. */
#include "decoder.h"

const arch arch_seed_oss =
    DECODER("seed_oss", decoder_hparams, .rope = ROPE_HALVES, .ffn_norm = "post_attention_norm");

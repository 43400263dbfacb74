/* llama-embed, eurobert: llama whose tokens see each other both ways, for embeddings. */
#include "decoder.h"

static leat_status both_ways_hparams(arch_loader *l, hparams *hp) {
    leat_status s = decoder_hparams(l, hp);
    hp->both_ways = true; /* unless it is said otherwise, which no such model does */
    return s;
}

const arch arch_llama_embed = DECODER("llama-embed", both_ways_hparams, .rope = ROPE_PAIRS);
const arch arch_eurobert = DECODER("eurobert", both_ways_hparams, .rope = ROPE_HALVES);

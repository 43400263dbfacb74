/* internlm2: the blocks of llama under another name. */
#include "decoder.h"

static leat_status internlm2_hparams(arch_loader *l, hparams *hp) {
    leat_status s = arch_read_common(l, hp);
    if (!s) s = arch_read_rope(l, hp, ROPE_PAIRS);
    return s;
}

const arch arch_internlm2 = {
    .name = "internlm2",
    .weights_bytes = sizeof(ends_block),
    .layer_bytes = sizeof(decoder_layer),
    .read_hparams = internlm2_hparams,
    .bind = decoder_bind,
    .build = decoder_build,
};

/* exaone4: EXAONE 4.0. No norm before a block, one behind it, and one on each head of q and k. The 32B model,
 * known by its 64 layers, has windows on three of four layers, and rotates only these. */
#include "decoder.h"

enum { WINDOWED_LAYERS = 64, WINDOW = 4096, PERIOD = 4 };

static leat_status exaone4_hparams(arch_loader *l, hparams *hp) {
    leat_status s = decoder_hparams(l, hp);
    if (!s && hp->n_layer == WINDOWED_LAYERS) s = arch_read_windows(l, hp, WINDOW, PERIOD);
    return s;
}

const arch arch_exaone4 =
    DECODER("exaone4", exaone4_hparams, .rope = ROPE_HALVES, .no_pre_norm = true, .post_norm = true,
            .head_norm = HEAD_NORM_HEADS, .rotate_windowed_only = true);

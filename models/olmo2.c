/* olmo2: OLMo 2 and 3. No norm before a block, one behind it, and one over all heads of q and of k. OLMo 3
 * has windows on three of four layers, whose rotations are not scaled for long contexts. */
#include "decoder.h"

enum { PERIOD = 4 };

static leat_status olmo2_hparams(arch_loader *l, hparams *hp) {
    leat_status s = decoder_hparams(l, hp);
    if (!s && arch_has_key(l, "attention.sliding_window")) s = arch_read_windows(l, hp, 0, PERIOD);
    if (!s && hp->window) hp->rope_swa = decoder_unscaled_rope(hp, hp->rope.freq_base);
    return s;
}

const arch arch_olmo2 = DECODER("olmo2", olmo2_hparams, .rope = ROPE_HALVES, .no_pre_norm = true,
                                .post_norm = true, .head_norm = HEAD_NORM_ROW);

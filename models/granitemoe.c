/* granitemoe: Granite 3 and 4 with experts, and perhaps one that every token uses. The experts are as wide as
 * feed_forward_length. */
#include "decoder.h"
#include "granite.h"

static leat_status granitemoe_hparams(arch_loader *l, hparams *hp) {
    leat_status s = decoder_hparams(l, hp);
    if (!s) s = granite_factors(l, hp, true);
    return s;
}

const arch arch_granitemoe = DECODER("granitemoe", granitemoe_hparams, .rope = ROPE_PAIRS, .experts = true,
                                     .experts_wide = true, .expert_norm = true);

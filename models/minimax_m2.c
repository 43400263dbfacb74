/* minimax-m2: MiniMax M2. All heads of q and k are normed as one row, part of each head is rotated; experts
 * chosen by sigmoid with a bias. */
#include "decoder.h"

const arch arch_minimax_m2 =
    DECODER("minimax-m2", decoder_expert_hparams, .rope = ROPE_HALVES, .head_norm = HEAD_NORM_ROW,
            .experts = true, .expert_norm = true, .expert_gating = MOE_SIGMOID);

/* qwen2vl, qwen3vl, qwen3vlmoe: the language models of Qwen 2.5 VL and Qwen 3 VL, for text. Positions have
 * sections, for time, height and width, which for text are all the same. */
#include "decoder.h"

static leat_status qwen2vl_hparams(arch_loader *l, hparams *hp) {
    leat_status s = decoder_hparams(l, hp);
    return s ? s : arch_read_sections_apart(l, hp);
}

static leat_status qwen3vl_hparams(arch_loader *l, hparams *hp) {
    const decoder_options *o = hp->options;
    leat_status s = o->experts ? decoder_expert_hparams(l, hp) : decoder_hparams(l, hp);
    return s ? s : arch_read_sections(l, hp);
}

const arch arch_qwen2vl = DECODER("qwen2vl", qwen2vl_hparams, .rope = ROPE_HALVES, .sections = true);
const arch arch_qwen3vl =
    DECODER("qwen3vl", qwen3vl_hparams, .rope = ROPE_HALVES, .sections = true, .head_norm = HEAD_NORM_HEADS);
const arch arch_qwen3vlmoe = DECODER("qwen3vlmoe", qwen3vl_hparams, .rope = ROPE_HALVES, .sections = true,
                                     .head_norm = HEAD_NORM_HEADS, .experts = true, .expert_norm = true);

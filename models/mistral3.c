/* mistral3: Ministral 3 and what follows it. Llama whose queries may grow with their position, to keep
 * attention sharp over long contexts. */
#include "decoder.h"

#include <float.h>

static leat_status mistral3_hparams(arch_loader *l, hparams *hp) {
    const float none = 0.0f;
    leat_status s = decoder_hparams(l, hp);
    if (!s) s = arch_f32(l, "attention.temperature_scale", -FLT_MAX, FLT_MAX, &none, &hp->temperature_scale);
    if (!s && hp->temperature_scale != 0.0f) hp->temperature_length = hp->rope.orig_ctx;
    return s;
}

const arch arch_mistral3 = DECODER("mistral3", mistral3_hparams, .rope = ROPE_PAIRS, .temperature = true);

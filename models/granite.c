/* granite: IBM's dense Granite 3 and 4. Llama with factors on embeddings, scores, what blocks add, and
 * logits. Models without rotation say so with rope.scaling.finetuned = false. */
#include "decoder.h"

#include <float.h>

static leat_status granite_hparams(arch_loader *l, hparams *hp) {
    const bool yes = true;
    const float none = 0.0f;
    bool rotated = true;
    leat_status s = decoder_hparams(l, hp);
    if (!s) s = arch_f32(l, "logit_scale", FLT_MIN, FLT_MAX, NULL, &hp->logit_scale);
    if (!s) s = arch_f32(l, "residual_scale", -FLT_MAX, FLT_MAX, &none, &hp->residual_scale);
    if (!s) s = arch_f32(l, "embedding_scale", -FLT_MAX, FLT_MAX, &none, &hp->embed_scale);
    if (!s) s = arch_f32(l, "attention.scale", -FLT_MAX, FLT_MAX, &none, &hp->attention_scale);
    if (!s) s = arch_bool(l, "rope.scaling.finetuned", &yes, &rotated);
    if (!s) hp->logit_scale = 1.0f / hp->logit_scale; /* the file has the divisor */
    if (!s && !rotated) hp->rope.n_dims = 0;
    return s;
}

const arch arch_granite = DECODER("granite", granite_hparams, .rope = ROPE_PAIRS);

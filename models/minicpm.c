/* minicpm: MiniCPM 1 and 2. Llama with factors on embeddings, what blocks add, and logits; files of the first
 * model name none, and mean those that it was trained with. */
#include "decoder.h"

#include <float.h>
#include <math.h>

static leat_status minicpm_hparams(arch_loader *l, hparams *hp) {
    leat_status s = decoder_hparams(l, hp);
    const float embed = 12.0f, residual = 1.4f / sqrtf((float)hp->n_layer),
                logit = (float)hp->n_embd / 256.0f;
    if (!s) s = arch_f32(l, "embedding_scale", FLT_MIN, FLT_MAX, &embed, &hp->embed_scale);
    if (!s) s = arch_f32(l, "residual_scale", FLT_MIN, FLT_MAX, &residual, &hp->residual_scale);
    if (!s) s = arch_f32(l, "logit_scale", FLT_MIN, FLT_MAX, &logit, &hp->logit_scale);
    if (!s) hp->logit_scale = 1.0f / hp->logit_scale; /* the file has the divisor */
    return s;
}

const arch arch_minicpm = DECODER("minicpm", minicpm_hparams, .rope = ROPE_PAIRS);

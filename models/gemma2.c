/* gemma2: Gemma 2. Gemma with norms on both sides of a block, capped scores and logits, and a window on every
 * second layer. The 27B model, known by its 46 layers, scales scores by the width per head instead of the
 * head's size. */
#include "decoder.h"

#include <float.h>
#include <math.h>

enum { LAYERS_27B = 46, WINDOW = 4096, PERIOD = 2 };

static leat_status gemma2_hparams(arch_loader *l, hparams *hp) {
    const float attention_cap = 50.0f, logit_cap = 30.0f;
    leat_status s = decoder_hparams(l, hp);
    if (!s) s = arch_read_windows(l, hp, WINDOW, PERIOD);
    if (!s) s = decoder_window_base(l, hp);
    if (!s) s = arch_f32(l, "attn_logit_softcapping", 0.0f, FLT_MAX, &attention_cap, &hp->attention_softcap);
    if (!s) s = arch_f32(l, "final_logit_softcapping", 0.0f, FLT_MAX, &logit_cap, &hp->logit_softcap);
    if (!s && hp->n_layer == LAYERS_27B) hp->attention_scale = 1.0f / sqrtf((float)(hp->n_embd / hp->n_head));
    return s;
}

const arch arch_gemma2 = DECODER("gemma2", gemma2_hparams, .rope = ROPE_HALVES, .post_norm = true,
                                 .activation = ACTIVATION_GELU, .embed_scaled = true);

/* gemma3: Gemma 3. Norms on both sides of a block and on each head of q and k; five of six layers see a
 * window and rotate on a base of their own, only the sixth is scaled for long contexts. The 27B model, known
 * by its 62 layers, scales scores by the width per head instead of the head's size. */
#include "decoder.h"

#include <float.h>
#include <math.h>

enum { LAYERS_27B = 62, PERIOD = 6 };

static leat_status gemma3_hparams(arch_loader *l, hparams *hp) {
    const float none = 0.0f, base = 10000.0f;
    leat_status s = decoder_hparams(l, hp);
    if (!s && arch_has_key(l, "attention.sliding_window")) s = arch_read_windows(l, hp, 0, PERIOD);
    if (!s && hp->window) hp->rope_swa = decoder_unscaled_rope(hp, base);
    if (!s && hp->window)
        s = arch_f32(l, "rope.freq_base_swa", FLT_MIN, 1e12f, &base, &hp->rope_swa.freq_base);
    if (!s) s = arch_f32(l, "final_logit_softcapping", 0.0f, FLT_MAX, &none, &hp->logit_softcap);
    if (!s && hp->n_layer == LAYERS_27B) hp->attention_scale = 1.0f / sqrtf((float)(hp->n_embd / hp->n_head));
    return s;
}

const arch arch_gemma3 =
    DECODER("gemma3", gemma3_hparams, .rope = ROPE_HALVES, .post_norm = true, .head_norm = HEAD_NORM_HEADS,
            .activation = ACTIVATION_GELU, .embed_scaled = true);

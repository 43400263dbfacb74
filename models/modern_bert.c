/* modern-bert: ModernBERT, an encoder for embeddings. Tokens see each other both ways, in two of three layers
 * half a window to each side, rotated on a base of their own there; LayerNorm before each block but the
 * first, a gate of GELU. */
#include "decoder.h"

#include <float.h>

typedef struct modern_ends {
    weight embed, embed_norm, norm;
} modern_ends;

enum { PERIOD = 3 };

static leat_status modern_hparams(arch_loader *l, hparams *hp) {
    const uint32_t none = 0;
    leat_status s = decoder_hparams(l, hp);
    hp->both_ways = true;
    if (!s) s = arch_u32(l, "attention.sliding_window", 0, INT32_MAX, &none, &hp->window);
    if (s || !hp->window) return s;
    s = arch_read_windows(l, hp, 0, 0);
    /* a period means that the first of so many layers sees everything */
    if (!s && !arch_has_array(l, "attention.sliding_window_pattern")) {
        uint32_t period = PERIOD;
        s = arch_u32(l, "attention.sliding_window_pattern", 1, ARCH_LAYERS_MAX, &period, &period);
        hparams_set_windows(hp, hp->window, 0);
        for (uint32_t i = 0; i < hp->n_layer; i += period) hp->windowed[i / 64] &= ~((uint64_t)1 << i % 64);
    }
    hp->rope_swa = hp->rope;
    if (!s)
        s = arch_f32(l, "rope.freq_base_swa", FLT_MIN, 1e12f, &hp->rope.freq_base, &hp->rope_swa.freq_base);
    return s;
}

static leat_status modern_bind(arch_loader *l, const hparams *hp, void *ends, void *layers) {
    modern_ends *e = ends;
    decoder_layer *layer = layers;
    size_t n = hp->n_embd;
    leat_status s = arch_bind(l, &e->embed, "token_embd.weight", 0, hp->n_vocab, n, 0);
    if (!s) s = arch_bind(l, &e->embed_norm, "token_embd_norm.weight", 0, 1, n, 0);
    if (!s) s = arch_bind(l, &e->norm, "output_norm.weight", 0, 1, n, 0);
    for (uint32_t i = 0; !s && i < hp->n_layer; i++) {
        s = attention_bind(l, hp, i, &layer[i].attention);
        if (!s) s = ffn_bind(l, hp, i, &layer[i].ffn);
    }
    return s;
}

static void modern_build(plan_builder *b, const hparams *hp, const void *ends, const void *layers) {
    const modern_ends *e = ends;
    const decoder_layer *layer = layers;
    stream s = stream_open(b, hp);
    plan_embed(b, &(plan_embed_step){.x = s.x, .table = &e->embed});
    plan_normalize(
        b, &(plan_normalize_step){.in = s.x, .out = s.x, .norm = block_norm(hp, &e->embed_norm, NULL)});
    for (uint32_t i = 0; i < hp->n_layer; i++) {
        const ffn_block *f = &layer[i].ffn;
        attention_project(b, hp, &layer[i].attention, &s);
        attention_steps(b, hp, i, &layer[i].attention, &s);
        ffn_project(b, hp, f, block_norm(hp, &f->norm, NULL), &s);
        ffn_steps(b, hp, f, &s);
    }
    plan_hidden(b, s.x, block_norm(hp, &e->norm, NULL));
}

const arch arch_modern_bert = {
    .name = "modern-bert",
    .weights_bytes = sizeof(modern_ends),
    .layer_bytes = sizeof(decoder_layer),
    .read_hparams = modern_hparams,
    .bind = modern_bind,
    .build = modern_build,
    .embeds = true,
    .options = &(const decoder_options){.norm = NORM_LAYER,
                                        .rope = ROPE_HALVES,
                                        .attention_norm_optional = true,
                                        .activation = ACTIVATION_GELU},
};

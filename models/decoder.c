/* The plain pre-norm decoder of decoder.h, from the shared blocks. */
#include "decoder.h"

static bool decoder_has_experts(const hparams *hp, uint32_t layer) {
    return hp->moe.routing.n_expert && layer >= hp->moe.n_dense;
}

leat_status decoder_bind(arch_loader *l, const hparams *hp, void *ends, void *layers) {
    decoder_layer *layer = layers;
    leat_status s = ends_bind(l, hp, ends);
    for (uint32_t i = 0; !s && i < hp->n_layer; i++) {
        s = attention_bind(l, hp, i, &layer[i].attention);
        if (s) break;
        s = decoder_has_experts(hp, i) ? moe_bind(l, hp, i, 0, &layer[i].moe)
                                       : ffn_bind(l, hp, i, &layer[i].ffn);
    }
    return s;
}

void decoder_build(plan_builder *b, const hparams *hp, const void *ends, const void *layers) {
    const ends_block *e = ends;
    const decoder_layer *layer = layers;
    stream s = stream_open(b, hp);

    plan_embed(b, &(plan_embed_step){.x = s.x, .table = &e->embed});
    for (uint32_t i = 0; i < hp->n_layer; i++) {
        attention_steps(b, hp, i, &layer[i].attention, &s);
        if (decoder_has_experts(hp, i))
            moe_steps(b, hp, &layer[i].moe, ACTIVATION_SILU, &s);
        else
            ffn_steps(b, hp, &layer[i].ffn, &s);
    }
    plan_output(b, &(plan_output_step){.x = s.x, .norm = {&e->norm, hp->norm_eps}, .w = &e->output});
}

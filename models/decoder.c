/* The decoder of decoder.h, from the shared blocks. */
#include "decoder.h"

#include <float.h>

/* Keys that change what a model computes, and that no architecture of this decoder follows. */
static leat_status refuse_others(arch_loader *l) {
    const bool yes = true;
    const float zero = 0.0f;
    bool causal = true;
    float clamp = 0.0f;
    leat_status s = arch_refuse(l, "expert_count", "mixture of experts");
    if (!s) s = arch_refuse(l, "nextn_predict_layers", "prediction of more than one token");
    if (!s) s = arch_bool(l, "attention.causal", &yes, &causal);
    if (!s && !causal) s = arch_error(l, LEAT_E_UNSUPPORTED, "attention that is not causal is not supported");
    if (!s) s = arch_f32(l, "attention.clamp_kqv", -FLT_MAX, FLT_MAX, &zero, &clamp);
    if (!s && clamp > 0.0f)
        s = arch_error(l, LEAT_E_UNSUPPORTED,
                       "clamped queries and keys (attention.clamp_kqv) are not supported");
    if (!s && arch_has_key(l, "rope.dimension_sections"))
        s = arch_error(l, LEAT_E_UNSUPPORTED,
                       "rotary positions in sections (rope.dimension_sections) are not supported");
    return s;
}

leat_status decoder_hparams(arch_loader *l, hparams *hp) {
    const decoder_options *o = hp->options;
    const char *eps =
        o->norm == NORM_LAYER ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon";
    leat_status s = arch_read_sizes(l, hp);
    if (!s) s = arch_f32(l, eps, FLT_MIN, 1.0f, NULL, &hp->norm_eps);
    if (!s && !o->positions) s = arch_read_rope(l, hp, o->rope);
    if (!s) s = refuse_others(l);
    return s;
}

rope_hparams decoder_unscaled_rope(const hparams *hp, float base) {
    return (rope_hparams){.layout = hp->rope.layout,
                          .n_dims = hp->rope.n_dims,
                          .freq_base = base,
                          .factor = 1.0f,
                          .orig_ctx = hp->n_ctx_train,
                          .attn_factor = 1.0f};
}

leat_status decoder_window_base(arch_loader *l, hparams *hp) {
    if (!hp->window || !arch_has_key(l, "rope.freq_base_swa")) return LEAT_OK;
    hp->rope_swa = hp->rope;
    return arch_f32(l, "rope.freq_base_swa", FLT_MIN, 1e12f, NULL, &hp->rope_swa.freq_base);
}

leat_status decoder_bind(arch_loader *l, const hparams *hp, void *ends, void *layers) {
    decoder_layer *layer = layers;
    leat_status s = ends_bind(l, hp, ends);
    for (uint32_t i = 0; !s && i < hp->n_layer; i++) {
        s = attention_bind(l, hp, i, &layer[i].attention);
        if (!s) s = ffn_bind(l, hp, i, &layer[i].ffn);
    }
    return s;
}

void decoder_build(plan_builder *b, const hparams *hp, const void *ends, const void *layers) {
    const ends_block *e = ends;
    const decoder_layer *layer = layers;
    const decoder_options *o = hp->options;
    stream s = stream_open(b, hp);

    ends_open(b, hp, e, &s);
    for (uint32_t i = 0; i < hp->n_layer; i++) {
        const attention_block *a = &layer[i].attention;
        const ffn_block *f = &layer[i].ffn;
        /* without a norm of its own the feed-forward reads what attention reads */
        bool shared = !f->norm.data && !o->no_pre_norm, parallel = hp->parallel_residual || shared;
        plan_norm norm =
            shared ? block_norm(hp, &a->norm, &a->norm_bias) : block_norm(hp, &f->norm, &f->norm_bias);

        attention_project(b, hp, a, &s);
        if (parallel) ffn_project(b, hp, f, norm, &s);
        attention_steps(b, hp, i, a, &s);
        if (!parallel) ffn_project(b, hp, f, norm, &s);
        ffn_steps(b, hp, f, &s);
    }
    ends_close(b, hp, e, &s);
}

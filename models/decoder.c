/* The decoder of decoder.h, from the shared blocks. */
#include "decoder.h"

#include <float.h>

/* Keys that change what a model computes, and that no architecture of this decoder follows. */
static leat_status refuse_others(arch_loader *l, const decoder_options *o) {
    const float zero = 0.0f;
    float clamp = 0.0f;
    leat_status s = o->experts ? LEAT_OK : arch_refuse(l, "expert_count", "mixture of experts");
    if (!s && !o->drafts) s = arch_refuse(l, "nextn_predict_layers", "prediction of more than one token");
    if (!s) s = arch_f32(l, "attention.clamp_kqv", -FLT_MAX, FLT_MAX, &zero, &clamp);
    if (!s && clamp > 0.0f)
        s = arch_error(l, LEAT_E_UNSUPPORTED,
                       "clamped queries and keys (attention.clamp_kqv) are not supported");
    if (!s && !o->sections && arch_has_key(l, "rope.dimension_sections"))
        s = arch_error(l, LEAT_E_UNSUPPORTED,
                       "rotary positions in sections (rope.dimension_sections) are not supported");
    return s;
}

/* block_count counts the layers for drafts too. */
static leat_status drafts_hparams(arch_loader *l, hparams *hp) {
    const uint32_t none = 0;
    uint32_t n = 0;
    leat_status s = arch_u32(l, "nextn_predict_layers", 0, hp->n_layer - 1, &none, &n);
    for (uint32_t i = 0; !s && i < n; i++) arch_skip_layer(l, --hp->n_layer);
    return s;
}

bool decoder_has_experts(const hparams *hp, uint32_t layer) {
    return hp->moe.routing.n_expert && layer >= hp->moe.n_dense;
}

leat_status decoder_hparams(arch_loader *l, hparams *hp) {
    const decoder_options *o = hp->options;
    const char *eps =
        o->norm == NORM_LAYER ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon";
    bool causal = true;
    leat_status s = arch_read_sizes(l, hp);
    if (!s) s = arch_f32(l, eps, FLT_MIN, 1.0f, NULL, &hp->norm_eps);
    if (!s && !o->positions) s = arch_read_rope(l, hp, o->rope);
    if (!s) s = refuse_others(l, o);
    if (!s) s = arch_bool(l, "attention.causal", &causal, &causal);
    hp->both_ways = !causal;
    if (!s && o->drafts) s = drafts_hparams(l, hp);
    hp->moe.routing.normalise = o->expert_norm;
    hp->moe.routing.gating = o->expert_gating;
    if (!s && o->experts) s = arch_read_experts(l, hp);
    if (o->experts_wide) hp->moe.n_ff = hp->n_ff;
    return s;
}

leat_status decoder_expert_hparams(arch_loader *l, hparams *hp) {
    const uint32_t none = 0;
    uint32_t n_shared = 0;
    leat_status s = decoder_hparams(l, hp);
    if (!s && !hp->moe.routing.n_expert) s = arch_error(l, LEAT_E_HPARAM, "expert_count is missing or 0");
    if (!s) s = arch_u32(l, "expert_shared_count", 0, 1024, &none, &n_shared);
    if (!s && !hp->moe.n_ff_shared) hp->moe.n_ff_shared = n_shared * hp->moe.n_ff;
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

leat_status decoder_bind_ffn(arch_loader *l, const hparams *hp, uint32_t layer, ffn_block *f, moe_block *m) {
    return decoder_has_experts(hp, layer) ? moe_bind(l, hp, layer, m) : ffn_bind(l, hp, layer, f);
}

void decoder_ffn_steps(plan_builder *b, const hparams *hp, uint32_t layer, const ffn_block *f,
                       const moe_block *m, const stream *s) {
    if (decoder_has_experts(hp, layer)) {
        moe_steps(b, hp, m, s);
        return;
    }
    ffn_project(b, hp, f, block_norm(hp, &f->norm, &f->norm_bias), s);
    ffn_steps(b, hp, f, s);
}

leat_status decoder_bind(arch_loader *l, const hparams *hp, void *ends, void *layers) {
    decoder_layer *layer = layers;
    leat_status s = ends_bind(l, hp, ends);
    for (uint32_t i = 0; !s && i < hp->n_layer; i++) {
        s = attention_bind(l, hp, i, &layer[i].attention);
        if (!s) s = decoder_bind_ffn(l, hp, i, &layer[i].ffn, &layer[i].moe);
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
        if (decoder_has_experts(hp, i)) {
            attention_project(b, hp, a, &s);
            attention_steps(b, hp, i, a, &s);
            moe_steps(b, hp, &layer[i].moe, &s);
            continue;
        }
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

/* Random tensors of layers that are more than a plain decoder's: latent and gated attention, convolutions,
 * state spaces, delta rules, experts. See maker.h. */
#include <stdio.h>

#include "kernels/kernels.h"
#include "maker.h"

/* The format of the model's matrices, or the nearest that such rows can have. */
static uint32_t format_for(const maker *k, uint64_t cols) {
    if (cols % format_get(k->m->format)->block_elems == 0) return k->m->format;
    return cols % 32 == 0 ? FORMAT_Q8_0 : FORMAT_F32;
}

static void matrix(maker *k, const char *name, uint32_t layer, uint64_t rows, uint64_t cols) {
    char full[64];
    snprintf(full, sizeof full, "blk.%%u.%.40s.weight", name);
    maker_tensor(k, full, layer, format_for(k, cols), rows, cols, 0.0f);
}

static void latent(maker *k, uint32_t i) {
    const random_model *m = k->m;
    uint64_t n = m->n_embd, heads = m->n_head, dim = m->head_dim, nope = dim - LATENT_ROPE;
    matrix(k, "attn_kv_a_mqa", i, LATENT_RANK + LATENT_ROPE, n);
    maker_vector(k, "blk.%u.attn_kv_a_norm.weight", i, LATENT_RANK, 1.0f);
    if (m->spec->absorbed) {
        matrix(k, "attn_q_a", i, LATENT_RANK, n);
        maker_vector(k, "blk.%u.attn_q_a_norm.weight", i, LATENT_RANK, 1.0f);
        matrix(k, "attn_q_b", i, heads * dim, LATENT_RANK);
        k->depth = heads;
        matrix(k, "attn_k_b", i, LATENT_RANK, nope);
        k->depth = heads;
        matrix(k, "attn_v_b", i, dim, LATENT_RANK);
    } else {
        matrix(k, "attn_q", i, heads * dim, n);
        matrix(k, "attn_kv_b", i, heads * (nope + dim), LATENT_RANK);
    }
    matrix(k, "attn_output", i, n, heads * dim);
}

static void gated(maker *k, uint32_t i) {
    const random_model *m = k->m;
    uint64_t n = m->n_embd, d = m->head_dim;
    matrix(k, "attn_q", i, 2 * m->n_head * d, n);
    matrix(k, "attn_k", i, m->n_head_kv * d, n);
    matrix(k, "attn_v", i, m->n_head_kv * d, n);
    maker_vector(k, "blk.%u.attn_q_norm.weight", i, d, 1.0f);
    maker_vector(k, "blk.%u.attn_k_norm.weight", i, d, 1.0f);
    matrix(k, "attn_output", i, n, m->n_head * d);
}

static void convolution(maker *k, uint32_t i) {
    uint64_t n = k->m->n_embd;
    matrix(k, "shortconv.in_proj", i, 3 * n, n);
    maker_tensor(k, "blk.%u.shortconv.conv.weight", i, FORMAT_F32, n, MIX_TAPS, 0.0f);
    matrix(k, "shortconv.out_proj", i, n, n);
}

static void mamba(maker *k, uint32_t i) {
    uint64_t n = k->m->n_embd, inner = 2 * n, conv = inner + 2 * MAMBA_GROUPS * MAMBA_STATE;
    matrix(k, "ssm_in", i, inner + conv + MAMBA_HEADS, n);
    maker_tensor(k, "blk.%u.ssm_conv1d.weight", i, FORMAT_F32, conv, MIX_TAPS, 0.0f);
    maker_vector(k, "blk.%u.ssm_conv1d.bias", i, conv, 0.0f);
    maker_vector(k, "blk.%u.ssm_dt.bias", i, MAMBA_HEADS, 0.0f);
    maker_tensor(k, "blk.%u.ssm_a", i, FORMAT_F32, MAMBA_HEADS, 1, -0.5f);
    maker_tensor(k, "blk.%u.ssm_d", i, FORMAT_F32, MAMBA_HEADS, 1, 0.5f);
    maker_tensor(k, "blk.%u.ssm_norm.weight", i, FORMAT_F32, MAMBA_GROUPS, inner / MAMBA_GROUPS, 1.0f);
    matrix(k, "ssm_out", i, n, inner);
}

static void delta(maker *k, uint32_t i) {
    uint64_t n = k->m->n_embd, d = k->m->head_dim, conv = (2 * DELTA_KEYS + DELTA_VALUES) * d;
    matrix(k, "attn_qkv", i, conv, n);
    matrix(k, "attn_gate", i, DELTA_VALUES * d, n);
    maker_tensor(k, "blk.%u.ssm_conv1d.weight", i, FORMAT_F32, conv, MIX_TAPS, 0.0f);
    maker_vector(k, "blk.%u.ssm_dt.bias", i, DELTA_VALUES, 0.0f);
    maker_vector(k, "blk.%u.ssm_a", i, DELTA_VALUES, -0.5f);
    maker_vector(k, "blk.%u.ssm_norm.weight", i, d, 1.0f);
    if (k->m->spec->pairs)
        matrix(k, "ssm_ba", i, 2 * DELTA_VALUES, n);
    else {
        matrix(k, "ssm_beta", i, DELTA_VALUES, n);
        matrix(k, "ssm_alpha", i, DELTA_VALUES, n);
    }
    matrix(k, "ssm_out", i, n, DELTA_VALUES * d);
}

static void gemma4(maker *k, uint32_t i) {
    const random_model *m = k->m;
    bool windowed = spec_windowed(m->spec, i);
    uint64_t n = m->n_embd, d = windowed ? m->head_dim / 2 : m->head_dim,
             kv = windowed ? m->n_head_kv * d : d;
    matrix(k, "attn_q", i, m->n_head * d, n);
    maker_vector(k, "blk.%u.attn_q_norm.weight", i, d, 0.3f);
    if (i + SHARED_LAYERS < m->n_layer) {
        matrix(k, "attn_k", i, kv, n);
        maker_vector(k, "blk.%u.attn_k_norm.weight", i, d, 1.0f);
        if (windowed) matrix(k, "attn_v", i, kv, n);
    }
    matrix(k, "attn_output", i, n, m->n_head * d);
    maker_vector(k, "blk.%u.post_attention_norm.weight", i, n, 1.0f);
    matrix(k, "inp_gate", i, INPUT_WIDTH, n);
    matrix(k, "proj", i, n, INPUT_WIDTH);
    maker_vector(k, "blk.%u.post_norm.weight", i, n, 1.0f);
    maker_vector(k, "blk.%u.layer_output_scale.weight", i, 1, 0.8f);
}

void mix_inputs(maker *k) {
    const random_model *m = k->m;
    uint64_t width = m->spec->altup ? ALTUP_INPUT : INPUT_WIDTH, all = m->n_layer * width, n = m->n_embd;
    maker_tensor(k, "per_layer_token_embd.weight", 0, format_for(k, all), m->n_vocab, all, 0.0f);
    maker_tensor(k, "per_layer_model_proj.weight", 0, format_for(k, m->n_embd), all, m->n_embd, 0.0f);
    maker_vector(k, "per_layer_proj_norm.weight", 0, width, 1.0f);
    for (int i = 0; i < 2 && m->spec->altup; i++) {
        k->depth = ALTUP - 1;
        maker_tensor(k, i ? "altup_unembd_proj.weight" : "altup_proj.weight", 0, format_for(k, n), n, n,
                     0.0f);
    }
}

void mix_altup(maker *k, uint32_t i) {
    const float small = 1e-3f; /* and up to 0.1 to both sides: streams that are mixed much are chaotic */
    uint64_t n = k->m->n_embd;
    matrix(k, "laurel_l", i, ALTUP_RANK, n);
    matrix(k, "laurel_r", i, n, ALTUP_RANK);
    maker_vector(k, "blk.%u.laurel_post_norm.weight", i, n, 1.0f);
    maker_tensor(k, "blk.%u.altup_router.weight", i, FORMAT_F32, ALTUP, n, 1.0f);
    maker_vector(k, "blk.%u.altup_router_norm.weight", i, n, 10.0f);
    maker_tensor(k, "blk.%u.altup_predict_coef.weight", i, FORMAT_F32, ALTUP * ALTUP, ALTUP, small);
    maker_tensor(k, "blk.%u.altup_correct_coef.weight", i, FORMAT_F32, ALTUP, ALTUP, small);
    maker_vector(k, "blk.%u.altup_correct_scale.weight", i, n, 1.0f);
    matrix(k, "inp_gate", i, ALTUP_INPUT, n);
    matrix(k, "proj", i, n, ALTUP_INPUT);
    maker_vector(k, "blk.%u.post_norm.weight", i, n, 1.0f);
}

static void gemma4_keys(maker *k) {
    const random_model *m = k->m;
    maker_key_u32(k, "attention.key_length_swa", m->head_dim / 2);
    maker_key_u32(k, "attention.value_length_swa", m->head_dim / 2);
    maker_key_u32(k, "rope.dimension_count_swa", m->head_dim / 2);
    maker_key_f32(k, "rope.freq_base_swa", 10000.0f);
    maker_key_u32(k, "attention.shared_kv_layers", SHARED_LAYERS);
    maker_key_u32(k, "embedding_length_per_layer_input", INPUT_WIDTH);
    for (int array = 0; array < 2; array++) {
        maker_key(k, array ? "attention.head_count_kv" : "attention.sliding_window_pattern", GGUF_ARRAY);
        maker_put_u32(k, GGUF_U32);
        maker_put_u64(k, m->n_layer);
        for (uint32_t i = 0; i < m->n_layer; i++) {
            bool windowed = spec_windowed(m->spec, i);
            maker_put_u32(k, !array ? windowed : windowed ? m->n_head_kv : 1);
        }
    }
}

void mix_attention(maker *k, uint32_t layer) {
    const arch_spec *s = k->m->spec;
    maker_norm(k, "blk.%u.attn_norm", layer, k->m->n_embd);
    if (s->latent)
        latent(k, layer);
    else if (s->gemma4)
        gemma4(k, layer);
    else if (!spec_mixes(s, layer))
        gated(k, layer);
    else if (s->mixer == MIXER_CONV)
        convolution(k, layer);
    else if (s->mixer == MIXER_MAMBA)
        mamba(k, layer);
    else
        delta(k, layer);
}

void mix_experts(maker *k, uint32_t layer) {
    const random_model *m = k->m;
    const arch_spec *s = m->spec;
    const spec_experts *x = &s->experts;
    uint64_t n = m->n_embd, ff = m->n_ff;
    char name[64];
    snprintf(name, sizeof name, "blk.%%u.%s", s->ffn_norm ? s->ffn_norm : "ffn_norm");
    if (!s->no_pre_norm) maker_norm(k, name, layer, n);
    maker_tensor(k, "blk.%u.ffn_gate_inp.weight", layer, FORMAT_F32, x->n, n, 0.0f);
    if (x->bias) maker_vector(k, "blk.%u.ffn_gate_inp.bias", layer, x->n, 0.0f);
    if (x->select_bias) maker_vector(k, "blk.%u.exp_probs_b.bias", layer, x->n, 0.0f);
    static const char *const names[] = {"ffn_gate", "ffn_up", "ffn_down"};
    for (size_t i = 0; i < 3; i++) {
        uint64_t rows = i < 2 ? ff : n, cols = i < 2 ? n : ff;
        if (x->plain && i == 0) continue;
        snprintf(name, sizeof name, "%s_exps", names[i]);
        k->depth = x->n;
        matrix(k, name, layer, rows, cols);
        snprintf(name, sizeof name, "blk.%%u.%s_exps.bias", names[i]);
        if (x->bias) maker_tensor(k, name, layer, FORMAT_F32, x->n, rows, 0.0f);
        snprintf(name, sizeof name, "%s_shexp", names[i]);
        if (x->shared || x->shared_router) matrix(k, name, layer, rows, cols);
    }
    if (x->shared_router) maker_vector(k, "blk.%u.ffn_gate_inp_shexp.weight", layer, n, 0.0f);
}

void mix_beside(maker *k, uint32_t layer) {
    uint64_t n = k->m->n_embd, ff = k->m->n_ff, experts = k->m->spec->experts.n;
    maker_tensor(k, "blk.%u.ffn_gate_inp.weight", layer, FORMAT_F32, experts, n, 0.0f);
    maker_vector(k, "blk.%u.ffn_gate_inp.scale", layer, n, 5.0f);
    maker_vector(k, "blk.%u.ffn_down_exps.scale", layer, experts, 1.0f);
    maker_vector(k, "blk.%u.pre_ffw_norm_2.weight", layer, n, 1.0f);
    maker_vector(k, "blk.%u.post_ffw_norm_1.weight", layer, n, 1.0f);
    maker_vector(k, "blk.%u.post_ffw_norm_2.weight", layer, n, 1.0f);
    k->depth = experts;
    matrix(k, "ffn_gate_up_exps", layer, 2 * ff, n);
    k->depth = experts;
    matrix(k, "ffn_down_exps", layer, n, ff);
}

static void expert_keys(maker *k, const spec_experts *x, uint32_t n_ff) {
    maker_key_u32(k, "expert_count", x->n);
    maker_key_u32(k, "expert_used_count", x->used);
    maker_key_u32(k, "expert_feed_forward_length", n_ff);
    if (x->shared) maker_key_u32(k, "expert_shared_count", 1);
    if (x->shared || x->shared_router) maker_key_u32(k, "expert_shared_feed_forward_length", n_ff);
    if (x->dense) maker_key_u32(k, "leading_dense_block_count", x->dense);
    if (x->groups) maker_key_u32(k, "expert_group_count", x->groups);
    if (x->groups) maker_key_u32(k, "expert_group_used_count", x->groups_used);
    if (x->scale > 0) maker_key_f32(k, "expert_weights_scale", (float)x->scale);
}

static void mixer_keys(maker *k) {
    const random_model *m = k->m;
    const arch_spec *s = m->spec;
    uint32_t delta_inner = DELTA_VALUES * m->head_dim;
    bool is_delta = s->mixer == MIXER_DELTA;
    if (s->mixer == MIXER_CONV) {
        maker_key_u32(k, "shortconv.l_cache", MIX_TAPS);
        return;
    }
    maker_key_u32(k, "ssm.conv_kernel", MIX_TAPS);
    maker_key_u32(k, "ssm.inner_size", is_delta ? delta_inner : 2 * m->n_embd);
    maker_key_u32(k, "ssm.state_size", is_delta ? m->head_dim : MAMBA_STATE);
    maker_key_u32(k, "ssm.time_step_rank", is_delta ? DELTA_VALUES : MAMBA_HEADS);
    maker_key_u32(k, "ssm.group_count", is_delta ? DELTA_KEYS : MAMBA_GROUPS);
    if (is_delta) maker_key_u32(k, "full_attention_interval", s->attention_period);
    if (is_delta && !s->pairs) { /* turns of three that a head of any size fits */
        maker_key(k, "rope.dimension_sections", GGUF_ARRAY);
        maker_put_u32(k, GGUF_U32);
        maker_put_u64(k, 4);
        for (uint32_t i = 0; i < 4; i++) maker_put_u32(k, i < 3 ? 64 : 0);
    }
}

void mix_keys(maker *k) {
    static const arch_spec plain = {0};
    const random_model *m = k->m;
    const arch_spec *s = m->spec ? m->spec : &plain;
    bool attention = !s->mixer || s->attention_period;
    maker_key_u32(k, "feed_forward_length", attention ? m->n_ff : 0);
    maker_key_u32(k, "attention.head_count", attention ? m->n_head : 0);
    if (s->experts.n) expert_keys(k, &s->experts, m->n_ff);
    if (s->mixer) mixer_keys(k);
    if (s->gemma4)
        gemma4_keys(k);
    else if (s->mixer && s->mixer != MIXER_DELTA && attention) {
        maker_key(k, "attention.head_count_kv", GGUF_ARRAY);
        maker_put_u32(k, GGUF_U32);
        maker_put_u64(k, m->n_layer);
        for (uint32_t i = 0; i < m->n_layer; i++) maker_put_u32(k, spec_mixes(s, i) ? 0 : m->n_head_kv);
    } else if (attention)
        maker_key_u32(k, "attention.head_count_kv", s->absorbed ? 1 : s->latent ? m->n_head : m->n_head_kv);
    if (s->sections[0]) {
        maker_key(k, "rope.dimension_sections", GGUF_ARRAY);
        maker_put_u32(k, GGUF_U32);
        maker_put_u64(k, 4);
        for (uint32_t i = 0; i < 4; i++) maker_put_u32(k, s->sections[i]);
    }
    if (!s->latent) return;
    maker_key_u32(k, "rope.dimension_count", LATENT_ROPE);
    maker_key_u32(k, "attention.kv_lora_rank", LATENT_RANK);
    maker_key_u32(k, "attention.key_length", s->absorbed ? LATENT_RANK + LATENT_ROPE : m->head_dim);
    maker_key_u32(k, "attention.value_length", s->absorbed ? (uint32_t)LATENT_RANK : m->head_dim);
    if (!s->absorbed) return;
    maker_key_u32(k, "attention.q_lora_rank", LATENT_RANK);
    maker_key_u32(k, "attention.key_length_mla", m->head_dim);
    maker_key_u32(k, "attention.value_length_mla", m->head_dim);
}

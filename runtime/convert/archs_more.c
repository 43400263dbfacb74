/* Tables and keys of architectures whose layers are more than a plain decoder's: compressed attention,
 * convolutions, state spaces, delta rules. See archs.c. */
#include <string.h>

#include "archs.h"

#define END                                                                                                  \
    { NULL, NULL, OP_COPY, NULL }

/* ---- tensors ---- */

static const tensor_rule deepseek2[] = {
    {"layers.#.self_attn.q_proj", "blk.#.attn_q", OP_COPY, NULL},
    {"layers.#.self_attn.q_a_proj", "blk.#.attn_q_a", OP_COPY, NULL},
    {"layers.#.self_attn.q_a_layernorm", "blk.#.attn_q_a_norm", OP_COPY, NULL},
    {"layers.#.self_attn.q_b_proj", "blk.#.attn_q_b", OP_COPY, NULL},
    {"layers.#.self_attn.kv_a_proj_with_mqa", "blk.#.attn_kv_a_mqa", OP_COPY, NULL},
    {"layers.#.self_attn.kv_a_layernorm", "blk.#.attn_kv_a_norm", OP_COPY, NULL},
    {"layers.#.self_attn.kv_b_proj", "blk.#.attn_k_b", OP_KV_B, "blk.#.attn_v_b"},
    END};

#define LFM2                                                                                                 \
    {"embedding_norm", "token_embd_norm", OP_COPY, NULL},                                                    \
        {"layers.#.operator_norm", "blk.#.attn_norm", OP_COPY, NULL},                                        \
        {"layers.#.ffn_norm", "blk.#.ffn_norm", OP_COPY, NULL},                                              \
        {"layers.#.conv.conv", "blk.#.shortconv.conv", OP_MATRIX, NULL},                                     \
        {"layers.#.conv.in_proj", "blk.#.shortconv.in_proj", OP_COPY, NULL},                                 \
        {"layers.#.conv.out_proj", "blk.#.shortconv.out_proj", OP_COPY, NULL},                               \
        {"layers.#.self_attn.q_layernorm", "blk.#.attn_q_norm", OP_COPY, NULL},                              \
        {"layers.#.self_attn.k_layernorm", "blk.#.attn_k_norm", OP_COPY, NULL},                              \
        {"layers.#.self_attn.out_proj", "blk.#.attn_output", OP_COPY, NULL},                                 \
        {"layers.#.feed_forward.w1", "blk.#.ffn_gate", OP_COPY, NULL},                                       \
        {"layers.#.feed_forward.w2", "blk.#.ffn_down", OP_COPY, NULL}, {                                     \
        "layers.#.feed_forward.w3", "blk.#.ffn_up", OP_COPY, NULL                                            \
    }
static const tensor_rule lfm2[] = {
    LFM2,
    {"layers.#.feed_forward.gate", "blk.#.ffn_gate_inp", OP_COPY, NULL},
    {"layers.#.feed_forward.expert_bias!", "blk.#.exp_probs_b.bias", OP_COPY, NULL},
    {"layers.#.feed_forward.experts.@.w1", "blk.#.ffn_gate_exps", OP_EXPERT, NULL},
    {"layers.#.feed_forward.experts.@.w2", "blk.#.ffn_down_exps", OP_EXPERT, NULL},
    {"layers.#.feed_forward.experts.@.w3", "blk.#.ffn_up_exps", OP_EXPERT, NULL},
    END};

#define STATE_SPACE(name)                                                                                    \
    {"layers.#." name ".in_proj", "blk.#.ssm_in", OP_COPY, NULL},                                            \
        {"layers.#." name ".conv1d", "blk.#.ssm_conv1d", OP_MATRIX, NULL},                                   \
        {"layers.#." name ".dt_bias!", "blk.#.ssm_dt.bias", OP_COPY, NULL},                                  \
        {"layers.#." name ".A_log!", "blk.#.ssm_a", OP_NEG_EXP_COLUMN, NULL},                                \
        {"layers.#." name ".D!", "blk.#.ssm_d", OP_COLUMN, NULL},                                            \
        {"layers.#." name ".norm", "blk.#.ssm_norm", OP_GROUPS, NULL}, {                                     \
        "layers.#." name ".out_proj", "blk.#.ssm_out", OP_COPY, NULL                                         \
    }
static const tensor_rule mamba2[] = {{"embeddings", "token_embd", OP_COPY, NULL},
                                     {"embedding", "token_embd", OP_COPY, NULL},
                                     {"norm_f", "output_norm", OP_COPY, NULL},
                                     {"layers.#.norm", "blk.#.attn_norm", OP_COPY, NULL},
                                     STATE_SPACE("mixer"),
                                     END};
static const tensor_rule granitehybrid[] = {
    STATE_SPACE("mamba"),
    {"layers.#.block_sparse_moe.router.layer", "blk.#.ffn_gate_inp", OP_COPY, NULL},
    {"layers.#.block_sparse_moe.input_linear", "blk.#.ffn_gate_exps", OP_HALVES, "blk.#.ffn_up_exps"},
    {"layers.#.block_sparse_moe.output_linear", "blk.#.ffn_down_exps", OP_COPY, NULL},
    {"layers.#.shared_mlp.input_linear", "blk.#.ffn_gate_shexp", OP_HALVES, "blk.#.ffn_up_shexp"},
    {"layers.#.shared_mlp.output_linear", "blk.#.ffn_down_shexp", OP_COPY, NULL},
    END};
static const tensor_rule granitehybrid_dense[] = {
    STATE_SPACE("mamba"),
    {"layers.#.shared_mlp.input_linear", "blk.#.ffn_gate", OP_HALVES, "blk.#.ffn_up"},
    {"layers.#.shared_mlp.output_linear", "blk.#.ffn_down", OP_COPY, NULL},
    END};

static const tensor_rule qwen3next[] = {
    {"layers.#.post_attention_layernorm", "blk.#.post_attention_norm", OP_NORM, NULL},
    {"layers.#.linear_attn.in_proj_qkvz", "blk.#.attn_qkv", OP_QKVZ, "blk.#.attn_gate"},
    {"layers.#.linear_attn.in_proj_ba", "blk.#.ssm_ba", OP_COPY, NULL},
    {"layers.#.linear_attn.conv1d", "blk.#.ssm_conv1d", OP_MATRIX, NULL},
    {"layers.#.linear_attn.dt_bias!", "blk.#.ssm_dt.bias", OP_COPY, NULL},
    {"layers.#.linear_attn.A_log!", "blk.#.ssm_a", OP_NEG_EXP, NULL},
    {"layers.#.linear_attn.norm", "blk.#.ssm_norm", OP_COPY, NULL},
    {"layers.#.linear_attn.out_proj", "blk.#.ssm_out", OP_COPY, NULL},
    END};
static const tensor_rule qwen35[] = {
    {"layers.#.post_attention_layernorm", "blk.#.post_attention_norm", OP_NORM, NULL},
    {"layers.#.linear_attn.in_proj_qkv", "blk.#.attn_qkv", OP_V_QKV, NULL},
    {"layers.#.linear_attn.in_proj_z", "blk.#.attn_gate", OP_V_ROWS, NULL},
    {"layers.#.linear_attn.in_proj_b", "blk.#.ssm_beta", OP_V_VALUES, NULL},
    {"layers.#.linear_attn.in_proj_a", "blk.#.ssm_alpha", OP_V_VALUES, NULL},
    {"layers.#.linear_attn.conv1d", "blk.#.ssm_conv1d", OP_V_QKV, NULL},
    {"layers.#.linear_attn.dt_bias!", "blk.#.ssm_dt.bias", OP_V_VALUES, NULL},
    {"layers.#.linear_attn.A_log!", "blk.#.ssm_a", OP_V_NEG_EXP, NULL},
    {"layers.#.linear_attn.norm", "blk.#.ssm_norm", OP_COPY, NULL},
    {"layers.#.linear_attn.out_proj", "blk.#.ssm_out", OP_V_COLUMNS, NULL},
    END};

/* ---- keys ---- */

#define END_KEYS                                                                                             \
    { NULL, 0, NULL }
static const key_rule deepseek_keys[] = {
    {".leading_dense_block_count", 'u', "first_k_dense_replace"},
    {".expert_feed_forward_length", 'u', "moe_intermediate_size|intermediate_size"},
    {".expert_shared_count", 'u', "n_shared_experts"},
    {".expert_weights_scale", 'f', "routed_scaling_factor"},
    {".expert_weights_norm", 'b', "norm_topk_prob"},
    {".attention.q_lora_rank", 'u', "q_lora_rank"},
    {".attention.kv_lora_rank", 'U', "kv_lora_rank"},
    {".rope.dimension_count", 'U', "qk_rope_head_dim"},
    {".attention.value_length_mla", 'U', "v_head_dim"},
    END_KEYS};
static const key_rule delta_keys[] = {
    {".ssm.conv_kernel", 'U', "linear_conv_kernel_dim"},
    {".ssm.state_size", 'U', "linear_key_head_dim"},
    {".ssm.group_count", 'U', "linear_num_key_heads"},
    {".ssm.time_step_rank", 'U', "linear_num_value_heads"},
    {".expert_feed_forward_length", 'u', "moe_intermediate_size"},
    {".expert_shared_feed_forward_length", 'u', "shared_expert_intermediate_size"},
    END_KEYS};
static const key_rule granite_keys[] = {
    {".attention.scale", 'f', "attention_multiplier"},
    {".embedding_scale", 'f', "embedding_multiplier"},
    {".residual_scale", 'f', "residual_multiplier"},
    {".logit_scale", 'f', "logits_scaling"},
    {".expert_shared_feed_forward_length", 'u', "shared_intermediate_size"},
    {".ssm.conv_kernel", 'u', "mamba_d_conv"},
    {".ssm.state_size", 'u', "mamba_d_state"},
    {".ssm.group_count", 'u', "mamba_n_groups"},
    {".ssm.time_step_rank", 'u', "mamba_n_heads"},
    END_KEYS};
static const key_rule lfm2_keys[] = {{".shortconv.l_cache", 'U', "conv_L_cache"},
                                     {".expert_feed_forward_length", 'u', "moe_intermediate_size"},
                                     {".leading_dense_block_count", 'u', "num_dense_layers"},
                                     END_KEYS};

/* Compressed keys and values are one head for all; what they are expanded to has lengths of its own. */
static void hparams_deepseek2(conversion *c) {
    meta_out *m = &c->meta;
    uint32_t rank = cfg_need_u32(c, "kv_lora_rank"), rope = cfg_need_u32(c, "qk_rope_head_dim"),
             nope = cfg_need_u32(c, "qk_nope_head_dim");
    c->n_head_kv = 1;
    if (!cfg(c, "first_k_dense_replace"))
        meta_put_u32(m, ".leading_dense_block_count", cfg(c, "n_routed_experts") ? 0 : c->n_layer);
    meta_put_u32(m, ".attention.head_count_kv", 1);
    meta_put_u32(m, ".attention.key_length", rank + rope);
    meta_put_u32(m, ".attention.value_length", rank);
    meta_put_u32(m, ".attention.key_length_mla", nope + rope);
    meta_put_f32(m, ".attention.layer_norm_rms_epsilon", (float)cfg_f64(c, "rms_norm_eps", 1e-6));
    const char *scale = "rope_scaling.mscale_all_dim|rope_parameters.mscale_all_dim";
    if (cfg(c, scale))
        meta_put_f32(m, ".rope.scaling.yarn_log_multiplier", (float)(0.1 * cfg_f64(c, scale, 0)));
}

/* Number of key heads of each layer: 0 where it is no attention. */
static void heads_by_kind(conversion *c, const char *attention) {
    const json_value *kinds = cfg(c, "layer_types|layers_block_type");
    if (!kinds || kinds->type != JSON_ARRAY || kinds->count < c->n_layer) {
        conversion_fail(c, LEAT_E_HPARAM, "config.json has no layer_types for all layers");
        return;
    }
    const json_value *v = kinds->first;
    meta_put_array(&c->meta, ".attention.head_count_kv", GGUF_I32, c->n_layer);
    for (uint32_t i = 0; i < c->n_layer; i++, v = v->next)
        meta_elem_32(&c->meta, v->type == JSON_STRING && str_eq(v->text, attention) ? c->n_head_kv : 0);
}

static void hparams_lfm2(conversion *c) {
    uint32_t ff = cfg_need_u32(c, "block_ff_dim|intermediate_size"),
             multiple = cfg_u32(c, "block_multiple_of", 256);
    heads_by_kind(c, "full_attention");
    if (cfg_bool(c, "block_auto_adjust_ff_dim", false)) {
        double wide = (double)(uint32_t)(2.0 * ff / 3);
        wide = (double)(uint32_t)(cfg_f64(c, "block_ffn_dim_multiplier", 1) * wide);
        if (multiple) ff = multiple * (uint32_t)((wide + multiple - 1) / multiple);
    }
    meta_put_u32(&c->meta, ".feed_forward_length", ff);
    if (!strcmp(c->arch->arch, "lfm2moe")) meta_put_u32(&c->meta, ".expert_gating_func", 2);
}

static void hparams_mamba2(conversion *c) {
    meta_out *m = &c->meta;
    uint32_t inner = cfg_u32(c, "intermediate_size|d_inner", 0), head = cfg_u32(c, "head_dim", 64);
    if (!inner) inner = (uint32_t)(cfg_f64(c, "expand", 2) * c->n_embd);
    meta_put_u32(m, ".context_length", 1 << 20); /* there is no end */
    meta_put_u32(m, ".feed_forward_length", 0);
    meta_put_u32(m, ".attention.head_count", 0);
    meta_put_u32(m, ".ssm.conv_kernel", cfg_u32(c, "conv_kernel|d_conv", 4));
    meta_put_u32(m, ".ssm.inner_size", inner);
    meta_put_u32(m, ".ssm.state_size", cfg_u32(c, "state_size|d_state", 128));
    meta_put_u32(m, ".ssm.time_step_rank", cfg_u32(c, "num_heads", head ? inner / head : 0));
    meta_put_u32(m, ".ssm.group_count", cfg_u32(c, "n_groups|ngroups", 1));
    meta_put_f32(m, ".attention.layer_norm_rms_epsilon",
                 (float)cfg_f64(c, "layer_norm_epsilon|rms_norm_eps", 1e-5));
}

static void hparams_granitehybrid(conversion *c) {
    meta_out *m = &c->meta;
    uint32_t inner = cfg_u32(c, "mamba_n_heads", 0) * cfg_u32(c, "mamba_d_head", 0);
    heads_by_kind(c, "attention");
    meta_put_u32(m, ".ssm.inner_size", inner ? inner : (uint32_t)(cfg_f64(c, "mamba_expand", 2) * c->n_embd));
    bool rope = !cfg_is(c, "position_embedding_type", "nope");
    meta_put_bool(m, ".rope.scaling.finetuned", rope);
    if (!rope) meta_put_u32(m, ".context_length", 1 << 20);
    hparams_rotated(c);
    if (!cfg_u32(c, "num_local_experts", 0))
        meta_put_u32(m, ".feed_forward_length",
                     cfg_need_u32(c, "shared_intermediate_size|intermediate_size"));
}

static void hparams_delta(conversion *c) {
    meta_out *m = &c->meta;
    double part = cfg_f64(c, "partial_rotary_factor|rope_parameters.partial_rotary_factor", 0.25);
    uint32_t values = cfg_need_u32(c, "linear_num_value_heads"),
             dim = cfg_need_u32(c, "linear_value_head_dim");
    if (!c->status && (values > 1 << 16 || dim > 1 << 14))
        conversion_fail(c, LEAT_E_HPARAM,
                        "config.json: linear_num_value_heads or linear_value_head_dim is too "
                        "large");
    meta_put_u32(m, ".ssm.inner_size", values * dim);
    meta_put_u32(m, ".full_attention_interval", cfg_u32(c, "full_attention_interval", 4));
    meta_put_u32(m, ".rope.dimension_count", part > 0 && part <= 1 ? (uint32_t)(part * c->head_dim) : 0);
    if (!strcmp(c->arch->arch, "qwen3next") ||
        cfg(c, "rope_parameters.mrope_section|rope_scaling.mrope_section"))
        return;
    static const uint32_t sections[] = {11, 11, 10, 0};
    meta_put_array(m, ".rope.dimension_sections", GGUF_I32, 4);
    for (size_t i = 0; i < 4; i++) meta_elem_32(m, sections[i]);
}

/* ---- the list ---- */

const convert_arch convert_archs_more[] = {
    {.arch = "deepseek2",
     .names = "DeepseekV2ForCausalLM|DeepseekV3ForCausalLM|Glm4MoeLiteForCausalLM|YoutuForCausalLM|"
              "KimiK2ForCausalLM|KimiK25ForConditionalGeneration|KimiVLForConditionalGeneration",
     .tensors = deepseek2,
     .keys = deepseek_keys,
     .hparams = hparams_deepseek2},
    {.arch = "granitehybrid",
     .names = "GraniteMoeHybridForCausalLM|BambaForCausalLM",
     .tensors = granitehybrid,
     .dense_tensors = granitehybrid_dense,
     .keys = granite_keys,
     .hparams = hparams_granitehybrid,
     .permute = true},
    {.arch = "lfm2",
     .names = "Lfm2ForCausalLM|LFM2ForCausalLM|Lfm2Model|Lfm2VlForConditionalGeneration",
     .tensors = lfm2,
     .keys = lfm2_keys,
     .hparams = hparams_lfm2},
    {.arch = "lfm2moe",
     .names = "Lfm2MoeForCausalLM",
     .tensors = lfm2,
     .keys = lfm2_keys,
     .hparams = hparams_lfm2},
    {.arch = "mamba2", .names = "Mamba2ForCausalLM", .tensors = mamba2, .hparams = hparams_mamba2},
    {.arch = "qwen35",
     .names = "Qwen3_5ForConditionalGeneration|Qwen3_5ForCausalLM",
     .tensors = qwen35,
     .keys = delta_keys,
     .hparams = hparams_delta,
     .add_one = true},
    {.arch = "qwen35moe",
     .names = "Qwen3_5MoeForConditionalGeneration|Qwen3_5MoeForCausalLM",
     .tensors = qwen35,
     .keys = delta_keys,
     .hparams = hparams_delta,
     .add_one = true},
    {.arch = "qwen3next",
     .names = "Qwen3NextForCausalLM",
     .tensors = qwen3next,
     .keys = delta_keys,
     .hparams = hparams_delta,
     .add_one = true},
    {.arch = NULL},
};

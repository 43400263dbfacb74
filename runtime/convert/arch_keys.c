/* Keys of the tables' architectures that have to be worked out from config.json. Called before the tables and
 * the common keys, which then don't replace what is here. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "archs.h"

static void rotated(conversion *c, double part) {
    part = cfg_f64(c,
                   "partial_rotary_factor|rope_parameters.partial_rotary_factor|rotary_pct|rope_pct|"
                   "rope_parameters.full_attention.partial_rotary_factor",
                   part);
    if (!c->status && !(part > 0 && part <= 1))
        conversion_fail(c, LEAT_E_HPARAM, "config.json: the rotated part of a head is %g", part);
    meta_put_u32(&c->meta, ".rope.dimension_count", (uint32_t)(part * c->head_dim));
}

void hparams_rotated(conversion *c) {
    rotated(c, 1);
}

void hparams_half_rotated(conversion *c) {
    rotated(c, 0.5);
    if (!strcmp(c->arch->arch, "phi2")) meta_put_bool(&c->meta, "tokenizer.ggml.add_bos_token", false);
}

/* The larger model has no rotations; nothing in its folder says so but its size. */
void hparams_baichuan(conversion *c) {
    rotated(c, 1);
    if (c->n_layer == 40)
        conversion_fail(c, LEAT_E_UNSUPPORTED,
                        "Baichuan 13B's attention by distance (ALiBi) is not supported");
}

void hparams_chatglm(conversion *c) {
    meta_out *m = &c->meta;
    uint32_t dim = cfg_u32(c, "kv_channels|attention_dim|head_dim", c->head_dim);
    c->head_dim = dim;
    c->n_head_kv =
        cfg_bool(c, "multi_query_attention", false) ? cfg_u32(c, "multi_query_group_num", 1) : c->n_head_kv;
    meta_put_u32(m, ".attention.head_count_kv", c->n_head_kv);
    meta_put_f32(m, ".attention.layer_norm_rms_epsilon",
                 (float)cfg_f64(c, "layernorm_epsilon|rms_norm_eps", 1e-5));
    if (dim * (uint64_t)c->n_head != c->n_embd) {
        meta_put_u32(m, ".attention.key_length", dim);
        meta_put_u32(m, ".attention.value_length", dim);
    }
    meta_put_u32(m, ".rope.dimension_count", dim / 2);
    meta_put_f32(m, ".rope.freq_base",
                 (float)(cfg_f64(c, "rope_theta", 10000.0) * cfg_f64(c, "rope_ratio", 1.0)));
    meta_put_bool(m, "tokenizer.ggml.add_bos_token", false);
}

void hparams_codeshell(conversion *c) {
    c->n_head_kv = cfg_u32(c, "num_query_groups", c->n_head);
    meta_put_u32(&c->meta, ".attention.head_count_kv", c->n_head_kv);
    meta_put_u32(&c->meta, ".feed_forward_length", cfg_u32(c, "n_inner", 4 * c->n_embd));
    meta_put_f32(&c->meta, ".rope.freq_base", (float)cfg_f64(c, "rope_theta", 10000.0));
}

/* Llama with experts; weights of the chosen are neither scaled nor made shares of 1. */
void hparams_deepseek(conversion *c) {
    rotated(c, 1);
    meta_put_text(&c->meta, ".rope.scaling.type", "none");
    meta_put_f32(&c->meta, ".expert_weights_scale", 1.0f);
}

void hparams_ernie_moe(conversion *c) {
    uint32_t shared = cfg_u32(c, "moe_num_shared_experts", 0), width = cfg_u32(c, "moe_intermediate_size", 0);
    if (shared && width < UINT32_MAX / shared)
        meta_put_u32(&c->meta, ".expert_shared_feed_forward_length", shared * width);
}

void hparams_exaone(conversion *c) {
    meta_put_f32(&c->meta, ".attention.layer_norm_rms_epsilon",
                 (float)cfg_f64(c, "layer_norm_epsilon", 1e-5));
    rotated(c, 1);
}

void hparams_falcon(conversion *c) {
    meta_out *m = &c->meta;
    uint32_t kv = cfg_u32(c, "num_kv_heads|n_head_kv", 1);
    if (cfg_bool(c, "alibi", false))
        conversion_fail(c, LEAT_E_UNSUPPORTED, "attention by distance (ALiBi) is not supported");
    if (!cfg_bool(c, "new_decoder_architecture", false))
        kv = cfg_bool(c, "multi_query", true) ? 1 : c->n_head;
    c->n_head_kv = kv;
    meta_put_u32(m, ".context_length", cfg_u32(c, "max_position_embeddings", 2048));
    meta_put_u32(m, ".feed_forward_length", cfg_u32(c, "ffn_hidden_size", 4 * c->n_embd));
    meta_put_u32(m, ".attention.head_count_kv", kv);
    meta_put_f32(m, ".attention.layer_norm_epsilon", (float)cfg_f64(c, "layer_norm_epsilon", 1e-5));
}

void hparams_gemma3(conversion *c) {
    meta_out *m = &c->meta;
    c->n_head = cfg_u32(c, "num_attention_heads", 8);
    c->n_head_kv = cfg_u32(c, "num_key_value_heads", 4);
    c->head_dim = cfg_u32(c, "head_dim", 256);
    meta_put_u32(m, ".context_length", cfg_u32(c, "max_position_embeddings", 131072));
    meta_put_u32(m, ".attention.head_count", c->n_head);
    meta_put_u32(m, ".attention.key_length", c->head_dim);
    meta_put_u32(m, ".attention.value_length", c->head_dim);
    meta_put_f32(m, ".attention.layer_norm_rms_epsilon", (float)cfg_f64(c, "rms_norm_eps", 1e-6));
    if (!cfg(c, "rope_parameters.full_attention.rope_theta|rope_parameters.rope_theta"))
        meta_put_f32(m, ".rope.freq_base", (float)cfg_f64(c, "rope_theta", 1e6));
    if (cfg_f64(c, "final_logit_softcapping", 0) > 0)
        meta_put_f32(m, ".final_logit_softcapping", (float)cfg_f64(c, "final_logit_softcapping", 0));
    if (cfg_u32(c, "sliding_window_pattern|_sliding_window_pattern", 6) != 1)
        meta_put_u32(m, ".attention.sliding_window", cfg_u32(c, "sliding_window", 4096));
}

void hparams_glm4moe(conversion *c) {
    rotated(c, 0.5);
    meta_put_u32(&c->meta, ".expert_gating_func", 2);
}

void hparams_gpt2(conversion *c) {
    c->n_head_kv = cfg_bool(c, "multi_query", false) ? 1 : c->n_head;
    meta_put_u32(&c->meta, ".attention.head_count_kv", c->n_head_kv);
    meta_put_u32(&c->meta, ".feed_forward_length", cfg_u32(c, "n_inner", 4 * c->n_embd));
    meta_put_f32(&c->meta, ".attention.layer_norm_epsilon", (float)cfg_f64(c, "layer_norm_epsilon", 1e-5));
}

void hparams_gptneox(conversion *c) {
    rotated(c, 1);
    meta_put_bool(&c->meta, ".use_parallel_residual", cfg_bool(c, "use_parallel_residual", true));
}

/* The base grows with "alpha" once, for all lengths of context. */
void hparams_hunyuan(conversion *c) {
    meta_out *m = &c->meta;
    bool experts = !strcmp(c->arch->arch, "hunyuan-moe");
    if (experts) {
        meta_put_u32(m, ".expert_shared_feed_forward_length", cfg_need_u32(c, "intermediate_size"));
        meta_put_u32(m, ".expert_feed_forward_length", cfg_need_u32(c, "moe_intermediate_size"));
        meta_put_u32(m, ".expert_shared_count", cfg_u32(c, "num_shared_expert", 1));
    }
    if (!cfg_is(c, "rope_scaling.type|rope_parameters.rope_type|rope_scaling.rope_type", "dynamic")) return;
    double alpha = cfg_f64(c, "rope_scaling.alpha|rope_parameters.alpha", experts ? 1000 : 50),
           base = cfg_f64(c, "rope_theta|rope_parameters.rope_theta", 10000.0), dim = c->head_dim;
    if (!(alpha > 0) || dim <= 2) return;
    meta_put_f32(m, ".rope.freq_base", (float)(base * pow(alpha, dim / (dim - 2))));
    meta_put_text(m, ".rope.scaling.type", "none");
    meta_put_f32(m, ".rope.scaling.factor", 1.0f);
    meta_put_u32(m, ".rope.scaling.original_context_length", 256 * 1024);
    meta_put_u32(m, ".context_length", 256 * 1024);
}

void hparams_minicpm(conversion *c) {
    meta_out *m = &c->meta;
    double depth = cfg_f64(c, "scale_depth", 1.4), base = cfg_f64(c, "dim_model_base", 256);
    meta_put_f32(m, ".embedding_scale", (float)cfg_f64(c, "scale_emb", 12));
    meta_put_f32(m, ".residual_scale", (float)(depth / sqrt(c->n_layer)));
    meta_put_f32(m, ".logit_scale", base > 0 ? (float)(c->n_embd / base) : 1.0f);
    rotated(c, 1);
}

void hparams_minimax(conversion *c) {
    if (!cfg_is(c, "scoring_func", "softmax")) meta_put_u32(&c->meta, ".expert_gating_func", 2);
}

void hparams_mistral3(conversion *c) {
    rotated(c, 1);
    if (cfg(c, "rope_parameters.llama_4_scaling_beta"))
        meta_put_f32(&c->meta, ".attention.temperature_scale",
                     (float)cfg_f64(c, "rope_parameters.llama_4_scaling_beta", 0));
    if (cfg(c, "rope_parameters.mscale_all_dim"))
        meta_put_f32(&c->meta, ".rope.scaling.yarn_log_multiplier",
                     (float)cfg_f64(c, "rope_parameters.mscale_all_dim", 0));
}

void hparams_orion(conversion *c) {
    meta_put_f32(&c->meta, ".attention.layer_norm_epsilon",
                 (float)cfg_f64(c, "rms_norm_eps|layer_norm_eps", 1e-5));
}

void hparams_phi3(conversion *c) {
    meta_out *m = &c->meta;
    uint32_t length = cfg_u32(c, "max_position_embeddings", 4096);
    rotated(c, 1);
    meta_put_u32(m, ".rope.scaling.original_context_length",
                 cfg_u32(c,
                         "original_max_position_embeddings|rope_parameters.original_max_position_embeddings",
                         length));
    meta_put_u32(m, ".attention.sliding_window", cfg_u32(c, "sliding_window", 0));
}

/* Layers that images go into beside the first; text does not need them, but readers ask for their number. */
void hparams_qwen3vl(conversion *c) {
    const json_value *list = json_path(c->config, "vision_config.deepstack_visual_indexes");
    meta_put_u32(&c->meta, ".n_deepstack_layers",
                 list && list->type == JSON_ARRAY && list->count <= 64 ? (uint32_t)list->count : 0);
}

/* Experts are chosen by sigmoid unless the configuration says otherwise. */
void hparams_sigmoid(conversion *c) {
    if (!cfg_is(c, "scoring_func", "softmax")) meta_put_u32(&c->meta, ".expert_gating_func", 2);
}

void hparams_stablelm(conversion *c) {
    rotated(c, 0.25);
    meta_put_f32(&c->meta, ".attention.layer_norm_epsilon",
                 (float)cfg_f64(c, "layer_norm_eps|norm_eps|norm_epsilon", 1e-5));
}

void hparams_layer_kinds(conversion *c, const char *key, const char *word) {
    const json_value *kinds = cfg(c, "layer_types");
    if (!kinds || kinds->type != JSON_ARRAY || kinds->count < c->n_layer || meta_has(&c->meta, key)) return;
    const json_value *v = kinds->first;
    meta_put_array(&c->meta, key, GGUF_BOOL, c->n_layer);
    for (uint32_t i = 0; i < c->n_layer; i++, v = v->next)
        meta_elem_u8(&c->meta, v->type == JSON_STRING && str_eq(v->text, word));
}

void hparams_windows(conversion *c) {
    if (!cfg(c, "sliding_window")) return;
    meta_put_u32(&c->meta, ".attention.sliding_window", cfg_u32(c, "sliding_window", 0));
    hparams_layer_kinds(c, ".attention.sliding_window_pattern", "sliding_attention");
}

/* Tables and keys of Gemma from 3n on, and of the embedding model made of Gemma 3. See archs.c. */
#include <math.h>

#include "archs.h"

#define END                                                                                                  \
    { NULL, NULL, OP_COPY, NULL }
#define END_KEYS                                                                                             \
    { NULL, 0, NULL }

/* ---- tensors ---- */

#define BOTH_SIDES                                                                                           \
    {"layers.#.post_attention_layernorm", "blk.#.post_attention_norm", OP_NORM, NULL},                       \
        {"layers.#.pre_feedforward_layernorm", "blk.#.ffn_norm", OP_NORM, NULL}, {                           \
        "layers.#.post_feedforward_layernorm", "blk.#.post_ffw_norm", OP_NORM, NULL                          \
    }
/* Small inputs of each layer. */
#define INPUTS                                                                                               \
    {"embed_tokens_per_layer", "per_layer_token_embd", OP_PADDED, NULL},                                     \
        {"per_layer_model_projection", "per_layer_model_proj", OP_COPY, NULL},                               \
        {"per_layer_projection_norm", "per_layer_proj_norm", OP_COPY, NULL},                                 \
        {"layers.#.per_layer_input_gate", "blk.#.inp_gate", OP_COPY, NULL},                                  \
        {"layers.#.per_layer_projection", "blk.#.proj", OP_COPY, NULL}, {                                    \
        "layers.#.post_per_layer_input_norm", "blk.#.post_norm", OP_COPY, NULL                               \
    }
static const tensor_rule gemma3n[] = {
    BOTH_SIDES,
    INPUTS,
    {"embed_tokens", "token_embd", OP_PADDED, NULL},
    {"altup_projections.@", "altup_proj", OP_EXPERT, NULL},
    {"altup_unembed_projections.@", "altup_unembd_proj", OP_EXPERT, NULL},
    {"layers.#.altup.correct_output_scale!", "blk.#.altup_correct_scale.weight", OP_COPY, NULL},
    {"layers.#.altup.correction_coefs", "blk.#.altup_correct_coef", OP_COPY, NULL},
    {"layers.#.altup.prediction_coefs", "blk.#.altup_predict_coef", OP_COPY, NULL},
    {"layers.#.altup.modality_router", "blk.#.altup_router", OP_COPY, NULL},
    {"layers.#.altup.router_norm", "blk.#.altup_router_norm", OP_COPY, NULL},
    {"layers.#.laurel.linear_left", "blk.#.laurel_l", OP_COPY, NULL},
    {"layers.#.laurel.linear_right", "blk.#.laurel_r", OP_COPY, NULL},
    {"layers.#.laurel.post_laurel_norm", "blk.#.laurel_post_norm", OP_COPY, NULL},
    END};
static const tensor_rule gemma4[] = {
    BOTH_SIDES,
    INPUTS,
    {"layers.#.layer_scalar!", "blk.#.layer_output_scale.weight", OP_COPY, NULL},
    {"layers.#.router.proj", "blk.#.ffn_gate_inp", OP_COPY, NULL},
    {"layers.#.router.scale!", "blk.#.ffn_gate_inp.scale", OP_COPY, NULL},
    {"layers.#.router.per_expert_scale!", "blk.#.ffn_down_exps.scale", OP_COPY, NULL},
    {"layers.#.experts.gate_up_proj!", "blk.#.ffn_gate_up_exps.weight", OP_COPY, NULL},
    {"layers.#.experts.down_proj!", "blk.#.ffn_down_exps.weight", OP_COPY, NULL},
    {"layers.#.pre_feedforward_layernorm_2", "blk.#.pre_ffw_norm_2", OP_COPY, NULL},
    {"layers.#.post_feedforward_layernorm_1", "blk.#.post_ffw_norm_1", OP_COPY, NULL},
    {"layers.#.post_feedforward_layernorm_2", "blk.#.post_ffw_norm_2", OP_COPY, NULL},
    END};
static const tensor_rule embedding[] = {BOTH_SIDES,
                                        {"dense_2.linear", "dense_2", OP_COPY, NULL}, /* see modules.c */
                                        {"dense_3.linear", "dense_3", OP_COPY, NULL},
                                        END};

/* ---- keys ---- */

static const key_rule gemma3n_keys[] = {
    {".altup.active_idx", 'u', "altup_active_idx"},
    {".altup.num_inputs", 'u', "altup_num_inputs"},
    {".embedding_length_per_layer_input", 'u', "hidden_size_per_layer_input"},
    {".attention.shared_kv_layers", 'u', "num_kv_shared_layers"},
    {".attention.sliding_window", 'u', "sliding_window"},
    {".final_logit_softcapping", 'f', "final_logit_softcapping"},
    END_KEYS};
static const key_rule gemma4_keys[] = {
    {".final_logit_softcapping", 'f', "final_logit_softcapping"},
    {".attention.sliding_window", 'u', "sliding_window"},
    {".expert_feed_forward_length", 'u', "expert_intermediate_size|moe_intermediate_size"},
    END_KEYS};

/* The value below which the share p of a normal distribution lies, by halving. */
static double normal_quantile(double p) {
    double low = -40, high = 40;
    if (!(p > 0)) return -INFINITY;
    for (int i = 0; i < 200 && low < high; i++) {
        double middle = low / 2 + high / 2;
        if (erfc(-middle * 0.70710678118654752440) / 2 < p)
            low = middle;
        else
            high = middle;
    }
    return high;
}

static void hparams_gemma3n(conversion *c) {
    const json_value *shares = cfg(c, "activation_sparsity_pattern");
    if (cfg_u32(c, "altup_num_inputs", 4) != 4)
        conversion_fail(c, LEAT_E_UNSUPPORTED, "config.json: altup_num_inputs is not 4");
    hparams_layer_kinds(c, ".attention.sliding_window_pattern", "sliding_attention");
    if (!shares || shares->type != JSON_ARRAY || shares->count < c->n_layer) return;
    const json_value *v = shares->first;
    meta_put_array(&c->meta, ".activation_sparsity_scale", GGUF_F32, c->n_layer);
    for (uint32_t i = 0; i < c->n_layer; i++, v = v->next)
        meta_elem_f32(&c->meta,
                      v->type == JSON_FLOAT && v->real < 1 ? (float)normal_quantile(v->real) : -INFINITY);
}

static bool is_windowed(const json_value *kinds, uint32_t layer) {
    const json_value *v = kinds ? kinds->first : NULL;
    if (!kinds) return (layer + 1) % 6 != 0;
    while (v && layer--) v = v->next;
    return v && v->type == JSON_STRING && str_eq(v->text, "sliding_attention");
}

/* Heads of layers that see everything are longer, and may be fewer for keys. Of their pairs only the first
 * quarter is rotated, but at the places that pairs of whole heads have: the rest gets divisors that stop it.
 */
static void hparams_gemma4(conversion *c) {
    enum { DIM_MAX = 4096 };
    meta_out *m = &c->meta;
    const json_value *kinds = cfg(c, "layer_types");
    if (kinds && (kinds->type != JSON_ARRAY || kinds->count < c->n_layer)) kinds = NULL;
    uint32_t shared = cfg_u32(c, "num_kv_shared_layers", 0), wide = cfg_u32(c, "global_head_dim", 512),
             ff = cfg_need_u32(c, "intermediate_size"), few = c->n_head_kv;
    double part =
        cfg_f64(c, "rope_parameters.full_attention.partial_rotary_factor|partial_rotary_factor", 0.25);
    if (cfg_bool(c, "attention_k_eq_v", false)) few = cfg_u32(c, "num_global_key_value_heads", few);
    if (!c->status && (wide < 2 || wide > DIM_MAX || !(part >= 0 && part <= 1) || shared > c->n_layer ||
                       ff > UINT32_MAX / 2))
        conversion_fail(c, LEAT_E_HPARAM,
                        "config.json: global_head_dim, partial_rotary_factor, num_kv_shared_layers or "
                        "intermediate_size is out of range");
    if (c->status) return;
    meta_put_u32(m, ".attention.shared_kv_layers", shared);
    meta_put_u32(m, ".embedding_length_per_layer_input", cfg_u32(c, "hidden_size_per_layer_input", 0));
    meta_put_array(m, ".attention.sliding_window_pattern", GGUF_BOOL, c->n_layer);
    for (uint32_t i = 0; i < c->n_layer; i++) meta_elem_u8(m, is_windowed(kinds, i));
    meta_put_u32(m, ".attention.key_length", wide);
    meta_put_u32(m, ".attention.value_length", wide);
    meta_put_u32(m, ".attention.key_length_swa", c->head_dim);
    meta_put_u32(m, ".attention.value_length_swa", c->head_dim);
    meta_put_u32(m, ".rope.dimension_count", wide);
    meta_put_u32(m, ".rope.dimension_count_swa", c->head_dim);
    if (cfg_bool(c, "use_double_wide_mlp", false)) {
        meta_put_array(m, ".feed_forward_length", GGUF_I32, c->n_layer);
        for (uint32_t i = 0; i < c->n_layer; i++) meta_elem_32(m, i + shared < c->n_layer ? ff : 2 * ff);
    }
    if (few != c->n_head_kv) {
        meta_put_array(m, ".attention.head_count_kv", GGUF_I32, c->n_layer);
        for (uint32_t i = 0; i < c->n_layer; i++) meta_elem_32(m, is_windowed(kinds, i) ? c->n_head_kv : few);
    }
    float divisors[DIM_MAX / 2];
    uint32_t turned = (uint32_t)(wide * part / 2);
    for (uint32_t i = 0; i < wide / 2; i++) divisors[i] = i < turned ? 1.0f : 1e30f;
    op_constant(c, "rope_freqs.weight", divisors, wide / 2); /* llama.cpp wants them even if all are 1 */
}

/* ---- the list ---- */

const convert_arch convert_archs_gemma[] = {
    {.arch = "gemma-embedding",
     .names = "Gemma3TextModel",
     .tensors = embedding,
     .hparams = hparams_gemma3,
     .add_one = true,
     .no_output = true,
     .both_ways = true},
    {.arch = "gemma3n",
     .names = "Gemma3nForConditionalGeneration|Gemma3nForCausalLM",
     .tensors = gemma3n,
     .keys = gemma3n_keys,
     .hparams = hparams_gemma3n,
     .no_output = true},
    {.arch = "gemma4",
     .names = "Gemma4ForConditionalGeneration|Gemma4ForCausalLM|Gemma4UnifiedForConditionalGeneration",
     .tensors = gemma4,
     .keys = gemma4_keys,
     .hparams = hparams_gemma4,
     .no_output = true},
    {.arch = NULL},
};

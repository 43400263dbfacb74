/* The tables of conversion: for every architecture its names in config.json, what its tensors are called
 * where that is not what most call them, and what goes into the metadata beside what all have. Architectures
 * are those of models/archs.def; archs_more.c has those whose layers are more than a decoder's, archs_gemma.c
 * Gemma from 3n on, archs_encoders.c what makes embeddings. */
#include "archs.h"

#include <string.h>

/* ---- what most models call their tensors ---- */

const tensor_rule common_tensors[] = {
    {"embed_tokens", "token_embd", OP_COPY, NULL},
    {"norm", "output_norm", OP_NORM, NULL},
    {"lm_head", "output", OP_COPY, NULL},
    {"layers.#.input_layernorm", "blk.#.attn_norm", OP_NORM, NULL},
    {"layers.#.post_attention_layernorm", "blk.#.ffn_norm", OP_NORM, NULL},
    {"layers.#.self_attn.q_proj", "blk.#.attn_q", OP_Q, NULL},
    {"layers.#.self_attn.k_proj", "blk.#.attn_k", OP_K, NULL},
    {"layers.#.self_attn.v_proj", "blk.#.attn_v", OP_COPY, NULL},
    {"layers.#.self_attn.o_proj", "blk.#.attn_output", OP_COPY, NULL},
    {"layers.#.self_attn.q_norm", "blk.#.attn_q_norm", OP_NORM, NULL},
    {"layers.#.self_attn.k_norm", "blk.#.attn_k_norm", OP_NORM, NULL},
    {"layers.#.mlp.gate_proj", "blk.#.ffn_gate", OP_COPY, NULL},
    {"layers.#.mlp.up_proj", "blk.#.ffn_up", OP_COPY, NULL},
    {"layers.#.mlp.down_proj", "blk.#.ffn_down", OP_COPY, NULL},
    /* experts */
    {"layers.#.mlp.gate", "blk.#.ffn_gate_inp", OP_COPY, NULL},
    {"layers.#.mlp.gate.e_score_correction_bias!", "blk.#.exp_probs_b.bias", OP_COPY, NULL},
    {"layers.#.mlp.experts.@.gate_proj", "blk.#.ffn_gate_exps", OP_EXPERT, NULL},
    {"layers.#.mlp.experts.@.up_proj", "blk.#.ffn_up_exps", OP_EXPERT, NULL},
    {"layers.#.mlp.experts.@.down_proj", "blk.#.ffn_down_exps", OP_EXPERT, NULL},
    {"layers.#.mlp.experts.gate_up_proj!", "blk.#.ffn_gate_exps.weight", OP_HALVES,
     "blk.#.ffn_up_exps.weight"},
    {"layers.#.mlp.experts.down_proj!", "blk.#.ffn_down_exps.weight", OP_COPY, NULL},
    {"layers.#.mlp.shared_expert.gate_proj", "blk.#.ffn_gate_shexp", OP_COPY, NULL},
    {"layers.#.mlp.shared_expert.up_proj", "blk.#.ffn_up_shexp", OP_COPY, NULL},
    {"layers.#.mlp.shared_expert.down_proj", "blk.#.ffn_down_shexp", OP_COPY, NULL},
    {"layers.#.mlp.shared_expert_gate", "blk.#.ffn_gate_inp_shexp", OP_VECTOR, NULL},
    {"layers.#.mlp.shared_experts.gate_proj", "blk.#.ffn_gate_shexp", OP_COPY, NULL},
    {"layers.#.mlp.shared_experts.up_proj", "blk.#.ffn_up_shexp", OP_COPY, NULL},
    {"layers.#.mlp.shared_experts.down_proj", "blk.#.ffn_down_shexp", OP_COPY, NULL},
    {NULL, NULL, OP_COPY, NULL}};

#define END                                                                                                  \
    { NULL, NULL, OP_COPY, NULL }
#define END_KEYS                                                                                             \
    { NULL, 0, NULL }

/* ---- tensors ---- */

static const tensor_rule baichuan[] = {{"layers.#.self_attn.W_pack", "blk.#.attn_qkv", OP_QKV_SPLIT, NULL},
                                       {"lm_head", "output", OP_UNIT_ROWS, NULL},
                                       END};
static const tensor_rule mixtral[] = {
    {"layers.#.block_sparse_moe.gate", "blk.#.ffn_gate_inp", OP_COPY, NULL},
    {"layers.#.block_sparse_moe.experts.@.w1", "blk.#.ffn_gate_exps", OP_EXPERT, NULL},
    {"layers.#.block_sparse_moe.experts.@.w2", "blk.#.ffn_down_exps", OP_EXPERT, NULL},
    {"layers.#.block_sparse_moe.experts.@.w3", "blk.#.ffn_up_exps", OP_EXPERT, NULL},
    END};

/* Norms on both sides of a block, or only behind it. */
static const tensor_rule both_sides[] = {
    {"layers.#.post_attention_layernorm", "blk.#.post_attention_norm", OP_NORM, NULL},
    {"layers.#.pre_feedforward_layernorm", "blk.#.ffn_norm", OP_NORM, NULL},
    {"layers.#.post_feedforward_layernorm", "blk.#.post_ffw_norm", OP_NORM, NULL},
    END};
static const tensor_rule glm4[] = {
    {"layers.#.post_self_attn_layernorm", "blk.#.post_attention_norm", OP_COPY, NULL},
    {"layers.#.post_mlp_layernorm", "blk.#.post_ffw_norm", OP_COPY, NULL},
    {"layers.#.mlp.gate_up_proj", "blk.#.ffn_up", OP_COPY, NULL},
    END};
/* The norm before the feed-forward goes by another name in GGUF. */
static const tensor_rule post_attention[] = {
    {"layers.#.post_attention_layernorm", "blk.#.post_attention_norm", OP_COPY, NULL}, END};
static const tensor_rule phi2[] = {{"final_layernorm", "output_norm", OP_COPY, NULL},
                                   {"layers.#.self_attn.dense", "blk.#.attn_output", OP_COPY, NULL},
                                   {"layers.#.mlp.fc1", "blk.#.ffn_up", OP_COPY, NULL},
                                   {"layers.#.mlp.fc2", "blk.#.ffn_down", OP_COPY, NULL},
                                   END};
static const tensor_rule phi3[] = {{"layers.#.self_attn.qkv_proj", "blk.#.attn_qkv", OP_COPY, NULL},
                                   {"layers.#.mlp.gate_up_proj", "blk.#.ffn_up", OP_COPY, NULL},
                                   END};
static const tensor_rule gpt2[] = {{"wte", "token_embd", OP_COPY, NULL},
                                   {"wpe", "position_embd", OP_COPY, NULL},
                                   {"ln_f", "output_norm", OP_COPY, NULL},
                                   {"h.#.ln_1", "blk.#.attn_norm", OP_COPY, NULL},
                                   {"h.#.ln_2", "blk.#.ffn_norm", OP_COPY, NULL},
                                   {"h.#.attn.c_attn", "blk.#.attn_qkv", OP_TRANSPOSE, NULL},
                                   {"h.#.attn.c_proj", "blk.#.attn_output", OP_TRANSPOSE, NULL},
                                   {"h.#.mlp.c_fc", "blk.#.ffn_up", OP_TRANSPOSE, NULL},
                                   {"h.#.mlp.c_proj", "blk.#.ffn_down", OP_TRANSPOSE, NULL},
                                   {"h.#.attn.bias!", "", OP_SKIP, NULL},
                                   END};
/* Their matrices lie as everybody's. */
static const tensor_rule starcoder[] = {{"wte", "token_embd", OP_COPY, NULL},
                                        {"wpe", "position_embd", OP_COPY, NULL},
                                        {"ln_f", "output_norm", OP_COPY, NULL},
                                        {"h.#.ln_1", "blk.#.attn_norm", OP_COPY, NULL},
                                        {"h.#.ln_2", "blk.#.ffn_norm", OP_COPY, NULL},
                                        {"h.#.attn.c_attn", "blk.#.attn_qkv", OP_COPY, NULL},
                                        {"h.#.attn.c_proj", "blk.#.attn_output", OP_COPY, NULL},
                                        {"h.#.mlp.c_fc", "blk.#.ffn_up", OP_COPY, NULL},
                                        {"h.#.mlp.c_proj", "blk.#.ffn_down", OP_COPY, NULL},
                                        END};
static const tensor_rule starcoder2[] = {{"layers.#.mlp.c_fc", "blk.#.ffn_up", OP_COPY, NULL},
                                         {"layers.#.mlp.c_proj", "blk.#.ffn_down", OP_COPY, NULL},
                                         END};
static const tensor_rule gptneox[] = {
    {"embed_in", "token_embd", OP_COPY, NULL},
    {"embed_out", "output", OP_COPY, NULL},
    {"final_layer_norm", "output_norm", OP_COPY, NULL},
    {"layers.#.attention.query_key_value", "blk.#.attn_qkv", OP_QKV_HEADS, NULL},
    {"layers.#.attention.dense", "blk.#.attn_output", OP_COPY, NULL},
    {"layers.#.mlp.dense_h_to_4h", "blk.#.ffn_up", OP_COPY, NULL},
    {"layers.#.mlp.dense_4h_to_h", "blk.#.ffn_down", OP_COPY, NULL},
    {"layers.#.attention.bias!", "", OP_SKIP, NULL},
    END};
static const tensor_rule falcon[] = {
    {"word_embeddings", "token_embd", OP_COPY, NULL},
    {"ln_f", "output_norm", OP_COPY, NULL},
    {"h.#.input_layernorm", "blk.#.attn_norm", OP_COPY, NULL},
    {"h.#.ln_mlp", "blk.#.attn_norm", OP_COPY, NULL}, /* 40B and larger: a norm for each block */
    {"h.#.ln_attn", "blk.#.attn_norm_2", OP_COPY, NULL},
    {"h.#.self_attention.query_key_value", "blk.#.attn_qkv", OP_QKV_GROUPS, NULL},
    {"h.#.self_attention.dense", "blk.#.attn_output", OP_COPY, NULL},
    {"h.#.mlp.dense_h_to_4h", "blk.#.ffn_up", OP_COPY, NULL},
    {"h.#.mlp.dense_4h_to_h", "blk.#.ffn_down", OP_COPY, NULL},
    END};
static const tensor_rule stablelm[] = {
    {"layers.#.self_attn.q_layernorm.norms.@", "blk.#.attn_q_norm", OP_EXPERT, NULL},
    {"layers.#.self_attn.k_layernorm.norms.@", "blk.#.attn_k_norm", OP_EXPERT, NULL},
    END};
static const tensor_rule chatglm[] = {
    {"embedding.word_embeddings", "token_embd", OP_COPY, NULL},
    {"output_layer", "output", OP_COPY, NULL},
    {"encoder.final_layernorm", "output_norm", OP_COPY, NULL},
    {"encoder.layers.#.input_layernorm", "blk.#.attn_norm", OP_COPY, NULL},
    {"encoder.layers.#.post_attention_layernorm", "blk.#.ffn_norm", OP_COPY, NULL},
    {"encoder.layers.#.self_attention.query_key_value", "blk.#.attn_qkv", OP_COPY, NULL},
    {"encoder.layers.#.self_attention.dense", "blk.#.attn_output", OP_COPY, NULL},
    {"encoder.layers.#.mlp.dense_h_to_4h", "blk.#.ffn_up", OP_COPY, NULL},
    {"encoder.layers.#.mlp.dense_4h_to_h", "blk.#.ffn_down", OP_COPY, NULL},
    {"rotary_pos_emb.inv_freq!", "", OP_SKIP, NULL},
    END};
static const tensor_rule internlm2[] = {
    {"tok_embeddings", "token_embd", OP_COPY, NULL},
    {"output", "output", OP_COPY, NULL},
    {"layers.#.attention_norm", "blk.#.attn_norm", OP_COPY, NULL},
    {"layers.#.ffn_norm", "blk.#.ffn_norm", OP_COPY, NULL},
    {"layers.#.attention.wqkv", "blk.#.attn_qkv", OP_QKV_GROUPS_SPLIT, NULL},
    {"layers.#.attention.wo", "blk.#.attn_output", OP_COPY, NULL},
    {"layers.#.feed_forward.w1", "blk.#.ffn_gate", OP_COPY, NULL},
    {"layers.#.feed_forward.w3", "blk.#.ffn_up", OP_COPY, NULL},
    {"layers.#.feed_forward.w2", "blk.#.ffn_down", OP_COPY, NULL},
    END};
static const tensor_rule ernie[] = {
    {"layers.#.self_attn.qkv_proj", "blk.#.attn_qkv", OP_QKV_SPLIT, NULL},
    {"layers.#.mlp.up_gate_proj", "blk.#.ffn_gate", OP_HALVES, "blk.#.ffn_up"},
    END};
static const tensor_rule ernie_moe[] = {
    {"layers.#.mlp.moe_statics.e_score_correction_bias!", "blk.#.exp_probs_b.bias", OP_VECTOR, NULL}, END};
static const tensor_rule exaone[] = {{"wte", "token_embd", OP_COPY, NULL},
                                     {"ln_f", "output_norm", OP_COPY, NULL},
                                     {"h.#.ln_1", "blk.#.attn_norm", OP_COPY, NULL},
                                     {"h.#.ln_2", "blk.#.ffn_norm", OP_COPY, NULL},
                                     {"h.#.attn.attention.q_proj", "blk.#.attn_q", OP_COPY, NULL},
                                     {"h.#.attn.attention.k_proj", "blk.#.attn_k", OP_COPY, NULL},
                                     {"h.#.attn.attention.v_proj", "blk.#.attn_v", OP_COPY, NULL},
                                     {"h.#.attn.attention.out_proj", "blk.#.attn_output", OP_COPY, NULL},
                                     {"h.#.mlp.c_fc_0", "blk.#.ffn_gate", OP_COPY, NULL},
                                     {"h.#.mlp.c_fc_1", "blk.#.ffn_up", OP_COPY, NULL},
                                     {"h.#.mlp.c_proj", "blk.#.ffn_down", OP_COPY, NULL},
                                     END};
static const tensor_rule hunyuan[] = {
    {"layers.#.self_attn.query_layernorm", "blk.#.attn_q_norm", OP_COPY, NULL},
    {"layers.#.self_attn.key_layernorm", "blk.#.attn_k_norm", OP_COPY, NULL},
    {"layers.#.mlp.gate.wg", "blk.#.ffn_gate_inp", OP_COPY, NULL},
    {"layers.#.mlp.shared_mlp.gate_proj", "blk.#.ffn_gate_shexp", OP_COPY, NULL},
    {"layers.#.mlp.shared_mlp.up_proj", "blk.#.ffn_up_shexp", OP_COPY, NULL},
    {"layers.#.mlp.shared_mlp.down_proj", "blk.#.ffn_down_shexp", OP_COPY, NULL},
    END};
static const tensor_rule granitemoe[] = {
    {"layers.#.block_sparse_moe.router.layer", "blk.#.ffn_gate_inp", OP_COPY, NULL},
    {"layers.#.block_sparse_moe.input_linear", "blk.#.ffn_gate_exps", OP_HALVES, "blk.#.ffn_up_exps"},
    {"layers.#.block_sparse_moe.output_linear", "blk.#.ffn_down_exps", OP_COPY, NULL},
    {"layers.#.shared_mlp.input_linear", "blk.#.ffn_gate_shexp", OP_HALVES, "blk.#.ffn_up_shexp"},
    {"layers.#.shared_mlp.output_linear", "blk.#.ffn_down_shexp", OP_COPY, NULL},
    END};
static const tensor_rule gpt_oss[] = {
    {"layers.#.post_attention_layernorm", "blk.#.post_attention_norm", OP_COPY, NULL},
    {"layers.#.self_attn.sinks!", "blk.#.attn_sinks.weight", OP_COPY, NULL},
    {"layers.#.mlp.router", "blk.#.ffn_gate_inp", OP_COPY, NULL},
    {"layers.#.mlp.experts.gate_up_proj_blocks!", "blk.#.ffn_gate_exps.weight", OP_MXFP4_TURNS,
     "blk.#.ffn_up_exps.weight"},
    {"layers.#.mlp.experts.down_proj_blocks!", "blk.#.ffn_down_exps.weight", OP_MXFP4, NULL},
    {"layers.#.mlp.experts.gate_up_proj_bias!", "blk.#.ffn_gate_exps.bias", OP_TURNS_ROW,
     "blk.#.ffn_up_exps.bias"},
    {"layers.#.mlp.experts.down_proj_bias!", "blk.#.ffn_down_exps.bias", OP_COPY, NULL},
    {"layers.#.mlp.experts.gate_up_proj!", "blk.#.ffn_gate_exps.weight", OP_TURNS_TRANSPOSED,
     "blk.#.ffn_up_exps.weight"},
    {"layers.#.mlp.experts.down_proj!", "blk.#.ffn_down_exps.weight", OP_TRANSPOSE, NULL},
    END};

static const tensor_rule minimax[] = {
    {"layers.#.block_sparse_moe.gate", "blk.#.ffn_gate_inp", OP_COPY, NULL},
    {"layers.#.block_sparse_moe.e_score_correction_bias!", "blk.#.exp_probs_b.bias", OP_COPY, NULL},
    {"layers.#.block_sparse_moe.experts.@.w1", "blk.#.ffn_gate_exps", OP_EXPERT, NULL},
    {"layers.#.block_sparse_moe.experts.@.w2", "blk.#.ffn_down_exps", OP_EXPERT, NULL},
    {"layers.#.block_sparse_moe.experts.@.w3", "blk.#.ffn_up_exps", OP_EXPERT, NULL},
    END};
/* Its stacks of experts are transposed. */
static const tensor_rule qwen3vlmoe[] = {
    {"layers.#.mlp.experts.gate_up_proj!", "blk.#.ffn_gate_exps.weight", OP_HALVES_TRANSPOSED,
     "blk.#.ffn_up_exps.weight"},
    {"layers.#.mlp.experts.down_proj!", "blk.#.ffn_down_exps.weight", OP_TRANSPOSE, NULL},
    END};

/* ---- keys ---- */

static const key_rule gemma2[] = {{".attention.sliding_window", 'u', "sliding_window"},
                                  {".attn_logit_softcapping", 'f', "attn_logit_softcapping"},
                                  {".final_logit_softcapping", 'f', "final_logit_softcapping"},
                                  END_KEYS};
static const key_rule cohere[] = {
    {".logit_scale", 'F', "logit_scale"}, {".attention.sliding_window", 'u', "sliding_window"}, END_KEYS};
static const key_rule granite[] = {{".attention.scale", 'f', "attention_multiplier"},
                                   {".embedding_scale", 'f', "embedding_multiplier"},
                                   {".residual_scale", 'f', "residual_multiplier"},
                                   {".logit_scale", 'f', "logits_scaling"},
                                   {".expert_shared_feed_forward_length", 'u', "shared_intermediate_size"},
                                   END_KEYS};
static const key_rule neox[] = {{".use_parallel_residual", 'b', "use_parallel_residual"}, END_KEYS};
static const key_rule moe[] = {
    {".expert_feed_forward_length", 'u', "moe_intermediate_size"},
    {".expert_shared_feed_forward_length", 'u', "shared_expert_intermediate_size"},
    {".expert_shared_count", 'u', "n_shared_experts|num_shared_experts|num_shared_expert"},
    {".expert_weights_scale", 'f', "routed_scaling_factor"},
    {".expert_weights_norm", 'b', "norm_topk_prob"},
    {".leading_dense_block_count", 'u', "first_k_dense_replace"},
    END_KEYS};
static const key_rule qwen_moe[] = {
    {".expert_feed_forward_length", 'u', "moe_intermediate_size"},
    {".expert_shared_feed_forward_length", 'u', "shared_expert_intermediate_size"},
    END_KEYS};
static const key_rule ernie_keys[] = {{".leading_dense_block_count", 'u', "moe_layer_start_index"},
                                      {".interleave_moe_layer_step", 'u', "moe_layer_interval"},
                                      {".expert_feed_forward_length", 'u', "moe_intermediate_size"},
                                      {".expert_shared_count", 'u', "moe_num_shared_experts"},
                                      END_KEYS};
static const key_rule minimax_keys[] = {{".expert_feed_forward_length", 'u', "intermediate_size"},
                                        {".rope.dimension_count", 'u', "rotary_dim"},
                                        END_KEYS};
static const key_rule olmoe_keys[] = {{".attention.clamp_kqv", 'f', "clip_qkv"}, END_KEYS};
static const key_rule gpt_oss_keys[] = {{".attention.sliding_window", 'u', "sliding_window"},
                                        {".expert_feed_forward_length", 'u', "intermediate_size"},
                                        END_KEYS};
static const key_rule norm_eps[] = {
    {".attention.layer_norm_epsilon", 'f', "norm_epsilon|norm_eps|layer_norm_eps"}, END_KEYS};

/* ---- the list ---- */

const convert_arch convert_archs[] = {
    {.arch = "arcee", .names = "ArceeForCausalLM", .hparams = hparams_rotated, .permute = true},
    {.arch = "baichuan",
     .names = "BaichuanForCausalLM|BaiChuanForCausalLM",
     .tensors = baichuan,
     .hparams = hparams_baichuan,
     .permute = true},
    {.arch = "chatglm",
     .names = "ChatGLMModel|ChatGLMForConditionalGeneration|GlmForCausalLM",
     .tensors = chatglm,
     .hparams = hparams_chatglm},
    {.arch = "codeshell",
     .names = "CodeShellForCausalLM",
     .tensors = starcoder,
     .hparams = hparams_codeshell},
    {.arch = "cohere2", .names = "Cohere2ForCausalLM", .keys = cohere, .hparams = hparams_rotated},
    {.arch = "command-r", .names = "CohereForCausalLM", .keys = cohere},
    {.arch = "deepseek",
     .names = "DeepseekForCausalLM",
     .keys = moe,
     .hparams = hparams_deepseek,
     .permute = true},
    {.arch = "dots1", .names = "Dots1ForCausalLM", .keys = moe, .hparams = hparams_sigmoid},
    {.arch = "ernie4_5", .names = "Ernie4_5_ForCausalLM|Ernie4_5ForCausalLM", .tensors = ernie},
    {.arch = "ernie4_5-moe",
     .names = "Ernie4_5_MoeForCausalLM|Ernie4_5_MoEForCausalLM",
     .tensors = ernie_moe,
     .keys = ernie_keys,
     .hparams = hparams_ernie_moe},
    {.arch = "exaone", .names = "ExaoneForCausalLM", .tensors = exaone, .hparams = hparams_exaone},
    {.arch = "exaone4",
     .names = "Exaone4ForCausalLM|Exaone4_5_ForConditionalGeneration",
     .tensors = both_sides,
     .hparams = hparams_windows},
    {.arch = "falcon",
     .names = "FalconForCausalLM|RWForCausalLM",
     .tensors = falcon,
     .hparams = hparams_falcon},
    {.arch = "gemma", .names = "GemmaForCausalLM", .add_one = true, .no_output = true},
    {.arch = "gemma2",
     .names = "Gemma2ForCausalLM",
     .tensors = both_sides,
     .keys = gemma2,
     .add_one = true,
     .no_output = true},
    {.arch = "gemma3",
     .names = "Gemma3ForCausalLM|Gemma3ForConditionalGeneration",
     .tensors = both_sides,
     .hparams = hparams_gemma3,
     .add_one = true,
     .no_output = true},
    {.arch = "glm4", .names = "Glm4ForCausalLM", .tensors = glm4, .hparams = hparams_half_rotated},
    {.arch = "glm4moe",
     .names = "Glm4MoeForCausalLM",
     .tensors = post_attention,
     .keys = moe,
     .hparams = hparams_glm4moe},
    {.arch = "gpt-oss", .names = "GptOssForCausalLM", .tensors = gpt_oss, .keys = gpt_oss_keys},
    {.arch = "gpt2", .names = "GPT2LMHeadModel", .tensors = gpt2, .hparams = hparams_gpt2},
    {.arch = "gptneox",
     .names = "GPTNeoXForCausalLM",
     .tensors = gptneox,
     .keys = neox,
     .hparams = hparams_gptneox},
    {.arch = "granite",
     .names = "GraniteForCausalLM",
     .keys = granite,
     .hparams = hparams_rotated,
     .permute = true},
    {.arch = "granitemoe",
     .names = "GraniteMoeForCausalLM|GraniteMoeSharedForCausalLM",
     .tensors = granitemoe,
     .keys = granite,
     .hparams = hparams_rotated,
     .permute = true},
    {.arch = "hunyuan-dense",
     .names = "HunYuanDenseV1ForCausalLM",
     .tensors = hunyuan,
     .hparams = hparams_hunyuan},
    {.arch = "hunyuan-moe",
     .names = "HunYuanMoEV1ForCausalLM",
     .tensors = hunyuan,
     .hparams = hparams_hunyuan},
    {.arch = "internlm2",
     .names = "InternLM2ForCausalLM",
     .tensors = internlm2,
     .hparams = hparams_rotated,
     .permute = true},
    {.arch = "llama",
     .names = "LlamaForCausalLM|LLaMAForCausalLM|MistralForCausalLM|MixtralForCausalLM|LlamaModel|"
              "InternLM3ForCausalLM|IQuestCoderForCausalLM|VLlama3ForCausalLM|LlavaForConditionalGeneration|"
              "VoxtralForConditionalGeneration",
     .tensors = mixtral,
     .hparams = hparams_rotated,
     .permute = true},
    {.arch = "llama-embed",
     .names = "LlamaBidirectionalModel",
     .hparams = hparams_rotated,
     .permute = true,
     .both_ways = true},
    {.arch = "minicpm", .names = "MiniCPMForCausalLM", .hparams = hparams_minicpm, .permute = true},
    {.arch = "minimax-m2",
     .names = "MiniMaxM2ForCausalLM",
     .tensors = minimax,
     .keys = minimax_keys,
     .hparams = hparams_minimax},
    {.arch = "mistral3",
     .names = "Mistral3ForConditionalGeneration|Ministral3ForCausalLM",
     .hparams = hparams_mistral3,
     .permute = true},
    {.arch = "nemotron",
     .names = "NemotronForCausalLM",
     .keys = norm_eps,
     .hparams = hparams_rotated,
     .add_one = true},
    {.arch = "olmo2",
     .names = "Olmo2ForCausalLM|Olmo3ForCausalLM",
     .tensors = both_sides,
     .hparams = hparams_windows},
    {.arch = "olmoe", .names = "OlmoeForCausalLM", .keys = olmoe_keys},
    {.arch = "orion", .names = "OrionForCausalLM", .hparams = hparams_orion},
    {.arch = "phi2", .names = "PhiForCausalLM", .tensors = phi2, .hparams = hparams_half_rotated},
    {.arch = "phi3", .names = "Phi3ForCausalLM", .tensors = phi3, .hparams = hparams_phi3},
    {.arch = "qwen2", .names = "Qwen2ForCausalLM|Qwen2Model|Qwen2AudioForConditionalGeneration"},
    {.arch = "qwen2moe", .names = "Qwen2MoeForCausalLM", .keys = qwen_moe},
    {.arch = "qwen2vl",
     .names = "Qwen2VLForConditionalGeneration|Qwen2VLModel|Qwen2_5_VLForConditionalGeneration|"
              "Qwen2_5OmniModel|Qwen2_5OmniForConditionalGeneration"},
    {.arch = "qwen3", .names = "Qwen3ForCausalLM|Qwen3Model"},
    {.arch = "qwen3moe", .names = "Qwen3MoeForCausalLM", .keys = qwen_moe},
    {.arch = "qwen3vl", .names = "Qwen3VLForConditionalGeneration", .hparams = hparams_qwen3vl},
    {.arch = "qwen3vlmoe",
     .names = "Qwen3VLMoeForConditionalGeneration|Qwen3OmniMoeForConditionalGeneration",
     .tensors = qwen3vlmoe,
     .keys = qwen_moe,
     .hparams = hparams_qwen3vl},
    {.arch = "seed_oss", .names = "SeedOssForCausalLM", .tensors = post_attention},
    {.arch = "smollm3", .names = "SmolLM3ForCausalLM", .hparams = hparams_rotated, .permute = true},
    {.arch = "stablelm",
     .names = "StableLmForCausalLM|StableLMEpochForCausalLM|StableLmModel",
     .tensors = stablelm,
     .keys = neox,
     .hparams = hparams_stablelm},
    {.arch = "starcoder", .names = "GPTBigCodeForCausalLM", .tensors = starcoder, .hparams = hparams_gpt2},
    {.arch = "starcoder2", .names = "Starcoder2ForCausalLM", .tensors = starcoder2},
    {.arch = "xverse", .names = "XverseForCausalLM", .hparams = hparams_rotated, .permute = true},
    {.arch = NULL},
};

const convert_arch *convert_arch_get(size_t i) {
    static const convert_arch *const lists[] = {convert_archs, convert_archs_more, convert_archs_gemma,
                                                convert_archs_encoders};
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++)
        for (const convert_arch *a = lists[k]; a->arch; a++)
            if (!i--) return a;
    return NULL;
}

static bool listed(const char *names, str name) {
    for (;;) {
        const char *bar = strchr(names, '|');
        size_t n = bar ? (size_t)(bar - names) : strlen(names);
        if (n == name.n && !memcmp(names, name.p, n)) return true;
        if (!bar) return false;
        names = bar + 1;
    }
}

const convert_arch *convert_arch_find(str name) {
    const convert_arch *a;
    for (size_t i = 0; (a = convert_arch_get(i)); i++)
        if (listed(a->names, name)) return a;
    return NULL;
}

const convert_arch *convert_arch_named(const char *arch) {
    const convert_arch *a;
    size_t i = 0;
    while ((a = convert_arch_get(i)) && strcmp(a->arch, arch) != 0) i++;
    return a;
}

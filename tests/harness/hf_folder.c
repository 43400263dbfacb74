/* See hf_folder.h. Names and orders are those of the model code in Hugging Face's transformers and of the
 * models' own repositories. */
#include "hf_folder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hf_config.h"
#include "loader/file.h"

enum { TENSORS_MAX = 4096 };

typedef struct maker {
    const gguf *g;
    const arch_spec *spec;
    uint32_t heads, heads_kv, dim;
    hf_tensor *t;
    size_t n;
} hf_maker;

/* How a tensor is kept; see keep(). First rule that fits counts. */
static const struct rename {
    const char *archs, *gguf, *hf;
    char how;
} renames[] = {
    /* ends */
    {"gpt2 starcoder codeshell exaone", "token_embd", "transformer.wte", ' '},
    {"gpt2 starcoder", "position_embd", "transformer.wpe", ' '},
    {"gptneox", "token_embd", "gpt_neox.embed_in", ' '},
    {"gptneox", "output", "embed_out", ' '},
    {"gptneox", "output_norm", "gpt_neox.final_layer_norm", ' '},
    {"falcon", "token_embd", "transformer.word_embeddings", ' '},
    {"chatglm", "token_embd", "transformer.embedding.word_embeddings", ' '},
    {"chatglm", "output_norm", "transformer.encoder.final_layernorm", ' '},
    {"chatglm", "output", "transformer.output_layer", ' '},
    {"internlm2", "token_embd", "model.tok_embeddings", ' '},
    {"internlm2", "output", "output", ' '},
    {"mamba2", "token_embd", "backbone.embeddings", ' '},
    {"mamba2", "output_norm", "backbone.norm_f", ' '},
    {"lfm2 lfm2moe", "token_embd_norm", "model.embedding_norm", ' '},
    {"phi2", "output_norm", "model.final_layernorm", ' '},
    {"gpt2 starcoder codeshell exaone falcon", "output_norm", "transformer.ln_f", ' '},
    {"gemma gemma2 gemma3 nemotron qwen3next qwen35 qwen35moe", "output_norm", "model.norm", '1'},
    {"*", "token_embd", "model.embed_tokens", ' '},
    {"*", "output_norm", "model.norm", ' '},
    {"*", "output", "lm_head", ' '},
    {"phi3", "rope_factors_long", "", 'x'},
    {"phi3", "rope_factors_short", "", 'x'},
    /* layers called h */
    {"gpt2 starcoder codeshell exaone", "blk.#.attn_norm", "transformer.h.#.ln_1", ' '},
    {"gpt2 starcoder codeshell exaone", "blk.#.ffn_norm", "transformer.h.#.ln_2", ' '},
    {"gpt2", "blk.#.attn_qkv", "transformer.h.#.attn.c_attn", 't'},
    {"gpt2", "blk.#.attn_output", "transformer.h.#.attn.c_proj", 't'},
    {"gpt2", "blk.#.ffn_up", "transformer.h.#.mlp.c_fc", 't'},
    {"gpt2", "blk.#.ffn_down", "transformer.h.#.mlp.c_proj", 't'},
    {"starcoder codeshell", "blk.#.attn_qkv", "transformer.h.#.attn.c_attn", ' '},
    {"starcoder codeshell", "blk.#.attn_output", "transformer.h.#.attn.c_proj", ' '},
    {"starcoder codeshell", "blk.#.ffn_up", "transformer.h.#.mlp.c_fc", ' '},
    {"starcoder codeshell exaone", "blk.#.ffn_down", "transformer.h.#.mlp.c_proj", ' '},
    {"exaone", "blk.#.attn_q", "transformer.h.#.attn.attention.q_proj", ' '},
    {"exaone", "blk.#.attn_k", "transformer.h.#.attn.attention.k_proj", ' '},
    {"exaone", "blk.#.attn_v", "transformer.h.#.attn.attention.v_proj", ' '},
    {"exaone", "blk.#.attn_output", "transformer.h.#.attn.attention.out_proj", ' '},
    {"exaone", "blk.#.ffn_gate", "transformer.h.#.mlp.c_fc_0", ' '},
    {"exaone", "blk.#.ffn_up", "transformer.h.#.mlp.c_fc_1", ' '},
    {"falcon", "blk.#.attn_norm", "transformer.h.#.input_layernorm", ' '},
    {"falcon", "blk.#.attn_qkv", "transformer.h.#.self_attention.query_key_value", 'f'},
    {"falcon", "blk.#.attn_output", "transformer.h.#.self_attention.dense", ' '},
    {"falcon", "blk.#.ffn_up", "transformer.h.#.mlp.dense_h_to_4h", ' '},
    {"falcon", "blk.#.ffn_down", "transformer.h.#.mlp.dense_4h_to_h", ' '},
    {"gptneox", "blk.#.attn_qkv", "gpt_neox.layers.#.attention.query_key_value", 'n'},
    {"gptneox", "blk.#.attn_output", "gpt_neox.layers.#.attention.dense", ' '},
    {"gptneox", "blk.#.attn_norm", "gpt_neox.layers.#.input_layernorm", ' '},
    {"gptneox", "blk.#.ffn_norm", "gpt_neox.layers.#.post_attention_layernorm", ' '},
    {"gptneox", "blk.#.ffn_up", "gpt_neox.layers.#.mlp.dense_h_to_4h", ' '},
    {"gptneox", "blk.#.ffn_down", "gpt_neox.layers.#.mlp.dense_4h_to_h", ' '},
    {"chatglm", "blk.#.attn_norm", "transformer.encoder.layers.#.input_layernorm", ' '},
    {"chatglm", "blk.#.ffn_norm", "transformer.encoder.layers.#.post_attention_layernorm", ' '},
    {"chatglm", "blk.#.attn_qkv", "transformer.encoder.layers.#.self_attention.query_key_value", ' '},
    {"chatglm", "blk.#.attn_output", "transformer.encoder.layers.#.self_attention.dense", ' '},
    {"chatglm", "blk.#.ffn_up", "transformer.encoder.layers.#.mlp.dense_h_to_4h", ' '},
    {"chatglm", "blk.#.ffn_down", "transformer.encoder.layers.#.mlp.dense_4h_to_h", ' '},
    {"internlm2", "blk.#.attn_norm", "model.layers.#.attention_norm", ' '},
    {"internlm2 lfm2 lfm2moe", "blk.#.ffn_norm", "model.layers.#.ffn_norm", ' '},
    {"internlm2", "blk.#.attn_q", "model.layers.#.attention.wqkv", 'w'},
    {"internlm2", "blk.#.attn_k", "", 'x'},
    {"internlm2", "blk.#.attn_v", "", 'x'},
    {"internlm2", "blk.#.attn_output", "model.layers.#.attention.wo", ' '},
    {"internlm2 lfm2 lfm2moe", "blk.#.ffn_gate", "model.layers.#.feed_forward.w1", ' '},
    {"internlm2 lfm2 lfm2moe", "blk.#.ffn_up", "model.layers.#.feed_forward.w3", ' '},
    {"internlm2 lfm2 lfm2moe", "blk.#.ffn_down", "model.layers.#.feed_forward.w2", ' '},
    /* norms */
    {"exaone4 olmo2", "blk.#.post_attention_norm", "model.layers.#.post_attention_layernorm", ' '},
    {"exaone4 olmo2", "blk.#.post_ffw_norm", "model.layers.#.post_feedforward_layernorm", ' '},
    {"gemma2 gemma3", "blk.#.post_attention_norm", "model.layers.#.post_attention_layernorm", '1'},
    {"gemma2 gemma3", "blk.#.ffn_norm", "model.layers.#.pre_feedforward_layernorm", '1'},
    {"gemma2 gemma3", "blk.#.post_ffw_norm", "model.layers.#.post_feedforward_layernorm", '1'},
    {"gemma gemma2 gemma3 nemotron qwen3next qwen35 qwen35moe", "blk.#.attn_norm",
     "model.layers.#.input_layernorm", '1'},
    {"gemma nemotron", "blk.#.ffn_norm", "model.layers.#.post_attention_layernorm", '1'},
    {"qwen3next qwen35 qwen35moe", "blk.#.post_attention_norm", "model.layers.#.post_attention_layernorm",
     '1'},
    {"gemma3 qwen3next qwen35 qwen35moe", "blk.#.attn_q_norm", "model.layers.#.self_attn.q_norm", '1'},
    {"gemma3 qwen3next qwen35 qwen35moe", "blk.#.attn_k_norm", "model.layers.#.self_attn.k_norm", '1'},
    {"glm4", "blk.#.post_attention_norm", "model.layers.#.post_self_attn_layernorm", ' '},
    {"glm4", "blk.#.post_ffw_norm", "model.layers.#.post_mlp_layernorm", ' '},
    {"lfm2 lfm2moe", "blk.#.attn_norm", "model.layers.#.operator_norm", ' '},
    {"lfm2 lfm2moe", "blk.#.attn_q_norm", "model.layers.#.self_attn.q_layernorm", ' '},
    {"lfm2 lfm2moe", "blk.#.attn_k_norm", "model.layers.#.self_attn.k_layernorm", ' '},
    {"hunyuan-dense hunyuan-moe", "blk.#.attn_q_norm", "model.layers.#.self_attn.query_layernorm", ' '},
    {"hunyuan-dense hunyuan-moe", "blk.#.attn_k_norm", "model.layers.#.self_attn.key_layernorm", ' '},
    {"stablelm", "blk.#.attn_q_norm", "model.layers.#.self_attn.q_layernorm.norms.@", 'e'},
    {"stablelm", "blk.#.attn_k_norm", "model.layers.#.self_attn.k_layernorm.norms.@", 'e'},
    {"mamba2", "blk.#.attn_norm", "backbone.layers.#.norm", ' '},
    /* attention */
    {"phi2", "blk.#.attn_output", "model.layers.#.self_attn.dense", ' '},
    {"lfm2 lfm2moe", "blk.#.attn_output", "model.layers.#.self_attn.out_proj", ' '},
    {"phi3", "blk.#.attn_qkv", "model.layers.#.self_attn.qkv_proj", ' '},
    {"gpt-oss", "blk.#.attn_sinks.weight!", "model.layers.#.self_attn.sinks", ' '},
    {"deepseek2", "blk.#.attn_q_a", "model.layers.#.self_attn.q_a_proj", ' '},
    {"deepseek2", "blk.#.attn_q_a_norm", "model.layers.#.self_attn.q_a_layernorm", ' '},
    {"deepseek2", "blk.#.attn_q_b", "model.layers.#.self_attn.q_b_proj", ' '},
    {"deepseek2", "blk.#.attn_kv_a_mqa", "model.layers.#.self_attn.kv_a_proj_with_mqa", ' '},
    {"deepseek2", "blk.#.attn_kv_a_norm", "model.layers.#.self_attn.kv_a_layernorm", ' '},
    {"deepseek2", "blk.#.attn_k_b", "model.layers.#.self_attn.kv_b_proj", 'b'},
    {"deepseek2", "blk.#.attn_v_b", "", 'x'},
    {"llama mistral3 arcee granite granitemoe granitehybrid minicpm smollm3 xverse", "blk.#.attn_q",
     "model.layers.#.self_attn.q_proj", 'q'},
    {"llama mistral3 arcee granite granitemoe granitehybrid minicpm smollm3 xverse", "blk.#.attn_k",
     "model.layers.#.self_attn.k_proj", 'k'},
    {"*", "blk.#.attn_q", "model.layers.#.self_attn.q_proj", ' '},
    {"*", "blk.#.attn_k", "model.layers.#.self_attn.k_proj", ' '},
    {"*", "blk.#.attn_v", "model.layers.#.self_attn.v_proj", ' '},
    {"*", "blk.#.attn_output", "model.layers.#.self_attn.o_proj", ' '},
    {"*", "blk.#.attn_q_norm", "model.layers.#.self_attn.q_norm", ' '},
    {"*", "blk.#.attn_k_norm", "model.layers.#.self_attn.k_norm", ' '},
    {"*", "blk.#.attn_norm", "model.layers.#.input_layernorm", ' '},
    {"*", "blk.#.ffn_norm", "model.layers.#.post_attention_layernorm", ' '},
    {"glm4moe gpt-oss seed_oss", "blk.#.post_attention_norm", "model.layers.#.post_attention_layernorm", ' '},
    /* mixers */
    {"lfm2 lfm2moe", "blk.#.shortconv.conv", "model.layers.#.conv.conv", 's'},
    {"lfm2 lfm2moe", "blk.#.shortconv.in_proj", "model.layers.#.conv.in_proj", ' '},
    {"lfm2 lfm2moe", "blk.#.shortconv.out_proj", "model.layers.#.conv.out_proj", ' '},
    {"mamba2", "blk.#.ssm_in", "backbone.layers.#.mixer.in_proj", ' '},
    {"mamba2", "blk.#.ssm_conv1d", "backbone.layers.#.mixer.conv1d", 's'},
    {"mamba2", "blk.#.ssm_dt.bias!", "backbone.layers.#.mixer.dt_bias", ' '},
    {"mamba2", "blk.#.ssm_a!", "backbone.layers.#.mixer.A_log", 'l'},
    {"mamba2", "blk.#.ssm_d!", "backbone.layers.#.mixer.D", 'c'},
    {"mamba2", "blk.#.ssm_norm", "backbone.layers.#.mixer.norm", 'c'},
    {"mamba2", "blk.#.ssm_out", "backbone.layers.#.mixer.out_proj", ' '},
    {"granitehybrid", "blk.#.ssm_in", "model.layers.#.mamba.in_proj", ' '},
    {"granitehybrid", "blk.#.ssm_conv1d", "model.layers.#.mamba.conv1d", 's'},
    {"granitehybrid", "blk.#.ssm_dt.bias!", "model.layers.#.mamba.dt_bias", ' '},
    {"granitehybrid", "blk.#.ssm_a!", "model.layers.#.mamba.A_log", 'l'},
    {"granitehybrid", "blk.#.ssm_d!", "model.layers.#.mamba.D", 'c'},
    {"granitehybrid", "blk.#.ssm_norm", "model.layers.#.mamba.norm", 'c'},
    {"granitehybrid", "blk.#.ssm_out", "model.layers.#.mamba.out_proj", ' '},
    {"qwen3next", "blk.#.attn_qkv", "model.layers.#.linear_attn.in_proj_qkvz", 'z'},
    {"qwen3next", "blk.#.attn_gate", "", 'x'},
    {"qwen3next", "blk.#.ssm_ba", "model.layers.#.linear_attn.in_proj_ba", ' '},
    {"qwen3next", "blk.#.ssm_conv1d", "model.layers.#.linear_attn.conv1d", 's'},
    {"qwen3next", "blk.#.ssm_dt.bias!", "model.layers.#.linear_attn.dt_bias", ' '},
    {"qwen3next", "blk.#.ssm_a!", "model.layers.#.linear_attn.A_log", 'l'},
    {"qwen3next", "blk.#.ssm_out", "model.layers.#.linear_attn.out_proj", ' '},
    {"qwen3next qwen35 qwen35moe", "blk.#.ssm_norm", "model.layers.#.linear_attn.norm", ' '},
    {"qwen35 qwen35moe", "blk.#.attn_qkv", "model.layers.#.linear_attn.in_proj_qkv", 'Q'},
    {"qwen35 qwen35moe", "blk.#.attn_gate", "model.layers.#.linear_attn.in_proj_z", 'V'},
    {"qwen35 qwen35moe", "blk.#.ssm_beta", "model.layers.#.linear_attn.in_proj_b", 'W'},
    {"qwen35 qwen35moe", "blk.#.ssm_alpha", "model.layers.#.linear_attn.in_proj_a", 'W'},
    {"qwen35 qwen35moe", "blk.#.ssm_conv1d", "model.layers.#.linear_attn.conv1d", 'S'},
    {"qwen35 qwen35moe", "blk.#.ssm_dt.bias!", "model.layers.#.linear_attn.dt_bias", 'W'},
    {"qwen35 qwen35moe", "blk.#.ssm_a!", "model.layers.#.linear_attn.A_log", 'L'},
    {"qwen35 qwen35moe", "blk.#.ssm_out", "model.layers.#.linear_attn.out_proj", 'C'},
    /* feed-forward */
    {"phi2", "blk.#.ffn_up", "model.layers.#.mlp.fc1", ' '},
    {"phi2", "blk.#.ffn_down", "model.layers.#.mlp.fc2", ' '},
    {"starcoder2", "blk.#.ffn_up", "model.layers.#.mlp.c_fc", ' '},
    {"starcoder2", "blk.#.ffn_down", "model.layers.#.mlp.c_proj", ' '},
    {"phi3 glm4", "blk.#.ffn_up", "model.layers.#.mlp.gate_up_proj", ' '},
    {"granitehybrid", "blk.#.ffn_gate", "model.layers.#.shared_mlp.input_linear", 'g'},
    {"granitehybrid", "blk.#.ffn_up", "", 'x'},
    {"granitehybrid", "blk.#.ffn_down", "model.layers.#.shared_mlp.output_linear", ' '},
    {"*", "blk.#.ffn_gate", "model.layers.#.mlp.gate_proj", ' '},
    {"*", "blk.#.ffn_up", "model.layers.#.mlp.up_proj", ' '},
    {"*", "blk.#.ffn_down", "model.layers.#.mlp.down_proj", ' '},
    /* experts */
    {"llama", "blk.#.ffn_gate_inp", "model.layers.#.block_sparse_moe.gate", ' '},
    {"llama", "blk.#.ffn_gate_exps", "model.layers.#.block_sparse_moe.experts.@.w1", 'e'},
    {"llama", "blk.#.ffn_up_exps", "model.layers.#.block_sparse_moe.experts.@.w3", 'e'},
    {"llama", "blk.#.ffn_down_exps", "model.layers.#.block_sparse_moe.experts.@.w2", 'e'},
    {"granitemoe granitehybrid", "blk.#.ffn_gate_inp", "model.layers.#.block_sparse_moe.router.layer", ' '},
    {"granitemoe granitehybrid", "blk.#.ffn_gate_exps", "model.layers.#.block_sparse_moe.input_linear", 'g'},
    {"granitemoe granitehybrid", "blk.#.ffn_up_exps", "", 'x'},
    {"granitemoe granitehybrid", "blk.#.ffn_down_exps", "model.layers.#.block_sparse_moe.output_linear", ' '},
    {"granitemoe granitehybrid", "blk.#.ffn_gate_shexp", "model.layers.#.shared_mlp.input_linear", 'g'},
    {"granitemoe granitehybrid", "blk.#.ffn_up_shexp", "", 'x'},
    {"granitemoe granitehybrid", "blk.#.ffn_down_shexp", "model.layers.#.shared_mlp.output_linear", ' '},
    {"gpt-oss", "blk.#.ffn_gate_inp", "model.layers.#.mlp.router", ' '},
    {"gpt-oss", "blk.#.ffn_gate_exps.weight!", "model.layers.#.mlp.experts.gate_up_proj", 'i'},
    {"gpt-oss", "blk.#.ffn_gate_exps.bias!", "model.layers.#.mlp.experts.gate_up_proj_bias", 'j'},
    {"gpt-oss", "blk.#.ffn_up_exps", "", 'x'},
    {"gpt-oss", "blk.#.ffn_down_exps.weight!", "model.layers.#.mlp.experts.down_proj", 't'},
    {"gpt-oss", "blk.#.ffn_down_exps.bias!", "model.layers.#.mlp.experts.down_proj_bias", ' '},
    {"lfm2moe", "blk.#.ffn_gate_inp", "model.layers.#.feed_forward.gate", ' '},
    {"lfm2moe", "blk.#.exp_probs_b.bias!", "model.layers.#.feed_forward.expert_bias", ' '},
    {"lfm2moe", "blk.#.ffn_gate_exps", "model.layers.#.feed_forward.experts.@.w1", 'e'},
    {"lfm2moe", "blk.#.ffn_up_exps", "model.layers.#.feed_forward.experts.@.w3", 'e'},
    {"lfm2moe", "blk.#.ffn_down_exps", "model.layers.#.feed_forward.experts.@.w2", 'e'},
    {"hunyuan-moe", "blk.#.ffn_gate_inp", "model.layers.#.mlp.gate.wg", ' '},
    {"hunyuan-moe", "blk.#.ffn_gate_shexp", "model.layers.#.mlp.shared_mlp.gate_proj", ' '},
    {"hunyuan-moe", "blk.#.ffn_up_shexp", "model.layers.#.mlp.shared_mlp.up_proj", ' '},
    {"hunyuan-moe", "blk.#.ffn_down_shexp", "model.layers.#.mlp.shared_mlp.down_proj", ' '},
    {"qwen2moe qwen3next qwen35moe", "blk.#.ffn_gate_shexp", "model.layers.#.mlp.shared_expert.gate_proj",
     ' '},
    {"qwen2moe qwen3next qwen35moe", "blk.#.ffn_up_shexp", "model.layers.#.mlp.shared_expert.up_proj", ' '},
    {"qwen2moe qwen3next qwen35moe", "blk.#.ffn_down_shexp", "model.layers.#.mlp.shared_expert.down_proj",
     ' '},
    {"qwen2moe qwen3next qwen35moe", "blk.#.ffn_gate_inp_shexp", "model.layers.#.mlp.shared_expert_gate",
     'r'},
    {"qwen35moe", "blk.#.ffn_gate_exps.weight!", "model.layers.#.mlp.experts.gate_up_proj", 'g'},
    {"qwen35moe", "blk.#.ffn_up_exps", "", 'x'},
    {"qwen35moe", "blk.#.ffn_down_exps.weight!", "model.layers.#.mlp.experts.down_proj", ' '},
    {"*", "blk.#.ffn_gate_inp", "model.layers.#.mlp.gate", ' '},
    {"*", "blk.#.exp_probs_b.bias!", "model.layers.#.mlp.gate.e_score_correction_bias", ' '},
    {"*", "blk.#.ffn_gate_exps", "model.layers.#.mlp.experts.@.gate_proj", 'e'},
    {"*", "blk.#.ffn_up_exps", "model.layers.#.mlp.experts.@.up_proj", 'e'},
    {"*", "blk.#.ffn_down_exps", "model.layers.#.mlp.experts.@.down_proj", 'e'},
    {"*", "blk.#.ffn_gate_shexp", "model.layers.#.mlp.shared_experts.gate_proj", ' '},
    {"*", "blk.#.ffn_up_shexp", "model.layers.#.mlp.shared_experts.up_proj", ' '},
    {"*", "blk.#.ffn_down_shexp", "model.layers.#.mlp.shared_experts.down_proj", ' '},
};

static bool is_listed(const char *list, const char *word) {
    size_t n = strlen(word);
    if (*list == '*') return true;
    for (const char *p = list; (p = strstr(p, word)); p++)
        if ((p == list || p[-1] == ' ') && (p[n] == ' ' || !p[n])) return true;
    return false;
}

/* Does the GGUF name fit the pattern? Gives the layer and what follows. */
static bool name_fits(str name, const char *pattern, unsigned *layer, char suffix[16]) {
    size_t i = 0;
    *layer = 0;
    *suffix = 0;
    for (; *pattern; pattern++) {
        if (*pattern == '!') return i == name.n;
        if (*pattern == '#') {
            for (; i < name.n && name.p[i] >= '0' && name.p[i] <= '9'; i++)
                *layer = *layer * 10 + (unsigned)(name.p[i] - '0');
        } else if (i >= name.n || name.p[i++] != *pattern)
            return false;
    }
    snprintf(suffix, 16, "%.*s", (int)(name.n - i), name.p + i);
    return !strcmp(suffix, ".weight") || !strcmp(suffix, ".bias");
}

static hf_tensor *add(hf_maker *k, const char *pattern, unsigned layer, int expert, const char *suffix,
                      uint32_t n_dims, const uint64_t *dims, float **data) {
    hf_tensor *t = &k->t[k->n++];
    size_t n = 0, values = 1;
    for (; *pattern; pattern++)
        if (*pattern == '#' || *pattern == '@')
            n += (size_t)snprintf(t->name + n, 12, "%u", *pattern == '#' ? layer : (unsigned)expert);
        else
            t->name[n++] = *pattern;
    snprintf(t->name + n, sizeof t->name - n, "%s", suffix);
    t->type = "F32";
    t->n_dims = n_dims;
    for (uint32_t i = 0; i < n_dims; i++) values *= (t->dims[i] = dims[i]);
    t->bytes = 4 * values;
    t->data = *data = calloc(values, 4);
    return t;
}

static const gguf_tensor *partner(const hf_maker *k, const gguf_tensor *t, const char *from, const char *to) {
    char name[128];
    const char *at = strstr(t->name.p, from);
    snprintf(name, sizeof name, "%.*s%s%.*s", (int)(at - t->name.p), t->name.p, to,
             (int)(t->name.n - (size_t)(at - t->name.p) - strlen(from)), at + strlen(from));
    return gguf_find_tensor(k->g, name);
}

/* Row of the source that row r of the kept tensor is, for orders of rows. */
static uint64_t row_from(const hf_maker *k, char how, uint64_t rows, uint64_t r) {
    uint64_t heads = how == 'q' ? k->heads : k->heads_kv, d = k->dim, keys = DELTA_KEYS,
             per = DELTA_VALUES / DELTA_KEYS;
    uint64_t behind = how == 'Q' || how == 'S' ? 2 * keys * d : 0;
    switch (how) {
    case 'q':
    case 'k': { /* halves of heads back to where pairs came from */
        uint64_t dim = rows / heads, h = r / dim, i = r % dim;
        return h * dim + i % (dim / 2) * 2 + i / (dim / 2);
    }
    case 'n': { /* (heads, 3, d) out of (3, heads, d) */
        uint64_t dim = rows / 3 / k->heads, h = r / (3 * dim), part = r / dim % 3;
        return part * k->heads * dim + h * dim + r % dim;
    }
    case 'f': { /* groups of queries with their key and value */
        uint64_t g = k->heads / k->heads_kv, dim = rows / (k->heads + 2 * k->heads_kv),
                 group = r / ((g + 2) * dim), i = r / dim % (g + 2);
        uint64_t head = i < g ? group * g + i : i == g ? k->heads + group : k->heads + k->heads_kv + group;
        return head * dim + r % dim;
    }
    case 'Q':
    case 'S':
    case 'V':
    case 'W':
    case 'L': { /* value heads of a key head together */
        if (r < behind) return r;
        uint64_t dim = (rows - behind) / DELTA_VALUES, head = (r - behind) / dim;
        return behind + ((head % per) * keys + head / per) * dim + r % dim;
    }
    default: return r;
    }
}

static void keep_rows(hf_maker *k, const struct rename *rule, const gguf_tensor *t, unsigned layer,
                      const char *suffix) {
    const float *x = (const float *)(const void *)t->data;
    uint64_t cols = t->n_dims > 1 ? t->ne[0] : 1, rows = t->n_dims > 1 ? t->ne[1] * t->ne[2] : t->ne[0];
    uint64_t dims[5] = {rows, cols};
    uint32_t n_dims = t->n_dims;
    float *y;
    char how = rule->how;
    if (n_dims == 3) dims[0] = t->ne[2], dims[1] = t->ne[1], dims[2] = t->ne[0];
    if ((how == 's' || how == 'S') && n_dims == 2) dims[1] = 1, dims[2] = cols, n_dims = 3;
    if (how == 'l' || how == 'c' || how == 'L') dims[0] = rows * cols, n_dims = 1;
    if (how == 'r') dims[0] = 1, dims[1] = t->ne[0], n_dims = 2;
    add(k, rule->hf, layer, 0, suffix, n_dims, dims, &y);
    for (uint64_t r = 0; r < rows; r++)
        for (uint64_t c = 0; c < cols; c++) {
            float v = x[row_from(k, how, rows, r) * cols + c];
            y[r * cols + c] = how == '1' && !strcmp(suffix, ".weight") ? v - 1.0f
                              : how == 'l' || how == 'L'               ? logf(-v)
                                                                       : v;
        }
}

/* Orders that are not of rows, and tensors made of several. */
static void keep(hf_maker *k, const struct rename *rule, const gguf_tensor *t, unsigned layer,
                 const char *suffix) {
    const float *x = (const float *)(const void *)t->data, *up, *v;
    uint64_t cols = t->ne[0], rows = t->ne[1], stack = t->ne[2], heads = k->heads, g;
    float *y;
    switch (rule->how) {
    case 'x': break;
    case 't': /* stacks of transposed */
        if (t->n_dims == 1) {
            keep_rows(k, rule, t, layer, suffix);
            break;
        }
        add(k, rule->hf, layer, 0, suffix, t->n_dims,
            t->n_dims == 3 ? (uint64_t[]){stack, cols, rows} : (uint64_t[]){cols, rows}, &y);
        for (uint64_t i = 0; i < stack * rows * cols; i++)
            y[i / (rows * cols) * rows * cols + i % cols * rows + i / cols % rows] = x[i];
        break;
    case 'e':
        if (t->n_dims == 2) stack = rows, rows = 1;
        for (uint64_t e = 0; e < stack; e++) {
            add(k, rule->hf, layer, (int)e, suffix, t->n_dims - 1,
                t->n_dims == 3 ? (uint64_t[]){rows, cols} : (uint64_t[]){cols}, &y);
            memcpy(y, x + e * rows * cols, rows * cols * 4);
        }
        break;
    case 'g': /* gate above up */
    case 'i': /* and in turns, transposed */
        up = (const float *)(const void *)partner(k, t, "ffn_gate", "ffn_up")->data;
        if (rule->how == 'g') {
            add(k, rule->hf, layer, 0, suffix, t->n_dims,
                t->n_dims == 3 ? (uint64_t[]){stack, 2 * rows, cols} : (uint64_t[]){2 * rows, cols}, &y);
            for (uint64_t e = 0; e < stack; e++) {
                memcpy(y + 2 * e * rows * cols, x + e * rows * cols, rows * cols * 4);
                memcpy(y + (2 * e + 1) * rows * cols, up + e * rows * cols, rows * cols * 4);
            }
            break;
        }
        add(k, rule->hf, layer, 0, suffix, 3, (uint64_t[]){stack, cols, 2 * rows}, &y);
        for (uint64_t i = 0; i < stack * rows * cols; i++) {
            uint64_t e = i / (rows * cols), r = i / cols % rows, c = i % cols;
            y[(e * cols + c) * 2 * rows + 2 * r] = x[i];
            y[(e * cols + c) * 2 * rows + 2 * r + 1] = up[i];
        }
        break;
    case 'j':
        up = (const float *)(const void *)partner(k, t, "ffn_gate", "ffn_up")->data;
        add(k, rule->hf, layer, 0, suffix, 2, (uint64_t[]){rows, 2 * cols}, &y);
        for (uint64_t i = 0; i < rows * cols; i++) y[2 * i] = x[i], y[2 * i + 1] = up[i];
        break;
    case 'w': /* queries of a group, its key, its value; halves of heads apart */
        up = (const float *)(const void *)partner(k, t, "attn_q", "attn_k")->data;
        v = (const float *)(const void *)partner(k, t, "attn_q", "attn_v")->data;
        g = heads / k->heads_kv;
        add(k, rule->hf, layer, 0, suffix, 2, (uint64_t[]){(heads + 2 * k->heads_kv) * k->dim, cols}, &y);
        for (uint64_t kv = 0; kv < k->heads_kv; kv++)
            for (uint64_t i = 0; i < g + 2; i++)
                for (uint64_t r = 0; r < k->dim; r++, y += cols) {
                    uint64_t turned = r % (k->dim / 2) * 2 + r / (k->dim / 2);
                    const float *from = i < g    ? x + ((kv * g + i) * k->dim + turned) * cols
                                        : i == g ? up + (kv * k->dim + turned) * cols
                                                 : v + (kv * k->dim + r) * cols;
                    memcpy(y, from, cols * 4);
                }
        break;
    case 'b': { /* k_b (heads, rank, nope) and v_b (heads, value, rank) */
        const gguf_tensor *vb = partner(k, t, "attn_k_b", "attn_v_b");
        uint64_t nope = cols, rank = rows, value = vb->ne[1];
        v = (const float *)(const void *)vb->data;
        add(k, rule->hf, layer, 0, suffix, 2, (uint64_t[]){stack * (nope + value), rank}, &y);
        for (uint64_t h = 0; h < stack; h++, y += (nope + value) * rank) {
            for (uint64_t i = 0; i < nope * rank; i++) y[i] = x[(h * rank + i % rank) * nope + i / rank];
            memcpy(y + nope * rank, v + h * value * rank, value * rank * 4);
        }
        break;
    }
    case 'z': { /* of each key head its q, k, v and z */
        uint64_t d = k->dim, per = DELTA_VALUES / DELTA_KEYS, key = d * cols, value = per * d * cols;
        up = (const float *)(const void *)partner(k, t, "attn_qkv", "attn_gate")->data;
        add(k, rule->hf, layer, 0, suffix, 2, (uint64_t[]){(2 + 2 * per) * d * DELTA_KEYS, cols}, &y);
        for (uint64_t h = 0; h < DELTA_KEYS; h++, y += 2 * key + 2 * value) {
            memcpy(y, x + h * key, key * 4);
            memcpy(y + key, x + (DELTA_KEYS + h) * key, key * 4);
            memcpy(y + 2 * key, x + 2 * DELTA_KEYS * key + h * value, value * 4);
            memcpy(y + 2 * key + value, up + h * value, value * 4);
        }
        break;
    }
    case 'C': { /* columns by value heads */
        uint64_t d = cols / DELTA_VALUES, per = DELTA_VALUES / DELTA_KEYS;
        add(k, rule->hf, layer, 0, suffix, 2, (uint64_t[]){rows, cols}, &y);
        for (uint64_t i = 0; i < rows * cols; i++) {
            uint64_t head = i % cols / d;
            y[i] = x[i / cols * cols + ((head % per) * DELTA_KEYS + head / per) * d + i % d];
        }
        break;
    }
    default: keep_rows(k, rule, t, layer, suffix);
    }
}

bool hf_write_safetensors(const char *path, const hf_tensor *t, size_t n) {
    char *header = malloc(n * 400 + 64);
    size_t size = 0, offset = 0;
    FILE *f = fopen(path, "wb");
    if (!f || !header) return false;
    size += (size_t)sprintf(header, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < n; i++) {
        size += (size_t)sprintf(header + size, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", t[i].name, t[i].type);
        for (uint32_t d = 0; d < t[i].n_dims; d++)
            size += (size_t)sprintf(header + size, "%s%llu", d ? "," : "", (unsigned long long)t[i].dims[d]);
        size += (size_t)sprintf(header + size, "],\"data_offsets\":[%zu,%zu]}", offset, offset + t[i].bytes);
        offset += t[i].bytes;
    }
    header[size++] = '}';
    uint64_t length = size;
    bool good = fwrite(&length, 8, 1, f) == 1 && fwrite(header, 1, size, f) == size;
    for (size_t i = 0; i < n && good; i++) good = fwrite(t[i].data, 1, t[i].bytes, f) == t[i].bytes;
    free(header);
    return fclose(f) == 0 && good;
}

static bool write_parts(const hf_maker *k, const char *dir, unsigned parts) {
    char path[300];
    bool good = true;
    if (parts == 1) {
        snprintf(path, sizeof path, "%s/model.safetensors", dir);
        return hf_write_safetensors(path, k->t, k->n);
    }
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir);
    FILE *f = fopen(path, "wb");
    if (!f) return false;
    fprintf(f, "{\"metadata\":{},\"weight_map\":{");
    for (unsigned p = 0; p < parts; p++) {
        char name[64];
        size_t from = k->n * p / parts, to = k->n * (p + 1) / parts;
        snprintf(name, sizeof name, "model-%05u-of-%05u.safetensors", p + 1, parts);
        snprintf(path, sizeof path, "%s/%s", dir, name);
        good = good && hf_write_safetensors(path, k->t + from, to - from);
        for (size_t i = from; i < to; i++) fprintf(f, "%s\"%s\":\"%s\"", i ? "," : "", k->t[i].name, name);
    }
    fprintf(f, "}}\n");
    return fclose(f) == 0 && good;
}

bool hf_write(const char *gguf_path, const arch_spec *spec, const char *dir, unsigned parts) {
    model_file *file = NULL;
    leat_error e;
    bool good = true;
    if (file_open(gguf_path, &file, &e)) {
        fprintf(stderr, "%s\n", e.message);
        return false;
    }
    hf_maker k = {.g = file_gguf(file), .spec = spec};
    k.heads = hf_number(k.g, spec, "attention.head_count");
    k.heads_kv = hf_number(k.g, spec, "attention.head_count_kv");
    k.dim = hf_number(k.g, spec, "attention.key_length");
    k.t = calloc(TENSORS_MAX, sizeof *k.t);
    for (size_t i = 0; i < k.g->n_tensors && k.t; i++) {
        const gguf_tensor *t = &k.g->tensors[i];
        unsigned layer;
        char suffix[16];
        size_t r = 0, n = sizeof renames / sizeof *renames;
        while (r < n && !(is_listed(renames[r].archs, spec->arch) &&
                          name_fits(t->name, renames[r].gguf, &layer, suffix)))
            r++;
        if (r == n) {
            fprintf(stderr, "%s: %.*s has no name in a folder\n", spec->arch, (int)t->name.n, t->name.p);
            good = false;
        } else
            keep(&k, &renames[r], t, layer, suffix);
    }
    good = good && k.t && write_parts(&k, dir, parts) && hf_write_config(k.g, spec, dir) &&
           hf_write_vocabulary(k.g, dir);
    for (size_t i = 0; i < k.n; i++) free((void *)(uintptr_t)k.t[i].data);
    free(k.t);
    file_close(file);
    return good;
}

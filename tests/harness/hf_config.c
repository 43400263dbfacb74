/* See hf_config.h: config.json under the names of each model's own configuration, and a SentencePiece model
 * as protocol buffers. */
#include "hf_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *arch, *name;
} architectures[] = {
    {"arcee", "ArceeForCausalLM"},
    {"baichuan", "BaichuanForCausalLM"},
    {"bert", "BertModel"},
    {"chatglm", "ChatGLMModel"},
    {"codeshell", "CodeShellForCausalLM"},
    {"cohere2", "Cohere2ForCausalLM"},
    {"command-r", "CohereForCausalLM"},
    {"deepseek", "DeepseekForCausalLM"},
    {"deepseek2", "DeepseekV3ForCausalLM"},
    {"dots1", "Dots1ForCausalLM"},
    {"ernie4_5", "Ernie4_5ForCausalLM"},
    {"ernie4_5-moe", "Ernie4_5_MoeForCausalLM"},
    {"eurobert", "EuroBertModel"},
    {"exaone", "ExaoneForCausalLM"},
    {"exaone4", "Exaone4ForCausalLM"},
    {"falcon", "FalconForCausalLM"},
    {"falcon-40B", "FalconForCausalLM"},
    {"gemma", "GemmaForCausalLM"},
    {"gemma-embedding", "Gemma3TextModel"},
    {"gemma2", "Gemma2ForCausalLM"},
    {"gemma3", "Gemma3ForCausalLM"},
    {"gemma3n", "Gemma3nForConditionalGeneration"},
    {"gemma4", "Gemma4ForConditionalGeneration"},
    {"glm4", "Glm4ForCausalLM"},
    {"glm4moe", "Glm4MoeForCausalLM"},
    {"gpt-oss", "GptOssForCausalLM"},
    {"gpt2", "GPT2LMHeadModel"},
    {"gptneox", "GPTNeoXForCausalLM"},
    {"granite", "GraniteForCausalLM"},
    {"granitehybrid", "GraniteMoeHybridForCausalLM"},
    {"granitemoe", "GraniteMoeSharedForCausalLM"},
    {"hunyuan-dense", "HunYuanDenseV1ForCausalLM"},
    {"hunyuan-moe", "HunYuanMoEV1ForCausalLM"},
    {"internlm2", "InternLM2ForCausalLM"},
    {"jina-bert-v3", "XLMRobertaModel"},
    {"lfm2", "Lfm2ForCausalLM"},
    {"lfm2moe", "Lfm2MoeForCausalLM"},
    {"llama", "LlamaForCausalLM"},
    {"llama-embed", "LlamaBidirectionalModel"},
    {"mamba2", "Mamba2ForCausalLM"},
    {"minicpm", "MiniCPMForCausalLM"},
    {"minimax-m2", "MiniMaxM2ForCausalLM"},
    {"mistral3", "Mistral3ForConditionalGeneration"},
    {"modern-bert", "ModernBertModel"},
    {"nemotron", "NemotronForCausalLM"},
    {"nomic-bert", "NomicBertModel"},
    {"nomic-bert-moe", "NomicBertModel"},
    {"olmo2", "Olmo2ForCausalLM"},
    {"olmoe", "OlmoeForCausalLM"},
    {"orion", "OrionForCausalLM"},
    {"phi2", "PhiForCausalLM"},
    {"phi3", "Phi3ForCausalLM"},
    {"qwen2", "Qwen2ForCausalLM"},
    {"qwen2moe", "Qwen2MoeForCausalLM"},
    {"qwen2vl", "Qwen2_5_VLForConditionalGeneration"},
    {"qwen3", "Qwen3ForCausalLM"},
    {"qwen35", "Qwen3_5ForCausalLM"},
    {"qwen35moe", "Qwen3_5MoeForCausalLM"},
    {"qwen3moe", "Qwen3MoeForCausalLM"},
    {"qwen3next", "Qwen3NextForCausalLM"},
    {"qwen3vl", "Qwen3VLForConditionalGeneration"},
    {"qwen3vlmoe", "Qwen3VLMoeForConditionalGeneration"},
    {"roberta", "XLMRobertaForSequenceClassification"},
    {"seed_oss", "SeedOssForCausalLM"},
    {"smollm3", "SmolLM3ForCausalLM"},
    {"stablelm", "StableLmForCausalLM"},
    {"starcoder", "GPTBigCodeForCausalLM"},
    {"starcoder2", "Starcoder2ForCausalLM"},
    {"xverse", "XverseForCausalLM"},
};

/* GGUF's key and the configuration's name for it, by architecture where they differ; the first that fits. */
static const struct {
    const char *archs, *key, *name;
} numbers[] = {
    {"gpt2 starcoder codeshell exaone nomic-bert nomic-bert-moe", "block_count", "n_layer"},
    {"gpt2 starcoder codeshell nomic-bert nomic-bert-moe", "embedding_length", "n_embd"},
    {"gpt2 starcoder codeshell nomic-bert nomic-bert-moe", "feed_forward_length", "n_inner"},
    {"gpt2 starcoder codeshell nomic-bert nomic-bert-moe", "attention.head_count", "n_head"},
    {"nomic-bert nomic-bert-moe", "context_length", "n_positions"},
    {"nomic-bert nomic-bert-moe jina-bert-v3", "rope.freq_base", "rotary_emb_base"},
    {"nomic-bert-moe", "moe_every_n_layers", "moe_every_n_layers"},
    {"nomic-bert-moe", "expert_used_count", "moe_top_k"},
    {"bert jina-bert-v3", "context_length", NULL}, /* with positions of padding */
    {"bert", "rope.freq_base", NULL},
    {"modern-bert", "rope.freq_base", "global_rope_theta"},
    {"modern-bert", "rope.freq_base_swa", "local_rope_theta"},
    {"modern-bert", "attention.sliding_window", "local_attention"},
    {"modern-bert", "attention.layer_norm_epsilon", "norm_eps"},
    {"gemma4", "attention.key_length", "global_head_dim"},
    {"gemma4", "attention.key_length_swa", "head_dim"},
    {"gemma4", "attention.shared_kv_layers", "num_kv_shared_layers"},
    {"gemma4", "embedding_length_per_layer_input", "hidden_size_per_layer_input"},
    {"gemma4", "rope.freq_base", NULL},
    {"gemma4", "expert_used_count", "top_k_experts"},
    {"minimax-m2", "rope.dimension_count", "rotary_dim"},
    {"minimax-m2", "expert_feed_forward_length", "intermediate_size"},
    {"minimax-m2", "feed_forward_length", NULL},
    {"minimax-m2", "expert_count", "num_local_experts"},
    {"ernie4_5-moe", "expert_count", "moe_num_experts"},
    {"ernie4_5-moe", "expert_used_count", "moe_k"},
    {"ernie4_5-moe", "expert_shared_count", "moe_num_shared_experts"},
    {"ernie4_5-moe", "leading_dense_block_count", "moe_layer_start_index"},
    {"ernie4_5-moe", "interleave_moe_layer_step", "moe_layer_interval"},
    {"gpt2 starcoder codeshell", "context_length", "n_positions"},
    {"gpt2 starcoder codeshell exaone mamba2", "attention.layer_norm_epsilon", "layer_norm_epsilon"},
    {"codeshell", "attention.head_count_kv", "num_query_groups"},
    {"starcoder gpt2 gptneox", "attention.head_count_kv", NULL},
    {"falcon", "attention.head_count_kv", "num_kv_heads"},
    {"falcon chatglm", "feed_forward_length", "ffn_hidden_size"},
    {"falcon", "attention.layer_norm_epsilon", "layer_norm_epsilon"},
    {"chatglm", "attention.head_count_kv", "multi_query_group_num"},
    {"chatglm", "attention.key_length", "kv_channels"},
    {"chatglm", "attention.layer_norm_rms_epsilon", "layernorm_epsilon"},
    {"chatglm", "context_length", "seq_length"},
    {"exaone mamba2", "attention.layer_norm_rms_epsilon", "layer_norm_epsilon"},
    {"gptneox", "rope.freq_base", "rotary_emb_base"},
    {"starcoder2 nemotron", "attention.layer_norm_epsilon", "norm_epsilon"},
    {"lfm2 lfm2moe", "attention.layer_norm_rms_epsilon", "norm_eps"},
    {"orion", "attention.layer_norm_epsilon", "rms_norm_eps"},
    {"deepseek2", "attention.key_length", NULL},
    {"deepseek2", "attention.head_count_kv", NULL},
    {"deepseek2", "rope.dimension_count", "qk_rope_head_dim"},
    {"deepseek2", "attention.value_length_mla", "v_head_dim"},
    {"mamba2 lfm2 lfm2moe granitehybrid", "attention.head_count_kv", NULL},
    {"mamba2", "attention.head_count", NULL},
    {"mamba2", "feed_forward_length", NULL},
    {"mamba2", "ssm.inner_size", NULL},
    {"mamba2", "ssm.conv_kernel", "conv_kernel"},
    {"mamba2", "ssm.state_size", "state_size"},
    {"mamba2", "ssm.time_step_rank", "num_heads"},
    {"mamba2", "ssm.group_count", "n_groups"},
    {"granitehybrid", "ssm.conv_kernel", "mamba_d_conv"},
    {"granitehybrid", "ssm.state_size", "mamba_d_state"},
    {"granitehybrid", "ssm.time_step_rank", "mamba_n_heads"},
    {"granitehybrid", "ssm.group_count", "mamba_n_groups"},
    {"granitehybrid", "feed_forward_length", "shared_intermediate_size"},
    {"qwen3next qwen35 qwen35moe", "ssm.conv_kernel", "linear_conv_kernel_dim"},
    {"qwen3next qwen35 qwen35moe", "ssm.state_size", "linear_key_head_dim"},
    {"qwen3next qwen35 qwen35moe", "ssm.time_step_rank", "linear_num_value_heads"},
    {"qwen3next qwen35 qwen35moe", "ssm.group_count", "linear_num_key_heads"},
    {"qwen3next qwen35 qwen35moe", "full_attention_interval", "full_attention_interval"},
    {"granite granitemoe granitehybrid", "logit_scale", "logits_scaling"},
    {"granite granitemoe granitehybrid", "residual_scale", "residual_multiplier"},
    {"granite granitemoe granitehybrid", "embedding_scale", "embedding_multiplier"},
    {"granite granitemoe granitehybrid", "attention.scale", "attention_multiplier"},
    {"minicpm", "embedding_scale", "scale_emb"},
    {"granitemoe granitehybrid", "expert_shared_feed_forward_length", "shared_intermediate_size"},
    {"hunyuan-moe", "expert_shared_feed_forward_length", NULL},
    {"hunyuan-moe", "expert_shared_count", "num_shared_expert"},
    {"hunyuan-moe", "expert_used_count", "moe_topk"},
    {"glm4moe deepseek deepseek2 dots1", "expert_count", "n_routed_experts"},
    {"llama granitemoe granitehybrid gpt-oss", "expert_count", "num_local_experts"},
    {"lfm2moe", "leading_dense_block_count", "num_dense_layers"},
    {"*", "block_count", "num_hidden_layers"},
    {"*", "embedding_length", "hidden_size"},
    {"*", "feed_forward_length", "intermediate_size"},
    {"*", "attention.head_count", "num_attention_heads"},
    {"*", "attention.head_count_kv", "num_key_value_heads"},
    {"*", "attention.key_length", "head_dim"},
    {"*", "context_length", "max_position_embeddings"},
    {"*", "attention.layer_norm_rms_epsilon", "rms_norm_eps"},
    {"*", "attention.layer_norm_epsilon", "layer_norm_eps"},
    {"*", "rope.freq_base", "rope_theta"},
    {"*", "expert_count", "num_experts"},
    {"*", "expert_used_count", "num_experts_per_tok"},
    {"*", "expert_feed_forward_length", "moe_intermediate_size"},
    {"*", "expert_shared_feed_forward_length", "shared_expert_intermediate_size"},
    {"*", "expert_shared_count", "n_shared_experts"},
    {"*", "leading_dense_block_count", "first_k_dense_replace"},
    {"*", "expert_group_count", "n_group"},
    {"*", "expert_group_used_count", "topk_group"},
    {"*", "expert_weights_scale", "routed_scaling_factor"},
    {"*", "expert_weights_norm", "norm_topk_prob"},
    {"*", "attention.sliding_window", "sliding_window"},
    {"*", "attention.kv_lora_rank", "kv_lora_rank"},
    {"*", "attention.q_lora_rank", "q_lora_rank"},
    {"*", "logit_scale", "logit_scale"},
    {"*", "attn_logit_softcapping", "attn_logit_softcapping"},
    {"*", "final_logit_softcapping", "final_logit_softcapping"},
    {"*", "use_parallel_residual", "use_parallel_residual"},
    {"*", "shortconv.l_cache", "conv_L_cache"},
    {"*", "attention.causal", "is_causal"},
};

static bool is_listed(const char *list, const char *word) {
    size_t n = strlen(word);
    if (*list == '*') return true;
    for (const char *p = list; (p = strstr(p, word)); p++)
        if ((p == list || p[-1] == ' ') && (p[n] == ' ' || !p[n])) return true;
    return false;
}

static const gguf_kv *find(const gguf *g, const arch_spec *spec, const char *key) {
    char full[128];
    snprintf(full, sizeof full, "%s.%s", spec->arch, key);
    return gguf_find(g, full);
}

const char *hf_kind(const arch_spec *s) {
    if (!strcmp(s->arch, "bert") && s->classes) return "roberta";
    if (!strcmp(s->arch, "falcon") && s->attn_norm) return "falcon-40B";
    return s->arch;
}

uint32_t hf_number(const gguf *g, const arch_spec *spec, const char *key) {
    const gguf_kv *kv = find(g, spec, key);
    for (uint64_t i = 0; kv && i < kv->count; i++)
        if (gguf_kv_u64(kv, i)) return (uint32_t)gguf_kv_u64(kv, i);
    return 0;
}

static void put_value(FILE *f, const char *name, const gguf_kv *kv) {
    if (kv->type == GGUF_F32)
        fprintf(f, ",\"%s\":%.9g", name, gguf_kv_f64(kv, 0));
    else if (kv->type == GGUF_BOOL)
        fprintf(f, ",\"%s\":%s", name, gguf_kv_u64(kv, 0) ? "true" : "false");
    else
        fprintf(f, ",\"%s\":%llu", name, (unsigned long long)gguf_kv_u64(kv, 0));
}

static void put_layers(FILE *f, const arch_spec *s, uint32_t n, const char *name, const char *attention,
                       const char *other) {
    fprintf(f, ",\"%s\":[", name);
    for (uint32_t i = 0; i < n; i++)
        fprintf(f, "%s\"%s\"", i ? "," : "", spec_mixes(s, i) ? other : attention);
    fprintf(f, "]");
}

/* The activation of feed-forwards, as models of the kind spell it. */
static void put_activation(FILE *f, const arch_spec *s) {
    const char *a = s->arch, *word = s->gelu ? "gelu_pytorch_tanh" : s->relu_sqr ? "relu2" : "silu";
    const char *name = is_listed("gpt2 starcoder codeshell exaone", a)                ? "activation_function"
                       : is_listed("gemma2 gemma3 gemma3n gemma4 gemma-embedding", a) ? "hidden_activation"
                       : is_listed("falcon", a)                                       ? "activation"
                                                                                      : "hidden_act";
    if (is_listed("bert jina-bert-v3 modern-bert", a)) word = "gelu";
    if (is_listed("modern-bert", a)) name = "hidden_activation";
    if (is_listed("nomic-bert nomic-bert-moe", a)) {
        name = "activation_function";
        word = s->gelu ? "gelu" : "swiglu";
    }
    fprintf(f, ",\"%s\":\"%s\"", name, word);
}

/* What is no number of GGUF's under another name. */
static void put_more(FILE *f, const gguf *g, const arch_spec *s) {
    const char *a = s->arch;
    uint32_t n = hf_number(g, s, "block_count"), width = hf_number(g, s, "embedding_length");
    uint32_t dims = hf_number(g, s, "rope.dimension_count"), dim = hf_number(g, s, "attention.key_length");
    fprintf(f, ",\"tie_word_embeddings\":%s", gguf_find_tensor(g, "output.weight") ? "false" : "true");
    if (dims && dim && !s->latent && strcmp(a, "chatglm") != 0)
        fprintf(f, ",\"partial_rotary_factor\":%.9g", (double)dims / dim);
    if (s->rope_factor > 0)
        fprintf(f, ",\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":%g}", s->rope_factor);
    if (s->local_base > 0 && is_listed("gemma3 gemma3n gemma-embedding", a))
        fprintf(f, ",\"rope_local_base_freq\":%g", s->local_base);
    if (s->scale_by_width) fprintf(f, ",\"query_pre_attn_scalar\":1");
    if (s->mixer == MIXER_CONV) put_layers(f, s, n, "layer_types", "full_attention", "conv");
    if (!strcmp(a, "granitehybrid")) put_layers(f, s, n, "layer_types", "attention", "mamba");
    if (!strcmp(a, "granitehybrid"))
        fprintf(f, ",\"intermediate_size\":%u", hf_number(g, s, "feed_forward_length"));
    if (!strcmp(a, "granitehybrid"))
        fprintf(f, ",\"mamba_d_head\":%u,\"position_embedding_type\":\"%s\"",
                2 * width / hf_number(g, s, "ssm.time_step_rank"),
                find(g, s, "rope.scaling.finetuned") ? "nope" : "rope");
    if (!strcmp(a, "mamba2"))
        fprintf(f, ",\"expand\":2,\"head_dim\":%u", 2 * width / hf_number(g, s, "ssm.time_step_rank"));
    if (s->mixer == MIXER_DELTA) fprintf(f, ",\"linear_value_head_dim\":%u", dim);
    if (s->latent)
        fprintf(f, ",\"qk_nope_head_dim\":%u,\"scoring_func\":\"%s\"",
                hf_number(g, s, "attention.key_length_mla") - LATENT_ROPE,
                s->experts.gating == 's' ? "sigmoid" : "softmax");
    if (!strcmp(a, "bert") || !strcmp(a, "jina-bert-v3"))
        fprintf(f, ",\"max_position_embeddings\":%u,\"pad_token_id\":%d",
                hf_number(g, s, "context_length") + (s->kinds == 1 ? 2 : 0), s->kinds == 1);
    if (!strcmp(a, "gemma3") && !s->window) fprintf(f, ",\"sliding_window_pattern\":1");
    if (s->kinds) fprintf(f, ",\"type_vocab_size\":%u", s->kinds);
    if (!strcmp(a, "jina-bert-v3"))
        fprintf(f, ",\"lora_adaptations\":[\"a\",\"b\"],\"position_embedding_type\":\"rotary\"");
    if (!strcmp(a, "bert")) fprintf(f, ",\"position_embedding_type\":\"absolute\"");
    if (!strcmp(a, "modern-bert")) fprintf(f, ",\"global_attn_every_n_layers\":%u", s->period);
    if (!strcmp(a, "gemma3n"))
        fprintf(f,
                ",\"altup_num_inputs\":%d,\"altup_active_idx\":0,\"num_kv_shared_layers\":%u,"
                "\"hidden_size_per_layer_input\":%d,\"final_logit_softcapping\":%g",
                ALTUP, n - ALTUP_CACHED, ALTUP_INPUT, s->logit_cap);
    if (!strcmp(a, "gemma3n") || !strcmp(a, "gemma4")) {
        fprintf(f, ",\"layer_types\":[");
        for (uint32_t i = 0; i < n; i++)
            fprintf(f, "%s\"%s\"", i ? "," : "",
                    spec_windowed(s, i) ? "sliding_attention" : "full_attention");
        fprintf(f, "]");
    }
    if (!strcmp(a, "gemma4"))
        fprintf(f,
                ",\"attention_k_eq_v\":true,\"num_global_key_value_heads\":1,\"rope_parameters\":{"
                "\"full_attention\":{\"rope_type\":\"proportional\",\"partial_rotary_factor\":1,"
                "\"rope_theta\":%g},\"sliding_attention\":{\"rope_theta\":%g}}",
                gguf_kv_f64(find(g, s, "rope.freq_base"), 0), s->local_base);
    if (!strcmp(a, "minimax-m2")) fprintf(f, ",\"scoring_func\":\"sigmoid\"");
    if (!strcmp(a, "chatglm")) fprintf(f, ",\"multi_query_attention\":true,\"rope_ratio\":1");
    if (!strcmp(a, "falcon")) fprintf(f, ",\"new_decoder_architecture\":true");
    if (!strcmp(a, "starcoder"))
        fprintf(f, ",\"multi_query\":%s", hf_number(g, s, "attention.head_count_kv") == 1 ? "true" : "false");
    if (!strcmp(a, "minicpm"))
        fprintf(f, ",\"scale_depth\":%.9g,\"dim_model_base\":%g", 0.5 * 1.4142135623730951, width / 4.0);
    if (!strcmp(a, "mistral3"))
        fprintf(f, ",\"text_config\":{\"model_type\":\"ministral3\",\"rope_parameters\":{\"rope_type\":"
                   "\"yarn\",\"factor\":1,"
                   "\"original_max_position_embeddings\":10,\"llama_4_scaling_beta\":0.5}}");
    const gguf_kv *sections = find(g, s, "rope.dimension_sections");
    if (sections)
        fprintf(f, ",\"rope_parameters\":{\"mrope_section\":[%u,%u,%u]}", (unsigned)gguf_kv_u64(sections, 0),
                (unsigned)gguf_kv_u64(sections, 1), (unsigned)gguf_kv_u64(sections, 2));
    if (s->long_factors) {
        const char *names[] = {"long", "short"};
        fprintf(f, ",\"original_max_position_embeddings\":32,\"rope_scaling\":{\"type\":\"longrope\"");
        for (int k = 0; k < 2; k++) {
            char name[64];
            snprintf(name, sizeof name, "rope_factors_%s.weight", names[k]);
            const gguf_tensor *t = gguf_find_tensor(g, name);
            fprintf(f, ",\"%s_factor\":[", names[k]);
            for (uint64_t i = 0; i < t->ne[0]; i++)
                fprintf(f, "%s%.9g", i ? "," : "", (double)((const float *)(const void *)t->data)[i]);
            fprintf(f, "]");
        }
        fprintf(f, "}");
    }
}

bool hf_write_config(const gguf *g, const arch_spec *spec, const char *dir) {
    char path[300];
    const char *name = NULL;
    snprintf(path, sizeof path, "%s/config.json", dir);
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
        if (!strcmp(architectures[i].arch, hf_kind(spec))) name = architectures[i].name;
    FILE *f = name ? fopen(path, "wb") : NULL;
    if (!f) return false;
    fprintf(f, "{\"architectures\":[\"%s\"],\"torch_dtype\":\"float32\"", name);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const gguf_kv *kv = find(g, spec, numbers[i].key);
        bool first = true;
        for (size_t k = 0; k < i; k++)
            first = first &&
                    (strcmp(numbers[k].key, numbers[i].key) != 0 || !is_listed(numbers[k].archs, spec->arch));
        if (!kv || !first || !is_listed(numbers[i].archs, spec->arch) || !numbers[i].name) continue;
        if (kv->type == GGUF_ARRAY ||
            (!strcmp(numbers[i].key, "attention.head_count_kv") && !gguf_kv_u64(kv, 0)))
            fprintf(f, ",\"%s\":%u", numbers[i].name, hf_number(g, spec, numbers[i].key));
        else
            put_value(f, numbers[i].name, kv);
    }
    if (spec->mixer && spec->mixer != MIXER_DELTA && spec->attention_period)
        fprintf(f, ",\"num_key_value_heads\":%u", hf_number(g, spec, "attention.head_count_kv"));
    put_activation(f, spec);
    put_more(f, g, spec);
    fprintf(f, "}\n");
    return fclose(f) == 0;
}

static void put_varint(FILE *f, uint64_t v) {
    for (; v >= 128; v >>= 7) fputc((int)(v & 127) | 128, f);
    fputc((int)v, f);
}

bool hf_write_vocabulary(const gguf *g, const char *dir) {
    const gguf_kv *tokens = gguf_find(g, "tokenizer.ggml.tokens"),
                  *scores = gguf_find(g, "tokenizer.ggml.scores"),
                  *types = gguf_find(g, "tokenizer.ggml.token_type");
    char path[300];
    size_t cursor = 0;
    snprintf(path, sizeof path, "%s/tokenizer.model", dir);
    FILE *f = tokens && scores && types ? fopen(path, "wb") : NULL;
    if (!f) return false;
    for (uint64_t i = 0; i < tokens->count; i++) {
        str s = gguf_kv_next_str(tokens, &cursor);
        float score = (float)gguf_kv_f64(scores, i);
        size_t lengths = s.n >= 128 ? 2 : 1;
        fputc(1 << 3 | 2, f);
        put_varint(f, 1 + lengths + s.n + 5 + 2);
        fputc(1 << 3 | 2, f);
        put_varint(f, s.n);
        fwrite(s.p, 1, s.n, f);
        fputc(2 << 3 | 5, f);
        fwrite(&score, 4, 1, f);
        fputc(3 << 3, f);
        put_varint(f, gguf_kv_u64(types, i));
    }
    fwrite("\x12\x02\x18\x02", 1, 4, f); /* trainer: BPE */
    fwrite("\x1A\x02\x18\x01", 1, 4, f); /* normalizer: a space in front */
    return fclose(f) == 0;
}

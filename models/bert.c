/* bert, nomic-bert, nomic-bert-moe, jina-bert-v3: encoders for embeddings. Tokens see each other both ways; a
 * LayerNorm behind each block, over the sum with the residual. BERT and XLM-RoBERTa have learned positions
 * and a feed-forward of GELU; Nomic's and Jina's rotate, Nomic's first with SwiGLU, its second with experts
 * without a gate in every second layer. */
#include "decoder.h"

#include <float.h>

typedef struct bert_layer {
    attention_block attention;
    ffn_block ffn;
    moe_block moe;
    weight attention_norm, attention_norm_bias, output_norm, output_norm_bias;
} bert_layer;

typedef struct bert_ends {
    weight embed, positions, kinds, norm, norm_bias;
} bert_ends;

enum { KINDS_MAX = 16 };

static leat_status bert_hparams(arch_loader *l, hparams *hp) {
    const decoder_options *o = hp->options;
    const uint32_t none = 0;
    leat_status s = arch_read_sizes(l, hp);
    if (!s) s = arch_f32(l, "attention.layer_norm_epsilon", FLT_MIN, 1.0f, NULL, &hp->norm_eps);
    if (!s && !o->positions) s = arch_read_rope(l, hp, o->rope);
    if (!s && !o->experts) s = arch_refuse(l, "expert_count", "mixture of experts");
    if (!s && !o->experts) s = arch_refuse(l, "moe_every_n_layers", "mixture of experts");
    if (!s && o->experts) s = arch_u32(l, "moe_every_n_layers", 0, hp->n_layer, &none, &hp->moe.period);
    if (!s && hp->moe.period) s = arch_read_experts(l, hp);
    if (!s && hp->moe.period && !hp->moe.routing.n_expert)
        s = arch_error(l, LEAT_E_HPARAM, "expert_count is missing or 0");
    hp->moe.n_ff = hp->n_ff;
    hp->both_ways = true; /* whatever attention.causal says, which old files lack */
    return s;
}

static bool has_experts(const hparams *hp, uint32_t layer) {
    return hp->moe.period && layer % hp->moe.period == 1 % hp->moe.period;
}

static leat_status bind_norm(arch_loader *l, const hparams *hp, const char *name, const char *bias_name,
                             uint32_t layer, weight *w, weight *bias) {
    leat_status s = arch_bind(l, w, name, layer, 1, hp->n_embd, 0);
    return s ? s : arch_bind(l, bias, bias_name, layer, 1, hp->n_embd, BIND_OPTIONAL);
}

static leat_status bert_bind_ends(arch_loader *l, const hparams *hp, bert_ends *e) {
    const decoder_options *o = hp->options;
    leat_status s = arch_bind(l, &e->embed, "token_embd.weight", 0, hp->n_vocab, hp->n_embd, 0);
    if (!s) s = arch_bind_rows(l, &e->kinds, "token_types.weight", KINDS_MAX, hp->n_embd);
    if (!s && o->positions)
        s = arch_bind(l, &e->positions, "position_embd.weight", 0, hp->n_ctx_train, hp->n_embd, 0);
    if (!s)
        s = bind_norm(l, hp, "token_embd_norm.weight", "token_embd_norm.bias", 0, &e->norm, &e->norm_bias);
    return s;
}

static leat_status bert_bind(arch_loader *l, const hparams *hp, void *ends, void *layers) {
    bert_layer *layer = layers;
    leat_status s = bert_bind_ends(l, hp, ends);
    for (uint32_t i = 0; !s && i < hp->n_layer; i++) {
        bert_layer *y = &layer[i];
        s = attention_bind(l, hp, i, &y->attention);
        if (!s)
            s = bind_norm(l, hp, "blk.%u.attn_output_norm.weight", "blk.%u.attn_output_norm.bias", i,
                          &y->attention_norm, &y->attention_norm_bias);
        if (!s)
            s = bind_norm(l, hp, "blk.%u.layer_output_norm.weight", "blk.%u.layer_output_norm.bias", i,
                          &y->output_norm, &y->output_norm_bias);
        if (!s) s = has_experts(hp, i) ? moe_bind_experts(l, hp, i, &y->moe) : ffn_bind(l, hp, i, &y->ffn);
    }
    return s;
}

static void bert_build(plan_builder *b, const hparams *hp, const void *ends, const void *layers) {
    const bert_ends *e = ends;
    const bert_layer *layer = layers;
    const plan_norm none = {0};
    stream s = stream_open(b, hp);
    plan_embed(
        b, &(plan_embed_step){.x = s.x, .table = &e->embed, .positions = &e->positions, .kinds = &e->kinds});
    plan_normalize(
        b, &(plan_normalize_step){.in = s.x, .out = s.x, .norm = block_norm(hp, &e->norm, &e->norm_bias)});
    for (uint32_t i = 0; i < hp->n_layer; i++) {
        const bert_layer *y = &layer[i];
        attention_project(b, hp, &y->attention, &s);
        attention_steps(b, hp, i, &y->attention, &s);
        plan_normalize(
            b, &(plan_normalize_step){.in = s.x,
                                      .out = s.x,
                                      .norm = block_norm(hp, &y->attention_norm, &y->attention_norm_bias)});
        if (has_experts(hp, i))
            moe_steps(b, hp, &y->moe, &s);
        else {
            ffn_project(b, hp, &y->ffn, none, &s);
            ffn_steps(b, hp, &y->ffn, &s);
        }
        plan_normalize(
            b, &(plan_normalize_step){
                   .in = s.x, .out = s.x, .norm = block_norm(hp, &y->output_norm, &y->output_norm_bias)});
    }
    plan_hidden(b, s.x, none);
}

#define BERT(name_, ...)                                                                                     \
    {                                                                                                        \
        .name = name_, .weights_bytes = sizeof(bert_ends), .layer_bytes = sizeof(bert_layer),                \
        .read_hparams = bert_hparams, .bind = bert_bind, .build = bert_build, .embeds = true,                \
        .options = &(const decoder_options){                                                                 \
            .norm = NORM_LAYER, .no_pre_norm = true, .rope = ROPE_HALVES, __VA_ARGS__},                      \
    }

const arch arch_bert = BERT("bert", .positions = true, .plain_ffn = true, .activation = ACTIVATION_GELU);
const arch arch_nomic_bert = BERT("nomic-bert", .positions = false);
const arch arch_nomic_bert_moe = BERT("nomic-bert-moe", .plain_ffn = true, .activation = ACTIVATION_GELU,
                                      .experts = true, .plain_experts = true);
const arch arch_jina_bert_v3 = BERT("jina-bert-v3", .plain_ffn = true, .activation = ACTIVATION_GELU);

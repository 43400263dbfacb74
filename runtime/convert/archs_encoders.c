/* Tables and keys of models that make nothing but embeddings: BERT and what came of it. See archs.c. What is
 * behind a pooled vector is in modules.c. */
#include <string.h>

#include "archs.h"

#define END                                                                                                  \
    { NULL, NULL, OP_COPY, NULL }
#define END_KEYS                                                                                             \
    { NULL, 0, NULL }

/* ---- tensors ---- */

#define BERT                                                                                                 \
    {"embeddings.word_embeddings", "token_embd", OP_COPY, NULL},                                             \
        {"embeddings.token_type_embeddings", "token_types", OP_COPY, NULL},                                  \
        {"embeddings.LayerNorm", "token_embd_norm", OP_COPY, NULL},                                          \
        {"encoder.layer.#.attention.self.query", "blk.#.attn_q", OP_COPY, NULL},                             \
        {"encoder.layer.#.attention.self.key", "blk.#.attn_k", OP_COPY, NULL},                               \
        {"encoder.layer.#.attention.self.value", "blk.#.attn_v", OP_COPY, NULL},                             \
        {"encoder.layer.#.attention.output.dense", "blk.#.attn_output", OP_COPY, NULL},                      \
        {"encoder.layer.#.attention.output.LayerNorm", "blk.#.attn_output_norm", OP_COPY, NULL},             \
        {"encoder.layer.#.intermediate.dense", "blk.#.ffn_up", OP_COPY, NULL},                               \
        {"encoder.layer.#.output.dense", "blk.#.ffn_down", OP_COPY, NULL},                                   \
        {"encoder.layer.#.output.LayerNorm", "blk.#.layer_output_norm", OP_COPY, NULL}, {                    \
        "pooler.dense", "cls", OP_HEAD, NULL                                                                 \
    }
static const tensor_rule bert[] = {BERT,
                                   {"embeddings.position_embeddings", "position_embd", OP_COPY, NULL},
                                   {"classifier", "cls.output", OP_HEAD, NULL},
                                   END};
static const tensor_rule roberta[] = {BERT,
                                      {"embeddings.position_embeddings", "position_embd", OP_POSITIONS, NULL},
                                      {"classifier.dense", "cls", OP_HEAD, NULL},
                                      {"classifier.out_proj", "cls.output", OP_HEAD, NULL},
                                      END};
static const tensor_rule distilbert[] = {
    {"embeddings.word_embeddings", "token_embd", OP_COPY, NULL},
    {"embeddings.position_embeddings", "position_embd", OP_COPY, NULL},
    {"embeddings.LayerNorm", "token_embd_norm", OP_COPY, NULL},
    {"layer.#.attention.q_lin", "blk.#.attn_q", OP_COPY, NULL},
    {"layer.#.attention.k_lin", "blk.#.attn_k", OP_COPY, NULL},
    {"layer.#.attention.v_lin", "blk.#.attn_v", OP_COPY, NULL},
    {"layer.#.attention.out_lin", "blk.#.attn_output", OP_COPY, NULL},
    {"layer.#.sa_layer_norm", "blk.#.attn_output_norm", OP_COPY, NULL},
    {"layer.#.ffn.lin1", "blk.#.ffn_up", OP_COPY, NULL},
    {"layer.#.ffn.lin2", "blk.#.ffn_down", OP_COPY, NULL},
    {"layer.#.output_layer_norm", "blk.#.layer_output_norm", OP_COPY, NULL},
    END};
static const tensor_rule nomic[] = {
    {"embeddings.word_embeddings", "token_embd", OP_COPY, NULL},
    {"embeddings.token_type_embeddings", "token_types", OP_COPY, NULL},
    {"emb_ln", "token_embd_norm", OP_COPY, NULL},
    {"encoder.layers.#.attn.Wqkv", "blk.#.attn_qkv", OP_COPY, NULL},
    {"encoder.layers.#.attn.out_proj", "blk.#.attn_output", OP_COPY, NULL},
    {"encoder.layers.#.norm1", "blk.#.attn_output_norm", OP_COPY, NULL},
    {"encoder.layers.#.norm2", "blk.#.layer_output_norm", OP_COPY, NULL},
    {"encoder.layers.#.mlp.fc11", "blk.#.ffn_up", OP_COPY, NULL}, /* the second is the gate */
    {"encoder.layers.#.mlp.fc12", "blk.#.ffn_gate", OP_COPY, NULL},
    {"encoder.layers.#.mlp.fc1", "blk.#.ffn_up", OP_COPY, NULL},
    {"encoder.layers.#.mlp.fc2", "blk.#.ffn_down", OP_COPY, NULL},
    {"encoder.layers.#.mlp.router.layer", "blk.#.ffn_gate_inp", OP_COPY, NULL},
    {"encoder.layers.#.mlp.experts.mlp.w1!", "blk.#.ffn_up_exps.weight", OP_STACKED, NULL},
    {"encoder.layers.#.mlp.experts.mlp.w2!", "blk.#.ffn_down_exps.weight", OP_STACKED_TRANSPOSED, NULL},
    {"encoder.layers.#.mlp.experts.bias!", "", OP_SKIP, NULL}, /* which their own code never adds */
    {"pooler.dense", "", OP_SKIP, NULL},
    END};

/* Matrices that adapters may be added to keep what they were under a longer name. */
#define PLAIN(name) name ".parametrizations.weight.original!"
static const tensor_rule jina[] = {
    {PLAIN("embeddings.word_embeddings"), "token_embd.weight", OP_COPY, NULL},
    {PLAIN("embeddings.token_type_embeddings"), "token_types.weight", OP_COPY, NULL},
    {"emb_ln", "token_embd_norm", OP_COPY, NULL},
    {PLAIN("encoder.layers.#.mixer.Wqkv"), "blk.#.attn_qkv.weight", OP_COPY, NULL},
    {"encoder.layers.#.mixer.Wqkv", "blk.#.attn_qkv", OP_COPY, NULL},
    {PLAIN("encoder.layers.#.mixer.out_proj"), "blk.#.attn_output.weight", OP_COPY, NULL},
    {"encoder.layers.#.mixer.out_proj", "blk.#.attn_output", OP_COPY, NULL},
    {"encoder.layers.#.norm1", "blk.#.attn_output_norm", OP_COPY, NULL},
    {PLAIN("encoder.layers.#.mlp.fc1"), "blk.#.ffn_up.weight", OP_COPY, NULL},
    {"encoder.layers.#.mlp.fc1", "blk.#.ffn_up", OP_COPY, NULL},
    {PLAIN("encoder.layers.#.mlp.fc2"), "blk.#.ffn_down.weight", OP_COPY, NULL},
    {"encoder.layers.#.mlp.fc2", "blk.#.ffn_down", OP_COPY, NULL},
    {"encoder.layers.#.norm2", "blk.#.layer_output_norm", OP_COPY, NULL},
    {PLAIN("pooler.dense"), "", OP_SKIP, NULL},
    {"pooler.dense", "", OP_SKIP, NULL},
    END};
static const tensor_rule modern[] = {{"embeddings.tok_embeddings", "token_embd", OP_COPY, NULL},
                                     {"embeddings.norm", "token_embd_norm", OP_COPY, NULL},
                                     {"final_norm", "output_norm", OP_COPY, NULL},
                                     {"layers.#.attn_norm", "blk.#.attn_norm", OP_COPY, NULL},
                                     {"layers.#.attn.Wqkv", "blk.#.attn_qkv", OP_COPY, NULL},
                                     {"layers.#.attn.Wo", "blk.#.attn_output", OP_COPY, NULL},
                                     {"layers.#.mlp_norm", "blk.#.ffn_norm", OP_COPY, NULL},
                                     {"layers.#.mlp.Wi", "blk.#.ffn_up", OP_COPY, NULL},
                                     {"layers.#.mlp.Wo", "blk.#.ffn_down", OP_COPY, NULL},
                                     {"head.dense", "cls", OP_HEAD, NULL},
                                     {"head.norm", "cls.norm", OP_HEAD, NULL},
                                     {"classifier", "cls.output", OP_HEAD, NULL},
                                     {"weight!", "", OP_SKIP, NULL}, /* decoder.weight: of masked words */
                                     {"bias!", "", OP_SKIP, NULL},
                                     END};

/* ---- keys ---- */

static const key_rule kinds[] = {{"tokenizer.ggml.token_type_count", 'u', "type_vocab_size"}, END_KEYS};
static const key_rule nomic_keys[] = {{"tokenizer.ggml.token_type_count", 'u', "type_vocab_size"},
                                      {".moe_every_n_layers", 'u', "moe_every_n_layers"},
                                      {".expert_used_count", 'u', "moe_top_k"},
                                      END_KEYS};
static const key_rule modern_keys[] = {
    {".attention.sliding_window", 'u', "local_attention"},
    {".attention.sliding_window_pattern", 'u', "global_attn_every_n_layers"},
    {".attention.layer_norm_epsilon", 'f', "norm_eps"},
    END_KEYS};

static void must_be(conversion *c, const char *name, const char *word, const char *other) {
    const json_value *v = cfg(c, name);
    if (!v || v->type != JSON_STRING || str_eq(v->text, word) || str_eq(v->text, other)) return;
    conversion_fail(c, LEAT_E_UNSUPPORTED, "config.json: %s is \"%.40s\", which is not supported", name,
                    v->text.p);
}

static void hparams_bert(conversion *c) {
    must_be(c, "hidden_act", "gelu", "gelu_new");
    must_be(c, "position_embedding_type", "absolute", "absolute");
}

static void hparams_distilbert(conversion *c) {
    must_be(c, "activation", "gelu", "gelu_new");
    meta_put_f32(&c->meta, ".attention.layer_norm_epsilon", 1e-12f); /* said nowhere but in the code */
}

/* Positions are counted from behind padding. */
static void context_behind_padding(conversion *c) {
    uint32_t first = cfg(c, "pad_token_id") ? cfg_u32(c, "pad_token_id", 0) + 1 : 0,
             n = cfg_u32(c, "max_position_embeddings", 0);
    if (n > first) meta_put_u32(&c->meta, ".context_length", n - first);
}

static void hparams_roberta(conversion *c) {
    hparams_bert(c);
    context_behind_padding(c);
}

static void hparams_jina(conversion *c) {
    must_be(c, "hidden_act", "gelu", "gelu");
    must_be(c, "position_embedding_type", "rotary", "rotary");
    context_behind_padding(c);
    meta_put_f32(&c->meta, ".rope.freq_base", (float)cfg_f64(c, "rotary_emb_base", 10000.0));
    conversion_warn(c, "the model's adapters, one for each task, are left out");
}

static void hparams_nomic(conversion *c) {
    uint32_t n = cfg_u32(c, "n_positions", 2048), trained = cfg_u32(c, "max_trained_positions", 2048);
    bool experts = !strcmp(c->arch->arch, "nomic-bert-moe");
    must_be(c, "activation_function", experts ? "gelu" : "swiglu", experts ? "gelu" : "swiglu");
    if (cfg_bool(c, "prenorm", false) || cfg_f64(c, "rotary_emb_fraction", 1) < 1 ||
        cfg_bool(c, "rotary_emb_interleaved", false))
        conversion_fail(c, LEAT_E_UNSUPPORTED,
                        "config.json: prenorm or rotary_emb_* is other than in Nomic's own models");
    /* the second model says 2048 and was trained on 512, the first says 8192 and was trained on 2048 */
    meta_put_u32(&c->meta, ".context_length", n == 2048 && trained == 2048 ? 512 : trained < n ? trained : n);
}

static void hparams_eurobert(conversion *c) {
    meta_put_text(&c->meta, ".rope.scaling.type", "none");
    meta_put_bool(&c->meta, "tokenizer.ggml.add_bos_token", false);
}

static void hparams_modern(conversion *c) {
    must_be(c, "hidden_activation", "gelu", "gelu");
    meta_put_text(&c->meta, ".rope.scaling.type", "none");
    if (conversion_classifies(c) && cfg_is(c, "classifier_pooling", "mean"))
        conversion_warn(c, "the classifier was trained on the mean of a text's tokens, and gets its first");
}

/* ---- the list ---- */

const convert_arch convert_archs_encoders[] = {
    {.arch = "bert",
     .names = "BertModel|BertForMaskedLM|BertForSequenceClassification",
     .tensors = bert,
     .keys = kinds,
     .hparams = hparams_bert,
     .both_ways = true},
    {.arch = "bert",
     .names = "RobertaModel|RobertaForSequenceClassification|CamembertModel|XLMRobertaModel|"
              "XLMRobertaForSequenceClassification",
     .tensors = roberta,
     .keys = kinds,
     .hparams = hparams_roberta,
     .both_ways = true},
    {.arch = "bert",
     .names = "DistilBertModel|DistilBertForMaskedLM",
     .tensors = distilbert,
     .hparams = hparams_distilbert,
     .both_ways = true},
    {.arch = "eurobert", .names = "EuroBertModel", .hparams = hparams_eurobert, .both_ways = true},
    {.arch = "jina-bert-v3", /* which calls itself XLMRobertaModel */
     .names = "JinaBertV3Model",
     .tensors = jina,
     .keys = kinds,
     .hparams = hparams_jina,
     .both_ways = true},
    {.arch = "modern-bert",
     .names = "ModernBertModel|ModernBertForMaskedLM|ModernBertForSequenceClassification",
     .tensors = modern,
     .keys = modern_keys,
     .hparams = hparams_modern,
     .both_ways = true},
    {.arch = "nomic-bert",
     .names = "NomicBertModel",
     .tensors = nomic,
     .keys = nomic_keys,
     .hparams = hparams_nomic,
     .both_ways = true},
    {.arch = "nomic-bert-moe", /* by its moe_every_n_layers */
     .names = "NomicBertMoeModel",
     .tensors = nomic,
     .keys = nomic_keys,
     .hparams = hparams_nomic,
     .both_ways = true},
    {.arch = NULL},
};

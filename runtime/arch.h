/* What an architecture is to the engine: a name, and three steps that its file in models/ writes down.
 * read_hparams takes the model's numbers from the metadata, bind looks up its tensors by name and exact
 * shape, build says the layer as steps of a plan (plan.h). Everything that reads a file or can go wrong with
 * a hostile one goes through the functions here, so an architecture file holds no checks of its own beyond
 * what is special to it. */
#ifndef LEAT_RUNTIME_ARCH_H
#define LEAT_RUNTIME_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader/gguf.h"

/* A bound tensor: a matrix of n_rows rows of n_cols values, or a vector (n_rows == 1) of float32. data ==
 * NULL: absent. */
typedef struct weight {
    const void *data; /* (n_rows, n_cols) in `format`, rows row_bytes apart; belongs to the mapping */
    uint32_t format;
    size_t row_bytes;
    size_t n_rows, n_cols;
} weight;

typedef enum moe_gating { /* how router logits become the weights of experts; GGUF's expert_gating_func */
                          MOE_SOFTMAX = 1,        /* softmax over all experts */
                          MOE_SIGMOID = 2,        /* each by itself */
                          MOE_SOFTMAX_CHOSEN = 3, /* softmax over the chosen ones */
} moe_gating;

/* One matrix per expert: w is that of expert 0, the next ones follow `stride` bytes apart. */
typedef struct expert_weight {
    weight w;
    size_t stride;
} expert_weight;

typedef struct moe_routing {
    uint32_t n_expert, n_used;
    uint32_t n_groups,
        n_groups_used; /* experts come in groups of which only the best are considered; 0: no */
    moe_gating gating;
    bool normalise;    /* weights of the chosen sum to 1 */
    float scale;       /* of the weights; 0: none */
    float logit_scale; /* of the router's logits; 0: none */
} moe_routing;

typedef enum rope_layout {
    ROPE_PAIRS,  /* rotates (x[2i], x[2i+1]) */
    ROPE_HALVES, /* rotates (x[i], x[i + n_dims/2]) */
} rope_layout;

typedef enum rope_scaling {
    ROPE_SCALING_NONE,
    ROPE_SCALING_LINEAR,
    ROPE_SCALING_YARN,
    ROPE_SCALING_LONGROPE
} rope_scaling;

typedef struct rope_hparams {
    rope_layout layout;
    uint32_t n_dims; /* how many values of a head are rotated; even */
    float freq_base;
    rope_scaling scaling;
    float factor;                           /* context extension: positions are divided by it */
    uint32_t orig_ctx;                      /* context length before the extension */
    float attn_factor;                      /* multiplies the rotation's magnitude */
    float beta_fast, beta_slow, ext_factor; /* YaRN */
    float log_mul;                  /* YaRN: mscale_all_dim, by whose magnitude the usual one is divided */
    weight freqs;                   /* float32 (n_dims / 2) divisors of the frequencies; may be absent */
    weight freqs_long, freqs_short; /* LongRoPE's pair of them */
} rope_hparams;

/* Mixture of experts; all 0 in a model without. */
typedef struct moe_hparams {
    moe_routing routing;
    uint32_t n_ff;        /* of one expert */
    uint32_t n_ff_shared; /* of the expert that every token uses; 0: none */
    uint32_t n_dense;     /* leading layers with a plain feed-forward network */
    uint32_t period;      /* of encoders: the second of so many layers has experts; 0: none */
} moe_hparams;

enum { ARCH_LAYERS_MAX = 1024 };

/* Recurrent layers; all 0 in a model without. */
typedef struct ssm_hparams {
    uint32_t taps; /* tokens that a convolution sees, the last one included */
    uint32_t inner, state, n_head, n_group;
} ssm_hparams;

/* Latent attention; all 0 in a model without. */
typedef struct latent_hparams {
    uint32_t rank, q_rank;       /* of keys and values; of queries, 0: not narrowed */
    uint32_t dim_k, dim_v, rope; /* of a head; rope: the last values of a key, which are rotated */
    bool absorbed;               /* the cache holds latents */
} latent_hparams;

typedef struct hparams {
    uint32_t n_vocab; /* from the vocabulary */
    uint32_t n_ctx_train, n_embd, n_layer, n_ff;
    uint32_t n_head, n_head_kv; /* n_head % n_head_kv == 0 */
    uint32_t head_dim_k, head_dim_v;
    float norm_eps;
    moe_hparams moe;
    latent_hparams latent;
    ssm_hparams ssm;
    rope_hparams rope,
        rope_swa;        /* of all layers; of windowed layers where these have rotations of their own */
    const void *options; /* of the architecture's entry below */

    /* What only some architectures have. 0 where a model has none of it. */
    uint32_t window;                         /* keys that a token of a windowed layer sees, itself included */
    uint64_t windowed[ARCH_LAYERS_MAX / 64]; /* a bit for each layer; see hparams_windowed */
    uint32_t head_dim_swa;                   /* of windowed layers, where theirs is another */
    uint32_t n_layer_cached; /* leading layers with a cache of their own, where others share these */
    uint32_t n_embd_layer;   /* of the inputs of each layer */
    bool hybrid; /* set by an architecture before it reads sizes: head_count_kv 0 marks recurrent layers */
    uint64_t recurrent[ARCH_LAYERS_MAX / 64]; /* a bit for each layer; see hparams_recurrent */
    uint32_t temperature_length; /* positions per step of the attention's temperature (Llama 4) */
    float temperature_scale;
    float embed_scale, residual_scale, logit_scale; /* factors; 0 stands for 1 */
    float attention_scale;                          /* of q . k; 0 stands for 1 / sqrt(head_dim_k) */
    float attention_softcap, logit_softcap;         /* x -> cap * tanh(x / cap) */
    bool parallel_residual;
    uint32_t pooling; /* of embeddings, as the file says it */
    bool both_ways;   /* a token sees the tokens behind it too: the model makes embeddings, and no text */
} hparams;

/* True for a layer whose tokens see the last `window` keys only. */
static inline bool hparams_windowed(const hparams *hp, uint32_t layer) {
    return hp->window && hp->windowed[layer / 64] >> layer % 64 & 1;
}
/* True for a layer that remembers by a state in place of attention. */
static inline bool hparams_recurrent(const hparams *hp, uint32_t layer) {
    return hp->recurrent[layer / 64] >> layer % 64 & 1;
}
static inline void hparams_set_recurrent(hparams *hp, uint32_t layer) {
    hp->recurrent[layer / 64] |= (uint64_t)1 << layer % 64;
}
/* Of each `period` layers all but the last are windowed; with a period of 0 all layers are, with 1 none. */
void hparams_set_windows(hparams *hp, uint32_t window, uint32_t period);

typedef struct plan_builder plan_builder;
typedef struct arch_loader arch_loader;

typedef struct arch {
    const char *name;     /* general.architecture */
    size_t weights_bytes; /* of the architecture's struct of weights */
    size_t layer_bytes;   /* of its struct of one layer's weights; an array of n_layer follows */
    leat_status (*read_hparams)(arch_loader *l, hparams *hp);
    leat_status (*bind)(arch_loader *l, const hparams *hp, void *weights, void *layers);
    /* Appends the steps of one forward pass; can't fail: the builder remembers an error. */
    void (*build)(plan_builder *b, const hparams *hp, const void *weights, const void *layers);
    bool embeds;         /* has no output over the vocabulary: makes embeddings, and no text */
    const void *options; /* what its functions find in hparams.options: for functions that several share */
} arch;

/* Every architecture, in alphabetical order, ended by NULL. Defined in models/archs.c from archs.def. */
extern const arch *const arch_list[];

/* ---- for read_hparams ---- */

/* "<architecture>.<key>" through the getters of gguf.h. A required key when `fallback` is NULL; else *out =
 * *fallback where it is absent. Integers that GGUF allows per layer may be an array of n_layer equal values.
 */
leat_status arch_u32(arch_loader *l, const char *key, uint32_t min, uint32_t max, const uint32_t *fallback,
                     uint32_t *out);
/* The same for one layer: the value for all, or that of the layer in an array. Required. */
leat_status arch_u32_layer(arch_loader *l, const char *key, uint32_t layer, uint32_t min, uint32_t max,
                           uint32_t *out);
leat_status arch_f32(arch_loader *l, const char *key, float min, float max, const float *fallback,
                     float *out);

leat_status arch_bool(arch_loader *l, const char *key, const bool *fallback, bool *out);
/* True if the model says anything under "<architecture>.<key>". */
bool arch_has_key(arch_loader *l, const char *key);
/* True if that is an array. */
bool arch_has_array(arch_loader *l, const char *key);

/* What nearly every decoder has: sizes and heads, then the epsilon of its norms, RMS in arch_read_common.
 * n_vocab is already set. */
leat_status arch_read_sizes(arch_loader *l, hparams *hp);
leat_status arch_read_common(arch_loader *l, hparams *hp);
/* attention.sliding_window (else `window`; 0: required), attention.sliding_window_pattern (a period, else
 * `period`, or a value for each layer). A window of 0 in the file: none. */
leat_status arch_read_windows(arch_loader *l, hparams *hp, uint32_t window, uint32_t period);
/* The layer whose cache layer i uses, where only the first n_layer_cached have one: its own, or that of the
 * last of its kind (windowed or not) that has one. */
leat_status arch_shared_cache(arch_loader *l, const hparams *hp, uint32_t i, uint32_t *out);
/* ssm.*: the sizes of recurrent layers, heads and groups dividing what they should. */
leat_status arch_read_ssm(arch_loader *l, hparams *hp);
/* rope.*: dimensions, base, scaling; needs head_dim_k and n_ctx_train. */
leat_status arch_read_rope(arch_loader *l, hparams *hp, rope_layout layout);
/* attention.recurrent_layers, or else all but the last of each full_attention_interval (else `period`). */
leat_status arch_read_recurrent(arch_loader *l, hparams *hp, uint32_t period);
/* rope.dimension_sections in turns of three (Qwen 3.5): for text they are all at the same position, but for
 * what lies beyond the third, which is refused. */
leat_status arch_read_sections(arch_loader *l, const hparams *hp);
/* The same for sections that lie one behind the other (Qwen 2.5 VL). */
leat_status arch_read_sections_apart(arch_loader *l, const hparams *hp);
/* Refuses a model that sets an integer key of its architecture above 0 (a feature that this architecture file
 * lacks). */
leat_status arch_refuse(arch_loader *l, const char *key, const char *what);
/* expert_*: how many there are and are used, their width, how they are chosen. Nothing is there: n_expert 0.
 * What the model does not say is left as the caller set it in hp->moe (gating, normalise, scale). */
leat_status arch_read_experts(arch_loader *l, hparams *hp);
/* An error of read_hparams or bind with a sentence of its own. */
leat_status arch_error(arch_loader *l, leat_status code, const char *sentence);

/* The tensors of a layer that is not run are no mistake: drafts for more than one token at a time. */
void arch_skip_layer(arch_loader *l, uint32_t layer);

/* ---- for bind ---- */

enum { BIND_OPTIONAL = 1, BIND_F32 = 2 /* a matrix of float32, such as norms that differ between heads */ };
/* True if the file has the tensor. */
bool arch_has(arch_loader *l, const char *name, uint32_t layer);
/* Looks up a tensor; `name` may hold one %u for the layer. Its shape must be exactly (rows, cols); a vector
 * has rows == 1, is float32, and one-dimensional in the file. Absent and optional: out->data is NULL. */
leat_status arch_bind(arch_loader *l, weight *out, const char *name, uint32_t layer, size_t rows, size_t cols,
                      unsigned flags);
/* A table of 1 .. max rows that are looked up, never multiplied with; may be absent. */
leat_status arch_bind_rows(arch_loader *l, weight *out, const char *name, size_t max, size_t cols);
/* The same for a matrix per expert, in one tensor of shape (n_expert, rows, cols). */
leat_status arch_bind_experts(arch_loader *l, expert_weight *out, const char *name, uint32_t layer,
                              size_t n_expert, size_t rows, size_t cols, unsigned flags);
/* A float32 vector per expert, (n_expert, cols); may be absent. */
leat_status arch_bind_expert_bias(arch_loader *l, weight *out, const char *name, uint32_t layer,
                                  size_t n_expert, size_t cols);
/* The rows first .. first + n of a matrix or the values of a vector, as a tensor of their own: for tensors
 * that are several in one. Absent stays absent. */
weight weight_part(const weight *w, size_t first, size_t n);

#endif

/* The blocks that architectures share. A block is its weights, a function that binds them under their GGUF
 * names, and one that appends its steps to a plan. Which of a block's parts an architecture has, its
 * decoder_options say (decoder.h); biases may be absent everywhere. */
#ifndef LEAT_MODELS_BLOCKS_H
#define LEAT_MODELS_BLOCKS_H

#include "runtime/arch.h"
#include "runtime/plan.h"

/* What queries and keys go through between their projection and attention. */
typedef enum head_norm {
    HEAD_NORM_NONE,
    HEAD_NORM_HEADS, /* each head; the gain is one for all heads (head_dim_k), or (heads, head_dim_k) */
    HEAD_NORM_ROW,   /* all heads together (heads * head_dim_k) */
} head_norm;

/* What sets a decoder's blocks apart; all zero is llama. */
typedef struct decoder_options {
    rope_layout rope;
    norm_kind norm;   /* of all norms */
    bool positions;   /* learned positions in place of rotations */
    bool no_pre_norm; /* blocks read the residual stream as it is */
    bool post_norm;   /* what a block adds is normed */
    bool interleaved; /* delta rule: value heads that share a key head are neighbours; else they are apart */
    bool sections;    /* rotations are in sections, which are all the same for text */
    bool attention_norm_optional; /* layers may lack the norm before attention */
    const char *output_norm;      /* the norm before the output; NULL: "output_norm" */
    const char *ffn_norm;         /* the norm before the feed-forward; NULL: "ffn_norm" */
    bool shared_norm; /* it may be absent: attention's norm serves both, and both add to the same stream */
    head_norm head_norm;
    bool head_norm_optional, head_norm_rotated; /* may be absent; comes after the rotation */
    uint32_t unrotated_period;                  /* each so many layers the last is not rotated; 0: all are */
    bool rotate_windowed_only; /* in a model with windows, layers without one are not rotated */
    bool temperature;          /* Llama 4's growing attention temperature, if the model says so */
    activation activation;     /* of the feed-forward; NONE: SILU */
    bool plain_ffn;            /* no gate */
    bool embed_scaled;         /* embeddings times sqrt(n_embd) */
    bool sinks;                /* heads have scores that take part in the softmax and add nothing */

    /* Mixture of experts in place of the feed-forward network (moe.h), in models that have experts. */
    bool experts;
    bool experts_wide;        /* each as wide as feed_forward_length */
    bool expert_norm;         /* the weights of the experts of a token sum to 1, if the model does not say */
    moe_gating expert_gating; /* if the model does not say; 0: softmax over all */
    bool plain_experts;       /* without a gate */
    bool shared_router;       /* the shared expert's share is computed */
    bool drafts;              /* the last layers may be for drafts of further tokens; they are not run */
} decoder_options;

/* Grouped-query attention, added to the residual stream. The file may have q, k and v as one tensor. */
typedef struct attention_block {
    weight norm, q, k, v, out;
    weight q_bias, k_bias, v_bias, out_bias;
    weight norm_bias, q_norm, k_norm, post_norm, sinks;
} attention_block;
/* attention_norm_bind is the first part of attention_bind, and add_back the last of attention_steps and
 * ffn_steps, for layers that are something else in between. */
leat_status attention_norm_bind(arch_loader *l, const hparams *hp, uint32_t layer, attention_block *a);
leat_status attention_bind(arch_loader *l, const hparams *hp, uint32_t layer, attention_block *a);

/* The feed-forward network, gated or not, added to the residual stream. The file may have gate and up as one
 * tensor. */
typedef struct ffn_block {
    weight norm, gate, up, down;
    weight norm_bias, gate_bias, up_bias, down_bias, post_norm;
} ffn_block;
leat_status ffn_bind(arch_loader *l, const hparams *hp, uint32_t layer, ffn_block *f);

/* The buffers that one pass through the blocks uses, the same for every layer. */
typedef struct stream {
    plan_buf x;          /* (n_embd) the residual stream */
    plan_buf q, k, v, a; /* (n_head * head_dim_k), (n_head_kv * head_dim_k), (n_head_kv * head_dim_v), (n_head
                          * head_dim_v) */
    plan_buf ff;         /* (n_ff) */
    plan_buf sum;        /* (n_embd) what a block adds, before its norm */
} stream;
stream stream_open(plan_builder *b, const hparams *hp);

/* Each block's steps in two halves, so that a parallel residual can read x with both before either adds to
 * it. */
void attention_project(plan_builder *b, const hparams *hp, const attention_block *a, const stream *s);
void attention_steps(plan_builder *b, const hparams *hp, uint32_t layer, const attention_block *a,
                     const stream *s);
void ffn_project(plan_builder *b, const hparams *hp, const ffn_block *f, plan_norm norm, const stream *s);
void ffn_steps(plan_builder *b, const hparams *hp, const ffn_block *f, const stream *s);

const decoder_options *block_options(const hparams *hp);
/* x += w . in + bias, or the norm of that. */
void add_back(plan_builder *b, const hparams *hp, plan_buf in, const weight *w, const weight *bias,
              const weight *post_norm, const stream *s);
plan_norm block_norm(const hparams *hp, const weight *w, const weight *bias);

/* Token embedding, final norm and output matrix; a model without the latter uses the embedding (tied). */
typedef struct ends_block {
    weight embed, norm, output;
    weight positions, norm_bias, output_bias;
} ends_block;
leat_status ends_bind(arch_loader *l, const hparams *hp, ends_block *e);
void ends_open(plan_builder *b, const hparams *hp, const ends_block *e, const stream *s);
void ends_close(plan_builder *b, const hparams *hp, const ends_block *e, const stream *s);

#endif

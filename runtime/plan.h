/* The plan: one forward pass as a flat list of stages, compiled once per session. An architecture says its
 * layer as steps (plan_embed, plan_linear, plan_attention, plan_gated, plan_normalize, plan_output); the
 * builder turns each step into the stages that one token needs (a race against memory) and those that many
 * tokens need (a race against the multipliers), and finds out how large the buffers between them must be.
 * Running it is run.h's work.
 *
 * Between steps, values live in float32 buffers of (n_tokens, width). What a linear step multiplies with (a
 * normed, int8 quantized copy of its input) is made by the step itself, so an architecture never sees it. */
#ifndef LEAT_RUNTIME_PLAN_H
#define LEAT_RUNTIME_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "arch.h"

typedef uint32_t plan_buf; /* handle of a float32 buffer (n_tokens, width) */

/* A buffer of its own for the length of the pass. */
plan_buf plan_buffer(plan_builder *b, size_t width);

typedef struct plan_embed_step {
    plan_buf x;
    const weight *table;     /* (n_vocab, width of x) */
    const weight *positions; /* (n_ctx_train, width of x): learned positions, added; NULL or absent: none */
    const weight *kinds;     /* (kinds of text, width of x): the first row is added; NULL or absent: none */
    float scale;             /* 0 stands for 1 */
} plan_embed_step;
/* x[t] = scale * row token[t] of the table + row of its position + row of its kind. First step of every plan;
 * also prepares the rotations. */
void plan_embed(plan_builder *b, const plan_embed_step *s);

typedef enum norm_kind {
    NORM_RMS,  /* x / sqrt(mean(x^2) + eps) * w */
    NORM_LAYER /* (x - mean) / sqrt(variance + eps) * w + bias */
} norm_kind;
typedef struct plan_norm {
    const weight *w; /* the gain; NULL or absent: no norm */
    float eps;
    norm_kind kind;
    const weight *bias; /* of NORM_LAYER; NULL or absent: none */
} plan_norm;

typedef enum activation {
    ACTIVATION_NONE,
    ACTIVATION_SILU,
    ACTIVATION_GELU,     /* by its tanh form */
    ACTIVATION_RELU_SQR, /* max(x, 0)^2 */
    /* of gates of experts only: gate and up clamped at 7, gate * sigmoid(1.702 gate) * (up + 1) */
    ACTIVATION_SWIGLU_OAI,
} activation;

enum { PLAN_PARTS_MAX = 4 };
typedef struct plan_linear_step {
    plan_buf in;
    plan_norm norm;
    uint32_t n_parts;
    struct {
        const weight *w;    /* (width of out, width of in) */
        const weight *bias; /* (width of out); NULL or absent: none */
        plan_buf out;
    } part[PLAN_PARTS_MAX];
    activation activation; /* not together with add */
    bool add;              /* out += scale * product, the residual; else out = product */
    float scale;           /* of the product and its bias when added; 0 stands for 1 */
} plan_linear_step;
/* out_i = activation(w_i . norm(in) + bias_i), for up to four matrices with the same input (Q, K and V are
 * one step). */
void plan_linear(plan_builder *b, const plan_linear_step *s);

typedef struct plan_gated_step {
    plan_buf in, out;
    plan_norm norm;
    const weight *gate, *up;           /* (width of out, width of in) */
    const weight *gate_bias, *up_bias; /* (width of out); NULL or absent: none */
    activation activation;             /* SILU or GELU */
} plan_gated_step;
/* out = activation(gate . norm(in) + gate_bias) * (up . norm(in) + up_bias) */
void plan_gated(plan_builder *b, const plan_gated_step *s);

typedef struct plan_normalize_step {
    plan_buf in, out; /* of the same width; may be the same buffer */
    plan_norm norm;
    bool add;    /* out += scale * norm(in), a residual with a norm behind its product; else out = norm(in) */
    float scale; /* 0 stands for 1 */
} plan_normalize_step;
/* A norm on its own, where it can't be part of a product. An absent norm only adds. */
void plan_normalize(plan_builder *b, const plan_normalize_step *s);

typedef enum plan_rope {
    PLAN_ROPE,     /* hparams.rope */
    PLAN_ROPE_SWA, /* hparams.rope_swa */
    PLAN_ROPE_NONE,
} plan_rope;

typedef struct plan_attention_step {
    uint32_t layer;
    uint32_t n_head, n_head_kv, head_dim_k, head_dim_v; /* 0: as hparams has it */
    plan_buf q;   /* (n_tokens, n_head, head_dim_k); normed and rotated in place */
    plan_buf k;   /* (n_tokens, n_head_kv, head_dim_k); normed and rotated in place, then stored */
    plan_buf v;   /* (n_tokens, n_head_kv, head_dim_v) */
    plan_buf out; /* (n_tokens, n_head, head_dim_v) */
    plan_norm q_norm, k_norm; /* of each head; the gain is one for all (head_dim_k), or (heads, head_dim_k) */
    bool norm_rotated;        /* the norms come after the rotation */
    plan_rope rope;
    size_t rope_first;   /* the first value of a head that is rotated */
    bool temperature;    /* q grows with its position, by hparams.temperature_* */
    float scale;         /* of q . k */
    float softcap;       /* scale * q . k becomes softcap * tanh(scale * q . k / softcap); 0: it does not */
    size_t window;       /* keys that a token sees, itself included; 0: all */
    bool shared;         /* layer is another one's: its cache is used, k and v are not there */
    bool v_norm;         /* each head of v is divided by its root mean square */
    const weight *sinks; /* (n_head) scores that take part in the softmax; NULL or absent: none */
} plan_attention_step;
/* Norms and rotates q and k, appends k and v to the cache, out = causal attention over the cache; or, with
 * hparams.both_ways, over all tokens of the text, a window reaching half as far to each side. At most one for
 * each layer. */
void plan_attention(plan_builder *b, const plan_attention_step *s);

typedef struct plan_moe_step {
    plan_buf in, out;
    plan_norm norm;
    moe_routing routing;
    const weight *router, *router_bias;    /* (n_expert, width of in), (n_expert) */
    plan_norm router_norm;                 /* of what the router reads, where it is another; no gain: norm */
    const weight *expert_scale;            /* (n_expert) factors of the weights */
    const weight *select_bias;             /* (n_expert) counts in the choice, not in the weights */
    const expert_weight *gate, *up, *down; /* (n_ff, width of in) twice, (width of out, n_ff) */
    const weight *gate_bias, *up_bias, *down_bias;       /* (n_expert, rows) float32 */
    const weight *shared_gate, *shared_up, *shared_down; /* an expert that every token uses */
    const weight *shared_router; /* (width of in) its share is the sigmoid of this product; absent: 1 */
    activation activation;       /* SILU, GELU or SWIGLU_OAI; of a plain one any but the last */
    bool plain;                  /* routed experts have no gate: activation(up x), gate is the same as up */
    bool add;                    /* out += result, the residual; else out = result */
    float scale;                 /* of the result; 0: none */
} plan_moe_step;
/* Mixture of experts: out = sum over the chosen experts of weight * down(activation(gate x, up x)), x =
 * norm(in), plus the shared expert. Weights and biases that may be missing are NULL or absent. */
void plan_moe(plan_builder *b, const plan_moe_step *s);

/* ---- layers that remember by a state (stage_recurrent.c) ---- */

/* Room for n floats in the session's state, zero at its start. */
size_t plan_state(plan_builder *b, size_t n);

typedef struct plan_conv_step {
    plan_buf in, out; /* columns first .. first + width of in; (n_tokens, width) */
    size_t first, width;
    const weight *w, *bias; /* (width, taps), the last tap is the token itself; (width) or NULL or absent */
    bool product, gated;    /* columns from factor on multiply the input, those from gate on the result */
    size_t factor, gate;
    bool silu;
    size_t state; /* of width * (taps - 1) floats */
} plan_conv_step;
/* A causal convolution over the tokens, each column for itself. */
void plan_conv(plan_builder *b, const plan_conv_step *s);

typedef struct plan_ssm_step {
    plan_buf conv; /* (n_tokens, n_head * head_dim + 2 * n_group * d_state): x, B, C */
    plan_buf in;   /* dt in columns from dt_at on, one for each head */
    size_t dt_at;
    plan_buf out; /* (n_tokens, n_head * head_dim) */
    size_t n_head, head_dim, n_group, d_state;
    const weight *a, *d, *dt_bias; /* (n_head) each; a is negative */
    size_t state;                  /* of n_head * head_dim * d_state floats */
} plan_ssm_step;
/* The state space of Mamba 2. */
void plan_ssm(plan_builder *b, const plan_ssm_step *s);

enum { DELTA_DIM_MAX = 512 };
typedef struct plan_delta_step {
    plan_buf conv; /* (n_tokens, (2 * n_head_k + n_head_v) * head_dim): q, k, v */
    plan_buf beta, alpha;
    size_t beta_at, alpha_at; /* first column of each */
    bool interleaved;   /* value head h belongs to key head h / (n_head_v / n_head_k); else h % n_head_k */
    size_t gate_stride; /* interleaved: columns of beta and alpha from one key head to the next */
    plan_buf out;       /* (n_tokens, n_head_v * head_dim) */
    size_t n_head_k, n_head_v, head_dim;
    const weight *a, *dt_bias; /* (n_head_v) each; a is negative */
    float eps;
    size_t state; /* of n_head_v * head_dim * head_dim floats */
} plan_delta_step;
/* The gated delta rule. */
void plan_delta(plan_builder *b, const plan_delta_step *s);

typedef struct plan_gate_norm_step {
    plan_buf x; /* in place */
    size_t n_groups;
    plan_norm
        norm; /* of each group; the gain is one for all, or (n_groups, size of a group); may be absent */
    plan_buf gate;
    size_t gate_at, gate_stride; /* first column, and columns from one group to the next; 0: adjacent */
    bool gate_first;             /* norm(x * f(gate)), else norm(x) * f(gate) */
    bool sigmoid;                /* f, else silu */
} plan_gate_norm_step;
void plan_gate_norm(plan_builder *b, const plan_gate_norm_step *s);

/* ---- inputs of each layer (stage_norm.c) ---- */

/* x[t] = scale * (x[t] + norm of each group of in[t]) */
void plan_add_groups(plan_builder *b, plan_buf x, plan_buf in, plan_norm norm, size_t n_groups, float scale);
/* x[t] *= columns first .. of by[t] */
void plan_multiply(plan_builder *b, plan_buf x, plan_buf by, size_t first);
/* x[t] *= a number of the model; NULL or absent: 1 */
void plan_scale(plan_builder *b, plan_buf x, const weight *number);

/* ---- several residual streams (stage_altup.c) ---- */

enum { ALTUP_STREAMS = 4 };
typedef struct plan_altup_step {
    plan_buf x[ALTUP_STREAMS],
        p[ALTUP_STREAMS];       /* all of one width: streams, and what they are predicted to be */
    const weight *router;       /* (ALTUP_STREAMS, width) */
    plan_norm norm;             /* of what the router reads */
    const weight *coefficients; /* (streams squared, streams) to predict, (streams, streams) to correct */
    bool correct;
    plan_buf y; /* to correct with: what a layer made of p[0] */
} plan_altup_step;
/* With c = coefficients . tanh(router . norm(x_0, or y) / width): p_k = x_k + sum over j of c_kj x_j; or, to
 * correct, x_k = p_k + (1 + c_k) (y - p_0). */
void plan_altup(plan_builder *b, const plan_altup_step *s);
/* x[t] is as long as of[t]. */
void plan_match(plan_builder *b, plan_buf x, plan_buf of);
/* x[t] *= a vector of the model */
void plan_multiply_vector(plan_builder *b, plan_buf x, const weight *by);
/* gate = gelu(max(gate - least, 0)) * up, least being so many standard deviations above the gate's mean */
void plan_sparse_gate(plan_builder *b, plan_buf gate, plan_buf up, float deviations);

/* ---- latent attention (stage_latent.c) ---- */

typedef struct plan_latent_step {
    uint32_t layer;
    size_t n_head, nope, rope, rank, dim_v; /* of a head's query: not rotated, rotated */
    plan_buf q;                             /* (n_tokens, n_head, nope + rope) */
    plan_buf latent;                        /* (n_tokens, rank), normed in place */
    plan_buf key;   /* (n_tokens, rope), rotated in place: the part of the key that all heads share */
    plan_norm norm; /* of latent */
    const expert_weight *k_b, *v_b; /* for each head (rank, nope) and (dim_v, rank) */
    plan_buf query, sum; /* (n_tokens, n_head, rank + rope) and (n_tokens, n_head, rank), between */
    plan_buf out;        /* (n_tokens, n_head, dim_v) */
    bool temperature;
    float scale;
} plan_latent_step;
/* Multi-head latent attention (DeepSeek-V2) with the cache holding what keys and values are made of: one row
 * of rank + rope values for all heads. Queries go through k_b to meet it, what attention sums up through v_b
 * to become values. */
void plan_latent(plan_builder *b, const plan_latent_step *s);

typedef struct plan_expand_step {
    size_t n_head, nope, rope, dim_v; /* rope 0: only splits, and there is no shared part */
    plan_buf both;   /* (n_tokens, n_head, nope + dim_v): keys but for the rotated part, and values */
    plan_buf shared; /* (n_tokens, rope): the rotated part, the same for all heads */
    plan_buf k, v;   /* (n_tokens, n_head, nope + rope), (n_tokens, n_head, dim_v) */
} plan_expand_step;
/* Keys and values of plain attention from tensors that are older than plan_latent; or queries and gates that
 * lie between each other. */
void plan_expand(plan_builder *b, const plan_expand_step *s);

typedef struct plan_output_step {
    plan_buf x;
    plan_norm norm;
    const weight *w, *bias; /* (n_vocab, width of x), (n_vocab) or NULL or absent */
    float scale;            /* of the logits; 0 stands for 1 */
    float softcap;          /* logits become softcap * tanh(logits / softcap); 0: they do not */
} plan_output_step;
/* logits = w . norm(x) + bias for the tokens whose logits are wanted, then scaled, then capped. Last step of
 * every plan. In a plan for embeddings, norm(x) for all tokens is what is left of it. */
void plan_output(plan_builder *b, const plan_output_step *s);
/* The last step of a model that makes embeddings only: norm(x) for all tokens; an absent norm only copies. */
void plan_hidden(plan_builder *b, plan_buf x, plan_norm norm);

#endif

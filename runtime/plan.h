/* The plan: one forward pass as a flat list of stages, compiled once per session. An architecture says its
 * layer as steps (plan_embed, plan_linear, plan_attention, plan_gated, plan_output); the builder turns each
 * step into the stages that one token needs (a race against memory) and those that many tokens need (a race
 * against the multipliers), and finds out how large the buffers between them must be. Running it is run.h's
 * work.
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

/* x[t] = row token[t] of the table (n_vocab, width of x). First step of every plan; also prepares the
 * rotations. */
void plan_embed(plan_builder *b, const weight *table, plan_buf x);

typedef struct plan_norm {
    const weight *w; /* RMS norm with this gain before the product; NULL: none */
    float eps;
} plan_norm;

enum { PLAN_PARTS_MAX = 3 };
typedef struct plan_linear_step {
    plan_buf in;
    plan_norm norm;
    uint32_t n_parts;
    struct {
        const weight *w;    /* (width of out, width of in) */
        const weight *bias; /* (width of out); NULL or absent: none */
        plan_buf out;
    } part[PLAN_PARTS_MAX];
    bool add; /* out += product, the residual; else out = product */
} plan_linear_step;
/* out_i = w_i . norm(in) + bias_i, for up to three matrices with the same input (Q, K and V are one step). */
void plan_linear(plan_builder *b, const plan_linear_step *s);

typedef struct plan_gated_step {
    plan_buf in, out;
    plan_norm norm;
    const weight *gate, *up; /* (width of out, width of in) */
} plan_gated_step;
/* out = silu(gate . norm(in)) * (up . norm(in)) */
void plan_gated(plan_builder *b, const plan_gated_step *s);

typedef struct plan_attention_step {
    uint32_t layer;
    plan_buf q;   /* (n_tokens, n_head, head_dim_k); rotated in place */
    plan_buf k;   /* (n_tokens, n_head_kv, head_dim_k); rotated in place, then stored */
    plan_buf v;   /* (n_tokens, n_head_kv, head_dim_v) */
    plan_buf out; /* (n_tokens, n_head, head_dim_v) */
    float scale;  /* of q . k */
} plan_attention_step;
/* Rotates q and k, appends k and v to the cache, out = causal attention over all of the cache. */
void plan_attention(plan_builder *b, const plan_attention_step *s);

typedef enum moe_activation {
    MOE_SWIGLU,     /* silu(gate) * up */
    MOE_SWIGLU_OAI, /* gpt-oss: gate and up clamped at 7, silu with slope 1.702, times (up + 1) */
} moe_activation;

typedef struct plan_moe_step {
    plan_buf in, out;
    plan_norm norm;
    moe_routing routing;
    const weight *router, *router_bias;            /* (n_expert, width of in), (n_expert) */
    const weight *select_bias;                     /* (n_expert) counts in the choice, not in the weights */
    const expert_weight *gate, *up, *down;         /* (n_ff, width of in) twice, (width of out, n_ff) */
    const weight *gate_bias, *up_bias, *down_bias; /* (n_expert, rows) float32 */
    const weight *shared_gate, *shared_up, *shared_down; /* an expert that every token uses */
    const weight *shared_router; /* (width of in) its share is the sigmoid of this product; absent: 1 */
    moe_activation activation;
    bool add;    /* out += result, the residual; else out = result */
    float scale; /* of the result; 0: none */
} plan_moe_step;
/* Mixture of experts: out = sum over the chosen experts of weight * down(activation(gate x, up x)), x =
 * norm(in), plus the shared expert. Weights and biases that may be missing are NULL or absent. */
void plan_moe(plan_builder *b, const plan_moe_step *s);

/* logits = w . norm(x) for the tokens whose logits are wanted. Last step of every plan. */
void plan_output(plan_builder *b, plan_buf x, plan_norm norm, const weight *w);

#endif

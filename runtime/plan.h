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
    float scale;             /* 0 stands for 1 */
} plan_embed_step;
/* x[t] = scale * row token[t] of the table + row of its position. First step of every plan; also prepares the
 * rotations. */
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
} activation;

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
    activation activation; /* not together with add */
    bool add;              /* out += scale * product, the residual; else out = product */
    float scale;           /* of the product and its bias when added; 0 stands for 1 */
} plan_linear_step;
/* out_i = activation(w_i . norm(in) + bias_i), for up to three matrices with the same input (Q, K and V are
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
    bool temperature; /* q grows with its position, by hparams.temperature_* */
    float scale;      /* of q . k */
    float softcap;    /* scale * q . k becomes softcap * tanh(scale * q . k / softcap); 0: it does not */
    size_t window;    /* keys that a token sees, itself included; 0: all */
} plan_attention_step;
/* Norms and rotates q and k, appends k and v to the cache, out = causal attention over the cache. At most one
 * for each layer. */
void plan_attention(plan_builder *b, const plan_attention_step *s);

typedef struct plan_output_step {
    plan_buf x;
    plan_norm norm;
    const weight *w, *bias; /* (n_vocab, width of x), (n_vocab) or NULL or absent */
    float scale;            /* of the logits; 0 stands for 1 */
    float softcap;          /* logits become softcap * tanh(logits / softcap); 0: they do not */
} plan_output_step;
/* logits = w . norm(x) + bias for the tokens whose logits are wanted, then scaled, then capped. Last step of
 * every plan. */
void plan_output(plan_builder *b, const plan_output_step *s);

#endif

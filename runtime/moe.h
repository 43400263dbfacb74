/* Mixture of experts: which experts a token uses and with what weight, and the memory that passes with
 * experts need. plan.c measures, run.c hands out, stage_moe_*.c use it. Routing is a function of the router's
 * logits alone, the same code for one token and for many, and ties go to the expert with the lower number. */
#ifndef LEAT_RUNTIME_MOE_H
#define LEAT_RUNTIME_MOE_H

#include "kernels/kernels.h"
#include "plan.h"

enum { MOE_EXPERTS_MAX = 1024, MOE_USED_MAX = 64 };

typedef struct moe_choice {
    uint32_t expert[MOE_USED_MAX]; /* ascending */
    float weight[MOE_USED_MAX];
} moe_choice;

/* The n_used experts for one token's logits (n_expert). Of the vectors (n_expert) select_bias counts in the
 * choice only, and expert_scale multiplies the weights at the end; both may be NULL. */
void moe_route(const moe_routing *m, const float *logits, const float *select_bias, const float *expert_scale,
               moe_choice *out);

/* The largest of what the steps of a plan need; all 0 in a plan without experts. */
typedef struct moe_limits {
    uint32_t n_expert, n_used;
    size_t act_cols[ACT_COUNT]; /* widest row of an expert's inner activations in each form; 0: never */
    size_t shared_cols[ACT_COUNT];
    plan_buf hidden, shared; /* (n_tokens * n_used, n_ff), (n_tokens, n_ff of the shared expert) */
    plan_buf router;         /* (n_tokens, n_expert) */
    plan_buf share;          /* (n_tokens) logit of the shared expert's share */
} moe_limits;

/* A worker's own. */
typedef struct moe_scratch {
    moe_choice choice;    /* of the one token */
    char *act[ACT_COUNT]; /* (n_used) rows of inner activations, one token */
    float *sum;           /* (TILE_ROWS_MAX) */
} moe_scratch;

/* A pass of many tokens: an entry is a token at one of its experts; entries are sorted by expert, then by
 * token. */
typedef struct moe_pass {
    uint32_t *expert;        /* (n_tokens, n_used) */
    float *weight;           /* (n_tokens, n_used) */
    float *share;            /* (n_tokens) of the shared expert */
    uint32_t *first;         /* (n_expert + 1) first entry of each expert */
    uint32_t *token;         /* (n_tokens * n_used) of each entry */
    float *entry_weight;     /* (n_tokens * n_used) */
    char *act[ACT_COUNT];    /* (n_tokens * n_used) rows of inner activations, in the order of entries */
    char *shared[ACT_COUNT]; /* (n_tokens) rows of the shared expert's */
} moe_pass;

#endif

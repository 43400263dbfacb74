/* What a plan is made of, and how one stage of it is worked on. A stage is cut into tiles over output rows,
 * heads or tokens; any worker may take any tile, in any order, and the result is the same to the bit. plan.c
 * makes stages, run.c walks them, stage_one.c and stage_many.c are what happens in a tile. */
#ifndef LEAT_RUNTIME_STAGE_H
#define LEAT_RUNTIME_STAGE_H

#include <stdatomic.h>

#include "kernels/kernels.h"
#include "kv.h"
#include "moe.h"
#include "plan.h"
#include "rope.h"

typedef struct stage stage;
typedef struct run run;
typedef struct scratch scratch;

typedef size_t stage_tiles_fn(const stage *s, const run *r);
typedef void stage_tile_fn(const stage *s, const run *r, scratch *w, size_t tile);

typedef struct stage_part {
    weight w;
    const float *bias; /* (n_rows) or NULL */
    plan_buf out;
} stage_part;

typedef struct stage_norm {
    const float *w, *bias; /* (width) or NULL; no w: no norm */
    float eps;
    norm_kind kind;
    size_t stride; /* of heads: from the gain of one to that of the next; 0: they share one */
} stage_norm;

struct stage {
    stage_tiles_fn *tiles; /* how many there are in this run; 0: nothing to do */
    stage_tile_fn *tile;
    /* linear, gated, output: out = parts . norm(in) */
    plan_buf in;
    stage_norm norm, k_norm; /* of in; of q and k in attention */
    size_t width;            /* of in */
    unsigned act_kinds;      /* bit 1 << act_kind for each form of the input that the parts need */
    unsigned matvec_kinds;   /* those needed besides in a pass of many tokens by what takes one at a time */
    uint32_t n_parts;
    stage_part part[PLAN_PARTS_MAX];
    activation activation;
    bool add;
    bool output; /* writes logits, for the last n_out tokens only */
    float scale; /* of what is added, of logits, of embeddings */
    float softcap;
    size_t tile_rows;
    size_t first, n_groups; /* of what multiplies or is added by columns */
    plan_attention_step attention;
    plan_moe_step moe;
    plan_latent_step latent;
    plan_expand_step expand;
    plan_conv_step conv;
    plan_ssm_step ssm;
    plan_delta_step delta;
    plan_gate_norm_step gate_norm;
    plan_altup_step altup;
    struct {
        struct observe_site *site;
        size_t row, stride; /* floats from one token to the next, from one head to the next */
    } observe;
};

typedef struct plan {
    stage *one, *many; /* the pass for one token and the pass for several */
    size_t n_one, n_many;
    size_t *buf_width; /* (n_bufs) */
    size_t n_bufs;
    size_t max_width;               /* of what a norm or a quantization reads */
    size_t max_act_cols[ACT_COUNT]; /* widest row in each form; 0: never needed */
    kv_shape *kv;                   /* (n_layer) */
    size_t n_positions;             /* learned ones; 0: the context may have any length */
    bool embeds;                    /* ends with the buffer `hidden` in place of logits */
    plan_buf hidden;                /* (n_tokens, n_embd) */
    const hparams *hp;
    moe_limits moe;
    size_t gather_cols[ACT_COUNT]; /* widest row that a worker gathers in each form; 0: never */
    size_t state_floats;           /* of recurrent layers */
    bool observed;                 /* one token too goes the way of many, where the observing stages are */
} plan;

/* A worker's own memory. */
struct scratch {
    const stage *prepared; /* the stage whose input `act` holds (one token) */
    float *row;            /* (max_width) a normed row */
    float *tile;           /* (TILE_ROWS_MAX) results on their way to the residual */
    char *act[ACT_COUNT];  /* one activation row of each form */
    panel *panel;
    float *c, *c2;             /* (pass_panels, pass_tokens, PANEL_ROWS_MAX) products of panels */
    void *attend;              /* ATTEND_SCRATCH bytes */
    float *rows_q, *rows_out;  /* (ATTEND_ROWS_MAX, head size) query rows of tokens side by side; both ways */
    char *gathered[ACT_COUNT]; /* (tokens of a pass) activation rows that lie apart otherwise */
    moe_scratch moe;
    bool non_finite; /* a logit was not a number */
};

/* A text of its own within a pass: tokens first .. first + n of it. */
typedef struct span {
    size_t first, n;
} span;

/* One pass: what every tile may read. */
struct run {
    const plan *plan;
    const kernels *k;
    const rope_table *rope; /* (ROPE_SETS) */
    const kv_cache *kv;
    const int32_t *tokens; /* (n_tokens) */
    size_t n_tokens, pos;  /* pos: position of the first */
    const span *spans;     /* (n_spans) texts that do not see each other; NULL: one that began earlier */
    size_t n_spans, longest;
    const uint32_t *positions; /* (n_tokens) of each in its text; NULL: from pos on */
    size_t n_workers;
    size_t n_batch;       /* tokens of the largest pass */
    size_t n_out;         /* logits are wanted for the last n_out tokens */
    float **buf;          /* (n_bufs) each (n_batch, buf_stride) */
    char *act[ACT_COUNT]; /* (n_batch, act_row_bytes) of the present stage's input, many tokens */
    float *cs[ROPE_SETS]; /* (n_batch, n_dims / 2, 2), by plan_rope */
    float *temperature;   /* (n_batch) */
    float *logits;        /* (n_out, n_vocab) */
    moe_pass moe;
    const float *state; /* (state_floats) what recurrent layers remember */
    float *next;        /* the same after this pass; every part is written by its stage */
};

/* Floats from one token's row of a buffer to the next: rows start on cache lines. */
static inline size_t buf_stride(size_t width) {
    return (width + 15) / 16 * 16;
}
static inline float *buf_row(const run *r, plan_buf b, size_t token) {
    return r->buf[b] + token * buf_stride(r->plan->buf_width[b]);
}

static inline size_t position_of(const run *r, size_t token) {
    return r->positions ? r->positions[token] : r->pos + token;
}

enum { TILE_ROWS_MAX = 1024 }; /* of a one-token tile */

/* stage_one.c: the input of a stage is normed and quantized by every worker for itself (a microsecond, no
 * hand-off). */
stage_tiles_fn embed_tiles, linear_one_tiles, gated_one_tiles, normalize_tiles, attention_one_tiles;
stage_tile_fn embed_tile, linear_one_tile, gated_one_tile, normalize_tile, attention_one_tile;
stage_tile_fn add_groups_tile, multiply_tile, scale_tile; /* with normalize_tiles */

/* stage_many.c: the input is prepared once, in a stage of its own. */
stage_tiles_fn prepare_tiles, linear_many_tiles, gated_many_tiles, append_tiles, attention_many_tiles;
stage_tile_fn prepare_tile, linear_many_tile, gated_many_tile, append_tile, attention_many_tile;

/* stage_moe_one.c, stage_moe_many.c: mixture of experts. */
stage_tiles_fn moe_gate_one_tiles, moe_down_one_tiles;
stage_tile_fn moe_gate_one_tile, moe_down_one_tile;
stage_tiles_fn moe_route_tiles, moe_group_tiles, moe_gate_many_tiles, moe_prepare_tiles, moe_down_many_tiles;
stage_tile_fn moe_route_tile, moe_group_tile, moe_gate_many_tile, moe_prepare_tile, moe_down_many_tile;

/* stage_latent.c */
stage_tiles_fn latent_prepare_tiles, latent_attend_tiles, latent_value_tiles, expand_tiles;
stage_tile_fn latent_prepare_tile, latent_attend_tile, latent_value_tile, expand_tile;

/* stage_altup.c, all in altup_tiles */
stage_tiles_fn altup_tiles;
stage_tile_fn altup_tile, match_tile, multiply_vector_tile, sparse_gate_tile;

/* stage_recurrent.c */
stage_tiles_fn conv_tiles, ssm_tiles, delta_tiles, gate_norm_tiles;
stage_tile_fn conv_tile, ssm_tile, delta_tile, gate_norm_tile;

/* stage_observe.c: sums of squares of inputs; from the floats that the stage before prepared, by expert, from
 * the experts' inner activations, from a buffer of heads. */
stage_tiles_fn observe_tiles;
stage_tile_fn observe_tile, observe_experts_tile, observe_hidden_tile, observe_heads_tile;

/* Norms and quantizes the token's input for this worker (one token). False if it has that already. */
bool prepare_one(const stage *s, const run *r, scratch *w, size_t token);

/* stage_attention.c, shared by both: norms, rotates and stores the key, stores the value of one KV head of
 * one token; norms and rotates one query head. */
void attention_append(const stage *s, const run *r, size_t token, size_t kv_head);
void attention_query(const stage *s, const run *r, size_t token, size_t head);
/* Attention of the query heads that share a KV head, for tokens token .. token + n of the pass, over the rows
 * of the cache from `begin` on. */
void attention_attend(const stage *s, const run *r, scratch *w, size_t kv_head, size_t begin, size_t token,
                      size_t n);
/* Rotates the n_dims values of a set of rotations. */
void stage_rotate(const run *r, plan_rope set, float *x, size_t token);
/* A row of n floats in one of the forms of act.h. */
void stage_quantize(const run *r, act_kind kind, const float *x, size_t n, void *row);
/* y = norm(x), y may be x; without a gain, y = x. */
void stage_normalize(const run *r, const stage_norm *n, const float *x, size_t width, float *y);
/* x = activation(x) */
void stage_activate(const run *r, activation f, float *x, size_t n);
/* g = activation(g) * u */
void stage_gate(const run *r, activation f, float *g, const float *u, size_t n);
/* Logits as the model means them: scaled, capped. */
void stage_finish_logits(const stage *s, const run *r, float *y, size_t n);
/* Tokens that a linear stage works on: all, or only those whose logits are wanted. */
static inline size_t stage_first(const stage *s, const run *r) {
    return s->output ? r->n_tokens - r->n_out : 0;
}
static inline size_t stage_count(const stage *s, const run *r) {
    return s->output ? r->n_out : r->n_tokens;
}

/* Does a model multiply quantized activations anywhere? Then nothing else has to be much more precise. (But
 * an embedding is not to depend on how many rows a kernel is given.) */
static inline bool stage_quantized(const run *r) {
    return !r->plan->embeds && (r->plan->max_act_cols[ACT_Q8_32] || r->plan->max_act_cols[ACT_Q8_256]);
}
/* Tokens that one matrix of a stage is multiplied with; with experts, on average. What becomes of a text does
 * not depend on others in its pass: for embeddings, as if the pass were full. */
static inline size_t stage_share(const stage *s, const run *r) {
    const moe_routing *m = &s->moe.routing;
    const size_t n = r->plan->embeds ? r->n_batch : stage_count(s, r);
    return m->n_expert ? (r->plan->embeds ? n : r->n_tokens) * m->n_used / m->n_expert : n;
}
/* The form of a stage's input, many tokens, for one of its matrices. */
static inline act_kind stage_act(const stage *s, const run *r, const weight *w) {
    return gemm_act(r->k, w->format, stage_share(s, r));
}

/* ---- plan.c ---- */

/* Compiles the architecture's steps for the forms of activations that k takes. *out is owned; weights must
 * outlive it. embeds: for embeddings (embed.h). With an observer (observe.h), which must outlive the plan,
 * there are stages that fill it; NULL: none. */
struct observer;
leat_status plan_compile(const arch *a, const hparams *hp, const void *weights, const void *layers,
                         const kernels *k, bool embeds, struct observer *o, plan *out, leat_error *e);
void plan_free(plan *p);
/* Bytes of cache and recurrent state that the pass of one token reads behind `length` others. */
uint64_t plan_reads(const plan *p, const kv_cache *kv, size_t length);

#endif

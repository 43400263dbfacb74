/* gemma3n: Gemma 3n (E2B, E4B). Four streams of which only the first goes through a layer's blocks: before
 * them all four are predicted from each other, behind them corrected by what came out (AltUp, stage_altup.c);
 * a narrow product beside attention (LAuReL); in the first layers only gate values far above their mean stay;
 * small inputs of each layer; the last layers use the caches of earlier ones. */
#include "decoder.h"

#include <float.h>
#include <math.h>

/* Numbers that files of this architecture do not have, or did not at first. */
enum { PERIOD = 5, CACHED = 20, LAUREL_RANK = 64, INPUT_WIDTH = 256, SPARSE_LAYERS = 10, LOGIT_CAP = 30 };
#define SPARSE_DEVIATIONS 1.6448533535003662f /* 19 of 20 values of a normal distribution are below */

typedef struct gemma3n_layer {
    attention_block attention;
    ffn_block ffn;
    weight laurel_l, laurel_r, laurel_norm;
    weight router, router_norm, predict, correct, correct_scale;
    weight input_gate, input_proj, input_norm;
    uint32_t cache; /* the layer whose cache this one uses */
} gemma3n_layer;

typedef struct gemma3n_ends {
    ends_block ends; /* first: what ends_bind sees */
    weight inputs, inputs_proj, inputs_norm;
    expert_weight spread, gather; /* a matrix for each stream but the first */
} gemma3n_ends;

static leat_status gemma3n_hparams(arch_loader *l, hparams *hp) {
    const float base = 10000.0f, cap = LOGIT_CAP;
    const uint32_t streams = ALTUP_STREAMS, first = 0, small = INPUT_WIDTH;
    uint32_t n_shared = 0, n_streams = 0, active = 0;
    leat_status s = decoder_hparams(l, hp);
    const uint32_t shared = hp->n_layer > CACHED ? hp->n_layer - CACHED : 0;
    if (!s) s = arch_read_windows(l, hp, 0, PERIOD);
    if (!s) hp->rope_swa = decoder_unscaled_rope(hp, base);
    if (!s) s = arch_f32(l, "rope.freq_base_swa", FLT_MIN, 1e12f, &base, &hp->rope_swa.freq_base);
    if (!s) s = arch_f32(l, "final_logit_softcapping", 0.0f, FLT_MAX, &cap, &hp->logit_softcap);
    if (!s) s = arch_u32(l, "altup.num_inputs", ALTUP_STREAMS, ALTUP_STREAMS, &streams, &n_streams);
    if (!s) s = arch_u32(l, "altup.active_idx", 0, 0, &first, &active);
    if (!s) s = arch_u32(l, "embedding_length_per_layer_input", 1, 1 << 16, &small, &hp->n_embd_layer);
    if (!s) s = arch_u32(l, "attention.shared_kv_layers", 0, hp->n_layer, &shared, &n_shared);
    if (s) return s;
    if (hp->both_ways) return arch_error(l, LEAT_E_UNSUPPORTED, "attention.causal is false");
    if (hp->head_dim_k != hp->head_dim_v) return arch_error(l, LEAT_E_HPARAM, "key and value lengths differ");
    hp->n_layer_cached = hp->n_layer - n_shared;
    return LEAT_OK;
}

static leat_status bind_altup(arch_loader *l, const hparams *hp, uint32_t i, gemma3n_layer *y) {
    const size_t n = hp->n_embd, k = ALTUP_STREAMS, small = hp->n_embd_layer;
    const struct {
        weight *w;
        const char *name;
        size_t rows, cols;
    } list[] = {
        {&y->laurel_l, "blk.%u.laurel_l.weight", LAUREL_RANK, n},
        {&y->laurel_r, "blk.%u.laurel_r.weight", n, LAUREL_RANK},
        {&y->laurel_norm, "blk.%u.laurel_post_norm.weight", 1, n},
        {&y->router, "blk.%u.altup_router.weight", k, n},
        {&y->router_norm, "blk.%u.altup_router_norm.weight", 1, n},
        {&y->predict, "blk.%u.altup_predict_coef.weight", k * k, k},
        {&y->correct, "blk.%u.altup_correct_coef.weight", k, k},
        {&y->correct_scale, "blk.%u.altup_correct_scale.weight", 1, n},
        {&y->input_gate, "blk.%u.inp_gate.weight", small, n},
        {&y->input_proj, "blk.%u.proj.weight", n, small},
        {&y->input_norm, "blk.%u.post_norm.weight", 1, n},
    };
    leat_status s = LEAT_OK;
    for (size_t j = 0; !s && j < sizeof list / sizeof *list; j++)
        s = arch_bind(l, list[j].w, list[j].name, i, list[j].rows, list[j].cols, 0);
    return s;
}

static leat_status gemma3n_bind(arch_loader *l, const hparams *hp, void *ends, void *layers) {
    gemma3n_ends *e = ends;
    gemma3n_layer *layer = layers;
    const size_t n = hp->n_embd, small = hp->n_embd_layer, others = ALTUP_STREAMS - 1;
    leat_status s = ends_bind(l, hp, &e->ends);
    if (!s)
        s = arch_bind(l, &e->inputs, "per_layer_token_embd.weight", 0, hp->n_vocab, hp->n_layer * small, 0);
    if (!s) s = arch_bind(l, &e->inputs_proj, "per_layer_model_proj.weight", 0, hp->n_layer * small, n, 0);
    if (!s) s = arch_bind(l, &e->inputs_norm, "per_layer_proj_norm.weight", 0, 1, small, 0);
    if (!s) s = arch_bind_experts(l, &e->spread, "altup_proj.weight", 0, others, n, n, 0);
    if (!s) s = arch_bind_experts(l, &e->gather, "altup_unembd_proj.weight", 0, others, n, n, 0);
    for (uint32_t i = 0; !s && i < hp->n_layer; i++) {
        s = arch_shared_cache(l, hp, i, &layer[i].cache);
        if (!s) s = attention_bind(l, hp, i, &layer[i].attention);
        if (!s) s = ffn_bind(l, hp, i, &layer[i].ffn);
        if (!s) s = bind_altup(l, hp, i, &layer[i]);
    }
    return s;
}

/* Everything that lives for the length of a pass, beside the stream of blocks.h, whose x is the active one's
 * prediction. */
typedef struct buffers {
    plan_buf x[ALTUP_STREAMS],
        p[ALTUP_STREAMS]; /* (n_embd) each: streams, and what they are predicted to be */
    plan_buf y;           /* (n_embd) what the layer makes of the active one */
    plan_buf low, up, gate, first, inputs;
} buffers;

static void attention(plan_builder *b, const hparams *hp, uint32_t i, const gemma3n_layer *y,
                      const buffers *u, const stream *s) {
    const attention_block *a = &y->attention;
    const bool own = y->cache == i, windowed = hparams_windowed(hp, i);
    const plan_norm norm = block_norm(hp, &a->norm, NULL);
    const plan_norm none = {0};
    /* y = norm(p), then LAuReL, attention and p added, over sqrt(2) */
    plan_normalize(b, &(plan_normalize_step){.in = s->x, .out = u->y, .norm = norm});
    plan_linear_step project = {.in = s->x, .norm = norm, .n_parts = own ? 4 : 2};
    project.part[0].w = &y->laurel_l, project.part[0].out = u->low;
    project.part[1].w = &a->q, project.part[1].out = s->q;
    project.part[2].w = &a->k, project.part[2].out = s->k;
    project.part[3].w = &a->v, project.part[3].out = s->v;
    plan_linear(b, &project);
    plan_linear(b, &(plan_linear_step){.in = u->low, .n_parts = 1, .part = {{&y->laurel_r, NULL, s->sum}}});
    plan_normalize(
        b, &(plan_normalize_step){
               .in = s->sum, .out = u->y, .norm = block_norm(hp, &y->laurel_norm, NULL), .add = true});
    plan_attention(b, &(plan_attention_step){.layer = y->cache,
                                             .q = s->q,
                                             .k = s->k,
                                             .v = s->v,
                                             .out = s->a,
                                             .q_norm = block_norm(hp, &a->q_norm, NULL),
                                             .k_norm = block_norm(hp, &a->k_norm, NULL),
                                             .rope = windowed ? PLAN_ROPE_SWA : PLAN_ROPE,
                                             .shared = !own,
                                             .v_norm = true,
                                             .scale = 1.0f,
                                             .window = windowed ? hp->window : 0});
    plan_linear(b, &(plan_linear_step){.in = s->a, .n_parts = 1, .part = {{&a->out, NULL, s->sum}}});
    plan_normalize(b,
                   &(plan_normalize_step){
                       .in = s->sum, .out = u->y, .norm = block_norm(hp, &a->post_norm, NULL), .add = true});
    plan_add_groups(b, u->y, s->x, none, 1, sqrtf(0.5f));
}

static void feed_forward(plan_builder *b, const hparams *hp, uint32_t i, const ffn_block *f, const buffers *u,
                         const stream *s) {
    const plan_norm norm = block_norm(hp, &f->norm, NULL);
    if (i < SPARSE_LAYERS) {
        plan_linear(b, &(plan_linear_step){.in = u->y,
                                           .norm = norm,
                                           .n_parts = 2,
                                           .part = {{&f->gate, NULL, s->ff}, {&f->up, NULL, u->up}}});
        plan_sparse_gate(b, s->ff, u->up, SPARSE_DEVIATIONS);
    } else
        plan_gated(b, &(plan_gated_step){.in = u->y,
                                         .out = s->ff,
                                         .norm = norm,
                                         .gate = &f->gate,
                                         .up = &f->up,
                                         .activation = ACTIVATION_GELU});
    plan_linear(b, &(plan_linear_step){.in = s->ff, .n_parts = 1, .part = {{&f->down, NULL, s->sum}}});
    plan_normalize(b,
                   &(plan_normalize_step){
                       .in = s->sum, .out = u->y, .norm = block_norm(hp, &f->post_norm, NULL), .add = true});
}

static plan_altup_step altup(const hparams *hp, const gemma3n_layer *y, const buffers *u) {
    plan_altup_step step = {.router = &y->router, .norm = block_norm(hp, &y->router_norm, NULL)};
    for (size_t k = 0; k < ALTUP_STREAMS; k++) step.x[k] = u->x[k], step.p[k] = u->p[k];
    return step;
}

static void layer_steps(plan_builder *b, const hparams *hp, uint32_t i, const gemma3n_layer *y,
                        const buffers *u, const stream *s) {
    plan_altup_step predict = altup(hp, y, u), correct = predict;
    predict.coefficients = &y->predict;
    correct.coefficients = &y->correct;
    correct.y = u->y;
    correct.correct = true;
    plan_altup(b, &predict);
    attention(b, hp, i, y, u, s);
    feed_forward(b, hp, i, &y->ffn, u, s);
    plan_altup(b, &correct);
    plan_normalize(b, &(plan_normalize_step){.in = u->x[0], .out = u->first});
    plan_multiply_vector(b, u->first, &y->correct_scale);
    plan_linear(b, &(plan_linear_step){.in = u->first,
                                       .n_parts = 1,
                                       .part = {{&y->input_gate, NULL, u->gate}},
                                       .activation = ACTIVATION_GELU});
    plan_multiply(b, u->gate, u->inputs, i * (size_t)hp->n_embd_layer);
    plan_linear(b,
                &(plan_linear_step){.in = u->gate, .n_parts = 1, .part = {{&y->input_proj, NULL, s->sum}}});
    for (size_t k = 1; k < ALTUP_STREAMS; k++)
        plan_normalize(
            b, &(plan_normalize_step){
                   .in = s->sum, .out = u->x[k], .norm = block_norm(hp, &y->input_norm, NULL), .add = true});
}

/* The matrices of the streams but the first. */
static weight stream_matrix(const expert_weight *all, size_t k) {
    weight w = all->w;
    w.data = (const char *)all->w.data + (k - 1) * all->stride;
    return w;
}

static void gemma3n_build(plan_builder *b, const hparams *hp, const void *ends, const void *layers) {
    const gemma3n_ends *e = ends;
    const gemma3n_layer *layer = layers;
    const size_t n = hp->n_embd, small = hp->n_embd_layer, all = hp->n_layer * small;
    stream s = stream_open(b, hp), first;
    buffers u = {.y = plan_buffer(b, n),
                 .low = plan_buffer(b, LAUREL_RANK),
                 .up = plan_buffer(b, hp->n_ff),
                 .gate = plan_buffer(b, small),
                 .first = plan_buffer(b, n),
                 .inputs = plan_buffer(b, all)};
    plan_buf projected = plan_buffer(b, all);
    for (size_t k = 0; k < ALTUP_STREAMS; k++) {
        u.x[k] = plan_buffer(b, n);
        u.p[k] = k ? plan_buffer(b, n) : s.x;
    }
    first = s;
    first.x = u.x[0];
    ends_open(b, hp, &e->ends, &first);
    plan_embed(b, &(plan_embed_step){.x = u.inputs, .table = &e->inputs, .scale = sqrtf((float)small)});
    plan_linear(
        b, &(plan_linear_step){.in = u.x[0], .n_parts = 1, .part = {{&e->inputs_proj, NULL, projected}}});
    /* the product is divided by sqrt(n_embd), which a norm does not show but in its epsilon */
    plan_norm norm = {.w = &e->inputs_norm, .eps = hp->norm_eps * (float)hp->n_embd};
    plan_add_groups(b, u.inputs, projected, norm, hp->n_layer, sqrtf(0.5f));
    for (size_t k = 1; k < ALTUP_STREAMS; k++) {
        weight w = stream_matrix(&e->spread, k);
        plan_linear(b, &(plan_linear_step){.in = u.x[0], .n_parts = 1, .part = {{&w, NULL, u.x[k]}}});
        plan_match(b, u.x[k], u.x[0]);
    }
    for (uint32_t i = 0; i < hp->n_layer; i++) layer_steps(b, hp, i, &layer[i], &u, &s);
    for (size_t k = 1; k < ALTUP_STREAMS; k++) {
        weight w = stream_matrix(&e->gather, k);
        plan_linear(b, &(plan_linear_step){.in = u.x[k], .n_parts = 1, .part = {{&w, NULL, u.p[k]}}});
        plan_match(b, u.p[k], u.x[0]);
    }
    for (size_t k = 1; k < ALTUP_STREAMS; k++)
        plan_normalize(b, &(plan_normalize_step){.in = u.p[k], .out = u.x[0], .add = true});
    /* what is meant is the mean of the streams: their sum is as much larger as its epsilon is here */
    norm = block_norm(hp, &e->ends.norm, NULL);
    norm.eps *= (float)(ALTUP_STREAMS * ALTUP_STREAMS);
    plan_output(b, &(plan_output_step){
                       .x = u.x[0], .norm = norm, .w = &e->ends.output, .softcap = hp->logit_softcap});
}

const arch arch_gemma3n = {
    .name = "gemma3n",
    .weights_bytes = sizeof(gemma3n_ends),
    .layer_bytes = sizeof(gemma3n_layer),
    .read_hparams = gemma3n_hparams,
    .bind = gemma3n_bind,
    .build = gemma3n_build,
    .options = &(const decoder_options){.rope = ROPE_HALVES,
                                        .post_norm = true,
                                        .head_norm = HEAD_NORM_HEADS,
                                        .activation = ACTIVATION_GELU,
                                        .embed_scaled = true},
};

/* gemma4: Gemma 4. As gemma3, with heads of another size in layers that see everything than
 * in those that see a window, values divided by their root mean square, the same as keys where the file has
 * none; the last layers may use the caches of earlier ones; and small inputs of each layer from a table of
 * their own (E2B, E4B). In 26B-A4B the feed-forward network has experts beside it, with norms and a router of
 * their own. */
#include "decoder.h"

#include <float.h>
#include <math.h>

#include "kernels/kernels.h"

enum { WIDTHS_MAX = 16 };

typedef struct gemma4_layer {
    attention_block attention; /* k and v absent in layers that share a cache; v absent: k is v too */
    ffn_block ffn;
    moe_block moe;                                         /* absent in dense layers */
    weight router_scale, expert_scale, ffn_post, moe_post; /* norms of what both add, before it is one */
    weight input_gate, input_proj, input_norm, scale;
    uint32_t n_head_kv, dim, n_ff;
    uint32_t cache; /* the layer whose cache this one uses */
} gemma4_layer;

typedef struct gemma4_ends {
    ends_block ends; /* first: what ends_bind sees */
    weight inputs, inputs_proj, inputs_norm;
} gemma4_ends;

static leat_status gemma4_hparams(arch_loader *l, hparams *hp) {
    const uint32_t none = 0, any = 1;
    const float zero = 0.0f, base = 10000.0f;
    uint32_t n_shared = 0, dim_v = 0, dim_v_swa = 0;
    leat_status s = arch_u32(l, "context_length", 1, INT32_MAX, NULL, &hp->n_ctx_train);
    if (!s) s = arch_u32(l, "embedding_length", 1, 1 << 20, NULL, &hp->n_embd);
    if (!s) s = arch_u32(l, "block_count", 1, ARCH_LAYERS_MAX, NULL, &hp->n_layer);
    if (!s) s = arch_refuse(l, "nextn_predict_layers", "prediction of more than one token");
    if (!s) s = arch_u32(l, "attention.head_count", 1, 1024, NULL, &hp->n_head);
    if (!s) s = arch_u32_layer(l, "feed_forward_length", 0, 1, 1 << 22, &hp->n_ff);
    if (!s) s = arch_u32_layer(l, "attention.head_count_kv", 0, 1, 1024, &hp->n_head_kv);
    if (!s) s = arch_u32(l, "attention.key_length", 1, ATTEND_HEAD_DIM_MAX, NULL, &hp->head_dim_k);
    if (!s) s = arch_u32(l, "attention.value_length", 1, ATTEND_HEAD_DIM_MAX, NULL, &dim_v);
    if (!s) s = arch_u32(l, "attention.key_length_swa", 1, ATTEND_HEAD_DIM_MAX, NULL, &hp->head_dim_swa);
    if (!s) s = arch_u32(l, "attention.value_length_swa", 1, ATTEND_HEAD_DIM_MAX, NULL, &dim_v_swa);
    if (!s && (dim_v != hp->head_dim_k || dim_v_swa != hp->head_dim_swa))
        s = arch_error(l, LEAT_E_HPARAM, "key and value lengths differ");
    hp->head_dim_v = hp->head_dim_k;
    if (!s) s = arch_f32(l, "attention.layer_norm_rms_epsilon", FLT_MIN, 1.0f, NULL, &hp->norm_eps);
    if (!s) s = arch_f32(l, "final_logit_softcapping", 0.0f, FLT_MAX, &zero, &hp->logit_softcap);
    if (!s) s = arch_read_windows(l, hp, 0, any);
    hp->moe.routing.normalise = true;
    if (!s) s = arch_read_experts(l, hp);
    if (!s) hp->moe.routing.logit_scale = 1.0f / sqrtf((float)hp->n_embd);
    if (!s) s = arch_u32(l, "attention.shared_kv_layers", 0, hp->n_layer, &none, &n_shared);
    if (!s) s = arch_u32(l, "embedding_length_per_layer_input", 0, 1 << 16, &none, &hp->n_embd_layer);
    if (!s) s = arch_read_rope(l, hp, ROPE_HALVES);
    if (s) return s;
    hp->n_layer_cached = hp->n_layer - n_shared;
    hp->rope_swa = decoder_unscaled_rope(hp, base);
    s = arch_f32(l, "rope.freq_base_swa", FLT_MIN, 1e12f, &base, &hp->rope_swa.freq_base);
    if (!s)
        s = arch_u32(l, "rope.dimension_count_swa", 2, hp->head_dim_swa, &hp->head_dim_swa,
                     &hp->rope_swa.n_dims);
    if (!s && hp->rope_swa.n_dims % 2) s = arch_error(l, LEAT_E_HPARAM, "rope.dimension_count_swa is odd");
    return s;
}

static leat_status bind_attention(arch_loader *l, const hparams *hp, uint32_t i, gemma4_layer *y) {
    attention_block *a = &y->attention;
    bool own = i < hp->n_layer_cached;
    y->dim = hparams_windowed(hp, i) ? hp->head_dim_swa : hp->head_dim_k;
    leat_status s = arch_u32_layer(l, "attention.head_count_kv", i, 1, hp->n_head, &y->n_head_kv);
    size_t n = hp->n_embd, nq = (size_t)hp->n_head * y->dim, nk = (size_t)y->n_head_kv * y->dim;
    if (!s && (hp->n_head % y->n_head_kv || hp->n_head / y->n_head_kv > ATTEND_ROWS_MAX))
        s = arch_error(l, LEAT_E_HPARAM, "attention.head_count can't be shared by head_count_kv");
    if (!s) s = arch_shared_cache(l, hp, i, &y->cache);
    if (!s) s = attention_norm_bind(l, hp, i, a);
    if (!s) s = arch_bind(l, &a->q, "blk.%u.attn_q.weight", i, nq, n, 0);
    /* files may have the tensors of layers that do not use them */
    if (!s) s = arch_bind(l, &a->k, "blk.%u.attn_k.weight", i, nk, n, own ? 0 : BIND_OPTIONAL);
    if (!s) s = arch_bind(l, &a->v, "blk.%u.attn_v.weight", i, nk, n, BIND_OPTIONAL);
    if (!s) s = arch_bind(l, &a->q_norm, "blk.%u.attn_q_norm.weight", i, 1, y->dim, 0);
    if (!s) s = arch_bind(l, &a->k_norm, "blk.%u.attn_k_norm.weight", i, 1, y->dim, own ? 0 : BIND_OPTIONAL);
    if (!s) s = arch_bind(l, &a->out, "blk.%u.attn_output.weight", i, n, nq, 0);
    if (!s && !a->v.data) a->v = a->k;
    return s;
}

static leat_status bind_experts(arch_loader *l, const hparams *hp, uint32_t i, gemma4_layer *y) {
    size_t n = hp->n_embd;
    if (!hp->moe.routing.n_expert || !arch_has(l, "blk.%u.ffn_gate_inp.weight", i)) return LEAT_OK;
    leat_status s = arch_bind(l, &y->moe.norm, "blk.%u.pre_ffw_norm_2.weight", i, 1, n, 0);
    if (!s) s = moe_bind_experts(l, hp, i, &y->moe);
    if (!s) s = arch_bind(l, &y->router_scale, "blk.%u.ffn_gate_inp.scale", i, 1, n, 0);
    if (!s)
        s = arch_bind(l, &y->expert_scale, "blk.%u.ffn_down_exps.scale", i, 1, hp->moe.routing.n_expert,
                      BIND_OPTIONAL);
    if (!s) s = arch_bind(l, &y->ffn_post, "blk.%u.post_ffw_norm_1.weight", i, 1, n, 0);
    if (!s) s = arch_bind(l, &y->moe_post, "blk.%u.post_ffw_norm_2.weight", i, 1, n, 0);
    return s;
}

static leat_status gemma4_bind(arch_loader *l, const hparams *hp, void *ends, void *layers) {
    gemma4_ends *e = ends;
    gemma4_layer *layer = layers;
    size_t n = hp->n_embd, small = hp->n_embd_layer;
    leat_status s = ends_bind(l, hp, &e->ends);
    if (!s && small) {
        s = arch_bind(l, &e->inputs, "per_layer_token_embd.weight", 0, hp->n_vocab, hp->n_layer * small, 0);
        if (!s)
            s = arch_bind(l, &e->inputs_proj, "per_layer_model_proj.weight", 0, hp->n_layer * small, n, 0);
        if (!s) s = arch_bind(l, &e->inputs_norm, "per_layer_proj_norm.weight", 0, 1, small, 0);
    }
    for (uint32_t i = 0; !s && i < hp->n_layer; i++) {
        gemma4_layer *y = &layer[i];
        hparams own = *hp; /* feed-forward networks differ in width */
        s = bind_attention(l, hp, i, y);
        if (!s) s = arch_u32_layer(l, "feed_forward_length", i, 1, 1 << 22, &y->n_ff);
        own.n_ff = y->n_ff;
        if (!s) s = ffn_bind(l, &own, i, &y->ffn);
        if (!s) s = bind_experts(l, hp, i, y);
        if (!s) s = arch_bind(l, &y->scale, "blk.%u.layer_output_scale.weight", i, 1, 1, BIND_OPTIONAL);
        if (s || !small) continue;
        s = arch_bind(l, &y->input_gate, "blk.%u.inp_gate.weight", i, small, n, 0);
        if (!s) s = arch_bind(l, &y->input_proj, "blk.%u.proj.weight", i, n, small, 0);
        if (!s) s = arch_bind(l, &y->input_norm, "blk.%u.post_norm.weight", i, 1, n, 0);
    }
    return s;
}

/* Buffers by their width, made when first asked for. */
typedef struct shelf {
    size_t width[WIDTHS_MAX];
    plan_buf buf[WIDTHS_MAX];
    size_t n;
} shelf;

static plan_buf take(plan_builder *b, shelf *s, size_t width) {
    for (size_t i = 0; i < s->n; i++)
        if (s->width[i] == width) return s->buf[i];
    plan_buf buf = plan_buffer(b, width);
    if (s->n < WIDTHS_MAX) {
        s->width[s->n] = width;
        s->buf[s->n++] = buf;
    }
    return buf;
}

typedef struct shelves {
    shelf q, k, v, a, ff;
} shelves;

static void attention(plan_builder *b, const hparams *hp, uint32_t i, const gemma4_layer *y, shelves *u,
                      stream *s) {
    const attention_block *a = &y->attention;
    bool own = y->cache == i, windowed = hparams_windowed(hp, i);
    size_t nq = (size_t)hp->n_head * y->dim, nk = (size_t)y->n_head_kv * y->dim;
    s->q = take(b, &u->q, nq);
    s->k = take(b, &u->k, nk);
    s->v = take(b, &u->v, nk);
    s->a = take(b, &u->a, nq);
    plan_linear(b,
                &(plan_linear_step){.in = s->x,
                                    .norm = block_norm(hp, &a->norm, NULL),
                                    .n_parts = own ? 3 : 1,
                                    .part = {{&a->q, NULL, s->q}, {&a->k, NULL, s->k}, {&a->v, NULL, s->v}}});
    plan_attention(b, &(plan_attention_step){.layer = y->cache,
                                             .n_head_kv = y->n_head_kv,
                                             .head_dim_k = y->dim,
                                             .head_dim_v = y->dim,
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
    add_back(b, hp, s->a, &a->out, NULL, &a->post_norm, s);
}

/* The feed-forward network and, where there are, the experts beside it. */
static void feed_forward(plan_builder *b, const hparams *hp, const gemma4_layer *y, plan_buf routed,
                         const stream *s) {
    const moe_block *m = &y->moe;
    ffn_project(b, hp, &y->ffn, block_norm(hp, &y->ffn.norm, NULL), s);
    if (!m->router.data) {
        ffn_steps(b, hp, &y->ffn, s);
        return;
    }
    plan_linear(b, &(plan_linear_step){.in = s->ff, .n_parts = 1, .part = {{&y->ffn.down, NULL, s->sum}}});
    plan_normalize(
        b, &(plan_normalize_step){.in = s->sum, .out = s->sum, .norm = block_norm(hp, &y->ffn_post, NULL)});
    plan_moe(b, &(plan_moe_step){.in = s->x,
                                 .out = routed,
                                 .norm = block_norm(hp, &m->norm, NULL),
                                 .router_norm = block_norm(hp, &y->router_scale, NULL),
                                 .routing = hp->moe.routing,
                                 .router = &m->router,
                                 .expert_scale = &y->expert_scale,
                                 .gate = &m->gate,
                                 .up = &m->up,
                                 .down = &m->down,
                                 .activation = ACTIVATION_GELU});
    plan_normalize(b,
                   &(plan_normalize_step){
                       .in = routed, .out = s->sum, .norm = block_norm(hp, &y->moe_post, NULL), .add = true});
    plan_normalize(
        b, &(plan_normalize_step){
               .in = s->sum, .out = s->x, .norm = block_norm(hp, &y->ffn.post_norm, NULL), .add = true});
}

static void gemma4_build(plan_builder *b, const hparams *hp, const void *ends, const void *layers) {
    const gemma4_ends *e = ends;
    const gemma4_layer *layer = layers;
    size_t small = hp->n_embd_layer, all = hp->n_layer * small;
    stream s = {.x = plan_buffer(b, hp->n_embd), .sum = plan_buffer(b, hp->n_embd)};
    plan_buf inputs = 0, projected = 0, gate = 0;
    plan_buf routed = hp->moe.routing.n_expert ? plan_buffer(b, hp->n_embd) : 0;
    shelves u = {0};

    ends_open(b, hp, &e->ends, &s);
    if (small) {
        inputs = plan_buffer(b, all);
        projected = plan_buffer(b, all);
        gate = plan_buffer(b, small);
        plan_embed(b, &(plan_embed_step){.x = inputs, .table = &e->inputs, .scale = sqrtf((float)small)});
        plan_linear(
            b, &(plan_linear_step){.in = s.x, .n_parts = 1, .part = {{&e->inputs_proj, NULL, projected}}});
        /* the product is divided by sqrt(n_embd), which a norm does not show but in its epsilon */
        plan_norm norm = {.w = &e->inputs_norm, .eps = hp->norm_eps * (float)hp->n_embd};
        plan_add_groups(b, inputs, projected, norm, hp->n_layer, sqrtf(0.5f));
    }
    for (uint32_t i = 0; i < hp->n_layer; i++) {
        const gemma4_layer *y = &layer[i];
        attention(b, hp, i, y, &u, &s);
        s.ff = take(b, &u.ff, y->n_ff);
        feed_forward(b, hp, y, routed, &s);
        if (small) {
            plan_linear(b, &(plan_linear_step){.in = s.x,
                                               .n_parts = 1,
                                               .part = {{&y->input_gate, NULL, gate}},
                                               .activation = ACTIVATION_GELU});
            plan_multiply(b, gate, inputs, i * small);
            add_back(b, hp, gate, &y->input_proj, NULL, &y->input_norm, &s);
        }
        plan_scale(b, s.x, &y->scale);
    }
    ends_close(b, hp, &e->ends, &s);
}

const arch arch_gemma4 = {
    .name = "gemma4",
    .weights_bytes = sizeof(gemma4_ends),
    .layer_bytes = sizeof(gemma4_layer),
    .read_hparams = gemma4_hparams,
    .bind = gemma4_bind,
    .build = gemma4_build,
    .options = &(const decoder_options){.rope = ROPE_HALVES,
                                        .post_norm = true,
                                        .head_norm = HEAD_NORM_HEADS,
                                        .activation = ACTIVATION_GELU,
                                        .embed_scaled = true},
};

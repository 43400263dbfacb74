/* deepseek2: DeepSeek V2, V2 Lite, V3 and R1, and others of that shape. Latent attention (see plan_latent);
 * files older than 2025 have its matrices in one tensor, with which keys and values are expanded before they
 * are cached. Experts after the first layers, with a shared one. */
#include "decoder.h"
#include "kernels/kernels.h"

#include <math.h>

typedef struct deepseek2_layer {
    attention_block attention; /* norm, q (or the second half of it), out */
    weight q_a, q_a_norm;      /* queries through a narrow place; absent: directly */
    weight latent, key, latent_norm;
    expert_weight k_b, v_b; /* absent in old files */
    weight kv_b;            /* only in old files */
    ffn_block ffn;
    moe_block moe;
} deepseek2_layer;

enum { RANK_MAX = 1 << 16 };

/* Scores grow with the context's extension (YaRN), which DeepSeek folds into their scale. */
static leat_status deepseek2_scale(arch_loader *l, hparams *hp, uint32_t dim) {
    const float none = 0.0f;
    float mul = 0.0f, factor = hp->rope.factor, size = 1.0f + 0.1f * logf(factor);
    leat_status s = arch_f32(l, "rope.scaling.yarn_log_multiplier", 0.0f, 1e6f, &none, &mul);
    if (s) return s;
    if (hp->rope.scaling == ROPE_SCALING_YARN && hp->rope.ext_factor > 0.0f && mul != 0.0f) {
        hp->rope.log_mul = 1.0f; /* which leaves the rotations as large as they are */
        size = 1.0f + 0.1f * (mul / 0.1f) * logf(factor); /* the file has a tenth of it */
    }
    size *= hp->rope.attn_factor;
    hp->attention_scale = size * size / sqrtf((float)dim);
    return LEAT_OK;
}

static leat_status deepseek2_hparams(arch_loader *l, hparams *hp) {
    latent_hparams *m = &hp->latent;
    const float zero = 0.0f;
    const uint32_t none = 0;
    uint32_t n_shared = 0, dim_k = 0, dim_v = 0;
    leat_status s = decoder_hparams(l, hp);
    if (!s) s = arch_u32(l, "attention.kv_lora_rank", 1, RANK_MAX, NULL, &m->rank);
    if (!s) s = arch_u32(l, "attention.q_lora_rank", 0, RANK_MAX, &none, &m->q_rank);
    if (!s) s = arch_u32(l, "attention.key_length_mla", 0, ATTEND_HEAD_DIM_MAX, &none, &dim_k);
    if (!s) s = arch_u32(l, "attention.value_length_mla", 0, ATTEND_HEAD_DIM_MAX, &none, &dim_v);
    if (!s) s = arch_u32(l, "expert_shared_count", 0, 1024, &none, &n_shared);
    if (!s) s = arch_f32(l, "attention.temperature_scale", -1e6f, 1e6f, &zero, &hp->temperature_scale);
    if (!s && hp->temperature_scale != 0.0f)
        s = arch_u32(l, "attention.temperature_length", 1, INT32_MAX, NULL, &hp->temperature_length);
    /* early files of GLM 4.7 Flash do not say how experts are chosen */
    if (!s && hp->n_vocab == 154880 && (hp->n_layer == 47 || hp->n_layer == 48) &&
        !arch_has_key(l, "expert_gating_func"))
        hp->moe.routing.gating = MOE_SIGMOID;
    if (!s && hp->moe.routing.n_expert) hp->moe.n_ff_shared = n_shared * hp->moe.n_ff;
    if (s) return s;
    if (!dim_k != !dim_v)
        return arch_error(l, LEAT_E_HPARAM, "of key_length_mla and value_length_mla one is missing");
    m->absorbed = dim_k > 0;
    m->rope = hp->rope.n_dims;
    m->dim_k = dim_k ? dim_k : hp->head_dim_k;
    m->dim_v = dim_v ? dim_v : hp->head_dim_v;
    if (m->dim_k <= m->rope || (m->absorbed && m->rank + m->rope > ATTEND_HEAD_DIM_MAX))
        return arch_error(l, LEAT_E_HPARAM, "key lengths do not fit rope.dimension_count and kv_lora_rank");
    if (m->absorbed) {
        hp->head_dim_k = m->rank + m->rope;
        hp->head_dim_v = m->rank;
        hp->n_head_kv = 1;
    } else
        hp->n_head_kv = hp->n_head;
    return deepseek2_scale(l, hp, m->dim_k);
}

static leat_status deepseek2_bind_attention(arch_loader *l, const hparams *hp, uint32_t i,
                                            deepseek2_layer *y) {
    const latent_hparams *m = &hp->latent;
    size_t n = hp->n_embd, heads = hp->n_head, nope = m->dim_k - m->rope;
    bool direct = arch_has(l, "blk.%u.attn_q.weight", i);
    weight down;
    leat_status s = attention_norm_bind(l, hp, i, &y->attention);
    if (!s && !direct && !m->q_rank)
        s = arch_error(l, LEAT_E_HPARAM, "attention.q_lora_rank is missing, and there is no attn_q either");
    if (s) return s;
    if (direct)
        s = arch_bind(l, &y->attention.q, "blk.%u.attn_q.weight", i, heads * m->dim_k, n, 0);
    else {
        s = arch_bind(l, &y->q_a, "blk.%u.attn_q_a.weight", i, m->q_rank, n, 0);
        if (!s) s = arch_bind(l, &y->q_a_norm, "blk.%u.attn_q_a_norm.weight", i, 1, m->q_rank, 0);
        if (!s)
            s = arch_bind(l, &y->attention.q, "blk.%u.attn_q_b.weight", i, heads * m->dim_k, m->q_rank, 0);
    }
    if (!s) s = arch_bind(l, &down, "blk.%u.attn_kv_a_mqa.weight", i, m->rank + m->rope, n, 0);
    if (!s) s = arch_bind(l, &y->latent_norm, "blk.%u.attn_kv_a_norm.weight", i, 1, m->rank, 0);
    if (!s) s = arch_bind(l, &y->attention.out, "blk.%u.attn_output.weight", i, n, heads * m->dim_v, 0);
    if (s) return s;
    y->latent = weight_part(&down, 0, m->rank);
    y->key = weight_part(&down, m->rank, m->rope);
    if (!m->absorbed)
        return arch_bind(l, &y->kv_b, "blk.%u.attn_kv_b.weight", i, heads * (nope + m->dim_v), m->rank, 0);
    s = arch_bind_experts(l, &y->k_b, "blk.%u.attn_k_b.weight", i, heads, m->rank, nope, 0);
    if (!s) s = arch_bind_experts(l, &y->v_b, "blk.%u.attn_v_b.weight", i, heads, m->dim_v, m->rank, 0);
    return s;
}

static leat_status deepseek2_bind(arch_loader *l, const hparams *hp, void *ends, void *layers) {
    deepseek2_layer *layer = layers;
    leat_status s = ends_bind(l, hp, ends);
    for (uint32_t i = 0; !s && i < hp->n_layer; i++) {
        s = deepseek2_bind_attention(l, hp, i, &layer[i]);
        if (!s) s = decoder_bind_ffn(l, hp, i, &layer[i].ffn, &layer[i].moe);
    }
    return s;
}

typedef struct buffers {
    plan_buf q_a, q, latent, key, query, sum, both, k, v, out;
} buffers;

static buffers buffers_open(plan_builder *b, const hparams *hp) {
    const latent_hparams *m = &hp->latent;
    size_t n = hp->n_head, nope = m->dim_k - m->rope;
    buffers y = {.q = plan_buffer(b, n * m->dim_k),
                 .latent = plan_buffer(b, m->rank),
                 .key = plan_buffer(b, m->rope),
                 .out = plan_buffer(b, n * m->dim_v)};
    if (m->q_rank) y.q_a = plan_buffer(b, m->q_rank);
    if (m->absorbed) {
        y.query = plan_buffer(b, n * (m->rank + m->rope));
        y.sum = plan_buffer(b, n * m->rank);
    } else {
        y.both = plan_buffer(b, n * (nope + m->dim_v));
        y.k = plan_buffer(b, n * m->dim_k);
        y.v = plan_buffer(b, n * m->dim_v);
    }
    return y;
}

static void attend(plan_builder *b, const hparams *hp, uint32_t i, const deepseek2_layer *y,
                   const buffers *u) {
    const latent_hparams *m = &hp->latent;
    size_t nope = m->dim_k - m->rope;
    bool temperature = hp->temperature_length > 0;
    if (m->absorbed) {
        plan_latent(b, &(plan_latent_step){.layer = i,
                                           .n_head = hp->n_head,
                                           .nope = nope,
                                           .rope = m->rope,
                                           .rank = m->rank,
                                           .dim_v = m->dim_v,
                                           .q = u->q,
                                           .latent = u->latent,
                                           .key = u->key,
                                           .norm = block_norm(hp, &y->latent_norm, NULL),
                                           .k_b = &y->k_b,
                                           .v_b = &y->v_b,
                                           .query = u->query,
                                           .sum = u->sum,
                                           .out = u->out,
                                           .temperature = temperature,
                                           .scale = hp->attention_scale});
        return;
    }
    plan_linear(b, &(plan_linear_step){.in = u->latent,
                                       .norm = block_norm(hp, &y->latent_norm, NULL),
                                       .n_parts = 1,
                                       .part = {{&y->kv_b, NULL, u->both}}});
    plan_expand(b, &(plan_expand_step){.n_head = hp->n_head,
                                       .nope = nope,
                                       .rope = m->rope,
                                       .dim_v = m->dim_v,
                                       .both = u->both,
                                       .shared = u->key,
                                       .k = u->k,
                                       .v = u->v});
    plan_attention(b, &(plan_attention_step){.layer = i,
                                             .n_head_kv = hp->n_head,
                                             .head_dim_k = m->dim_k,
                                             .head_dim_v = m->dim_v,
                                             .q = u->q,
                                             .k = u->k,
                                             .v = u->v,
                                             .out = u->out,
                                             .rope_first = nope,
                                             .temperature = temperature,
                                             .scale = hp->attention_scale});
}

static void deepseek2_build(plan_builder *b, const hparams *hp, const void *ends, const void *layers) {
    const deepseek2_layer *layer = layers;
    stream s = {.x = plan_buffer(b, hp->n_embd), .ff = plan_buffer(b, hp->n_ff)};
    buffers u = buffers_open(b, hp);

    ends_open(b, hp, ends, &s);
    for (uint32_t i = 0; i < hp->n_layer; i++) {
        const deepseek2_layer *y = &layer[i];
        bool direct = !y->q_a.data;
        plan_linear(b, &(plan_linear_step){
                           .in = s.x,
                           .norm = block_norm(hp, &y->attention.norm, NULL),
                           .n_parts = 3,
                           .part = {{&y->latent, NULL, u.latent},
                                    {&y->key, NULL, u.key},
                                    {direct ? &y->attention.q : &y->q_a, NULL, direct ? u.q : u.q_a}}});
        if (!direct)
            plan_linear(b, &(plan_linear_step){.in = u.q_a,
                                               .norm = block_norm(hp, &y->q_a_norm, NULL),
                                               .n_parts = 1,
                                               .part = {{&y->attention.q, NULL, u.q}}});
        attend(b, hp, i, y, &u);
        add_back(b, hp, u.out, &y->attention.out, NULL, NULL, &s);
        decoder_ffn_steps(b, hp, i, &y->ffn, &y->moe, &s);
    }
    ends_close(b, hp, ends, &s);
}

const arch arch_deepseek2 = {
    .name = "deepseek2",
    .weights_bytes = sizeof(ends_block),
    .layer_bytes = sizeof(deepseek2_layer),
    .read_hparams = deepseek2_hparams,
    .bind = deepseek2_bind,
    .build = deepseek2_build,
    .options = &(const decoder_options){.rope = ROPE_PAIRS, .experts = true, .drafts = true},
};

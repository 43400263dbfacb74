/* qwen3next, qwen35, qwen35moe: Qwen 3 Next and 3.5. Three of four layers are a gated delta rule behind a
 * convolution; the fourth is attention whose result is gated by a second half of the queries. The
 * feed-forward are experts with a shared one, or plain in qwen35. */
#include "decoder.h"

#include <math.h>

#include "runtime/plan.h"

typedef struct delta_layer {
    attention_block attention; /* of recurrent layers only its norm; q has a gate behind each head */
    weight qkv, gate;          /* ((2 * n_head_k + n_head_v) * dim, n_embd), (n_head_v * dim, n_embd) */
    weight both;               /* qwen3next: beta and alpha by key heads (2 * n_head_v, n_embd) */
    weight beta, alpha;        /* qwen35: (n_head_v, n_embd) each */
    weight conv, dt_bias, a, norm, out;
    ffn_block ffn;
    moe_block moe;
} delta_layer;

/* The names of the general formulas for what GGUF calls by those of Mamba. */
static size_t dim_of(const hparams *hp) {
    return hp->ssm.state;
}
static size_t conv_width(const hparams *hp) {
    return (2 * (size_t)hp->ssm.n_group + hp->ssm.n_head) * dim_of(hp);
}

static leat_status delta_hparams(arch_loader *l, hparams *hp) {
    leat_status s = decoder_hparams(l, hp);
    if (!s) s = arch_read_ssm(l, hp);
    if (!s) s = arch_read_recurrent(l, hp, 4);
    if (!s && (hp->ssm.inner != hp->ssm.n_head * hp->ssm.state || hp->ssm.state > DELTA_DIM_MAX))
        s = arch_error(l, LEAT_E_HPARAM, "ssm.inner_size is not ssm.time_step_rank times ssm.state_size");
    if (!s && hp->head_dim_k != hp->head_dim_v)
        s = arch_error(l, LEAT_E_HPARAM, "attention.key_length and value_length differ");
    if (!s && block_options(hp)->sections) s = arch_read_sections(l, hp);
    if (!s && block_options(hp)->experts) {
        if (!hp->moe.routing.n_expert) return arch_error(l, LEAT_E_HPARAM, "expert_count is missing or 0");
        if (!hp->moe.n_ff_shared) hp->moe.n_ff_shared = hp->n_ff;
    }
    return s;
}

static leat_status bind_recurrent(arch_loader *l, const hparams *hp, uint32_t i, delta_layer *y) {
    size_t n = hp->n_embd, inner = hp->ssm.inner, heads = hp->ssm.n_head;
    leat_status s = attention_norm_bind(l, hp, i, &y->attention);
    if (!s && arch_has(l, "blk.%u.ssm_in.weight", i))
        s = arch_error(
            l, LEAT_E_UNSUPPORTED,
            "the file has queries, keys, values and gates as one tensor, as early conversions did: "
            "a newer one is needed");
    if (!s) s = arch_bind(l, &y->qkv, "blk.%u.attn_qkv.weight", i, conv_width(hp), n, 0);
    if (!s) s = arch_bind(l, &y->gate, "blk.%u.attn_gate.weight", i, inner, n, 0);
    if (!s) s = arch_bind(l, &y->conv, "blk.%u.ssm_conv1d.weight", i, conv_width(hp), hp->ssm.taps, BIND_F32);
    if (!s) s = arch_bind(l, &y->dt_bias, "blk.%u.ssm_dt.bias", i, 1, heads, 0);
    if (!s) s = arch_bind(l, &y->a, "blk.%u.ssm_a", i, 1, heads, 0);
    if (!s) s = arch_bind(l, &y->norm, "blk.%u.ssm_norm.weight", i, 1, dim_of(hp), 0);
    if (!s) s = arch_bind(l, &y->out, "blk.%u.ssm_out.weight", i, n, inner, 0);
    if (!s && block_options(hp)->interleaved)
        s = arch_bind(l, &y->both, "blk.%u.ssm_ba.weight", i, 2 * heads, n, 0);
    else if (!s) {
        s = arch_bind(l, &y->beta, "blk.%u.ssm_beta.weight", i, heads, n, 0);
        if (!s) s = arch_bind(l, &y->alpha, "blk.%u.ssm_alpha.weight", i, heads, n, 0);
    }
    return s;
}

static leat_status bind_attention(arch_loader *l, const hparams *hp, uint32_t i, attention_block *a) {
    size_t n = hp->n_embd, dim = hp->head_dim_k, nq = hp->n_head * dim, nk = hp->n_head_kv * dim;
    leat_status s = attention_norm_bind(l, hp, i, a);
    if (!s) s = arch_bind(l, &a->q, "blk.%u.attn_q.weight", i, 2 * nq, n, 0);
    if (!s) s = arch_bind(l, &a->k, "blk.%u.attn_k.weight", i, nk, n, 0);
    if (!s) s = arch_bind(l, &a->v, "blk.%u.attn_v.weight", i, nk, n, 0);
    if (!s) s = arch_bind(l, &a->q_norm, "blk.%u.attn_q_norm.weight", i, 1, dim, 0);
    if (!s) s = arch_bind(l, &a->k_norm, "blk.%u.attn_k_norm.weight", i, 1, dim, 0);
    if (!s) s = arch_bind(l, &a->out, "blk.%u.attn_output.weight", i, n, nq, 0);
    return s;
}

static leat_status delta_bind(arch_loader *l, const hparams *hp, void *ends, void *layers) {
    delta_layer *layer = layers;
    leat_status s = ends_bind(l, hp, ends);
    for (uint32_t i = 0; !s && i < hp->n_layer; i++) {
        s = hparams_recurrent(hp, i) ? bind_recurrent(l, hp, i, &layer[i])
                                     : bind_attention(l, hp, i, &layer[i].attention);
        if (!s) s = decoder_bind_ffn(l, hp, i, &layer[i].ffn, &layer[i].moe);
    }
    return s;
}

typedef struct buffers {
    plan_buf mixed, conv, z, both, beta, alpha, out; /* of recurrent layers */
    plan_buf queries, gate;                          /* (n_head, 2, dim), (n_head, dim) of the others */
} buffers;

static void recurrent_steps(plan_builder *b, const hparams *hp, const delta_layer *y, const buffers *u,
                            const stream *s) {
    const ssm_hparams *m = &hp->ssm;
    size_t dim = dim_of(hp), width = conv_width(hp), per_key = m->n_head / m->n_group;
    bool pairs = block_options(hp)->interleaved;
    plan_linear_step project = {.in = s->x,
                                .norm = block_norm(hp, &y->attention.norm, NULL),
                                .n_parts = pairs ? 3 : 4,
                                .part = {{&y->qkv, NULL, u->mixed}, {&y->gate, NULL, u->z}}};
    project.part[2].w = pairs ? &y->both : &y->beta;
    project.part[2].out = pairs ? u->both : u->beta;
    project.part[3].w = &y->alpha;
    project.part[3].out = u->alpha;
    plan_linear(b, &project);
    plan_conv(b, &(plan_conv_step){.in = u->mixed,
                                   .out = u->conv,
                                   .width = width,
                                   .w = &y->conv,
                                   .silu = true,
                                   .state = plan_state(b, width * (m->taps - 1))});
    plan_delta(b, &(plan_delta_step){.conv = u->conv,
                                     .beta = pairs ? u->both : u->beta,
                                     .alpha = pairs ? u->both : u->alpha,
                                     .alpha_at = pairs ? per_key : 0,
                                     .interleaved = pairs,
                                     .gate_stride = 2 * per_key,
                                     .out = u->out,
                                     .n_head_k = m->n_group,
                                     .n_head_v = m->n_head,
                                     .head_dim = dim,
                                     .a = &y->a,
                                     .dt_bias = &y->dt_bias,
                                     .eps = hp->norm_eps,
                                     .state = plan_state(b, m->n_head * dim * dim)});
    plan_gate_norm(
        b, &(plan_gate_norm_step){
               .x = u->out, .n_groups = m->n_head, .norm = block_norm(hp, &y->norm, NULL), .gate = u->z});
    add_back(b, hp, u->out, &y->out, NULL, NULL, s);
}

static void gated_attention_steps(plan_builder *b, const hparams *hp, uint32_t i, const attention_block *a,
                                  const buffers *u, const stream *s) {
    size_t dim = hp->head_dim_k;
    plan_linear(b, &(plan_linear_step){
                       .in = s->x,
                       .norm = block_norm(hp, &a->norm, NULL),
                       .n_parts = 3,
                       .part = {{&a->q, NULL, u->queries}, {&a->k, NULL, s->k}, {&a->v, NULL, s->v}}});
    plan_expand(
        b, &(plan_expand_step){
               .n_head = hp->n_head, .nope = dim, .dim_v = dim, .both = u->queries, .k = s->q, .v = u->gate});
    plan_attention(b, &(plan_attention_step){.layer = i,
                                             .q = s->q,
                                             .k = s->k,
                                             .v = s->v,
                                             .out = s->a,
                                             .q_norm = block_norm(hp, &a->q_norm, NULL),
                                             .k_norm = block_norm(hp, &a->k_norm, NULL),
                                             .scale = 1.0f / sqrtf((float)dim)});
    plan_gate_norm(
        b, &(plan_gate_norm_step){.x = s->a, .n_groups = hp->n_head, .gate = u->gate, .sigmoid = true});
    add_back(b, hp, s->a, &a->out, NULL, NULL, s);
}

static void delta_build(plan_builder *b, const hparams *hp, const void *ends, const void *layers) {
    const delta_layer *layer = layers;
    const ssm_hparams *m = &hp->ssm;
    stream s = stream_open(b, hp);
    buffers u = {.mixed = plan_buffer(b, conv_width(hp)),
                 .conv = plan_buffer(b, conv_width(hp)),
                 .z = plan_buffer(b, m->inner),
                 .both = plan_buffer(b, 2 * (size_t)m->n_head),
                 .beta = plan_buffer(b, m->n_head),
                 .alpha = plan_buffer(b, m->n_head),
                 .out = plan_buffer(b, m->inner),
                 .queries = plan_buffer(b, 2 * (size_t)hp->n_head * hp->head_dim_k),
                 .gate = plan_buffer(b, (size_t)hp->n_head * hp->head_dim_k)};
    ends_open(b, hp, ends, &s);
    for (uint32_t i = 0; i < hp->n_layer; i++) {
        if (hparams_recurrent(hp, i))
            recurrent_steps(b, hp, &layer[i], &u, &s);
        else
            gated_attention_steps(b, hp, i, &layer[i].attention, &u, &s);
        decoder_ffn_steps(b, hp, i, &layer[i].ffn, &layer[i].moe, &s);
    }
    ends_close(b, hp, ends, &s);
}

#define DELTA(name_, ...)                                                                                    \
    {                                                                                                        \
        .name = name_, .weights_bytes = sizeof(ends_block), .layer_bytes = sizeof(delta_layer),              \
        .read_hparams = delta_hparams, .bind = delta_bind, .build = delta_build,                             \
        .options = &(const decoder_options){                                                                 \
            .rope = ROPE_HALVES, .ffn_norm = "post_attention_norm", .drafts = true, __VA_ARGS__},            \
    }

const arch arch_qwen3next =
    DELTA("qwen3next", .experts = true, .expert_norm = true, .shared_router = true, .interleaved = true);
const arch arch_qwen35 = DELTA("qwen35", .sections = true);
const arch arch_qwen35moe =
    DELTA("qwen35moe", .sections = true, .experts = true, .expert_norm = true, .shared_router = true);

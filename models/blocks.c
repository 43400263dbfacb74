/* The shared blocks of blocks.h. Tensor names are GGUF's. */
#include "blocks.h"

#include <math.h>
#include <stdio.h>

const decoder_options *block_options(const hparams *hp) {
    static const decoder_options plain = {0};
    return hp->options ? hp->options : &plain;
}

/* One line of a list of tensors to bind. */
typedef struct binding {
    weight *w;
    const char *name;
    size_t rows, cols;
    unsigned flags;
} binding;

static leat_status bind_all(arch_loader *l, uint32_t layer, const binding *list, size_t n) {
    leat_status s = LEAT_OK;
    for (size_t i = 0; i < n && !s; i++)
        s = arch_bind(l, list[i].w, list[i].name, layer, list[i].rows, list[i].cols, list[i].flags);
    return s;
}

plan_norm block_norm(const hparams *hp, const weight *w, const weight *bias) {
    return (plan_norm){w, hp->norm_eps, block_options(hp)->norm, bias};
}

/* Gains of q and k. As a matrix they differ between heads. */
static leat_status head_norm_bind(arch_loader *l, const hparams *hp, uint32_t layer, attention_block *a) {
    const decoder_options *o = block_options(hp);
    const unsigned flags = o->head_norm_optional ? BIND_OPTIONAL : 0;
    const size_t dim = hp->head_dim_k;
    const struct {
        weight *w;
        const char *name;
        size_t heads;
    } list[] = {{&a->q_norm, "blk.%u.attn_q_norm.weight", hp->n_head},
                {&a->k_norm, "blk.%u.attn_k_norm.weight", hp->n_head_kv}};
    for (size_t i = 0; i < 2 && o->head_norm != HEAD_NORM_NONE; i++) {
        size_t heads = list[i].heads, row = o->head_norm == HEAD_NORM_ROW ? heads * dim : dim;
        bool each = o->norm == NORM_LAYER && o->head_norm == HEAD_NORM_HEADS;
        leat_status s = each ? arch_bind(l, list[i].w, list[i].name, layer, heads, dim, flags | BIND_F32)
                             : arch_bind(l, list[i].w, list[i].name, layer, 1, row, flags);
        if (s) return s;
    }
    return LEAT_OK;
}

/* q, k and v as rows of one tensor. */
static leat_status qkv_bind(arch_loader *l, uint32_t layer, size_t n, size_t nq, size_t nk, size_t nv,
                            attention_block *a) {
    weight all, bias;
    leat_status s = arch_bind(l, &all, "blk.%u.attn_qkv.weight", layer, nq + nk + nv, n, 0);
    if (!s) s = arch_bind(l, &bias, "blk.%u.attn_qkv.bias", layer, 1, nq + nk + nv, BIND_OPTIONAL);
    if (s) return s;
    a->q = weight_part(&all, 0, nq);
    a->k = weight_part(&all, nq, nk);
    a->v = weight_part(&all, nq + nk, nv);
    a->q_bias = weight_part(&bias, 0, nq);
    a->k_bias = weight_part(&bias, nq, nk);
    a->v_bias = weight_part(&bias, nq + nk, nv);
    return LEAT_OK;
}

leat_status attention_norm_bind(arch_loader *l, const hparams *hp, uint32_t layer, attention_block *a) {
    const decoder_options *o = block_options(hp);
    const binding norms[] = {
        {&a->norm, "blk.%u.attn_norm.weight", 1, hp->n_embd, o->attention_norm_optional ? BIND_OPTIONAL : 0},
        {&a->norm_bias, "blk.%u.attn_norm.bias", 1, hp->n_embd, BIND_OPTIONAL},
    };
    const binding post[] = {{&a->post_norm, "blk.%u.post_attention_norm.weight", 1, hp->n_embd, 0}};
    leat_status s = LEAT_OK;
    if (!o->no_pre_norm) s = bind_all(l, layer, norms, o->norm == NORM_LAYER ? 2 : 1);
    if (!s && o->post_norm) s = bind_all(l, layer, post, 1);
    return s;
}

leat_status attention_bind(arch_loader *l, const hparams *hp, uint32_t layer, attention_block *a) {
    const decoder_options *o = block_options(hp);
    size_t n = hp->n_embd, nq = (size_t)hp->n_head * hp->head_dim_k,
           nk = (size_t)hp->n_head_kv * hp->head_dim_k;
    size_t nv = (size_t)hp->n_head_kv * hp->head_dim_v, no = (size_t)hp->n_head * hp->head_dim_v;
    const binding split[] = {
        {&a->q, "blk.%u.attn_q.weight", nq, n, 0},
        {&a->k, "blk.%u.attn_k.weight", nk, n, 0},
        {&a->v, "blk.%u.attn_v.weight", nv, n, 0},
        {&a->q_bias, "blk.%u.attn_q.bias", 1, nq, BIND_OPTIONAL},
        {&a->k_bias, "blk.%u.attn_k.bias", 1, nk, BIND_OPTIONAL},
        {&a->v_bias, "blk.%u.attn_v.bias", 1, nv, BIND_OPTIONAL},
    };
    const binding output[] = {
        {&a->out, "blk.%u.attn_output.weight", n, no, 0},
        {&a->out_bias, "blk.%u.attn_output.bias", 1, n, BIND_OPTIONAL},
    };
    leat_status s = attention_norm_bind(l, hp, layer, a);
    if (!s)
        s = arch_has(l, "blk.%u.attn_qkv.weight", layer) ? qkv_bind(l, layer, n, nq, nk, nv, a)
                                                         : bind_all(l, layer, split, 6);
    if (!s) s = bind_all(l, layer, output, 2);
    if (!s) s = head_norm_bind(l, hp, layer, a);
    if (!s && o->sinks) s = arch_bind(l, &a->sinks, "blk.%u.attn_sinks.weight", layer, 1, hp->n_head, 0);
    return s;
}

/* Gate and up: two tensors, or the first and the second half of one. */
static leat_status gate_bind(arch_loader *l, const hparams *hp, uint32_t layer, ffn_block *f) {
    size_t n = hp->n_embd, ff = hp->n_ff;
    weight both, bias;
    const binding two[] = {
        {&f->gate, "blk.%u.ffn_gate.weight", ff, n, 0},
        {&f->up, "blk.%u.ffn_up.weight", ff, n, 0},
        {&f->gate_bias, "blk.%u.ffn_gate.bias", 1, ff, BIND_OPTIONAL},
        {&f->up_bias, "blk.%u.ffn_up.bias", 1, ff, BIND_OPTIONAL},
    };
    const binding one[] = {
        {&both, "blk.%u.ffn_up.weight", 2 * ff, n, 0},
        {&bias, "blk.%u.ffn_up.bias", 1, 2 * ff, BIND_OPTIONAL},
    };
    if (arch_has(l, "blk.%u.ffn_gate.weight", layer)) return bind_all(l, layer, two, 4);
    leat_status s = bind_all(l, layer, one, 2);
    if (s) return s;
    f->gate = weight_part(&both, 0, ff);
    f->up = weight_part(&both, ff, ff);
    f->gate_bias = weight_part(&bias, 0, ff);
    f->up_bias = weight_part(&bias, ff, ff);
    return LEAT_OK;
}

leat_status ffn_bind(arch_loader *l, const hparams *hp, uint32_t layer, ffn_block *f) {
    const decoder_options *o = block_options(hp);
    size_t n = hp->n_embd, ff = hp->n_ff;
    char norm[64], norm_bias[64];
    snprintf(norm, sizeof norm, "blk.%%u.%s.weight", o->ffn_norm ? o->ffn_norm : "ffn_norm");
    snprintf(norm_bias, sizeof norm_bias, "blk.%%u.%s.bias", o->ffn_norm ? o->ffn_norm : "ffn_norm");
    const binding norms[] = {
        {&f->norm, norm, 1, n, o->shared_norm ? BIND_OPTIONAL : 0},
        {&f->norm_bias, norm_bias, 1, n, BIND_OPTIONAL},
    };
    const binding post[] = {{&f->post_norm, "blk.%u.post_ffw_norm.weight", 1, n, 0}};
    const binding plain[] = {
        {&f->up, "blk.%u.ffn_up.weight", ff, n, 0},
        {&f->up_bias, "blk.%u.ffn_up.bias", 1, ff, BIND_OPTIONAL},
    };
    const binding down[] = {
        {&f->down, "blk.%u.ffn_down.weight", n, ff, 0},
        {&f->down_bias, "blk.%u.ffn_down.bias", 1, n, BIND_OPTIONAL},
    };
    leat_status s = LEAT_OK;
    if (!o->no_pre_norm) s = bind_all(l, layer, norms, o->norm == NORM_LAYER ? 2 : 1);
    if (!s && o->post_norm) s = bind_all(l, layer, post, 1);
    if (!s) s = o->plain_ffn ? bind_all(l, layer, plain, 2) : gate_bind(l, hp, layer, f);
    if (!s) s = bind_all(l, layer, down, 2);
    return s;
}

leat_status ends_bind(arch_loader *l, const hparams *hp, ends_block *e) {
    const decoder_options *o = block_options(hp);
    char norm[64];
    snprintf(norm, sizeof norm, "%s.weight", o->output_norm ? o->output_norm : "output_norm");
    const binding list[] = {
        {&e->embed, "token_embd.weight", hp->n_vocab, hp->n_embd, 0},
        {&e->norm, norm, 1, hp->n_embd, 0},
        {&e->output, "output.weight", hp->n_vocab, hp->n_embd, BIND_OPTIONAL},
        {&e->output_bias, "output.bias", 1, hp->n_vocab, BIND_OPTIONAL},
        {&e->norm_bias, "output_norm.bias", 1, hp->n_embd, BIND_OPTIONAL},
    };
    leat_status s = bind_all(l, 0, list, o->norm == NORM_LAYER ? 5 : 4);
    if (!s && o->positions)
        s = arch_bind(l, &e->positions, "position_embd.weight", 0, hp->n_ctx_train, hp->n_embd, 0);
    if (!s && !e->output.data) e->output = e->embed;
    return s;
}

stream stream_open(plan_builder *b, const hparams *hp) {
    stream s;
    s.x = plan_buffer(b, hp->n_embd);
    s.q = plan_buffer(b, (size_t)hp->n_head * hp->head_dim_k);
    s.k = plan_buffer(b, (size_t)hp->n_head_kv * hp->head_dim_k);
    s.v = plan_buffer(b, (size_t)hp->n_head_kv * hp->head_dim_v);
    s.a = plan_buffer(b, (size_t)hp->n_head * hp->head_dim_v);
    s.ff = plan_buffer(b, hp->n_ff);
    s.sum = block_options(hp)->post_norm ? plan_buffer(b, hp->n_embd) : s.x;
    return s;
}

void ends_open(plan_builder *b, const hparams *hp, const ends_block *e, const stream *s) {
    float scale = block_options(hp)->embed_scaled ? sqrtf((float)hp->n_embd) : hp->embed_scale;
    plan_embed(b,
               &(plan_embed_step){.x = s->x, .table = &e->embed, .positions = &e->positions, .scale = scale});
}

void ends_close(plan_builder *b, const hparams *hp, const ends_block *e, const stream *s) {
    plan_output(b, &(plan_output_step){.x = s->x,
                                       .norm = block_norm(hp, &e->norm, &e->norm_bias),
                                       .w = &e->output,
                                       .bias = &e->output_bias,
                                       .scale = hp->logit_scale,
                                       .softcap = hp->logit_softcap});
}

void add_back(plan_builder *b, const hparams *hp, plan_buf in, const weight *w, const weight *bias,
              const weight *post_norm, const stream *s) {
    if (!post_norm || !post_norm->data) {
        plan_linear(
            b,
            &(plan_linear_step){
                .in = in, .n_parts = 1, .part = {{w, bias, s->x}}, .add = true, .scale = hp->residual_scale});
        return;
    }
    plan_linear(b, &(plan_linear_step){.in = in, .n_parts = 1, .part = {{w, bias, s->sum}}});
    plan_normalize(b, &(plan_normalize_step){.in = s->sum,
                                             .out = s->x,
                                             .norm = block_norm(hp, post_norm, NULL),
                                             .add = true,
                                             .scale = hp->residual_scale});
}

void attention_project(plan_builder *b, const hparams *hp, const attention_block *a, const stream *s) {
    plan_linear(
        b, &(plan_linear_step){
               .in = s->x,
               .norm = block_norm(hp, &a->norm, &a->norm_bias),
               .n_parts = 3,
               .part = {{&a->q, &a->q_bias, s->q}, {&a->k, &a->k_bias, s->k}, {&a->v, &a->v_bias, s->v}}});
    if (block_options(hp)->head_norm != HEAD_NORM_ROW) return;
    plan_normalize(b,
                   &(plan_normalize_step){.in = s->q, .out = s->q, .norm = block_norm(hp, &a->q_norm, NULL)});
    plan_normalize(b,
                   &(plan_normalize_step){.in = s->k, .out = s->k, .norm = block_norm(hp, &a->k_norm, NULL)});
}

static plan_rope rope_of(const hparams *hp, uint32_t layer) {
    const decoder_options *o = block_options(hp);
    bool windowed = hparams_windowed(hp, layer);
    if (o->positions || !hp->rope.n_dims) return PLAN_ROPE_NONE;
    if (o->unrotated_period && (layer + 1) % o->unrotated_period == 0) return PLAN_ROPE_NONE;
    if (o->rotate_windowed_only && hp->window && !windowed) return PLAN_ROPE_NONE;
    return windowed && hp->rope_swa.n_dims ? PLAN_ROPE_SWA : PLAN_ROPE;
}

void attention_steps(plan_builder *b, const hparams *hp, uint32_t layer, const attention_block *a,
                     const stream *s) {
    const decoder_options *o = block_options(hp);
    float scale = hp->attention_scale != 0.0f ? hp->attention_scale : 1.0f / sqrtf((float)hp->head_dim_k);
    plan_attention_step step = {.layer = layer,
                                .q = s->q,
                                .k = s->k,
                                .v = s->v,
                                .out = s->a,
                                .norm_rotated = o->head_norm_rotated,
                                .rope = rope_of(hp, layer),
                                .temperature = o->temperature && hp->temperature_length,
                                .scale = scale,
                                .softcap = hp->attention_softcap,
                                .sinks = &a->sinks,
                                .window = hparams_windowed(hp, layer) ? hp->window : 0};
    if (o->head_norm == HEAD_NORM_HEADS) {
        step.q_norm = block_norm(hp, &a->q_norm, NULL);
        step.k_norm = block_norm(hp, &a->k_norm, NULL);
    }
    plan_attention(b, &step);
    add_back(b, hp, s->a, &a->out, &a->out_bias, &a->post_norm, s);
}

void ffn_project(plan_builder *b, const hparams *hp, const ffn_block *f, plan_norm norm, const stream *s) {
    const decoder_options *o = block_options(hp);
    activation how = o->activation ? o->activation : ACTIVATION_SILU;
    if (o->plain_ffn)
        plan_linear(b, &(plan_linear_step){.in = s->x,
                                           .norm = norm,
                                           .n_parts = 1,
                                           .part = {{&f->up, &f->up_bias, s->ff}},
                                           .activation = how});
    else
        plan_gated(b, &(plan_gated_step){.in = s->x,
                                         .out = s->ff,
                                         .norm = norm,
                                         .gate = &f->gate,
                                         .up = &f->up,
                                         .gate_bias = &f->gate_bias,
                                         .up_bias = &f->up_bias,
                                         .activation = how});
}

void ffn_steps(plan_builder *b, const hparams *hp, const ffn_block *f, const stream *s) {
    add_back(b, hp, s->ff, &f->down, &f->down_bias, &f->post_norm, s);
}

/* The shared blocks of blocks.h. Tensor names are GGUF's. */
#include "blocks.h"

#include <math.h>

leat_status attention_bind(arch_loader *l, const hparams *hp, uint32_t layer, attention_block *a) {
    size_t n = hp->n_embd, nq = (size_t)hp->n_head * hp->head_dim_k,
           nk = (size_t)hp->n_head_kv * hp->head_dim_k;
    size_t nv = (size_t)hp->n_head_kv * hp->head_dim_v, no = (size_t)hp->n_head * hp->head_dim_v;
    const struct {
        weight *w;
        const char *name;
        size_t rows, cols;
        unsigned flags;
    } list[] = {
        {&a->norm, "blk.%u.attn_norm.weight", 1, n, 0},
        {&a->q, "blk.%u.attn_q.weight", nq, n, 0},
        {&a->k, "blk.%u.attn_k.weight", nk, n, 0},
        {&a->v, "blk.%u.attn_v.weight", nv, n, 0},
        {&a->out, "blk.%u.attn_output.weight", n, no, 0},
        {&a->q_bias, "blk.%u.attn_q.bias", 1, nq, BIND_OPTIONAL},
        {&a->k_bias, "blk.%u.attn_k.bias", 1, nk, BIND_OPTIONAL},
        {&a->v_bias, "blk.%u.attn_v.bias", 1, nv, BIND_OPTIONAL},
        {&a->out_bias, "blk.%u.attn_output.bias", 1, n, BIND_OPTIONAL},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        leat_status s =
            arch_bind(l, list[i].w, list[i].name, layer, list[i].rows, list[i].cols, list[i].flags);
        if (s) return s;
    }
    return LEAT_OK;
}

leat_status ffn_bind(arch_loader *l, const hparams *hp, uint32_t layer, ffn_block *f) {
    leat_status s = arch_bind(l, &f->norm, "blk.%u.ffn_norm.weight", layer, 1, hp->n_embd, 0);
    if (!s) s = arch_bind(l, &f->gate, "blk.%u.ffn_gate.weight", layer, hp->n_ff, hp->n_embd, 0);
    if (!s) s = arch_bind(l, &f->up, "blk.%u.ffn_up.weight", layer, hp->n_ff, hp->n_embd, 0);
    if (!s) s = arch_bind(l, &f->down, "blk.%u.ffn_down.weight", layer, hp->n_embd, hp->n_ff, 0);
    return s;
}

leat_status ends_bind(arch_loader *l, const hparams *hp, ends_block *e) {
    leat_status s = arch_bind(l, &e->embed, "token_embd.weight", 0, hp->n_vocab, hp->n_embd, 0);
    if (!s) s = arch_bind(l, &e->norm, "output_norm.weight", 0, 1, hp->n_embd, 0);
    if (!s) s = arch_bind(l, &e->output, "output.weight", 0, hp->n_vocab, hp->n_embd, BIND_OPTIONAL);
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
    return s;
}

void attention_steps(plan_builder *b, const hparams *hp, uint32_t layer, const attention_block *a,
                     const stream *s) {
    plan_linear(
        b, &(plan_linear_step){
               .in = s->x,
               .norm = {&a->norm, hp->norm_eps},
               .n_parts = 3,
               .part = {{&a->q, &a->q_bias, s->q}, {&a->k, &a->k_bias, s->k}, {&a->v, &a->v_bias, s->v}}});
    plan_attention(b, &(plan_attention_step){.layer = layer,
                                             .q = s->q,
                                             .k = s->k,
                                             .v = s->v,
                                             .out = s->a,
                                             .scale = 1.0f / sqrtf((float)hp->head_dim_k)});
    plan_linear(b, &(plan_linear_step){
                       .in = s->a, .n_parts = 1, .part = {{&a->out, &a->out_bias, s->x}}, .add = true});
}

void ffn_steps(plan_builder *b, const hparams *hp, const ffn_block *f, const stream *s) {
    plan_gated(b, &(plan_gated_step){.in = s->x,
                                     .out = s->ff,
                                     .norm = {&f->norm, hp->norm_eps},
                                     .gate = &f->gate,
                                     .up = &f->up,
                                     .activation = ACTIVATION_SILU});
    plan_linear(
        b, &(plan_linear_step){.in = s->ff, .n_parts = 1, .part = {{&f->down, NULL, s->x}}, .add = true});
}

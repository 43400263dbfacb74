/* The block of moe.h. Tensor names are GGUF's; gate and up may be one tensor, gate's rows first. */
#include "moe.h"

#include <stdio.h>

static leat_status bind_gate_up(arch_loader *l, const hparams *hp, uint32_t layer, moe_block *m) {
    size_t n = hp->moe.routing.n_expert, n_ff = hp->moe.n_ff, n_embd = hp->n_embd;
    expert_weight both;
    if (block_options(hp)->plain_experts) {
        leat_status s = arch_bind_experts(l, &m->up, "blk.%u.ffn_up_exps.weight", layer, n, n_ff, n_embd, 0);
        m->gate = m->up;
        return s;
    }
    leat_status s = arch_bind_experts(l, &both, "blk.%u.ffn_gate_up_exps.weight", layer, n, 2 * n_ff, n_embd,
                                      BIND_OPTIONAL);
    if (s) return s;
    if (both.w.data) {
        both.w.n_rows = n_ff;
        m->gate = m->up = both;
        m->up.w.data = (const char *)both.w.data + n_ff * both.w.row_bytes;
        return LEAT_OK;
    }
    s = arch_bind_experts(l, &m->gate, "blk.%u.ffn_gate_exps.weight", layer, n, n_ff, n_embd, 0);
    if (!s) s = arch_bind_experts(l, &m->up, "blk.%u.ffn_up_exps.weight", layer, n, n_ff, n_embd, 0);
    return s;
}

leat_status moe_bind_experts(arch_loader *l, const hparams *hp, uint32_t layer, moe_block *m) {
    size_t n = hp->moe.routing.n_expert, n_ff = hp->moe.n_ff, n_embd = hp->n_embd,
           n_shared = hp->moe.n_ff_shared;
    const decoder_options *o = block_options(hp);
    leat_status s = arch_bind(l, &m->router, "blk.%u.ffn_gate_inp.weight", layer, n, n_embd, 0);
    if (!s) s = arch_bind(l, &m->router_bias, "blk.%u.ffn_gate_inp.bias", layer, 1, n, BIND_OPTIONAL);
    if (!s) s = arch_bind(l, &m->select_bias, "blk.%u.exp_probs_b.bias", layer, 1, n, BIND_OPTIONAL);
    if (!s) s = bind_gate_up(l, hp, layer, m);
    if (!s) s = arch_bind_experts(l, &m->down, "blk.%u.ffn_down_exps.weight", layer, n, n_embd, n_ff, 0);
    if (!s) s = arch_bind_expert_bias(l, &m->gate_bias, "blk.%u.ffn_gate_exps.bias", layer, n, n_ff);
    if (!s) s = arch_bind_expert_bias(l, &m->up_bias, "blk.%u.ffn_up_exps.bias", layer, n, n_ff);
    if (!s) s = arch_bind_expert_bias(l, &m->down_bias, "blk.%u.ffn_down_exps.bias", layer, n, n_embd);
    if (s || !n_shared) return s;
    s = arch_bind(l, &m->shared_gate, "blk.%u.ffn_gate_shexp.weight", layer, n_shared, n_embd, 0);
    if (!s) s = arch_bind(l, &m->shared_up, "blk.%u.ffn_up_shexp.weight", layer, n_shared, n_embd, 0);
    if (!s) s = arch_bind(l, &m->shared_down, "blk.%u.ffn_down_shexp.weight", layer, n_embd, n_shared, 0);
    if (!s && o->shared_router)
        s = arch_bind(l, &m->shared_router, "blk.%u.ffn_gate_inp_shexp.weight", layer, 1, n_embd, 0);
    return s;
}

leat_status moe_bind(arch_loader *l, const hparams *hp, uint32_t layer, moe_block *m) {
    const decoder_options *o = block_options(hp);
    char norm[64];
    snprintf(norm, sizeof norm, "blk.%%u.%s.weight", o->ffn_norm ? o->ffn_norm : "ffn_norm");
    leat_status s = arch_bind(l, &m->norm, norm, layer, 1, hp->n_embd, 0);
    return s ? s : moe_bind_experts(l, hp, layer, m);
}

void moe_steps(plan_builder *b, const hparams *hp, const moe_block *m, const stream *s) {
    const decoder_options *o = block_options(hp);
    plan_moe(b, &(plan_moe_step){.in = s->x,
                                 .out = s->x,
                                 .norm = block_norm(hp, &m->norm, NULL),
                                 .routing = hp->moe.routing,
                                 .router = &m->router,
                                 .router_bias = &m->router_bias,
                                 .select_bias = &m->select_bias,
                                 .gate = &m->gate,
                                 .up = &m->up,
                                 .down = &m->down,
                                 .gate_bias = &m->gate_bias,
                                 .up_bias = &m->up_bias,
                                 .down_bias = &m->down_bias,
                                 .shared_gate = &m->shared_gate,
                                 .shared_up = &m->shared_up,
                                 .shared_down = &m->shared_down,
                                 .shared_router = &m->shared_router,
                                 .activation = o->activation ? o->activation : ACTIVATION_SILU,
                                 .plain = o->plain_experts,
                                 .scale = hp->residual_scale,
                                 .add = true});
}

/* The block of mamba.h. Tensor names are GGUF's. */
#include "mamba.h"

static size_t conv_width(const ssm_hparams *m) {
    return m->inner + 2 * (size_t)m->n_group * m->state;
}

leat_status mamba_bind(arch_loader *l, const hparams *hp, uint32_t layer, mamba_block *m) {
    const ssm_hparams *p = &hp->ssm;
    size_t n = hp->n_embd, conv = conv_width(p), in = p->inner + conv + p->n_head;
    leat_status s = arch_bind(l, &m->in, "blk.%u.ssm_in.weight", layer, in, n, 0);
    if (!s) s = arch_bind(l, &m->conv, "blk.%u.ssm_conv1d.weight", layer, conv, p->taps, BIND_F32);
    if (!s) s = arch_bind(l, &m->conv_bias, "blk.%u.ssm_conv1d.bias", layer, 1, conv, BIND_OPTIONAL);
    if (!s) s = arch_bind(l, &m->dt_bias, "blk.%u.ssm_dt.bias", layer, 1, p->n_head, 0);
    if (!s) s = arch_bind(l, &m->a, "blk.%u.ssm_a", layer, p->n_head, 1, BIND_F32);
    if (!s) s = arch_bind(l, &m->d, "blk.%u.ssm_d", layer, p->n_head, 1, BIND_F32);
    if (!s)
        s = arch_bind(l, &m->norm, "blk.%u.ssm_norm.weight", layer, p->n_group, p->inner / p->n_group,
                      BIND_F32 | BIND_OPTIONAL);
    if (!s) s = arch_bind(l, &m->out, "blk.%u.ssm_out.weight", layer, n, p->inner, 0);
    return s;
}

mamba_buffers mamba_open(plan_builder *b, const hparams *hp) {
    const ssm_hparams *p = &hp->ssm;
    return (mamba_buffers){.in = plan_buffer(b, p->inner + conv_width(p) + p->n_head),
                           .conv = plan_buffer(b, conv_width(p)),
                           .out = plan_buffer(b, p->inner)};
}

void mamba_steps(plan_builder *b, const hparams *hp, const weight *norm, const mamba_block *m,
                 const mamba_buffers *u, const stream *s) {
    const ssm_hparams *p = &hp->ssm;
    size_t conv = conv_width(p);
    plan_linear(b, &(plan_linear_step){.in = s->x,
                                       .norm = block_norm(hp, norm, NULL),
                                       .n_parts = 1,
                                       .part = {{&m->in, NULL, u->in}}});
    plan_conv(b, &(plan_conv_step){.in = u->in,
                                   .out = u->conv,
                                   .first = p->inner,
                                   .width = conv,
                                   .w = &m->conv,
                                   .bias = &m->conv_bias,
                                   .silu = true,
                                   .state = plan_state(b, conv * (p->taps - 1))});
    plan_ssm(b, &(plan_ssm_step){.conv = u->conv,
                                 .in = u->in,
                                 .dt_at = p->inner + conv,
                                 .out = u->out,
                                 .n_head = p->n_head,
                                 .head_dim = p->inner / p->n_head,
                                 .n_group = p->n_group,
                                 .d_state = p->state,
                                 .a = &m->a,
                                 .d = &m->d,
                                 .dt_bias = &m->dt_bias,
                                 .state = plan_state(b, (size_t)p->inner * p->state)});
    plan_gate_norm(b, &(plan_gate_norm_step){.x = u->out,
                                             .n_groups = p->n_group,
                                             .norm = block_norm(hp, &m->norm, NULL),
                                             .gate = u->in,
                                             .gate_first = true});
    add_back(b, hp, u->out, &m->out, NULL, NULL, s);
}

/* A Mamba 2 layer behind an RMS norm, added to the residual stream. */
#ifndef LEAT_MODELS_MAMBA_H
#define LEAT_MODELS_MAMBA_H

#include "blocks.h"

typedef struct mamba_block {
    weight in; /* (2 * inner + 2 * n_group * state + n_head, n_embd): gate, x, B, C, dt */
    weight conv, conv_bias, dt_bias, a, d, norm, out;
} mamba_block;
leat_status mamba_bind(arch_loader *l, const hparams *hp, uint32_t layer, mamba_block *m);

/* The buffers between its steps, the same for every layer. */
typedef struct mamba_buffers {
    plan_buf in, conv, out;
} mamba_buffers;
mamba_buffers mamba_open(plan_builder *b, const hparams *hp);
void mamba_steps(plan_builder *b, const hparams *hp, const weight *norm, const mamba_block *m,
                 const mamba_buffers *u, const stream *s);

#endif

/* lfm2, lfm2moe: Liquid's LFM2. Most layers are a gated convolution over the last few tokens, some are
 * attention with norms on each head of q and k; in lfm2moe the feed-forward of later layers are experts. */
#include "decoder.h"

enum { TAPS_MAX = 64 };

typedef struct lfm2_layer {
    attention_block attention; /* of convolution layers only its norm */
    weight in, conv, out;      /* (3 * n_embd, n_embd): gate of input and output, input; (n_embd, taps) */
    ffn_block ffn;
    moe_block moe;
} lfm2_layer;

static leat_status lfm2_hparams(arch_loader *l, hparams *hp) {
    hp->hybrid = true;
    leat_status s = decoder_hparams(l, hp);
    if (!s) s = arch_u32(l, "shortconv.l_cache", 2, TAPS_MAX, NULL, &hp->ssm.taps);
    if (!s && arch_has_key(l, "attention.sliding_window")) s = arch_read_windows(l, hp, 0, 0);
    return s;
}

static leat_status lfm2_bind(arch_loader *l, const hparams *hp, void *ends, void *layers) {
    lfm2_layer *layer = layers;
    size_t n = hp->n_embd;
    leat_status s = ends_bind(l, hp, ends);
    for (uint32_t i = 0; !s && i < hp->n_layer; i++) {
        lfm2_layer *y = &layer[i];
        if (hparams_recurrent(hp, i)) {
            s = attention_norm_bind(l, hp, i, &y->attention);
            if (!s) s = arch_bind(l, &y->in, "blk.%u.shortconv.in_proj.weight", i, 3 * n, n, 0);
            if (!s) s = arch_bind(l, &y->conv, "blk.%u.shortconv.conv.weight", i, n, hp->ssm.taps, BIND_F32);
            if (!s) s = arch_bind(l, &y->out, "blk.%u.shortconv.out_proj.weight", i, n, n, 0);
        } else
            s = attention_bind(l, hp, i, &y->attention);
        if (!s) s = decoder_bind_ffn(l, hp, i, &y->ffn, &y->moe);
    }
    return s;
}

static void lfm2_build(plan_builder *b, const hparams *hp, const void *ends, const void *layers) {
    const lfm2_layer *layer = layers;
    stream s = stream_open(b, hp);
    size_t n = hp->n_embd;
    plan_buf gated = plan_buffer(b, 3 * n), sum = plan_buffer(b, n);

    ends_open(b, hp, ends, &s);
    for (uint32_t i = 0; i < hp->n_layer; i++) {
        const lfm2_layer *y = &layer[i];
        if (hparams_recurrent(hp, i)) {
            plan_linear(b, &(plan_linear_step){.in = s.x,
                                               .norm = block_norm(hp, &y->attention.norm, NULL),
                                               .n_parts = 1,
                                               .part = {{&y->in, NULL, gated}}});
            plan_conv(b, &(plan_conv_step){.in = gated,
                                           .out = sum,
                                           .first = 2 * n,
                                           .width = n,
                                           .w = &y->conv,
                                           .product = true,
                                           .factor = 0,
                                           .gated = true,
                                           .gate = n,
                                           .state = plan_state(b, n * (hp->ssm.taps - 1))});
            add_back(b, hp, sum, &y->out, NULL, NULL, &s);
        } else {
            attention_project(b, hp, &y->attention, &s);
            attention_steps(b, hp, i, &y->attention, &s);
        }
        decoder_ffn_steps(b, hp, i, &y->ffn, &y->moe, &s);
    }
    ends_close(b, hp, ends, &s);
}

const arch arch_lfm2 = {
    .name = "lfm2",
    .weights_bytes = sizeof(ends_block),
    .layer_bytes = sizeof(lfm2_layer),
    .read_hparams = lfm2_hparams,
    .bind = lfm2_bind,
    .build = lfm2_build,
    .options = &(const decoder_options){.rope = ROPE_HALVES,
                                        .output_norm = "token_embd_norm",
                                        .head_norm = HEAD_NORM_HEADS},
};

const arch arch_lfm2moe = {
    .name = "lfm2moe",
    .weights_bytes = sizeof(ends_block),
    .layer_bytes = sizeof(lfm2_layer),
    .read_hparams = lfm2_hparams,
    .bind = lfm2_bind,
    .build = lfm2_build,
    .options = &(const decoder_options){.rope = ROPE_HALVES,
                                        .output_norm = "token_embd_norm",
                                        .head_norm = HEAD_NORM_HEADS,
                                        .experts = true,
                                        .expert_norm = true,
                                        .expert_gating = MOE_SIGMOID},
};
